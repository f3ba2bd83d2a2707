"""Is a batch's word understood, line by line, whatever order and shape it comes in?"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.models import load_models
from worker.batch_model import TERMINAL, BatchState
from worker.errors import LaneStopped, NoPicture, OutcomeUnknown, PromptBlocked, Refused, TryLater
from worker.gemini.batches import lines_of, read_batch, read_result, request_body
from worker.model import ReferencePhoto, TakeRequest

SENT_AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n and more"
MODEL = "gemini-nano-banana-2.1"


def operation(state: str = "BATCH_STATE_RUNNING", **metadata: Any) -> dict[str, Any]:
    return {
        "name": "batches/b1",
        "metadata": {"state": state, "displayName": "monday.0.0.1", **metadata},
    }


def result(**more: Any) -> bytes:
    return json.dumps({"key": "monday/0/7", **more}).encode()


def picture() -> dict[str, Any]:
    data = base64.b64encode(PNG).decode()
    return {
        "candidates": [
            {
                "content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 1_120},
        "modelVersion": MODEL,
        "responseId": "r1",
    }


# -- batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("BATCH_STATE_PENDING", BatchState.PENDING),
        ("JOB_STATE_QUEUED", BatchState.PENDING),
        ("BATCH_STATE_RUNNING", BatchState.RUNNING),
        ("JOB_STATE_CANCELLING", BatchState.CANCELLING),
        ("BATCH_STATE_SUCCEEDED", BatchState.SUCCEEDED),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", BatchState.PARTIAL),
        ("BATCH_STATE_FAILED", BatchState.FAILED),
        ("BATCH_STATE_CANCELLED", BatchState.CANCELLED),
        ("BATCH_STATE_EXPIRED", BatchState.EXPIRED),
        ("BATCH_STATE_SOMETHING_NEW", BatchState.UNKNOWN),
    ],
)
def test_a_state_is_known_by_either_platforms_word(word: str, state: BatchState) -> None:
    batch = read_batch(operation(word))

    assert batch.state is state
    assert batch.is_over == (state in TERMINAL)


def test_a_batch_says_where_it_stands() -> None:
    batch = read_batch(
        operation(
            "BATCH_STATE_SUCCEEDED",
            batchStats={
                "requestCount": "10",
                "successfulRequestCount": "9",
                "failedRequestCount": "1",
            },
            output={"responsesFile": "files/out"},
        )
    )

    assert (batch.name, batch.display_name) == ("batches/b1", "monday.0.0.1")
    assert (batch.requests, batch.answered, batch.refused) == (10, 9, 1)
    assert batch.results == "files/out"


def test_a_batch_that_failed_as_a_whole_says_why() -> None:
    told = operation("BATCH_STATE_FAILED") | {"error": {"code": 13, "message": "went wrong"}}

    assert read_batch(told).fault == "13 went wrong"


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda s: (
            st.lists(s)
            | st.dictionaries(
                st.sampled_from(["name", "metadata", "state", "output", "batchStats", "error"]), s
            )
        ),
    )
)
def test_no_answer_is_so_odd_that_reading_it_raises(told: Any) -> None:
    read_batch(told if isinstance(told, dict) else {"metadata": told})


# -- results ---------------------------------------------------------------------------------


def test_a_picture_comes_with_its_key_and_its_tokens() -> None:
    read = read_result(result(response=picture()), sent_at=SENT_AT)

    assert read.key == "monday/0/7"
    assert read.fault is None
    assert read.answer is not None
    assert read.answer.content == PNG
    assert read.answer.sent_at == SENT_AT
    assert (read.answer.usage.input_tokens, read.answer.usage.output_image_tokens) == (10, 1_120)


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"response": {"promptFeedback": {"blockReason": "SAFETY"}}}, PromptBlocked),
        ({"response": {}}, NoPicture),
        ({}, NoPicture),
        ({"error": {"code": 13, "message": "internal"}}, TryLater),
        ({"error": {"code": 500, "message": "internal"}}, TryLater),
        ({"error": {"code": 3, "message": "bad"}}, Refused),
        ({"error": {"code": 400, "message": "bad"}}, Refused),
        ({"error": {"message": "no code"}}, TryLater),
    ],
)
def test_a_line_without_a_picture_says_why(told: dict[str, Any], fault: type[Exception]) -> None:
    read = read_result(result(**told), sent_at=SENT_AT)

    assert read.key == "monday/0/7"
    assert type(read.fault) is fault


def test_one_lines_error_stops_no_lane() -> None:
    read = read_result(result(error={"code": 7, "message": "denied"}), sent_at=SENT_AT)

    assert isinstance(read.fault, TryLater)
    assert not isinstance(read.fault, LaneStopped)


def test_the_key_may_stand_in_the_metadata_as_inline_answers_have_it() -> None:
    line = json.dumps({"metadata": {"key": "k"}, "response": picture()}).encode()

    assert read_result(line, sent_at=SENT_AT).key == "k"


@pytest.mark.parametrize("line", [b"{", b"[]", b"null", b"\xff", b'{"key": "a"'])
def test_a_line_that_cannot_be_read_has_no_key(line: bytes) -> None:
    read = read_result(line, sent_at=SENT_AT)

    assert read.key == ""
    assert isinstance(read.fault, OutcomeUnknown)


# -- the wire --------------------------------------------------------------------------------


@given(
    st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=8),
    st.integers(1, 7),
)
def test_lines_are_cut_wherever_the_stream_is(lines: list[bytes], step: int) -> None:
    stream = b"\n".join(lines)
    parts = [stream[at : at + step] for at in range(0, len(stream), step)]

    assert list(lines_of(parts)) == [line for line in lines if line.strip()]


def test_a_request_holds_what_a_call_would() -> None:
    request = TakeRequest(
        model_id=MODEL,
        prompt="a mug",
        references=(ReferencePhoto(content=b"photo", media_type="image/jpeg"),),
        ratio="4:5",
        size="1K",
        seed=7,
        scene="kitchen",
        deadline_s=60,
    )

    body: Any = request_body(request, load_models())

    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"inlineData": {"mimeType": "image/jpeg", "data": "cGhvdG8="}},
                {"text": "a mug"},
            ],
        }
    ]
    assert body["generationConfig"]["imageConfig"] == {"aspectRatio": "4:5", "imageSize": "1K"}
    assert body["generationConfig"]["seed"] == 7
