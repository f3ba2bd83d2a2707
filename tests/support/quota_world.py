"""Many callers at the shared limiter, on a virtual clock, against a platform that knows its rule.

The limiter is the real one on a real Redis; who calls, how long calls take and what the platform
lets in is played here, so that ten minutes take seconds. What is measured counts calls, not time.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import redis

from catalog.quota import Lane, Left, Quota, Refusal, Slot
from catalog.quota_limits import QuotaLimits
from worker.simulator.accounts import UNKNOWN_S, Account, Spent, open_account
from worker.simulator.rules import parse_rule

LANE = Lane(pool="developer", project="shop", model="m")
TOKENS = 3_700
MICRO = 36_000
START_S = 1e9
_DAY = "2026-11-28"
_WIRE_S = 0.005
_STRAY_WAIT_S = 3.0
"""What is asked for where a call is refused for no reason of its pace."""
_NO_LIMITS = QuotaLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the platform speaks of its limits."""

    retry_info: bool = True
    kind: Refusal = Refusal.RATE
    quota_value: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """Refusals that no limit explains: their share, and how they speak."""

    share: float
    kind: Refusal
    retry_after_s: float | None = None


@dataclass(slots=True)
class Seen:
    """What the platform saw: when calls came, and whether it let them in."""

    calls: list[tuple[float, bool]] = field(default_factory=list)

    def let_in(self, begin_s: float, end_s: float) -> int:
        """How many calls were let in during a span."""
        return sum(ok for at, ok in self.calls if begin_s <= at < end_s)

    def refused(self, begin_s: float, end_s: float) -> int:
        """How many were refused."""
        return sum(not ok for at, ok in self.calls if begin_s <= at < end_s)


class QuotaWorld:
    """A platform, and some callers that have a next call as soon as they have rested.

    ``rest_s`` gives the mean rest at a time since the start; ``deaths`` is the share of calls whose
    process dies, so that the limiter never hears of their end.
    """

    def __init__(
        self,
        client: redis.Redis,
        rule: str,
        *,
        limits: QuotaLimits = _NO_LIMITS,
        manners: Manners = Manners(),
        callers: int = 128,
        stray: float = 0.0,
        strays: Sequence[Stray] = (),
        deaths: float = 0.0,
        rest_s: Callable[[float], float] = lambda _now_s: 0.0,
        call_s: Callable[[random.Random], float] = lambda dice: 4 + 16 * dice.betavariate(2, 5),
        seed: int = 1,
    ) -> None:
        self.now = START_S
        self.seen = Seen()
        self._dice = random.Random(seed)
        self._account = self._opened(rule)
        self._in_flight = 0
        self._stray = stray
        self._strays = strays
        self._deaths = deaths
        self._rest_s = rest_s
        self._limits = limits
        self._manners = manners
        self._quota = Quota(client, clock=lambda: self.now)
        self._call_s = call_s
        self._numbers = itertools.count()
        self._turns: list[tuple[float, int, Iterator[float]]] = []
        for _ in range(callers):
            self._push(0.0, self._caller())

    def run(self, seconds: float, *, changes: Sequence[tuple[float, str]] = ()) -> Seen:
        """Let so many virtual seconds pass; ``changes`` are other rules at their times."""
        end, left = START_S + seconds, list(changes)
        while self._turns[0][0] < end:
            self.now, _, caller = heapq.heappop(self._turns)
            while left and self.now - START_S >= left[0][0]:
                self._account = self._opened(left.pop(0)[1], self._account)
            self._push(next(caller), caller)
        return self.seen

    def _opened(self, rule: str, before: Account | None = None) -> Account:
        now_s = self.now - START_S
        return open_account(parse_rule(rule), now_s=now_s, seed=1, before=before)

    def _push(self, in_s: float, caller: Iterator[float]) -> None:
        heapq.heappush(self._turns, (self.now + in_s, next(self._numbers), caller))

    def _caller(self) -> Iterator[float]:
        not_before_s = 0.0
        while True:
            ticket = f"t{next(self._numbers)}"
            slot = self._quota.take(
                LANE,
                self._limits,
                tokens=TOKENS,
                urgent=False,
                most_s=20.0,
                day=_DAY,
                not_before_s=not_before_s,
            )
            not_before_s = 0.0
            yield self._late(slot.wait_s)
            if slot.later:
                continue
            left = self._leave(ticket, slot)
            while left.full:
                yield self._late(left.wait_s)
                left = self._leave(ticket, slot)
            if not left.go:
                not_before_s = left.wait_s
                continue
            yield self._late(0.002)
            yield from self._called(ticket, slot, left)
            rest_s = self._rest_s(self.now - START_S)
            if rest_s > 0:
                yield self._dice.expovariate(1 / rest_s)

    def _called(self, ticket: str, slot: Slot, left: Left) -> Iterator[float]:
        stray = self._drawn()
        if stray is not None:
            self.seen.calls.append((self.now - START_S, False))
            yield _WIRE_S
            self._told(ticket, slot, left, stray.kind, stray.retry_after_s)
            return
        wait_s = self._account.wait_s(self.now - START_S, self._in_flight)
        if wait_s <= 0 and self._dice.random() < self._stray:
            wait_s = _STRAY_WAIT_S
        self.seen.calls.append((self.now - START_S, wait_s <= 0))
        if wait_s > 0:
            yield _WIRE_S
            self._refused(ticket, slot, left, wait_s)
            return
        self._account.admit(self.now - START_S)
        self._in_flight += 1
        yield self._call_s(self._dice)
        self._in_flight -= 1
        self._account.end(self.now - START_S, Spent(tokens=TOKENS, micro=MICRO))
        if self._deaths and self._dice.random() < self._deaths:
            return
        self._quota.end(
            LANE,
            self._limits,
            ticket,
            left_at=left.left_at,
            answered=True,
            tokens_off=0,
            micro_taken=MICRO,
            micro_usd=MICRO,
        )

    def _leave(self, ticket: str, slot: Slot) -> Left:
        return self._quota.leave(LANE, self._limits, ticket, slot, micro_usd=MICRO, day=_DAY)

    def _drawn(self) -> Stray | None:
        drawn = self._dice.random() if self._strays else 1.0
        for stray in self._strays:
            drawn -= stray.share
            if drawn < 0:
                return stray
        return None

    def _refused(self, ticket: str, slot: Slot, left: Left, wait_s: float) -> None:
        manners, knows = self._manners, wait_s != UNKNOWN_S
        asks_s = math.ceil(wait_s * 1_000) / 1_000 if manners.retry_info and knows else None
        kind = manners.kind if knows else Refusal.CAPACITY
        self._told(ticket, slot, left, kind, asks_s)

    def _told(
        self, ticket: str, slot: Slot, left: Left, kind: Refusal, retry_after_s: float | None
    ) -> None:
        self._quota.refused(
            LANE,
            self._limits,
            ticket,
            slot,
            left,
            kind=kind,
            retry_after_s=retry_after_s,
            told_per_minute=self._manners.quota_value,
            micro_taken=MICRO,
        )

    def _late(self, wait_s: float) -> float:
        """Nobody wakes up at the very moment."""
        return wait_s + abs(self._dice.gauss(0, 0.008))
