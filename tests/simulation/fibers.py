"""How do several simulated threads take turns, the same way for the same seed?

Each fiber is a greenlet: the core is plain blocking code, and a greenlet lets it stop anywhere.
Whoever pauses picks who goes on and switches over, or goes on itself.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable
from heapq import heappop, heappush

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """This fiber's process has died: no ``except Exception`` of the core may see it."""


class Deadlock(Exception):
    """Every fiber waits for another one."""


class Fiber:
    """One simulated thread; ``killed`` makes it end at its next turn."""

    __slots__ = ("done", "killed", "name", "number", "ready", "run", "thread", "wake_at")

    def __init__(self, name: str, number: int, run: Callable[[], None]) -> None:
        self.name = name
        self.number = number
        self.run = run
        self.wake_at = math.inf
        self.ready = False
        self.killed = False
        self.done = False
        self.thread: greenlet | None = None


class Scheduler:
    """Who runs, and what time is it?

    Time moves only when nobody can run. ``stay`` is the chance that whoever pauses goes on at once:
    near 0 every effect is interleaved, near 1 whole jobs run undisturbed.
    """

    def __init__(self, rng: random.Random, *, start_s: float, stay: float) -> None:
        self.now = start_s
        self.error: BaseException | None = None
        self._random = rng.random
        self._stay = stay
        self._fibers: list[Fiber] = []
        self._spawned = 0
        self._ready: list[Fiber] = []
        self._numbers: list[int] = []
        """Who is ready, in the order in which they were spawned, and their numbers."""
        self._asleep: list[tuple[float, int, Fiber]] = []
        """A heap; whoever was woken since is in it in vain."""
        self.current: Fiber
        """The fiber that runs now."""
        self._finished = False
        self._killed = False
        self._main = getcurrent()

    def spawn(self, name: str, run: Callable[[], None], *, in_s: float = 0.0) -> Fiber:
        """Add a fiber; it first runs when it is picked."""
        self._spawned += 1
        fiber = Fiber(name, self._spawned, run)
        self._fibers.append(fiber)
        self._sleep(fiber, self.now + in_s)
        return fiber

    def run(self) -> None:
        """Run until somebody calls ``finish``, then end every fiber.

        Raises:
            BaseException: what a fiber did not handle.
        """
        self._main = getcurrent()
        self._go_on(self._pick())
        self._finished = False
        for fiber in self._fibers:
            fiber.killed = True
        while self._fibers:
            self._go_on(self._fibers[0])
        if self.error is not None:
            raise self.error

    def finish(self) -> None:
        """End the run at this fiber's next pause."""
        self._finished = True

    def pause(self, for_s: float = 0.0) -> None:
        """Let others run, for at least ``for_s`` of virtual time.

        Raises:
            Killed: our process died meanwhile.
        """
        me = self.current
        if me.killed:
            raise Killed(me.name)
        if for_s > 0.0:
            self._sleep(me, self.now + for_s)
        elif not self._finished and (len(self._ready) == 1 or self._random() < self._stay):
            return
        self._yield(me)

    def park(self, until: float = math.inf) -> None:
        """Wait until somebody wakes us, or until a time."""
        me = self.current
        if me.killed:
            raise Killed(me.name)
        self._sleep(me, until)
        self._yield(me)

    def wake(self, fiber: Fiber) -> None:
        """Let a parked fiber go on."""
        if not fiber.ready and not fiber.done:
            self._rise(fiber)

    def kill(self, fiber: Fiber) -> None:
        """Let a fiber unwind before anybody else runs; ours unwinds at its next pause."""
        fiber.killed = self._killed = True
        self.wake(fiber)

    def _sleep(self, fiber: Fiber, until: float) -> None:
        fiber.wake_at = until
        if until <= self.now:
            if not fiber.ready:
                self._rise(fiber)
            return
        if fiber.ready:
            self._lie_down(fiber)
        if until < math.inf:  # else it waits to be woken
            heappush(self._asleep, (until, fiber.number, fiber))

    def _rise(self, fiber: Fiber) -> None:
        fiber.ready = True
        numbers, number = self._numbers, fiber.number
        at = bisect_left(numbers, number)
        numbers.insert(at, number)
        self._ready.insert(at, fiber)

    def _lie_down(self, fiber: Fiber) -> None:
        fiber.ready = False
        # Whoever lies down is who runs: one of a few, and found as fast as by its number.
        at = self._ready.index(fiber)
        del self._numbers[at], self._ready[at]

    def _yield(self, me: Fiber) -> None:
        ready = self._ready
        chosen: Fiber | None
        if ready and not self._killed and not self._finished:  # as nearly always
            chosen = ready[int(self._random() * len(ready))]
        else:
            chosen = None if self._finished else self._pick()
        if chosen is not me:
            if chosen is None:
                self._main.switch(None)
            elif chosen.thread is None:
                self._main.switch(chosen)  # whoever begins comes back to where it was begun
            else:
                self.current = chosen
                chosen.thread.switch()
            self.current = me
        if me.killed:
            raise Killed(me.name)

    def _pick(self) -> Fiber | None:
        ready = self._ready
        if not ready and not self._let_time_pass():
            self.error = Deadlock("nobody can go on")
            return None
        if self._killed:  # they unwind before anybody else runs
            for fiber in ready:
                if fiber.killed:
                    return fiber
            self._killed = False
        return ready[int(self._random() * len(ready))]

    def _let_time_pass(self) -> bool:
        """Go to the next time at which somebody wakes up; says whether there is one."""
        asleep = self._asleep
        while asleep:
            until, _, fiber = heappop(asleep)
            if fiber.ready or fiber.done or fiber.wake_at != until:
                continue  # woken since
            if self._ready and until > self.now:
                heappush(asleep, (until, fiber.number, fiber))
                break
            self.now = until
            self._rise(fiber)
        return bool(self._ready)

    def _go_on(self, fiber: Fiber | None) -> None:
        """Let fibers run, from this one on, until nobody is to go on."""
        while fiber is not None:
            self.current = fiber
            if fiber.thread is None:
                fiber.thread = greenlet(self._live)
                fiber = fiber.thread.switch(fiber)
            else:
                fiber = fiber.thread.switch()

    def _live(self, fiber: Fiber) -> Fiber | None:
        """Run a fiber to its end; returns who goes on then."""
        try:
            if not fiber.killed:
                fiber.run()
        except Killed:
            pass
        except BaseException as exc:  # noqa: BLE001  handed to whoever runs the simulation
            self.error = self.error or exc
            self._finished = True
        fiber.done = True
        self._fibers.remove(fiber)
        if fiber.ready:
            self._lie_down(fiber)
        unwinding = not self._fibers or all(other.killed for other in self._fibers)
        return None if self._finished or unwinding else self._pick()


