"""Is there one gate for every call, and is what a call came to counted once?

One suite for Redis and for its double.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from redis import Redis as Client

from catalog.connection import open_redis
from catalog.epoch import Epoch, Recovery, ensure_epoch
from catalog.leases import Leases
from catalog.money import Usd
from catalog.open_calls import Gate, OpenCall, OpenCalls, Tries
from catalog.renders import LedgerLine, Refusal
from catalog.results import ResultLine, Status
from catalog.state import State
from catalog.work import Work
from producers.embedded import EmbeddedRedis, private_redis
from tests.support.memory import MemoryState, MemoryStore
from tests.support.waiting import wait_for

ID = "20261122-101500-0a1b2c3d"
RENDER = "0123456789abcdef" * 2
STORE = "store-1"
PRICE = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Redis:
    """The parts of what Redis knows."""

    state: State | MemoryState
    work: Work | MemoryState
    leases: Leases | MemoryState
    calls: OpenCalls | MemoryState

    def ready(self, *, wait_s: float = 0.0) -> Redis:
        """An epoch whose recovery is done, and an import with one open shard of three slots."""
        self.state.begin_epoch("e", buy_not_before=self.state.now() + wait_s)
        self.recovered()
        self.state.register(ID, shards=1, renders=3)
        with self.state.feeder(ID, "feeder", ttl_s=60):
            assert self.state.open_shard(ID, "feeder", part=0, slots=3)
        return self

    def recovered(self) -> None:
        assert self.state.claim_recovery("r")
        self.state.end_rebuilding("r")
        self.state.finish_recovery()


@pytest.fixture(params=["memory", "redis"])
def redis(request: pytest.FixtureRequest) -> Redis:
    if request.param == "memory":
        memory = MemoryState()
        return Redis(memory, memory, memory, memory)
    client = open_redis(request.getfixturevalue("redis_url"))
    return parts_of(client)


def parts_of(client: Client, *, lease_s: float = 30.0) -> Redis:
    return Redis(
        State(client, STORE),
        Work(client, STORE),
        Leases(client, STORE),
        OpenCalls(client, STORE, lease_s=lease_s),
    )


def call(number: int = 1, *, slot: int = 0, render: str = RENDER, lease: str = "ours") -> OpenCall:
    name = f"{number:032x}"
    return OpenCall(
        call=name,
        import_id=ID,
        part=0,
        slot=slot,
        render_id=render,
        micro_usd=PRICE,
        lease=lease,
        line=LedgerLine(
            at=datetime(2026, 11, 22, 10, 15, tzinfo=UTC),
            import_id=ID,
            claim=f"{ID}/0/{slot}",
            render_id=render,
            scene="beach",
            sku="A-1",
            take=1,
            outcome="doubtful",
            reason="worker_lost",
            model_asked="m",
            platform="developer",
            cost_usd=Usd(PRICE),
            run_s=0.0,
            worker="w",
            call=name,
        ),
    )


def ended(of: OpenCall, outcome: str, reason: str | None = None, *, micro: int = 0) -> LedgerLine:
    return of.line.changed(outcome=outcome, reason=reason, cost_usd=Usd(micro))


def leaves(redis: Redis, of: OpenCall, *, budget: int | None = None) -> Gate:
    redis.leases.acquire_lease(of.render_id, of.lease, ttl_s=60)
    return redis.calls.reserve(of, budget_micro=budget).gate


def settled(slot: int = 0, *, micro: int = 0) -> ResultLine:
    return ResultLine(
        import_id=ID,
        row=2,
        sku="A-1",
        skus=("A-1",),
        product_id="p-1",
        title="Lamp",
        scene="beach",
        picture_no=1,
        locale=None,
        slot=f"A-1/beach/{slot}",
        cause="new",
        status=Status.SUCCEEDED,
        cost_usd=Usd(micro),
    )


# -- the gate --------------------------------------------------------------------------------


def test_a_call_leaves_when_nothing_stands_against_it(redis: Redis) -> None:
    redis.ready()

    assert leaves(redis, call()) is Gate.GO
    assert redis.calls.open_call(RENDER) == call()
    assert redis.calls.open_calls() == (call(),)


def test_no_call_leaves_in_a_redis_without_an_epoch(redis: Redis) -> None:
    assert leaves(redis, call()) is Gate.RECOVERING


def test_no_call_leaves_before_what_was_spent_is_known_again(redis: Redis) -> None:
    redis.state.begin_epoch("e", buy_not_before=0)
    assert leaves(redis, call()) is Gate.RECOVERING
    redis.state.claim_recovery("r")
    redis.state.end_rebuilding("r")
    assert leaves(redis, call()) is Gate.RECOVERING


def test_no_call_leaves_while_those_of_before_may_be_open(redis: Redis) -> None:
    redis.ready(wait_s=100)
    redis.leases.acquire_lease(RENDER, "ours", ttl_s=60)

    said = redis.calls.reserve(call(), budget_micro=None)

    assert said.gate is Gate.WAIT
    assert said.wait_s == pytest.approx(100, abs=10)


def test_no_call_leaves_for_a_settled_slot_or_an_unknown_one(redis: Redis) -> None:
    redis.ready()
    redis.state.settle(settled(), part=0, slot=0)

    assert leaves(redis, call()) is Gate.SETTLED
    assert leaves(redis, call(slot=99)) is Gate.SETTLED


def test_no_call_leaves_without_its_lease(redis: Redis) -> None:
    redis.ready()
    redis.leases.acquire_lease(RENDER, "theirs", ttl_s=60)

    assert redis.calls.reserve(call(), budget_micro=None).gate is Gate.LEASE_LOST


def test_no_call_leaves_before_the_last_one_of_its_render_is_booked(redis: Redis) -> None:
    redis.ready()
    first = call()
    assert leaves(redis, first) is Gate.GO
    redis.calls.end(first, ended(first, "not_sold", "model.unavailable"))

    assert leaves(redis, call(2)) is Gate.PENDING
    redis.calls.close(first)
    assert leaves(redis, call(2)) is Gate.GO


def test_calls_that_are_open_count_against_the_budget(redis: Redis) -> None:
    redis.ready()
    one, other = call(1), call(2, slot=1, render="f" * 32)

    assert leaves(redis, one, budget=PRICE * 3 // 2) is Gate.GO
    assert leaves(redis, other, budget=PRICE * 3 // 2) is Gate.IN_FLIGHT
    redis.calls.end(one, ended(one, "picture", micro=PRICE))
    assert leaves(redis, other, budget=PRICE * 3 // 2) is Gate.BUDGET
    assert leaves(redis, other, budget=PRICE * 2) is Gate.GO


def test_of_many_at_once_as_many_leave_as_the_budget_pays_for(redis: Redis) -> None:
    redis.ready()
    ready = threading.Barrier(16)

    def one(number: int) -> Gate:
        ready.wait(30)
        return leaves(redis, call(number, render=f"{number:032x}"), budget=PRICE * 5)

    with ThreadPoolExecutor(16) as threads:
        gates = list(threads.map(one, range(1, 17)))

    assert gates.count(Gate.GO) == 5
    assert gates.count(Gate.IN_FLIGHT) == 11


# -- what calls come to ----------------------------------------------------------------------


def test_a_picture_frees_its_money_and_counts_as_spent_once(redis: Redis) -> None:
    redis.ready()
    ours = call()
    leaves(redis, ours)

    redis.calls.end(ours, ended(ours, "picture", micro=700))
    redis.calls.bury(ours, ended(ours, "doubtful", "worker_lost", micro=PRICE))
    redis.state.settle(settled(micro=700), part=0, slot=0)

    assert redis.state.spent(ID) == 700
    assert [one.state for one in redis.calls.open_calls()] == ["sold"]
    redis.calls.booked([ours.line])
    assert redis.calls.open_calls() == ()


def test_a_picture_that_nobody_counted_is_counted_when_its_slot_is_settled(redis: Redis) -> None:
    redis.ready()

    redis.state.settle(settled(micro=700), part=0, slot=0)

    assert redis.state.spent(ID) == 700


def test_answers_without_a_picture_are_wasted_and_stay_until_they_are_booked(redis: Redis) -> None:
    redis.ready()
    ours = call()
    leaves(redis, ours)
    line = ended(ours, "no_picture", "model.no_picture", micro=30)

    redis.calls.end(ours, line)

    found = redis.calls.open_call(RENDER)
    assert found is not None
    assert (found.state, found.line) == ("ended", line)
    assert redis.calls.tries(ID, 0, 0) == Tries(
        attempts=1, wasted_micro=30, paid_micro=30, reason="model.no_picture"
    )
    assert redis.state.spent(ID) == 30


def test_a_refusal_is_kept_with_its_call(redis: Redis) -> None:
    redis.ready()
    ours = call()
    leaves(redis, ours)
    refusal = Refusal(
        render_id=RENDER,
        reason="prompt.blocked",
        message="no",
        finish_reason="SAFETY",
        prompts=("a lamp",),
        cost_usd=Usd(0),
        refused_at=datetime(2026, 11, 22, tzinfo=UTC),
        import_id=ID,
    )

    redis.calls.end(ours, ended(ours, "blocked", "prompt.blocked"), refusal=refusal)

    found = redis.calls.open_call(RENDER)
    assert found is not None
    assert found.refusal == refusal


def test_what_was_never_answered_is_doubtful_and_counted_apart_from_deaths(redis: Redis) -> None:
    redis.ready()
    ours, dead = call(1), call(2, slot=1, render="f" * 32)
    leaves(redis, ours)
    leaves(redis, dead)

    redis.calls.end(ours, ended(ours, "doubtful", "outcome_unknown", micro=PRICE))
    redis.calls.bury(dead, dead.line)
    redis.calls.bury(dead, dead.line)

    assert redis.calls.tries(ID, 0, 0).doubtful == 1
    assert redis.calls.tries(ID, 0, 1).doubtful == 0
    progress = redis.state.progress(ID)
    assert progress
    assert progress.doubtful_micro_usd == 2 * PRICE
    assert redis.calls.open_call("f" * 32) is None


def test_what_stops_the_lane_is_no_attempt(redis: Redis) -> None:
    redis.ready()
    ours = call()
    leaves(redis, ours)

    line = ended(ours, "not_sold", "model.key_invalid").changed(attempt=False)
    redis.calls.end(ours, line)

    assert redis.calls.tries(ID, 0, 0).attempts == 0


def test_a_late_answer_after_redis_was_emptied_is_counted_when_the_import_is_known(
    redis: Redis,
) -> None:
    redis.ready()
    ours = call()

    redis.calls.end(ours, ended(ours, "picture", micro=700))

    assert redis.state.spent(ID) == 700
    assert redis.calls.open_calls() == ()


def test_a_call_of_a_forgotten_import_leaves_nothing_behind(redis: Redis) -> None:
    redis.ready()
    ours = call()
    leaves(redis, ours)
    redis.state.forget(ID)

    redis.calls.end(ours, ended(ours, "picture", micro=700))
    redis.calls.booked([ours.line])

    assert redis.state.spent(ID) == 0
    assert redis.calls.open_calls() == ()


def test_a_commit_forgets_what_its_slots_went_through(redis: Redis) -> None:
    from tests.integration.test_state import committed_part

    redis.ready()
    ours = call()
    leaves(redis, ours)
    redis.calls.end(ours, ended(ours, "not_sold", "model.unavailable"))
    for slot in range(3):
        redis.state.settle(settled(slot), part=0, slot=slot)

    redis.state.commit(ID, committed_part(0, succeeded=3))

    assert redis.calls.tries(ID, 0, 0).attempts == 0


def test_a_cancelled_slot_is_not_settled_while_it_is_bought_or_after(redis: Redis) -> None:
    redis.ready()
    ours = call()
    leaves(redis, ours)

    assert not redis.state.settle(settled(), part=0, slot=0, unless_bought=True).changed
    redis.calls.end(ours, ended(ours, "picture", micro=700))
    assert not redis.state.settle(settled(), part=0, slot=0, unless_bought=True).changed
    assert redis.state.settle(settled(1), part=0, slot=1, unless_bought=True).changed
    assert redis.state.settle(settled(micro=700), part=0, slot=0).changed


# -- rebuilding ------------------------------------------------------------------------------


def test_rebuilding_takes_what_is_more(redis: Redis) -> None:
    redis.ready()
    redis.state.add_spent(ID, 500)

    redis.calls.rebuild(
        ID, spent=300, doubtful=40, slots={"a:0:0": 2, "w:0:0": 7, "m:0:0": 7}, reasons={"0:0": "x"}
    )
    redis.calls.rebuild(ID, spent=900, doubtful=10, slots={"a:0:0": 1}, reasons={})

    assert redis.state.spent(ID) == 940
    assert redis.calls.tries(ID, 0, 0) == Tries(
        attempts=2, wasted_micro=7, paid_micro=7, reason="x"
    )
    assert redis.calls.was_rebuilt(ID)


# -- work and deaths -------------------------------------------------------------------------


def test_a_worker_that_falls_silent_at_work_is_a_death_and_one_that_ends_is_none(
    redis: Redis,
) -> None:
    redis.ready()
    assert redis.work.begin_work(ID, 0, [0, 1], "w1", stage="finish", within_s=1).deaths == 0
    redis.work.end_work(ID, 0, [1], "w1")

    wait_for(lambda: redis.work.bury_work(ID) == ((0, 0),), 10, "the silence to be noticed")

    assert redis.work.bury_work(ID) == ()
    assert redis.work.begin_work(ID, 0, [0], "w2", stage="finish", within_s=60).deaths == 1
    assert redis.work.begin_work(ID, 0, [1], "w2", stage="finish", within_s=60).deaths == 0
    assert redis.work.begin_work(ID, 0, [0], "w3", stage="generate", within_s=60).deaths == 0


def test_whoever_takes_up_the_work_of_the_silent_counts_the_death(redis: Redis) -> None:
    redis.ready()
    redis.work.begin_work(ID, 0, [0], "w1", stage="finish", within_s=1)
    wait_for(lambda: (0, 0) in redis.work.overdue(ID), 10, "the silence")

    assert redis.work.begin_work(ID, 0, [0], "w2", stage="finish", within_s=60).deaths == 1


def test_work_on_a_settled_slot_leaves_nothing_behind(redis: Redis) -> None:
    redis.ready()
    redis.state.settle(settled(), part=0, slot=0)

    begun = redis.work.begin_work(ID, 0, [0], "w1", stage="finish", within_s=0)

    assert not begun.is_open
    assert redis.work.bury_work(ID) == ()


# -- a Redis that is started again -----------------------------------------------------------


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with private_redis() as server:
        yield server


def test_a_pause_in_which_nobody_reached_redis_lets_the_living_speak_first(
    server: EmbeddedRedis,
) -> None:
    client = open_redis(server.url)
    redis = parts_of(client, lease_s=0.3).ready()
    calls = redis.calls
    assert leaves(redis, call()) is Gate.GO
    other = call(2, slot=1, render="f" * 32)
    redis.leases.acquire_lease(other.render_id, other.lease, ttl_s=60)
    began = redis.state.now()
    wait_for(lambda: redis.state.now() > began + 0.25, 5, "a pause of two thirds of a lease")

    assert calls.reserve(other, budget_micro=None).gate is Gate.WAIT
    wait_for(
        lambda: calls.reserve(other, budget_micro=None).gate is Gate.GO, 5, "the living to speak"
    )


def test_every_key_of_a_call_carries_our_prefix(server: EmbeddedRedis) -> None:
    client = open_redis(server.url)
    redis = parts_of(client).ready()
    leaves(redis, call())
    redis.work.begin_work(ID, 0, [0], "w", stage="finish", within_s=60)

    assert all(str(key).startswith(f"skuscene:{STORE}:") for key in client.keys("*"))


def test_a_redis_that_was_restarted_with_its_file_is_not_believed_at_once(tmp_path: Path) -> None:
    with private_redis(directory=tmp_path) as server:
        client = open_redis(server.url)
        redis = parts_of(client).ready()
        assert leaves(redis, call()) is Gate.GO
    with private_redis(directory=tmp_path) as server:
        client = open_redis(server.url)
        redis = parts_of(client)
        other = call(2, slot=1, render="f" * 32)

        assert redis.calls.open_calls() == (call(),)
        assert redis.state.epoch() is Epoch.OLD
        assert redis.state.recovery() is Recovery.NEEDED
        assert leaves(redis, other) is Gate.RECOVERING
        ensure_epoch(redis.state, MemoryStore(), model_deadline_s=300, lease_s=2)
        redis.recovered()
        assert leaves(redis, other) is Gate.WAIT
        wait_for(lambda: leaves(redis, other) is Gate.GO, 10, "the living to have spoken")


# -- the day's budget ------------------------------------------------------------------------


def today() -> date:
    return datetime.now(UTC).date()


def test_all_imports_share_the_days_budget_with_calls_in_flight(redis: Redis) -> None:
    redis.ready()
    one, two = call(1, render="1" * 32), call(2, slot=1, render="2" * 32)
    for of in (one, two):
        redis.leases.acquire_lease(of.render_id, of.lease, ttl_s=60)

    assert redis.calls.reserve(one, budget_micro=None, day_budget_micro=1_500).gate is Gate.GO
    held = redis.calls.reserve(two, budget_micro=None, day_budget_micro=1_500)
    redis.calls.end(one, ended(one, "picture", micro=900))
    over = redis.calls.reserve(two, budget_micro=None, day_budget_micro=1_500)
    more = redis.calls.reserve(two, budget_micro=None, day_budget_micro=1_900)

    assert held.gate is Gate.IN_FLIGHT
    assert (over.gate, over.spent_micro) == (Gate.DAY_BUDGET, 900)
    assert more.gate is Gate.GO
    assert redis.calls.spent_on(today()) == 900


def test_a_call_that_nobody_answered_counts_in_its_day(redis: Redis) -> None:
    redis.ready()
    assert leaves(redis, call()) is Gate.GO

    redis.calls.bury(call(), call().line)
    redis.calls.bury(call(), call().line)

    assert redis.calls.spent_on(today()) == PRICE


def test_what_the_ledger_knows_of_a_day_is_taken_over_where_it_is_more(redis: Redis) -> None:
    redis.calls.rebuild_day(today(), 700)
    redis.calls.rebuild_day(today(), 500)

    assert redis.calls.spent_on(today()) == 700


# -- what a lost Redis is told ---------------------------------------------------------------


def test_a_call_of_an_open_order_is_written_down_again_with_its_money(redis: Redis) -> None:
    redis.ready()

    assert redis.calls.restore(call(1))
    assert not redis.calls.restore(call(2))

    found = redis.calls.open_call(RENDER)
    assert found is not None
    assert found.call == call(1).call
    other = call(3, slot=1, render="fedc" * 8)
    assert leaves(redis, other, budget=2 * PRICE - 1) is Gate.IN_FLIGHT
    redis.calls.bury(call(1), ended(call(1), "not_sold"))
    assert leaves(redis, other, budget=2 * PRICE - 1) is Gate.GO
