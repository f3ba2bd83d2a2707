"""How does one simulated run go, from its seed to its verdict?

Everything that happens follows from the seed: who runs next, what fails, what the model answers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import math
import os
import random
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import producers.control
import producers.retrying
from catalog import claims, keys
from catalog.claims import claim_name
from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.epoch import Recovery
from catalog.imports import Control, Import
from catalog.money import Usd
from catalog.results import ResultLine
from catalog.revisions import open_revision
from catalog.store.port import Store, StoreError
from producers.importing import hand_over
from producers.reporting import UnknownImport
from producers.retrying import AGAIN, RetryRefused, Selection, retry
from producers.services import Services
from tests.simulation.auditor import Auditor, Broken
from tests.simulation.broker import Broker
from tests.simulation.faults import FaultPlan, drawn
from tests.simulation.fibers import Fiber, Killed, Scheduler
from tests.simulation.patches import patched, read_payload, take_apart
from tests.simulation.ports import (
    QueueClient,
    SimulatedRedis,
    StoreClient,
    at,
    reach_redis,
)
from tests.simulation.process import LEASE_S, LIMITS, RECONCILE_S, Job, Process
from tests.support.desk import MONDAY, PRICE, STORE_ID, Wanted, _plan, wanted
from tests.support.memory import MemoryStore
from worker.ports import Limits

_ORDERED_AT_S: Final = 1.0
"""When the first import is ordered where workers are up before it."""
PATIENCE_S: Final = 36 * RECONCILE_S
"""How long after the last fault an import may still run: lost messages come back by rounds."""
_MOST_EFFECTS: Final = 60_000
_AWAY: Final = (StateUnavailable, QueueUnavailable, StoreError)
VISIBILITY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a run."""

    seed: int
    broken: tuple[Broken, ...]
    plan: FaultPlan
    effects: int
    calls: int
    digest: str
    last: tuple[str, ...]


