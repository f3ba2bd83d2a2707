"""Does everything that a manifest names hold, and what can be done about what does not?

Reads every byte: the price of certainty is a request per object. Beside the manifest's own objects
it looks at what later work needs: plan, records, references, schemas, contact sheet and the
catalog's pointer.
"""

from __future__ import annotations

import gzip
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from catalog import keys
from catalog.imports import Control, Import
from catalog.renders import RenderRecord
from catalog.repairs import Repair
from catalog.results import Manifest, ManifestPart, ResultLine
from catalog.revisions import ManifestUnreadable, manifest_in, newest_manifest, pointer_in
from catalog.schemas import STORE_SCHEMAS
from producers.reporting import UnknownImport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from catalog.results import Image
    from catalog.store.port import Store, Stored

_AT_ONCE: Final = 8
_DATA_FILE: Final = re.compile(rb"\bdata-\d{3,}\.js\b")

REPAIR: Final = "--repair "
_BACKUP: Final = "restore it from a backup of the store"
_MASTER: Final = f"{_BACKUP}: nothing makes it again, and it is not bought again by itself"
_MASTER_FIRST: Final = "restore the render's master first; --repair then makes this again from it"
_RENDITION: Final = f"{REPAIR}makes it again from the master, for nothing"
_RECORD: Final = f"{REPAIR}writes it again from the take, the plan and the result line"
_PART: Final = (
    f"{REPAIR}tries to write it again from the records; else {_BACKUP}, or import the feed again "
    "under a new id, which reuses what was bought"
)
_REFERENCE: Final = "nothing now: the photo is fetched again when it is next needed"
_PLAN: Final = f"{_BACKUP}: its rows can't be retried or repaired without it"
_REVISION: Final = f"{REPAIR}puts back what was published"
_SHEET: Final = f"{REPAIR}makes it again"
_POINTER: Final = f"{REPAIR}lets it name the newest manifest"
_CONTROL: Final = f"`skuscene retry` writes it again; or {_BACKUP}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An object that is not what it should be.

    ``kind`` is missing, truncated, differs, swapped (it holds another object's bytes), foreign (it
    speaks of something else), unreadable or count. ``cure`` says what can be done. With ``part``
    and ``row`` it belongs to a result line.
    """

    kind: str
    key: str
    expected: str
    found: str
    cure: str
    part: int | None = None
    row: int | None = None

    @property
    def mendable(self) -> bool:
        """Whether a worker may be able to make it again."""
        return self.cure.startswith(REPAIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What reading every object that a manifest names showed."""

    import_id: str
    revision: int
    objects: int
    bytes: int
    problems: tuple[Problem, ...]

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The report as ``verify --json`` prints it."""
        return {"ok": self.holds, **asdict(self)}


def verify(
    store: Store,
    import_id: str,
    *,
    revision: int | None = None,
    progress: Callable[[int], None] = lambda _objects: None,
) -> Verification:
    """Read every object that a manifest names, and what belongs to it, and compare.

    The newest revision's manifest, or that of ``revision``.

    Raises:
        UnknownImport: there is no such manifest (yet).
    """
    try:
        manifest, stored = _manifest(store, import_id, revision)
    except ManifestUnreadable as exc:
        return _without_manifest(import_id, revision, str(exc))
    check = _Check(store, progress)
    check.run(manifest, newest=stored if revision is None else None)
    return Verification(
        import_id=import_id,
        revision=manifest.revision,
        objects=check.objects,
        bytes=check.bytes,
        problems=tuple(check.problems),
    )


def _manifest(store: Store, import_id: str, revision: int | None) -> tuple[Manifest, Stored]:
    if revision is None:
        found = newest_manifest(store, import_id)
        if found is not None:
            return found
        msg = f"import {import_id!r} has no manifest: `skuscene status {import_id}` says why"
        raise UnknownImport(msg)
    key = keys.manifest_revision(import_id, revision)
    stored = store.read(key)
    if stored is None:
        msg = f"import {import_id!r} has no revision {revision} (yet): there is no {key}"
        raise UnknownImport(msg)
    manifest = manifest_in(stored)
    if manifest is None:
        msg = f"{key} can't be read: {_BACKUP}"
        raise ManifestUnreadable(msg)
    return manifest, stored


def _without_manifest(import_id: str, revision: int | None, why: str) -> Verification:
    problem = Problem(
        kind="unreadable",
        key=keys.manifest(import_id),
        expected="a manifest",
        found=why,
        cure=_BACKUP,
    )
    return Verification(
        import_id=import_id, revision=revision or 0, objects=1, bytes=0, problems=(problem,)
    )


@dataclass(slots=True)
class _Looked:
    """What one look at something brought."""

    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """An object that something names with its hash."""

    key: str
    sha256: str
    size_bytes: int | None
    cure: str
    part: int | None = None
    row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What of a result line nobody has looked at yet: slots that share a render share its files."""

    part: int
    row: int
    line: ResultLine
    images: Sequence[Image]
    photos: Sequence[str]
    record: bool


