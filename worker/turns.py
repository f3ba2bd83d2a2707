"""When may this process's next call leave, and what does the limiter learn from its end?

1. Take a slot of the shared limiter (:mod:`catalog.quota`) and sleep until exactly then.
2. Ask once more: a refusal of somebody else's call may have come meanwhile.
3. After the call: say what it used, or how the platform refused it.

A wait that would be longer than ``most_s`` is not slept here: the message waits, and costs no
attempt. What was learnt is kept in the store as well, for a Redis that begins empty.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import structlog

from catalog import keys
from catalog.connection import StateUnavailable
from catalog.quota import Judged, Lane, Learnt, Left, Quota, Refusal, Slot
from catalog.store.port import Conflict, StoreError
from worker.errors import LaneStopped, Limited, Overloaded, RenderError, Snooze
from worker.ports import Ask, FreeTurn

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.quota_limits import QuotaLimits
    from catalog.store.port import Store
    from worker.ports import Turn

log = structlog.get_logger(__name__)

JSON: Final = "application/json"
RENEW_S: Final = 10.0
_REMEMBER_EVERY_S: Final = 30.0
_SHORTEST_NAP_S: Final = 0.2
_PLATFORM_DAY: Final = ZoneInfo("America/Los_Angeles")
"""Daily limits begin anew at midnight there (Google's page on rate limits, read 2026-08-18)."""


class TurnKeeper:
    """The limiter as one process sees it; made after the fork."""

    def __init__(
        self,
        quota: Quota,
        store: Store,
        limits: QuotaLimits,
        *,
        pool: str,
        project: str,
        most_s: float,
        is_free: Callable[[str], bool] = lambda _model: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._quota = quota
        self._store = store
        self._limits = limits
        self._pool = pool
        self._project = project
        self._most_s = most_s
        self._is_free = is_free
        self._clock = clock
        self._remembered_at: dict[Lane, float] = {}
        self._open: dict[str, Lane] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, ask: Ask, *, most_s: float | None = None) -> Turn:
        """Wait until a call may leave; the caller closes the turn.

        ``most_s`` is the longest wait, the keeper's own if not given.

        Raises:
            Snooze: not soon enough; its message comes back when it is its turn.
            LaneStopped: the day's calls are used up.
        """
        if self._is_free(ask.model):
            return FreeTurn()
        lane = Lane(pool=self._pool, project=self._project, model=ask.model)
        until = time.monotonic() + (self._most_s if most_s is None else most_s)
        ticket, not_before_s = uuid.uuid4().hex, 0.0
        while True:
            slot = self._slot(lane, ask, not_before_s, until)
            left = self._leave(lane, ask, ticket, slot, until)
            if left.go:
                self._begin(ticket, lane)
                return _Turn(self, ask, (lane, ticket), (slot, left))
            not_before_s = left.wait_s

    def stop(self) -> None:
        """Let nobody wait any longer: the process is told to end."""
        self._stopping.set()

    def close(self) -> None:
        """Stop saying what is open."""
        self._stopping.set()

    def _slot(self, lane: Lane, ask: Ask, not_before_s: float, until: float) -> Slot:
        slot = self._taken(lane, ask, not_before_s, until, begin=False)
        if slot.unknown:
            self._recall(lane)
            slot = self._taken(lane, ask, not_before_s, until, begin=True)
        if slot.day:
            raise _day_is_used_up(lane, self._limits)
        if slot.later:
            msg = f"the limits of {lane.model} let this call leave in {slot.wait_s:.0f} s"
            raise Snooze("quota.wait", msg, slot.wait_s)
        self._sleep(slot.wait_s)
        return slot

    def _taken(
        self, lane: Lane, ask: Ask, not_before_s: float, until: float, *, begin: bool
    ) -> Slot:
        return self._quota.take(
            lane,
            self._limits,
            tokens=ask.tokens,
            urgent=ask.urgent,
            most_s=max(0.0, until - time.monotonic()),
            day=self._day(),
            not_before_s=not_before_s,
            begin=begin,
        )

    def _leave(self, lane: Lane, ask: Ask, ticket: str, slot: Slot, until: float) -> Left:
        while True:
            left = self._quota.leave(
                lane, self._limits, ticket, slot, micro_usd=ask.micro_usd, day=self._day()
            )
            if left.day:
                raise _day_is_used_up(lane, self._limits)
            if left.go:
                return left
            if time.monotonic() + left.wait_s > until:
                msg = f"as much is asked of {lane.model} as it takes at the moment"
                raise Snooze("quota.wait", msg, max(_SHORTEST_NAP_S, left.wait_s))
            if not left.full:
                return left
            self._sleep(left.wait_s)

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds) if seconds > 0 else self._stopping.is_set():
            raise Snooze("stopping", "this worker is stopping: nothing was sent", _SHORTEST_NAP_S)

    def _day(self) -> str:
        return self._clock().astimezone(_PLATFORM_DAY).date().isoformat()

    def answered(
        self, ask: Ask, at: tuple[Lane, str], left: Left, *, tokens: int, micro_usd: int
    ) -> None:
        """A call brought a whole answer, with or without a picture."""
        self._ended(ask, at, left, answered=True, tokens=tokens, micro_usd=micro_usd)

    def unknown(self, ask: Ask, at: tuple[Lane, str], left: Left, *, spent: bool) -> None:
        """A call ended otherwise; ``spent`` keeps what it may have cost in the window."""
        kept = (ask.tokens, ask.micro_usd) if spent else (0, 0)
        self._ended(ask, at, left, answered=False, tokens=kept[0], micro_usd=kept[1])

    def _ended(
        self,
        ask: Ask,
        at: tuple[Lane, str],
        left: Left,
        *,
        answered: bool,
        tokens: int,
        micro_usd: int,
    ) -> None:
        lane, ticket = at
        self._forget(ticket)
        # What can't be said lapses by itself.
        with contextlib.suppress(StateUnavailable):
            self._quota.end(
                lane,
                self._limits,
                ticket,
                left_at=left.left_at,
                answered=answered,
                tokens_off=tokens - ask.tokens,
                micro_taken=ask.micro_usd,
                micro_usd=micro_usd,
            )

    def refused(
        self, ask: Ask, at: tuple[Lane, str], times: tuple[Slot, Left], fault: Limited | Overloaded
    ) -> Judged | None:
        """The platform refused a call for one of its limits."""
        lane, ticket = at
        self._forget(ticket)
        kind = Refusal.CAPACITY if isinstance(fault, Overloaded) else Refusal(fault.kind)
        told = None if isinstance(fault, Overloaded) else fault.told_per_minute
        try:
            judged = self._quota.refused(
                lane,
                self._limits,
                ticket,
                *times,
                kind=kind,
                retry_after_s=fault.asked_to_wait_s,
                told_per_minute=told,
                micro_taken=ask.micro_usd,
            )
        except StateUnavailable:
            return None
        if judged.cut:
            log.info("pace_lowered", model=lane.model, pool=lane.pool, kind=kind.value)
            self._remember(lane)
        return judged

    # -- what is open ------------------------------------------------------------------------

    def _begin(self, ticket: str, lane: Lane) -> None:
        with self._guard:
            self._open[ticket] = lane
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew, name="turns", daemon=True)
                self._thread.start()

    def _forget(self, ticket: str) -> None:
        with self._guard:
            self._open.pop(ticket, None)

    def _renew(self) -> None:
        while True:
            time.sleep(RENEW_S)
            with self._guard:
                still_open = dict(self._open)
            if not still_open and self._stopping.is_set():
                return
            for lane in set(still_open.values()):
                tickets = [ticket for ticket, of in still_open.items() if of == lane]
                with contextlib.suppress(StateUnavailable):
                    self._quota.renew(lane, tickets)

    # -- what the store remembers ------------------------------------------------------------

    def _recall(self, lane: Lane) -> None:
        """Begin with what was learnt: Redis is new, or was emptied."""
        found = self._store.read(keys.quota(lane.pool, lane.project, lane.model))
        if found is not None:
            with contextlib.suppress(ValueError):
                self._quota.seed(Learnt.from_json(found.content))

    def _remember(self, lane: Lane) -> None:
        now = time.monotonic()
        if now - self._remembered_at.get(lane, -_REMEMBER_EVERY_S) < _REMEMBER_EVERY_S:
            return
        self._remembered_at[lane] = now
        key = keys.quota(lane.pool, lane.project, lane.model)
        # A picture that was asked for must not fail because of a note.
        with contextlib.suppress(StateUnavailable, StoreError, Conflict):
            standing = self._quota.standing(lane)
            learnt = Learnt(
                pool=lane.pool,
                project=lane.project,
                model=lane.model,
                calls_per_minute=round(standing.found_per_minute or standing.told_per_minute, 3),
                calls_in_flight=round(standing.most_open, 1),
                at=self._clock(),
            )
            found = self._store.read(key)
            self._store.replace(
                key,
                learnt.to_json(indent=2),
                media_type=JSON,
                etag=found.etag if found else None,
            )


