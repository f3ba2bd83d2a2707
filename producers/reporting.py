"""How does an import stand, and does a manifest hold?"""

from __future__ import annotations

import gzip
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from catalog import keys
from catalog.imports import Control, Import
from catalog.money import Usd
from catalog.results import (
    Costs,
    ImportStatus,
    Manifest,
    RenderCounts,
    ResultLine,
    ShardCounts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from catalog.state import State
    from catalog.store.port import Store


class UnknownImport(LookupError):
    """The store has no such import."""


def import_ids(store: Store) -> tuple[str, ...]:
    """Every import in the store, by id; costs a listing of ``imports/``."""
    found = (entry.key.split("/") for entry in store.list("imports/"))
    return tuple(sorted({parts[1] for parts in found if parts[2:] == ["control.json"]}))


def import_status(store: Store, state: State | None, import_id: str) -> ImportStatus:
    """How an import stands: from its manifest if it is published, else from Redis.

    Raises:
        UnknownImport: the store has no such import.
    """
    control = _read(store, keys.control(import_id), Control)
    imported = _read(store, keys.import_(import_id), Import)
    if imported is None:
        return _planning(import_id, control)
    manifest = _read(store, keys.manifest(import_id), Manifest)
    if manifest is not None:
        return _published(manifest)
    return _running(imported, control, state)


def _read(store: Store, key: str, shape: Any) -> Any:
    found = store.read(key)
    return None if found is None else shape.from_json(found.content)


def _planning(import_id: str, control: Control | None) -> ImportStatus:
    if control is None:
        msg = f"there is no import {import_id!r} in this store: `skuscene status` lists them"
        raise UnknownImport(msg)
    return ImportStatus.model_validate(
        {
            "import_id": import_id,
            "state": "planning",
            "reason": None,
            "products": 0,
            "rows": {"read": 0, "rejected": 0},
            "renders": {},
            "cost_usd": {},
            "shards": {"total": 0, "committed": 0},
            "started_at": control.at,
            "finished_at": None,
            "eta_s": None,
        }
    )


def _published(manifest: Manifest) -> ImportStatus:
    return ImportStatus(
        import_id=manifest.import_id,
        state=manifest.state,
        reason=None,
        products=manifest.products,
        rows=manifest.rows,
        renders=manifest.counts,
        cost_usd=manifest.cost_usd,
        shards=ShardCounts(total=len(manifest.parts), committed=len(manifest.parts)),
        started_at=manifest.started_at,
        finished_at=manifest.published_at,
        eta_s=None,
    )


def _running(imported: Import, control: Control | None, state: State | None) -> ImportStatus:
    progress = state.progress(imported.import_id) if state else None
    micro_usd = progress.micro_usd if progress else 0
    if state and progress:
        # Calls whose renders are not settled yet have cost money, too.
        called = state.spent(imported.import_id) - progress.doubtful_micro_usd
        micro_usd = max(micro_usd, called)
    expected = imported.counts.renders
    counts = progress.counts if progress else RenderCounts(expected=expected, open=expected)
    committed = progress.committed if progress else 0
    elapsed_s = (datetime.now(UTC) - imported.created_at).total_seconds()
    return ImportStatus(
        import_id=imported.import_id,
        state=_state(control, committed=committed, total=len(imported.parts)),
        reason=control.reason if control and control.intent == "pause" else None,
        products=imported.counts.products,
        rows=imported.rows,
        renders=counts,
        cost_usd=Costs(
            estimated=imported.estimate_usd.standard,
            spent=Usd(micro_usd),
            doubtful=Usd(progress.doubtful_micro_usd if progress else 0),
        ),
        shards=ShardCounts(total=len(imported.parts), committed=committed),
        started_at=imported.created_at,
        finished_at=None,
        eta_s=round(elapsed_s / counts.settled * counts.open, 1) if counts.settled else None,
    )


def _state(control: Control | None, *, committed: int, total: int) -> Any:
    if committed == total:
        return "publishing"
    if control and control.intent == "pause":
        return "paused"
    return "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An object that is not what the manifest says."""

    key: str
    problem: str
    expected: str
    found: str


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
        """Whether everything is as the manifest says."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The report as ``verify --json`` prints it."""
        return {"ok": self.holds, **asdict(self)}


def verify(
    store: Store, import_id: str, *, progress: Callable[[int], None] = lambda _objects: None
) -> Verification:
    """Read every object that an import's manifest names and compare it.

    Reads all bytes of all pictures: the price of certainty is one request per object.

    Raises:
        UnknownImport: there is no manifest (yet).
    """
    found = store.read(keys.manifest(import_id))
    if found is None:
        msg = f"import {import_id!r} has no manifest: `skuscene status {import_id}` says why"
        raise UnknownImport(msg)
    manifest = Manifest.from_json(found.content)
    check = _Check(store, progress)
    check.run(manifest)
    return Verification(
        import_id=import_id,
        revision=manifest.revision,
        objects=check.objects,
        bytes=check.bytes,
        problems=tuple(check.problems),
    )


class _Check:
    def __init__(self, store: Store, progress: Callable[[int], None]) -> None:
        self._store = store
        self._progress = progress
        self._seen: set[str] = set()
        self.objects = 0
        self.bytes = 0
        self.problems: list[Problem] = []

    def run(self, manifest: Manifest) -> None:
        lines = 0
        for line in self._lines(manifest):
            lines += 1
            for image in line.images:
                self._object(image.key, image.sha256, image.bytes)
        if manifest.rejected is not None:
            self._object(manifest.rejected.key, manifest.rejected.sha256, manifest.rejected.bytes)
        if lines != manifest.counts.expected:
            self._problem(
                keys.manifest(manifest.import_id), "count", manifest.counts.expected, lines
            )

    def _lines(self, manifest: Manifest) -> Iterator[ResultLine]:
        for part in manifest.parts:
            content = self._object(part.key, part.sha256, part.bytes)
            if content is None:
                continue
            try:
                rows = gzip.decompress(content).splitlines()
                yield from [ResultLine.from_json(row) for row in rows]
            except (OSError, EOFError, ValidationError) as exc:
                self._problem(part.key, "unreadable", "result lines", type(exc).__name__)

    def _object(self, key: str, sha256: str, size_bytes: int) -> bytes | None:
        if key in self._seen:
            return None
        self._seen.add(key)
        self.objects += 1
        self._progress(self.objects)
        found = self._store.read(key)
        if found is None:
            self._problem(key, "missing", sha256, "nothing")
            return None
        self.bytes += len(found.content)
        if len(found.content) != size_bytes:
            self._problem(key, "size", size_bytes, len(found.content))
        elif found.sha256 != sha256:
            self._problem(key, "sha256", sha256, found.sha256)
        else:
            return found.content
        return None

    def _problem(self, key: str, problem: str, expected: object, found: object) -> None:
        self.problems.append(
            Problem(key=key, problem=problem, expected=str(expected), found=str(found))
        )
