"""Which processes does ``skuscene worker`` start, and what if one ends?

One Celery worker per queue with threads where it waits; where it computes, one for each picture at
a time. None has children: in Celery's pool of processes a result was seen that never reached the
parent, after the child before had been killed, and the stage stood still. A worker that ends
unasked is started again; SIGTERM is passed on and waited for.

On Linux a stage is a fork of the supervisor, which has loaded what stages need and runs no thread:
loading it cost each of four processes 2 s of CPU and 55 MB, and again after each kill.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from catalog.claims import QUEUES
from catalog.settings import Settings, SettingsError, read_settings
from worker.main import work
from worker.services import SETTING_WRONG, CannotStart, check_services, check_spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from types import FrameType

_POOLS = {"prepare": "threads", "generate": "threads", "finish": "solo", "control": "threads"}
_RESTART_S = 1.0
_LONGEST_RESTART_S = 30.0
_STEADY_S = 10.0
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
if sys.platform == "linux":
    _STARTS = multiprocessing.get_context("fork")
else:  # where the system's own libraries may not be used in a fork
    _STARTS = multiprocessing.get_context("spawn")
LOADED = (
    "celery.apps.worker",
    "celery.bin.worker",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "worker.app",
)
"""What every stage loads, by names that Celery finds as well."""
LOADED_TO_BUY = ("worker.gemini.model",)
"""What only the stage that buys loads: it is begun last, so that the others need not wait."""


@dataclass(slots=True)
class Stage:
    """A worker process of a queue, which of them it is, and its history."""

    queue: str
    concurrency: int
    number: int = 1
    process: BaseProcess | None = None
    started_at: float = 0.0
    falls: int = 0
    again_at: float = field(default=0.0)


class Supervisor:
    """Keeps one worker process per stage alive until it is told to stop."""

    def __init__(self, stages: Sequence[Stage], *, grace_s: float, log_level: str) -> None:
        self._stages = stages
        self._grace_s = grace_s
        self._log_level = log_level
        self._stopping = False

    def run(self) -> None:
        """Run until stopped."""
        for number in _SIGNALS:
            signal.signal(number, self._stop)
        for stage in sorted(self._stages, key=lambda stage: stage.queue == "generate"):
            self._start(stage)
        while not self._stopping:
            for stage in self._stages:
                self._look(stage)
            time.sleep(0.2)
        self._end()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, stage: Stage) -> None:
        stage.started_at = time.monotonic()
        if sys.platform == "linux":
            _load(stage)
        # A daemon is told to stop, should we end by an error; another would be waited for.
        stage.process = _STARTS.Process(
            target=_run, args=(stage.queue, arguments_of(stage, self._log_level)), daemon=True
        )
        # A signal between the fork and what the stage makes of signals would be ours in its copy.
        with _signals_held():
            stage.process.start()

    def _look(self, stage: Stage) -> None:
        now = time.monotonic()
        if stage.process is None:
            if now >= stage.again_at:
                self._start(stage)
            return
        code = stage.process.exitcode
        if code is None:
            return
        stage.process.close()
        stage.falls = 0 if now - stage.started_at > _STEADY_S else stage.falls + 1
        wait_s = min(_RESTART_S * 2 ** max(0, stage.falls - 1), _LONGEST_RESTART_S)
        stage.process, stage.again_at = None, now + wait_s
        sys.stderr.write(
            f"skuscene worker: {stage.queue} ended ({code}); again in {wait_s:.0f} s\n"
        )

    def _end(self) -> None:
        running = [stage.process for stage in self._stages if stage.process is not None]
        for process in running:
            process.terminate()
        until = time.monotonic() + self._grace_s
        for process in running:
            process.join(max(0.1, until - time.monotonic()))
            if process.exitcode is None and process.pid is not None:
                os.killpg(process.pid, signal.SIGKILL)


def stages(queues: Sequence[str], settings: Settings, concurrency: int | None) -> list[Stage]:
    """The stages for some queues; ``concurrency`` overrides the settings'."""
    of = {
        "prepare": settings.prepare_concurrency,
        "generate": settings.generate_concurrency,
        "finish": settings.finish_concurrency,
        "control": settings.control_concurrency,
    }
    found = []
    for name in queues:
        wanted = concurrency or of[name]
        if _POOLS[name] == "solo":
            found += [Stage(queue=name, concurrency=1, number=at + 1) for at in range(wanted)]
        else:
            found.append(Stage(queue=name, concurrency=wanted))
    return found


def arguments_of(stage: Stage, log_level: str) -> list[str]:
    """What ``celery`` is told to work a stage."""
    return [
        *("-A", "worker", "-q", "worker"),
        *("-Q", stage.queue, "-P", _POOLS[stage.queue], "-c", str(stage.concurrency)),
        *("-n", f"{stage.queue}-{stage.number}-{os.getpid()}@%h", "-l", log_level),
        *("--without-gossip", "--without-mingle", "-E"),
    ]


def _load(stage: Stage) -> None:
    """Load what a stage does, so that its fork need not; start no thread.

    Raises:
        RuntimeError: a thread runs, whose locks a fork would inherit for good.
    """
    for name in (*LOADED, *(LOADED_TO_BUY if stage.queue == "generate" else ())):
        importlib.import_module(name)
    if threading.active_count() > 1:
        msg = f"threads run in the supervisor: {threading.enumerate()}"
        raise RuntimeError(msg)
    # What the collector never touches stays shared between all processes.
    gc.collect()
    gc.freeze()


def _run(queue: str, arguments: Sequence[str]) -> None:
    """Be a stage, in a process that has just begun."""
    # Its own session: a Ctrl-C at the terminal reaches the supervisor, which passes it on once.
    os.setsid()
    die_with_parent()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    gc.unfreeze()
    setproctitle(f"skuscene worker {queue}")
    sys.exit(work(arguments))


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Let the kernel end this process when its parent is killed (Linux; elsewhere a no-op)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse what ``skuscene worker`` passes on, and run."""
    parser = argparse.ArgumentParser(prog="skuscene worker")
    parser.add_argument("--queues", default=",".join(QUEUES))
    parser.add_argument("--concurrency", type=int, default=None)
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args(arguments)
    queues = [name.strip() for name in options.queues.split(",") if name.strip()]
    unknown = [name for name in queues if name not in QUEUES]
    if unknown or not queues:
        sys.stderr.write(f"skuscene worker: unknown queue {unknown}; there are {QUEUES}\n")
        return SETTING_WRONG
    try:
        settings = read_settings()
        # Once, before four processes say the same. Later a service may go and come back.
        check_services(settings)
        if "generate" in queues:
            check_spool(settings)
    except SettingsError as exc:
        sys.stderr.write(f"skuscene worker: {exc}\n")
        return SETTING_WRONG
    except CannotStart as exc:
        sys.stderr.write(f"skuscene worker: {exc}\n")
        return exc.code
    chosen = stages(queues, settings, options.concurrency)
    Supervisor(chosen, grace_s=settings.stop_grace_s, log_level=options.log_level).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
