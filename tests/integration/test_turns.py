"""Does a worker let calls leave when the shared limiter says so, and tell it what came of them?"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis as redis_py

from catalog import keys
from catalog.connection import open_redis
from catalog.quota import Lane, Learnt, Quota
from catalog.quota_limits import QuotaLimits
from tests.support.memory import MemoryStore
from tests.support.waiting import wait_for
from worker.errors import LaneStopped, Limited, OutcomeUnknown, Overloaded, Snooze, TryLater
from worker.ports import Ask
from worker.turns import TurnKeeper

MODEL = "gemini-nano-banana-2.1"
ASK = Ask(model=MODEL, tokens=3_000, micro_usd=36_000)
LANE = Lane(pool="developer", project="shop", model=MODEL)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis_py.Redis]:
    made = open_redis(redis_url)
    yield made
    made.close()


def keeper(
    client: redis_py.Redis,
    store: MemoryStore | None = None,
    *,
    limits: QuotaLimits | None = None,
    most_s: float = 20.0,
) -> TurnKeeper:
    return TurnKeeper(
        Quota(client),
        store or MemoryStore(),
        limits or QuotaLimits(),
        pool="developer",
        project="shop",
        most_s=most_s,
        is_free=lambda model: model == "preview",
    )


def limited(*, wait_s: float | None = None, told: int | None = None, kind: str = "rate") -> Limited:
    return Limited("model.limited", "429", wait_s or 15.0, kind, wait_s, told)


def next_slot(client: redis_py.Redis) -> float:
    found = client.hget(f"skuscene:quota:{LANE.name}", "next")
    return float(str(found or 0))


def test_two_workers_share_one_pace(client: redis_py.Redis) -> None:
    workers = [keeper(client, limits=QuotaLimits(requests_per_minute=1_200)) for _ in range(2)]
    left_at: list[float] = []

    def call(number: int) -> None:
        turn = workers[number % 2].take(ASK)
        left_at.append(time.monotonic())
        turn.answered(tokens=3_000, micro_usd=36_000)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(call, range(20)))

    gaps = [
        after - before for before, after in zip(sorted(left_at), sorted(left_at)[1:], strict=False)
    ]
    # 19 gaps of 50 ms; whoever leaves first may be late.
    assert sum(gaps) >= 19 * 0.05 * 0.8


def test_nobody_leaves_before_the_time_that_the_platform_asked_for(client: redis_py.Redis) -> None:
    ours, theirs = keeper(client), keeper(client)
    turn = ours.take(ASK)

    refused_at = time.monotonic()
    meant = turn.failed(limited(wait_s=0.7), spent=False)
    theirs.take(ASK).close()

    assert 0.7 <= time.monotonic() - refused_at < 5
    assert isinstance(meant, Snooze)
    assert meant.retry_after_s == 0  # the limiter knows when


def test_a_wait_that_is_too_long_is_the_messages(client: redis_py.Redis) -> None:
    worker = keeper(client, limits=QuotaLimits(requests_per_minute=6), most_s=1.0)
    worker.take(ASK).close()

    waits = []
    for _ in range(3):
        with pytest.raises(Snooze) as caught:
            worker.take(ASK)
        waits.append(caught.value.retry_after_s)

    # Each has a time of its own, one interval of ten seconds after the one before.
    assert waits == [pytest.approx(10 * number, abs=2) for number in (1, 2, 3)]


def test_an_urgent_call_goes_before_those_that_wait(client: redis_py.Redis) -> None:
    worker = keeper(client, limits=QuotaLimits(requests_per_minute=60))
    worker.take(ASK).close()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(worker.take, ASK) for _ in range(6)]
        wait_for(lambda: next_slot(client) > time.time() + 5, 10, "six have taken slots")
        worker.take(Ask(model=MODEL, tokens=3_000, micro_usd=36_000, urgent=True)).close()
        gone = sum(future.done() for future in waiting)
        worker.stop()
        ended = [future.exception() for future in waiting]

    # Slots are a second apart: of those that came first, one at most had left.
    assert gone <= 1
    assert any(isinstance(error, Snooze) for error in ended)


def test_an_overloaded_platform_lowers_the_calls_in_flight(client: redis_py.Redis) -> None:
    worker = keeper(client, most_s=0.5)
    turns = [worker.take(ASK) for _ in range(10)]
    fault = Overloaded("model.unavailable", "503", None)

    said = [turn.failed(fault, spent=False) for turn in turns[6:]]

    assert all(one is fault for one in said)  # nobody knew how many may be open: an attempt each
    standing = Quota(client).standing(LANE)
    assert standing.open == 6
    assert 5 < standing.most_open < 6
    with pytest.raises(Snooze):
        worker.take(ASK)
    turns[0].answered(tokens=3_000, micro_usd=36_000)
    again = worker.take(ASK).failed(fault, spent=False)
    assert type(again) is Snooze  # as many as may be: one was too many, and that is nobody's fault


def test_an_overloaded_platform_that_answers_nobody_costs_attempts(client: redis_py.Redis) -> None:
    fault = Overloaded("model.unavailable", "503", None)

    meant = keeper(client).take(ASK).failed(fault, spent=False)

    assert meant is fault
    assert isinstance(meant, TryLater)


def test_the_days_calls_stop_the_lane_at_their_limit(client: redis_py.Redis) -> None:
    worker = keeper(client, limits=QuotaLimits(requests_per_day=2))
    for _ in range(2):
        worker.take(ASK).answered(tokens=3_000, micro_usd=36_000)

    with pytest.raises(LaneStopped) as caught:
        worker.take(ASK)

    assert caught.value.reason == "quota.daily"
    assert "SKUSCENE_QUOTA_REQUESTS_PER_DAY" in caught.value.message


def test_ten_minutes_spend_no_more_than_they_may_and_what_was_not_sold_is_given_back(
    client: redis_py.Redis,
) -> None:
    worker = keeper(client, limits=QuotaLimits(spend_micro_per_10_minutes=80_000), most_s=0.2)
    first, second = worker.take(ASK), worker.take(ASK)

    with pytest.raises(Snooze):
        worker.take(ASK)
    second.failed(limited(wait_s=0.0), spent=False)
    third = worker.take(ASK)
    first.answered(tokens=3_000, micro_usd=36_000)
    third.failed(OutcomeUnknown("outcome_unknown", "cut"), spent=True)

    with pytest.raises(Snooze):
        worker.take(ASK)


def test_a_worker_that_stops_lets_nobody_wait(client: redis_py.Redis) -> None:
    worker = keeper(client, limits=QuotaLimits(requests_per_minute=4))
    worker.take(ASK).close()
    ended: list[Exception] = []

    def wait() -> None:
        try:
            worker.take(ASK)
        except Snooze as exc:
            ended.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: next_slot(client) > time.time() + 16, 10, "a slot is taken")
    worker.stop()
    thread.join(5)

    assert not thread.is_alive()
    assert [exc.reason for exc in ended if isinstance(exc, Snooze)] == ["stopping"]


def test_what_was_learnt_outlives_redis(client: redis_py.Redis) -> None:
    store = MemoryStore()
    worker = keeper(client, store)
    for _ in range(6):
        worker.take(ASK).answered(tokens=3_000, micro_usd=36_000)
    worker.take(ASK).failed(limited(wait_s=0.1), spent=False)
    learnt = Learnt.from_json(store.content(keys.quota("developer", "shop", MODEL)))

    client.flushall()
    worker.take(ASK).close()

    assert learnt.calls_per_minute > 0
    standing = Quota(client).standing(LANE)
    assert standing.found_per_minute == pytest.approx(learnt.calls_per_minute, rel=0.01)


def test_a_model_that_is_drawn_here_has_no_limit(client: redis_py.Redis) -> None:
    worker = keeper(client, limits=QuotaLimits(requests_per_minute=1))

    for _ in range(50):
        worker.take(Ask(model="preview", tokens=0, micro_usd=0)).close()

    assert list(Quota(client).lanes()) == []
