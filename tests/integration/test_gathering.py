"""Do renders wait for their batch in Redis as in memory, and does an order hold them?"""

from __future__ import annotations

import pytest

from catalog.claims import RenderClaim
from catalog.connection import open_redis
from catalog.gathering import Gathering
from catalog.leases import ORDERED, Leases
from catalog.state import State
from tests.support.batches import MemoryGathering
from tests.support.memory import MemoryState

STORE = "0123456789abcdef"
ID = "monday"
RENDER = "ab" * 16


def claim(slot: int, part: int = 0) -> RenderClaim:
    return RenderClaim(
        store=STORE,
        import_id=ID,
        part=part,
        product=0,
        slot=slot,
        render_id=f"{slot:032x}",
        references=(),
    )


@pytest.fixture(params=["memory", "redis"])
def gathering(request: pytest.FixtureRequest) -> Gathering | MemoryGathering:
    """A shard of three open renders, of which none waits."""
    if request.param == "memory":
        memory = MemoryState(lambda: 0.0)
        state: State | MemoryState = memory
        made: Gathering | MemoryGathering = MemoryGathering(memory, lambda: 0.0)
    else:
        client = open_redis(request.getfixturevalue("redis_url"))
        state, made = State(client, STORE), Gathering(client, STORE)
    state.register(ID, shards=1, renders=3)
    with state.feeder(ID, "token", ttl_s=60):
        assert state.open_shard(ID, "token", part=0, slots=3, within_s=60)
    return made


def test_what_waits_is_given_by_shard_in_the_order_of_slots(
    gathering: Gathering | MemoryGathering,
) -> None:
    assert gathering.gathered(ID) == {}
    assert [gathering.gather(claim(slot)) for slot in (2, 0, 2)] == [True, True, True]

    assert gathering.gathered(ID) == {0: (claim(0), claim(2))}
    assert gathering.quiet_s(ID, 0) < 60
    gathering.drop(ID, 0, {0})
    assert gathering.gathered(ID) == {0: (claim(2),)}
    gathering.drop(ID, 0, {2})
    gathering.drop(ID, 0, ())
    assert gathering.gathered(ID) == {}


def test_what_has_no_open_slot_does_not_wait(gathering: Gathering | MemoryGathering) -> None:
    assert not gathering.gather(claim(3))
    assert not gathering.gather(claim(0, part=1))
    assert gathering.gathered(ID) == {}


def test_an_import_that_is_forgotten_waits_for_nothing(redis_url: str) -> None:
    client = open_redis(redis_url)
    state, gathering = State(client, STORE), Gathering(client, STORE)
    state.register(ID, shards=1, renders=1)
    with state.feeder(ID, "token", ttl_s=60):
        state.open_shard(ID, "token", part=0, slots=1, within_s=60)
    gathering.gather(claim(0))

    state.forget(ID)

    assert gathering.gathered(ID) == {}


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_an_order_holds_a_render_without_an_end_and_takes_no_buyers_lease(
    kind: str, request: pytest.FixtureRequest
) -> None:
    leases: Leases | MemoryState = MemoryState(lambda: 0.0)
    if kind == "redis":
        leases = Leases(open_redis(request.getfixturevalue("redis_url")), STORE)
    assert leases.acquire_lease(RENDER, "a buyer", ttl_s=60)
    assert not leases.order(RENDER, "monday.0.1.1")
    leases.release_lease(RENDER, "a buyer")

    assert leases.order(RENDER, "monday.0.1.1")
    assert leases.order(RENDER, "monday.0.1.1")
    assert not leases.order(RENDER, "monday.0.2.1")
    assert not leases.acquire_lease(RENDER, "a buyer", ttl_s=60)
    leases.release_lease(RENDER, f"{ORDERED}monday.0.1.1")
    assert leases.acquire_lease(RENDER, "a buyer", ttl_s=60)
