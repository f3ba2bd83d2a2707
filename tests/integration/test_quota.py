"""Is a platform's limit used and not fought, whatever it is and whoever knows of it?

On a virtual clock: shares of calls, not of time, are asserted.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from catalog.connection import open_redis
from catalog.quota import Refusal
from catalog.quota_limits import QuotaLimits
from tests.support.quota_world import LANE, MICRO, TOKENS, Manners, QuotaWorld, Stray
from worker.simulator.oracle import borne_calls
from worker.simulator.rules import CapacityRule, parse_rule

SET = QuotaLimits(requests_per_minute=600)
MEAN_CALL_S = 4 + 16 * 2 / 7


@pytest.fixture
def client(redis_url: str) -> Iterator[redis_py.Redis]:
    made = open_redis(redis_url)
    yield made
    made.close()


@pytest.mark.parametrize("rule", ["bucket:600/60s:10", "sliding:600/60s", "fixed:600/60s"])
def test_a_limit_that_is_set_is_used_and_never_passed(client: redis_py.Redis, rule: str) -> None:
    seen = QuotaWorld(client, rule, limits=SET).run(240)

    assert seen.refused(0, 240) == 0
    assert seen.let_in(60, 240) >= 0.995 * 1_800


@pytest.mark.parametrize("rule", ["bucket:600/60s:10", "fixed:600/60s"])
def test_a_limit_that_nobody_set_is_found(client: redis_py.Redis, rule: str) -> None:
    seen = QuotaWorld(client, rule).run(300)

    assert seen.let_in(60, 300) >= 0.97 * 2_400
    assert seen.refused(60, 300) <= 0.01 * 2_400


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sliding_minute_that_nobody_set_is_found(client: redis_py.Redis, seed: int) -> None:
    """Its own past refuses where it was slower a minute ago, and no slower pace is learnt of it."""
    seen = QuotaWorld(client, "sliding:600/60s", seed=seed).run(300)

    assert seen.let_in(60, 300) >= 0.98 * 2_400
    assert seen.refused(60, 300) <= 0.01 * 2_400


def test_a_limit_is_found_where_the_platform_says_nothing_of_it(client: redis_py.Redis) -> None:
    silent = Manners(retry_info=False)

    seen = QuotaWorld(client, "bucket:600/60s:10", manners=silent).run(300)

    assert seen.let_in(60, 300) >= 0.97 * 2_400
    assert seen.refused(60, 300) <= 0.01 * 2_400


def test_a_limit_that_the_platform_names_is_taken_over(client: redis_py.Redis) -> None:
    seen = QuotaWorld(client, "bucket:600/60s:10", manners=Manners(quota_value=600)).run(300)

    assert seen.refused(120, 300) <= 2
    assert seen.let_in(60, 300) >= 0.985 * 2_400


def test_a_number_that_a_stray_refusal_names_is_not_believed(client: redis_py.Redis) -> None:
    named = Manners(quota_value=10)
    world = QuotaWorld(
        client, "bucket:6000/60s:100", stray=0.05, manners=named, call_s=lambda _: 1.0
    )

    seen = world.run(120)

    assert seen.let_in(60, 120) >= 0.5 * 60 * 20 / 3.3


def test_a_limit_that_is_set_too_high_is_found_out(client: redis_py.Redis) -> None:
    seen = QuotaWorld(client, "bucket:300/60s:10", limits=SET).run(300)

    assert seen.let_in(60, 300) >= 0.95 * 1_200
    assert seen.refused(60, 300) <= 0.02 * 1_200


def test_a_limit_that_is_halved_and_doubled_is_followed(client: redis_py.Redis) -> None:
    changes = [(120, "bucket:300/60s:10"), (360, "bucket:600/60s:10")]

    seen = QuotaWorld(client, "bucket:600/60s:10", limits=SET).run(600, changes=changes)

    assert seen.refused(120, 360) <= 0.03 * 1_200
    assert seen.let_in(180, 360) >= 0.93 * 900
    assert seen.let_in(540, 600) >= 0.97 * 600


def test_refusals_that_no_pace_explains_lower_no_pace(client: redis_py.Redis) -> None:
    world = QuotaWorld(client, "bucket:6000/60s:100", stray=0.05, call_s=lambda _: 1.0)

    seen = world.run(120)

    # One in twenty is refused and stops everybody for three seconds: twenty calls in some 3.3 s.
    assert seen.let_in(60, 120) >= 0.5 * 60 * 20 / 3.3


def test_tokens_that_are_counted_at_the_end_are_kept(client: redis_py.Redis) -> None:
    limits = QuotaLimits(tokens_per_minute=600 * TOKENS)

    seen = QuotaWorld(client, f"tokens:{600 * TOKENS}/60s", limits=limits).run(300)

    assert seen.let_in(60, 300) >= 0.95 * 2_400
    assert seen.refused(60, 300) <= 0.01 * 2_400


def test_ten_minutes_spend_what_they_may_and_no_more(client: redis_py.Redis) -> None:
    limits = QuotaLimits(spend_micro_per_10_minutes=1_000 * MICRO)

    seen = QuotaWorld(client, "spend:36.00usd/600s", limits=limits, callers=64).run(640)

    assert seen.refused(0, 640) == 0
    assert 900 <= seen.let_in(0, 600) <= 1_000


@pytest.mark.parametrize(
    ("rule", "kind"),
    [("capacity:40-80/120s", Refusal.CAPACITY), ("capacity429:20-100/240s", Refusal.UNCLEAR)],
)
def test_a_capacity_that_drifts_is_followed(
    client: redis_py.Redis, rule: str, kind: Refusal
) -> None:
    world = QuotaWorld(client, rule, manners=Manners(kind=kind))
    capacity = parse_rule(rule)
    assert isinstance(capacity, CapacityRule)

    seen = world.run(300)

    borne = borne_calls(capacity, 240, seed=1, call_s=MEAN_CALL_S, begin_s=60)
    assert seen.let_in(60, 300) >= 0.9 * borne
    # Most of them while it falls, when what is open is more than it bears.
    assert seen.refused(60, 300) <= 0.15 * borne


def test_an_overload_that_no_number_of_calls_explains_lowers_it_little(
    client: redis_py.Redis,
) -> None:
    said = Manners(kind=Refusal.CAPACITY, retry_info=False)
    world = QuotaWorld(
        client, "bucket:60000/60s:1000", stray=0.06, manners=said, callers=64, call_s=lambda _: 1.0
    )

    seen = world.run(60)

    assert seen.let_in(50, 60) >= 0.4 * 64 * 10


BAD_DAY = (
    Stray(share=0.03, kind=Refusal.RATE, retry_after_s=2.0),
    Stray(share=0.02, kind=Refusal.UNCLEAR),
    Stray(share=0.1, kind=Refusal.CAPACITY),
)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_bad_day_with_little_to_do_lowers_no_pace(client: redis_py.Redis, seed: int) -> None:
    world = QuotaWorld(
        client,
        "bucket:60000/60s:1000",
        strays=BAD_DAY,
        deaths=0.03,
        callers=16,
        rest_s=lambda now_s: 8.0 if now_s < 240 else 0.5,
        call_s=lambda dice: dice.uniform(0.5, 2),
        seed=seed,
    )

    seen = world.run(360)

    assert seen.let_in(60, 240) >= 0.75 * 180 * 16 / 9.25
    # Three in a hundred stop everybody for two seconds: 33 calls at 9 in a second, then 2 s.
    assert seen.let_in(300, 360) >= 0.5 * 60 * 33 / (33 / 9 + 2)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_bad_day_with_much_to_do_lowers_no_pace(client: redis_py.Redis, seed: int) -> None:
    world = QuotaWorld(
        client,
        "bucket:60000/60s:1000",
        strays=BAD_DAY,
        deaths=0.02,
        callers=32,
        call_s=lambda dice: dice.uniform(0.5, 2),
        seed=seed,
    )

    seen = world.run(240)

    assert seen.let_in(60, 240) >= 0.25 * 180 * 33 / (33 / 25 + 2)


def test_what_a_lane_learnt_can_be_looked_at(client: redis_py.Redis) -> None:
    world = QuotaWorld(client, "bucket:600/60s:10")
    world.run(120)

    fields = client.hgetall(f"skuscene:quota:{LANE.name}")

    assert isinstance(fields, dict)
    assert 60 * float(fields["found"]) == pytest.approx(600, rel=0.1)
