"""Was Redis emptied or restarted, and what follows from it?

Redis carries an epoch, with the run of Redis that it began in. Whoever finds none, or one of an
earlier run, begins a new one. Calls of before may still be open: where Redis knows nothing, none
is bought until they must have ended; where it read a file, until the living have said what they
hold. What it had forgotten is rebuilt from the store before anything is bought.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol

from catalog.revisions import unpublished
from catalog.state import Epoch

if TYPE_CHECKING:
    from catalog.store.port import Store


class EpochState(Protocol):
    """What is needed of :class:`catalog.state.State`."""

    def epoch(self) -> Epoch: ...
    def now(self) -> float: ...
    def begin_epoch(self, epoch: str, *, buy_not_before: float) -> None: ...


def ensure_epoch(
    state: EpochState, store: Store, *, model_deadline_s: float, lease_s: float
) -> None:
    """Begin an epoch if Redis needs one; costs one listing of ``imports/`` then, else nothing."""
    standing = state.epoch()
    if standing is Epoch.CURRENT:
        return
    wait_s = 0.0
    if standing is Epoch.OLD:
        wait_s = lease_s / 2  # whoever lives renews his lease within a third of it
    elif unpublished(store):
        wait_s = model_deadline_s
    state.begin_epoch(uuid.uuid4().hex, buy_not_before=state.now() + wait_s)
