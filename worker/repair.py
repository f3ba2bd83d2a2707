"""How is what a manifest names made again from what is left, without buying anything?

- A rendition comes from its master, if that is what was bought. It is put back only if its bytes
  are those that the manifest names: another content never stands under an old name.
- A record comes from the take, the plan and the result line.
- A results part comes from the records, if the same bytes come out.
- Contact sheet, schemas, ``manifest.json`` and the catalog's pointer come from the manifest.

What came of it is written down, also where nothing could be done.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from catalog import keys
from catalog.claims import RenderClaim
from catalog.renders import Purchase, RecordedTake, RenderRecord, Spec, Tokens
from catalog.repairs import Repair, Unmended
from catalog.results import ResultLine, Status
from catalog.revisions import ManifestUnreadable, manifest_in, newest_manifest, pointer_in
from catalog.store.port import Conflict, sha256_hex
from worker import plans, references
from worker.commit import GZIP
from worker.errors import Refused, TryLater
from worker.finish import marking_of, prompt_sent
from worker.prepare import spec_of
from worker.publish import (
    point,
    point_catalog,
    point_newest,
    pointer_to,
    write_gallery,
    write_schemas,
)
from worker.settling import delivered
from worker.version import MADE_BY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.claims import RepairClaim
    from catalog.imports import PlannedProduct, PlannedSlot
    from catalog.results import Image, Manifest, ManifestPart, Provenance
    from catalog.store.port import Stored
    from worker.ports import Desk

JSON: Final = "application/json"
MASTER_LOST: Final = (
    "its master is missing or damaged: restore that from a backup; it is not bought again by itself"
)
PART_LOST: Final = (
    "the records alone do not tell what it said: restore it from a backup, or import the feed "
    "again under a new id, which reuses what was bought"
)
OTHER_BYTES: Final = (
    "made again from its master it has other bytes (another version of the encoder), and a name "
    "never changes its content: restore it from a backup, or repair with the version that made it"
)


@dataclass(slots=True)
class _Report:
    mended: list[str] = field(default_factory=list)
    left: list[Unmended] = field(default_factory=list)

    def leave(self, key: str, why: str) -> None:
        self.left.append(Unmended(key=key, why=why))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A result line that has pictures, and what was planned for it."""

    line: ResultLine
    render_id: str
    provenance: Provenance
    product: PlannedProduct
    slot: PlannedSlot


def repair(desk: Desk, claim: RepairClaim) -> None:
    """Make again what a claim names and say what came of it. Buys nothing; may be repeated.

    Raises:
        TryLater: others are writing the same objects.
    """
    report = _Report()
    try:
        if claim.part is None:
            _mend_import(desk, claim, report)
        elif claim.row is None:
            _mend_part(desk, claim, claim.part, report)
        else:
            _mend_row(desk, _row(desk, claim, claim.part, claim.row), report)
    except (Refused, ManifestUnreadable) as exc:
        report.leave(keys.manifest_revision(claim.import_id, claim.revision), str(exc))
    said = Repair(
        import_id=claim.import_id,
        revision=claim.revision,
        part=claim.part,
        row=claim.row,
        request=claim.request,
        mended=tuple(report.mended),
        left=tuple(report.left),
        at=desk.clock(),
        worker=desk.worker,
    )
    key = keys.repair(claim.import_id, claim.part, claim.row)
    point(desk.store, key, said.to_json(indent=2))


# -- one line's files --------------------------------------------------------------------------


def _row(desk: Desk, claim: RepairClaim, part: int, row: int) -> _Row:
    listed = _listed(_manifest(desk, claim), part)
    found = desk.store.read(listed.key)
    if found is None or found.sha256 != listed.sha256:
        raise Refused("internal", f"{listed.key} is missing or damaged")
    lines = gzip.decompress(found.content).splitlines()
    if row >= len(lines):
        raise Refused("internal", f"{listed.key} has no row {row}")
    line = ResultLine.from_json(lines[row])
    if line.render_id is None or line.provenance is None:
        raise Refused("internal", f"row {row} of {listed.key} has no pictures")
    product, slot = _planned(desk, claim.import_id, part, row)
    return _Row(
        line=line,
        render_id=line.render_id,
        provenance=line.provenance,
        product=product,
        slot=slot,
    )


