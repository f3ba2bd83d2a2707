from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from worker.errors import (
    LaneStopped,
    NoPicture,
    OutcomeUnknown,
    PromptBlocked,
    Refused,
    RenderError,
)
from worker.gemini.answers import BLOCKED, parse_answer, read_answer
from worker.model import Usage

JPEG = b"\xff\xd8\xff\xe0 final"
DRAFT = b"\xff\xd8\xff\xe0 draft"
USAGE = {
    "promptTokenCount": 2260,
    "candidatesTokenCount": 1120,
    "thoughtsTokenCount": 310,
    "totalTokenCount": 3690,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 20},
        {"modality": "IMAGE", "tokenCount": 2240},
    ],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
}


def inline(content: bytes = JPEG, media_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"inlineData": {"mimeType": media_type, "data": encoded}, **more}


def answer(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": USAGE, **more}


def test_the_picture_comes_with_what_the_reply_says_of_it() -> None:
    sold = read_answer(answer(inline(), modelVersion="served", responseId="r-1"))

    assert sold.content == JPEG
    assert (sold.media_type, sold.model_answered, sold.response_id) == (
        "image/jpeg",
        "served",
        "r-1",
    )
    assert sold.usage == Usage(input_tokens=2260, output_image_tokens=1120, thought_tokens=310)


def test_the_last_picture_that_is_no_thought_is_the_one() -> None:
    sold = read_answer(
        answer(
            {"text": "planning", "thought": True},
            inline(DRAFT, thought=True),
            inline(b"\xff\xd8\xff first"),
            inline(JPEG, thoughtSignature="c2ln"),
            inline(DRAFT, thought=True),
            {"text": "there you are"},
        )
    )

    assert sold.content == JPEG


def test_the_last_thought_is_the_picture_where_nothing_else_is() -> None:
    sold = read_answer(answer(inline(DRAFT, thought=True), inline(JPEG, thought=True)))

    assert sold.content == JPEG


def test_a_draft_beside_a_refusal_is_no_picture() -> None:
    with pytest.raises(PromptBlocked):
        read_answer(answer(inline(DRAFT, thought=True), finish="IMAGE_SAFETY"))


def test_a_final_picture_counts_whatever_the_finish_reason() -> None:
    assert read_answer(answer(inline(), finish="MAX_TOKENS")).content == JPEG


def test_a_picture_of_a_later_candidate_is_found() -> None:
    reply = {"candidates": [{"finishReason": "STOP"}, answer(inline())["candidates"][0]]}

    assert read_answer(reply).content == JPEG


@pytest.mark.parametrize(
    ("content", "declared", "found"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/jpeg", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/jpeg", "image/webp"),
        (JPEG, "image/png", "image/jpeg"),
        (JPEG, "", "image/jpeg"),
        (b"something new", "image/new", "image/new"),
    ],
)
def test_the_media_type_is_that_of_the_bytes(content: bytes, declared: str, found: str) -> None:
    assert read_answer(answer(inline(content, declared))).media_type == found


def test_snake_case_of_a_gateway_is_read_as_well() -> None:
    part = {"inline_data": {"mime_type": "image/jpeg", "data": base64.b64encode(JPEG).decode()}}
    reply = {
        "candidates": [{"finish_reason": "STOP", "content": {"parts": [part]}}],
        "usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 1120},
        "model_version": "served",
    }

    sold = read_answer(reply)

    assert (sold.content, sold.model_answered) == (JPEG, "served")
    assert sold.usage == Usage(input_tokens=9, output_image_tokens=1120)


def test_url_safe_base64_without_padding_is_read() -> None:
    content = b"\xff\xd8\xff\xfb\xef\xbe\xff!"
    part = inline(content)
    part["inlineData"]["data"] = base64.urlsafe_b64encode(content).decode().rstrip("=")

    assert read_answer(answer(part)).content == content


def test_a_sound_is_no_picture() -> None:
    with pytest.raises(NoPicture):
        read_answer(answer(inline(b"ID3", "audio/mpeg")))


def test_a_field_of_the_wrong_type_does_not_cost_the_picture() -> None:
    reply = answer(inline(), {"inlineData": 3}, promptFeedback=[], modelVersion=7, responseId=None)
    reply["usageMetadata"] = {"promptTokenCount": "many", "candidatesTokensDetails": [None, {}]}

    sold = read_answer(reply)

    assert sold.content == JPEG
    assert sold.usage == Usage()


