"""Was Redis emptied, and what follows from it?

Redis carries an epoch. Whoever finds it missing sets a new one; where an unfinished import stands
in the store, calls of the lost Redis may still be open, and nothing is bought before they must
have ended.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from catalog.store.port import Store


class EpochState(Protocol):
    """What is needed of :class:`catalog.state.State`."""

    def has_epoch(self) -> bool: ...
    def now(self) -> float: ...
    def begin_epoch(self, epoch: str, *, buy_not_before: float) -> None: ...


def ensure_epoch(state: EpochState, store: Store, *, model_deadline_s: float) -> None:
    """Give Redis an epoch if it has none; costs one listing of ``imports/`` then, else nothing."""
    if state.has_epoch():
        return
    now = state.now()
    buy_not_before = now + model_deadline_s if unpublished(store) else now
    state.begin_epoch(uuid.uuid4().hex, buy_not_before=buy_not_before)


def unpublished(store: Store) -> tuple[str, ...]:
    """Imports that are planned and have no manifest, oldest id first."""
    planned: set[str] = set()
    published: set[str] = set()
    for entry in store.list("imports/"):
        _, import_id, *rest = entry.key.split("/")
        if rest == ["import.json"]:
            planned.add(import_id)
        if rest == ["manifest.json"]:
            published.add(import_id)
    return tuple(sorted(planned - published))