def _manifest(desk: Desk, claim: RepairClaim) -> Manifest:
    newest = newest_manifest(desk.store, claim.import_id)
    if newest is not None and newest[0].revision == claim.revision:
        return newest[0]
    key = keys.manifest_revision(claim.import_id, claim.revision)
    found = manifest_in(desk.store.read(key))
    if found is None:
        raise Refused("internal", f"{key} can't be read")
    return found


def _listed(manifest: Manifest, part: int) -> ManifestPart:
    for listed in manifest.parts:
        if listed.part == part:
            return listed
    raise Refused("internal", f"the manifest has no part {part}")


def _planned(desk: Desk, import_id: str, part: int, row: int) -> tuple[PlannedProduct, PlannedSlot]:
    for product in plans.read_shard(desk.store, import_id, part):
        for slot in product.slots:
            if slot.index == row:
                return product, slot
    raise Refused("internal", f"the plan has no slot {row} in part {part}")


def _mend_row(desk: Desk, row: _Row, report: _Report) -> None:
    _mend_record(desk, row, report)
    named = next(image for image in row.line.images if image.role == "master")
    master = desk.store.read(named.key)
    if master is None or master.sha256 != named.sha256:
        report.leave(named.key, MASTER_LOST)
        master = None
    for image in row.line.images:
        if image.role == "rendition":
            _mend_rendition(desk, row, image, master, report)


def _mend_rendition(
    desk: Desk, row: _Row, image: Image, master: Stored | None, report: _Report
) -> None:
    found = desk.store.read(image.key)
    if found is not None and found.sha256 == image.sha256:
        return
    if master is None:
        report.leave(image.key, MASTER_LOST)
        return
    content = _made_again(desk, row, image, master)
    if content is None:
        report.leave(image.key, OTHER_BYTES)
        return
    _put(desk, image.key, content, image.media_type, found)
    report.mended.append(image.key)


def _made_again(desk: Desk, row: _Row, image: Image, master: Stored) -> bytes | None:
    marking = marking_of(_purchase(row, master), preview=row.provenance.preview)
    for names in _made_together(desk, row, image):
        for made in desk.imaging.render(master.content, names, marking):
            if made.name == image.name and sha256_hex(made.content) == image.sha256:
                return made.content
    return None


def _purchase(row: _Row, master: Stored) -> Purchase:
    """What the take says of itself; where some tool dropped that, the line knows enough."""
    try:
        return Purchase.from_metadata(dict(master.metadata))
    except ValidationError:
        return Purchase(
            take=row.provenance.take,
            import_id=row.provenance.bought_by,
            claim="",
            fingerprint=row.provenance.fingerprint,
            model_asked=row.provenance.model_asked,
            model_answered=row.provenance.model_answered,
            response_id=row.provenance.response_id,
            tokens=Tokens(),
            micro_usd=0,
            sent_at=row.provenance.bought_at,
            answered_at=row.provenance.bought_at,
        )


def _made_together(desk: Desk, row: _Row, image: Image) -> Iterator[tuple[str, ...]]:
    """Files that this one may have been made with: each size is made from the one before."""
    sets = [tuple(one.name for one in row.line.images if one.role == "rendition")]
    record = _readable(desk.store.read(keys.record(row.render_id)))
    if record is not None:
        sets.append(tuple(one.name for one in record.images if one.role == "rendition"))
    sets += [desk.imaging.file_names((recipe,)) for recipe in row.slot.renditions]
    sets.append((image.name,))
    yield from dict.fromkeys(names for names in sets if image.name in names)


