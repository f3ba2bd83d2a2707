from __future__ import annotations

import asyncio
import base64
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from catalog.models import load_models
from tests.support.model_server import (
    JPEG,
    ModelServer,
    Reply,
    as_json,
    closed_port,
    error,
    model_server,
    picture,
)
from worker.errors import (
    LaneStopped,
    Limited,
    NoPicture,
    OutcomeUnknown,
    Overloaded,
    PromptBlocked,
    Refused,
    RenderError,
    Snooze,
    TryLater,
)
from worker.gemini.connection import SecondRequestError, open_http, watched
from worker.gemini.model import GeminiModel
from worker.gemini.settings import GeminiSettings
from worker.model import Answer, ReferencePhoto, TakeRequest, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
KEY = "AIza-test-key-that-nobody-may-see"
PROMPT = "The lamp on a walnut sideboard in a bright modern living room."
PHOTOS = (
    ReferencePhoto(content=b"\xff\xd8\xff front", media_type="image/jpeg"),
    ReferencePhoto(content=b"\x89PNG\r\n\x1a\n side", media_type="image/png"),
)


def request(model_id: str = "gemini-nano-banana-2.1", *, deadline_s: float = 30.0) -> TakeRequest:
    return TakeRequest(
        model_id=model_id,
        prompt=PROMPT,
        references=PHOTOS,
        ratio="4:5",
        size="1K",
        seed=7,
        scene="living-room",
        deadline_s=deadline_s,
    )


def developer(url: str, **more: Any) -> GeminiSettings:
    return GeminiSettings(api_key=SecretStr(KEY), base_url=url, **more)


def vertex(url: str) -> GeminiSettings:
    return GeminiSettings(platform="vertex", project="shop-1", base_url=url)


def render(
    settings: GeminiSettings, asked: TakeRequest | None = None, *, credentials: Any = None
) -> Answer:
    async def buy() -> Answer:
        model = GeminiModel(settings, load_models(), credentials=credentials)
        try:
            return await model.render(asked or request())
        finally:
            await model.aclose()

    return asyncio.run(buy())


def fault(settings: GeminiSettings, asked: TakeRequest | None = None) -> RenderError:
    with pytest.raises(RenderError) as caught:
        render(settings, asked)
    return caught.value


