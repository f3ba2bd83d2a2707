"""What runs in a soak, and who dies when?

Workers as processes of their own, a Redis that can be killed and emptied, and the schedule of
kills, rolling restarts and Redis's deaths. Everything that is started here ends here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, Self

import redis

from catalog.transport import lists_of
from producers.embedded import find_server
from tests.support.running import free_port
from worker.simulator.credentials import label_caller
from worker.supervisor import die_with_parent

if TYPE_CHECKING:
    from benchmarks._s3_faults import S3FaultProxy

_LOOK_S = 0.2
_COUNT_S = 1.0
_RESTART_S = 1.0
_REDIS_AWAY_S = 2.0
_REDIS_START_S = 20.0
_IDLE_S = 15.0
_SAY_EVERY_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What a soak does to its workers; times in seconds, ``None`` is never.

    Kills come at random intervals of ``kill_every_s`` on average; even ones would fall in step with
    leases and calls. ``first_kill_s`` sets the time of the first.
    ``redis_file_at`` and ``redis_empty_at`` are shares of the renders that are done when Redis is
    killed and comes back with its file, or without.
    """

    latency_s: str
    deadline_s: float
    kill_every_s: float
    roll_every_s: float | None
    calls_per_worker: int
    first_kill_s: float | None = None
    victims: tuple[str, ...] = ("generate", "finish")
    redis_file_at: tuple[float, ...] = ()
    redis_empty_at: tuple[float, ...] = ()
    # A call in flight, and the put of its answer: what the product's own supervisor waits.
    grace_s: float = 70.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The end of a process that was not asked to end; ``caller`` names it in the model's books."""

    at: float
    worker: str
    caller: str
    how: str


@dataclass(slots=True, kw_only=True)
class Chronicle:
    """What happened, in Unix time."""

    began: float = field(default_factory=time.time)
    ended: float = 0.0
    deaths: list[Death] = field(default_factory=list)
    encoders_killed: int = 0
    rolled: int = 0
    redis_restarts: list[float] = field(default_factory=list)
    redis_emptied: list[float] = field(default_factory=list)
    messages_emptied: int = 0
    finished: bool = False

    def count(self, how: str) -> int:
        """Deaths of one kind."""
        return sum(1 for death in self.deaths if death.how == how)


class Subject(Protocol):
    """A system that is soaked."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def queues(self) -> Sequence[str]:
        """Its queues, each with a worker of its own or two."""
        ...

    def command(self, queue: str, name: str) -> list[str]:
        """How one of its workers is started."""
        ...

    def variables(self) -> dict[str, str]:
        """The environment of its workers."""
        ...

    async def begin(self) -> None:
        """Plan and enqueue."""
        ...

    def done(self, proxy: S3FaultProxy) -> int:
        """Renders that have come through, as far as the store knows."""
        ...

    def is_complete(self, proxy: S3FaultProxy) -> bool:
        """Whether there is nothing more to wait for."""
        ...


class MortalRedis:
    """A Redis with an append-only file, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "redis"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [
                *(str(find_server()), "--port", str(self._port), "--bind", "127.0.0.1"),
                *("--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "everysec"),
                *("--save", "", "--maxmemory-policy", "noeviction"),
                *("--logfile", str(self._folder.parent / "redis.log")),
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_too,  # noqa: PLW1509
        )
        until = time.monotonic() + _REDIS_START_S
        while not self._answers():
            if time.monotonic() > until or self._process.poll() is not None:
                message = f"Redis did not start: {self._folder.parent / 'redis.log'}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Empty its folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def messages(self, queues: Sequence[str]) -> int:
        """Messages that wait or are unacknowledged."""
        with self._client() as client:
            counts: list[Any] = [client.llen(one) for queue in queues for one in lists_of(queue)]
            counts.append(client.hlen("unacked"))
            return sum(int(count) for count in counts)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self._client() as client:
            return bool(client.ping())
        return False

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5.0)


