"""Which messages does Celery get to see, and what of their headers?"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.message import Message

from catalog import claims
from catalog.claims import ProductClaim
from catalog.reading import Unreadable
from worker.consumer import understood

CLAIM = ProductClaim(store="0123456789abcdef", import_id="one", part=0, product=7)
BODY = json.dumps([[CLAIM.model_dump(mode="json")], {}, {}]).encode()
HEADERS = {"task": claims.PREPARE, "id": "ea2550ef"}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def message(body: object = BODY, **more: Any) -> Any:
    fields = {"content_type": "application/json", "content_encoding": "utf-8", "headers": HEADERS}
    return Message(body, **{**fields, **more})  # type: ignore[no-untyped-call]


def headers(**more: Any) -> dict[str, Any]:
    return understood(message(headers={**HEADERS, **more}))


def ahead(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


def test_a_claim_is_understood() -> None:
    told = headers()

    assert (told["task"], told["id"]) == (claims.PREPARE, "ea2550ef")
    assert (told["eta"], told["expires"], told["retries"]) == (None, None, 0)


@pytest.mark.parametrize("encoding", [None, "utf-8", "UTF-8", "us-ascii"])
def test_a_body_of_text_is_understood(encoding: str | None) -> None:
    assert understood(message(BODY.decode(), content_encoding=encoding))["id"] == "ea2550ef"


def test_a_claim_never_expires() -> None:
    assert headers(expires="2001-01-01T00:00:00+00:00")["expires"] is None


@pytest.mark.parametrize(
    "name",
    ["timelimit", "shadow", "stamped_headers", "stamps", "group", "root_id", "ignore_result"],
)
def test_what_celery_would_honour_is_not_handed_on(name: str) -> None:
    assert headers(**{name: [7, {"a": "b"}]}) == headers()


def test_an_eta_that_is_to_come_is_kept_and_one_that_is_past_is_now() -> None:
    soon = ahead(seconds=90)

    assert headers(eta=soon)["eta"] == soon
    assert headers(eta=ahead(seconds=-1))["eta"] is None
    assert headers(eta="0001-01-01T00:00:00+14:00")["eta"] is None
    assert headers(eta="2026-01-01T00:00:00")["eta"] is None


@pytest.mark.parametrize(
    ("eta", "said"),
    [
        (ahead(days=8), "7 days"),
        ("9999-12-31T23:59:59-14:00", "7 days"),
        ("soon", "no time"),
        (7, "no time"),
        ({}, "no time"),
        ("", "no time"),
    ],
    ids=["8 days ahead", "the year 9999", "a word", "a number", "an object", "nothing"],
)
def test_an_eta_that_nobody_can_wait_for_is_unreadable(eta: object, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        headers(eta=eta)


@pytest.mark.parametrize(
    ("sent", "kept"), [(2, 2), (0, 0), (-1, 0), ("x", 0), (None, 0), ([], 0), (10**9, 0)]
)
def test_retries_are_counted_on_only_if_they_are_a_count(sent: object, kept: int) -> None:
    assert headers(retries=sent)["retries"] == kept


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (message(content_type="application/x-python-serialize"), "is ever read"),
        (message(content_type=None), "is ever read"),
        (message(content_encoding="utf-16"), "utf-16"),
        (message(content_encoding="binary"), "binary"),
        (message(None), "no JSON"),
        (message(b""), "no JSON"),
        (message("\ud800"), "no JSON"),
        (message(headers={}), "no task"),
        (message(headers={"task": {}}), "no task"),
        (message(headers={"task": ""}), "no task"),
        (message(headers={"task": claims.PREPARE}), "no id"),
        (message(headers={**HEADERS, "id": ""}), "no id"),
        (message(headers={**HEADERS, "id": 7}), "no id"),
        (message(headers={**HEADERS, "id": "x" * 201}), "no id"),
        (message(headers={**HEADERS, "id": "\ud800"}), "no id"),
        (message(headers={**HEADERS, "task": "celery.map"}), "there is no task"),
        (message(BODY.replace(b"product", b"produce")), "product: Field required"),
    ],
)
def test_a_message_that_cannot_be_worked_says_why(sent: Any, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        understood(sent)


@given(
    sent=st.dictionaries(st.sampled_from(["task", "id", "eta", "retries", "expires"]), JSON_VALUES)
)
def test_no_headers_raise_anything_else(sent: dict[str, Any]) -> None:
    try:
        told = understood(message(headers=sent))
    except Unreadable:
        return
    assert told["task"] == claims.PREPARE
