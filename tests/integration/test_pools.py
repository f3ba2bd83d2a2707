"""Does a call leave through the pool that has room?"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis as redis_py

from catalog.connection import open_redis
from catalog.pools import Pool
from catalog.quota import Quota
from catalog.quota_limits import QuotaLimits
from tests.support.memory import MemoryStore
from worker.errors import LaneStopped, Limited, Snooze, TryLater
from worker.pools import LEFT_ALONE_S, PooledTurns
from worker.ports import Ask
from worker.turns import TurnKeeper

MODEL = "gemini-nano-banana-2.1"
ASK = Ask(model=MODEL, tokens=3_000, micro_usd=36_000)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis_py.Redis]:
    made = open_redis(redis_url)
    yield made
    made.close()


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def pooled(
    client: redis_py.Redis,
    *limits: QuotaLimits,
    most_s: float = 20.0,
    models: tuple[frozenset[str], ...] = (),
    clock: Clock | None = None,
) -> PooledTurns:
    keepers = []
    for number, limit in enumerate(limits):
        pool = Pool(
            name=f"pool-{number}",
            platform="developer" if number == 0 else "vertex",
            quota_project="shop",
            limits=limit,
            models=models[number] if models else frozenset(),
        )
        keeper = TurnKeeper(
            Quota(client),
            MemoryStore(),
            limit,
            pool=pool.name,
            project="shop",
            most_s=most_s,
        )
        keepers.append((pool, keeper))
    return PooledTurns(keepers, monotonic=clock or time.monotonic)


def test_the_first_pool_is_used_while_it_has_room_and_then_the_next(
    client: redis_py.Redis,
) -> None:
    turns = pooled(client, QuotaLimits(calls_in_flight=2), QuotaLimits(calls_in_flight=2))

    taken = [turns.take(ASK) for _ in range(4)]

    assert [turn.pool for turn in taken] == ["pool-0", "pool-0", "pool-1", "pool-1"]
    assert [turn.platform for turn in taken] == ["developer", "developer", "vertex", "vertex"]
    taken[0].answered(tokens=3_000, micro_usd=36_000)
    assert turns.take(ASK).pool == "pool-0"


def test_where_none_has_room_the_message_waits(client: redis_py.Redis) -> None:
    turns = pooled(
        client, QuotaLimits(calls_in_flight=1), QuotaLimits(calls_in_flight=1), most_s=0.6
    )
    taken = [turns.take(ASK) for _ in range(2)]

    with pytest.raises(Snooze) as told:
        turns.take(ASK)

    assert told.value.reason == "quota.wait"
    assert [turn.pool for turn in taken] == ["pool-0", "pool-1"]


def test_a_pool_that_is_refused_its_rate_is_passed_over(client: redis_py.Redis) -> None:
    turns = pooled(client, QuotaLimits(), QuotaLimits())
    first = turns.take(ASK)

    meant = first.failed(Limited("model.limited", "429", 30.0, "rate", 30.0, None), spent=False)

    assert isinstance(meant, Snooze)
    assert turns.take(ASK).pool == "pool-1"


def test_a_refused_key_stops_the_lane_only_when_every_pool_is_refused(
    client: redis_py.Redis,
) -> None:
    clock = Clock()
    turns = pooled(client, QuotaLimits(), QuotaLimits(), clock=clock)
    refused = LaneStopped("model.key_invalid", "the key is refused")

    meant = turns.take(ASK).failed(refused, spent=False)
    assert isinstance(meant, Snooze)
    assert "pool-0" in meant.message
    second = turns.take(ASK)
    assert second.pool == "pool-1"
    assert second.failed(refused, spent=False) is refused

    clock.now += LEFT_ALONE_S + 1
    assert turns.take(ASK).pool == "pool-0"  # its key may have been mended


def test_what_is_the_renders_own_fault_stays_its_own(client: redis_py.Redis) -> None:
    turns = pooled(client, QuotaLimits(), QuotaLimits())
    fault = TryLater("model.unavailable", "503")

    assert turns.take(ASK).failed(fault, spent=False) is fault
    assert turns.take(ASK).pool == "pool-0"


def test_a_pool_whose_day_is_used_up_leaves_its_calls_to_the_next(
    client: redis_py.Redis,
) -> None:
    turns = pooled(client, QuotaLimits(requests_per_day=1), QuotaLimits(requests_per_day=1))

    assert turns.take(ASK).pool == "pool-0"
    assert turns.take(ASK).pool == "pool-1"
    with pytest.raises(LaneStopped) as told:
        turns.take(ASK)
    assert told.value.reason == "quota.daily"


def test_only_a_pool_that_serves_the_model_is_asked(client: redis_py.Redis) -> None:
    turns = pooled(
        client,
        QuotaLimits(),
        QuotaLimits(),
        models=(frozenset({"another"}), frozenset({MODEL})),
    )

    turn = turns.take(ASK)
    assert turn.pool == "pool-1"
    with pytest.raises(LaneStopped, match="serves"):
        turns.take(Ask(model="unknown", tokens=1, micro_usd=1))
    refused = LaneStopped("model.key_invalid", "the key is refused")
    assert turn.failed(refused, spent=False) is refused  # the other pool serves another model
