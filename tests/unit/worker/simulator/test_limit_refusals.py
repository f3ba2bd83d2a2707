"""What a refusal gives away about the limit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.simulator.accounts import UNKNOWN_S
from worker.simulator.limit_refusals import Telling, refuse
from worker.simulator.outcomes import OUTCOMES
from worker.simulator.rules import SHAPES, parse_rule


def _error(text: str, wait_s: float = 1.0, telling: Telling | None = None) -> dict[str, Any]:
    refusal = refuse("m", parse_rule(text), wait_s, telling or Telling())
    error: dict[str, Any] = json.loads(refusal.body())["error"]
    return error


def _details(error: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["@type"].rpartition(".")[2]: each for each in error.get("details", ())}


@pytest.mark.parametrize(
    ("text", "quota_id", "value", "outcome"),
    [
        (
            "bucket:600/60s:10",
            "GenerateRequestsPerMinutePerProjectPerModel",
            "600",
            "429_retryinfo",
        ),
        ("fixed:6/1s", "GenerateRequestsPerSecondPerProjectPerModel", "6", "429_retryinfo"),
        ("sliding:6/2.5s", "GenerateRequestsPer2.5SecondsPerProjectPerModel", "6", "429_retryinfo"),
        ("day:5000", "GenerateRequestsPerDayPerProjectPerModel", "5000", "429_per_day"),
        ("tokens:15/60s", "GenerateContentInputTokensPerModelPerMinute", "15", "429_tokens"),
        (
            "spend:0.6usd/600s",
            "GenerateContentSpendPer10MinutesPerProjectPerModel",
            "0.60",
            "429_spend",
        ),
    ],
)
def test_a_quota_is_named_with_its_kind_its_span_and_its_value(
    text: str, quota_id: str, value: str, outcome: str
) -> None:
    error = _error(text)

    violation = _details(error)["QuotaFailure"]["violations"][0]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert (violation["quotaId"], violation["quotaValue"]) == (quota_id, value)
    assert refuse("m", parse_rule(text), 1.0, Telling()).outcome == outcome


@pytest.mark.parametrize(
    ("wait_s", "delay"), [(7.0001, "7.001s"), (40, "40s"), (86_399.1234, "86399.124s")]
)
def test_the_time_is_exact_and_never_too_early(wait_s: float, delay: str) -> None:
    error = _error("sliding:6/60s", wait_s)

    assert _details(error)["RetryInfo"]["retryDelay"] == delay
    assert f"Please retry in {delay}." in error["message"]


def test_a_time_that_nobody_knows_is_not_told() -> None:
    error = _error("sliding:0/60s", UNKNOWN_S)

    assert "RetryInfo" not in _details(error)
    assert refuse("m", parse_rule("sliding:0/60s"), UNKNOWN_S, Telling()).outcome == "429"


def test_what_is_not_to_be_told_stands_nowhere() -> None:
    no_time = _error("sliding:612/60s", telling=Telling(retry_info=False))
    no_value = _error("sliding:612/60s", telling=Telling(quota_value=False))
    nothing = _error("sliding:612/60s", telling=Telling(retry_info=False, quota=False))

    assert "RetryInfo" not in _details(no_time)
    assert "retry in" not in no_time["message"]
    assert "quotaValue" not in json.dumps(no_value)
    assert "PerMinute" in json.dumps(no_value)
    assert list(_details(nothing)) == ["Help"]
    assert "612" not in json.dumps(nothing)


def test_want_of_capacity_names_no_quota_and_no_time() -> None:
    overloaded = _error("capacity:4-16/300s", UNKNOWN_S)
    exhausted = _error("capacity429:4-16/300s", UNKNOWN_S)

    assert (overloaded["code"], overloaded["status"]) == (503, "UNAVAILABLE")
    assert "overloaded" in overloaded["message"]
    assert (exhausted["code"], exhausted["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert "details" not in {**overloaded, **exhausted}


def test_every_refusal_is_booked_under_an_outcome_and_names_its_rule() -> None:
    for text in SHAPES.values():
        refusal = refuse("m", parse_rule(text), 1.0, Telling())

        assert refusal.outcome in OUTCOMES
        assert refusal.limit == text
