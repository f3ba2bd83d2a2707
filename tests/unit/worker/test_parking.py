"""Is every message that can't be read in the store before the broker forgets it?"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from catalog import claims
from catalog.parked import ParkedMessage, RawMessage
from catalog.store.port import StoreRefuses, StoreUnavailable
from tests.support.memory import MemoryStore
from tests.support.waiting import wait_for
from worker.parking import ParkingLot, park

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
RAW = RawMessage.of(b"hello", content_type="application/json", headers={"id": "a"})


def parked(store: MemoryStore) -> list[ParkedMessage]:
    return [ParkedMessage.from_json(store.content(key)) for key in store.keys]


def park_in(store: MemoryStore, task: str = claims.PREPARE, payload: object = 7) -> str:
    return park(store, task=task, payload=payload, why="because", at=NOW, worker="host-1")


class Lot:
    """A parking lot, and which messages it said it had parked."""

    def __init__(self, store: MemoryStore) -> None:
        self.opened = 0
        self.said: list[str] = []
        self._store = store
        self._lot = ParkingLot(self._open, again_s=0.001)

    def _open(self) -> MemoryStore:
        self.opened += 1
        return self._store

    def take(self, name: str, raw: RawMessage = RAW, task: Any = claims.PREPARE) -> str:
        return self._lot.take(
            raw,
            task=task,
            queue="prepare",
            why="because",
            at=NOW,
            worker="host-1",
            parked=lambda: self.said.append(name),
        )

    def wait(self, count: int) -> None:
        wait_for(lambda: len(self.said) == count, timeout_s=10, what=f"{count} parked")


# -- what a task was given ---------------------------------------------------------------------


def test_a_payload_is_parked_with_what_is_known_of_it() -> None:
    store = MemoryStore()

    key = park_in(store, payload={"v": 1})

    (one,) = parked(store)
    assert key in store.keys
    assert (one.task, one.payload, one.why, one.at) == (claims.PREPARE, {"v": 1}, "because", NOW)


@pytest.mark.parametrize("task", ["", "../../etc/passwd", "ä" * 500, "\ud800", "x" * 5_000])
def test_a_task_of_any_name_has_its_messages_parked(task: str) -> None:
    store = MemoryStore()

    key = park_in(store, task=task)

    assert key.startswith("parked/")
    assert key.count("/") == 2
    assert ".." not in key
    assert len(parked(store)) == 1


def test_a_payload_of_five_megabytes_is_parked_whole() -> None:
    store = MemoryStore()

    park_in(store, payload={"note": "ä" * 5_000_000})

    assert parked(store)[0].payload == {"note": "ä" * 5_000_000}


def test_a_payload_of_a_newer_version_says_so_whatever_broke() -> None:
    store = MemoryStore()

    park_in(store, payload={"v": 9})

    assert "newer version" in parked(store)[0].why


def test_a_long_reason_is_cut_and_a_broken_one_mended() -> None:
    store = MemoryStore()

    park(store, task="t", payload=1, why="\ud800" + "x" * 9_000, at=NOW, worker="host-1")

    assert len(parked(store)[0].why) == 2_000


def test_the_same_payload_twice_is_two_parked_messages() -> None:
    # A replay deletes the first one after the second may have come.
    store = MemoryStore()

    assert park_in(store) != park_in(store)


@pytest.mark.parametrize("exc", [StoreUnavailable("away"), StoreRefuses("no")])
def test_a_store_that_is_away_is_told(exc: Exception) -> None:
    store = MemoryStore()
    store.fail(1, exc)

    with pytest.raises(type(exc)):
        park_in(store)


# -- what no task saw --------------------------------------------------------------------------


def test_a_message_is_in_the_store_before_anybody_is_told() -> None:
    store = MemoryStore()
    there: list[int] = []
    lot = ParkingLot(lambda: store)

    lot.take(
        RAW,
        task=claims.PREPARE,
        queue="prepare",
        why="because",
        at=NOW,
        worker="host-1",
        parked=lambda: there.append(len(store.keys)),
    )

    wait_for(lambda: there, timeout_s=10, what="the message parked")
    assert there == [1]
    assert parked(store)[0].message == RAW


def test_a_store_that_is_away_is_tried_until_it_is_back() -> None:
    store = MemoryStore()
    store.fail(5)
    lot = Lot(store)

    lot.take("one")

    lot.wait(1)
    assert len(store.keys) == 1


def test_a_store_that_stalls_holds_up_nobody_else() -> None:
    store, goes_on = MemoryStore(), threading.Event()
    store.before = lambda *_: (goes_on.wait(10), None)[1]
    lot = Lot(store)

    lot.take("one")
    lot.take("two", RawMessage.of(b"other"))

    assert lot.said == []
    goes_on.set()
    lot.wait(2)
    assert len(store.keys) == 2


def test_a_message_that_comes_again_meanwhile_is_parked_once_and_the_newest_is_told() -> None:
    store, goes_on = MemoryStore(), threading.Event()
    store.before = lambda *_: (goes_on.wait(10), None)[1]
    lot = Lot(store)
    keys = {lot.take("first"), lot.take("again"), lot.take("once more")}

    goes_on.set()
    lot.wait(1)

    assert lot.said == ["once more"]
    assert len(keys) == len(store.keys) == 1


def test_a_message_that_comes_again_later_is_told_and_not_parked_anew() -> None:
    store = MemoryStore()
    lot = Lot(store)
    for count in range(1, 4):
        lot.take("one")
        lot.wait(count)

    assert len(store.keys) == 1
    assert lot.opened == 1


@pytest.mark.parametrize("task", [None, 7, {}, [], "", "\ud800" * 600])
def test_a_message_without_a_proper_task_is_parked(task: Any) -> None:
    store = MemoryStore()
    lot = Lot(store)

    lot.take("one", task=task)

    lot.wait(1)
    assert json.loads(store.content(store.keys[0]))["schema"] == "skuscene.parked/1"
