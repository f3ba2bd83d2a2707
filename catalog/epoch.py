"""Was Redis emptied, and what follows from it?

Redis carries an epoch. Whoever finds it missing sets a new one; where an unfinished import stands
in the store, calls of the lost Redis may still be open, and nothing is bought before they must
have ended.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.state import State
    from catalog.store.port import Store


def ensure_epoch(state: State, store: Store, *, model_deadline_s: float) -> None:
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
