"""Is there one buyer per render, also when Redis forgets, and none when the holder is done?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from catalog.leases import Leases
from tests.support.memory import MemoryState
from tests.support.waiting import wait_for
from worker.leases import LeaseKeeper

RENDER = "ab" * 16


@contextmanager
def _keeper(
    state: MemoryState, *, ttl_s: float = 0.5, renew_s: float = 0.02
) -> Iterator[LeaseKeeper]:
    keeper = LeaseKeeper(cast("Leases", state), ttl_s=ttl_s, renew_s=renew_s)
    try:
        yield keeper
    finally:
        keeper.close()


def test_one_holder_at_a_time() -> None:
    state = MemoryState()
    with _keeper(state) as one, _keeper(state) as two, one.held(RENDER) as first:
        with two.held(RENDER) as second:
            assert first
            assert second is None
        with two.held("cd" * 16) as other:
            assert other


def test_a_lease_is_given_back_when_the_work_is_done_or_breaks() -> None:
    state = MemoryState()
    with _keeper(state) as keeper:
        with pytest.raises(ZeroDivisionError), keeper.held(RENDER):
            raise ZeroDivisionError
        with keeper.held(RENDER) as ours:
            assert ours


def test_a_held_lease_outlives_its_time_because_it_is_renewed() -> None:
    now = [1_000.0]
    state = MemoryState(lambda: now[0])
    renewed = threading.Event()
    renew = state.renew_lease

    def watched(render_id: str, token: str, *, ttl_s: float) -> bool:
        done = renew(render_id, token, ttl_s=ttl_s)
        renewed.set()
        return done

    state.renew_lease = watched  # type: ignore[method-assign]
    with _keeper(state, ttl_s=30) as keeper, keeper.held(RENDER):
        for _ in range(3):
            now[0] += 20
            renewed.clear()
            assert renewed.wait(5)
        assert not state.acquire_lease(RENDER, "another", ttl_s=30)


def test_a_lease_that_redis_forgot_is_taken_again() -> None:
    state = MemoryState()
    with _keeper(state) as keeper, keeper.held(RENDER):
        state.clear()
        wait_for(lambda: RENDER in state._leases, 5, "the lease to be taken again")
        assert not state.acquire_lease(RENDER, "another", ttl_s=30)


def test_a_lease_that_another_has_by_now_stays_the_others() -> None:
    state = MemoryState()
    with _keeper(state) as keeper, keeper.held(RENDER):
        state.clear()
        taken = state.acquire_lease(RENDER, "another", ttl_s=30)
        if not taken:  # the keeper was faster: then it is rightly ours
            return
    assert state._leases[RENDER][0] == "another"


def test_an_outage_does_not_end_the_renewing() -> None:
    state = MemoryState()
    with _keeper(state, ttl_s=60) as keeper, keeper.held(RENDER):
        state.away = True
        before = keeper._thread
        state.away = False
        state.clear()
        wait_for(lambda: RENDER in state._leases, 5, "the lease to be taken again")
        assert keeper._thread is before


def test_a_lease_that_ends_while_redis_is_away_hurts_nobody() -> None:
    state = MemoryState()
    with _keeper(state) as keeper:
        with keeper.held(RENDER):
            state.away = True
        state.away = False


def test_a_renewal_that_is_late_does_not_hold_what_was_given_back() -> None:
    """The renewing thread read the list of leases, and then the holder was done."""
    state = MemoryState()
    with _keeper(state, renew_s=3_600) as keeper:
        with keeper.held(RENDER):
            token = next(iter(keeper._held))
        keeper._renew_one(RENDER, token)

        assert state.acquire_lease(RENDER, "another", ttl_s=30)


def test_a_holder_that_was_too_slow_leaves_its_neighbours_lease_alone() -> None:
    now = [1_000.0]
    state = MemoryState(lambda: now[0])
    with _keeper(state, ttl_s=30, renew_s=3_600) as keeper:
        slow = keeper.held(RENDER)
        assert slow.__enter__()
        now[0] += 31  # the lease ended while we stalled
        with keeper.held(RENDER) as ours:
            assert ours
            slow.__exit__(None, None, None)
            assert RENDER in keeper._held.values()  # still renewed
            assert not state.acquire_lease(RENDER, "another", ttl_s=30)
