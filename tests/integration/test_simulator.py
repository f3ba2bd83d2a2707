"""The simulator, asked as the official SDK asks and as only a socket can."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from PIL import Image

from worker.simulator.outcomes import OUTCOMES
from worker.simulator.script import ScriptError
from worker.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = "gemini-nano-banana-2.1"
WAIT_S = 10.0


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(latency_s=0) as running:
        yield running


@contextmanager
def developer(simulator: Simulator, key: str = "key-of-a-test") -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=simulator.url, timeout=int(WAIT_S * 1000))
    with closing(genai.Client(api_key=key, vertexai=False, http_options=options)) as client:
        yield client


def ask(
    client: genai.Client,
    prompt: str = "a toaster on a sideboard",
    *,
    images: tuple[bytes, ...] = (),
    ratio: str | None = "4:5",
    size: str | None = "1K",
    model: str = MODEL,
    continues: bool = False,
) -> types.GenerateContentResponse:
    parts: list[Any] = [types.Part.from_bytes(data=b, mime_type="image/png") for b in images]
    return client.models.generate_content(
        model=model,
        contents=[*parts, prompt],
        config=types.GenerateContentConfig(
            response_modalities=["IMAGE"],
            image_config=types.ImageConfig(aspect_ratio=ratio, image_size=size),
            automatic_continuation=continues,
        ),
    )


def pictures(answer: types.GenerateContentResponse, *, thoughts: bool = False) -> list[Image.Image]:
    parts = (answer.candidates or [])[0].content.parts  # type: ignore[union-attr]
    return [
        Image.open(io.BytesIO(part.inline_data.data))
        for part in parts or []
        if part.inline_data and part.inline_data.data and bool(part.thought) is thoughts
    ]


def png(width_px: int = 160, height_px: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width_px, height_px), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def raw_request(prompt: str = "a lamp", extra: str = "") -> bytes:
    body = json.dumps({"contents": [{"parts": [{"text": prompt}]}]}).encode()
    head = (
        f"POST /v1/models/{MODEL}:generateContent HTTP/1.1\r\nHost: x\r\n"
        f"X-Goog-Api-Key: k\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


def connect(simulator: Simulator) -> socket.socket:
    place = urlsplit(simulator.url)
    return socket.create_connection((place.hostname, place.port), timeout=WAIT_S)


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def post(simulator: Simulator, path: str, body: str = "", key: str = "k") -> tuple[int, Any]:
    """Status and JSON; a refusal is an answer like any other."""
    place = urlsplit(simulator.url)
    payload = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nx-goog-api-key: {key}\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port), timeout=WAIT_S) as connection:
        connection.sendall(head.encode() + payload)
        answer = connection.makefile("rb")
        status = int(answer.readline().split()[1])
        length = 0
        for line in iter(answer.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
        return status, json.loads(answer.read(length))


def get(simulator: Simulator, path: str) -> Any:
    request = Request(simulator.url + path, headers={"x-goog-api-key": "k"})
    with urlopen(request, timeout=WAIT_S) as answer:
        return json.load(answer)


# --- selling -------------------------------------------------------------------------------------


def test_the_sdk_buys_a_jpeg_of_the_documented_size(simulator: Simulator) -> None:
    with developer(simulator) as client:
        answer = ask(client, images=(png(), png(80, 80)))

    (picture,) = pictures(answer)
    usage = answer.usage_metadata
    assert (picture.format, picture.size) == ("JPEG", (928, 1152))
    assert (answer.model_version, bool(answer.response_id)) == (MODEL, True)
    assert usage is not None
    assert usage.candidates_token_count == 1120
    assert usage.prompt_token_count == 2 * 1120 + 6
    assert usage.total_token_count == 2 * 1120 + 6 + 1120 + 310
    books = simulator.books()
    assert (books["sold"], books["delivered"], books["doubles"]) == (1, 1, 0)
    assert books["sold_by_prompt"] == {"a toaster on a sideboard": 1}
    assert books["tokens"] == {"prompt": 2246, "candidates": 1120, "thoughts": 310}


async def _ask_without_waiting(simulator: Simulator) -> types.GenerateContentResponse:
    options = types.HttpOptions(base_url=simulator.url, timeout=int(WAIT_S * 1000))
    client = genai.Client(api_key="k", vertexai=False, http_options=options)
    try:
        return await client.aio.models.generate_content(model=MODEL, contents="a lamp")
    finally:
        await client.aio.aclose()
        client.close()


def test_the_asynchronous_sdk_buys_too(simulator: Simulator) -> None:
    import asyncio

    answer = asyncio.run(_ask_without_waiting(simulator))

    assert [picture.size for picture in pictures(answer)] == [(1024, 1024)]


def test_vertex_sells_to_any_bearer(simulator: Simulator) -> None:
    client = genai.Client(
        vertexai=True,
        project="shop-1",
        location="global",
        credentials=Credentials(token="any"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=simulator.url, timeout=int(WAIT_S * 1000)),
    )
    with closing(client):
        answer = ask(client, ratio="16:9", size="2K")
        model = client.models.get(model=MODEL)

    assert pictures(answer)[0].size == (2752, 1536)
    assert model.name == f"publishers/google/models/{MODEL}"
    assert simulator.books()["by_outcome"] == {"picture": 1}


def test_vertex_express_sells_for_a_key(simulator: Simulator) -> None:
    path = f"/v1beta1/publishers/google/models/{MODEL}:generateContent"

    status, answer = post(simulator, path, '{"contents": [{"parts": [{"text": "a lamp"}]}]}')

    assert (status, answer["modelVersion"]) == (200, MODEL)


def test_vertex_without_a_token_is_unauthenticated(simulator: Simulator) -> None:
    path = f"/v1/projects/p/locations/l/publishers/google/models/{MODEL}:generateContent"

    status, answer = post(simulator, path, "{}")

    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_the_models_are_listed_and_described(simulator: Simulator) -> None:
    with developer(simulator) as client:
        names = [model.name for model in client.models.list()]
        model = client.models.get(model=MODEL)

    assert f"models/{MODEL}" in names
    assert model.input_token_limit == 131_072


def test_two_requests_get_two_pictures_and_the_same_again_is_a_double(
    simulator: Simulator,
) -> None:
    with developer(simulator) as client:
        contents = [
            pictures(ask(client, prompt))[0].tobytes() for prompt in ("a lamp", "a sofa", "a sofa")
        ]

    assert len(set(contents)) == 3
    books = simulator.books()
    assert (books["sold"], books["doubles"]) == (3, 1)
    assert books["sold_by_prompt"] == {"a lamp": 1, "a sofa": 2}


def test_keys_and_base64_in_any_dialect_are_one_request(simulator: Simulator) -> None:
    content = png() + b"\xfb\xff\xfe\x01"
    url_safe = base64.urlsafe_b64encode(content).decode().rstrip("=")
    camel = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(content).decode()}}
    snake = {"inline_data": {"mime_type": "image/png", "data": url_safe}}
    mixed = {"inlineData": {"mime_type": "image/png", "data": url_safe}}
    path = f"/v1beta/models/{MODEL}:generateContent"

    for part in (camel, snake, mixed):
        document = {"contents": [{"parts": [part, {"text": "a lamp"}]}]}
        assert post(simulator, path, json.dumps(document))[0] == 200

    assert list(simulator.books()["sold_by_request"].values()) == [3]


def test_hundreds_of_calls_wait_at_the_same_time() -> None:
    with Simulator(latency_s=30) as simulator, closing_all() as connections:
        for number in range(300):
            connections.append(connect(simulator))
            connections[-1].sendall(raw_request(f"product {number}"))

        wait_for(lambda: simulator.books()["open"] == 300)

        assert get(simulator, "/_sim/books")["peak_open"] == 300


@contextmanager
def closing_all() -> Iterator[list[socket.socket]]:
    connections: list[socket.socket] = []
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def test_many_buyers_at_once_each_get_their_own_picture(simulator: Simulator) -> None:
    with developer(simulator) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: ask(client, f"product {number}"), range(64)))

    assert len({pictures(answer)[0].tobytes() for answer in answers}) == 64
    books = simulator.books()
    assert (books["sold"], books["delivered"], books["doubles"], books["open"]) == (64, 64, 0, 0)


# --- refusing ------------------------------------------------------------------------------------


def test_a_bad_key_is_invalid_and_none_is_unauthenticated(simulator: Simulator) -> None:
    path = f"/v1/models/{MODEL}:generateContent"

    with developer(simulator, key="bad-key") as client, pytest.raises(errors.ClientError) as bad:
        ask(client)
    status, missing = post(simulator, path, "{}", key="")

    assert bad.value.code == 400
    assert bad.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    assert (status, missing["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert post(simulator, f"{path}?key=k", raw_body(), key="")[0] == 200
    assert simulator.books()["by_outcome"] == {"401": 1, "key_invalid": 1, "picture": 1}


def raw_body() -> str:
    return json.dumps({"contents": [{"parts": [{"text": "a lamp"}]}]})


def test_an_unknown_model_and_a_broken_body_are_refused(simulator: Simulator) -> None:
    with developer(simulator) as client:
        with pytest.raises(errors.ClientError) as unknown:
            ask(client, model="gemini-3-pro-image-preview")
        with pytest.raises(errors.ClientError) as wrong_size:
            ask(client, size="512")
    status, answer = post(simulator, f"/v1/models/{MODEL}:generateContent", '{"contents": [')

    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    assert (wrong_size.value.code, wrong_size.value.status) == (400, "INVALID_ARGUMENT")
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert simulator.books()["sold"] == 0


def test_the_limit_per_minute_answers_with_quota_and_retry_info() -> None:
    with Simulator(rpm=2) as simulator, developer(simulator) as client:
        ask(client, "a")
        ask(client, "b")

        with pytest.raises(errors.ClientError) as refused:
            ask(client, "c")

        quota, _, retry = refused.value.details["error"]["details"]
        assert quota["violations"][0]["quotaValue"] == "2"
        assert 50 < float(retry["retryDelay"].rstrip("s")) <= 60
        assert simulator.books()["sold"] == 2


REFUSALS = [
    ("400", 400, "INVALID_ARGUMENT"),
    ("key_invalid", 400, "INVALID_ARGUMENT"),
    ("billing", 400, "FAILED_PRECONDITION"),
    ("401", 401, "UNAUTHENTICATED"),
    ("402", 402, "FAILED_PRECONDITION"),
    ("403", 403, "PERMISSION_DENIED"),
    ("404", 404, "NOT_FOUND"),
    ("429", 429, "RESOURCE_EXHAUSTED"),
    ("429_retryinfo", 429, "RESOURCE_EXHAUSTED"),
    ("429_per_day", 429, "RESOURCE_EXHAUSTED"),
    ("500", 500, "INTERNAL"),
    ("500_html", 500, "Internal Server Error"),
    ("503", 503, "UNAVAILABLE"),
    ("504", 504, "DEADLINE_EXCEEDED"),
    ("201", 201, "Created"),
]


@pytest.mark.parametrize(("outcome", "code", "status"), REFUSALS)
def test_an_ordered_error_reaches_the_sdk_once(
    simulator: Simulator, outcome: str, code: int, status: str
) -> None:
    simulator.script([{"outcome": outcome}])

    with developer(simulator) as client:
        with pytest.raises(errors.APIError) as refused:
            ask(client)
        ask(client)

    assert refused.value.code == code
    assert refused.value.status == status or code == 201
    books = simulator.books()
    assert books["by_outcome"] == {outcome: 1, "picture": 1}
    assert books["sold"] == 1


def test_the_429s_are_told_apart_by_their_details(simulator: Simulator) -> None:
    simulator.script(
        [
            {"outcome": "429"},
            {"outcome": "429_retryinfo", "delay_s": 7.5},
            {"outcome": "429_per_day"},
        ]
    )

    details = []
    with developer(simulator) as client:
        for _ in range(3):
            with pytest.raises(errors.ClientError) as refused:
                ask(client)
            details.append(json.dumps(refused.value.details))

    assert ["RetryInfo" in each for each in details] == [False, True, False]
    assert ["PerDay" in each for each in details] == [False, False, True]
    assert '"retryDelay": "7.5s"' in details[1]


NO_PICTURE = [
    ("no_image", "NO_IMAGE"),
    ("image_safety", "IMAGE_SAFETY"),
    ("safety", "SAFETY"),
    ("recitation", "IMAGE_RECITATION"),
    ("prohibited", "IMAGE_PROHIBITED_CONTENT"),
]


@pytest.mark.parametrize(("outcome", "finish_reason"), NO_PICTURE)
def test_an_answer_without_content_names_its_reason(
    simulator: Simulator, outcome: str, finish_reason: str
) -> None:
    simulator.script([{"outcome": outcome}])

    with developer(simulator) as client:
        (candidate,) = ask(client).candidates or []

    assert candidate.content is None
    assert candidate.finish_reason == finish_reason
    assert simulator.books()["sold"] == 0


@pytest.mark.filterwarnings("ignore:IMAGE_UNHEARD_OF is not a valid FinishReason")
def test_an_unknown_finish_reason_comes_through(simulator: Simulator) -> None:
    simulator.script([{"outcome": "unknown_finish"}])

    with developer(simulator) as client:
        (candidate,) = ask(client).candidates or []

    assert candidate.finish_reason is not None
    assert candidate.finish_reason.value == "IMAGE_UNHEARD_OF"


def test_a_script_may_name_another_finish_reason(simulator: Simulator) -> None:
    simulator.script([{"outcome": "no_image", "finish_reason": "PUP_LIMITED_DISABLED"}])

    with developer(simulator) as client:
        (candidate,) = ask(client).candidates or []

    assert candidate.finish_reason == "PUP_LIMITED_DISABLED"


def test_a_blocked_prompt_has_no_candidates(simulator: Simulator) -> None:
    simulator.script([{"outcome": "blocked_prompt"}])

    with developer(simulator) as client:
        answer = ask(client)

    assert answer.candidates is None
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason == "PROHIBITED_CONTENT"


@pytest.mark.parametrize("outcome", ["empty_200", "empty_object"])
def test_an_empty_200_is_no_picture(simulator: Simulator, outcome: str) -> None:
    simulator.script([{"outcome": outcome}])

    with developer(simulator) as client:
        assert ask(client).candidates is None

    assert simulator.books()["by_outcome"] == {outcome: 1}


def test_text_only_is_text(simulator: Simulator) -> None:
    simulator.script([{"outcome": "text_only"}])

    with developer(simulator) as client:
        answer = ask(client)

    assert answer.text
    assert pictures(answer) == []
    assert simulator.books()["sold"] == 0


# --- pictures that need care ---------------------------------------------------------------------


def test_a_draft_comes_smaller_and_first_and_is_not_sold(simulator: Simulator) -> None:
    simulator.script([{"outcome": "draft"}, {"outcome": "draft_only"}])

    with developer(simulator) as client:
        both = ask(client)
        draft_only = ask(client)

    assert [picture.size for picture in pictures(both, thoughts=True)] == [(464, 576)]
    assert [picture.size for picture in pictures(both)] == [(928, 1152)]
    assert (len(pictures(draft_only, thoughts=True)), pictures(draft_only)) == (1, [])
    assert simulator.books()["sold"] == 1


def test_a_final_flagged_as_thought_is_sold(simulator: Simulator) -> None:
    simulator.script([{"outcome": "thought_final"}])

    with developer(simulator) as client:
        answer = ask(client)

    assert [picture.size for picture in pictures(answer, thoughts=True)] == [(928, 1152)]
    assert simulator.books()["sold"] == 1


def test_a_wrong_size_is_sold_at_another_ratio(simulator: Simulator) -> None:
    simulator.script([{"outcome": "wrong_size", "times": 2}])

    with developer(simulator) as client:
        sizes = [pictures(ask(client, ratio=ratio))[0].size for ratio in ("4:5", "1:1")]

    assert sizes == [(1024, 1024), (1264, 848)]
    assert simulator.books()["sold"] == 2


def test_a_continuation_makes_the_sdk_buy_again_unless_it_is_told_not_to(
    simulator: Simulator,
) -> None:
    simulator.script([{"outcome": "continuation", "times": 2}])

    with developer(simulator) as client:
        ask(client, "a lamp", continues=False)
        ask(client, "a sofa", continues=True)

    assert simulator.books()["sold_by_prompt"] == {"a lamp": 1, "a sofa": 2}
    assert simulator.books()["doubles"] == 1


# --- broken connections --------------------------------------------------------------------------


def test_truncated_json_arrives_whole_and_is_no_json(simulator: Simulator) -> None:
    simulator.script([{"outcome": "truncated_json"}])

    with developer(simulator) as client, pytest.raises(json.JSONDecodeError):
        ask(client)

    books = simulator.books()
    assert (books["sold"], books["delivered"], books["cut"]) == (1, 0, 1)


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_ends_in_the_middle_of_the_body(simulator: Simulator, *, reset: bool) -> None:
    simulator.script([{"outcome": "cut", "reset": reset}])

    with closing(connect(simulator)) as connection:
        connection.sendall(raw_request())
        try:
            answer = read_to_end(connection)
        except ConnectionResetError:
            assert reset
        else:
            head, _, body = answer.partition(b"\r\n\r\n")
            promised = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
            assert 0 < len(body) < promised
            assert not reset

    books = simulator.books()
    assert (books["sold"], books["cut"], books["delivered"]) == (1, 1, 0)


def test_a_drip_comes_slowly_and_whole(simulator: Simulator) -> None:
    simulator.script([{"outcome": "drip", "drip_s": 0.4}])

    begun_s = time.monotonic()
    with developer(simulator) as client:
        (picture,) = pictures(ask(client))

    assert picture.size == (928, 1152)
    assert time.monotonic() - begun_s >= 0.35
    assert simulator.books()["delivered"] == 1


def test_a_hang_is_silence_until_the_client_leaves(simulator: Simulator) -> None:
    simulator.script([{"outcome": "hang"}])

    with closing(connect(simulator)) as connection:
        connection.sendall(raw_request())
        wait_for(lambda: simulator.books()["open"] == 1)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)

    wait_for(lambda: simulator.books()["open"] == 0)
    books = simulator.books()
    assert (books["hung"], books["sold"]) == (1, 0)


def test_a_client_that_leaves_while_the_model_thinks_has_bought(simulator: Simulator) -> None:
    simulator.script([{"outcome": "picture", "latency_s": 0.3}])

    with closing(connect(simulator)) as connection:
        connection.sendall(raw_request())
        wait_for(lambda: simulator.books()["open"] == 1)

    wait_for(lambda: simulator.books()["open"] == 0)
    books = simulator.books()
    assert (books["sold"], books["client_gone"], books["delivered"]) == (1, 1, 0)


def test_a_client_that_leaves_in_the_middle_of_the_body_has_bought(simulator: Simulator) -> None:
    simulator.script([{"outcome": "drip", "drip_s": 2}])

    with closing(connect(simulator)) as connection:
        connection.sendall(raw_request())
        connection.recv(100)

    wait_for(lambda: simulator.books()["open"] == 0)
    books = simulator.books()
    assert (books["sold"], books["client_gone"], books["delivered"]) == (1, 1, 0)


def test_a_client_that_does_not_read_does_not_keep_the_simulator_from_stopping() -> None:
    with Simulator(latency_s=0) as simulator:
        connection = connect(simulator)
        body = {
            "contents": [{"parts": [{"text": "a lamp"}]}],
            "generationConfig": {"imageConfig": {"aspectRatio": "1:4", "imageSize": "4K"}},
        }
        payload = json.dumps(body).encode()
        head = raw_request().partition(b"Content-Length")[0]
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(payload) + payload)
        connection.recv(100)
        begun_s = time.monotonic()

    with closing(connection), pytest.raises(ConnectionError):
        connect(simulator)

    assert time.monotonic() - begun_s < WAIT_S


def test_an_upload_that_breaks_off_is_no_call(simulator: Simulator) -> None:
    with closing(connect(simulator)) as connection:
        connection.sendall(raw_request()[:-5])

    get(simulator, "/_sim/books")
    assert simulator.books()["calls"] == 0


def test_a_connection_serves_one_call_after_another(simulator: Simulator) -> None:
    with closing(connect(simulator)) as connection:
        answers = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(raw_request())
            head = b"".join(iter(answers.readline, b"\r\n"))
            length = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]
            assert json.loads(answers.read(length))["modelVersion"] == MODEL

    assert simulator.books()["delivered"] == 3


def test_chunked_and_announced_uploads_are_read(simulator: Simulator) -> None:
    body = raw_body().encode()
    chunks = b"%x\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
    head = (
        f"POST /v1/models/{MODEL}:generateContent?key=k HTTP/1.1\r\nHost: x\r\n"
        "Connection: close\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    with closing(connect(simulator)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(chunks)
        assert connection.recv(20).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"GET / SPDY/3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_ends(
    simulator: Simulator, request_bytes: bytes
) -> None:
    with closing(connect(simulator)) as connection:
        connection.sendall(request_bytes)

        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")


# --- steering ------------------------------------------------------------------------------------


def test_a_script_latency_and_reset_over_http(simulator: Simulator) -> None:
    lines = '{"match": "toaster", "outcome": "503", "times": 2}\n{"outcome": "429"}'

    assert post(simulator, "/_sim/script", lines)[0] == 200
    assert post(simulator, "/_sim/latency", '{"latency_s": "0.1-0.2"}')[1] == {
        "latency_s": [0.1, 0.2]
    }
    with developer(simulator) as client, pytest.raises(errors.ServerError):
        ask(client)
    left = get(simulator, "/_sim/script")
    post(simulator, "/_sim/reset")

    assert left == [{"outcome": "503", "match": "toaster"}, {"outcome": "429"}]
    assert get(simulator, "/_sim/script") == []
    assert simulator.books()["calls"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/_sim/script", '{"outcome": "explode"}'),
        ("/_sim/script", "\xff"),
        ("/_sim/latency", '{"latency": 3}'),
        ("/_sim/latency", '{"latency_s": "soon"}'),
    ],
)
def test_orders_that_cannot_be_followed_are_refused(
    simulator: Simulator, path: str, body: str
) -> None:
    status, answer = post(simulator, path, body)

    assert status == 400
    assert answer["error"]


def test_rates_sell_the_rest() -> None:
    with Simulator(rates={"503": 0.3}, seed=5) as simulator, developer(simulator) as client:
        for number in range(60):
            try:
                ask(client, f"product {number}", ratio="1:1")
            except errors.ServerError as exc:
                assert exc.code == 503  # noqa: PT017 - one of two outcomes

        by_outcome = simulator.books()["by_outcome"]
        assert 8 <= by_outcome["503"] <= 30
        assert by_outcome["picture"] == 60 - by_outcome["503"]


def test_every_outcome_can_be_ordered(simulator: Simulator) -> None:
    names = [name for name in OUTCOMES if name != "hang"]
    simulator.script([{"outcome": name, "drip_s": 0} for name in names])

    for _ in names:
        with closing(connect(simulator)) as connection:
            connection.sendall(raw_request())
            assert connection.recv(9) == b"HTTP/1.1 "

    wait_for(lambda: simulator.books()["open"] == 0)
    books = simulator.books()
    assert books["by_outcome"] == dict.fromkeys(sorted(names), 1)
    assert books["sold"] == sum(OUTCOMES[name].sells for name in names)


def test_a_simulator_refuses_an_unknown_rate_before_it_starts() -> None:
    with pytest.raises(ScriptError, match="explode"), Simulator(rates={"explode": 1}):
        pass


# --- the command ---------------------------------------------------------------------------------


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "worker.simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"simulator ready on (http://127\.0\.0\.1:\d+)\n", line)
    assert match, line
    return match[1]


def buy_from(url: str) -> int:
    options = types.HttpOptions(base_url=url, timeout=int(WAIT_S * 1000))
    with closing(genai.Client(api_key="k", vertexai=False, http_options=options)) as client:
        return len(pictures(ask(client)))


def test_the_command_says_where_it_listens_and_its_books_outlive_a_kill(tmp_path: Path) -> None:
    books = tmp_path / "books.jsonl"
    script = tmp_path / "script.jsonl"
    script.write_text('{"outcome": "draft"}\n')
    arguments = ("--port", "0", "--latency-s", "0", "--books", str(books), "--script", str(script))

    with start(*arguments) as first:
        assert buy_from(ready_url(first)) == 1
        os.kill(first.pid, signal.SIGKILL)
    with start(*arguments, "--quiet") as second:
        url = ready_url(second)
        assert buy_from(url) == 1
        with urlopen(f"{url}/_sim/books", timeout=WAIT_S) as answer:
            page = json.load(answer)
        second.terminate()
        _, talk = second.communicate(timeout=WAIT_S)

    assert (page["calls"], page["sold"], page["doubles"]) == (2, 2, 1)
    assert page["by_outcome"] == {"draft": 2}
    assert (second.returncode, talk) == (0, "")
    assert len(books.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--rate", "503"), "wanted KIND=SHARE"),
        (("--rate", "explode=0.1"), "no outcome 'explode'"),
        (("--latency-s", "soon"), "latency 'soon'"),
        (("--script", "no-such-file.jsonl"), "no-such-file.jsonl"),
    ],
)
def test_the_command_refuses_what_it_cannot_follow(arguments: tuple[str, ...], says: str) -> None:
    with start("--port", "0", *arguments) as process:
        _, talk = process.communicate(timeout=WAIT_S)

    assert process.returncode == 2
    assert says in talk


def test_a_port_that_is_taken_is_named(simulator: Simulator) -> None:
    port = str(urlsplit(simulator.url).port)

    with start("--port", port) as process:
        _, talk = process.communicate(timeout=WAIT_S)

    assert process.returncode == 2
    assert port in talk
