"""What happens to a claim: done, again later, parked, or the render's end?

The one place that decides what follows from an error, and the one place that logs it. A claim is
never dropped: it is worked, enqueued again, settled with a reason, or parked as it came.
"""

from __future__ import annotations

import traceback
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import structlog

from catalog.claims import GENERATE, Claim, ProductClaim, RenderClaim
from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.epoch import Recovery
from catalog.reading import Unreadable, read_claim
from catalog.results import Status
from catalog.store.port import StoreRefuses, StoreUnavailable
from catalog.work import Begun
from worker import plans
from worker.attempts import why_used_up
from worker.errors import (
    LaneStopped,
    NoPicture,
    OutcomeUnknown,
    PromptBlocked,
    RenderError,
    Snooze,
    TryLater,
)
from worker.parking import park
from worker.settling import line_of, paid_for, settle, settle_uncalled

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ports import Desk, Limits

log = structlog.get_logger(__name__)

_MOST_DOUBLINGS = 60
DEATHS_BEFORE_ALONE = 3
"""So many processes may die at work on a render; after that it endangers no other one."""


class Outage(Exception):
    """Redis or the store is away: the message must stay where it is."""


def run(task: str, payload: object, work: Callable[[Desk, Any], None], desk: Desk) -> None:
    """Work one claim to its end, or see that it comes back.

    Raises:
        Outage: nothing can be done with it now; the broker must keep it.
    """
    try:
        claim = _read(task, payload, desk)
        if claim is None:
            return
        _worked_or_parked(task, claim, work, desk)
    except (StateUnavailable, QueueUnavailable, StoreUnavailable, StoreRefuses) as exc:
        log.warning("service_away", task=task, error=str(exc))
        raise Outage(str(exc)) from exc


def _read(task: str, payload: object, desk: Desk) -> Claim | None:
    try:
        claim = read_claim(task, payload)
    except Unreadable as exc:
        _park(desk, task, payload, str(exc))
        return None
    if claim.store != desk.store_id:
        _park(desk, task, payload, f"it speaks of store {claim.store}; this is {desk.store_id}")
        return None
    return claim


def _park(desk: Desk, task: str, payload: object, why: str) -> None:
    park(desk.store, task=task, payload=payload, why=why, at=desk.clock(), worker=desk.worker)


def _worked_or_parked(
    task: str, claim: Claim, work: Callable[[Desk, Any], None], desk: Desk
) -> None:
    with structlog.contextvars.bound_contextvars(
        task=task, import_id=claim.import_id, part=getattr(claim, "part", None)
    ):
        try:
            _worked(task, claim, work, desk)
        except (Outage, StateUnavailable, QueueUnavailable, StoreUnavailable, StoreRefuses):
            raise
        except Exception as exc:  # its end could not be written either: the plan has no such place
            log.exception("claim_broke")
            _park(desk, task, claim.model_dump(mode="json"), _trace(exc))


def _worked(task: str, claim: Claim, work: Callable[[Desk, Any], None], desk: Desk) -> None:
    try:
        with _held(task, claim, desk) as begun:
            if not _may_work(task, begun, desk):
                return
            if begun.deaths >= DEATHS_BEFORE_ALONE and desk.alone is not None:
                _alone(task, claim, desk)
            else:
                work(desk, claim)
    except RenderError as exc:
        follow(desk, task, claim, exc)
    except (Outage, StateUnavailable, QueueUnavailable, StoreUnavailable, StoreRefuses):
        raise
    except Exception as exc:
        log.exception("render_broke")
        _end(claim, Status.FAILED, "internal", _trace(exc), desk)


def follow(desk: Desk, task: str, claim: Claim, exc: RenderError) -> None:
    """Do what follows for a claim from its error: put it off, try again, end it, or pause."""
    if isinstance(exc, Snooze):
        put_off(desk, task, claim, countdown_s=_nap_s(exc, desk))
    elif isinstance(exc, TryLater | NoPicture | OutcomeUnknown):
        _again_or_end(task, claim, exc, desk)
    elif isinstance(exc, LaneStopped):
        plans.pause(desk, claim.import_id, reason=exc.reason, message=exc.message)
        log.error("import_paused", reason=exc.reason, message=exc.message)
    elif isinstance(exc, PromptBlocked):
        _end(claim, Status.BLOCKED, exc.reason, f"{exc.finish_reason}: {exc.message}", desk)
    else:
        _end(claim, Status.FAILED, exc.reason, exc.message, desk)


def _may_work(task: str, begun: Begun, desk: Desk) -> bool:
    """Whether there is anything to do; raises if it can't be done now."""
    if begun.recovery in {Recovery.NEEDED, Recovery.BEGUN}:
        msg = "Redis was emptied or restarted: a control worker is rebuilding what it knew"
        raise Outage(msg)
    # Short naps: a claim that waits long waits in a worker's memory, and dies with it.
    nap_s = desk.limits.lease_s / 6
    if begun.is_busy:
        raise Snooze("held", "another worker is at it, or has just died at it", nap_s)
    if begun.is_open and task == GENERATE and begun.recovery is not Recovery.DONE:
        # Neither is anything ended: a call of before may still be open, and be paid for.
        raise Snooze("epoch", "Redis was emptied: calls of before may still be open", nap_s)
    return begun.is_open