class _Check:
    def __init__(self, store: Store, progress: Callable[[int], None]) -> None:
        self._store = store
        self._progress = progress
        self._seen: set[str] = set()
        self._strangers: dict[str, list[int]] = {}
        """Where problems stand, by the hash that was found instead of the right one."""
        self.objects = 0
        self.bytes = 0
        self.problems: list[Problem] = []

    def run(self, manifest: Manifest, *, newest: Stored | None) -> None:
        """Look at everything; ``newest`` is the manifest's object if it is the newest one."""
        lines = 0
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="verify") as pool:
            for part in manifest.parts:
                rows = self._lines(part)
                lines += len(rows)
                for looked in pool.map(partial(_look, self._store), self._work(part.part, rows)):
                    self._add(looked)
        parts = {part.key for part in manifest.parts}
        whole = parts.isdisjoint(problem.key for problem in self.problems)
        if whole and lines != manifest.counts.expected:
            self._tell("count", keys.manifest(manifest.import_id), manifest.counts.expected, lines)
        self._beside(manifest)
        if newest is not None:
            self._newest(manifest, newest)
        self._find_swapped(manifest)

    # -- result lines ------------------------------------------------------------------------

    def _lines(self, part: ManifestPart) -> list[ResultLine]:
        named = _Named(
            key=part.key, sha256=part.sha256, size_bytes=part.bytes, cure=_PART, part=part.part
        )
        content = self._object(named)
        if content is None:
            return []
        try:
            return [ResultLine.from_json(row) for row in gzip.decompress(content).splitlines()]
        except (OSError, EOFError, ValidationError) as exc:
            self._tell("unreadable", part.key, "result lines", type(exc).__name__, _PART)
            return []

    def _work(self, part: int, rows: Sequence[ResultLine]) -> Iterator[_Work]:
        for row, line in enumerate(rows):
            if line.render_id is None or not line.images:
                continue
            used = line.provenance.references if line.provenance else ()
            yield _Work(
                part=part,
                row=row,
                line=line,
                images=[image for image in line.images if self._is_new(image.key)],
                photos=[one.key for one in used if self._is_new(one.key)],
                record=self._is_new(keys.record(line.render_id)),
            )

    def _is_new(self, key: str) -> bool:
        if key in self._seen:
            return False
        self._seen.add(key)
        self._count()
        return True

    # -- what is beside them -----------------------------------------------------------------

    def _beside(self, manifest: Manifest) -> None:
        if manifest.rejected is not None:
            rejected = manifest.rejected
            self._object(
                _Named(
                    key=rejected.key,
                    sha256=rejected.sha256,
                    size_bytes=rejected.bytes,
                    cure=_BACKUP,
                )
            )
        imported = self._shape(keys.import_(manifest.import_id), Import, _PLAN)
        for part in imported.parts if imported else ():
            self._object(
                _Named(key=part.key, sha256=part.sha256, size_bytes=part.bytes, cure=_PLAN)
            )
        self._shape(keys.control(manifest.import_id), Control, _CONTROL)

    def _newest(self, manifest: Manifest, stored: Stored) -> None:
        for key in (
            keys.manifest_revision(manifest.import_id, manifest.revision),
            keys.manifest(manifest.import_id),
        ):
            self._object(_Named(key=key, sha256=stored.sha256, size_bytes=None, cure=_REVISION))
        for name in STORE_SCHEMAS:
            self._schema(keys.schema(name), f"skuscene:{name}.schema.json")
        self._gallery(manifest)
        self._pointer(manifest, stored)

    def _schema(self, key: str, name: str) -> None:
        found = self._read(key, "a JSON Schema", _SHEET)
        if found is None:
            return
        try:
            said = json.loads(found.content)
            identity = said.get("$id") if isinstance(said, dict) else None
        except ValueError:
            identity = None
        if identity != name:  # its text may be an older or newer version's
            self._tell("unreadable", key, name, str(identity), _SHEET)

    def _gallery(self, manifest: Manifest) -> None:
        page = self._read(manifest.gallery, "the contact sheet", _SHEET)
        if page is None:
            return
        if manifest.import_id.encode() not in page.content or b"</html>" not in page.content:
            self._tell("foreign", manifest.gallery, manifest.import_id, "another page", _SHEET)
            return
        for name in sorted(set(_DATA_FILE.findall(page.content))):
            key = keys.gallery(manifest.import_id, name.decode())
            data = self._read(key, "a file of the contact sheet", _SHEET)
            if data is not None and not data.content.rstrip().endswith(b"]);"):
                self._tell("truncated", key, "a whole file", f"{len(data.content)} bytes", _SHEET)

    def _pointer(self, manifest: Manifest, published: Stored) -> None:
        """The catalog's newest manifest may be another import's: then only that it is there."""
        key = keys.current(manifest.catalog)
        stored = self._store.read(key)
        self._count()
        if stored is None:
            if manifest.state == "complete":
                self._tell("missing", key, "the catalog's pointer", "nothing", _POINTER)
            return
        pointer = pointer_in(stored)
        if pointer is None:
            self._tell("unreadable", key, "the catalog's pointer", "something else", _POINTER)
            return
        is_ours = (pointer.import_id, pointer.revision) == (manifest.import_id, manifest.revision)
        named = published if is_ours else self._store.read(pointer.manifest)
        right = named.sha256 if named else "nothing"
        if pointer.sha256 != right:
            meant = f"the hash of {pointer.manifest}: {right}"
            self._tell("differs", key, meant, pointer.sha256, _POINTER)
        ours = pointer.import_id == manifest.import_id and manifest.state == "complete"
        if ours and pointer.revision < manifest.revision:
            said = f"revision {pointer.revision}"
            self._tell("differs", key, f"revision {manifest.revision}", said, _POINTER)

    # -- objects -----------------------------------------------------------------------------

    def _object(self, named: _Named) -> bytes | None:
        if named.key in self._seen:
            return None
        self._seen.add(named.key)
        self._count()
        looked = _Looked()
        content = _compare(self._store, named, looked)
        self._add(looked)
        return content

    def _shape(self, key: str, shape: Any, cure: str) -> Any:
        found = self._read(key, shape.__name__.lower(), cure)
        if found is None:
            return None
        try:
            return shape.from_json(found.content)
        except ValidationError as exc:
            faults = f"{exc.error_count()} faults"
            self._tell("unreadable", key, shape.__name__.lower(), faults, cure)
            return None

    def _read(self, key: str, what: str, cure: str) -> Stored | None:
        self._count()
        found = self._store.read(key)
        if found is None:
            self._tell("missing", key, what, "nothing", cure)
            return None
        self.bytes += len(found.content)
        return found

    def _count(self) -> None:
        self.objects += 1
        self._progress(self.objects)

    def _tell(
        self, kind: str, key: str, expected: object, found: object, cure: str = _BACKUP
    ) -> None:
        self.problems.append(
            Problem(kind=kind, key=key, expected=str(expected), found=str(found), cure=cure)
        )

    def _add(self, looked: _Looked) -> None:
        self.bytes += looked.bytes
        for problem in looked.problems:
            if problem.kind in {"differs", "truncated"}:
                at = self._strangers.setdefault(problem.found.rpartition(" ")[2], [])
                at.append(len(self.problems))
            self.problems.append(problem)

    def _find_swapped(self, manifest: Manifest) -> None:
        """Say whose bytes stand in the wrong place; reads the parts again, only where some do."""
        if not self._strangers:
            return
        for key, sha256 in _all_named(self._store, manifest):
            for at in self._strangers.pop(sha256, ()):
                told = self.problems[at]
                self.problems[at] = replace(told, kind="swapped", found=f"the bytes of {key}")


