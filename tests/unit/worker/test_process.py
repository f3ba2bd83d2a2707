"""The clients of a worker process are its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from catalog.queue import connect
from catalog.settings import read_settings
from worker.app import Process

if TYPE_CHECKING:
    from pathlib import Path


def test_a_forked_child_makes_a_desk_of_its_own(tmp_path: Path) -> None:
    settings = read_settings(
        redis_url="redis://127.0.0.1:1/0",
        store=(tmp_path / "store").as_uri(),
        spool_dir=tmp_path / "spool",
    )
    process = Process(settings, connect(settings, "redis://127.0.0.1:1/0"))
    ours = process.desk()
    reading, writing = os.pipe()

    child = os.fork()
    if child == 0:  # the name of a worker is its process's own
        os.write(writing, process.desk().worker.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        theirs = said.read()

    assert theirs
    assert theirs != ours.worker
    assert process.desk() is ours
    process.close()