def as_camel(body: Any) -> Any:
    """Spell keys as the REST documentation does; the SDK mixes two spellings."""
    if isinstance(body, list):
        return [as_camel(entry) for entry in body]
    if not isinstance(body, dict):
        return body
    return {_camel(name): as_camel(entry) for name, entry in body.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_a_picture_is_bought_from_the_developer_api() -> None:
    before = datetime.now(UTC)

    with model_server() as server:
        answer = render(developer(server.url))

    assert answer.content == JPEG
    assert (answer.media_type, answer.model_answered) == ("image/jpeg", "model-as-served")
    assert answer.response_id == "answer-1"
    assert answer.usage == Usage(input_tokens=2260, output_image_tokens=1120, thought_tokens=310)
    assert before <= answer.sent_at <= answer.answered_at <= datetime.now(UTC)
    assert len(server.requests) == 1


def test_the_request_says_all_that_was_asked_and_nothing_else() -> None:
    with model_server() as server:
        render(developer(server.url))

    (seen,) = server.requests
    body = as_camel(seen.body)
    (content,) = body["contents"]
    *photos, words = content["parts"]
    assert seen.path == "/v1/models/gemini-nano-banana-2.1:generateContent"
    assert seen.headers["x-goog-api-key"] == KEY
    assert [photo["inlineData"]["mimeType"] for photo in photos] == ["image/jpeg", "image/png"]
    assert [_decoded(photo) for photo in photos] == [photo.content for photo in PHOTOS]
    assert words == {"text": PROMPT}
    assert body["generationConfig"] == {
        "responseModalities": ["IMAGE"],
        "imageConfig": {"aspectRatio": "4:5", "imageSize": "1K"},
        "thinkingConfig": {"thinkingLevel": "MINIMAL"},
        "seed": 7,
    }
    assert set(body) == {"contents", "generationConfig"}


def _decoded(photo: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64decode(photo["inlineData"]["data"])


def test_the_server_is_told_to_give_up_before_we_do() -> None:
    with model_server() as server:
        render(developer(server.url), request(deadline_s=300))

    assert server.requests[0].headers["x-server-timeout"] == "285"


def test_a_model_without_a_size_or_thinking_is_not_asked_for_them() -> None:
    with model_server() as server:
        render(developer(server.url), request("gemini-2.5-flash-image"))

    sent = as_camel(server.requests[0].body)["generationConfig"]
    assert sent["imageConfig"] == {"aspectRatio": "4:5"}
    assert "thinkingConfig" not in sent


def test_a_simulated_vertex_is_asked_with_a_fixed_token_at_its_own_path() -> None:
    with model_server() as server:
        answer = render(vertex(server.url))

    (seen,) = server.requests
    assert answer.content == JPEG
    assert seen.path == (
        "/v1beta1/projects/shop-1/locations/global/publishers/google/models/"
        "gemini-nano-banana-2.1:generateContent"
    )
    assert seen.headers["authorization"] == "Bearer simulated"
    assert "x-goog-api-key" not in seen.headers


def test_vertex_takes_the_credentials_that_it_is_given() -> None:
    from google.oauth2.credentials import Credentials

    token = Credentials(token="of-the-test")  # type: ignore[no-untyped-call]

    with model_server() as server:
        render(vertex(server.url), credentials=token)

    assert server.requests[0].headers["authorization"] == "Bearer of-the-test"


def test_a_key_in_the_environment_does_not_reach_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "false")

    with model_server() as server:
        render(vertex(server.url))

    assert KEY not in str(server.requests[0].headers)


def test_the_environment_does_not_turn_the_developer_api_into_vertex(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "shop-1")

    with model_server() as server:
        render(developer(server.url))

    assert server.requests[0].path.startswith("/v1/models/")


CONTINUED = picture()
CONTINUED["candidates"][0] |= {"finishReason": "CONTINUATION", "continuationToken": "bW9yZQ=="}
DRAFT_AND_FINAL = picture()
DRAFT_AND_FINAL["candidates"][0]["content"]["parts"].insert(
    0, {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/"}, "thought": True}
)
OF_TOMORROW = picture() | {"unheardOf": {"a": [1]}}
OF_TOMORROW["candidates"][0] |= {"unheardOf": True}


@pytest.mark.parametrize(
    "body",
    [CONTINUED, DRAFT_AND_FINAL, OF_TOMORROW],
    ids=["continuation", "draft and final", "unknown fields"],
)
@pytest.mark.parametrize("platform", [developer, vertex])
def test_an_unusual_answer_with_a_picture_is_one_purchase(platform: Any, body: Any) -> None:
    with model_server(as_json(body)) as server:
        answer = render(platform(server.url))

    assert answer.content == JPEG
    assert len(server.requests) == 1


WAIT = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}
PER_DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}
BAD_KEY = {"reason": "API_KEY_INVALID"}
HTML = Reply(status=500, body=b"<html>oops</html>", headers={"Content-Type": "text/html"})


def google(code: int, status: str, *details: dict[str, Any]) -> Reply:
    return as_json(error(code, status, "in Google's words", *details), status=code)


