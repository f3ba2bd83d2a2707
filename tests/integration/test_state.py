"""Is the state of running imports changed without races, and does it leave nothing behind?

One suite for Redis and for its double.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

import pytest
import redis

from catalog.connection import StateUnavailable, check, open_redis
from catalog.epoch import Epoch, Recovery, ensure_epoch
from catalog.leases import Leases
from catalog.money import Usd
from catalog.open_calls import OpenCalls
from catalog.results import ManifestPart, RenderCounts, ResultLine, Status
from catalog.revisions import unpublished
from catalog.state import LETTERS, State
from catalog.work import WAITING, Begun, Work
from producers.embedded import EmbeddedRedis, private_redis
from tests.support.memory import MemoryState, MemoryStore
from tests.support.stores import free_port
from tests.support.waiting import wait_for
from worker import ports

AnyState: TypeAlias = State | MemoryState
AnyWork: TypeAlias = Work | MemoryState
AnyLeases: TypeAlias = Leases | MemoryState
T = TypeVar("T")
ID = "20261122-101500-0a1b2c3d"
RENDER = "0123456789abcdef" * 2


@pytest.fixture(params=["memory", "redis"])
def state(request: pytest.FixtureRequest) -> AnyState:
    if request.param == "memory":
        return MemoryState()
    return State(open_redis(request.getfixturevalue("redis_url")), "store-1")


@pytest.fixture
def work(state: AnyState, request: pytest.FixtureRequest) -> AnyWork:
    if isinstance(state, MemoryState):
        return state
    return Work(open_redis(request.getfixturevalue("redis_url")), "store-1")


@pytest.fixture
def leases(state: AnyState, request: pytest.FixtureRequest) -> AnyLeases:
    if isinstance(state, MemoryState):
        return state
    return Leases(open_redis(request.getfixturevalue("redis_url")), "store-1")


def line(status: Status = Status.SUCCEEDED, *, usd: str = "0", sku: str = "A-1") -> ResultLine:
    return ResultLine(
        import_id=ID,
        row=2,
        sku=sku,
        skus=(sku,),
        product_id="p-1",
        title="Lamp",
        scene="beach",
        picture_no=1,
        locale=None,
        slot=f"{sku}/beach/1",
        cause="new",
        status=status,
        cost_usd=Usd.parse(usd),
    )


def committed_part(part: int = 0, *, usd: str = "0", **counts: int) -> ManifestPart:
    rows = sum(counts.values())
    return ManifestPart(
        part=part,
        key=f"imports/{ID}/results/part-{part:05}.r1.jsonl.gz",
        rows=rows,
        bytes=100,
        sha256="0" * 64,
        counts=RenderCounts(expected=rows, **counts),
        cost_usd=Usd.parse(usd),
    )


def believed(state: AnyState) -> None:
    """An epoch in which nothing is left to be rebuilt."""
    state.begin_epoch("1", buy_not_before=0)
    if state.claim_recovery("token"):
        state.end_rebuilding("token")
        state.finish_recovery()


def opened(
    state: AnyState, *, part: int = 0, slots: int = 3, shards: int = 2, within_s: float = 60.0
) -> None:
    """An import of two shards and five renders with one shard open."""
    believed(state)
    state.register(ID, shards=shards, renders=5)
    with state.feeder(ID, "feeder", ttl_s=60):
        assert state.open_shard(ID, "feeder", part=part, slots=slots, within_s=within_s)


def at_once(work: Callable[[int], T], times: int = 16) -> list[T]:
    ready = threading.Barrier(times)

    def one(number: int) -> T:
        ready.wait(30)
        return work(number)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(one, range(times)))


# -- imports ---------------------------------------------------------------------------------


def test_an_import_is_registered_once_and_then_runs(state: AnyState) -> None:
    assert not state.is_registered(ID)
    assert state.running() == ()
    assert state.progress(ID) is None

    state.register(ID, shards=2, renders=5)
    state.register(ID, shards=99, renders=99)

    assert state.is_registered(ID)
    assert state.running() == (ID,)
    found = state.progress(ID)
    assert found
    assert found.counts == RenderCounts(expected=5, open=5)
    assert (found.committed, found.open_parts, found.micro_usd) == (0, 0, 0)


def test_intent_is_cached_only_for_an_import_that_is_known(state: AnyState) -> None:
    state.cache_intent(ID, "pause")
    assert state.intent(ID) is None

    state.register(ID, shards=1, renders=1)
    assert state.intent(ID) is None
    state.cache_intent(ID, "pause")

    assert state.intent(ID) == "pause"


def test_money_is_added_up_by_all_workers_at_once(state: AnyState) -> None:
    state.register(ID, shards=1, renders=1)

    at_once(lambda _: state.add_spent(ID, 39_000))
    at_once(lambda _: state.add_doubtful(ID, 1), times=4)

    assert state.spent(ID) == 16 * 39_000 + 4
    found = state.progress(ID)
    assert found
    assert found.doubtful_micro_usd == 4


def test_forgetting_an_import_leaves_nothing(state: AnyState) -> None:
    opened(state)
    state.settle(line(), part=0, slot=0)
    state.cache_intent(ID, "cancel")
    state.commit(ID, committed_part(1, failed=2))
    state.add_spent(ID, 5)

    state.forget(ID)

    assert state.running() == ()
    assert not state.is_registered(ID)
    assert state.progress(ID) is None
    assert state.committed(ID) == {}
    assert state.open_parts(ID) == ()
    assert state.outcomes(ID, 0) == {}
    assert state.left(ID, 0) == -1
    assert state.intent(ID) is None
    assert state.spent(ID) == 0


def test_forgetting_an_import_leaves_no_key_in_redis(redis_url: str) -> None:
    client = open_redis(redis_url)
    state = State(client, "store-1")
    opened(state)
    state.settle(line(), part=0, slot=0)

    state.forget(ID)

    assert sorted(client.keys("*")) == [state._keys.epoch, state._keys.recovered]


# -- the feeder ------------------------------------------------------------------------------


def test_an_import_has_one_feeder(state: AnyState) -> None:
    state.register(ID, shards=1, renders=1)

    with state.feeder(ID, "one", ttl_s=60) as ours, state.feeder(ID, "two", ttl_s=60) as theirs:
        assert ours
        assert not theirs
        assert not state.open_shard(ID, "two", part=0, slots=1)
        assert state.open_shard(ID, "one", part=0, slots=1)

    with state.feeder(ID, "two", ttl_s=60) as now_theirs:
        assert now_theirs


def test_of_sixteen_who_want_to_feed_one_does(state: AnyState) -> None:
    state.register(ID, shards=1, renders=1)
    all_asked = threading.Barrier(16)

    def feed(number: int) -> bool:
        with state.feeder(ID, f"token-{number}", ttl_s=60) as ours:
            all_asked.wait(30)
            return ours and state.open_shard(ID, f"token-{number}", part=0, slots=1)

    assert at_once(feed).count(True) == 1


def test_a_feeder_that_dies_is_followed_by_another(state: AnyState) -> None:
    state.register(ID, shards=2, renders=2)

    def followed() -> bool:
        with state.feeder(ID, "two", ttl_s=60) as ours:
            return ours and state.open_shard(ID, "two", part=0, slots=1)

    with state.feeder(ID, "one", ttl_s=0.1) as ours:
        assert ours
        wait_for(followed, 5, "the dead feeder's token to expire")

        assert not state.open_shard(ID, "one", part=1, slots=1)


def test_a_feeder_that_was_replaced_does_not_end_its_follower(state: AnyState) -> None:
    state.register(ID, shards=1, renders=1)
    follower = state.feeder(ID, "two", ttl_s=60)

    def follows() -> bool:
        nonlocal follower
        follower = state.feeder(ID, "two", ttl_s=60)
        return follower.__enter__()

    with state.feeder(ID, "one", ttl_s=0.1):
        wait_for(follows, 5, "the first token to expire")

    assert state.open_shard(ID, "two", part=0, slots=1)
    follower.__exit__(None, None, None)


def test_a_shard_is_opened_by_the_feeder_only(state: AnyState) -> None:
    state.register(ID, shards=1, renders=1)

    assert not state.open_shard(ID, "nobody", part=0, slots=1)

    assert state.open_parts(ID) == ()
    assert state.left(ID, 0) == -1


def test_a_shard_is_opened_once(state: AnyState) -> None:
    opened(state)
    state.settle(line(), part=0, slot=1)

    with state.feeder(ID, "again", ttl_s=60):
        assert not state.open_shard(ID, "again", part=0, slots=3)

    assert state.open_slots(ID, 0) == (0, 2)


def test_a_committed_shard_is_not_opened_again(state: AnyState) -> None:
    opened(state)
    state.commit(ID, committed_part(0, succeeded=3))

    with state.feeder(ID, "again", ttl_s=60):
        assert not state.open_shard(ID, "again", part=0, slots=3)

    assert state.open_parts(ID) == ()


# -- settling --------------------------------------------------------------------------------


def test_a_slot_is_open_until_it_is_settled(state: AnyState) -> None:
    opened(state)
    assert state.open_parts(ID) == (0,)
    assert state.open_slots(ID, 0) == (0, 1, 2)

    settled = state.settle(line(Status.FAILED), part=0, slot=1)

    assert (settled.changed, settled.left) == (True, 2)
    assert state.open_slots(ID, 0) == (0, 2)
    assert state.open_slots(ID, 1) == ()
    assert state.left(ID, 0) == 2
    assert state.outcomes(ID, 0) == {1: line(Status.FAILED)}


def test_a_slot_that_nobody_speaks_for_is_overdue(state: AnyState, work: AnyWork) -> None:
    opened(state, within_s=0)
    assert work.overdue(ID) == ((0, 0), (0, 1), (0, 2))

    work.expect(ID, 0, [1], within_s=60)
    state.settle(line(Status.FAILED), part=0, slot=2)

    assert work.overdue(ID) == ((0, 0),)


def test_nobody_speaks_for_a_slot_that_is_settled_or_unknown(
    state: AnyState, work: AnyWork
) -> None:
    opened(state)
    state.settle(line(Status.FAILED), part=0, slot=0)

    work.expect(ID, 0, [0, 7], within_s=0)
    work.expect("unknown", 0, [0], within_s=0)

    assert work.overdue(ID) == ()
    assert work.overdue("unknown") == ()


def test_dying_while_it_waits_to_begin_is_no_death_at_work(state: AnyState, work: AnyWork) -> None:
    opened(state)
    for stage in (WAITING, "generate"):
        work.begin_work(ID, 0, [0, 1], "w-1", stage=stage, within_s=0)
        assert work.bury_work(ID) == ((0, 0), (0, 1))
    work.begin_work(ID, 0, [0], "w-2", stage=WAITING, within_s=0)

    assert work.begin_work(ID, 0, [0], "w-3", stage="generate", within_s=9).deaths == 1


def test_who_begins_is_told_all_that_he_must_know(state: AnyState, work: AnyWork) -> None:
    unknown = work.begin_work(ID, 0, [0], "w-1", stage="finish", within_s=9)
    opened(state)
    state.settle(line(), part=0, slot=2)
    first = work.begin_work(ID, 0, [0, 2], "w-1", stage="finish", within_s=9)
    second = work.begin_work(ID, 0, [0], "w-2", stage="finish", within_s=9)
    settled = work.begin_work(ID, 0, [2], "w-2", stage="finish", within_s=9)
    if isinstance(state, MemoryState):
        state.run += 1
    else:
        state._redis.set(state._keys.epoch, "another-run:1")
    lost = work.begin_work(ID, 0, [1], "w-2", stage="finish", within_s=9)

    assert unknown.recovery is Recovery.NEEDED
    assert first == Begun()
    assert second == Begun(is_busy=True)
    assert settled == Begun(is_open=False)
    assert lost == Begun(recovery=Recovery.NEEDED, is_open=False)
    assert (0, 1) not in work.bury_work(ID)


def test_who_waits_to_begin_keeps_nobody_from_the_work(state: AnyState, work: AnyWork) -> None:
    opened(state)
    work.begin_work(ID, 0, [0], "w-1", stage=WAITING, within_s=9)

    assert work.begin_work(ID, 0, [0], "w-2", stage="generate", within_s=9).deaths == 0


def test_the_first_outcome_stands(state: AnyState) -> None:
    opened(state)
    state.settle(line(Status.SUCCEEDED, usd="0.039"), part=0, slot=0)

    late = state.settle(line(Status.FAILED, usd="1"), part=0, slot=0)

    assert (late.changed, late.left) == (False, 2)
    assert state.outcomes(ID, 0)[0].status is Status.SUCCEEDED
    found = state.progress(ID)
    assert found
    assert (found.counts.succeeded, found.counts.failed, found.micro_usd) == (1, 0, 39_000)


def test_of_sixteen_who_settle_one_slot_one_does_and_it_counts_once(state: AnyState) -> None:
    opened(state, slots=2)

    settled = at_once(
        lambda number: state.settle(line(usd="0.1", sku=f"A-{number}"), part=0, slot=0)
    )

    assert [one.changed for one in settled].count(True) == 1
    assert {one.left for one in settled} == {1}
    found = state.progress(ID)
    assert found
    assert (found.counts.succeeded, found.counts.open, found.micro_usd) == (1, 4, 100_000)
    winner = [one.changed for one in settled].index(True)
    assert state.outcomes(ID, 0)[0].sku == f"A-{winner}"


def test_of_sixteen_who_settle_sixteen_slots_one_settles_the_last(state: AnyState) -> None:
    believed(state)
    state.register(ID, shards=1, renders=16)
    with state.feeder(ID, "f", ttl_s=60):
        state.open_shard(ID, "f", part=0, slots=16)

    settled = at_once(lambda number: state.settle(line(), part=0, slot=number))

    assert sorted(one.left for one in settled) == list(range(16))
    assert state.left(ID, 0) == 0


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_counted_under_its_name(state: AnyState, status: Status) -> None:
    opened(state)

    state.settle(line(status), part=0, slot=0)

    found = state.progress(ID)
    assert found
    assert getattr(found.counts, status.value) == 1
    assert found.counts.open == 4


def test_no_outcome_is_written_while_what_redis_knew_is_rebuilt(state: AnyState) -> None:
    opened(state)
    if isinstance(state, MemoryState):
        state.run += 1
    else:
        state._redis.set(state._keys.epoch, "another-run:1")

    with pytest.raises(StateUnavailable, match="rebuilt"):
        state.settle(line(), part=0, slot=0)
    assert 0 in state.open_slots(ID, 0)

    state.begin_epoch("2", buy_not_before=0)
    with pytest.raises(StateUnavailable, match="rebuilt"):
        state.settle(line(), part=0, slot=0)
    believed(state)
    assert state.settle(line(), part=0, slot=0).changed


def test_settling_in_a_shard_without_state_says_so(state: AnyState) -> None:
    believed(state)
    state.register(ID, shards=1, renders=1)

    settled = state.settle(line(), part=0, slot=0)

    assert (settled.changed, settled.left) == (False, -1)
    assert state.outcomes(ID, 0) == {}


def test_a_slot_beyond_the_shard_is_not_settled(state: AnyState) -> None:
    opened(state, slots=3)

    assert not state.settle(line(), part=0, slot=3).changed
    assert state.left(ID, 0) == 3


# -- commit ----------------------------------------------------------------------------------


def test_a_commit_counts_once_and_drops_the_shards_state(state: AnyState) -> None:
    opened(state, slots=2)
    state.settle(line(Status.SUCCEEDED, usd="0.039"), part=0, slot=0)
    state.settle(line(Status.BLOCKED), part=0, slot=1)
    part = committed_part(0, usd="0.039", succeeded=1, blocked=1)

    done = at_once(lambda _: state.commit(ID, part))

    assert done.count(True) == 1
    assert state.committed(ID) == {0: part}
    assert state.open_parts(ID) == ()
    assert state.left(ID, 0) == -1
    assert state.outcomes(ID, 0) == {}
    found = state.progress(ID)
    assert found
    assert found.counts == RenderCounts(expected=5, succeeded=1, blocked=1, open=3)
    assert (found.micro_usd, found.committed, found.open_parts) == (39_000, 1, 0)


def test_a_late_outcome_of_a_committed_shard_changes_nothing(state: AnyState) -> None:
    opened(state, slots=1)
    state.settle(line(), part=0, slot=0)
    state.commit(ID, committed_part(0, succeeded=1))
    before = state.progress(ID)

    late = state.settle(line(Status.FAILED), part=0, slot=0)

    assert (late.changed, late.left) == (False, -1)
    assert state.progress(ID) == before


# -- revisions -------------------------------------------------------------------------------


def test_a_revision_knows_what_the_earlier_ones_cost(state: AnyState) -> None:
    assert state.revision(ID) is None
    state.register(ID, shards=1, renders=1)
    assert state.revision(ID) == 1
    state.forget(ID)

    state.register(ID, shards=1, renders=1, revision=2, spent_micro=70, doubtful_micro=30)
    state.register(ID, shards=1, renders=1, revision=2, spent_micro=700)
    state.register(ID, shards=1, renders=1, revision=1)

    assert state.revision(ID) == 2
    assert state.spent(ID) == 100


def test_the_next_revision_takes_the_place_of_one_that_was_not_forgotten(
    state: AnyState, work: AnyWork
) -> None:
    opened(state)
    state.settle(line(Status.FAILED), part=0, slot=0)
    state.commit(ID, committed_part(1, failed=2))

    state.register(ID, shards=2, renders=5, revision=2)
    state.forget(ID, revision=1)

    assert state.revision(ID) == 2
    assert (state.open_parts(ID), state.committed(ID), work.overdue(ID)) == ((), {}, ())
    found = state.progress(ID)
    assert found
    assert found.counts == RenderCounts(expected=5, open=5)


def test_a_shard_is_opened_again_with_the_lines_that_stay(state: AnyState, work: AnyWork) -> None:
    believed(state)
    state.register(ID, shards=1, renders=3, revision=2)
    stays = {0: line(Status.SUCCEEDED, usd="0.039"), 2: line(Status.BLOCKED)}
    with state.feeder(ID, "f", ttl_s=60):
        assert state.open_shard(
            ID, "f", part=0, slots=3, within_s=0, kept=stays, paid_micro={1: 500}
        )

    assert state.open_slots(ID, 0) == (1,)
    assert state.left(ID, 0) == 1
    assert state.outcomes(ID, 0) == stays
    assert work.overdue(ID) == ((0, 1),)
    found = state.progress(ID)
    assert found
    assert found.counts == RenderCounts(expected=3, succeeded=1, blocked=1, open=1)
    assert found.micro_usd == 39_000
    assert not state.settle(line(), part=0, slot=0).changed
    assert state.settle(line(), part=0, slot=1).left == 0


def test_what_a_slot_has_cost_before_counts_as_spent_on_it_and_not_twice(
    state: AnyState, request: pytest.FixtureRequest
) -> None:
    calls = state if isinstance(state, MemoryState) else _calls(request)
    believed(state)
    state.register(ID, shards=1, renders=1, revision=2, spent_micro=500)
    with state.feeder(ID, "f", ttl_s=60):
        state.open_shard(ID, "f", part=0, slots=1, paid_micro={0: 500})

    assert calls.tries(ID, 0, 0).wasted_micro == 500
    assert calls.tries(ID, 0, 0).attempts == 0
    state.settle(line(usd="0.0007"), part=0, slot=0, unless_bought=True)

    assert state.spent(ID) == 700


def _calls(request: pytest.FixtureRequest) -> OpenCalls:
    return OpenCalls(open_redis(request.getfixturevalue("redis_url")), "store-1")


def test_who_is_late_neither_commits_nor_forgets_the_next_revision(state: AnyState) -> None:
    assert not state.commit(ID, committed_part(0, succeeded=1))
    state.register(ID, shards=1, renders=1, revision=2)

    assert state.committed(ID) == {}
    assert not state.commit(ID, committed_part(0, succeeded=1), revision=1)
    state.forget(ID, revision=1)

    assert state.running() == (ID,)
    assert state.commit(ID, committed_part(0, succeeded=1), revision=2)
    state.forget(ID, revision=2)
    assert state.running() == ()


def test_progress_adds_up_open_and_committed_shards(state: AnyState) -> None:
    believed(state)
    state.register(ID, shards=3, renders=9)
    with state.feeder(ID, "f", ttl_s=60):
        for part in range(2):
            state.open_shard(ID, "f", part=part, slots=3)
    for slot in range(3):
        state.settle(line(Status.REUSED), part=0, slot=slot)
    state.commit(ID, committed_part(0, reused=3))
    state.settle(line(Status.REVIEW, usd="0.5"), part=1, slot=0)
    state.commit(ID, committed_part(2, usd="1", succeeded=2, cancelled=1))

    found = state.progress(ID)

    assert found
    assert found.counts == RenderCounts(
        expected=9, reused=3, review=1, succeeded=2, cancelled=1, open=2
    )
    assert found.counts.settled == 7
    assert (found.micro_usd, found.committed, found.open_parts) == (1_500_000, 2, 1)


# -- leases ----------------------------------------------------------------------------------


def test_of_sixteen_buyers_of_a_render_one_gets_the_lease(leases: AnyLeases) -> None:
    got = at_once(lambda number: leases.acquire_lease(RENDER, f"token-{number}", ttl_s=60))

    assert got.count(True) == 1


def test_only_its_holder_renews_or_gives_back_a_lease(leases: AnyLeases) -> None:
    assert leases.acquire_lease(RENDER, "mine", ttl_s=60)

    assert not leases.renew_lease(RENDER, "theirs", ttl_s=60)
    leases.release_lease(RENDER, "theirs")
    assert not leases.acquire_lease(RENDER, "theirs", ttl_s=60)

    assert leases.renew_lease(RENDER, "mine", ttl_s=60)
    leases.release_lease(RENDER, "mine")
    assert leases.acquire_lease(RENDER, "theirs", ttl_s=60)


def test_a_lease_that_is_not_renewed_ends(leases: AnyLeases) -> None:
    assert leases.acquire_lease(RENDER, "dead", ttl_s=0.1)

    wait_for(
        lambda: leases.acquire_lease(RENDER, "next", ttl_s=60), 5, "the dead buyer's lease to end"
    )

    assert not leases.renew_lease(RENDER, "dead", ttl_s=60)
    leases.release_lease(RENDER, "dead")
    assert not leases.acquire_lease(RENDER, "third", ttl_s=60)


def test_a_renewed_lease_lasts(state: AnyState, leases: AnyLeases) -> None:
    leases.acquire_lease(RENDER, "mine", ttl_s=0.2)

    assert leases.renew_lease(RENDER, "mine", ttl_s=60)

    began = state.now()
    wait_for(lambda: state.now() > began + 0.3, 5, "the first span to pass")
    assert not leases.acquire_lease(RENDER, "theirs", ttl_s=60)


def test_leases_of_two_renders_are_two(leases: AnyLeases) -> None:
    assert leases.acquire_lease(RENDER, "one", ttl_s=60)
    assert leases.acquire_lease("f" * 32, "two", ttl_s=60)


# -- the epoch -------------------------------------------------------------------------------


def test_an_epoch_begins_once(state: AnyState) -> None:
    assert state.epoch() is Epoch.NONE
    assert state.buy_not_before() == 0

    now = state.now()
    at_once(lambda at: state.begin_epoch(f"e-{at}", buy_not_before=now + 100))
    state.begin_epoch("late", buy_not_before=now + 1_000_000)

    assert state.epoch() is Epoch.CURRENT
    assert state.buy_not_before() == pytest.approx(100, abs=10)


def test_buying_is_allowed_when_the_time_has_come(state: AnyState) -> None:
    state.begin_epoch("e", buy_not_before=state.now() + 0.1)

    wait_for(lambda: state.buy_not_before() == 0, 5, "the end of the wait")


def test_one_process_recovers_after_redis_was_emptied(state: AnyState) -> None:
    state.begin_epoch("e", buy_not_before=0)
    assert state.recovery() is Recovery.NEEDED
    claimed = at_once(lambda at: state.claim_recovery(str(at)))

    assert claimed.count(True) == 1
    assert state.recovery() is Recovery.BEGUN
    state.end_rebuilding(str(claimed.index(True)))
    assert state.recovery() is Recovery.REBUILT
    state.finish_recovery()
    assert state.recovery() is Recovery.DONE
    assert not state.claim_recovery("late")


def test_a_recovery_whose_process_dies_is_done_by_another(state: AnyState) -> None:
    assert state.claim_recovery("a", ttl_s=0.1)

    wait_for(lambda: state.claim_recovery("b", ttl_s=60), 5, "the dead one's claim to end")

    assert not state.claim_recovery("a")


def test_a_finished_recovery_is_not_repeated_ever(state: AnyState) -> None:
    state.claim_recovery("a", ttl_s=0.1)
    state.end_rebuilding("a")

    began = state.now()
    wait_for(lambda: state.now() > began + 0.2, 5, "the claim's span to pass")
    assert not state.claim_recovery("a")


def test_a_recovery_that_outlived_its_redis_does_not_count_for_the_new_one(
    state: AnyState, redis_url: str
) -> None:
    assert state.claim_recovery("a")
    if isinstance(state, MemoryState):
        state.clear()
    else:
        open_redis(redis_url).flushall()

    state.end_rebuilding("a")

    assert state.claim_recovery("b")


def test_a_new_redis_without_unfinished_imports_buys_at_once(state: AnyState) -> None:
    store = MemoryStore(
        {"imports/a/import.json": b"{}", "imports/a/manifest.json": b"{}", "imports/b/plan/x": b""}
    )

    ensure_epoch(state, store, model_deadline_s=300, lease_s=30)

    assert state.epoch() is Epoch.CURRENT
    assert state.buy_not_before() == 0


def test_an_emptied_redis_waits_for_calls_that_may_be_open(state: AnyState) -> None:
    store = MemoryStore({"imports/a/import.json": b"{}"})

    ensure_epoch(state, store, model_deadline_s=300, lease_s=30)
    asked = len(store.calls)
    ensure_epoch(state, store, model_deadline_s=9_999, lease_s=30)

    assert state.buy_not_before() == pytest.approx(300, abs=10)
    assert unpublished(store) == ("a",)
    assert len(store.calls) == asked + 1, "an epoch that stands costs no listing"


# -- Redis itself ----------------------------------------------------------------------------


def test_two_stores_on_one_redis_do_not_meet(redis_url: str) -> None:
    one, other = (State(open_redis(redis_url), name) for name in ("store-1", "store-2"))
    opened(one)
    mine, theirs = (Leases(open_redis(redis_url), name) for name in ("store-1", "store-2"))
    mine.acquire_lease(RENDER, "t", ttl_s=60)
    one.begin_epoch("e", buy_not_before=0)

    assert other.running() == ()
    assert theirs.acquire_lease(RENDER, "t", ttl_s=60)
    assert other.epoch() is Epoch.NONE
    assert other.claim_recovery("a")


def test_every_key_of_ours_carries_our_prefix(redis_url: str) -> None:
    client = open_redis(redis_url)
    state = State(client, "store-1")
    opened(state)
    state.settle(line(), part=0, slot=0)
    Leases(client, "store-1").acquire_lease(RENDER, "t", ttl_s=60)
    state.begin_epoch("e", buy_not_before=0)
    state.claim_recovery("a")

    found = client.keys("*")

    assert found
    assert all(str(key).startswith("skuscene:store-1:") for key in found)


def test_a_running_shard_costs_a_byte_per_open_render(redis_url: str) -> None:
    client = open_redis(redis_url)
    state = State(client, "store-1")
    state.register(ID, shards=1, renders=100_000)
    with state.feeder(ID, "f", ttl_s=60):
        state.open_shard(ID, "f", part=0, slots=100_000)

    used = client.memory_usage(f"skuscene:store-1:shard:{ID}:0")

    assert used is not None
    assert int(used) < 2 * 100_000


def test_only_commands_of_redis_6_2_are_used(
    private_redis_server: EmbeddedRedis, redis_url: str
) -> None:
    client = open_redis(redis_url)
    state = State(client, "store-1")
    client.config_resetstat()
    use_everything(state, Leases(client, "store-1"))

    used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}

    # Of Redis 6.0 and before, except for what redis-py says when it connects.
    of_the_connection = {"client|setinfo", "hello", "config|resetstat", "info", "select", "ping"}
    assert used - of_the_connection <= {
        *("get", "set", "del", "exists", "pexpire", "time", "multi", "exec", "evalsha"),
        *("hget", "hset", "hsetnx", "hexists", "hgetall", "hmget", "hincrby", "hlen", "hdel"),
        *("zadd", "zrem", "zscore", "zrangebyscore"),
        *("sadd", "srem", "smembers", "eval", "script|load", "client|maint_notifications"),
    }


def use_everything(state: State, leases: Leases) -> None:
    state.begin_epoch("e", buy_not_before=0)
    state.buy_not_before()
    state.claim_recovery("a")
    state.end_rebuilding("a")
    state.finish_recovery()
    opened(state)
    state.settle(line(), part=0, slot=0)
    state.outcomes(ID, 0)
    state.cache_intent(ID, "run")
    state.intent(ID)
    state.add_spent(ID, 1)
    state.add_doubtful(ID, 1)
    state.spent(ID)
    state.progress(ID)
    state.commit(ID, committed_part(0, succeeded=1))
    state.committed(ID)
    leases.acquire_lease(RENDER, "t", ttl_s=1)
    leases.renew_lease(RENDER, "t", ttl_s=1)
    leases.release_lease(RENDER, "t")
    state.running()
    state.forget(ID)


def test_every_status_has_a_letter_of_its_own() -> None:
    assert set(LETTERS) == set(Status)
    assert len(set(LETTERS.values())) == len(Status)
    assert all(len(letter) == 1 and letter != "." for letter in LETTERS.values())


CALLS: dict[str, Callable[[State], object]] = {
    "epoch": State.epoch,
    "now": State.now,
    "buy_not_before": State.buy_not_before,
    "claim_recovery": lambda state: state.claim_recovery("a"),
    "running": State.running,
    "progress": lambda state: state.progress(ID),
    "register": lambda state: state.register(ID, shards=1, renders=1),
    "forget": lambda state: state.forget(ID),
    "settle": lambda state: state.settle(line(), part=0, slot=0),
    "commit": lambda state: state.commit(ID, committed_part()),
    "lease": lambda state: Leases(state._redis, "store-1").acquire_lease(RENDER, "t", ttl_s=1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_redis_that_is_not_there_is_unavailable_at_once(call: Callable[[State], object]) -> None:
    state = State(open_redis(f"redis://127.0.0.1:{free_port()}/0"), "store-1")
    began = time.monotonic()

    with pytest.raises(StateUnavailable):
        call(state)

    assert time.monotonic() - began < 5


def test_a_redis_that_says_nothing_is_unavailable_in_bounded_time(
    private_redis_server: EmbeddedRedis, redis_url: str
) -> None:
    client = open_redis(redis_url, timeout_s=0.2)
    check(client)
    private_redis_server.process.send_signal(19)  # SIGSTOP
    try:
        began = time.monotonic()
        with pytest.raises(StateUnavailable):
            State(client, "store-1").running()
        assert time.monotonic() - began < 5
    finally:
        private_redis_server.process.send_signal(18)  # SIGCONT


def test_redis_is_used_again_after_it_restarted(redis_url: str) -> None:
    state = State(open_redis(redis_url), "store-1")
    opened(state)
    with redis.Redis.from_url(redis_url) as admin:
        admin.script_flush()
        admin.client_kill_filter(_type="normal", skipme=True)

    def settled() -> bool:
        try:
            return not state.settle(line(), part=0, slot=0).changed
        except StateUnavailable:
            return False

    wait_for(settled, 5, "scripts to be loaded again")

    assert state.left(ID, 0) == 2


def test_a_redis_that_wants_a_password_says_so() -> None:
    with private_redis(append_only=False) as server:
        with redis.Redis.from_url(server.url) as admin:
            admin.config_set("requirepass", "visibly-fake")

        with pytest.raises(StateUnavailable, match=r"[Aa]uthentication"):
            check(open_redis(server.url))


def test_the_double_has_all_that_the_stages_ask_for() -> None:
    double: ports.State = MemoryState()
    work: ports.Work = MemoryState()
    leases: ports.Leases = MemoryState()

    assert isinstance(double, MemoryState)
    assert isinstance(work, MemoryState)
    with leases.held(RENDER) as ours, leases.held(RENDER) as theirs:
        assert ours
        assert theirs is None


def test_the_double_is_away_when_told_to() -> None:
    state = MemoryState()
    state.away = True

    with pytest.raises(StateUnavailable):
        state.running()


def test_the_server_is_private_to_the_tests(private_redis_server: EmbeddedRedis) -> None:
    assert private_redis_server.url.startswith("unix://")
    assert isinstance(private_redis_server.process, subprocess.Popen)
