"""Would a rule let one more call in now, and if not, when?

Pure accounts: one per rule and model. Times are seconds since the simulator's start and never go
back. To ask an account changes nothing; whoever lets a call in says so, and says when it ended.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

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
    from collections.abc import Iterable

    from worker.simulator.rules import Rule

UNKNOWN_S: Final = math.inf
# A bucket that fills in steps of 1/7 must not miss its request by a rounding error.
_HAIR: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a call had used when it ended: all its tokens, and micro-dollars at list price."""

    tokens: int = 0
    micro: int = 0


class Account(Protocol):
    """What one rule remembers of one model's calls."""

    @property
    def rule(self) -> Rule: ...

    def wait_s(self, now_s: float, in_flight: int) -> float:
        """How long until a call may come in: 0 for now, ``UNKNOWN_S`` if nobody can say.

        Exact as long as no other call comes in or ends meanwhile.
        """
        ...

    def admit(self, now_s: float) -> None:
        """A call has come in."""
        ...

    def end(self, now_s: float, spent: Spent) -> None:
        """A call that had come in is over."""
        ...


def open_account(rule: Rule, *, now_s: float, seed: int, before: Account | None = None) -> Account:
    """Begin an account, with the history of ``before`` if that was one of the same kind."""
    match rule:
        case BucketRule():
            level = before.level(now_s) if isinstance(before, BucketAccount) else rule.capacity
            return BucketAccount(rule, now_s=now_s, level=level)
        case FixedRule() | DayRule():
            return FixedAccount(rule, before.taken if isinstance(before, FixedAccount) else ())
        case SlidingRule():
            return SlidingAccount(rule, before.taken if isinstance(before, SlidingAccount) else ())
        case TokensRule() | SpendRule():
            return SpentAccount(rule, before.ended if isinstance(before, SpentAccount) else ())
        case CapacityRule():
            return CapacityAccount(rule, seed=seed)


class BucketAccount:
    """How full is the bucket?"""

    def __init__(self, rule: BucketRule, *, now_s: float, level: float) -> None:
        self.rule = rule
        self._per_s = rule.requests / rule.span_s
        self._at_s = now_s
        self._level = min(float(rule.capacity), level)

    def level(self, now_s: float) -> float:
        """How many requests it holds, with the part of the next one that has flowed in."""
        return min(float(self.rule.capacity), self._level + (now_s - self._at_s) * self._per_s)

    def wait_s(self, now_s: float, _in_flight: int) -> float:
        missing = 1 - self.level(now_s)
        return missing / self._per_s if missing > _HAIR else 0.0

    def admit(self, now_s: float) -> None:
        self._level = self.level(now_s) - 1
        self._at_s = now_s

    def end(self, now_s: float, spent: Spent) -> None:
        """Change nothing: the request is what counts."""


class FixedAccount:
    """Which requests came in during this window, or this day?"""

    def __init__(self, rule: FixedRule | DayRule, taken: Iterable[float] = ()) -> None:
        self.rule = rule
        self.taken = deque(taken)

    def wait_s(self, now_s: float, _in_flight: int) -> float:
        window = math.floor(now_s / self.rule.span_s)
        begun_s = window * self.rule.span_s
        while self.taken and self.taken[0] < begun_s:
            self.taken.popleft()
        if len(self.taken) < self.rule.requests:
            return 0.0
        return (window + 1) * self.rule.span_s - now_s if self.rule.requests else UNKNOWN_S

    def admit(self, now_s: float) -> None:
        self.taken.append(now_s)

    def end(self, now_s: float, spent: Spent) -> None:
        """Change nothing: the request is what counts."""


class SlidingAccount:
    """Which requests came in during the last seconds?"""

    def __init__(self, rule: SlidingRule, taken: Iterable[float] = ()) -> None:
        self.rule = rule
        self.taken = deque(taken)

    def wait_s(self, now_s: float, _in_flight: int) -> float:
        while self.taken and now_s - self.taken[0] >= self.rule.span_s:
            self.taken.popleft()
        too_many = len(self.taken) - self.rule.requests
        if too_many < 0:
            return 0.0
        # More than one too many: the limit was lowered while they came in.
        return self.taken[too_many] + self.rule.span_s - now_s if self.rule.requests else UNKNOWN_S

    def admit(self, now_s: float) -> None:
        self.taken.append(now_s)

    def end(self, now_s: float, spent: Spent) -> None:
        """Change nothing: the request is what counts."""


class SpentAccount:
    """What did the calls use, in tokens or money, that ended during the last seconds?

    It keeps both, so that nothing is lost when it is asked about the other.
    """

    def __init__(
        self, rule: TokensRule | SpendRule, ended: Iterable[tuple[float, Spent]] = ()
    ) -> None:
        self.rule = rule
        self.ended = deque(ended)
        self._used = sum(self._amount(spent) for _, spent in self.ended)

    def wait_s(self, now_s: float, _in_flight: int) -> float:
        self._forget(now_s)
        used = self._used
        if used < self._limit:
            return 0.0
        for ended_s, spent in self.ended:
            used -= self._amount(spent)
            if used < self._limit:
                return ended_s + self.rule.span_s - now_s
        return UNKNOWN_S

    def admit(self, now_s: float) -> None:
        """Change nothing: what a call uses is known when it ends."""

    def end(self, now_s: float, spent: Spent) -> None:
        self.ended.append((now_s, spent))
        self._used += self._amount(spent)

    @property
    def _limit(self) -> int:
        return self.rule.tokens if isinstance(self.rule, TokensRule) else self.rule.spend.micro

    def _amount(self, spent: Spent) -> int:
        return spent.tokens if isinstance(self.rule, TokensRule) else spent.micro

    def _forget(self, now_s: float) -> None:
        while self.ended and now_s - self.ended[0][0] >= self.rule.span_s:
            _, spent = self.ended.popleft()
            self._used -= self._amount(spent)


class CapacityAccount:
    """Does the model bear one more call in flight?"""

    def __init__(self, rule: CapacityRule, *, seed: int) -> None:
        self.rule = rule
        self._seed = seed

    def wait_s(self, now_s: float, in_flight: int) -> float:
        return 0.0 if in_flight < self.rule.at(now_s, self._seed) else UNKNOWN_S

    def admit(self, now_s: float) -> None:
        """Change nothing: calls in flight are counted for all rules."""

    def end(self, now_s: float, spent: Spent) -> None:
        """Change nothing: calls in flight are counted for all rules."""