# -- the record --------------------------------------------------------------------------------


def _mend_record(desk: Desk, row: _Row, report: _Report) -> None:
    key = keys.record(row.render_id)
    found = desk.store.read(key)
    record = _readable(found)
    if record is not None and _is_ours(record, row) and _names_all(record, row):
        return
    try:
        written = _with_images(record, row) if record and _is_ours(record, row) else None
        content = (written or _written_anew(desk, row)).to_json(indent=2)
    except (Refused, ValidationError) as exc:
        report.leave(key, f"it can't be written again: {exc}")
        return
    _put(desk, key, content, JSON, found)
    report.mended.append(key)


def _readable(found: Stored | None) -> RenderRecord | None:
    try:
        return RenderRecord.from_json(found.content) if found else None
    except ValidationError:
        return None


def _is_ours(record: RenderRecord, row: _Row) -> bool:
    ours = (row.render_id, row.provenance.fingerprint)
    takes = {take.purchase.take for take in record.takes}
    return (record.render_id, record.fingerprint) == ours and record.chosen_take in takes


def _names_all(record: RenderRecord, row: _Row) -> bool:
    there = {(image.key, image.sha256) for image in record.images}
    return there.issuperset((image.key, image.sha256) for image in row.line.images)


def _with_images(record: RenderRecord, row: _Row) -> RenderRecord:
    named = {image.name for image in row.line.images}
    others = tuple(image for image in record.images if image.name not in named)
    return record.changed(images=(*_images(row), *others))


def _images(row: _Row) -> tuple[Image, ...]:
    return tuple(image.changed(url=None) for image in row.line.images)


def _written_anew(desk: Desk, row: _Row) -> RenderRecord:
    spec = spec_of(row.slot, row.provenance.references)
    if spec.fingerprint != row.provenance.fingerprint:
        raise Refused("internal", "the plan does not ask for what the result line delivers")
    takes = tuple(_recorded(desk, row))
    bought = {take.purchase.take: take.purchase for take in takes}
    chosen = bought.get(row.provenance.take)
    if chosen is None:
        raise Refused("internal", MASTER_LOST)
    return RenderRecord(
        render_id=row.render_id,
        fingerprint=spec.fingerprint,
        spec=Spec.of(spec),
        scene=row.slot.scene,
        sku=row.slot.sku,
        product_id=row.product.product_id,
        references=row.provenance.references,
        takes=takes,
        chosen_take=row.provenance.take,
        images=_images(row),
        checks=row.line.checks,
        verdict="review" if row.line.status is Status.REVIEW else "pass",
        ai_generated=row.provenance.ai_generated,
        preview=row.provenance.preview,
        digital_source_type=row.provenance.digital_source_type,
        finished_at=desk.clock(),
        made_by=MADE_BY,
        softened=chosen.softened,
        prompt_sent=prompt_sent(desk, chosen),
    )


def _recorded(desk: Desk, row: _Row) -> Iterator[RecordedTake]:
    for entry in desk.store.list(keys.takes(row.render_id)):
        stored = desk.store.read(entry.key)
        if stored is not None:
            yield RecordedTake(
                key=stored.key,
                sha256=stored.sha256,
                bytes=len(stored.content),
                media_type=stored.media_type,
                purchase=Purchase.from_metadata(dict(stored.metadata)),
            )


# -- what an import has beside its lines -------------------------------------------------------


def _mend_import(desk: Desk, claim: RepairClaim, report: _Report) -> None:
    found = newest_manifest(desk.store, claim.import_id)
    if found is None:
        raise Refused("internal", f"import {claim.import_id} has no manifest")
    manifest, stored = found
    imported = plans.read_import(desk.store, claim.import_id)
    before = _fingerprints(desk, manifest)
    point(desk.store, keys.manifest_revision(claim.import_id, manifest.revision), stored.content)
    point_newest(desk.store, manifest, stored.content)
    write_schemas(desk.store)
    try:
        write_gallery(desk.store, imported, manifest)
    except TryLater as exc:
        report.leave(manifest.gallery, f"it can't be made: {exc}")
    _mend_pointer(desk, manifest, stored)
    after = _fingerprints(desk, manifest)
    report.mended += [key for key, sha256 in after.items() if before.get(key) != sha256]