def _alone(task: str, claim: Claim, desk: Desk) -> None:
    """Let nobody else suffer from what has killed so many; only a death while alone ends it."""
    log.warning("works_alone", task=task)
    desk.holds.leave_entrance()
    if desk.alone is None or desk.alone(task, claim):
        return
    msg = f"{task} ended its process every time, at last while nothing else ran in it"
    _end(claim, Status.FAILED, "worker_lost", msg, desk)


def _trace(exc: Exception) -> str:
    where = traceback.extract_tb(exc.__traceback__)[-1]
    return f"{type(exc).__name__}: {exc} ({where.name}, line {where.lineno})"[:1_000]


def _again_or_end(task: str, claim: Claim, exc: RenderError, desk: Desk) -> None:
    attempt = getattr(claim, "attempt", None)
    if attempt is None:
        # A control claim: the reconciler asks for it again. Sent from here as well, each of its
        # rounds would add one more message that never ends.
        log.warning("left_to_reconciler", reason=exc.reason, message=exc.message)
        return
    if _is_last(task, claim, attempt, desk):
        _end(claim, Status.FAILED, exc.reason, exc.message, desk)
        return
    delay_s = backoff_s(attempt, getattr(exc, "retry_after_s", None), desk.limits, desk.chance())
    log.warning("will_try_again", reason=exc.reason, attempt=attempt, countdown_s=delay_s)
    put_off(desk, task, claim.changed(attempt=attempt + 1), countdown_s=delay_s)


def _is_last(task: str, claim: Claim, attempt: int, desk: Desk) -> bool:
    """Calls to a model are counted where no message can lose count; other tries cost nothing."""
    if task != GENERATE or not isinstance(claim, RenderClaim):
        return attempt >= desk.limits.max_attempts
    tries = desk.calls.tries(claim.import_id, claim.part, claim.slot)
    return why_used_up(tries, desk.limits) is not None


def put_off(desk: Desk, task: str, claim: Claim, *, countdown_s: float) -> None:
    """Enqueue a claim for later; until then its slots count as taken care of."""
    part, slots = _slots(claim, desk)
    if slots:
        within_s = countdown_s + desk.limits.lease_s
        desk.work.expect(claim.import_id, part, slots, within_s=within_s)
    desk.queue.enqueue(task, claim, countdown_s=countdown_s)


def _held(task: str, claim: Claim, desk: Desk) -> AbstractContextManager[Begun]:
    part, slots = _slots(claim, desk)
    if not slots:
        return nullcontext(Begun(recovery=desk.state.recovery()))
    return desk.holds.held(claim.import_id, part, slots, task.rpartition(".")[2])


def _slots(claim: Claim, desk: Desk) -> tuple[int, frozenset[int]]:
    """The part and the slots that a claim speaks of; a control claim speaks of none."""
    if isinstance(claim, RenderClaim):
        return claim.part, frozenset({claim.slot})
    if isinstance(claim, ProductClaim):
        product = plans.read_shard(desk.store, claim.import_id, claim.part)[claim.product]
        return claim.part, frozenset(slot.index for slot in product.slots)
    return 0, frozenset()


def _nap_s(exc: Snooze, desk: Desk) -> float:
    """As long as we were told, and up to a quarter longer, so that a crowd does not come back."""
    return min(exc.retry_after_s * (1 + desk.chance() / 4), desk.limits.retry_backoff_max_s)


def backoff_s(attempt: int, retry_after_s: float | None, limits: Limits, chance: float) -> float:
    """Seconds until the next attempt: what we were told, else doubling with full jitter.

    Never longer than ``retry_backoff_max_s``: a longer countdown would outlive the visibility
    time-out and be delivered twice.
    """
    if retry_after_s is not None:
        return min(max(retry_after_s, 0.0), limits.retry_backoff_max_s)
    doublings = min(attempt - 1, _MOST_DOUBLINGS)
    ceiling = min(limits.retry_backoff_s * 2.0**doublings, limits.retry_backoff_max_s)
    return ceiling * chance


def _end(claim: Claim, status: Status, reason: str, message: str, desk: Desk) -> None:
    """Settle what the claim speaks of: one render, or all open renders of a product."""
    log.warning("render_ended", status=status.value, reason=reason, message=message)
    if not isinstance(claim, ProductClaim):
        return
    product = plans.read_shard(desk.store, claim.import_id, claim.part)[claim.product]
    still = set(desk.state.open_slots(claim.import_id, claim.part))
    for slot in product.slots:
        if slot.index not in still:
            continue
        if isinstance(claim, RenderClaim) and slot.index != claim.slot:
            continue
        facts: dict[str, Any] = {"reason": reason, "message": message, "attempts": claim.attempt}
        if isinstance(claim, RenderClaim):
            # A message that was fed again begins to count anew, and one of before a retry goes on.
            tries = desk.calls.tries(claim.import_id, claim.part, claim.slot)
            facts["attempts"] = (tries.attempts + tries.doubtful) or 1
        line = line_of(claim.import_id, product, slot, status).changed(**facts)
        if isinstance(claim, RenderClaim):
            line = line.changed(render_id=claim.render_id, cost_usd=paid_for(desk, claim))
            settle(desk, line, part=claim.part, slot=slot.index)
        else:
            settle_uncalled(desk, line, part=claim.part, slot=slot.index)
