"""What becomes of a call whose buyer is gone, or could not write down what it came to?

Redis keeps every call until the store has what belongs to it. Whoever comes by finishes it:

- one that has ended gets its line in the ledger and, refused, its ``refused.json``;
- one whose picture was spooled is done when the take is there;
- one that was sold, and whose line its process has not written in time, gets that line;
- one that is still open though its buyer's lease is gone has lost its process. Its take, or its
  line in the ledger, says what it came to; with neither it is booked as doubtful.

Every step may be repeated: a call's line has a key of its own and is created once.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from catalog import keys
from catalog.epoch import Recovery
from catalog.leases import SPOOLED_ON
from catalog.renders import Purchase
from worker.errors import TryLater
from worker.refusals import remember

if TYPE_CHECKING:
    from catalog.open_calls import OpenCall
    from catalog.renders import LedgerLine
    from worker.ports import Desk

log = structlog.get_logger(__name__)


def conclude(desk: Desk, render_id: str) -> None:
    """Finish a render's last call; for whoever holds its lease, or whose call it was."""
    call = desk.calls.open_call(render_id)
    if call is not None:
        conclude_call(desk, call)


def conclude_all(desk: Desk, *, of_import: str | None = None) -> int:
    """Finish every call that nobody is at, of one import or of all; returns how many are left."""
    left = 0
    for call in desk.calls.open_calls():
        if of_import in {None, call.import_id} and not _concluded(desk, call):
            left += call.state != "sold"  # that one is known, and its line will be written
    return left


def conclude_import(desk: Desk, import_id: str) -> None:
    """See that nothing that an import has called for is unknown any more.

    Raises:
        TryLater: a call of it is still open.
    """
    if conclude_all(desk, of_import=import_id):
        raise TryLater("internal", f"calls of {import_id} are still open")


def conclude_call(desk: Desk, call: OpenCall) -> None:
    """Finish a call: for whoever made it, or knows that nobody else will."""
    if call.state == "open":
        _bury(desk, call)
        return
    if call.state in {"ended", "sold"}:
        desk.ledger.put(call.line)
        if call.refusal is not None:
            remember(desk, call, call.refusal)
    desk.calls.close(call)


def _concluded(desk: Desk, call: OpenCall) -> bool:
    holder = desk.calls.lease_holder(call.render_id)
    if holder is not None and holder.startswith(SPOOLED_ON):
        if _may_be_putting(desk, call) or _take_of(desk, call) is None:
            return False
        desk.leases.drop_spooled(call.render_id)
        holder = None
    if call.state == "sold" and not _is_overdue(desk, call):
        return False
    if call.state != "open":
        conclude_call(desk, call)
        return True
    # A holder is its buyer, who lives, or another one, who will look.
    return holder is None and _concluded_under_lease(desk, call)


def _may_be_putting(desk: Desk, call: OpenCall) -> bool:
    """Whether its buyer may still be asking the store to take what waits on his disk."""
    return call.state == "open" and not _is_overdue(desk, call)


def _is_overdue(desk: Desk, call: OpenCall) -> bool:
    """Whether a living buyer would have written down by now what it came to."""
    limits = desk.limits
    longest_s = limits.model_deadline_s + limits.put_deadline_s + limits.lease_s
    return desk.clock() - call.line.at >= timedelta(seconds=longest_s)


def _concluded_under_lease(desk: Desk, call: OpenCall) -> bool:
    with desk.leases.held(call.render_id) as lease:
        if lease is None or desk.state.recovery() is not Recovery.DONE:
            return False
        conclude(desk, call.render_id)
        return True


def _bury(desk: Desk, call: OpenCall) -> None:
    purchase = _take_of(desk, call)
    line = call.line if purchase is None else sold(call, purchase)
    booked = desk.ledger.put(line)
    log.warning("call_lost_its_process", render_id=call.render_id, outcome=booked.outcome)
    desk.calls.bury(call, booked)


def sold(call: OpenCall, purchase: Purchase) -> LedgerLine:
    """The line of a call that brought a picture."""
    return call.line.changed(
        outcome="picture",
        reason=None,
        model_answered=purchase.model_answered,
        response_id=purchase.response_id,
        tokens=purchase.tokens,
        cost_usd=purchase.cost_usd,
    )


def _take_of(desk: Desk, call: OpenCall) -> Purchase | None:
    for entry in desk.store.list(keys.takes(call.render_id)):
        stored = desk.store.read(entry.key)
        if stored is None:
            continue
        with contextlib.suppress(ValueError):  # some tool dropped its metadata
            purchase = Purchase.from_metadata(dict(stored.metadata))
            if purchase.call == call.call:
                return purchase
    return None