def _mend_pointer(desk: Desk, manifest: Manifest, stored: Stored) -> None:
    key = keys.current(manifest.catalog)
    pointer = pointer_in(desk.store.read(key))
    meant = desk.store.read(pointer.manifest) if pointer else None
    if pointer is None or meant is None or meant.sha256 != pointer.sha256:
        _point_anew(desk, key, manifest, stored, meant)
    elif manifest.state == "complete":
        point_catalog(desk.store, manifest, stored.content, desk.clock())


def _point_anew(
    desk: Desk, key: str, manifest: Manifest, stored: Stored, meant: Stored | None
) -> None:
    """Name another import's manifest with its right hash if that was meant, else this one."""
    other = manifest_in(meant)
    if other is not None and meant is not None and other.import_id != manifest.import_id:
        manifest, stored = other, meant
    if manifest.state == "complete":
        pointer = pointer_to(manifest, stored.content, desk.clock())
        point(desk.store, key, pointer.to_json(indent=2))


def _fingerprints(desk: Desk, manifest: Manifest) -> dict[str, str]:
    """Hashes of what stands beside the parts."""
    import_id = manifest.import_id
    names = [
        keys.manifest_revision(import_id, manifest.revision),
        keys.manifest(import_id),
        keys.current(manifest.catalog),
        *(keys.schema(name) for name in ("record", "result", "manifest")),
        *(entry.key for entry in desk.store.list(keys.gallery(import_id, ""))),
    ]
    found = ((name, desk.store.read(name)) for name in names)
    return {name: stored.sha256 for name, stored in found if stored}


# -- results parts -----------------------------------------------------------------------------


def _mend_part(desk: Desk, claim: RepairClaim, part: int, report: _Report) -> None:
    """Only rows that were delivered can be told from the records; one other row, and it is lost."""
    listed = _listed(_manifest(desk, claim), part)
    found = desk.store.read(listed.key)
    if found is not None and found.sha256 == listed.sha256:
        return
    lines = [_line_again(desk, claim, part, at) for at in range(listed.rows)]
    body = b"".join(line.to_json() + b"\n" for line in lines if line is not None)
    content = gzip.compress(body, mtime=0)
    if sha256_hex(content) != listed.sha256:
        report.leave(listed.key, PART_LOST)
        return
    _put(desk, listed.key, content, GZIP, found)
    report.mended.append(listed.key)


def _line_again(desk: Desk, claim: RepairClaim, part: int, row: int) -> ResultLine | None:
    product, slot = _planned(desk, claim.import_id, part, row)
    started_at = plans.read_import(desk.store, claim.import_id).created_at
    known = [references.known(desk, product.photos[at], started_at) for at in slot.photos]
    used = tuple({photo.original_sha256: photo for photo in known if photo}.values())
    render_id = spec_of(slot, used).render_id
    record = _readable(desk.store.read(keys.record(render_id)))
    if record is None:
        return None
    bought = RenderClaim(
        store=claim.store,
        import_id=claim.import_id,
        part=part,
        product=0,
        slot=row,
        render_id=render_id,
        references=used,
    )
    return delivered(desk, bought, product, slot, record)


def _put(desk: Desk, key: str, content: bytes, media_type: str, found: Stored | None) -> None:
    try:
        etag = found.etag if found else None
        desk.store.replace(key, content, media_type=media_type, etag=etag)
    except Conflict as exc:
        raise TryLater("internal", f"{key} is being written by others") from exc
