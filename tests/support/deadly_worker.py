"""How are a product's workers run so that they can be killed before any effect, many times?

``python -m tests.support.deadly_worker`` stands in for ``skuscene worker``: the same command line
for each stage, under a :class:`tests.support.effects.Scythe`. What ends is started again at once,
by a fork of a process that has loaded everything already, because a Python that starts takes
longer than a render.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.claims import QUEUES
from catalog.settings import Settings, read_settings
from tests.support.effects import Orders, Scythe, write_commands
from worker.supervisor import LOADED, LOADED_TO_BUY, arguments_of, die_with_parent, stages

if TYPE_CHECKING:
    from types import FrameType

FOLDER = "DEADLY_FOLDER"
"""The variable that names the folder of the orders."""
_MOST_STARTS = 400
_LOADED = (*LOADED, *LOADED_TO_BUY, "celery.bin.celery", "google.genai", "httpx2")


def main() -> int:
    """Keep one process per stage alive until told to stop."""
    settings = read_settings()
    _load(settings)
    scythe = Scythe(
        Orders(Path(os.environ[FOLDER])),
        store=str(settings.store),
        spool=settings.spool_folder,
        writes=write_commands(str(settings.redis_url)),
    )
    waiting = [arguments_of(stage, "info") for stage in stages(QUEUES, settings, None)]
    running: dict[int, list[str]] = {}
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for pid in running:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for _ in range(_MOST_STARTS):
        while waiting and not stopping:
            command = waiting.pop()
            pid = os.fork()
            if pid == 0:
                return _work(command, scythe)
            running[pid] = command
        if not running:
            break
        ended, status = os.waitpid(-1, 0)
        sys.stderr.write(f"{running[ended][5]} ended ({os.waitstatus_to_exitcode(status)})\n")
        waiting.append(running.pop(ended))
    return 0 if stopping else 1


def _load(settings: Settings) -> None:
    """Load what a worker of any stage does; start no thread, open nothing."""
    for name in _LOADED:
        importlib.import_module(name)
    if str(settings.store).startswith("s3:"):
        importlib.import_module("catalog.store.s3")


def _work(command: list[str], scythe: Scythe) -> int:
    os.setsid()
    die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    scythe.install()
    from worker.main import work

    return work(command)


if __name__ == "__main__":
    sys.exit(main())
