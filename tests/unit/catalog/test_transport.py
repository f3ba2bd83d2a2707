"""Which things in a queue can kombu go on with, and what becomes of the others?"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport.virtual.base import Message

from catalog.transport import REFUSED, UNREADABLE, fault, wrapped

QUEUE = "generate"
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Channel:
    """As much of a channel as a message needs to be made."""

    @staticmethod
    def decode_body(body: str, encoding: str | None = None) -> str | bytes:
        return base64.b64decode(body) if encoding == "base64" else body


def envelope(**more: Any) -> dict[str, Any]:
    return {
        "body": base64.b64encode(b"[[1], {}, {}]").decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "skuscene.generate"},
        "properties": properties(),
        **more,
    }


def properties(**more: Any) -> dict[str, Any]:
    return {
        "delivery_tag": "0752d962-6104-4cde",
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "body_encoding": "base64",
        **more,
    }


def opened(raw: bytes) -> Any:
    """The message that kombu makes of an envelope."""
    return Message(json.loads(raw), channel=Channel)  # type: ignore[no-untyped-call]


def written(message: object) -> bytes:
    return json.dumps(message).encode()


def test_a_message_of_celerys_is_left_alone() -> None:
    assert fault(written(envelope()), QUEUE) is None


def test_a_message_that_was_given_back_is_left_alone() -> None:
    info = {"exchange": "", "routing_key": QUEUE, "redelivered": True}
    message = envelope(headers={"redelivered": True}, properties=properties(delivery_info=info))

    assert fault(written(message), QUEUE) is None


@pytest.mark.parametrize(
    "properties_",
    [
        None,
        [],
        {},
        properties(delivery_tag=None),
        properties(delivery_tag=""),
        properties(delivery_tag="a b"),
        properties(delivery_tag="ä"),
        properties(delivery_tag="x" * 201),
        properties(delivery_info=None),
        properties(delivery_info=[]),
        properties(delivery_info={"exchange": "", "routing_key": "prepare"}),
        properties(delivery_info={"exchange": None, "routing_key": QUEUE}),
        properties(body_encoding="rot13"),
        properties(body_encoding=7),
    ],
    ids=str,
)
def test_properties_that_kombu_falls_over_are_named(properties_: Any) -> None:
    assert fault(written(envelope(properties=properties_)), QUEUE)


def test_a_body_that_is_text_may_be_anything() -> None:
    message = envelope(body="%%%", properties=properties(body_encoding="utf-8"))

    assert fault(written(message), QUEUE) is None
    assert opened(written(message)).body == b"%%%"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"7",
        b"\xff",
        b"[" * 100_000,
        b"9" * 5_000,
        b'{"__type__": "uuid", "__value__": "x"}',
        b'{"__type__": "base64", "__value__": 7}',
        written(envelope(body="%%%")),
        written(envelope(body="YQ")),
        written(envelope(body=7)),
        written(envelope(headers=[])),
        written(envelope(headers={"compression": "zlib"})),
        written(envelope(**{"content-type": 7})),
        written(envelope(**{"content-encoding": {}})),
        written(envelope(headers={"x": [[]] * 300})),
    ],
    ids=lambda raw: ascii(raw[:40]),
)
def test_what_is_no_message_gets_an_envelope_and_keeps_its_bytes(raw: bytes) -> None:
    why = fault(raw, QUEUE)

    assert why
    message = wrapped(raw, QUEUE, why)
    assert fault(message, QUEUE) is None
    assert opened(message).body == raw
    assert opened(message).content_type == UNREADABLE
    assert opened(message).headers == {REFUSED: why[:1_000]}


@given(
    message=JSON_VALUES
    | st.builds(envelope, body=JSON_VALUES)
    | st.builds(envelope, headers=JSON_VALUES)
    | st.builds(envelope, properties=JSON_VALUES)
    | st.builds(lambda info: envelope(properties=properties(delivery_info=info)), JSON_VALUES)
    | st.builds(lambda tag: envelope(properties=properties(delivery_tag=tag)), JSON_VALUES)
)
def test_whatever_passes_can_be_opened_noted_and_given_back(message: Any) -> None:
    raw = written(message)
    if fault(raw, QUEUE) is not None:
        raw = wrapped(raw, QUEUE, "because")

    made = opened(raw)

    assert (made.delivery_info["exchange"], made.delivery_info["routing_key"]) == ("", QUEUE)
    assert made.delivery_tag.encode()
    assert json.dumps(made._raw)
