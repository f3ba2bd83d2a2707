"""Do the processes of `skuscene worker` begin, come back after a kill, and end with it?"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from catalog.claims import QUEUES
from tests.support.deaths import process_of
from tests.support.running import House, house
from tests.support.waiting import wait_for


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _ready(shop: House) -> int:
    return (shop.folder / "workers.log").read_text().count('"worker_ready"')


@pytest.mark.parametrize("store", ["directory", "s3"])
def test_each_stage_is_a_process_that_comes_back_when_it_is_killed(
    tmp_path: Path, store: str
) -> None:
    with house(tmp_path, store=store, simulator=False) as shop, shop.workers() as supervisor:
        stages = {queue: process_of(supervisor.pid, queue) for queue in QUEUES}
        ready = _ready(shop)

        for pid in stages.values():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: _ready(shop) == ready + len(QUEUES), 30, "all stages ready again")

        again = {queue: process_of(supervisor.pid, queue) for queue in QUEUES}
        assert not {*stages.values()} & {*again.values()}
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait(30) == 0
        assert not any(_is_alive(pid) for pid in again.values())


def test_stages_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with house(tmp_path, simulator=False) as shop, shop.workers() as supervisor:
        stages = [process_of(supervisor.pid, queue) for queue in QUEUES]

        os.kill(supervisor.pid, signal.SIGKILL)

        wait_for(lambda: not any(map(_is_alive, stages)), 30, "all stages to end")


def test_a_stage_that_is_told_to_stop_while_it_begins_does_so(tmp_path: Path) -> None:
    """It is a copy of a process that makes something else of the signal."""
    with (
        house(tmp_path, simulator=False) as shop,
        shop.workers(wait_ready=False) as supervisor,
    ):
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
        wait_for(lambda: bool(children.read_text()), 30, "a stage begins")
        pid = int(children.read_text().split()[0])

        os.kill(pid, signal.SIGTERM)

        wait_for(lambda: not _is_alive(pid), 10, "it to end")
