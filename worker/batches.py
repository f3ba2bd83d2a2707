"""Who looks after batches?

A thread in every worker that buys: each piece of work, writing a shard's orders or taking one
order further, is done by whoever holds its lease, so that it needs no message and survives whoever
does it. States come from the platform, on a clock.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from catalog.epoch import Recovery
from catalog.orders import Step, orders_of, read_order
from worker import plans
from worker.batch_model import Batch, BatchState
from worker.errors import LaneStopped, RenderError, Snooze
from worker.gathering import GATHERED_S, ORDERED_S
from worker.harvest import harvest
from worker.ordering import OrderTaken, changed, go_on, service_of, strike, write_orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.claims import RenderClaim
    from catalog.imports import Import
    from catalog.orders import Order
    from worker.ports import Desk

log = structlog.get_logger(__name__)


def look_after_batches(desk: Desk) -> None:
    """Take every order of every running import as far as it goes now.

    Costs per import a listing, and per open order a read and a question to the platform.

    Raises:
        StateUnavailable, StoreError: a service is away; look again later.
    """
    if desk.batches is None or desk.state.recovery() is not Recovery.DONE:
        return
    for import_id in desk.state.running():
        imported = plans.read_import(desk.store, import_id)
        if imported.lane == "batch":
            _look_after(desk, imported)


def _look_after(desk: Desk, imported: Import) -> None:
    import_id = imported.import_id
    wanted = plans.intent(desk, import_id)
    orders = [order for order in orders_of(desk.store, import_id) if order.step is not Step.DONE]
    for part, waiting in desk.gathering.gathered(import_id).items():
        slots = {claim.slot for claim in waiting}
        desk.work.expect(import_id, part, slots, within_s=GATHERED_S)
        if wanted == "run" and _is_ready(desk, imported, part, waiting, orders):
            with desk.leases.held(f"orders-of-{import_id}-{part}") as ours:
                if ours is not None:
                    write_orders(desk, imported, part, waiting)
    for order in orders_of(desk.store, import_id):
        if order.step is not Step.DONE:
            _take_further(desk, order.key, wanted)


def _is_ready(
    desk: Desk,
    imported: Import,
    part: int,
    waiting: Sequence[RenderClaim],
    orders: Sequence[Order],
) -> bool:
    """All of a shard's open renders wait, or those that do have waited for others long enough."""
    ordered = sum(len(order.renders) for order in orders if order.part == part)
    open_slots = desk.state.left(imported.import_id, part)
    if len(waiting) + ordered >= open_slots:
        return True
    return desk.gathering.quiet_s(imported.import_id, part) >= desk.limits.batch_gather_s


def _take_further(desk: Desk, key: str, wanted: str) -> None:
    with desk.leases.held(f"order-{key}") as ours:
        order = read_order(desk.store, key) if ours is not None else None
        if order is None or order.step is Step.DONE:
            return
        slots = {render.slot for render in order.renders}
        desk.work.expect(order.import_id, order.part, slots, within_s=ORDERED_S)
        try:
            _step(desk, order, wanted)
        except OrderTaken:
            log.info("order_taken", order=order.order_id)
        except LaneStopped as exc:
            plans.pause(desk, order.import_id, reason=exc.reason, message=exc.message)
            log.error("import_paused", reason=exc.reason, message=exc.message)  # noqa: TRY400
        except RenderError as exc:
            log.warning("order_waits", order=order.order_id, reason=exc.reason, error=str(exc))


def _step(desk: Desk, order: Order, wanted: str) -> None:
    if order.step in {Step.WRITTEN, Step.ADMITTED} and wanted == "cancel":
        _drop(desk, order)
        return
    if order.step in {Step.WRITTEN, Step.ADMITTED, Step.UPLOADED}:
        if wanted == "run" or order.asked_at is not None:
            order = go_on(desk, order)
    elif order.step is Step.PLACED:
        order = _watched(desk, order, wanted)
    if order.step is Step.OVER:
        harvest(desk, order, _as_told(order))


def _drop(desk: Desk, order: Order) -> None:
    """Let a cancelled import's order go, of which nothing has left."""
    why = Snooze("cancelled", "the import was cancelled before its batch was asked for", 0.0)
    for render in order.renders:
        strike(desk, order, render, why)
    changed(desk, order.changed(step=Step.DONE, done_at=desk.clock()))


# -- watching --------------------------------------------------------------------------------


def _watched(desk: Desk, order: Order, wanted: str) -> Order:
    batch = service_of(desk).get(order.batch)
    if batch is None:
        batch = Batch(
            name=order.batch, display_name=order.order_id, state=BatchState.EXPIRED, fault="gone"
        )
    if batch.is_over:
        log.info("batch_over", order=order.order_id, state=batch.state.value, fault=batch.fault)
        return changed(
            desk,
            order.changed(
                step=Step.OVER,
                told=batch.state.value,
                told_at=desk.clock(),
                results=batch.results,
                pictures=batch.answered,
                refused=batch.refused,
            ),
        )
    if batch.state.value != order.told:
        order = changed(desk, order.changed(told=batch.state.value, told_at=desk.clock()))
    log.info(
        "batch_waits",
        order=order.order_id,
        state=batch.state.value,
        answered=batch.answered,
        of=batch.requests,
    )
    why = _why_cancel(desk, order, wanted)
    if why and batch.state is not BatchState.CANCELLING:
        service_of(desk).cancel(order.batch)
        if not order.cancelled_because:
            order = changed(desk, order.changed(cancelled_because=why))
            log.warning("batch_cancelled", order=order.order_id, why=why)
    return order


def _why_cancel(desk: Desk, order: Order, wanted: str) -> str:
    if wanted == "cancel":
        return "the import was cancelled"
    since = order.told_at or order.placed_at or order.written_at
    waited = desk.clock() - since
    limits = desk.limits
    if order.told == BatchState.PENDING and waited > timedelta(seconds=limits.batch_pending_s):
        return f"it was pending for {waited}"
    if order.told == BatchState.RUNNING and waited > timedelta(seconds=limits.batch_running_s):
        return f"it was running for {waited}"
    return order.cancelled_because


def _as_told(order: Order) -> Batch:
    return Batch(
        name=order.batch,
        display_name=order.order_id,
        state=BatchState(order.told),
        requests=len(order.renders),
        answered=order.pictures,
        refused=order.refused,
        results=order.results,
    )
