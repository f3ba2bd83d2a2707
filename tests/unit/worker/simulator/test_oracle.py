"""What an oracle promises is what the accounts let in, no more and no less."""

from __future__ import annotations

import heapq
from random import Random

import pytest

from catalog.money import Usd
from worker.simulator.accounts import Spent, open_account
from worker.simulator.oracle import borne_calls, most_admitted
from worker.simulator.rules import CapacityRule, parse_rule

# Whoever comes back to the very moment may still be early by a rounding error.
HAIR_S = 1e-7


def _greedy(text: str, span_s: float, begin_s: float = 0.0) -> int:
    """Calls of a client that knows when to come, and has no end of them."""
    now_s, admitted = begin_s, 0
    account = open_account(parse_rule(text), now_s=begin_s, seed=0)
    while now_s < begin_s + span_s - HAIR_S:
        if wait_s := account.wait_s(now_s, 0):
            now_s += wait_s
        else:
            account.admit(now_s)
            admitted += 1
    return admitted


@pytest.mark.parametrize("span_s", [0.05, 1, 59.9, 60, 60.1, 120, 333.3])
@pytest.mark.parametrize("begin_s", [0, 30, 59])
@pytest.mark.parametrize(
    "text", ["bucket:60/60s:10", "bucket:90/60s:1", "fixed:50/60s", "sliding:50/60s", "day:40"]
)
def test_a_client_that_asks_again_and_again_gets_the_most(
    text: str, begin_s: float, span_s: float
) -> None:
    most = most_admitted(parse_rule(text), span_s, begin_s=begin_s)

    assert most == _greedy(text, span_s, begin_s)


def test_a_window_counts_for_those_who_come_over_its_border() -> None:
    rule = parse_rule("fixed:600/60s")

    assert most_admitted(rule, 60) == 600
    assert most_admitted(rule, 60, begin_s=59) == 1200
    assert most_admitted(rule, 0) == 0


def _with_calls_in_flight(
    text: str, span_s: float, *, in_flight: int, call_s: tuple[float, float], seed: int = 0
) -> int:
    """The same client, with calls that take their time and use 100 tokens and 100 micro-dollars."""
    dice = Random(seed)
    account = open_account(parse_rule(text), now_s=0.0, seed=seed)
    ends: list[float] = []
    now_s, admitted = 0.0, 0
    while now_s < span_s:
        while ends and ends[0] <= now_s:
            account.end(heapq.heappop(ends), Spent(tokens=100, micro=100))
        wait_s = account.wait_s(now_s, len(ends))
        if not wait_s and len(ends) < in_flight:
            account.admit(now_s)
            heapq.heappush(ends, now_s + dice.uniform(*call_s))
            admitted += 1
        else:
            later = min(ends[0] if ends else span_s, now_s + wait_s if wait_s else span_s)
            # A drifting capacity tells no time: look again soon.
            now_s = max(now_s + HAIR_S, min(later, now_s + 0.5))
    return admitted


@pytest.mark.parametrize("in_flight", [1, 7, 40])
@pytest.mark.parametrize("call_s", [(0.001, 0.002), (1, 5), (30, 90)])
@pytest.mark.parametrize("text", ["tokens:950/60s", "spend:0.000950usd/60s"])
def test_tokens_and_money_never_let_more_in_than_their_bound(
    text: str, call_s: tuple[float, float], in_flight: int
) -> None:
    per_call = 100 if text.startswith("tokens") else Usd(100)

    bound = most_admitted(parse_rule(text), 300, per_call=per_call, in_flight=in_flight)

    assert bound == (10 + in_flight - 1) * 5
    came_in = _with_calls_in_flight(text, 300, in_flight=in_flight, call_s=call_s)
    assert came_in <= bound
    if call_s[1] < 0.01:
        assert came_in > 0.95 * bound


def test_what_tokens_allow_is_not_known_without_those_of_a_call() -> None:
    with pytest.raises(ValueError, match="the tokens of one call"):
        most_admitted(parse_rule("tokens:950/60s"), 60)
    with pytest.raises(ValueError, match="the price of one call"):
        most_admitted(parse_rule("spend:1usd/60s"), 60, per_call=3)
    with pytest.raises(ValueError, match="ask borne_calls"):
        most_admitted(parse_rule("capacity:1-3/60s"), 60)


def test_a_steady_capacity_bears_its_number_at_a_time() -> None:
    steady = CapacityRule(low=8, high=8, period_s=60)

    assert borne_calls(steady, 100, seed=0, call_s=4) == pytest.approx(200)


def test_a_drifting_capacity_is_summed_up_where_the_span_lies() -> None:
    rule = CapacityRule(low=0, high=100, period_s=60)
    whole = borne_calls(rule, 60, seed=3, call_s=1)
    parts = [borne_calls(rule, 20, seed=3, call_s=1, begin_s=begin_s) for begin_s in (0, 20, 40)]

    assert whole == pytest.approx(50 * 60, rel=0.001)
    assert sum(parts) == pytest.approx(whole, rel=0.001)
    assert max(parts) > 1.5 * min(parts)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_client_that_asks_all_the_time_gets_about_what_a_drifting_capacity_bears(
    seed: int,
) -> None:
    rule = CapacityRule(low=4, high=16, period_s=300)

    came_in = _with_calls_in_flight(str(rule), 600, in_flight=10**6, call_s=(2, 4), seed=seed)

    assert came_in == pytest.approx(borne_calls(rule, 600, seed=seed, call_s=3), rel=0.05)
