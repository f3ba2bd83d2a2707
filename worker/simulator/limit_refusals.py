"""What does a refusal tell about the limit that was reached?

The ids of quotas of requests are Google's. Of other spans than a minute or a day, and of money, no
report was found: those ids follow the same pattern.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.simulator import refusals
from worker.simulator.accounts import UNKNOWN_S
from worker.simulator.refusals import SPEND_METRIC, TOKENS_METRIC, Quoted
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
    from collections.abc import Mapping

    from worker.simulator.refusals import Refusal
    from worker.simulator.rules import Rule

_SPAN_WORDS: Final[Mapping[float, str]] = {
    1: "PerSecond",
    60: "PerMinute",
    600: "Per10Minutes",
    3_600: "PerHour",
    86_400: "PerDay",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How much a 429 gives away.

    ``quota`` False leaves QuotaFailure out with all that it holds, ``quota_value`` only the number.
    """

    retry_info: bool = True
    quota: bool = True
    quota_value: bool = True


def refuse(model: str, rule: Rule, wait_s: float, telling: Telling) -> Refusal:
    """Put a rule's no into words; ``wait_s`` as :meth:`Account.wait_s` counts it."""
    limit = str(rule)
    match rule:
        case CapacityRule(status=503):
            return refusals.overloaded(limit)
        case CapacityRule():
            return refusals.exhausted(limit)
        case _:
            tells_wait = telling.retry_info and wait_s != UNKNOWN_S
            return refusals.quota_exceeded(
                model,
                quota_of(rule) if telling.quota else None,
                value=_value(rule) if telling.quota_value else None,
                # Up to the next millisecond: whoever comes back then gets in.
                delay_s=math.ceil(wait_s * 1000) / 1000 if tells_wait else None,
                outcome=_outcome(rule, tells_wait=tells_wait),
                limit=limit,
            )


def quota_of(
    rule: BucketRule | FixedRule | SlidingRule | DayRule | TokensRule | SpendRule,
) -> Quoted:
    """Name the quota that a rule enforces, span included."""
    per = _SPAN_WORDS.get(rule.span_s, f"Per{rule.span_s:.12g}Seconds")
    match rule:
        case TokensRule():
            return Quoted(id=f"GenerateContentInputTokensPerModel{per}", metric=TOKENS_METRIC)
        case SpendRule():
            return Quoted(id=f"GenerateContentSpend{per}PerProjectPerModel", metric=SPEND_METRIC)
        case _:
            return Quoted(id=f"GenerateRequests{per}PerProjectPerModel")


def _value(rule: BucketRule | FixedRule | SlidingRule | DayRule | TokensRule | SpendRule) -> str:
    match rule:
        case TokensRule():
            return str(rule.tokens)
        case SpendRule():
            return rule.dollars
        case _:
            return str(rule.requests)


def _outcome(rule: Rule, *, tells_wait: bool) -> str:
    match rule:
        case TokensRule():
            return "429_tokens"
        case SpendRule():
            return "429_spend"
        case DayRule():
            return "429_per_day"
        case _:
            return "429_retryinfo" if tells_wait else "429"