class World:
    """One run."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(f"run {seed}")
        self.plan = drawn(seed)
        self.scheduler = Scheduler(self.rng, start_s=MONDAY.timestamp(), stay=self.plan.stay)
        self.store = MemoryStore()
        self.redis = SimulatedRedis(lambda: self.scheduler.now)
        self.redis.lease_s = LEASE_S
        self.broker = Broker(self.scheduler, self.rng, visibility_s=VISIBILITY_S, plan=self.plan)
        self.broker.alive = lambda: [one.name for one in self.processes if one.alive]
        self.auditor = Auditor(self.store, self.plan, LIMITS, self.scheduler.now)
        self.auditor.spent = self.redis.spent
        self.spools = Path(tempfile.gettempdir()) / f"sks-simulation-{os.getpid()}-{seed}"
        self.shelves: set[Path] = set()
        """Folders of spools that something was written to."""
        self.auditor.spools = self.spools
        self.limits = Limits(
            **{name: getattr(LIMITS, name) for name in Limits.__dataclass_fields__}
            | {"window": self.plan.window}
        )
        plan = self.plan
        self.may_store_fail = bool(plan.store_fails or plan.store_away)
        self.may_redis_fail = bool(plan.redis_fails or plan.redis_away)
        self._may_be_hit = bool(plan.most_crashes or plan.slow)
        """Whether anything can happen to a process at an effect."""
        self.processes: list[Process] = []
        self.born: list[Process] = []
        """Every process there ever was."""
        self.crashes = 0
        self.effects = 0
        self.ids = itertools.count()
        self._trace: deque[tuple[float, str, str, object]] = deque(maxlen=None if trace else 60)
        self._jobs: dict[Fiber, Job] = {}
        self._start = self.scheduler.now
        self._kind_at = self._start + self.plan.lasting_s
        self._ended_well: dict[str, bool] = {}
        self._planned: list[Import] = []
        self._budgets: dict[str, Usd] = {}
        self._saved: tuple[Any, Any] = (None, None)
        self._retrying: set[str] = set()

    # -- time and chance ---------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since 1970."""
        return self.scheduler.now

    @property
    def since_start(self) -> float:
        """Virtual seconds since the run began."""
        return self.scheduler.now - self._start

    @property
    def is_faulty(self) -> bool:
        """Whether anything may still go wrong."""
        return self.scheduler.now < self._kind_at

    @property
    def is_redis_away(self) -> bool:
        """Whether nobody reaches Redis now."""
        away = self.plan.redis_away
        return bool(away) and _is_within(self.since_start, away)

    @property
    def is_store_away(self) -> bool:
        """Whether nobody reaches the store now."""
        away = self.plan.store_away
        return bool(away) and self.is_faulty and _is_within(self.since_start, away)

    def clock(self) -> datetime:
        """The same as aware time."""
        return at(self.scheduler.now)

    def is_odd(self, text: str, share: float) -> bool:
        """Whether this is among the share of things that are odd in this world, always."""
        if share == 0.0:
            return False
        drawn = hashlib.sha256(f"{self.seed} {text}".encode()).digest()
        return int.from_bytes(drawn[:4]) < share * 2**32

    # -- effects -----------------------------------------------------------------------------

    def effect(self, process: Process | None, name: str, facts: object = None) -> None:
        """Let others run before something takes place; our process may die here.

        Raises:
            Killed: it did.
        """
        scheduler = self.scheduler
        scheduler.pause()
        me = scheduler.current
        self.effects += 1
        if self.effects > _MOST_EFFECTS:
            self.auditor.breaks("too_many_effects", f"{self.effects}")
            scheduler.finish()
        self._trace.append((scheduler.now, me.name, name, facts))
        job = self._jobs.get(me)
        if job is not None and job.calls:
            self.auditor.does(job.calls, name)
        if not self._may_be_hit or scheduler.now >= self._kind_at:
            return
        if process is None or process.is_lone:
            return
        plan = self.plan
        if self.crashes < plan.most_crashes and self.rng.random() < plan.crash:
            victim = process if self.rng.random() < 0.7 else self.rng.choice(self.processes)
            self.crash(victim)
            if victim is process:
                raise Killed(process.name)
        if plan.slow and self.rng.random() < plan.slow:
            scheduler.pause(self.rng.uniform(0.3, 2.5))

    def note(self, name: str, facts: object = None) -> None:
        """Write down what happens."""
        # Written out when somebody asks: most runs are never read.
        self._trace.append((self.scheduler.now, self.scheduler.current.name, name, facts))

    def store_fails(self) -> str:
        """Whether the store fails now, and if so, before or after it did what was asked."""
        if not self.may_store_fail or self.scheduler.now >= self._kind_at:
            return ""
        if self.is_store_away:
            return self._store_failed("before")
        if self.plan.store_fails and self.rng.random() < self.plan.store_fails:
            return self._store_failed(self.rng.choice(("before", "after")))
        return ""

    def _store_failed(self, when: str) -> str:
        self.note(f"  the store fails {when}")
        job = self._jobs.get(self.scheduler.current)
        if job is not None:
            job.store_failed = True
        return when

    def redis_fails(self) -> str:
        """Whether Redis fails now, and if so, before or after it did what was asked."""
        if not self.may_redis_fail or self.scheduler.now >= self._kind_at:
            return ""
        if self.is_redis_away:
            return "before"
        if self.plan.redis_fails and self.rng.random() < self.plan.redis_fails:
            when = self.rng.choice(("before", "after"))
            self.note(f"  Redis fails {when}")
            return when
        return ""

    def crash(self, process: Process) -> None:
        """SIGKILL; somebody starts another process after a while."""
        if not process.alive:
            return
        if process.is_lone:
            self._die(process)
            return
        self.crashes += 1
        self.note(f"*** {process.name} is killed")
        self._end(process)
        self._ended_well[process.name] = False
        noted = self.rng.random() >= self.plan.lose_notes
        if self.rng.random() < 0.5:
            self.broker.give_back(process.name, noted=noted)
        elif noted:
            self.broker.forget(process.name)
        else:
            self.broker.give_back(process.name, noted=False)
        self._start_again(process)

    def _end(self, process: Process) -> None:
        for lone in process.lone:
            if lone.alive:
                self._die(lone)
        self._die(process)
        self.processes.remove(process)

    def _die(self, process: Process) -> None:
        process.alive = False
        self.auditor.process_dies(process.name)
        process.spool.let_go()
        for fiber in process.fibers:
            if not fiber.done:
                self.scheduler.kill(fiber)

    def _start_again(self, process: Process) -> None:
        life = int(process.name.rpartition("-")[2]) + 1
        self.scheduler.spawn(
            f"start {process.number}",
            lambda: self.processes.append(Process(self, process.number, life)),
            in_s=self.rng.uniform(0.5, 5),
        )

    def wake_idle(self) -> None:
        """Let waiting threads look around."""
        for fiber in self.broker.idle:
            self.scheduler.wake(fiber)

    # -- jobs --------------------------------------------------------------------------------

    def begin(self, task: str, sent: str) -> Job:
        """Remember what this fiber is at."""
        payload = read_payload(sent)
        claim = f"{payload['import_id']}/{task}"
        if "slot" in payload:
            claim = claim_name(payload["import_id"], payload["part"], payload["slot"])
        job = self._jobs[self.scheduler.current] = Job(claim)
        self.note(f"begins {task}", payload)
        self.auditor.job_begins(payload)
        return job

    def job(self) -> Job:
        """What this fiber is at."""
        return self._jobs[self.scheduler.current]

    def intent_cached(self, import_id: str, intent: str) -> None:
        """Remember since when Redis says so."""
        known = self.auditor.wanted.get(import_id)
        if known is None or known[0] != intent:
            self.auditor.wanted[import_id] = (intent, self.now)

    # -- the run -----------------------------------------------------------------------------

    def run(self) -> Verdict:
        """Play it to the end."""
        self.scheduler.spawn("director", self._direct)
        try:
            self.scheduler.run()
        except Exception as exc:  # noqa: BLE001  a fault of the simulation is a failure of the run
            self.auditor.breaks("simulation_broke", repr(exc))
        finally:
            if self.shelves:
                shutil.rmtree(self.spools, ignore_errors=True)
        return Verdict(
            seed=self.seed,
            broken=tuple(self.auditor.broken),
            plan=self.plan,
            effects=self.effects,
            calls=len(self.auditor.calls),
            digest=self._digest() if self._trace.maxlen is None else "",
            last=tuple(self._told()) if self.auditor.broken or self._trace.maxlen is None else (),
        )

    def _direct(self) -> None:
        for number in range(self.plan.processes):
            self.processes.append(Process(self, number, 0))
        # An import that is there before Redis has an epoch is waited for by all who would buy.
        first = _ORDERED_AT_S if self.seed % 4 else 0.0
        self.scheduler.spawn("people", lambda: self._people(0, first))
        if self.plan.second_import_at is not None:
            second = self.plan.second_import_at
            self.scheduler.spawn("people2", lambda: self._people(1, second))
        for when, act in sorted(self._events(), key=lambda event: event[0]):
            self.scheduler.pause(max(0.0, when - self.since_start))
            act()
        self._let_last()
        self._resume_all()
        while not self._is_over() and self.since_start < self.plan.lasting_s + PATIENCE_S:
            self.scheduler.pause(5.0)
        self._judge_liveness()
        # What is at work when all has ended ends as well, or its lease does.
        until = self.now + LIMITS.model_deadline_s
        while any(process.working for process in self.processes) and self.now < until:
            self.scheduler.pause(1.0)
        # And a Redis that was lost at the end is told by the next round what ended meanwhile.
        until = self.now + 3 * RECONCILE_S
        while self.redis.recovery() is not Recovery.DONE and self.now < until:
            self.scheduler.pause(5.0)
        self.scheduler.pause(LEASE_S + 1.0)
        self._stop_all()
        self._judge_rest()
        self.scheduler.finish()

    def _let_last(self) -> None:
        """Let faults happen for as long as the plan says, or until there is nothing to break."""
        while self.is_faulty:
            if self._is_all_published():
                self._kind_at = self.now
                return
            left_s = self.plan.lasting_s - self.since_start
            self.scheduler.pause(min(left_s + 0.001, 5.0))

    def _is_all_published(self) -> bool:
        ordered = 1 if self.plan.second_import_at is None else 2
        return (
            len(self._planned) == ordered
            and not self._retrying
            and all(self._is_published(imported.import_id) for imported in self._planned)
        )

    def _events(self) -> Iterator[tuple[float, Callable[[], None]]]:
        for when in self.plan.redis_emptied:
            yield when, self._empty_redis
        for _, when in self.plan.redis_away:
            yield when, self._restart_redis
        for saved, when in self.plan.redis_goes_back:
            yield saved, self._save_redis
            yield when, self._load_redis
        for when in self.plan.stops:
            yield when, self._stop_one
        for when, number, word in self.plan.orders:
            yield when, functools.partial(self._order, number, word)

    def _empty_redis(self) -> None:
        self.note("*** Redis is emptied")
        self.auditor.redis_lost += 1
        self.auditor.epoch_since = math.inf
        self.auditor.wanted.clear()
        self.redis.clear()
        self.broker.empty()

    def _restart_redis(self) -> None:
        if self.seed % 3:  # else it was the network
            self.note("*** Redis is started again")
            self.redis.run += 1

    def _save_redis(self) -> None:
        self._saved = (self.redis.saved(), self.broker.saved())

    def _load_redis(self) -> None:
        self.note("*** Redis is started with an older file")
        self.auditor.redis_lost += 1
        self.auditor.epoch_since = math.inf
        self.redis.load(self._saved[0])
        self.broker.load(self._saved[1])

    def _stop_one(self) -> None:
        alive = [process for process in self.processes if process.alive and not process.stopping]
        if alive:
            process = self.rng.choice(alive)
            self.scheduler.spawn(f"stop {process.name}", lambda: self._stop(process))

    def _stop(self, process: Process) -> None:
        self.note(f"*** {process.name} is told to stop")
        if process.stop():
            self._end(process)
            self._ended_well[process.name] = True
            self.broker.give_back(process.name)
            self._start_again(process)

    def _stop_all(self) -> None:
        for process in list(self.processes):
            if process.stop():
                self._end(process)
                self._ended_well[process.name] = True

    # -- people ------------------------------------------------------------------------------

    def _people(self, number: int, when: float) -> None:
        """Order an import, until somebody takes the order."""
        self.scheduler.pause(when)
        import_id = f"import-{number}"
        shards = _feed(random.Random(f"feed {self.seed} {number}"), number)
        if self.plan.softer:
            rng = random.Random(f"softer feed {self.seed} {number}")
            shards = [[_softened(rng, one, self.plan.softer) for one in shard] for shard in shards]
        budget = None
        if self.rng.random() < self.plan.budget:
            budget = self._budgets[import_id] = Usd(PRICE.micro * 3 // 2)
        imported = _plan(
            cast("Store", self.store), import_id, shards, self.clock(), budget_usd=budget
        )
        self._planned.append(imported)
        if self.plan.retries:
            self._retrying.add(import_id)
        self._insist(lambda services: hand_over(imported, services))
        for _ in range(self.plan.retries):
            while not self._is_published(import_id) and self.since_start < 2 * PATIENCE_S:
                self.scheduler.pause(self.rng.uniform(1, 10))
            self._retry(import_id)
        self._retrying.discard(import_id)

    def _retry(self, import_id: str) -> None:
        def act(services: Services) -> None:
            with contextlib.suppress(RetryRefused):
                retry(services, import_id, Selection(statuses=AGAIN))

        self.note(f"*** retry {import_id}")
        self._insist(act)

    def _is_published(self, import_id: str) -> bool:
        return open_revision(cast("Store", self.store), import_id) is None

    def _order(self, number: int, word: str) -> None:
        self.scheduler.spawn(f"{word} {number}", lambda: self._tell(number, word))

    def _tell(self, number: int, word: str) -> None:
        act = getattr(producers.control, word)

        def tell(services: Services) -> None:
            with contextlib.suppress(producers.control.ControlRefused, UnknownImport):
                act(services, f"import-{number}")

        self.note(f"*** {word} import-{number}")
        self._insist(tell)

    def _insist(self, act: Callable[[Services], None]) -> None:
        services = Services(
            store=cast("Store", StoreClient(self, None)),
            store_id=STORE_ID,
            state=reach_redis(self, None),
            queue=cast("Any", QueueClient(self, None)),
        )
        while True:
            try:
                act(services)
            except _AWAY:
                self.scheduler.pause(4.0)
            else:
                return

    def _resume_all(self) -> None:
        for imported in self._planned:
            if self.plan.left_paused:
                continue
            control = self._control(imported.import_id)
            if control.intent == "pause":
                self.scheduler.spawn("resume", functools.partial(self._resume, imported.import_id))

    def _resume(self, import_id: str) -> None:
        def act(services: Services) -> None:
            with contextlib.suppress(producers.control.ControlRefused):
                producers.control.resume(services, import_id, budget=Usd(10_000_000))

        self._insist(act)

    # -- the verdict -------------------------------------------------------------------------

    def _control(self, import_id: str) -> Control:
        return Control.from_json(self.store.content(keys.control(import_id)))

    def _is_over(self) -> bool:
        return all(self._has_ended(imported.import_id) for imported in self._planned)

    def _has_ended(self, import_id: str) -> bool:
        if import_id not in self._retrying and self._is_published(import_id):
            return import_id not in self.redis.running()
        control = self._control(import_id)
        if control.intent != "pause":
            return False
        if self.plan.left_paused:
            return True
        # Paused again meanwhile, by a budget or by a call that left while the key was broken.
        self.scheduler.spawn("resume", functools.partial(self._resume, import_id))
        return False

    def _judge_liveness(self) -> None:
        for imported in self._planned:
            if not self._has_ended(imported.import_id):
                self.auditor.breaks(f"never_ends.{self._kind()}", self._stuck(imported.import_id))

    def _kind(self) -> str:
        if self.plan.poison:
            return "poison"
        return "redis_lost_twice" if self.auditor.redis_lost > 1 else "anyhow"

    def _stuck(self, import_id: str) -> str:
        progress = self.redis.progress(import_id)
        return f"{import_id}: {self._control(import_id).intent}, {progress}"

    def _judge_rest(self) -> None:
        for render_id in self.redis.leases():
            kind = "spooled" if self.redis.is_spooled(render_id) else self._kind()
            self.auditor.breaks(f"lease_not_back.{kind}", render_id)
        for import_id in self.redis.feeders():
            self.auditor.breaks(f"feeder_not_back.{self._kind()}", import_id)
        self.auditor.closes(graceful=self._ended_well)

    def _told(self) -> Iterator[str]:
        for now, who, name, facts in self._trace:
            yield f"{now - self._start:8.2f} {who} {name}{_said(facts)}"

    def _digest(self) -> str:
        """One number for all that happened and all that is in the store."""
        digest = hashlib.sha256()
        for now, who, name, _ in self._trace:
            digest.update(f"{who} {name} {now}".encode())
        for key in self.store.keys:
            digest.update(key.encode() + self.store.content(key))
        return digest.hexdigest()


def _is_within(moment: float, spans: tuple[tuple[float, float], ...]) -> bool:
    return any(begin <= moment < end for begin, end in spans)


def simulate(seed: int, *, trace: bool = False) -> Verdict:
    """Play one seed."""
    world = World(seed, trace=trace)
    with patched(world):
        verdict = world.run()
    take_apart(world)
    return verdict


def _feed(rng: random.Random, number: int) -> list[list[Wanted]]:
    """One to three products, in shards; the second import wants some of what the first wants."""
    products = rng.choice((1, 1, 1, 1, 1, 2, 2, 3) if number == 0 else (1, 1, 1, 1, 2))
    shards: list[list[Wanted]] = [[]]
    for at_ in range(products):
        name = f"p{at_}" if number == 0 or rng.random() < 0.7 else f"q{at_}"
        scenes = ["kitchen", "beach"][: rng.choice((1, 1, 1, 1, 2))]
        photos = [f"https://shop.example/{name}.jpg"]
        if rng.random() < 0.2:
            photos.append(f"https://shop.example/{name}-2.jpg")
        # Two products may ask for the very same picture.
        prompts = {scenes[0]: "the same"} if rng.random() < 0.1 else {}
        files = ("web",) if number == 0 else rng.choice((("web",), ("web", "merchant")))
        if shards[-1] and rng.random() < 0.5:
            shards.append([])
        shards[-1].append(wanted(name, *scenes, photos=photos, prompts=prompts, renditions=files))
    return shards


def _softened(rng: random.Random, product: Wanted, share: float) -> Wanted:
    """The product with softer prompts for some scenes; another import may name others."""
    return dataclasses.replace(
        product,
        softer={
            scene: tuple(f"{prompt}, softer {n}" for n in rng.sample(range(4), rng.randint(1, 3)))
            for scene, prompt in product.scenes.items()
            if rng.random() < share
        },
    )


def _said(facts: object) -> str:
    if facts is None:
        return ""
    if isinstance(facts, tuple):
        return " " + ", ".join(_short(fact) for fact in facts)
    return " " + _short(facts)


def _short(fact: object) -> str:
    if isinstance(fact, claims.Claim):
        fact = fact.model_dump(mode="json")
    if isinstance(fact, dict):
        return " ".join(
            f"{name}={fact[name]}"
            for name in ("import_id", "part", "product", "slot", "attempt", "doubtful", "refeed")
            if name in fact
        )
    if isinstance(fact, ResultLine):
        return f"{fact.slot} {fact.status} {fact.reason} {fact.cost_usd}"
    return str(fact)[:60]
