"""Who waits before a call, and what is said of it meanwhile?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from catalog.work import WAITING, Begun
from tests.support.waiting import wait_for
from worker.entrance import Entrance
from worker.holds import HoldKeeper


class SaidWork:
    """Writes down who says what; nobody ever died."""

    def __init__(self) -> None:
        self.at: dict[int, str] = {}
        self.said: list[tuple[str, int, str]] = []

    def begin_work(
        self,
        import_id: str,  # noqa: ARG002  the protocol's
        part: int,  # noqa: ARG002
        slots: Collection[int],
        worker: str,  # noqa: ARG002
        *,
        stage: str,
        within_s: float,  # noqa: ARG002
    ) -> Begun:
        for slot in slots:
            self.at[slot] = stage
            self.said.append(("begins", slot, stage))
        return Begun()

    def end_work(self, import_id: str, part: int, slots: Collection[int], worker: str) -> None:  # noqa: ARG002
        for slot in slots:
            self.said.append(("ends", slot, self.at.pop(slot)))

    def go_on_working(self, *_: object, **__: object) -> None: ...
    def expect(self, *_: object, **__: object) -> None: ...
    def overdue(self, import_id: str) -> tuple[tuple[int, int], ...]:  # noqa: ARG002
        return ()

    def bury_work(self, import_id: str) -> tuple[tuple[int, int], ...]:  # noqa: ARG002
        return ()


@contextmanager
def keeper(work: SaidWork, places: int) -> Iterator[HoldKeeper]:
    holds = HoldKeeper(
        work, worker="w", ttl_s=60, renew_s=30, entrances={"generate": Entrance(places)}
    )
    try:
        yield holds
    finally:
        holds.close()


def begins(holds: HoldKeeper, slot: int, act: Callable[[], object]) -> None:
    with holds.held("imp", 0, [slot], "generate") as begun:
        assert begun == Begun()
        act()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def test_who_finds_no_place_says_that_it_waits_and_begins_when_one_leaves(
    pool: ThreadPoolExecutor,
) -> None:
    work, may_call, may_end = SaidWork(), threading.Event(), threading.Event()
    with keeper(work, places=1) as holds:

        def looks_then_calls() -> None:
            may_call.wait(20)
            holds.leave_entrance()
            may_end.wait(20)

        first = pool.submit(begins, holds, 0, looks_then_calls)
        wait_for(lambda: work.at.get(0) == "generate", timeout_s=20, what="the first at work")
        second = pool.submit(begins, holds, 1, may_end.wait)
        wait_for(lambda: work.at.get(1) == WAITING, timeout_s=20, what="the second waiting")

        may_call.set()
        wait_for(lambda: work.at.get(1) == "generate", timeout_s=20, what="the second at work")
        assert work.at == {0: "generate", 1: "generate"}

        may_end.set()
        first.result(20)
        second.result(20)
    assert work.at == {}
    assert ("ends", 1, WAITING) in work.said


def test_a_place_is_given_back_once_however_the_work_ends(pool: ThreadPoolExecutor) -> None:
    work = SaidWork()
    with keeper(work, places=1) as holds:

        def fails() -> None:
            holds.leave_entrance()
            holds.leave_entrance()
            raise RuntimeError

        for _ in range(3):
            with pytest.raises(RuntimeError):
                pool.submit(begins, holds, 0, fails).result(20)
        inside = threading.Barrier(2)
        both = [pool.submit(begins, holds, slot, lambda: inside.wait(1)) for slot in (0, 1)]
        for one in both:  # a second place would let them meet
            with pytest.raises(threading.BrokenBarrierError):
                one.result(20)


def test_other_stages_have_no_entrance() -> None:
    work = SaidWork()
    with (
        keeper(work, places=1) as holds,
        holds.held("imp", 0, [0], "generate"),
        holds.held("imp", 0, [1], "finish"),
    ):
        assert work.at == {0: "generate", 1: "finish"}
