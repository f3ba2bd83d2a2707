"""How does a finished import become visible?

Files first (contact sheet, schemas), then the manifest revision (created once), then
``manifest.json``, then the catalog's pointer. A reader that sees a manifest can read all it names.
"""

from __future__ import annotations

import contextlib
import gzip
from typing import TYPE_CHECKING

from catalog import keys
from catalog.epoch import Recovery
from catalog.money import Usd
from catalog.results import (
    CatalogPointer,
    Costs,
    Manifest,
    RenderCounts,
    ResultLine,
)
from catalog.revisions import manifest_in, pointer_in
from catalog.schemas import STORE_SCHEMAS, schema_of
from catalog.store.port import Conflict, sha256_hex
from worker import plans
from worker.concluding import conclude_import
from worker.errors import TryLater
from worker.gallery.sheet import build_gallery
from worker.rebuilding import doubtful_usd
from worker.version import MADE_BY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from catalog.claims import ImportClaim
    from catalog.imports import Import
    from catalog.results import ManifestPart
    from catalog.store.port import Store
    from worker.ports import Desk

JSON = "application/json"
_TRIES = 5


def publish(desk: Desk, claim: ImportClaim) -> None:
    """Publish an import whose shards are all committed.

    May be repeated: the first manifest of a revision stands, also when two publish at once.

    Raises:
        TryLater: shards are missing, or the store does not give back what was written.
    """
    imported = plans.read_import(desk.store, claim.import_id)
    revision = desk.state.revision(claim.import_id)
    if revision is None:
        return  # published before, and forgotten
    committed = desk.state.committed(claim.import_id)
    if len(committed) < len(imported.parts):
        return
    if desk.state.recovery() is not Recovery.DONE:
        return  # what its calls cost is not known yet; the reconciler asks again
    conclude_import(desk, claim.import_id)
    parts = [committed[part.part] for part in imported.parts]
    key = keys.manifest_revision(claim.import_id, revision)
    if not desk.store.has(key):
        write_schemas(desk.store)
        draft = _manifest(desk, imported, parts, revision)
        write_gallery(desk.store, imported, draft)
        desk.store.create(key, draft.to_json(indent=2), media_type=JSON)
    manifest, content = _stored(desk.store, key)
    point_newest(desk.store, manifest, content)
    if manifest.state == "complete":
        point_catalog(desk.store, manifest, content, desk.clock())
    desk.state.forget(claim.import_id, revision=revision)


def _manifest(
    desk: Desk, imported: Import, parts: Sequence[ManifestPart], revision: int
) -> Manifest:
    counts = _sum(parts)
    cancelled = plans.intent(desk, imported.import_id) == "cancel" or counts.cancelled > 0
    return Manifest(
        import_id=imported.import_id,
        revision=revision,
        state="cancelled" if cancelled else "complete",
        catalog=imported.catalog,
        feed=imported.feed.model_dump(mode="json"),
        model=imported.model.id,
        preview=desk.models.resolve(imported.model.id, platform=desk.platform).is_preview,
        products=imported.counts.products,
        rows=imported.rows,
        counts=counts,
        cost_usd=Costs(
            estimated=imported.expected_usd,
            spent=Usd(sum(part.cost_usd.micro for part in parts)),
            doubtful=_doubtful(desk, imported),
        ),
        parts=tuple(parts),
        rejected=imported.rejected,
        gallery=keys.gallery(imported.import_id),
        started_at=imported.created_at,
        published_at=desk.clock(),
        made_by=MADE_BY,
    )


def _doubtful(desk: Desk, imported: Import) -> Usd:
    progress = desk.state.progress(imported.import_id)
    # In this order: it may be emptied, and rebuilt, at any time.
    if progress is None or desk.calls.was_rebuilt(imported.import_id):
        return doubtful_usd(desk, imported)  # Redis may have been away when one was booked
    return Usd(progress.doubtful_micro_usd)


def _sum(parts: Sequence[ManifestPart]) -> RenderCounts:
    names = RenderCounts.model_fields
    return RenderCounts(
        **{name: sum(getattr(part.counts, name) for part in parts) for name in names}
    )


