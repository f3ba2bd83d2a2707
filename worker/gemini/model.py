"""How is one picture bought from Gemini?

One call of :meth:`GeminiModel.render` is at most one request on the wire. What the SDK would send
beside it is shut: its retries (none without ``retry_options``, and aiohttp, over which it retries
anyway, is passed by), its automatic continuation (``automatic_continuation=False``), its function
calls, and redirects; should a coming version find another way, the connection refuses the second
request (:class:`worker.gemini.connection.SecondRequestError`).

When a call fails, the question is whether the request had left:

    not left     nothing was bought                         TryLater, or LaneStopped for credentials
    left         no whole answer came                       OutcomeUnknown
    answered     an error status                            worker.gemini.faults
                 200                                        worker.gemini.answers
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from catalog.models import load_models
from worker.errors import LaneStopped, OutcomeUnknown, RenderError, TryLater
from worker.gemini import answers, faults
from worker.gemini.connection import Call, open_http, watched
from worker.model import Answer

if TYPE_CHECKING:
    import httpx2
    from google import genai
    from google.auth.credentials import Credentials
    from google.genai import types

    from catalog.models import ModelTable
    from worker.gemini.settings import GeminiSettings
    from worker.model import TakeRequest

_TRAFFIC_HEADER = "X-Vertex-AI-LLM-Request-Type"

# The server is told to give up a little before we do: its 504 says that nothing was sold, while our
# own deadline leaves that open.
_SERVER_SHARE = 0.95
_MS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """The SDK's client and the HTTP client under it, both bound to one process and one loop."""

    sdk: genai.Client
    http: httpx2.AsyncClient
    owner: tuple[int, asyncio.AbstractEventLoop]


