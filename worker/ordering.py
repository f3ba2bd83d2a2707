"""How do renders become a batch, once, whatever dies meanwhile?

Whoever holds an order's lease takes it further, step by step, and writes each step down
(:class:`catalog.orders.Step`):

1. Write the order: which renders, under which calls. Nothing has left.
2. Admit: each render is held for the order and passes the gate, which sets its money aside. Those
   that may not be bought now are struck; they stay gathered.
3. Upload the lines. May be repeated; buys nothing.
4. Ask for the batch, having written down that we do. Where somebody asked before and died, or was
   given no answer, the platform's batches are searched for the order's name first, and only if
   there is none for long enough it is asked for again.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from catalog.claims import GENERATE, RenderClaim
from catalog.leases import ORDERED
from catalog.open_calls import Gate
from catalog.orders import Order, OrderedRender, Step, change_order, orders_of, write_order
from worker import jobs, plans
from worker.batch_model import BatchLine
from worker.concluding import conclude
from worker.errors import (
    LaneStopped,
    OutcomeUnknown,
    ReferenceUnusable,
    Refused,
    RenderError,
    Snooze,
    TryLater,
)
from worker.gate import may_leave
from worker.gathering import ORDERED_S, is_ordered
from worker.generate import found
from worker.prepare import spec_of
from worker.purchases import attempts_of, book_failure, request_of, written_call
from worker.refusals import wording_to_ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalog.imports import Import
    from catalog.open_calls import OpenCall
    from worker.batch_model import Batch, BatchModel
    from worker.ports import Desk

log = structlog.get_logger(__name__)

_ALL_WAIT: Final = frozenset({f"gate.{Gate.WAIT}", f"gate.{Gate.RECOVERING}"})
"""Not this render must wait, but every call."""
SETTLE: Final = timedelta(minutes=10)
"""So long a batch that was asked for may be missing from the platform's list."""


def write_orders(desk: Desk, imported: Import, part: int, waiting: Sequence[RenderClaim]) -> None:
    """Write down which gathered renders are ordered together; may be repeated.

    Each order has one model and at most ``batch_requests`` renders.
    """
    known = list(orders_of(desk.store, imported.import_id, part))
    ordered = {
        render.slot for order in known if order.step is not Step.DONE for render in order.renders
    }
    sequence = max((order.sequence for order in known), default=0)
    revision = desk.state.revision(imported.import_id) or 1
    free = [claim for claim in waiting if claim.slot not in ordered and _is_free(desk, claim)]
    for lot in _lots(desk, free):
        sequence += 1
        slots = {claim.slot for claim, _ in lot}
        before = [order.attempt for order in known if slots & _slots(order)]
        order = Order(
            import_id=imported.import_id,
            revision=revision,
            part=part,
            sequence=sequence,
            attempt=max(before, default=0) + 1,
            model=lot[0][1],
            platform=desk.platform,
            worker=desk.worker,
            renders=tuple(_ordered(desk, claim) for claim, _ in lot),
            written_at=desk.clock(),
        )
        if write_order(desk.store, order):
            log.info("order_written", order=order.order_id, renders=len(order.renders))


def go_on(desk: Desk, order: Order) -> Order:
    """Take an order as far as it goes now; for whoever holds its lease.

    Raises:
        TryLater, Limited, LaneStopped, Refused: the platform said so.
        StoreError, StateUnavailable: a service is away.
    """
    fresh = order.step is not Step.UPLOADED
    if order.step is Step.WRITTEN:
        order = changed(desk, _admitted(desk, order))
    if order.step is Step.ADMITTED:
        order = changed(desk, _uploaded(desk, order))
    if order.step is Step.UPLOADED:
        order = _placed(desk, order, fresh=fresh)
    return order


def claim_of(desk: Desk, order: Order, render: OrderedRender) -> RenderClaim:
    """The claim that a render of an order was, and may become again."""
    return RenderClaim(
        store=desk.store_id,
        import_id=order.import_id,
        part=order.part,
        product=render.product,
        slot=render.slot,
        render_id=render.render_id,
        references=render.references,
    )