class _Turn:
    """One call's turn; only the first word about its end counts."""

    pool = platform = ""

    def __init__(
        self, keeper: TurnKeeper, ask: Ask, at: tuple[Lane, str], times: tuple[Slot, Left]
    ) -> None:
        self._keeper = keeper
        self._ask = ask
        self._at = at
        self._times = times
        self._ended = False

    def answered(self, *, tokens: int, micro_usd: int) -> None:
        if not self._ends():
            return
        self._keeper.answered(
            self._ask, self._at, self._times[1], tokens=tokens, micro_usd=micro_usd
        )

    def failed(self, fault: RenderError, *, spent: bool) -> RenderError:
        if not self._ends():
            return fault
        if not isinstance(fault, Limited | Overloaded):
            self._keeper.unknown(self._ask, self._at, self._times[1], spent=spent)
            return fault
        judged = self._keeper.refused(self._ask, self._at, self._times, fault)
        if judged is None or (isinstance(fault, Overloaded) and not judged.crowded):
            return fault
        # At once: the limiter knows when its next call may leave, and so does nobody else.
        return Snooze(fault.reason, fault.message, 0.0)

    def close(self) -> None:
        if self._ends():
            self._keeper.unknown(self._ask, self._at, self._times[1], spent=False)

    def _ends(self) -> bool:
        ended, self._ended = self._ended, True
        return not ended


def _day_is_used_up(lane: Lane, limits: QuotaLimits) -> LaneStopped:
    return LaneStopped(
        "quota.daily",
        f"{limits.requests_per_day} calls to {lane.model} were made today "
        "(SKUSCENE_QUOTA_REQUESTS_PER_DAY); the day ends at midnight US Pacific time",
    )
