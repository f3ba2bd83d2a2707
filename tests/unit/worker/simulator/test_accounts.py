"""When an account lets a call in, and how long it makes it wait."""

from __future__ import annotations

import pytest

from worker.simulator.accounts import UNKNOWN_S, Account, Spent, open_account
from worker.simulator.rules import DAY_S, parse_rule


def _open(text: str, now_s: float = 0.0, before: Account | None = None) -> Account:
    return open_account(parse_rule(text), now_s=now_s, seed=0, before=before)


def _fill(account: Account, now_s: float, times: int) -> None:
    for _ in range(times):
        assert account.wait_s(now_s, 0) == 0
        account.admit(now_s)


def test_a_bucket_lets_a_burst_in_and_then_one_by_one() -> None:
    account = _open("bucket:60/60s:3")

    _fill(account, 0.0, times=3)

    assert account.wait_s(0.0, 0) == pytest.approx(1.0)
    assert account.wait_s(0.25, 0) == pytest.approx(0.75)
    _fill(account, 1.0, times=1)
    assert account.wait_s(1.5, 0) == pytest.approx(0.5)
    _fill(account, 100.0, times=3)
    assert account.wait_s(100.0, 0) > 0


def test_a_bucket_of_sevenths_misses_nothing_by_rounding() -> None:
    account = _open("bucket:7/1s:1")

    for step in range(10_000):
        _fill(account, step / 7, times=1)


def test_a_fixed_window_opens_again_at_its_border() -> None:
    account = _open("fixed:2/60s", now_s=59.0)

    _fill(account, 59.0, times=2)

    assert account.wait_s(59.5, 0) == 0.5
    _fill(account, 60.0, times=2)
    assert account.wait_s(61.0, 0) == 59.0


def test_a_sliding_window_lets_each_call_out_by_itself() -> None:
    account = _open("sliding:2/60s")

    _fill(account, 0.0, times=1)
    _fill(account, 20.0, times=1)

    assert account.wait_s(30.0, 0) == 30.0
    _fill(account, 60.0, times=1)
    assert account.wait_s(60.0, 0) == 20.0


def test_a_day_begins_with_the_simulator() -> None:
    account = _open("day:1")

    _fill(account, 3600.0, times=1)

    assert account.wait_s(7200.0, 0) == DAY_S - 7200.0
    assert account.wait_s(DAY_S, 0) == 0


def test_tokens_count_when_their_call_ends() -> None:
    account = _open("tokens:100/60s")

    _fill(account, 0.0, times=5)
    account.end(10.0, Spent(tokens=60))
    assert account.wait_s(10.0, 0) == 0
    account.end(20.0, Spent(tokens=30))
    account.end(30.0, Spent(tokens=80))

    # 170 are used; at 70 s 60 of them are gone, at 80 s 30 more.
    assert account.wait_s(40.0, 0) == 40.0
    assert account.wait_s(79.0, 0) == 1.0
    assert account.wait_s(80.0, 0) == 0


def test_money_counts_when_its_call_ends() -> None:
    account = _open("spend:0.10usd/600s")

    account.end(5.0, Spent(tokens=10**9, micro=99_999))
    assert account.wait_s(5.0, 0) == 0
    account.end(6.0, Spent(micro=1))

    assert account.wait_s(6.0, 0) == 599.0


def test_capacity_counts_calls_in_flight_and_knows_no_time() -> None:
    account = _open("capacity:3-3/60s")

    assert account.wait_s(0.0, 2) == 0
    assert account.wait_s(0.0, 3) == UNKNOWN_S


@pytest.mark.parametrize(
    "text", ["fixed:0/60s", "sliding:0/60s", "day:0", "tokens:0/60s", "spend:0usd/60s"]
)
def test_a_limit_of_nothing_never_ends(text: str) -> None:
    assert _open(text).wait_s(0.0, 0) == UNKNOWN_S


def test_a_lowered_limit_counts_what_came_in_before() -> None:
    sliding = _open("sliding:4/60s")
    for second in range(4):
        _fill(sliding, float(second), times=1)

    lowered = _open("sliding:2/60s", now_s=4.0, before=sliding)

    # The first three must have left.
    assert lowered.wait_s(4.0, 0) == 58.0


def test_a_bucket_keeps_its_level_under_another_rate() -> None:
    bucket = _open("bucket:60/60s:10")
    _fill(bucket, 0.0, times=8)

    larger = _open("bucket:600/60s:50", now_s=1.0, before=bucket)
    smaller = _open("bucket:600/60s:1", now_s=1.0, before=bucket)

    _fill(larger, 1.0, times=3)
    assert larger.wait_s(1.0, 0) == pytest.approx(0.1)
    _fill(smaller, 1.0, times=1)
    assert smaller.wait_s(1.0, 0) > 0


def test_spent_tokens_are_remembered_under_another_limit() -> None:
    tokens = _open("tokens:100/60s")
    tokens.end(0.0, Spent(tokens=80))

    lowered = _open("tokens:50/60s", now_s=1.0, before=tokens)

    assert lowered.wait_s(1.0, 0) == 59.0


def test_another_kind_begins_empty() -> None:
    sliding = _open("sliding:1/60s")
    _fill(sliding, 0.0, times=1)

    assert _open("fixed:1/60s", now_s=1.0, before=sliding).wait_s(1.0, 0) == 0
