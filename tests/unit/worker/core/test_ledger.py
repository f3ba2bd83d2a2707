"""Does every call stand in the ledger once?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from catalog.money import Usd
from catalog.renders import LedgerLine
from catalog.store.port import StoreUnavailable
from tests.support.desk import MODEL, MONDAY
from tests.support.memory import MemoryStore
from tests.support.waiting import wait_for
from worker.ledger import StoreLedger


def _line(number: int, *, days: int = 0, call: str = "") -> LedgerLine:
    return LedgerLine(
        at=MONDAY + timedelta(days=days),
        import_id="monday",
        claim=f"monday/0/{number}",
        render_id="ab" * 16,
        scene="kitchen",
        sku="mug",
        take=1,
        outcome="picture",
        model_asked=MODEL,
        platform="developer",
        cost_usd=Usd(1),
        run_s=1.0,
        worker="worker-1",
        call=call,
    )


@contextmanager
def _ledger(
    store: MemoryStore, *, flush_s: float = 3_600, worker: str = "w"
) -> Iterator[StoreLedger]:
    ledger = StoreLedger(store, worker=worker, flush_s=flush_s)
    try:
        yield ledger
    finally:
        ledger.close()


def _booked(store: MemoryStore) -> list[str]:
    lines = [
        LedgerLine.from_json(line) for key in store.keys for line in store.content(key).splitlines()
    ]
    return [line.claim.rsplit("/", 1)[1] for line in lines]


def test_a_call_without_a_take_is_there_at_once_in_a_segment_of_its_own() -> None:
    store = MemoryStore()
    with _ledger(store) as ledger:
        ledger.book(_line(0))
        assert _booked(store) == []
        ledger.put(_line(1, call="c1"))

        assert _booked(store) == ["1"]
        assert store.keys == ("ledger/2026-11-23/worker-1/call-c1.jsonl",)
    assert sorted(_booked(store)) == ["0", "1"]


def test_a_call_is_booked_once_by_whoever_is_first() -> None:
    store = MemoryStore()
    with _ledger(store) as one, _ledger(store, worker="another") as two:
        first = one.put(_line(0, call="c1"))

        second = two.put(_line(0, call="c1").changed(outcome="no_picture"))

    assert second == first
    assert len(_booked(store)) == 1


def test_a_call_whose_reply_was_lost_is_not_booked_twice() -> None:
    store = MemoryStore()
    with _ledger(store) as ledger:
        store.lose_reply()
        with pytest.raises(StoreUnavailable):
            ledger.put(_line(0, call="c1"))

        ledger.put(_line(0, call="c1"))

    assert _booked(store) == ["0"]


def test_what_could_not_be_written_yet_goes_before_a_doubt_about_the_same_call() -> None:
    store = MemoryStore()
    refused = _line(0, call="c1").changed(outcome="blocked")
    with _ledger(store) as ledger:
        store.fail(1)
        with pytest.raises(StoreUnavailable):
            ledger.put(refused)

        stored = ledger.put(refused.changed(outcome="doubtful", reason="worker_lost"))

    assert stored == refused
    assert LedgerLine.from_json(store.content(store.keys[0])) == refused


def test_a_doubt_that_could_not_be_written_yet_gives_way_to_what_is_known() -> None:
    store = MemoryStore()
    picture = _line(0, call="c1")
    with _ledger(store) as ledger:
        store.fail(1)
        with pytest.raises(StoreUnavailable):
            ledger.put(picture.changed(outcome="doubtful"))

        assert ledger.put(picture) == picture


def test_lines_that_wait_are_written_after_the_flush_time_and_at_the_end() -> None:
    store = MemoryStore()
    with _ledger(store, flush_s=0.02) as ledger:
        ledger.book(_line(0))
        wait_for(lambda: _booked(store) == ["0"], 5, "the flush")
    with _ledger(store, worker="another") as ledger:
        ledger.book(_line(1))

    assert sorted(_booked(store)) == ["0", "1"]


def test_segments_are_numbered_and_lie_under_their_day() -> None:
    store = MemoryStore()
    with _ledger(store, flush_s=0.02) as ledger:
        ledger.book(_line(0))
        wait_for(lambda: len(store.keys) == 1, 5, "the flush")
        ledger.book(_line(1, days=1))

    assert store.keys == ("ledger/2026-11-23/w/000000.jsonl", "ledger/2026-11-24/w/000001.jsonl")


def test_a_segment_whose_reply_was_lost_is_not_booked_twice() -> None:
    store = MemoryStore()
    with _ledger(store, flush_s=0.02) as ledger:
        store.lose_reply()
        ledger.book(_line(0))
        wait_for(lambda: _booked(store) == ["0"], 5, "the flush")
        ledger.book(_line(1))

    assert _booked(store) == ["0", "1"]


def test_an_outage_loses_no_line_and_does_not_end_the_flushing() -> None:
    store = MemoryStore()
    with _ledger(store, flush_s=0.01) as ledger:
        store.fail(3)
        for number in range(3):
            ledger.book(_line(number))
        wait_for(lambda: _booked(store) == ["0", "1", "2"], 5, "the flush")


def test_a_segment_that_somebody_of_the_same_name_wrote_is_stepped_over() -> None:
    store = MemoryStore()
    with _ledger(store) as one, _ledger(store) as two:
        one.book(_line(0))
        two.book(_line(1))

    assert sorted(_booked(store)) == ["0", "1"]


def test_many_lines_make_a_segment_without_waiting() -> None:
    store = MemoryStore()
    with _ledger(store) as ledger:
        for number in range(500):
            ledger.book(_line(number))

        assert len(_booked(store)) == 500
    assert len(store.keys) == 1
