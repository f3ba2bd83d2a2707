"""How is a claim worked in a process of its own?

For what has killed three processes: the next one has nothing else in it that could be lost, and
what ends it is seen by its parent. ``python -m worker.alone`` reads the claim from standard input.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from worker import jobs
from worker.ports import SilentHolds

if TYPE_CHECKING:
    from catalog.claims import Claim

_LONGEST_S = 900.0
_AT_ONCE = threading.Semaphore(2)
"""Each costs an interpreter; after many kills many renders may have to run alone."""
OUTAGE = 75
"""The exit code for "not now, a service is away", as sysexits.h has it."""


def work_alone(task: str, claim: Claim) -> bool:
    """Work a claim in a new process; says whether that came to an end by itself.

    What takes longer than a quarter of an hour is ended, and was never going to.

    Raises:
        Outage: Redis or the store is away.
    """
    with _AT_ONCE:
        return _worked(task, claim)


def _worked(task: str, claim: Claim) -> bool:
    order = json.dumps({"task": task, "payload": claim.model_dump(mode="json")})
    child = subprocess.Popen(
        [sys.executable, "-m", "worker.alone"],
        stdin=subprocess.PIPE,
        text=True,
        env=os.environ | {"SKUSCENE_PARENT_PID": str(os.getpid())},
    )
    try:
        child.communicate(order, timeout=_LONGEST_S)
    except subprocess.TimeoutExpired:
        return False
    finally:
        child.kill()
        child.wait()
    if child.returncode > 0:  # it could not begin, or a service is away: that is no death
        msg = f"the process that works alone ended with exit code {child.returncode}"
        raise jobs.Outage(msg)
    return child.returncode == 0


def main() -> int:
    """Work the claim that standard input names."""
    from worker.app import make_process
    from worker.supervisor import die_with_parent
    from worker.tasks import WORK

    die_with_parent(signal.SIGKILL)
    if os.getppid() != int(os.environ.get("SKUSCENE_PARENT_PID", "0")):
        return OUTAGE  # it died before it could take us along
    order = json.loads(sys.stdin.read())
    work = WORK[order["task"]]
    process = make_process()
    try:
        # Its parent says who is at work.
        desk = dataclasses.replace(process.desk(), alone=None, holds=SilentHolds())
        jobs.run(order["task"], order["payload"], work, desk)
    except jobs.Outage as exc:
        sys.stderr.write(f"{exc}\n")
        return OUTAGE
    finally:
        process.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
