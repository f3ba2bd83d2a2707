"""How do a batch's answers come home?

A result file is read line by line, in whatever order it is. Each picture is put as a take at once
and goes the way of any other; each fault is what it would be for a call of its own. A harvest may
die anywhere and is begun anew: a render whose call is no longer open has had its answer. What came
back and was not asked for is reported, and changes nothing.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from catalog import claims
from catalog.claims import GENERATE
from catalog.orders import Step
from worker import jobs, plans
from worker.batch_model import Batch, BatchState
from worker.concluding import conclude_call
from worker.errors import OutcomeUnknown, PromptBlocked, RenderError, Snooze, TryLater
from worker.ordering import changed, claim_of, service_of
from worker.prepare import spec_of
from worker.purchases import book_failure, book_sale, keep_picture
from worker.refusals import has_softer
from worker.spool import Kept

if TYPE_CHECKING:
    from catalog.open_calls import OpenCall
    from catalog.orders import Order, OrderedRender
    from worker.batch_model import BatchResult
    from worker.model import Answer
    from worker.ports import Desk

log = structlog.get_logger(__name__)

_MOST_REPORTS: Final = 100
_NEVER_RAN: Final = frozenset({BatchState.EXPIRED.value, BatchState.CANCELLED.value})


def harvest(desk: Desk, order: Order, batch: Batch) -> Order:
    """Bring a finished batch's answers home; for whoever holds its order's lease.

    Costs a download of all results, and per picture what finishing a call costs.

    Raises:
        TryLater, Limited, LaneStopped: they could not be read to their end; begin anew.
    """
    of_key = {claim_of(desk, order, render).name: render for render in order.renders}
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    reports: list[str] = []
    sent_at = order.placed_at or order.written_at
    for result in service_of(desk).results(batch, sent_at=sent_at):
        render = of_key.get(result.key)
        if render is None:
            reports.append(_stray(result))
        elif result.key in seen:
            reports.append(f"{result.key} is answered twice: the first answer counts")
        else:
            seen.add(result.key)
            counts["pictures" if result.answer else "refused"] += 1
            _take_in(desk, order, render, result)
    missing = [render for key, render in of_key.items() if key not in seen]
    for render in missing:
        _end(desk, order, render, _why_missing(order, batch, counts["pictures"]))
    for render in order.renders:  # also of those that an earlier harvest took in, and died over
        desk.leases.release_order(render.render_id, order.order_id)
    for report in reports[:_MOST_REPORTS]:
        log.warning("order_report", order=order.order_id, report=report)
    done = changed(
        desk,
        order.changed(
            step=Step.DONE,
            pictures=counts["pictures"],
            refused=counts["refused"],
            unanswered=len(missing),
            reports=tuple(reports[:_MOST_REPORTS]),
            done_at=desk.clock(),
        ),
    )
    for place in filter(None, (order.place, batch.results)):
        with contextlib.suppress(RenderError):  # the platform deletes them itself after two days
            service_of(desk).forget(place)
    return done


def _stray(result: BatchResult) -> str:
    if result.key:
        return f"{result.key[:200]!r} is answered, and was not asked for"
    return f"{result.fault}"


def _take_in(desk: Desk, order: Order, render: OrderedRender, result: BatchResult) -> None:
    call = desk.calls.open_call(render.render_id)
    if call is None or call.call != render.call:
        return  # an earlier harvest came so far
    if call.state != "open":
        conclude_call(desk, call)
        _let_go(desk, order, render, paid=call.state == "sold")
    elif result.answer is not None:
        _keep(desk, order, render, call, result.answer)
    else:
        fault = result.fault or TryLater("model.unavailable", "the batch gave no answer")
        _end(desk, order, render, fault)


def _keep(desk: Desk, order: Order, render: OrderedRender, call: OpenCall, answer: Answer) -> None:
    claim = claim_of(desk, order, render)
    _, slot = plans.planned(desk.store, claim)
    run_s = (answer.answered_at - answer.sent_at).total_seconds()
    spec = spec_of(slot, claim.references)
    kept, line = keep_picture(desk, call, slot, spec, answer, run_s=run_s)
    book_sale(desk, call, line, kept)
    # One that waits on a disk has changed the lease, and its spool goes on from here.
    _let_go(desk, order, render, paid=kept is Kept.STORE)


def _let_go(desk: Desk, order: Order, render: OrderedRender, *, paid: bool) -> None:
    desk.leases.release_order(render.render_id, order.order_id)
    if paid:
        desk.queue.enqueue(claims.FINISH, claim_of(desk, order, render))


def _end(desk: Desk, order: Order, render: OrderedRender, why: RenderError) -> None:
    """Book a line without a picture, and do what follows for its render."""
    call = desk.calls.open_call(render.render_id)
    if call is None or call.call != render.call:
        return
    claim = claim_of(desk, order, render)
    _, slot = plans.planned(desk.store, claim)
    if call.state == "open":
        book_failure(desk, call, slot, why, run_s=0.0)
    else:
        conclude_call(desk, call)
    desk.leases.release_order(render.render_id, order.order_id)
    if isinstance(why, PromptBlocked) and has_softer(desk, claim, slot):
        why = Snooze("softer", "the next softer prompt is asked", 0.0)
    jobs.follow(desk, GENERATE, claim, why)


def _why_missing(order: Order, batch: Batch, pictures: int) -> RenderError:
    """What it means that a line has no answer: it may have been bought, or was not."""
    if batch.answered > pictures:
        return OutcomeUnknown(
            "outcome_unknown",
            f"batch {order.batch} counts {batch.answered} pictures, and its results hold "
            f"{pictures}",
        )
    if order.told in _NEVER_RAN:
        return Snooze("batch.unanswered", f"batch {order.batch} ended {order.told}", 0.0)
    return TryLater("model.unavailable", f"batch {order.batch} ended {order.told} without it")
