"""What does a revision of an import keep of the one before, and what does it run again?

Revision 1 runs every row. A later one was asked for by a retry: shards without a wanted row keep
their results part as it is; in the others the wanted rows are open again and all others keep their
line. No file that an earlier manifest names is ever written anew.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from catalog import keys
from catalog.imports import Retry
from catalog.money import ZERO
from catalog.results import Costs, Manifest, ManifestPart, ResultLine
from worker.errors import Refused, TryLater

if TYPE_CHECKING:
    from catalog.claims import Claim
    from catalog.renders import Refusal
    from catalog.store.port import Store
    from worker.ports import Desk


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A revision of an import; the first one has neither a retry nor a manifest before it."""

    number: int = 1
    retry: Retry | None = None
    before: dict[int, ManifestPart] = field(default_factory=dict)
    cost: Costs = field(default_factory=lambda: Costs(spent=ZERO, doubtful=ZERO))
    """What all revisions before it cost."""

    def keeps(self, part: int) -> ManifestPart | None:
        """The results part that a shard keeps as it is; ``None`` if it has a row to run."""
        if self.retry is None or part in self.retry.parts:
            return None
        return self.before[part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A shard's lines of the revision before, by slot: those that stay, and those run again."""

    kept: dict[int, ResultLine] = field(default_factory=dict)
    again: dict[int, ResultLine] = field(default_factory=dict)

    @property
    def paid_micro(self) -> dict[int, int]:
        """What the slots that are run again have cost so far, where that is anything."""
        costs = {at: line.cost_usd.micro for at, line in self.again.items()}
        return {at: micro for at, micro in costs.items() if micro}


def current(desk: Desk, import_id: str) -> Revision:
    """The revision that Redis says is being made; the first one if it knows of none.

    Raises:
        Refused: the store has no such retry, or no manifest before it.
    """
    return read_revision(desk.store, import_id, desk.state.revision(import_id) or 1)


@lru_cache(maxsize=8)
def read_revision(store: Store, import_id: str, number: int) -> Revision:
    """A revision from what it was asked with; that never changes, so it is kept in memory.

    Raises:
        Refused: the store has no such retry, or no manifest before it.
    """
    if number == 1:
        return Revision()
    retry = store.read(keys.retry(import_id, number))
    manifest = store.read(keys.manifest_revision(import_id, number - 1))
    if retry is None or manifest is None:
        raise Refused("internal", f"revision {number} of {import_id} is not in {store.url}")
    before = Manifest.from_json(manifest.content)
    return Revision(
        number=number,
        retry=Retry.from_json(retry.content),
        before={part.part: part for part in before.parts},
        cost=before.cost_usd,
    )


def reopened(store: Store, revision: Revision, part: int) -> Reopened:
    """A shard's lines of the revision before; nothing for the first revision.

    Raises:
        TryLater: the results part is not there or differs.
    """
    if revision.retry is None:
        return Reopened()
    kept: dict[int, ResultLine] = {}
    again: dict[int, ResultLine] = {}
    for at, line in enumerate(_lines(store, revision.before[part])):
        (again if revision.retry.wants(line) else kept)[at] = line
    return Reopened(kept=kept, again=again)


def paid_before(desk: Desk, revision: Revision, part: int, slot: int) -> int:
    """Micro-USD that a slot has cost in earlier revisions, as its line says.

    Raises:
        TryLater: the results part is not there or differs.
    """
    if revision.keeps(part) is not None:
        return 0
    return reopened(desk.store, revision, part).paid_micro.get(slot, 0)


def asked_again(desk: Desk, claim: Claim, refusal: Refusal) -> bool:
    """Whether a refusal is older than a person's word to try blocked renders once more.

    The answer to that is remembered as any other.
    """
    return was_asked_again(current(desk, claim.import_id), claim.import_id, refusal)


def was_asked_again(revision: Revision, import_id: str, refusal: Refusal) -> bool:
    """The same of a given revision of an import."""
    if revision.retry is None or "blocked" not in revision.retry.statuses:
        return False
    if refusal.import_id == import_id:  # no clock is asked where none is needed
        return refusal.revision < revision.number
    # Another import's: one that came after that person's word is the answer to it.
    return refusal.refused_at < revision.retry.at


def _lines(store: Store, part: ManifestPart) -> list[ResultLine]:
    return _read_lines(store, part.key, part.sha256)


@lru_cache(maxsize=4)
def _read_lines(store: Store, key: str, sha256: str) -> list[ResultLine]:
    found = store.read(key)
    if found is None or found.sha256 != sha256:
        raise TryLater("internal", f"{key} is missing or differs from its hash")
    return [ResultLine.from_json(line) for line in gzip.decompress(found.content).splitlines()]