def call_of(desk: Desk, order: Order, render: OrderedRender) -> OpenCall:
    """A render's call as the gate wrote it down, or would have."""
    claim = claim_of(desk, order, render)
    _, slot = plans.planned(desk.store, claim)
    call = written_call(
        desk,
        claim,
        slot,
        call=render.call,
        lease=f"{ORDERED}{order.order_id}",
        softened=render.softened,
        attempts=render.attempts,
        lane="batch",
        platform=order.platform,
        pool=order.pool,
    )
    # Always the same line: it has one place in the ledger, whoever writes it.
    line = call.line.changed(at=order.written_at, worker=order.worker, revision=order.revision)
    return call.changed(line=line)


def restore(desk: Desk, import_id: str) -> None:
    """Tell a Redis that was lost which renders open orders hold, and what is set aside for them.

    Costs a read per order, and two requests to Redis per render of an open one.
    """
    for order in orders_of(desk.store, import_id):
        if order.step in {Step.WRITTEN, Step.DONE}:
            continue  # nothing of it has left, or it holds nothing any more
        for render in order.renders:
            if desk.leases.order(render.render_id, order.order_id):
                desk.calls.restore(call_of(desk, order, render))


class OrderTaken(Exception):
    """Somebody else has taken the order further: his word counts."""


def changed(desk: Desk, order: Order) -> Order:
    """Write an order anew.

    Raises:
        OrderTaken: somebody else has taken it further.
    """
    if not change_order(desk.store, order):
        raise OrderTaken(order.order_id)
    log.info("order", order=order.order_id, step=order.step.value, renders=len(order.renders))
    return order


# -- writing ---------------------------------------------------------------------------------


def _lots(desk: Desk, waiting: Sequence[RenderClaim]) -> Iterator[list[tuple[RenderClaim, str]]]:
    of_model: dict[str, list[tuple[RenderClaim, str]]] = {}
    for claim in waiting:
        _, slot = plans.planned(desk.store, claim)
        of_model.setdefault(slot.model, []).append((claim, slot.model))
    for lot in of_model.values():
        for begin in range(0, len(lot), desk.limits.batch_requests):
            yield lot[begin : begin + desk.limits.batch_requests]


def _is_free(desk: Desk, claim: RenderClaim) -> bool:
    """Nobody is buying it; one that is part of another batch need not wait here either."""
    if is_ordered(desk, claim):
        desk.gathering.drop(claim.import_id, claim.part, {claim.slot})
        return False
    return desk.calls.lease_holder(claim.render_id) is None


def _slots(order: Order) -> set[int]:
    return {render.slot for render in order.renders}


def _ordered(desk: Desk, claim: RenderClaim) -> OrderedRender:
    _, slot = plans.planned(desk.store, claim)
    return OrderedRender(
        slot=claim.slot,
        product=claim.product,
        render_id=claim.render_id,
        call=uuid.uuid4().hex,
        references=claim.references,
        softened=wording_to_ask(desk, claim, slot),
    )


# -- admitting -------------------------------------------------------------------------------


def _admitted(desk: Desk, order: Order) -> Order:
    """The order with the renders that may be bought now."""
    renders: list[OrderedRender] = []
    for render in order.renders:
        claim = claim_of(desk, order, render)
        try:
            admitted = _admit(desk, order, claim, render)
        except Snooze as exc:
            if exc.reason in _ALL_WAIT:
                raise  # as it was written: what is admitted by now is so again
            continue  # it stays gathered
        except LaneStopped as exc:  # the budget, or the key: what is admitted is ordered
            jobs.follow(desk, GENERATE, claim, exc)
            break
        except RenderError as exc:
            desk.gathering.drop(order.import_id, order.part, {render.slot})
            jobs.follow(desk, GENERATE, claim, exc)
            continue
        if admitted is not None:
            renders.append(admitted)
    slots = {render.slot for render in renders}
    desk.work.expect(order.import_id, order.part, slots, within_s=ORDERED_S)
    desk.gathering.drop(order.import_id, order.part, slots)
    step = Step.ADMITTED if renders else Step.DONE
    return order.changed(renders=tuple(renders), step=step)