@pytest.mark.parametrize(
    ("reply", "family", "reason"),
    [
        (as_json({"candidates": [{"finishReason": "NO_IMAGE"}]}), NoPicture, "model.no_picture"),
        (as_json({}), NoPicture, "model.no_picture"),
        (Reply(), NoPicture, "model.no_picture"),
        (
            as_json({"candidates": [{"finishReason": "IMAGE_SAFETY"}]}),
            PromptBlocked,
            "prompt.blocked",
        ),
        (
            as_json({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
            PromptBlocked,
            "prompt.blocked",
        ),
        (
            as_json({"candidates": [{"finishReason": "ESCALATION"}]}),
            LaneStopped,
            "model.permission",
        ),
        (google(400, "INVALID_ARGUMENT", BAD_KEY), LaneStopped, "model.key_invalid"),
        (google(400, "INVALID_ARGUMENT"), Refused, "model.rejected"),
        (google(400, "FAILED_PRECONDITION"), LaneStopped, "model.billing"),
        (google(401, "UNAUTHENTICATED"), LaneStopped, "model.key_invalid"),
        (google(402, "PAYMENT_REQUIRED"), LaneStopped, "model.billing"),
        (google(403, "PERMISSION_DENIED"), LaneStopped, "model.permission"),
        (google(404, "NOT_FOUND"), LaneStopped, "model.gone"),
        (google(429, "RESOURCE_EXHAUSTED"), Limited, "model.limited"),
        (google(429, "RESOURCE_EXHAUSTED", PER_DAY, WAIT), LaneStopped, "quota.daily"),
        (google(500, "INTERNAL"), TryLater, "model.unavailable"),
        (google(503, "UNAVAILABLE"), Overloaded, "model.unavailable"),
        (google(504, "DEADLINE_EXCEEDED"), TryLater, "model.unavailable"),
        (HTML, TryLater, "model.unavailable"),
        (as_json({}, status=201), TryLater, "model.unavailable"),
        (
            Reply(status=307, headers={"Location": "/v1/elsewhere"}),
            TryLater,
            "model.unavailable",
        ),
        (Reply(body=b'{"candidates": [{"con'), OutcomeUnknown, "outcome_unknown"),
        (Reply(body=b"{}", promised_bytes=5000), OutcomeUnknown, "outcome_unknown"),
        (Reply(reset=True), OutcomeUnknown, "outcome_unknown"),
    ],
)
def test_a_reply_becomes_one_of_our_errors_after_one_request(
    reply: Reply, family: type[RenderError], reason: str
) -> None:
    with model_server(reply, as_json(picture())) as server:
        found = fault(developer(server.url))

    assert (type(found), found.reason) == (family, reason)
    assert len(server.requests) == 1


def test_the_wait_of_a_429_is_what_retry_info_says() -> None:
    with model_server(google(429, "RESOURCE_EXHAUSTED", WAIT)) as server:
        found = fault(developer(server.url))

    assert isinstance(found, Snooze)
    assert found.retry_after_s == 3.5


def test_the_wait_of_a_503_is_what_its_header_says() -> None:
    with model_server(as_json({}, status=503, Retry_After="11")) as server:
        found = fault(developer(server.url))

    assert isinstance(found, TryLater)
    assert found.retry_after_s == 11


@pytest.mark.parametrize(
    "reply",
    [Reply(silent=True), Reply(body=b"{" + b" " * 2000, dripping=True)],
    ids=["silent", "dripping"],
)
def test_a_call_past_its_deadline_is_a_purchase_in_doubt(reply: Reply) -> None:
    with model_server(reply, as_json(picture())) as server:
        # Long enough to connect and to send in, also on a busy machine.
        found = fault(developer(server.url), request(deadline_s=3))

    assert isinstance(found, OutcomeUnknown)
    assert "3 s" in str(found)
    assert len(server.requests) == 1


def test_a_host_that_refuses_was_sold_nothing() -> None:
    found = fault(developer(f"http://127.0.0.1:{closed_port()}"))

    assert (type(found), found.reason) == (TryLater, "model.unavailable")


def test_a_host_that_cannot_be_reached_in_time_was_sold_nothing() -> None:
    started_s = time.monotonic()

    with deaf_port() as port:
        found = fault(developer(f"http://127.0.0.1:{port}", connect_timeout_s=0.3))

    assert (type(found), found.reason) == (TryLater, "model.unavailable")
    assert time.monotonic() - started_s < request().deadline_s / 2


@contextmanager
def deaf_port() -> Iterator[int]:
    """Offer a port whose queue of callers is full, so that connecting to it hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for caller in callers:
                caller.close()


def test_a_call_that_found_no_free_connection_was_sold_nothing() -> None:
    async def two_at_once(server: ModelServer) -> tuple[object, object]:
        model = GeminiModel(developer(server.url, max_connections=1), load_models())
        try:
            first = asyncio.create_task(model.render(request(deadline_s=3.0)))
            second = asyncio.create_task(model.render(request(deadline_s=1.5)))
            return await asyncio.gather(first, second, return_exceptions=True)
        finally:
            await model.aclose()

    with model_server(Reply(silent=True)) as server:
        first, second = asyncio.run(two_at_once(server))

    assert isinstance(first, OutcomeUnknown)
    assert isinstance(second, TryLater)
    assert len(server.requests) == 1


def test_a_call_that_is_cancelled_is_not_translated() -> None:
    async def cancel(server: ModelServer) -> None:
        model = GeminiModel(developer(server.url), load_models())
        async with asyncio.timeout(0.5):
            try:
                await model.render(request())
            finally:
                await model.aclose()

    with model_server(Reply(silent=True)) as server, pytest.raises(TimeoutError):
        asyncio.run(cancel(server))


def test_neither_the_key_nor_the_prompt_stands_in_an_error() -> None:
    message = f"Consumer 'api_key:{KEY}' was suspended for: {PROMPT}"

    with model_server(as_json(error(403, "PERMISSION_DENIED", message), status=403)) as server:
        found = fault(developer(server.url))

    assert "'api_key:[key]' was suspended for: [prompt]" in str(found)
    assert KEY not in repr(found)
    assert (found.__cause__, found.__context__) == (None, None)


def test_two_hundred_calls_at_once_are_two_hundred_requests() -> None:
    async def buy(server: ModelServer) -> list[Answer]:
        model = GeminiModel(developer(server.url), load_models())
        try:
            return await asyncio.gather(*(model.render(request()) for _ in range(200)))
        finally:
            await model.aclose()

    with model_server() as server:
        answers = asyncio.run(buy(server))

    assert {answer.content for answer in answers} == {JPEG}
    assert len(server.requests) == 200


def test_a_model_can_be_used_from_one_loop_after_another() -> None:
    with model_server() as server:
        model = GeminiModel(developer(server.url), load_models())

        async def buy() -> bytes:
            try:
                return (await model.render(request())).content
            finally:
                await model.aclose()
                await model.aclose()

        assert [asyncio.run(buy()) for _ in range(2)] == [JPEG, JPEG]


def test_a_second_request_of_one_call_never_leaves() -> None:
    async def send_twice(url: str) -> None:
        async with open_http(max_connections=2, connect_timeout_s=1) as http:
            with watched(deadline_s=5):
                await http.post(url, json={})
                await http.post(url, json={})

    with model_server() as server, pytest.raises(SecondRequestError):
        asyncio.run(send_twice(server.url))

    assert len(server.requests) == 1


SCRIPT_HEAD = """
    import asyncio, os, sys
    from types import ModuleType
    from catalog.models import load_models
    from worker.gemini.settings import read_settings
    from worker.model import TakeRequest
    ASKED = TakeRequest(model_id="m", prompt="p", references=(), ratio="1:1", size="1K", seed=1,
                        scene="s", deadline_s=20)
"""


def run_script(script: str, url: str) -> None:
    code = textwrap.dedent(SCRIPT_HEAD) + textwrap.dedent(script)
    environ = {"PYTHONPATH": str(ROOT), "GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": url}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ, timeout=60)


def test_a_model_that_was_used_before_a_fork_is_safe_after_it() -> None:
    script = """
        from worker.gemini.model import GeminiModel
        model = GeminiModel(read_settings(os.environ), load_models())
        async def buy():
            await model.render(ASKED)
            return model._session.http
        loop = asyncio.new_event_loop()
        ours = loop.run_until_complete(buy())
        child = os.fork()
        if child == 0:
            theirs = asyncio.run(buy())
            os._exit(0 if theirs is not ours else 3)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert loop.run_until_complete(buy()) is ours
        loop.run_until_complete(model.aclose())
    """

    with model_server() as server:
        run_script(script, server.url)

    assert len(server.requests) == 3


def test_aiohttp_is_passed_by_where_it_is_installed() -> None:
    script = """
        stub = ModuleType("aiohttp")
        stub.__getattr__ = lambda name: type(name, (Exception,), {})
        sys.modules["aiohttp"] = stub
        from google.genai import _api_client
        from worker.gemini.model import GeminiModel
        assert _api_client.has_aiohttp
        model = GeminiModel(read_settings(os.environ), load_models())
        async def buy():
            await model.render(ASKED)
            await model.aclose()
        asyncio.run(buy())
    """

    with model_server() as server:
        run_script(script, server.url)

    assert len(server.requests) == 1
