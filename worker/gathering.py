"""Which renders are not bought one by one, and where do they wait?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from catalog.leases import ORDERED
from worker import plans

if TYPE_CHECKING:
    from catalog.claims import RenderClaim
    from worker.ports import Desk

GATHERED_S: Final = 300.0
"""Whoever looks after batches speaks for what is gathered well within this time."""
ORDERED_S: Final = 900.0
"""So long nobody asks again after a render that is part of another's open batch."""


def is_for_batch(desk: Desk, claim: RenderClaim) -> bool:
    """Whether a render is to be ordered with others instead of bought now."""
    return plans.read_import(desk.store, claim.import_id).lane == "batch"


def gather(desk: Desk, claim: RenderClaim) -> None:
    """Let a render wait until its shard's are ordered; its message ends with that."""
    if desk.gathering.gather(claim):
        desk.work.expect(claim.import_id, claim.part, {claim.slot}, within_s=GATHERED_S)


def is_ordered(desk: Desk, claim: RenderClaim) -> bool:
    """Whether an open batch has a render; then its slot is looked at again later."""
    holder = desk.calls.lease_holder(claim.render_id)
    if holder is None or not holder.startswith(ORDERED):
        return False
    desk.work.expect(claim.import_id, claim.part, {claim.slot}, within_s=ORDERED_S)
    return True
