"""When are a slot's attempts used up, and what is said then?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from catalog.open_calls import Tries
from tests.support.desk import LIMITS
from worker.attempts import why_used_up

TWO_OF_EACH = replace(LIMITS, max_attempts=2, max_doubtful=2)


@pytest.mark.parametrize(("attempts", "doubtful"), [(0, 0), (1, 0), (1, 2)])
def test_a_call_may_be_made_until_a_limit_is_met(attempts: int, doubtful: int) -> None:
    assert why_used_up(Tries(attempts=attempts, doubtful=doubtful), TWO_OF_EACH) is None


@pytest.mark.parametrize("attempts", [2, 3])
def test_attempts_end_with_the_last_that_is_allowed(attempts: int) -> None:
    said = why_used_up(Tries(attempts=attempts), TWO_OF_EACH)

    assert said == f"all {attempts} attempts are used up"


def test_doubtful_calls_end_with_the_first_that_is_too_many() -> None:
    said = why_used_up(Tries(attempts=1, doubtful=3), TWO_OF_EACH)

    assert said == "3 calls left and were never answered"
