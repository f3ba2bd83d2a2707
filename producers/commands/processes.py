"""``skuscene worker``, ``simulator`` and ``demo``: verbs that start new processes."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING

from producers import display
from producers.exits import Exit

if TYPE_CHECKING:
    import argparse


def run_worker(options: argparse.Namespace) -> int:
    """Become the workers' supervisor."""
    arguments = ["--queues", options.queues, "--log-level", options.log_level]
    if options.concurrency is not None:
        arguments += ["--concurrency", str(options.concurrency)]
    return _become("worker.supervisor", arguments)


def run_simulator(options: argparse.Namespace) -> int:
    """Become the stand-in for the Gemini API."""
    return _become("worker.simulator", options.rest)


def _become(module: str, arguments: list[str]) -> Exit:
    # The worker's modules are never imported here: producers run without Pillow and the SDK.
    if not _has_worker():
        display.say(
            "this installation has no worker: install it with `pip install 'skuscene[worker]'`"
        )
        return Exit.USAGE
    sys.stdout.flush()
    sys.stderr.flush()
    return os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


def _has_worker() -> bool:
    try:
        return importlib.util.find_spec("PIL") is not None
    except ImportError:
        return False
