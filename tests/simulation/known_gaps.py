"""Which promises does today's core break, and why is that known?

A gap is closed by removing its line: from then on every seed that shows it fails.
"""

from __future__ import annotations

from typing import Final

KNOWN_GAPS: Final[dict[str, str]] = {
    "death_not_booked": (
        "a call that was open when its process died is booked by nobody: the next buyer can't know"
    ),
    "call_not_booked.in_outage": (
        "a call without a picture waits in the memory of its process while the store is away"
    ),
    "refusal_forgotten.in_outage": (
        "a refusal that the store does not take within put_deadline_s is not remembered"
    ),
    "doubtful_is_off.redis_lost": "the doubtful amount is not rebuilt from the ledger",
    "doubtful_is_off.anyhow": (
        "ledger line and doubtful amount are two steps, with a crash or an outage in between"
    ),
    "budget_exceeded.in_flight": "no reservations yet: calls that are open do not count",
    "budget_exceeded.redis_lost": "what uncommitted calls cost is not rebuilt after losing Redis",
    "too_many_attempts": (
        "attempts are counted in the message: a doubled or fed-again one starts anew"
    ),
    "cost_is_not_what_was_sold.cancelled": (
        "the feeder ends a cancelled import's open renders without asking what was paid for them"
    ),
    "cost_is_not_what_was_sold.complete": (
        "a doubled message buys for a slot that was settled while it waited for the lease"
    ),
    "ledger_is_off.too_few": "a ledger that closes while the store is away drops its lines",
    "never_ends.poison": "no isolation yet: a render that kills its process is looped",
    "lease_not_back.spooled": (
        "a spooled lease that Redis did not give back stays until spool_max_age_s, its file gone"
    ),
    "cost_is_not_what_was_sold.second_take": (
        "a line's cost adds up all takes of the record, whoever bought them, and misses late ones"
    ),
    "lease_not_back.poison": "as never_ends.poison",
    "two_buyers.redis_away": (
        "a lease lapses while Redis can't be reached for lease_s, though its call is still open"
    ),
    "too_many_doubtful": "doubt is counted in the message: a doubled one starts anew",
    "budget_exceeded.unbooked": (
        "a crash or an outage between the put and add_spent leaves the spent amount too low"
    ),
    "two_buyers.no_epoch": (
        "between Redis's loss and the next look of a reconciler there is no epoch, and no wait"
    ),
}
