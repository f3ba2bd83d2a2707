"""May a call leave now, by everything that Redis knows?

The gate of :mod:`catalog.open_calls`, with its answers as what they mean for the render.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from catalog.connection import StateUnavailable
from catalog.money import ZERO, Usd
from catalog.open_calls import Gate
from worker import plans
from worker.errors import LaneStopped, Snooze

if TYPE_CHECKING:
    from catalog.open_calls import OpenCall, Reserved
    from worker.ports import Desk


def may_leave(desk: Desk, call: OpenCall) -> bool:
    """Pass the gate, which writes the call down; ``False`` if its slot is settled by now.

    Raises:
        Snooze: not now.
        LaneStopped: a budget is used up.
        StateUnavailable: Redis is away; the call does not count as one that nobody answered.
    """
    budget = plans.budget(desk, call.import_id)
    try:
        said = desk.calls.reserve(
            call,
            budget_micro=None if budget is None else budget.micro,
            day_budget_micro=desk.limits.budget_per_day_micro,
        )
    except StateUnavailable:
        _withdraw(desk, call)
        raise
    if said.gate is Gate.GO:
        return True
    if said.gate is Gate.SETTLED:
        return False
    if said.gate is Gate.BUDGET:
        msg = f"{Usd(said.spent_micro)} of {budget} USD are spent: the next call is too much"
        raise LaneStopped("budget", msg)
    if said.gate is Gate.DAY_BUDGET:
        msg = (
            f"{Usd(said.spent_micro)} USD of all imports' SKUSCENE_BUDGET_PER_DAY_USD are spent "
            "today (UTC): the next call is too much"
        )
        raise LaneStopped("budget", msg)
    raise _not_now(desk, said)


def _withdraw(desk: Desk, call: OpenCall) -> None:
    """Only the reply was lost, perhaps: it must not count as a call that nobody answered."""
    with contextlib.suppress(StateUnavailable):
        desk.calls.bury(call, call.line.changed(outcome="not_sold", cost_usd=ZERO, attempt=False))


def _not_now(desk: Desk, said: Reserved) -> Snooze:
    soon_s = desk.limits.lease_s / 6
    messages = {
        Gate.WAIT: "Redis was away or emptied: calls of before may still be open",
        Gate.RECOVERING: "Redis was restarted: what it knew is being rebuilt",
        Gate.LEASE_LOST: "the lease was lost while the call was made ready",
        Gate.PENDING: "an earlier call of this render is being booked",
        Gate.IN_FLIGHT: "the budget would be passed if every call that is open were paid",
    }
    # Short naps: a claim that waits long waits in a worker's memory, and dies with it.
    return Snooze(f"gate.{said.gate}", messages[said.gate], min(max(said.wait_s, 1.0), soon_s))