@dataclass(slots=True, kw_only=True)
class Worker:
    """A place in the crew, and the process that fills it now."""

    name: str
    queue: str
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    leaving: bool = False
    again_at: float = 0.0

    @property
    def key(self) -> str:
        """The model key of the present process; each process has one of its own."""
        return f"soak-{self.name}-{self.starts}"

    @property
    def lives(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None


class Crew:
    """Starts, kills and replaces workers."""

    def __init__(self, subject: Subject, folder: Path, chronicle: Chronicle) -> None:
        self._subject = subject
        self._folder = folder
        self._chronicle = chronicle
        counts = {"generate": 2, "finish": 2}
        self.workers = [
            Worker(name=f"{queue}-{number}", queue=queue)
            for queue in subject.queues
            for number in range(1, counts.get(queue, 1) + 1)
        ]

    def __enter__(self) -> Self:
        for worker in self.workers:
            self._start(worker)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.process is not None:
                _kill_group(worker.process)

    def watch(self) -> None:
        """Replace who has ended by itself, after a second."""
        for worker in self.workers:
            if worker.leaving or worker.lives:
                continue
            if worker.process is not None:
                self._record(worker, "ended by itself")
                worker.process, worker.again_at = None, time.monotonic() + _RESTART_S
            elif time.monotonic() >= worker.again_at:
                self._start(worker)

    def kill_one(self, dice: Random, queues: Sequence[str]) -> None:
        """Kill a worker of these queues; of a finish worker sometimes an encoder alone."""
        living = [one for one in self.workers if one.queue in queues and one.lives]
        if not living:
            return
        victim = dice.choice(living)
        if victim.queue == "finish" and dice.random() < 1 / 2 and self._kill_encoder(victim, dice):
            return
        self._kill(victim, "killed")
        self._start(victim)

    async def roll(self, grace_s: float) -> None:
        """Ask one worker after the other to end, and replace it."""
        for worker in self.workers:
            process = worker.process
            if process is None or not worker.lives:
                continue
            worker.leaving = True
            try:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await _ended(process, grace_s)
                if worker.process is process:  # else it was killed and replaced meanwhile
                    if worker.lives:
                        self._kill(worker, "killed after the grace")
                    self._start(worker)
            finally:
                worker.leaving = False
        self._chronicle.rolled += 1

    async def leave(self, grace_s: float) -> None:
        """Ask all to end, and wait for them."""
        for worker in self.workers:
            worker.leaving = True
            if worker.process is not None and worker.lives:
                worker.process.terminate()
        for worker in self.workers:
            if worker.process is not None:
                await _ended(worker.process, grace_s)

    def _start(self, worker: Worker) -> None:
        worker.starts += 1
        worker.leaving = False
        with (self._folder / f"{worker.name}.log").open("ab") as log:
            worker.process = subprocess.Popen(
                self._subject.command(worker.queue, f"{worker.name}-{worker.starts}"),
                env={**self._subject.variables(), "GEMINI_API_KEY": worker.key},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_too,  # noqa: PLW1509
            )

    def _kill(self, worker: Worker, how: str) -> None:
        if worker.process is not None:
            self._record(worker, how)
            _kill_group(worker.process)

    def _kill_encoder(self, worker: Worker, dice: Random) -> bool:
        if worker.process is None:
            return False
        pid = worker.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
            os.kill(int(dice.choice(children)), signal.SIGKILL)
        except (OSError, IndexError):  # it has none yet, or this is no Linux
            return False
        self._chronicle.encoders_killed += 1
        return True

    def _record(self, worker: Worker, how: str) -> None:
        self._chronicle.deaths.append(
            Death(at=time.time(), worker=worker.name, caller=label_caller(worker.key), how=how)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """A subject among everything that can die."""

    subject: Subject
    crew: Crew
    server: MortalRedis
    proxy: S3FaultProxy
    weather: Weather
    chronicle: Chronicle
    renders: int
    seed: int

    async def run(self, minutes: float) -> None:
        """Run until the subject has nothing more to do, or the time is over."""
        await self.subject.begin()
        self.chronicle.began = time.time()
        troubles = [self._kills(), self._watch(), self._redis_deaths()]
        if self.weather.roll_every_s is not None:
            troubles.append(self._rolls(self.weather.roll_every_s))
        tasks = [asyncio.create_task(trouble) for trouble in troubles]
        try:
            await self._wait(tasks, minutes)
            self.chronicle.finished = self.subject.is_complete(self.proxy)
            self.chronicle.ended = time.time()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._say()
        await self.crew.leave(self.weather.grace_s)

    async def _wait(self, tasks: list[asyncio.Task[None]], minutes: float) -> None:
        until, say_at = time.monotonic() + minutes * 60, 0.0
        idle = Idle(self.server, self.subject.queues)
        while time.monotonic() < until and not self.subject.is_complete(self.proxy):
            for task in tasks:
                if task.done():
                    task.result()
            if time.monotonic() > say_at:
                say_at = time.monotonic() + _SAY_EVERY_S
                self._say()
            if idle.is_over():
                return
            await asyncio.sleep(_COUNT_S)

    async def _kills(self) -> None:
        dice = Random(f"kills {self.seed}")
        rate = 1 / self.weather.kill_every_s
        wait_s = self.weather.first_kill_s or dice.expovariate(rate)
        while True:
            await asyncio.sleep(wait_s)
            self.crew.kill_one(dice, self.weather.victims)
            wait_s = dice.expovariate(rate)

    async def _rolls(self, every_s: float) -> None:
        while True:
            due = time.monotonic() + every_s
            await asyncio.sleep(every_s)
            await self.crew.roll(self.weather.grace_s)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.crew.watch()

    async def _redis_deaths(self) -> None:
        plan = [(share, False) for share in self.weather.redis_file_at]
        plan += [(share, True) for share in self.weather.redis_empty_at]
        for share, empties in sorted(plan):
            await _until(partial(self._is_through, share), every_s=_COUNT_S)
            await self._kill_redis(empties=empties)

    def _is_through(self, share: float) -> bool:
        return self.subject.done(self.proxy) >= share * self.renders

    async def _kill_redis(self, *, empties: bool) -> None:
        if empties:
            self.chronicle.messages_emptied += self.server.messages(self.subject.queues)
        self.server.kill()
        chronicle = self.chronicle
        (chronicle.redis_emptied if empties else chronicle.redis_restarts).append(time.time())
        if empties:
            self.server.forget()
        await asyncio.sleep(_REDIS_AWAY_S)
        self.server.start()

    def _say(self) -> None:
        chronicle = self.chronicle
        sys.stderr.write(
            f"{self.subject.name}: {time.time() - chronicle.began:.0f} s, "
            f"{self.subject.done(self.proxy)} of {self.renders} through, "
            f"{chronicle.count('killed')} workers and {chronicle.encoders_killed} encoders "
            f"killed, {chronicle.rolled} rolling restarts\n"
        )
        sys.stderr.flush()


class Idle:
    """Whether Redis has held no message at all for so long that none will come."""

    def __init__(self, server: MortalRedis, queues: Sequence[str]) -> None:
        self._server = server
        self._queues = queues
        self._looked = 0.0
        self._since: float | None = None

    def is_over(self) -> bool:
        """Look at most once a second; only a system without anyone to feed it again is over.

        One with a control worker gets its messages anew.
        """
        now = time.monotonic()
        if "control" in self._queues or now - self._looked < 1.0:
            return False
        self._looked = now
        try:
            empty = self._server.messages(self._queues) == 0
        except redis.RedisError:
            empty = False
        self._since = (self._since or now) if empty else None
        return self._since is not None and now - self._since > _IDLE_S


async def _ended(process: subprocess.Popen[bytes], within_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await _until(lambda: process.poll() is not None)


async def _until(holds: Callable[[], bool], *, every_s: float = _LOOK_S) -> None:
    while not holds():  # noqa: ASYNC110  what is waited for happens in other processes
        await asyncio.sleep(every_s)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _die_too() -> None:
    die_with_parent(signal.SIGKILL)
