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


def _line(number: int, *, days: int = 0) -> LedgerLine:
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


def test_a_line_that_may_not_wait_is_there_at_once_with_those_that_waited() -> None:
    store = MemoryStore()
    with _ledger(store) as ledger:
        ledger.book(_line(0), at_once=False)
        assert _booked(store) == []
        ledger.book(_line(1), at_once=True)

        assert _booked(store) == ["0", "1"]


def test_lines_that_wait_are_written_after_the_flush_time_and_at_the_end() -> None:
    store = MemoryStore()
    with _ledger(store, flush_s=0.02) as ledger:
        ledger.book(_line(0), at_once=False)
        wait_for(lambda: _booked(store) == ["0"], 5, "the flush")
    with _ledger(store, worker="another") as ledger:
        ledger.book(_line(1), at_once=False)

    assert sorted(_booked(store)) == ["0", "1"]


def test_segments_are_numbered_and_lie_under_their_day() -> None:
    store = MemoryStore()
    with _ledger(store) as ledger:
        ledger.book(_line(0), at_once=True)
        ledger.book(_line(1, days=1), at_once=True)

    assert store.keys == ("ledger/2026-11-23/w/000000.jsonl", "ledger/2026-11-24/w/000001.jsonl")


def test_a_segment_whose_reply_was_lost_is_not_booked_twice() -> None:
    store = MemoryStore()
    with _ledger(store) as ledger:
        store.lose_reply()
        with pytest.raises(StoreUnavailable):
            ledger.book(_line(0), at_once=True)
        ledger.book(_line(1), at_once=True)
        ledger.book(_line(2), at_once=True)

    assert _booked(store) == ["0", "1", "2"]


def test_a_line_that_could_not_be_written_waits_and_is_flushed_in_time() -> None:
    store = MemoryStore()
    with _ledger(store, flush_s=0.02) as ledger:
        store.fail(1)
        with pytest.raises(StoreUnavailable):
            ledger.book(_line(0), at_once=True)
        wait_for(lambda: _booked(store) == ["0"], 5, "the flush")


def test_an_outage_loses_no_line_and_does_not_end_the_flushing() -> None:
    store = MemoryStore()
    with _ledger(store, flush_s=0.01) as ledger:
        store.fail(3)
        for number in range(3):
            ledger.book(_line(number), at_once=False)
        wait_for(lambda: _booked(store) == ["0", "1", "2"], 5, "the flush")


def test_a_segment_that_somebody_of_the_same_name_wrote_is_stepped_over() -> None:
    store = MemoryStore()
    with _ledger(store) as one, _ledger(store) as two:
        one.book(_line(0), at_once=True)
        one.book(_line(1), at_once=True)
        two.book(_line(2), at_once=True)

    assert _booked(store) == ["0", "1", "2"]


def test_many_lines_make_a_segment_without_waiting() -> None:
    store = MemoryStore()
    with _ledger(store) as ledger:
        for number in range(500):
            ledger.book(_line(number), at_once=False)

        assert len(_booked(store)) == 500
    assert len(store.keys) == 1
