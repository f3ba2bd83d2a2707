"""How is one render's picture bought, once?

1. Look: a record, a remembered refusal or a master end the matter without a call.
2. Ask what people want: a cancelled import's render ends, a paused one's stays open. One that is
   to be bought in a batch waits for its shard's (:mod:`worker.ordering`).
3. Take the render's lease; somebody else's lease means: not now.
4. Look again: the last holder may have bought it between our look and our lease.
5. Buy (:mod:`worker.buying`); while an answer waits in the spool this process buys nothing. After a
   refusal that softer words may cure the claim comes back for those (:mod:`worker.refusals`).
6. Hand on to finish.

Dying before 5 costs nothing; during 5 at most this one call, booked as doubtful by whoever comes
next; after 5 nothing, because step 1 finds the master.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from catalog import claims, keys
from catalog.renders import RenderRecord
from catalog.results import Status
from worker import plans
from worker.buying import buy
from worker.concluding import conclude
from worker.errors import PromptBlocked, Snooze
from worker.gathering import gather, is_for_batch, is_ordered
from worker.refusals import has_softer, next_wording, remembered
from worker.settling import delivered, line_of, settle
from worker.spool import Kept

if TYPE_CHECKING:
    from catalog.claims import RenderClaim
    from catalog.imports import PlannedProduct, PlannedSlot
    from worker.ports import Desk

log = structlog.get_logger(__name__)


def generate(desk: Desk, claim: RenderClaim) -> None:
    """Buy a render's picture unless it is there, and hand it on.

    Costs at most one call to the model.

    Raises:
        Snooze: somebody else is buying it, or buying is not allowed yet.
        TryLater, NoPicture, OutcomeUnknown: another attempt may succeed.
        Refused: no attempt will help.
        LaneStopped: no render can be bought until somebody mends a setting.
    """
    if found(desk, claim) or _unwanted(desk, claim):
        return
    if is_for_batch(desk, claim):
        gather(desk, claim)
        return
    if desk.spool.blocked():
        raise Snooze(
            "spool.blocked", "the store does not take what was bought", desk.limits.lease_s / 6
        )
    with desk.leases.held(claim.render_id) as lease:
        if lease is None:
            if is_ordered(desk, claim):
                return
            raise Snooze("leased", "another worker is buying this render", desk.limits.lease_s / 6)
        conclude(desk, claim.render_id)
        if found(desk, claim):
            return
        kept = _bought(desk, claim, lease)
    if kept is Kept.SPOOL:
        raise Snooze("spooled", "its picture waits on disk for the store", desk.limits.lease_s / 6)
    if kept is Kept.STORE:
        _to_finish(desk, claim)


def _bought(desk: Desk, claim: RenderClaim, lease: str) -> Kept | None:
    try:
        return buy(desk, claim, lease)
    except PromptBlocked as exc:
        _, slot = plans.planned(desk.store, claim)
        if not has_softer(desk, claim, slot):
            raise
        log.warning("prompt_refused", reason=exc.finish_reason, message=exc.message)
        # By a message of its own: it passes the gate as any call, and stops where people say so.
        raise Snooze("softer", "the next softer prompt is asked", 0.0) from exc


def _to_finish(desk: Desk, claim: RenderClaim) -> None:
    desk.queue.enqueue(claims.FINISH, claim.changed(attempt=1))  # its attempts are its own


def found(desk: Desk, claim: RenderClaim) -> bool:
    """Look whether nothing need be bought, and see to what follows; costs three store requests."""
    product, slot = plans.planned(desk.store, claim)
    recorded = desk.store.read(keys.record(claim.render_id))
    if recorded is not None:
        record = RenderRecord.from_json(recorded.content)
        if _has_all(desk, record, slot):
            line = delivered(desk, claim, product, slot, record)
            settle(desk, line, part=claim.part, slot=claim.slot)
        else:
            _to_finish(desk, claim)
        return True
    if any(True for _ in desk.store.list(keys.takes(claim.render_id))):
        _to_finish(desk, claim)
        return True
    return _refused_before(desk, claim, product, slot)


def _has_all(desk: Desk, record: RenderRecord, slot: PlannedSlot) -> bool:
    there = {image.name for image in record.images}
    return there.issuperset(desk.imaging.file_names(slot.renditions))


def _refused_before(
    desk: Desk, claim: RenderClaim, product: PlannedProduct, slot: PlannedSlot
) -> bool:
    refusal = remembered(desk, claim)
    if refusal is None or next_wording(slot, refusal) is not None:
        return False
    line = line_of(claim.import_id, product, slot, Status.BLOCKED).changed(
        reason=refusal.reason, message=refusal.message, render_id=claim.render_id
    )
    settle(desk, line, part=claim.part, slot=claim.slot)
    return True


def _unwanted(desk: Desk, claim: RenderClaim) -> bool:
    wanted = plans.intent(desk, claim.import_id)
    if wanted == "run":
        return False
    if wanted == "cancel":
        product, slot = plans.planned(desk.store, claim)
        line = line_of(claim.import_id, product, slot, Status.CANCELLED).changed(
            reason="import.cancelled", render_id=claim.render_id
        )
        settle(desk, line, part=claim.part, slot=claim.slot, unless_bought=True)
    return True
