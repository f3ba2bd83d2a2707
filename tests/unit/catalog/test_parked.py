"""Is a parked message what came, whatever came?"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import claims
from catalog.claims import ProductClaim
from catalog.parked import FOLDER, ParkedMessage, RawMessage, as_json, key_of, name_of
from catalog.reading import Unreadable
from catalog.transport import UNREADABLE

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
CLAIM = ProductClaim(store="0123456789abcdef", import_id="one", part=0, product=7)
SENT = CLAIM.model_dump(mode="json")
BODY = json.dumps([[SENT], {}, {}]).encode()
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def parked(**fields: Any) -> ParkedMessage:
    told = {"task": claims.PREPARE, "why": "because", "at": NOW, "worker": "host-1"}
    return ParkedMessage(**{**told, **fields})


def raw(body: bytes | str | None = BODY, **fields: Any) -> RawMessage:
    return RawMessage.of(body, **{"content_type": "application/json", "headers": {}, **fields})


@given(payload=JSON_VALUES)
def test_a_payload_comes_out_as_it_went_in(payload: object) -> None:
    message = parked(payload=as_json(payload))

    assert ParkedMessage.from_json(message.to_json()).payload == payload
    assert json.loads(message.to_json())["payload"] == payload


@given(body=st.binary())
def test_a_body_comes_out_byte_for_byte(body: bytes) -> None:
    message = parked(message=raw(body))

    again = ParkedMessage.from_json(message.to_json()).message

    assert again is not None
    assert again.content == body


@pytest.mark.parametrize(
    "value",
    [
        object(),
        b"bytes",
        {"a": {1, 2}},
        {("a", "b"): 1},
        float("nan"),
        [float("inf")],
        "\ud800",
        {"\ud800": "\udfff"},
        10**400,
        NOW,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_parked_as_something(value: object) -> None:
    message = parked(payload=as_json(value), message=raw(headers={"x": value}))

    written = message.to_json()

    assert ParkedMessage.from_json(written).to_json() == written
    assert "NaN" not in written.decode().replace('"NaN"', "")


def test_what_is_nested_deeply_is_parked_as_text() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]

    message = parked(payload=as_json(deep), message=raw(headers={"x": deep}))

    assert message.payload == json.dumps(deep)
    assert ParkedMessage.from_json(message.to_json()) == message


def test_headers_that_are_none_are_kept_all_the_same() -> None:
    assert raw(headers=[1]).headers == {"headers": [1]}
    assert raw(headers=None).headers == {"headers": None}


@pytest.mark.parametrize(
    "task",
    [
        *("", ".", "..", "/", "../../etc/passwd", "a/b", "\\", "\x00", "\n", "ä" * 500, "x" * 500),
        *("\ud800", "a\ud800b", "con:", " ", "__", "\U0001f600" * 200),
    ],
    ids=ascii,
)
def test_no_task_leads_out_of_the_folder(task: str) -> None:
    key = key_of(task, "0" * 32)

    folder, name = key.removeprefix(FOLDER).split("/")
    assert key.startswith(FOLDER)
    assert 0 < len(folder) <= 200
    assert folder.isascii()
    assert folder.strip(".") == folder
    assert name == "0" * 32 + ".json"
    assert name_of(key) == "0" * 32


def test_a_redelivery_has_the_same_name_and_another_message_has_not() -> None:
    first = raw(headers={"id": "a"})

    assert raw(headers={"id": "a", "redelivered": True}).fingerprint("q") == first.fingerprint("q")
    others = [
        raw(headers={"id": "b"}).fingerprint("q"),
        raw(b"x", headers={"id": "a"}).fingerprint("q"),
        raw(headers={"id": "a"}).fingerprint("r"),
        raw(headers={"id": "a"}, content_type="text/plain").fingerprint("q"),
    ]
    assert len({first.fingerprint("q"), *others}) == 5


@pytest.mark.parametrize("message", [parked(payload=SENT), parked(message=raw())])
def test_a_claim_can_be_read_from_either_kind(message: ParkedMessage) -> None:
    assert message.claim() == CLAIM


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (parked(payload=None), "can't be read"),
        (parked(payload=SENT, task="celery.map"), "no task"),
        (parked(payload={**SENT, "v": 2}), "newer version"),
        (parked(message=raw(b"x")), "no JSON"),
        (parked(message=raw(b"\x80")), "no JSON"),
        (parked(message=raw(content_type="application/x-python-serialize")), "is ever read"),
        (parked(message=raw(content_type=UNREADABLE)), "is ever read"),
        (parked(message=raw(content_type=None)), "is ever read"),
        (parked(message=raw().changed(body="%", body_is="base64")), "no base64"),
    ],
)
def test_what_still_cannot_be_read_says_why(message: ParkedMessage, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        message.claim()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_parked_message_is_not_read_as_one(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ParkedMessage.from_json(content)


def test_what_an_earlier_version_parked_can_be_read() -> None:
    written = {
        "schema": "skuscene.parked/1",
        "task": claims.PREPARE,
        "payload": SENT,
        "why": "it broke",
        "at": NOW.isoformat(),
        "worker": "host-1",
    }

    assert ParkedMessage.from_json(json.dumps(written)).claim() == CLAIM
