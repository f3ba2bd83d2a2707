"""How are rows of a published import run again?

1. Find the rows in the newest manifest. Without one there is nothing to do, and nothing is written.
2. Write which they are, once: from here on the next revision is being made, and no other can be.
3. Say that it shall run, whatever was said to the revision before.
4. Make it known to Redis and ask for its feeder.

Dying after 2 leaves a revision that the same command takes up, or `skuscene recover`.
"""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from pydantic import ValidationError

from catalog import keys
from catalog.imports import Control, Import, Retry
from catalog.results import ResultLine
from catalog.revisions import ManifestUnreadable, newest_manifest, open_revision
from catalog.store.port import Conflict
from producers.control import JSON, ControlRefused
from producers.importing import hand_over, whoami
from producers.reporting import UnknownImport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.results import Manifest
    from catalog.store.port import Store
    from producers.services import Services

Again = Literal["failed", "blocked", "cancelled"]
AGAIN: Final[tuple[Again, ...]] = ("failed", "blocked", "cancelled")
"""Rows of these statuses have no picture, and may be run again."""

_TRIES: Final = 10


class RetryRefused(ControlRefused):
    """Nothing is run again; the message says why, and nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows are to be run again: all that fit every field."""

    statuses: tuple[Again, ...] = ("failed",)
    reason: str | None = None
    skus: tuple[str, ...] = ()


def retry(services: Services, import_id: str, selection: Selection) -> Retry:
    """Run rows of a published import again, as its next revision; costs no model call by itself.

    Reads every results part of the newest manifest.

    Raises:
        UnknownImport: there is no such import.
        RetryRefused: it still runs, no row fits, or its manifest is damaged.
    """
    store = services.store
    imported = _imported(store, import_id)
    _check_idle(services, imported)
    manifest = _newest(store, import_id)
    parts, renders = _find(store, manifest, _drafted(manifest, selection))
    wanted = _drafted(manifest, selection, parts=parts, renders=renders)
    key = keys.retry(import_id, wanted.revision)
    if not store.create(key, wanted.to_json(indent=2), media_type=JSON).won:
        raise _running(store, import_id, wanted.revision)
    _let_run(store, imported, wanted)
    hand_over(imported, services)
    return wanted


def _imported(store: Store, import_id: str) -> Import:
    found = store.read(keys.import_(import_id))
    if found is not None:
        return Import.from_json(found.content)
    if store.has(keys.control(import_id)):
        msg = f"import {import_id} is being planned: retry what failed once it is published"
        raise RetryRefused(msg)
    msg = f"there is no import {import_id!r} in this store: `skuscene status` lists them"
    raise UnknownImport(msg)


def _check_idle(services: Services, imported: Import) -> None:
    revision = open_revision(services.store, imported.import_id)
    if revision is None:
        return
    if revision > 1:
        hand_over(imported, services)  # whoever asked for it may have died before he did this
    raise _running(services.store, imported.import_id, revision)


def _running(store: Store, import_id: str, revision: int) -> RetryRefused:
    found = store.read(keys.retry(import_id, revision))
    asked = Retry.from_json(found.content) if found else None
    since = f", asked for by {asked.by} at {asked.at:%Y-%m-%d %H:%M:%S} UTC," if asked else ""
    return RetryRefused(
        f"revision {revision} of import {import_id}{since} is running: retry once it is published; "
        f"`skuscene status {import_id}` shows how it fares"
    )


def _newest(store: Store, import_id: str) -> Manifest:
    try:
        found = newest_manifest(store, import_id)
    except ManifestUnreadable as exc:
        raise RetryRefused(str(exc)) from exc
    if found is None or found[1].key == keys.manifest(import_id):
        raise _damaged(import_id, "the manifest's own revision")
    return found[0]


def _damaged(import_id: str, what: str) -> RetryRefused:
    return RetryRefused(
        f"{what} is missing or damaged: `skuscene verify {import_id}` says what can be done"
    )


def _drafted(
    manifest: Manifest, selection: Selection, *, parts: tuple[int, ...] = (0,), renders: int = 1
) -> Retry:
    return Retry(
        import_id=manifest.import_id,
        revision=manifest.revision + 1,
        statuses=selection.statuses,
        reason=selection.reason,
        skus=selection.skus,
        parts=parts,
        renders=renders,
        by=whoami(),
        at=datetime.now(UTC),
    )


def _find(store: Store, manifest: Manifest, wanted: Retry) -> tuple[tuple[int, ...], int]:
    """The shards that hold wanted rows, and how many rows that are."""
    found: dict[int, int] = {}
    others: Counter[str] = Counter()
    for part, line in _lines(store, manifest):
        if wanted.wants(line):
            found[part] = found.get(part, 0) + 1
        elif line.status.value in AGAIN:
            others[line.status.value] += 1
    if not found:
        raise RetryRefused(_nothing(manifest, wanted, others))
    return tuple(sorted(found)), sum(found.values())


def _nothing(manifest: Manifest, wanted: Retry, others: Counter[str]) -> str:
    asked = f"no row that is {' or '.join(wanted.statuses)}"
    if wanted.reason:
        asked += f" for {wanted.reason}"
    if wanted.skus:
        asked += f" and belongs to {' or '.join(wanted.skus)}"
    without = ", ".join(f"{count} {status}" for status, count in sorted(others.items()))
    hint = f" (without a picture: {without}; see --status)" if without else ""
    return f"import {manifest.import_id} has {asked}{hint}: nothing is run again"


def _lines(store: Store, manifest: Manifest) -> Iterator[tuple[int, ResultLine]]:
    for part in manifest.parts:
        found = store.read(part.key)
        if found is None or found.sha256 != part.sha256:
            raise _damaged(manifest.import_id, part.key)
        for row in gzip.decompress(found.content).splitlines():
            yield part.part, ResultLine.from_json(row)


def _let_run(store: Store, imported: Import, wanted: Retry) -> None:
    """Whoever dies before this leaves an old word that no longer counts: see Control.revision."""
    key = keys.control(imported.import_id)
    for _ in range(_TRIES):
        found = store.read(key)
        control = _control(found.content if found else b"", imported, wanted)
        if control.revision >= wanted.revision:
            return  # somebody has spoken to this revision already
        told = control.changed(
            intent="run",
            reason=None,
            message=None,
            revision=wanted.revision,
            by=wanted.by,
            at=wanted.at,
        )
        etag = found.etag if found else None
        try:
            store.replace(key, told.to_json(indent=2), media_type=JSON, etag=etag)
        except Conflict:
            continue
        return


def _control(content: bytes, imported: Import, wanted: Retry) -> Control:
    try:
        return Control.from_json(content)
    except ValidationError:  # missing or damaged: what was planned is known
        return Control(
            import_id=imported.import_id,
            budget_usd=imported.budget_usd,
            by=wanted.by,
            at=wanted.at,
        )