@pytest.mark.parametrize("word", sorted(BLOCKED))
def test_a_safety_finish_is_a_block_with_the_models_word(word: str) -> None:
    reply = {"candidates": [{"finishReason": word}], "usageMetadata": {"promptTokenCount": 12}}

    with pytest.raises(PromptBlocked) as caught:
        read_answer(reply)

    assert (caught.value.reason, caught.value.finish_reason) == ("prompt.blocked", word)
    assert caught.value.usage == Usage(input_tokens=12)


@pytest.mark.parametrize(
    "word",
    ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "JAILBREAK", "NEW"],
)
def test_a_blocked_prompt_is_a_block_with_the_block_reason(word: str) -> None:
    with pytest.raises(PromptBlocked) as caught:
        read_answer({"promptFeedback": {"blockReason": word}})

    assert (caught.value.finish_reason, caught.value.usage) == (word, None)


@pytest.mark.parametrize("word", ["PUP_LIMITED_DISABLED", "ESCALATION"])
def test_a_restricted_account_stops_the_lane(word: str) -> None:
    with pytest.raises(LaneStopped) as caught:
        read_answer({"candidates": [{"finishReason": word}]})

    assert caught.value.reason == "model.permission"


@pytest.mark.parametrize(
    "word",
    ["LANGUAGE", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"],
)
def test_a_request_that_is_wrong_in_itself_is_refused(word: str) -> None:
    with pytest.raises(Refused) as caught:
        read_answer({"candidates": [{"finishReason": word}]})

    assert caught.value.reason == "model.rejected"


@pytest.mark.parametrize(
    "reply",
    [
        answer({"text": "Sorry."}),
        *(
            answer(finish=word)
            for word in (
                "NO_IMAGE",
                "IMAGE_OTHER",
                "OTHER",
                "MALFORMED_RESPONSE",
                "MISSING_THOUGHT_SIGNATURE",
                "MAX_TOKENS",
                "CONTINUATION",
                "OF_TOMORROW",
            )
        ),
        {"candidates": [{"finishReason": "NO_IMAGE", "content": None}], "usageMetadata": USAGE},
        {"candidates": [], "usageMetadata": USAGE},
        {"candidates": None, "usageMetadata": USAGE},
        answer(finish=None),
        {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}, "usageMetadata": USAGE},
    ],
)
def test_an_answer_without_picture_or_refusal_is_no_picture_with_its_tokens(
    reply: dict[str, Any],
) -> None:
    with pytest.raises(NoPicture) as caught:
        read_answer(reply)

    assert caught.value.reason == "model.no_picture"
    assert caught.value.usage == Usage(
        input_tokens=2260, output_image_tokens=1120, thought_tokens=310
    )


def test_words_in_place_of_a_picture_count_as_words() -> None:
    reply = answer({"text": "Sorry."})
    reply["usageMetadata"] = {"promptTokenCount": 5, "candidatesTokenCount": 40}

    with pytest.raises(NoPicture, match=r"STOP.*Sorry") as caught:
        read_answer(reply)

    assert caught.value.usage == Usage(input_tokens=5, output_text_tokens=40)


def test_the_models_words_are_quoted_up_to_a_line() -> None:
    with pytest.raises(NoPicture) as caught:
        read_answer(answer({"text": "word " * 1000}))

    assert len(str(caught.value)) < 300


def test_the_finish_message_is_quoted() -> None:
    reply = {"candidates": [{"finishReason": "NO_IMAGE", "finishMessage": "Unable to show it."}]}

    with pytest.raises(NoPicture, match="Unable to show it"):
        read_answer(reply)


@pytest.mark.parametrize("body", ["", "  \n", "{}", b"", b"{}"])
def test_an_empty_answer_is_no_picture_without_tokens(body: str | bytes) -> None:
    with pytest.raises(NoPicture) as caught:
        read_answer(parse_answer(body))

    assert caught.value.usage is None


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(answer(inline()))[:-20],
        "<html>200 all is well</html>",
        "[]",
        "null",
        b"\xff\xfe\xfd",
        "[" * 100_000,
    ],
    ids=["cut", "html", "list", "null", "bytes", "deep"],
)
def test_an_answer_that_cannot_be_read_leaves_the_purchase_in_doubt(body: str | bytes) -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        parse_answer(body)

    assert caught.value.reason == "outcome_unknown"


def test_a_picture_that_is_no_base64_leaves_the_purchase_in_doubt() -> None:
    part = {"inlineData": {"mimeType": "image/jpeg", "data": "not base64!"}}

    with pytest.raises(OutcomeUnknown):
        read_answer(answer(part))


def test_every_refusal_survives_pickling() -> None:
    import pickle

    for reply in ({"candidates": [{"finishReason": "SAFETY"}]}, answer({"text": "no"})):
        with pytest.raises(RenderError) as caught:
            read_answer(reply)
        copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert vars(copy) == vars(caught.value)