def write_gallery(store: Store, imported: Import, manifest: Manifest) -> None:
    """Make the contact sheet of a manifest; the newest revision's stands.

    Raises:
        TryLater: a results part is not there or differs.
    """
    lines = result_lines(store, manifest.parts)
    for file in build_gallery(imported, manifest, lines):
        key = keys.gallery(imported.import_id, file.name)
        # A publisher that died half-way leaves the same files, or older ones of the same import.
        point(store, key, file.content, media_type=file.media_type)


def result_lines(store: Store, parts: Sequence[ManifestPart]) -> Iterator[ResultLine]:
    """Every line of some results parts, checked against the parts' hashes.

    Raises:
        TryLater: a part is not there or differs.
    """
    for part in parts:
        found = store.read(part.key)
        if found is None or found.sha256 != part.sha256:
            raise TryLater("internal", f"{part.key} is missing or differs from its hash")
        for line in gzip.decompress(found.content).splitlines():
            yield ResultLine.from_json(line)


def write_schemas(store: Store) -> None:
    """Put the schemas of what others read at the store's root."""
    for name in STORE_SCHEMAS:
        point(store, keys.schema(name), schema_of(name))


def _stored(store: Store, key: str) -> tuple[Manifest, bytes]:
    found = store.read(key)
    if found is None:
        raise TryLater("internal", f"{key} is not readable")
    return Manifest.from_json(found.content), found.content


def point_newest(store: Store, manifest: Manifest, content: bytes) -> None:
    """Make ``manifest.json`` this revision, unless a later one stands there.

    Raises:
        TryLater: others keep writing it.
    """
    key = keys.manifest(manifest.import_id)
    for _ in range(_TRIES):
        found = store.read(key)
        stands = manifest_in(found)
        if found is not None and found.content == content:
            return
        if stands is not None and stands.revision > manifest.revision:
            return
        with contextlib.suppress(Conflict):
            store.replace(key, content, media_type=JSON, etag=found.etag if found else None)
            return
    raise TryLater("internal", f"{key} is being written by others")


def point_catalog(store: Store, manifest: Manifest, content: bytes, now: datetime) -> None:
    """Make the catalog's pointer name this manifest, unless it names a later one.

    Raises:
        TryLater: others keep writing it.
    """
    key = keys.current(manifest.catalog)
    pointer = pointer_to(manifest, content, now)
    for _ in range(_TRIES):
        found = store.read(key)
        if found is not None:
            stands = pointer_in(found)
            if stands is not None and _is_newer(store, stands, manifest):
                return
        # On the ETag that was judged: a newer one that came meanwhile must be judged as well.
        with contextlib.suppress(Conflict):
            store.replace(
                key,
                pointer.to_json(indent=2),
                media_type=JSON,
                etag=found.etag if found else None,
            )
            return
    raise TryLater("internal", f"{key} is being written by others")


def pointer_to(manifest: Manifest, content: bytes, now: datetime) -> CatalogPointer:
    """What a catalog's pointer says when it names this manifest."""
    return CatalogPointer(
        catalog=manifest.catalog,
        import_id=manifest.import_id,
        revision=manifest.revision,
        manifest=keys.manifest_revision(manifest.import_id, manifest.revision),
        sha256=sha256_hex(content),
        updated_at=now,
    )


def _is_newer(store: Store, pointer: CatalogPointer, manifest: Manifest) -> bool:
    """Whether the pointer's manifest is of a later import: Monday's must not replace Tuesday's."""
    if pointer.import_id == manifest.import_id:
        return pointer.revision >= manifest.revision
    other = manifest_in(store.read(pointer.manifest))
    return other is not None and other.started_at > manifest.started_at


def point(store: Store, key: str, content: bytes, *, media_type: str = JSON) -> None:
    """Make an object hold these bytes, whoever else writes it meanwhile.

    Raises:
        TryLater: others keep writing it.
    """
    for _ in range(_TRIES):
        found = store.read(key)
        if found is not None and found.content == content:
            return
        try:
            store.replace(key, content, media_type=media_type, etag=found.etag if found else None)
        except Conflict:
            continue
        return
    raise TryLater("internal", f"{key} is being written by others")
