"""What generateContent accepts, and when two requests are the same."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from worker.simulator.models import MODELS
from worker.simulator.refusals import Refusal
from worker.simulator.routes import Platform
from worker.simulator.wire import Call, decode_base64, parse_call

MODEL = "gemini-nano-banana-2.1"


def _png(width_px: int = 40, height_px: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width_px, height_px), (250, 251, 252)).save(buffer, "PNG")
    return buffer.getvalue()


def _request(prompt: str = "a lamp", **image_config: object) -> dict[str, Any]:
    return {
        "contents": [{"role": "user", "parts": [{"text": prompt}]}],
        "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": image_config},
    }


def _parse(
    document: dict[str, Any], model: str = MODEL, platform: Platform = Platform.DEVELOPER
) -> Call:
    return parse_call(json.dumps(document).encode(), MODELS[model], platform)


def _with_image(data: str, *, snake: bool = False) -> dict[str, Any]:
    blob = (
        {"inline_data": {"mime_type": "image/png", "data": data}}
        if snake
        else {"inlineData": {"mimeType": "image/png", "data": data}}
    )
    return {"contents": [{"parts": [{"text": "a lamp"}, blob]}]}


@pytest.mark.parametrize(
    ("model", "ratio", "size", "pixels"),
    [
        (MODEL, "4:5", "1K", (928, 1152)),
        (MODEL, "5:4", "2K", (2304, 1856)),
        (MODEL, "1:8", "4K", (1536, 12288)),
        ("gemini-3.1-flash-image", "21:9", "512", (792, 168)),
        ("gemini-2.5-flash-image", "2:3", "1K", (832, 1248)),
    ],
)
def test_a_ratio_and_a_size_name_the_documented_pixels(
    model: str, ratio: str, size: str, pixels: tuple[int, int]
) -> None:
    call = _parse(_request(aspectRatio=ratio, imageSize=size), model)

    assert (call.width_px, call.height_px) == pixels


@pytest.mark.parametrize(
    ("model", "image_config"),
    [
        (MODEL, {"imageSize": "512"}),
        (MODEL, {"imageSize": "1k"}),
        (MODEL, {"aspectRatio": "7:9"}),
        (MODEL, {"aspectRatio": "9:21"}),
        (MODEL, {"outputMimeType": "image/png"}),
        ("gemini-3.1-flash-lite-image", {"imageSize": "2K"}),
        ("gemini-3-pro-image", {"aspectRatio": "1:8"}),
        ("gemini-3-pro-image", {"imageSize": "512"}),
    ],
)
def test_what_a_model_does_not_do_is_an_invalid_argument(
    model: str, image_config: dict[str, str]
) -> None:
    with pytest.raises(Refusal) as refused:
        _parse(_request(**image_config), model)

    assert (refused.value.status, refused.value.status_word) == (400, "INVALID_ARGUMENT")


def test_vertex_knows_one_ratio_more() -> None:
    call = _parse(_request(aspectRatio="9:21"), platform=Platform.VERTEX)

    assert (call.width_px, call.height_px) == (672, 1584)


def test_vertex_can_be_asked_for_png() -> None:
    request = _request(imageOutputOptions={"mimeType": "image/png"})

    assert _parse(request, platform=Platform.VERTEX).media_type == "image/png"


def test_without_a_ratio_the_first_input_image_decides() -> None:
    data = base64.b64encode(_png(160, 90)).decode()

    assert _parse(_with_image(data)).ratio == "16:9"
    assert _parse(_request()).ratio == "1:1"


def test_snake_and_camel_keys_are_one_request() -> None:
    data = base64.b64encode(_png()).decode()
    snake = _with_image(data, snake=True)
    snake["generation_config"] = {"image_config": {"aspect_ratio": "4:5", "image_size": "1K"}}
    camel = _with_image(data)
    camel["generationConfig"] = {"imageConfig": {"aspectRatio": "4:5", "imageSize": "1K"}}

    assert _parse(snake).digest == _parse(camel).digest


def test_base64_is_read_in_both_alphabets_with_and_without_padding() -> None:
    content = _png() + b"\xfb\xff\xfe\x01"
    standard = base64.b64encode(content).decode()
    url_safe = base64.urlsafe_b64encode(content).decode()

    spellings = {standard, standard.rstrip("="), url_safe, url_safe.rstrip("=")}

    assert len(spellings) > 2
    assert {decode_base64(each) for each in spellings} == {content}
    assert len({_parse(_with_image(each)).digest for each in spellings}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "another lamp"},
        {"aspectRatio": "4:5"},
        {"imageSize": "2K"},
    ],
)
def test_another_prompt_ratio_or_size_is_another_request(change: dict[str, str]) -> None:
    assert _parse(_request(**change)).digest != _parse(_request()).digest


def test_a_seed_does_not_make_another_request() -> None:
    seeded = _request()
    seeded["generationConfig"]["seed"] = 7

    assert _parse(seeded).digest == _parse(_request()).digest


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"contents": []}', b"\xff\xfe", b'{"contents": [{"parts": "x"}]}'],
)
def test_a_broken_body_is_an_invalid_argument(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parse_call(body, MODELS[MODEL], Platform.DEVELOPER)

    assert refused.value.status == 400


def test_an_unknown_field_is_named() -> None:
    request = _request()
    request["generationConfig"]["imageConfig"]["aspectRation"] = "1:1"

    with pytest.raises(Refusal, match='Unknown name "aspectRation"'):
        _parse(request)


@pytest.mark.parametrize("data", ["!!!!", base64.b64encode(b"no picture").decode()])
def test_an_input_image_that_is_none_is_refused(data: str) -> None:
    with pytest.raises(Refusal) as refused:
        _parse(_with_image(data))

    assert refused.value.status == 400


def test_fifteen_input_images_are_one_too_many() -> None:
    part = {"fileData": {"fileUri": "https://files.example/1", "mimeType": "image/png"}}

    assert _parse({"contents": [{"parts": [part] * 14}]}).images == 14
    with pytest.raises(Refusal):
        _parse({"contents": [{"parts": [part] * 15}]})


def test_the_thinking_level_is_checked_per_model() -> None:
    request = _request()
    request["generationConfig"]["thinkingConfig"] = {"thinking_level": "MEDIUM"}

    assert _parse(request).thinking_level == "medium"
    with pytest.raises(Refusal):
        _parse(request, "gemini-3.1-flash-image")
