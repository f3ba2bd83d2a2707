"""How does one stage's Celery worker start, and how does it say that it can't?

``python -m worker.main -A worker -q worker ...`` is ``celery -A worker -q worker ...`` with our
exit codes, 2 for a setting and 4 for a service, and without loading Celery's other commands and
their plugins: those are a quarter of what a worker takes to start.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import warnings
from typing import TYPE_CHECKING

from catalog.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMAND = "worker"


def work(arguments: Sequence[str]) -> int:
    """Run Celery's worker command with what stands behind its name; returns the exit code."""
    # In a container the worker is root of nothing else; Celery's warning would hide our lines.
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    # For whoever is on call: where does every thread stand?
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    from worker.app import make_celery

    # Celery shows them in `ps`.
    sys.argv = [sys.argv[0], *arguments]
    # "-A worker" comes before the command's name.
    command = len(arguments) - arguments[::-1].index(_COMMAND)
    try:
        context = CLIContext(app=make_celery(), no_color=None, workdir=None, quiet=True)
        worker.main(args=list(arguments[command:]), prog_name="celery worker", obj=context)
    except SettingsError as exc:
        sys.stderr.write(f"skuscene worker: {exc}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(work(sys.argv[1:]))
