"""How many calls could at best have come in?

For benchmarks: what a client reached is measured against what a client could have reached that
knows the rule, starts with a clean account and has calls waiting all the time. Each rule is judged
alone; of several together, the smallest number is still a bound, but may be out of reach.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, assert_never

from worker.simulator.rules import (
    BucketRule,
    CapacityRule,
    DayRule,
    FixedRule,
    SlidingRule,
    SpendRule,
    TokensRule,
)

if TYPE_CHECKING:
    from catalog.money import Usd
    from worker.simulator.rules import Rule

_STEPS_PER_PERIOD: Final = 2_000


def most_admitted(
    rule: Rule,
    span_s: float,
    *,
    begin_s: float = 0.0,
    per_call: int | Usd | None = None,
    in_flight: int = 1,
) -> int:
    """The most calls that a rule lets in from ``begin_s`` on, before ``begin_s + span_s``.

    ``begin_s`` counts from the simulator's start; only fixed windows and days care for it. The
    account is clean at the beginning: a bucket is full, nothing has come in or ended.

    For requests (bucket, fixed, sliding, day) the number is exact: a client that asks again and
    again gets so many. What tokens and money allow depends on the client as well, because a call
    counts only when it ends: ``per_call`` is what each uses (tokens, or the price), ``in_flight``
    how many calls the client has open at most. The number is then a bound that is only reached with
    calls far shorter than the rule's span; a mean ``per_call`` makes it an estimate.

    Raises:
        ValueError: the rule drifts (ask :func:`borne_calls`), or ``per_call`` is missing.
    """
    if span_s <= 0:
        return 0
    match rule:
        case BucketRule():
            # The last one flows in just before the end: the span's end is no part of it.
            return rule.capacity + _ceil(span_s * rule.requests / rule.span_s) - 1
        case FixedRule() | DayRule():
            last = _ceil((begin_s + span_s) / rule.span_s)
            return rule.requests * (last - _floor(begin_s / rule.span_s))
        case SlidingRule():
            return rule.requests * _ceil(span_s / rule.span_s)
        case TokensRule():
            if not isinstance(per_call, int) or per_call <= 0:
                message = f"{rule} needs per_call: the tokens of one call"
                raise ValueError(message)
            return _most_ended(rule.tokens, per_call, span_s / rule.span_s, in_flight)
        case SpendRule():
            if per_call is None or isinstance(per_call, int) or per_call.micro <= 0:
                message = f"{rule} needs per_call: the price of one call"
                raise ValueError(message)
            return _most_ended(rule.spend.micro, per_call.micro, span_s / rule.span_s, in_flight)
        case CapacityRule():
            message = f"{rule} drifts: ask borne_calls, which wants to know how long a call takes"
            raise ValueError(message)
        case _:
            assert_never(rule)


def borne_calls(
    rule: CapacityRule, span_s: float, *, seed: int, call_s: float, begin_s: float = 0.0
) -> float:
    """The integral of the capacity over the span, divided by what one call takes on average.

    ``begin_s`` counts from the simulator's start, ``seed`` is the simulator's, ``call_s`` is the
    mean time in flight: the mean latency (:attr:`Latency.mean_s`), or better the mean ``run_s`` of
    the books, which holds drawing and sending as well.

    It is what keeps the model just busy in the long run, and no bound. A span that begins with
    nothing in flight lets up to one capacity more in, and calls that came in before the capacity
    fell stay in flight above it. Both matter less the more calls fit into the span one after
    another.
    """
    steps = max(_STEPS_PER_PERIOD, math.ceil(_STEPS_PER_PERIOD * span_s / rule.period_s))
    step_s = span_s / steps
    middles = (begin_s + (step + 0.5) * step_s for step in range(steps))
    return sum(rule.at(at_s, seed) for at_s in middles) * step_s / call_s


def _most_ended(limit: int, per_call: int, spans: float, in_flight: int) -> int:
    """A bound for calls that count when they end.

    In one span of the rule: once so many have ended that the limit is reached, none comes in before
    the next span, and the others that the client had open end as well.
    """
    if limit == 0:
        return 0
    return (math.ceil(limit / per_call) + in_flight - 1) * _ceil(spans)


def _ceil(number: float) -> int:
    """Up, but not by a whole one for the rounding error of a division."""
    return math.ceil(round(number, 9))


def _floor(number: float) -> int:
    return math.floor(round(number, 9))