class Flag:
    """``threading.Event`` on the virtual clock, as far as the core uses it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Fiber] = []

    def set(self) -> None:
        self._set = True
        for fiber in self._waiting:
            self._scheduler.wake(fiber)

    def wait(self, timeout: float) -> bool:
        if not self._set:
            scheduler = self._scheduler
            me = scheduler.current
            self._waiting.append(me)
            try:
                scheduler.park(scheduler.now + timeout)
            finally:
                self._waiting.remove(me)
        return self._set


class Ticks(Flag):
    """A flag that a thread waits for between two ticks.

    While ``is_idle`` a tick would do nothing, so the thread sleeps until it is told that there is
    ``work``; then it ticks when it would have, had it never slept.
    """

    def __init__(self, scheduler: Scheduler, is_idle: Callable[[], bool]) -> None:
        super().__init__(scheduler)
        self._is_idle = is_idle

    def work(self) -> None:
        """There may be something to do at the next tick."""
        for fiber in self._waiting:
            if fiber.wake_at == math.inf:
                self._scheduler.wake(fiber)

    def wait(self, timeout: float) -> bool:
        scheduler = self._scheduler
        next_at = scheduler.now + timeout
        while self._is_idle() and not self._set:
            super().wait(math.inf)
            missed = math.ceil((scheduler.now - next_at) / timeout)
            next_at += max(0, missed) * timeout
        return super().wait(next_at - scheduler.now)


class Guard:
    """``threading.Lock`` on the virtual clock: held across effects without stopping the world."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._waiting: list[Fiber] = []

    def __enter__(self) -> None:
        me = self._scheduler.current
        while self._held:
            self._waiting.append(me)
            try:
                self._scheduler.park()
            finally:
                self._waiting.remove(me)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
        for fiber in self._waiting:
            self._scheduler.wake(fiber)
