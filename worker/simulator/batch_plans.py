"""How will a batch go, if nobody cancels it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.simulator.orders import BatchOrder, ResultOrder, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from worker.simulator.script import BatchHours, Director

# Nobody has told how long batches wait before they run, or how long a cancel takes: guesses.
_PENDING_SHARES: Final = (0.05, 0.25)
_CANCEL_HOURS: Final = (0.02, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was drawn or ordered for one batch.

    Hours count from its creation; ``cancel_hours`` from when it is told to cancel. ``share`` is of
    its lines, and means what the order says; ``results`` has the share of each order for the result
    file. ``dice`` are the batch's own.
    """

    order: BatchOrder
    share: float
    pending_hours: float
    hours: float
    cancel_hours: float
    results: Mapping[ResultOrder, float]
    dice: Random

    def count(self, share: float, lines: int) -> int:
        """So many lines are a share: at least one of those that there are."""
        return min(lines, max(1, round(share * lines)))

    def mark(self, share: float, lines: int) -> frozenset[int]:
        """Draw lines, by number, for an order that is about a share of them."""
        return frozenset(self.dice.sample(range(lines), self.count(share, lines)))


def draw_plan(director: Director, display_name: str, hours: BatchHours) -> Plan:
    """Decide about a batch: by script, by rates, and what is left by its dice."""
    line, dice = director.order(Scope.BATCH, display_name)
    drawn_hours = hours.draw(dice)
    whole_hours = drawn_hours if line is None or line.hours is None else line.hours
    pending_share = dice.uniform(*_PENDING_SHARES)
    cancel_hours = dice.uniform(*_CANCEL_HOURS)
    results = director.order_results(display_name, dice)
    return Plan(
        order=BatchOrder(line.outcome) if line else BatchOrder.SUCCEEDED,
        share=line.share if line else 0.0,
        pending_hours=whole_hours * pending_share,
        hours=whole_hours,
        cancel_hours=cancel_hours,
        results={ResultOrder(each.outcome): each.share for each in results},
        dice=dice,
    )
