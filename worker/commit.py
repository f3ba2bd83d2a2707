"""How does a settled shard become a results part?

The part is created once, lines in slot order, the same bytes from every committer; what is in the
store is read back and counted from there. Then one script marks the shard committed.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from catalog import claims, keys
from catalog.claims import ImportClaim
from catalog.money import Usd
from catalog.results import ManifestPart, RenderCounts, ResultLine
from catalog.store.port import sha256_hex
from worker import plans
from worker.errors import TryLater

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.claims import ShardClaim
    from catalog.store.port import Store
    from worker.ports import Desk

GZIP = "application/gzip"


def commit(desk: Desk, claim: ShardClaim) -> None:
    """Write a shard's results part and mark the shard committed.

    Does nothing while a render of the shard is open; may be repeated at any time.

    Raises:
        TryLater: outcomes are missing, or the part is not readable after being written.
    """
    # Asked first: whoever is overtaken here by the next revision writes a part that is there.
    revision = desk.state.revision(claim.import_id) or 1
    left = desk.state.left(claim.import_id, claim.part)
    if left > 0:
        return
    if left == 0:
        outcomes = desk.state.outcomes(claim.import_id, claim.part)
        lines = [outcomes[at] for at in sorted(outcomes)]
        _check_complete(desk, claim, lines)
        _write(desk.store, claim, lines, revision)
        found = read_part(desk.store, claim.import_id, claim.part, revision)
        if found is None:
            raise TryLater("internal", f"part {claim.part} of {claim.import_id} is not readable")
        desk.state.commit(claim.import_id, found, revision=revision)
    _go_on(desk, claim.import_id)


def read_part(store: Store, import_id: str, part: int, revision: int) -> ManifestPart | None:
    """A results part as the manifest lists it, counted from its stored bytes, if it is there."""
    key = keys.results_part(import_id, part, revision)
    found = store.read(key)
    if found is None:
        return None
    lines = [ResultLine.from_json(line) for line in gzip.decompress(found.content).splitlines()]
    return ManifestPart(
        part=part,
        key=key,
        rows=len(lines),
        bytes=len(found.content),
        sha256=sha256_hex(found.content),
        counts=count(lines),
        cost_usd=Usd(sum(line.cost_usd.micro for line in lines)),
    )


def count(lines: Iterable[ResultLine]) -> RenderCounts:
    """How many lines have which status."""
    tally: dict[str, int] = {}
    for line in lines:
        tally[line.status.value] = tally.get(line.status.value, 0) + 1
    return RenderCounts(expected=sum(tally.values()), **tally)


def _check_complete(desk: Desk, claim: ShardClaim, lines: Sequence[ResultLine]) -> None:
    """Redis may be emptied between two looks at it; a part is written once and must be whole."""
    parts = plans.read_import(desk.store, claim.import_id).parts
    planned = next(part.renders for part in parts if part.part == claim.part)
    if len(lines) != planned:
        msg = f"part {claim.part} of {claim.import_id} has {len(lines)} of {planned} outcomes"
        raise TryLater("internal", msg)


def _write(store: Store, claim: ShardClaim, lines: Iterable[ResultLine], revision: int) -> None:
    body = b"".join(line.to_json() + b"\n" for line in lines)
    store.create(
        keys.results_part(claim.import_id, claim.part, revision),
        # No time of writing inside: two committers must write the same bytes.
        gzip.compress(body, mtime=0),
        media_type=GZIP,
    )


def _go_on(desk: Desk, import_id: str) -> None:
    imported = plans.read_import(desk.store, import_id)
    claim = ImportClaim(store=desk.store_id, import_id=import_id, urgent=imported.urgent)
    done = len(desk.state.committed(import_id)) == len(imported.parts)
    desk.queue.enqueue(claims.PUBLISH if done else claims.FEED, claim)