def _admit(
    desk: Desk, order: Order, claim: RenderClaim, render: OrderedRender
) -> OrderedRender | None:
    if not desk.leases.order(claim.render_id, order.order_id):
        raise Snooze("leased", "somebody else is buying it", 0.0)
    try:
        known = desk.calls.open_call(claim.render_id)
        if known is not None and known.call == render.call:
            return render  # whoever held the order before us came so far
        conclude(desk, claim.render_id)
        if found(desk, claim):
            desk.gathering.drop(order.import_id, order.part, {render.slot})
        else:
            render = render.changed(attempts=attempts_of(desk, claim))
            if may_leave(desk, call_of(desk, order, render)):
                return render
    except Exception:
        desk.leases.release_order(claim.render_id, order.order_id)
        raise
    desk.leases.release_order(claim.render_id, order.order_id)
    return None


# -- uploading and asking --------------------------------------------------------------------


def _uploaded(desk: Desk, order: Order) -> Order:
    struck: dict[int, RenderError] = {}
    place = service_of(desk).upload(order.order_id, _lines(desk, order, struck))
    for render in order.renders:
        if render.slot in struck:
            strike(desk, order, render, struck[render.slot])
    left = tuple(render for render in order.renders if render.slot not in struck)
    step = Step.UPLOADED if left else Step.DONE
    return order.changed(renders=left, place=place, step=step)


def _lines(desk: Desk, order: Order, struck: dict[int, RenderError]) -> Iterator[BatchLine]:
    for render in order.renders:
        claim = claim_of(desk, order, render)
        _, slot = plans.planned(desk.store, claim)
        spec = spec_of(slot, claim.references)
        try:
            request = request_of(desk, claim, slot, spec, render.softened)
        except ReferenceUnusable as exc:
            struck[render.slot] = exc
        else:
            yield BatchLine(key=claim.name, request=request)


def strike(desk: Desk, order: Order, render: OrderedRender, why: RenderError) -> None:
    """Take a render out of an order, book what its call came to, and do what follows."""
    call = call_of(desk, order, render)
    claim = claim_of(desk, order, render)
    _, slot = plans.planned(desk.store, claim)
    book_failure(desk, call, slot, why, run_s=0.0)
    desk.leases.release_order(render.render_id, order.order_id)
    jobs.follow(desk, GENERATE, claim, why)


def _placed(desk: Desk, order: Order, *, fresh: bool) -> Order:
    service = service_of(desk)
    if order.asked_at is not None and not fresh:
        batch = _found_again(desk, order)
        if batch is not None:
            return _noted(desk, order, batch)
        if desk.clock() - order.asked_at < SETTLE:
            return order
    order = changed(desk, order.changed(asked_at=desk.clock()))
    try:
        batch = service.create(order.model, order.order_id, order.place)
    except OutcomeUnknown as exc:
        log.warning("order_unanswered", order=order.order_id, error=str(exc))
        return order
    except Refused as exc:
        log.error("order_refused", order=order.order_id, error=str(exc))  # noqa: TRY400  no bug
        for render in order.renders:
            strike(desk, order, render, exc)
        return changed(desk, order.changed(step=Step.DONE, done_at=desk.clock()))
    except (Snooze, TryLater, LaneStopped):
        changed(desk, order.changed(asked_at=None))  # there is none: it may be asked for at once
        raise
    return _noted(desk, order, batch)


def _found_again(desk: Desk, order: Order) -> Batch | None:
    batches = service_of(desk).find(order.order_id)
    if len(batches) > 1:  # we never ask while one may be there; somebody else's copy of the store
        log.error("order_doubled", order=order.order_id, batches=[one.name for one in batches])
    return batches[0] if batches else None


def _noted(desk: Desk, order: Order, batch: Batch) -> Order:
    now = desk.clock()
    return changed(
        desk,
        order.changed(
            step=Step.PLACED, batch=batch.name, placed_at=now, told=batch.state.value, told_at=now
        ),
    )


def service_of(desk: Desk) -> BatchModel:
    """The batch service, which only workers that buy have.

    Raises:
        TryLater: there is none.
    """
    if desk.batches is None:
        msg = "this worker reaches no batch service"
        raise TryLater("model.unavailable", msg)
    return desk.batches