class GeminiModel:
    """An :class:`worker.model.ImageModel` over Google's SDK, on either platform.

    Creating one imports the SDK (1.4 s) and opens nothing. Connections are opened by the first
    render in the process and event loop that call it, so an instance made before a fork is safe to
    use after it. ``credentials`` replaces Google's application default credentials on Vertex AI.
    """

    def __init__(
        self,
        settings: GeminiSettings,
        table: ModelTable | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        from google import genai  # noqa: F401  here, so that no first render waits for it

        self._settings = settings
        self._table = table or load_models()
        self._credentials = credentials
        self._session: _Session | None = None

    async def render(self, request: TakeRequest) -> Answer:
        """Buy one picture; see :meth:`worker.model.ImageModel.render`.

        ``request.deadline_s`` bounds the whole: waiting for a connection, sending, reading.
        """
        body, call = await self._exchange(request)
        answered_at = datetime.now(UTC)
        sold = answers.read_answer(answers.parse_answer(body))
        return Answer(
            content=sold.content,
            media_type=sold.media_type,
            model_answered=sold.model_answered,
            response_id=sold.response_id,
            usage=sold.usage,
            sent_at=call.left_at or answered_at,
            answered_at=answered_at,
        )

    async def open(self) -> None:
        """Load the SDK, which takes a second, and make its client."""
        self._connected()

    async def aclose(self) -> None:
        """Close the connections of this process and loop; safe to call twice."""
        session, self._session = self._session, None
        if session is not None and session.owner == _owner():
            await session.http.aclose()
            session.sdk.close()

    async def _exchange(self, request: TakeRequest) -> tuple[str, Call]:
        """Send the request and read a 200's body.

        Raises:
            RenderError: anything but a whole 200.
        """
        fault: RenderError
        with watched(request.deadline_s) as call:
            try:
                async with asyncio.timeout(request.deadline_s):
                    return await self._ask(request), call
            except Exception as exc:
                # All of them: once the request has left, whatever breaks leaves a doubt.
                found = self._translate(exc, request, call)
                if found is None:
                    raise
                fault = found
        # Raised out here, without the cause: the SDK's exceptions quote the server, and Google's
        # message on a suspended key quotes the key.
        raise fault

    async def _ask(self, request: TakeRequest) -> str:
        session = self._connected()
        reply = await session.sdk.aio.models.generate_content(
            model=request.model_id, contents=_contents(request), config=self._config(request)
        )
        whole = reply.sdk_http_response
        return (whole.body if whole else None) or ""

    def _connected(self) -> _Session:
        """Return this process's and loop's client, making it on first use.

        One that belongs to a parent process or to another loop is dropped, not closed: its sockets
        are shared with their owner.
        """
        if self._session is None or self._session.owner != _owner():
            self._session = self._open()
        return self._session

    def _open(self) -> _Session:
        from google import genai
        from google.genai import types

        settings = self._settings
        http = open_http(
            max_connections=settings.max_connections, connect_timeout_s=settings.connect_timeout_s
        )
        options = types.HttpOptions(
            base_url=settings.base_url,
            httpx_async_client=http,
            headers={_TRAFFIC_HEADER: settings.traffic} if settings.traffic else None,
        )
        if settings.platform == "vertex":
            sdk = genai.Client(
                enterprise=True,
                project=settings.project,
                location=settings.location or "global",
                credentials=self._vertex_credentials(),
                http_options=options,
            )
        else:
            key = settings.api_key.get_secret_value() if settings.api_key else None
            sdk = genai.Client(enterprise=False, api_key=key, http_options=options)
        return _Session(sdk=sdk, http=http, owner=_owner())

    def _vertex_credentials(self) -> Credentials | None:
        """Return what is to be shown to Vertex AI; ``None`` lets the SDK find Google's defaults."""
        if self._credentials is None and self._settings.is_simulated:
            from google.oauth2.credentials import Credentials as Token

            return Token(token="simulated")  # type: ignore[no-untyped-call]  # noqa: S106
        return self._credentials

    def _config(self, request: TakeRequest) -> types.GenerateContentConfig:
        from google.genai import types

        model = self._table.find(request.model_id)
        level = model.thinking_level if model else None
        sends_size = model is None or model.sends_size
        return types.GenerateContentConfig(
            response_modalities=["IMAGE"],
            image_config=types.ImageConfig(
                aspect_ratio=request.ratio, image_size=request.size if sends_size else None
            ),
            thinking_config=(
                types.ThinkingConfig(thinking_level=types.ThinkingLevel(level.upper()))
                if level
                else None
            ),
            seed=request.seed,
            automatic_continuation=False,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            # The body as it came: worker.gemini.answers says why. It shuts continuation once more,
            # which needs the SDK's reading of the reply.
            should_return_http_response=True,
            http_options=types.HttpOptions(
                timeout=max(1, int(request.deadline_s * _SERVER_SHARE * _MS))
            ),
        )

    def _translate(self, exc: Exception, request: TakeRequest, call: Call) -> RenderError | None:
        """Say what an exception means; ``None`` for a fault of our own before anything was sent."""
        from google.genai import errors

        if isinstance(exc, errors.APIError):
            reply = faults.read_error(
                exc.code,
                exc.details,
                retry_after=_retry_after(exc.response),
                hidden=self._hidden(request),
            )
            return faults.translate(reply, request.model_id)
        if call.left_at is not None:
            return OutcomeUnknown("outcome_unknown", _no_answer(exc, request))
        return _never_left(exc, request)

    def _hidden(self, request: TakeRequest) -> dict[str, str]:
        key = self._settings.api_key
        return {key.get_secret_value() if key else "": "[key]", request.prompt: "[prompt]"}


def _contents(request: TakeRequest) -> list[types.PartUnionDict]:
    """Put the photos before the words, as Google's examples do."""
    from google.genai import types

    photos: list[Any] = [
        types.Part.from_bytes(data=photo.content, mime_type=photo.media_type)
        for photo in request.references
    ]
    return [*photos, types.Part.from_text(text=request.prompt)]


def _owner() -> tuple[int, asyncio.AbstractEventLoop]:
    return os.getpid(), asyncio.get_running_loop()


def _no_answer(exc: Exception, request: TakeRequest) -> str:
    if isinstance(exc, TimeoutError):
        return f"{request.model_id} did not answer within {request.deadline_s:g} s"
    return f"the request to {request.model_id} left, and no whole answer came ({_kind(exc)})"


def _never_left(exc: Exception, request: TakeRequest) -> RenderError | None:
    import httpx2
    from google.auth import exceptions

    if isinstance(exc, httpx2.TransportError | OSError):  # TimeoutError is an OSError
        return TryLater(
            "model.unavailable",
            f"{request.model_id} can't be reached, nothing was sent ({_kind(exc)})",
        )
    if isinstance(exc, exceptions.TransportError):
        return TryLater("model.unavailable", f"Google's sign-in can't be reached ({_kind(exc)})")
    if isinstance(exc, exceptions.GoogleAuthError):
        return LaneStopped(
            "model.key_invalid",
            f"Google's application default credentials are missing or refused ({_kind(exc)}); "
            "see `gcloud auth application-default login`",
        )
    return None


def _kind(exc: Exception) -> str:
    """Name an exception by its class alone: its text may quote addresses and bodies."""
    return type(exc).__name__


def _retry_after(response: object) -> str | None:
    headers = getattr(response, "headers", None)
    found = headers.get("retry-after") if headers is not None else None
    return found if isinstance(found, str) else None
