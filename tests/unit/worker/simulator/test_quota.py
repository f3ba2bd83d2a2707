"""Which call comes in when several rules hold, per model, and while they are changed."""

from __future__ import annotations

import pytest

from worker.simulator.accounts import Spent
from worker.simulator.quota import Quota
from worker.simulator.refusals import Refusal
from worker.simulator.rules import parse_limits


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _quota(*limits: str) -> tuple[Quota, _Clock]:
    clock = _Clock()
    return Quota(parse_limits(limits), clock), clock


def _refused_by(quota: Quota, model: str = "a") -> str:
    with pytest.raises(Refusal) as refused:
        quota.take(model)
    return refused.value.limit


def test_the_limit_is_per_model_and_says_when_to_come_again() -> None:
    quota, clock = _quota("sliding:2/60s")
    quota.take("a")
    clock.now_s = 20
    quota.take("a")
    quota.take("b")

    with pytest.raises(Refusal) as refused:
        quota.take("a")

    assert refused.value.status == 429
    assert refused.value.details[-1]["retryDelay"] == "40s"
    clock.now_s = 60
    assert quota.take("a") == 60


def test_without_a_limit_everybody_comes_in() -> None:
    quota, _ = _quota()

    for _ in range(1000):
        quota.take("a")


def test_the_first_rule_that_refuses_answers_and_a_refused_call_counts_nowhere() -> None:
    quota, clock = _quota("sliding:3/60s", "bucket:60/60s:1")
    quota.take("a")

    assert {_refused_by(quota) for _ in range(10)} == {"bucket:60/60s:1"}
    for clock.now_s in (1.0, 2.0):
        quota.take("a")
    clock.now_s = 2.5

    assert _refused_by(quota) == "sliding:3/60s"


def test_capacity_is_free_again_when_a_call_ends() -> None:
    quota, _ = _quota("capacity:2-2/60s")
    quota.take("a")
    quota.take("a")
    quota.take("b")

    assert _refused_by(quota) == "capacity:2-2/60s"
    quota.end("a", Spent())
    quota.take("a")


def test_what_a_call_used_counts_for_its_model() -> None:
    quota, _ = _quota("tokens:1000/60s")
    quota.take("a")

    quota.end("a", Spent(tokens=1000))

    assert _refused_by(quota) == "tokens:1000/60s"
    quota.take("b")


def test_changed_rules_keep_the_history_of_their_kind() -> None:
    quota, _ = _quota("sliding:9/60s", "sliding:5/10s")
    for _ in range(4):
        quota.take("a")

    quota.change(parse_limits(["day:1", "sliding:4/60s"]))

    assert _refused_by(quota) == "sliding:4/60s"
    assert [str(rule) for rule in quota.rules] == ["day:1", "sliding:4/60s"]


def test_a_capacity_that_comes_later_knows_the_calls_in_flight() -> None:
    quota, _ = _quota()
    quota.take("a")
    quota.take("a")

    quota.change(parse_limits(["capacity:2-2/60s"]))

    assert _refused_by(quota) == "capacity:2-2/60s"


def test_a_reset_brings_back_the_rules_of_the_start_and_forgets_what_came_in() -> None:
    quota, _ = _quota("sliding:1/60s", "capacity:2-2/60s")
    quota.take("a")
    quota.change(())

    quota.reset()

    assert [str(rule) for rule in quota.rules] == ["sliding:1/60s", "capacity:2-2/60s"]
    quota.take("a")
    quota.reset()
    assert _refused_by(quota) == "capacity:2-2/60s"
