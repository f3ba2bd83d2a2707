"""What is a simulated worker process made of, and how does it work, stop and die?

The real keepers, ledger, spool and reconciler; their threads are fibers, their clock is virtual.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from catalog import claims
from catalog.models import load_models
from catalog.store.port import Store
from tests.simulation.auditor import Call
from tests.simulation.broker import Delivery
from tests.simulation.fibers import Fiber, Flag, Guard, Ticks
from tests.simulation.ports import (
    DeadlyImaging,
    ModelClient,
    QueueClient,
    ShopClient,
    StoreClient,
    reach_redis,
)
from tests.support.batches import MemoryGathering
from tests.support.desk import STORE_ID
from worker import jobs
from worker.app import Process as WorkerProcess
from worker.holds import HoldKeeper
from worker.leases import LeaseKeeper
from worker.ledger import StoreLedger
from worker.ports import Desk, Limits, SilentHolds
from worker.spool import Spool, SpooledAnswer, _Folder
from worker.tasks import WORK

if TYPE_CHECKING:
    from tests.simulation.world import World

LEASE_S: Final = 18.0
RENEW_S: Final = 6.0
RECONCILE_S: Final = 40.0
FLUSH_S: Final = 4.0
SPOOL_AGE_S: Final = 86_400.0
LIMITS: Final = Limits(
    window=100,
    max_attempts=3,
    max_doubtful=2,
    retry_backoff_s=2.0,
    retry_backoff_max_s=20.0,
    model_deadline_s=20.0,
    put_deadline_s=6.0,
    lease_s=LEASE_S,
    source_max_age_s=3_600.0,
    refusal_max_age_s=86_400.0,
)
_MODELS: Final = load_models()


@dataclass(slots=True)
class Job:
    """What a fiber is at, and the calls it made."""

    claim: str
    calls: list[Call] = field(default_factory=list)
    store_failed: bool = False


class _Leases(LeaseKeeper):
    """The real keeper; its thread is a fiber."""

    def __init__(self, state: Any, world: World, process: Process) -> None:
        super().__init__(state, ttl_s=LEASE_S, renew_s=RENEW_S, beat=state.beat)
        self._process = process
        self._running = False
        self._ticks = Ticks(world.scheduler, lambda: not self._held)
        self._stopped = cast("Any", self._ticks)

    def _start(self) -> None:
        if not self._running:
            self._running = True
            self._process.spawn("leases", self._renew)
        self._ticks.work()


class _Holds(HoldKeeper):
    """The real keeper of holds; its thread is a fiber."""

    def __init__(self, state: Any, world: World, process: Process) -> None:
        super().__init__(state, worker=process.name, ttl_s=LEASE_S, renew_s=RENEW_S)
        self._process = process
        self._running = False
        self._ticks = Ticks(world.scheduler, lambda: not self._held)
        self._stopped = cast("Any", self._ticks)

    def _start(self) -> None:
        if not self._running:
            self._running = True
            self._process.spawn("holds", self._speak)
        self._ticks.work()


class _Ledger(StoreLedger):
    """The real ledger; its thread is a fiber, and its lock lets others run."""

    def __init__(self, store: Store, world: World, process: Process) -> None:
        booked = process.state.booked
        super().__init__(
            store,
            worker=process.name,
            flush_s=FLUSH_S,
            close_s=LIMITS.put_deadline_s,
            booked=booked,
        )
        self._guard = cast("Any", Guard(world.scheduler))
        self._ticks = Ticks(world.scheduler, lambda: not (self._waiting or self._owed))
        self._stopped = cast("Any", self._ticks)
        process.spawn("ledger", self._tick)

    def _start(self) -> None:
        self._ticks.work()


class _Shelf(_Folder):
    """The real folder, which nobody lists before there is something in it."""

    def __init__(self, path: Path, used: set[Path]) -> None:
        super().__init__(path)
        self._used = used

    def write(self, answer: SpooledAnswer, content: bytes) -> tuple[Path, int]:
        self._used.add(self.path)
        return super().write(answer, content)

    def files(self) -> list[Path]:
        return super().files() if self.path in self._used else []


class _Spool(Spool):
    """The real spool in a real folder; its thread is a fiber, its process lets go when killed."""

    def __init__(self, folder: Path, store: Store, world: World, process: Process) -> None:
        super().__init__(
            folder,
            store,
            process.state,
            process.state,
            process.ledger,
            host=folder.name,
            put_deadline_s=LIMITS.put_deadline_s,
            max_age_s=SPOOL_AGE_S,
            mark_every_s=RENEW_S,
            clock=world.clock,
            sleep=world.scheduler.pause,
            monotonic=lambda: world.now,
            background=False,
        )
        self._folder = _Shelf(folder, world.shelves)
        self._draining = cast("Any", Guard(world.scheduler))
        self._stopped = cast("Any", Flag(world.scheduler))
        if world.may_store_fail:  # else nothing ever waits here
            process.spawn("spool", self._drain)
            process.spawn("marks", self._keep_marked)

    def let_go(self) -> None:
        """What the end of a process does to its files."""
        for held in self._held.values():
            os.close(held.lock)
        self._held.clear()


class _Reconciler(WorkerProcess):
    """The real loop that watches the epoch and reconciles, on the virtual clock."""

    def __init__(self, world: World, process: Process) -> None:
        self.settings = cast(
            "Any",
            SimpleNamespace(
                model_deadline_s=LIMITS.model_deadline_s, reconcile_every_s=RECONCILE_S
            ),
        )
        self._process = process
        self._state = cast("Any", process.desk_.state)
        self._stopped = cast("Any", Flag(world.scheduler))
        self._at_rest = threading.Event()

    def desk(self) -> Desk:
        return self._process.desk_


class Process:
    """A worker process: a desk, some threads that work messages, and its housekeeping.

    A ``lone`` one works a single claim for another process, and dies with it.
    """

    def __init__(self, world: World, number: int, life: int, *, lone: str = "") -> None:
        self.name = f"w{number}-{life}{lone}"
        world.born.append(self)
        self.is_lone = bool(lone)
        self.lone: list[Process] = []
        self.world = world
        self.number = number
        self.alive = True
        self.stopping = False
        self.fibers: list[Fiber] = []
        self.working = 0
        store = cast("Store", StoreClient(world, self))
        state = self.state = reach_redis(world, self)
        self.leases = _Leases(state, world, self)
        self.holds = _Holds(state, world, self)
        self.ledger = _Ledger(store, world, self)
        # One disk per machine: every second world has all its processes on the same one.
        folder = world.spools / f"host{number if world.seed % 2 else 0}"
        self.spool = _Spool(folder, store, world, self)
        self.desk_ = Desk(
            store=store,
            store_id=STORE_ID,
            state=state,
            work=state,
            queue=QueueClient(world, self),
            leases=self.leases,
            calls=state,
            gathering=MemoryGathering(world.redis, lambda: world.now),
            alone=None if lone else self._work_alone,
            holds=SilentHolds() if lone else self.holds,
            spool=self.spool,
            ledger=self.ledger,
            fetch=ShopClient(world, self),
            imaging=DeadlyImaging(world, self),
            ask=ModelClient(world, self).ask,
            models=_MODELS,
            platform="developer",
            limits=world.limits,
            worker=self.name,
            public_base_url=None,
            clock=world.clock,
            chance=world.rng.random,
        )
        if lone:
            return
        self.reconciler = _Reconciler(world, self)
        for thread in range(world.plan.threads):
            self.spawn(f"thread{thread}", self._work)
        self.spawn("reconciler", self.reconciler._reconcile)

    def spawn(self, name: str, run: Callable[[], None]) -> None:
        """Add a thread to this process."""
        self.fibers.append(self.world.scheduler.spawn(f"{self.name}.{name}", run))

    def _work_alone(self, task: str, claim: claims.Claim) -> bool:
        process = Process(self.world, self.number, 0, lone=f"-{self.name}-{next(self.world.ids)}")
        self.lone.append(process)
        outage: list[jobs.Outage] = []

        def work() -> None:
            stage = WORK[task]
            payload = claim.model_dump_json()
            job = self.world.begin(task, payload)
            try:
                jobs.run(task, payload, stage, process.desk_)
            except jobs.Outage as exc:
                outage.append(exc)
            self.world.auditor.job_ends(
                job.calls, self.world.now, store_failed=job.store_failed, acked=not outage
            )
            process.closes()

        process.spawn("work", work)
        at_work = process.fibers[-1]
        while not at_work.done:
            self.world.scheduler.pause(0.5)
        lived, process.alive = process.alive, False
        if outage:
            raise outage[0]
        return lived

    def closes(self) -> None:
        """Close what writes or renews."""
        self.leases.close()
        self.holds.close()
        self.spool.close()
        self.ledger.close()

    def stop(self) -> bool:
        """SIGTERM: no new work, what is at work ends; says whether it did within the grace."""
        self.stopping = True
        self.world.wake_idle()
        until = self.world.now + LIMITS.model_deadline_s + LIMITS.put_deadline_s + 10.0
        while self.working and self.alive and self.world.now < until:
            self.world.scheduler.pause(0.5)
        if not self.alive:
            return False
        if self.working:
            self.world.crash(self)
            return False
        closing = self.world.scheduler.spawn(f"{self.name}.close", self._close)
        self.fibers.append(closing)
        while not closing.done:
            self.world.scheduler.pause(0.1)
        return self.alive

    def _close(self) -> None:
        self.reconciler._stopped.set()
        self.closes()
        if self.world.is_store_away:
            # The takes tell of these; nobody can write them down now.
            self.world.auditor.unwritten[self.name] = len(self.ledger._waiting)

    def _work(self) -> None:
        broker, scheduler = self.world.broker, self.world.scheduler
        while not self.stopping:
            # Asking in vain changes nothing, so it is no effect.
            next_at = broker.next_at(self.name)
            has_any = next_at <= scheduler.now
            delivery = self._take() if has_any and not self.world.is_redis_away else None
            if delivery is not None:
                self.working += 1
                self._worked(delivery)
                self.working -= 1
                continue
            if has_any:
                next_at = broker.next_at(self.name)
            me = scheduler.current
            broker.idle.append(me)
            try:
                scheduler.park(max(next_at, scheduler.now + 0.5))
            finally:
                broker.idle.remove(me)

    def _take(self) -> Delivery | None:
        self.world.effect(self, "take")
        return self.world.broker.take(self.name)

    def _worked(self, delivery: Delivery) -> None:
        message = delivery.message
        stage = WORK[message.task]
        job = self.world.begin(message.task, message.payload)
        try:
            jobs.run(message.task, message.payload, stage, self.desk_)
        except jobs.Outage:
            self._job_ends(job, acked=False)
            self._retry(delivery)
            return
        self._job_ends(job, acked=True)
        self.world.effect(self, f"ack {message.task}")
        self.world.broker.ack(delivery)

    def _job_ends(self, job: Job, *, acked: bool) -> None:
        self.world.auditor.job_ends(
            job.calls, self.world.now, store_failed=job.store_failed, acked=acked
        )

    def _retry(self, delivery: Delivery) -> None:
        """What Celery's ``retry`` does: send it again with a countdown, then acknowledge it."""
        self.world.effect(self, f"retry {delivery.message.task}")
        if self.world.redis_fails():
            return
        self.world.broker.put(delivery.message.task, delivery.message.payload, countdown_s=5.0)
        self.world.broker.ack(delivery)
