"""What does a broker do that delivers at least once, mostly?

Messages wait, are noted as unacknowledged when they are taken, and come back when the note is older
than the visibility time-out. A message with a countdown is taken at once by a process that keeps it
in memory until its time. Pop and note are two steps: a message can vanish in between.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from catalog.claims import QUEUE_OF, QUEUES
from tests.simulation.faults import FaultPlan
from tests.simulation.fibers import Fiber, Scheduler

_MOST_REPEATS = 8


@dataclass(slots=True)
class Message:
    """A payload for a task, as JSON, not to be worked before ``ready_at``."""

    task: str
    payload: str
    ready_at: float


@dataclass(slots=True)
class Delivery:
    """A message in a process's hands; ``noted_until`` ends the broker's patience."""

    number: int
    message: Message
    process: str
    noted_until: float


class Broker:
    """The queues of one Redis."""

    def __init__(
        self, scheduler: Scheduler, rng: random.Random, *, visibility_s: float, plan: FaultPlan
    ) -> None:
        self.plan = plan
        self.idle: list[Fiber] = []
        self.alive: Callable[[], list[str]] = list
        self._scheduler = scheduler
        self._rng = rng
        self._visibility_s = visibility_s
        self._repeats = 0
        self._numbers = itertools.count(1)
        self._waiting: list[Message] = []
        self._unacked: dict[int, Delivery] = {}
        self._kept: dict[str, list[Delivery]] = {}

    def put(self, task: str, payload: str, *, countdown_s: float = 0.0) -> str:
        """Take a message in; says what became of it."""
        # Bounded: a message that is snoozed and repeated each time would fill the world.
        again = self._repeats < _MOST_REPEATS and self._rng.random() < self.plan.repeat
        self._repeats += again
        times = 2 if again else 1
        for _ in range(times):
            late_s = self._rng.uniform(0, 30) if self._rng.random() < self.plan.delay else 0.0
            self._put(Message(task, payload, self._scheduler.now + countdown_s + late_s))
        return "twice" if times > 1 else "once"

    def take(self, process: str) -> Delivery | None:
        """Hand the oldest message that may be worked to a process."""
        now = self._scheduler.now
        self._give_up_on_late(now)
        for delivery in self._kept.get(process, ()):
            if delivery.message.ready_at <= now:
                self._kept[process].remove(delivery)
                return delivery
        for message in self._waiting:
            if message.ready_at > now:
                continue
            self._waiting.remove(message)
            if self._rng.random() < self.plan.drop:
                return None  # the connection broke between the pop and its note
            return self._note(message, process)
        return None

    def next_at(self, process: str) -> float:
        """When is there something to take, as far as is known?"""
        next_at = math.inf
        for message in self._waiting:
            next_at = min(next_at, message.ready_at)
        for one in self._kept.get(process, ()):
            next_at = min(next_at, one.message.ready_at)
        for delivery in self._unacked.values():
            next_at = min(next_at, delivery.noted_until)
        return next_at

    def ack(self, delivery: Delivery) -> None:
        """Forget a message that was worked."""
        self._unacked.pop(delivery.number, None)

    def give_back(self, process: str, *, noted: bool = True) -> None:
        """A process has gone: its messages come back, now if it said good-bye, else later.

        Without notes they never do.
        """
        self._kept.pop(process, None)
        for number, delivery in list(self._unacked.items()):
            if delivery.process != process:
                continue
            del self._unacked[number]
            if noted:
                self._put(delivery.message)

    def forget(self, process: str) -> None:
        """A process was killed: what it kept is gone, the notes stand."""
        self._kept.pop(process, None)

    def empty(self) -> None:
        """Redis lost everything; what processes keep in memory stays there."""
        self._waiting.clear()
        self._unacked.clear()

    def saved(self) -> tuple[list[Message], list[Delivery]]:
        """What a file of now would hold."""
        return list(self._waiting), list(self._unacked.values())

    def load(self, saved: tuple[list[Message], list[Delivery]]) -> None:
        """Start again with such a file; what processes keep in memory stays there."""
        self._waiting = list(saved[0])
        self._unacked = {delivery.number: delivery for delivery in saved[1]}
        self._wake()

    def depths(self) -> dict[str, int]:
        """Messages waiting per queue; those that somebody has taken are not among them."""
        found = dict.fromkeys(QUEUES, 0)
        for message in self._waiting:
            found[QUEUE_OF[message.task]] += 1
        return found

    def _put(self, message: Message) -> None:
        alive = self.alive()
        if message.ready_at > self._scheduler.now and alive:
            process = self._rng.choice(alive)
            self._kept.setdefault(process, []).append(self._note(message, process))
        else:
            self._waiting.append(message)
        self._wake()

    def _wake(self) -> None:
        for fiber in self.idle:
            self._scheduler.wake(fiber)

    def _note(self, message: Message, process: str) -> Delivery:
        until = self._scheduler.now + self._visibility_s
        delivery = Delivery(next(self._numbers), message, process, until)
        self._unacked[delivery.number] = delivery
        return delivery

    def _give_up_on_late(self, now: float) -> None:
        late = [one for one in self._unacked.values() if one.noted_until <= now]
        for delivery in late:
            del self._unacked[delivery.number]
            self._waiting.append(delivery.message)
