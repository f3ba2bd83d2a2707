"""When does a worker notice that it takes no messages any more?"""

from __future__ import annotations

import threading

import pytest

from worker.watch import LOOKS, Standstill, Watch


def looks(*, waiting: int = 3, received: int = 7, has_room: bool = True, n: int = LOOKS) -> bool:
    """What the last of so many equal looks says."""
    standstill = Standstill(received=7)
    said = [
        standstill.look(waiting=waiting, received=received, has_room=has_room) for _ in range(n)
    ]
    assert not any(said[:-1])
    return said[-1]


def test_messages_that_wait_beside_room_for_them_are_a_standstill() -> None:
    assert looks()


@pytest.mark.parametrize("why", [{"waiting": 0}, {"has_room": False}, {"n": LOOKS - 1}])
def test_a_worker_with_nothing_to_take_stands_not_still(why: dict[str, int | bool]) -> None:
    assert not looks(**why)  # type: ignore[arg-type]


def test_a_message_in_between_begins_the_count_anew() -> None:
    standstill = Standstill()
    received = [0] * (LOOKS - 1) + [1] * LOOKS

    said = [standstill.look(waiting=1, received=so_far, has_room=True) for so_far in received]

    assert not any(said)
    assert standstill.look(waiting=1, received=1, has_room=True)


def test_it_ends_only_when_what_was_begun_is_done() -> None:
    idle, ended, asked = threading.Event(), threading.Event(), threading.Semaphore(0)

    def is_idle() -> bool:
        asked.release()
        return idle.is_set()

    watch = Watch(
        ["generate"],
        depths=lambda: {"generate": 2, "finish": 0},
        received=lambda: 0,
        has_room=lambda: True,
        is_idle=is_idle,
        end=ended.set,
        every_s=0.01,
    )
    watch.start()
    for _ in range(3):
        assert asked.acquire(timeout=20)
    assert not ended.is_set()

    idle.set()
    assert ended.wait(20)


def test_a_message_for_another_stage_is_not_missed() -> None:
    looked = threading.Semaphore(0)
    ended = threading.Event()

    def depths() -> dict[str, int]:
        looked.release()
        return {"generate": 0, "finish": 5}

    watch = Watch(
        ["generate"],
        depths=depths,
        received=lambda: 0,
        has_room=lambda: True,
        is_idle=lambda: True,
        end=ended.set,
        every_s=0.01,
    )
    watch.start()
    for _ in range(LOOKS + 2):
        assert looked.acquire(timeout=20)
    watch.stop()

    assert not ended.is_set()
