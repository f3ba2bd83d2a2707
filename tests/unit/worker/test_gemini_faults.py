from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from worker.errors import (
    LaneStopped,
    Limited,
    Overloaded,
    Refused,
    RenderError,
    Snooze,
    TryLater,
)
from worker.gemini.faults import read_error, translate

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def fault(
    code: int,
    status: str = "",
    message: str = "",
    *details: dict[str, Any],
    retry_after: str | None = None,
) -> RenderError:
    body = {"error": {"code": code, "status": status, "message": message, "details": [*details]}}
    return translate(read_error(code, body, retry_after=retry_after), "some-model")


def reason(word: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word}


def quota(quota_id: str, value: str = "100") -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": quota_id, "quotaValue": value}],
    }


@pytest.mark.parametrize(
    ("found", "family", "word"),
    [
        (
            fault(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")),
            LaneStopped,
            "model.key_invalid",
        ),
        (fault(401, "UNAUTHENTICATED"), LaneStopped, "model.key_invalid"),
        (fault(402, "PAYMENT_REQUIRED"), LaneStopped, "model.billing"),
        (fault(400, "FAILED_PRECONDITION"), LaneStopped, "model.billing"),
        (
            fault(403, "PERMISSION_DENIED", "", reason("BILLING_DISABLED")),
            LaneStopped,
            "model.billing",
        ),
        (fault(403, "PERMISSION_DENIED"), LaneStopped, "model.permission"),
        (fault(404, "NOT_FOUND"), LaneStopped, "model.gone"),
        (fault(400, "INVALID_ARGUMENT", "aspect ratio"), Refused, "model.rejected"),
        (fault(413), Refused, "model.rejected"),
        (fault(429, "RESOURCE_EXHAUSTED"), Limited, "model.limited"),
        (
            fault(429, "RESOURCE_EXHAUSTED", "", reason("MODEL_CAPACITY_EXHAUSTED")),
            Limited,
            "model.limited",
        ),
        (
            fault(429, "RESOURCE_EXHAUSTED", "", quota("RequestsPerMinutePerProject")),
            Limited,
            "model.limited",
        ),
        (
            fault(429, "RESOURCE_EXHAUSTED", "", quota("GenerateRequestsPerDayPerProjectPerModel")),
            LaneStopped,
            "quota.daily",
        ),
        (
            fault(429, "RESOURCE_EXHAUSTED", "", quota("RequestsPerMinute-FreeTier", "0")),
            LaneStopped,
            "model.billing",
        ),
        (fault(408), TryLater, "model.unavailable"),
        (fault(499, "CANCELLED"), TryLater, "model.unavailable"),
        (fault(500, "INTERNAL"), TryLater, "model.unavailable"),
        (fault(503, "UNAVAILABLE"), Overloaded, "model.unavailable"),
        (fault(504, "DEADLINE_EXCEEDED"), TryLater, "model.unavailable"),
        (fault(201), TryLater, "model.unavailable"),
        (fault(302), TryLater, "model.unavailable"),
    ],
)
def test_an_error_reply_means(found: RenderError, family: type[RenderError], word: str) -> None:
    assert (type(found), found.reason) == (family, word)


@pytest.mark.parametrize(
    ("found", "kind", "asked_to_wait_s", "told_per_minute"),
    [
        (fault(429), "unclear", None, None),
        (fault(429, "", "", reason("MODEL_CAPACITY_EXHAUSTED")), "capacity", None, None),
        (fault(429, "", "", {"@type": RETRY_INFO, "retryDelay": "0.4s"}), "rate", 0.4, None),
        (
            fault(429, "", "", quota("GenerateRequestsPerMinutePerProject", "600")),
            "rate",
            None,
            600,
        ),
        (fault(429, "", "", quota("GenerateImagesPerMinutePerProject", "60")), "rate", None, 60),
        (fault(429, "", "", quota("InputTokensPerModelPerMinute", "4000")), "rate", None, None),
        (fault(429, "", "", quota("GenerateRequestsPerMinute", "many")), "rate", None, None),
    ],
)
def test_a_refusal_says_which_limit_was_reached(
    found: RenderError, kind: str, asked_to_wait_s: float | None, told_per_minute: int | None
) -> None:
    assert isinstance(found, Limited)
    assert found.kind == kind
    assert found.asked_to_wait_s == asked_to_wait_s
    assert found.told_per_minute == told_per_minute
    assert type(found)(*found.args).kind == kind


def test_one_daily_limit_among_others_stops_the_lane() -> None:
    found = fault(429, "", "", quota("TokensPerMinute"), quota("RequestsPerDayPerProject"))

    assert found.reason == "quota.daily"


@pytest.mark.parametrize(
    ("delay", "seconds"), [("3s", 3.0), ("3.5s", 3.5), ("0.25s", 0.25), ("52411s", 52411.0)]
)
@pytest.mark.parametrize("code", [429, 503])
def test_the_wait_is_exactly_what_retry_info_says(code: int, delay: str, seconds: float) -> None:
    found = fault(code, "", "", {"@type": RETRY_INFO, "retryDelay": delay}, retry_after="60")

    assert isinstance(found, Snooze if code == 429 else TryLater)
    assert found.retry_after_s == seconds


@pytest.mark.parametrize("delay", ["", "soon", "-3s", "3", 3, None, {}])
def test_a_retry_info_that_says_nothing_is_no_wait(delay: object) -> None:
    found = fault(503, "", "", {"@type": RETRY_INFO, "retryDelay": delay})
    limited = fault(429, "", "", {"@type": RETRY_INFO, "retryDelay": delay})

    assert isinstance(found, TryLater)
    assert found.retry_after_s is None
    assert isinstance(limited, Snooze)
    assert limited.retry_after_s > 0


def test_a_retry_after_header_stands_in_for_a_missing_retry_info() -> None:
    found = fault(429, retry_after="7")

    assert isinstance(found, Snooze)
    assert found.retry_after_s == 7


def test_a_retry_after_header_may_be_a_time() -> None:
    found = fault(503, retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=90)))

    assert isinstance(found, TryLater)
    assert found.retry_after_s == pytest.approx(90, abs=5)


