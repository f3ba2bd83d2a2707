"""Requests per rolling minute and model."""

from __future__ import annotations

import pytest

from worker.simulator.quota import Quota
from worker.simulator.refusals import Refusal


class _Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_limit_is_per_model_and_says_when_to_come_again() -> None:
    clock = _Clock()
    quota = Quota(2, clock)
    quota.take("a")
    clock.now_s = 20
    quota.take("a")
    quota.take("b")

    with pytest.raises(Refusal) as refused:
        quota.take("a")

    assert refused.value.status == 429
    assert refused.value.details[-1]["retryDelay"] == "40s"
    clock.now_s = 60
    quota.take("a")


def test_without_a_limit_everybody_comes_in() -> None:
    quota = Quota(None)

    for _ in range(1000):
        quota.take("a")