def _all_named(store: Store, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for part in manifest.parts:
        yield part.key, part.sha256
        found = store.read(part.key)
        if found is None or found.sha256 != part.sha256:
            continue
        for row in gzip.decompress(found.content).splitlines():
            for image in ResultLine.from_json(row).images:
                yield image.key, image.sha256


def _look(store: Store, work: _Work) -> _Looked:
    looked = _Looked()
    _compare_images(store, work, looked)
    for key in work.photos:
        named = _Named(
            key=key,
            sha256=_hash_in(key),
            size_bytes=None,
            cure=_REFERENCE,
            part=work.part,
            row=work.row,
        )
        _compare(store, named, looked)
    if work.record:
        _compare_record(store, work, looked)
    if any(problem.mendable for problem in looked.problems):
        _tell_last_repair(store, work, looked)
    return looked


def _hash_in(key: str) -> str:
    """A reference is stored under the hash of its own bytes."""
    return key.rpartition("/")[2].partition(".")[0]


def _compare_images(store: Store, work: _Work, looked: _Looked) -> None:
    whole = True
    for image in sorted(work.images, key=lambda image: image.role != "master"):
        is_master = image.role == "master"
        cure = _MASTER if is_master else _RENDITION if whole else _MASTER_FIRST
        named = _Named(
            key=image.key,
            sha256=image.sha256,
            size_bytes=image.bytes,
            cure=cure,
            part=work.part,
            row=work.row,
        )
        holds = _compare(store, named, looked) is not None
        whole = whole and (holds or not is_master)


def _compare_record(store: Store, work: _Work, looked: _Looked) -> None:
    key = keys.record(str(work.line.render_id))
    stored = store.read(key)
    kind, expected, found = _record_problem(stored, work.line)
    looked.bytes += len(stored.content) if stored else 0
    if kind:
        looked.problems.append(
            Problem(
                kind=kind,
                key=key,
                expected=expected,
                found=found,
                cure=_RECORD,
                part=work.part,
                row=work.row,
            )
        )


def _record_problem(stored: Stored | None, line: ResultLine) -> tuple[str, str, str]:
    if stored is None:
        return "missing", "the render's record", "nothing"
    try:
        record = RenderRecord.from_json(stored.content)
    except ValidationError as exc:
        return "unreadable", "the render's record", f"{exc.error_count()} faults"
    fingerprint = line.provenance.fingerprint if line.provenance else record.fingerprint
    if (record.render_id, record.fingerprint) != (line.render_id, fingerprint):
        return "foreign", f"render {line.render_id}", f"render {record.render_id}"
    there = {(image.key, image.sha256) for image in record.images}
    lacking = [image.name for image in line.images if (image.key, image.sha256) not in there]
    if lacking or record.chosen_take not in {take.purchase.take for take in record.takes}:
        return "differs", "what the result line says", f"not {', '.join(lacking) or 'its take'}"
    return "", "", ""


def _compare(store: Store, named: _Named, looked: _Looked) -> bytes | None:
    found = store.read(named.key)
    if found is None:
        looked.problems.append(_problem(named, "missing", "nothing"))
        return None
    size = len(found.content)
    looked.bytes += size
    if found.sha256 == named.sha256:
        return found.content
    short = named.size_bytes is not None and size < named.size_bytes
    said = f"{size} bytes, sha256 {found.sha256}"
    looked.problems.append(_problem(named, "truncated" if short else "differs", said))
    return None


def _problem(named: _Named, kind: str, found: str) -> Problem:
    size = "" if named.size_bytes is None else f"{named.size_bytes} bytes, "
    return Problem(
        kind=kind,
        key=named.key,
        expected=f"{size}sha256 {named.sha256}",
        found=found,
        cure=named.cure,
        part=named.part,
        row=named.row,
    )


def _tell_last_repair(store: Store, work: _Work, looked: _Looked) -> None:
    """Where a repair was tried and could not help, its words are the cure."""
    said = last_repair(store, work.line.import_id, work.part, work.row)
    why = {left.key: left.why for left in said.left} if said else {}
    looked.problems = [
        replace(told, cure=f"{told.cure}; the last one said: {why[told.key]}")
        if told.key in why
        else told
        for told in looked.problems
    ]


def last_repair(store: Store, import_id: str, part: int | None, row: int | None) -> Repair | None:
    """What the last repair of something said, if there was one."""
    found = store.read(keys.repair(import_id, part, row))
    try:
        return Repair.from_json(found.content) if found else None
    except ValidationError:
        return None