@pytest.mark.parametrize("header", ["later", "", "9" * 5000])
def test_a_retry_after_header_that_says_nothing_is_no_wait(header: str) -> None:
    assert read_error(503, {}, retry_after=header).retry_after_s is None


@pytest.mark.parametrize(
    "body",
    [
        [{"error": {"status": "UNAVAILABLE", "message": "overloaded"}}],
        {"error": {"status": "UNAVAILABLE", "message": "overloaded"}},
        {"status": "UNAVAILABLE", "message": "overloaded"},
    ],
)
def test_an_error_is_read_in_a_list_inside_error_or_bare(body: object) -> None:
    found = read_error(503, body)

    assert (found.status, found.message) == ("UNAVAILABLE", "overloaded")


@pytest.mark.parametrize(
    "body",
    [None, "<html>", 3, [], [3], {"error": "x"}, {"error": {"details": 3}}, {"details": [[], 3]}],
)
def test_an_error_of_any_other_shape_still_counts_by_its_code(body: object) -> None:
    found = translate(read_error(503, body), "some-model")

    assert isinstance(found, TryLater)


def test_a_page_in_place_of_an_error_is_quoted_up_to_a_line() -> None:
    found = translate(read_error(500, {"message": "<p>\n" * 5000}), "some-model")

    assert len(str(found)) < 400
    assert "\n" not in str(found)


def test_a_secret_in_a_servers_message_is_not_quoted() -> None:
    message = "x" * 290 + "Consumer 'api_key:AIza-secret' has been suspended."
    body = {"error": {"status": "PERMISSION_DENIED", "message": message}}

    found = translate(read_error(403, body, hidden={"AIza-secret": "[key]", "": "?"}), "some-model")

    assert "AIza" not in str(found)
    assert "some-model" in str(found)
