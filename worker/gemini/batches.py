"""How are pictures ordered from Gemini's batch service, and how are its answers read?

The developer API's Files and Batch endpoints, by their wire: the SDK reads a result file into
memory as a whole, repeats uploads by itself, and calls a partially finished batch unfinished
(measured on 2.14). Every exchange has a deadline over all of it; a result file has one between two
reads instead, because it may hold gigabytes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
import time
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import structlog

from catalog.models import load_models
from worker.batch_model import Batch, BatchResult, BatchState
from worker.errors import LaneStopped, OutcomeUnknown, RenderError, TryLater
from worker.gemini import answers, faults
from worker.model import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import httpx2

    from catalog.models import ModelTable
    from worker.batch_model import BatchLine
    from worker.gemini.settings import GeminiSettings
    from worker.model import TakeRequest

log = structlog.get_logger(__name__)

_BASE_URL: Final = "https://generativelanguage.googleapis.com"
_VERSION: Final = "v1beta"
_EXCHANGE_S: Final = 60.0
_STALL_S: Final = 60.0
_CHUNK_BYTES: Final = 8 << 20
"""What the SDK uploads at a time; the service wants multiples of 256 KiB."""
_PAGE: Final = 100
_LONGEST_LINE: Final = 100 << 20
"""A picture at 4K is 30 MB in base64 at most; a longer line is skipped without being kept."""
_LONGEST_ANSWER: Final = 16 << 20
_JSON_LINES: Final = "application/jsonl"
_NOT_FOUND: Final = 404
_GONE: Final = frozenset({_NOT_FOUND, 403})
"""Google answers 403 to who asks for a file that is gone (python-genai issue 1218)."""
_OK: Final = 200

_STATES: Final = {
    "QUEUED": BatchState.PENDING,
    "PENDING": BatchState.PENDING,
    "RUNNING": BatchState.RUNNING,
    "PAUSED": BatchState.RUNNING,
    "UPDATING": BatchState.RUNNING,
    "CANCELLING": BatchState.CANCELLING,
    "SUCCEEDED": BatchState.SUCCEEDED,
    "PARTIALLY_SUCCEEDED": BatchState.PARTIAL,
    "FAILED": BatchState.FAILED,
    "CANCELLED": BatchState.CANCELLED,
    "EXPIRED": BatchState.EXPIRED,
}
_HTTP_OF_GRPC: Final = dict(
    enumerate(
        (499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401), start=1
    )
)
"""A line's error may carry the code of a gRPC status instead of HTTP's."""


class GeminiBatches:
    """A :class:`worker.batch_model.BatchModel` over the developer API.

    Opens nothing until it is used; belongs to one process. ``folder`` is where lines wait on disk
    while they are uploaded, the system's own if not given.
    """

    def __init__(
        self,
        settings: GeminiSettings,
        table: ModelTable | None = None,
        *,
        folder: Path | None = None,
    ) -> None:
        self._settings = settings
        self._table = table or load_models()
        self._folder = folder
        self._http: httpx2.Client | None = None

    def upload(self, display_name: str, lines: Iterable[BatchLine]) -> str:
        """See :meth:`worker.batch_model.BatchModel.upload`."""
        with tempfile.TemporaryFile(dir=self._folder) as body:
            for line in lines:
                body.write(self._line(line))
            size = body.tell()
            body.seek(0)
            return self._upload(display_name, body, size)

    def create(self, model_id: str, display_name: str, place: str) -> Batch:
        """See :meth:`worker.batch_model.BatchModel.create`."""
        asked = {"batch": {"displayName": display_name, "inputConfig": {"fileName": place}}}
        answer = self._ask(
            "POST", f"models/{model_id}:batchGenerateContent", asked, model_id=model_id, buys=True
        )
        return read_batch(answer)

    def find(self, display_name: str) -> tuple[Batch, ...]:
        """See :meth:`worker.batch_model.BatchModel.find`."""
        return tuple(one for one in self._all() if one.display_name == display_name)

    def get(self, name: str) -> Batch | None:
        """See :meth:`worker.batch_model.BatchModel.get`."""
        status, answer = self._exchange("GET", name)
        if status == _NOT_FOUND:
            return None
        return read_batch(self._whole(status, answer))

    def cancel(self, name: str) -> None:
        """See :meth:`worker.batch_model.BatchModel.cancel`."""
        self._ask("POST", f"{name}:cancel", {})

    def results(self, batch: Batch, *, sent_at: datetime) -> Iterator[BatchResult]:
        """See :meth:`worker.batch_model.BatchModel.results`."""
        if not batch.results:
            return
        with self._translated():
            for line in self._download(batch.results):
                yield read_result(line, sent_at=sent_at)

    def forget(self, place: str) -> None:
        """See :meth:`worker.batch_model.BatchModel.forget`."""
        status, answer = self._exchange("DELETE", place)
        if status not in _GONE:
            self._whole(status, answer)

    def close(self) -> None:
        """See :meth:`worker.batch_model.BatchModel.close`."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    # -- what is sent ------------------------------------------------------------------------

    def _line(self, line: BatchLine) -> bytes:
        request = {"key": line.key, "request": request_body(line.request, self._table)}
        return json.dumps(request, separators=(",", ":")).encode() + b"\n"

    def _upload(self, display_name: str, body: IO[bytes], size: int) -> str:
        url = self._begin_upload(display_name, size)
        offset = 0
        while True:
            chunk = body.read(_CHUNK_BYTES)
            is_last = offset + len(chunk) >= size
            status, answer = self._exchange(
                "POST",
                url,
                chunk,
                headers={
                    "X-Goog-Upload-Command": "upload, finalize" if is_last else "upload",
                    "X-Goog-Upload-Offset": str(offset),
                },
            )
            told = self._whole(status, answer) if is_last or status != _OK else {}
            offset += len(chunk)
            if is_last:
                return _text(_mapping(told.get("file")).get("name"))

    def _begin_upload(self, display_name: str, size: int) -> str:
        with self._translated():
            reply = self._connected().post(
                f"{self._base()}/upload/{_VERSION}/files",
                json={"file": {"displayName": display_name}},
                headers={
                    "X-Goog-Upload-Protocol": "resumable",
                    "X-Goog-Upload-Command": "start",
                    "X-Goog-Upload-Header-Content-Length": str(size),
                    "X-Goog-Upload-Header-Content-Type": _JSON_LINES,
                },
            )
        self._whole(reply.status_code, reply.content)
        url = reply.headers.get("X-Goog-Upload-URL")
        if not url:
            raise TryLater("model.unavailable", "the platform took no upload and did not say why")
        # Through the same door as everything else: a gateway's name is not known to the platform.
        ours, theirs = urlsplit(self._base()), urlsplit(url)
        return urlunsplit(theirs._replace(scheme=ours.scheme, netloc=ours.netloc))

    def _all(self) -> Iterator[Batch]:
        token = ""
        while True:
            page = self._ask("GET", f"batches?pageSize={_PAGE}&pageToken={token}")
            for operation in _sequence(page.get("operations")):
                yield read_batch(_mapping(operation))
            token = _text(page.get("nextPageToken"))
            if not token:
                return

    # -- how it travels ----------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        model_id: str = "",
        buys: bool = False,
    ) -> Mapping[str, Any]:
        """Exchange JSON; ``buys`` where a request without an answer may have been followed."""
        content = None if body is None else json.dumps(body).encode()
        status, answer = self._exchange(method, path, content, buys=buys)
        return self._whole(status, answer, model_id=model_id, buys=buys)

    def _exchange(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        buys: bool = False,
    ) -> tuple[int, bytes]:
        url = path if "://" in path else f"{self._base()}/{_VERSION}/{path}"
        until = time.monotonic() + _EXCHANGE_S
        answer = bytearray()
        own = {"Content-Type": "application/json", **(headers or {})}
        with (
            self._translated(buys=buys),
            self._connected().stream(method, url, content=content, headers=own) as reply,
        ):
            for part in reply.iter_bytes():
                answer += part
                if time.monotonic() > until or len(answer) > _LONGEST_ANSWER:
                    raise _NoWholeAnswer
        return reply.status_code, bytes(answer)

    def _download(self, place: str) -> Iterator[bytes]:
        url = f"{self._base()}/{_VERSION}/{place}:download?alt=media"
        with self._connected().stream("GET", url) as reply:
            if reply.status_code in _GONE:
                log.warning("results_gone", place=place, status=reply.status_code)
                return
            if reply.status_code != _OK:
                self._whole(reply.status_code, reply.read())
            yield from lines_of(reply.iter_bytes())

    def _whole(
        self, status: int, answer: bytes, *, model_id: str = "", buys: bool = False
    ) -> Mapping[str, Any]:
        """Read an answer's JSON object, or say what its status means."""
        try:
            told = json.loads(answer or b"{}")
        except (ValueError, RecursionError):
            told = None
        if status == _OK and isinstance(told, dict):
            return told
        if status == _OK:
            msg = "the platform's answer can't be read"
            raise (
                OutcomeUnknown("outcome_unknown", msg)
                if buys
                else TryLater("model.unavailable", msg)
            )
        key = self._settings.api_key
        hidden = {key.get_secret_value() if key else "": "[key]"}
        raise faults.translate(
            faults.read_error(status, told, hidden=hidden), model_id or "batches"
        )

    @contextlib.contextmanager
    def _translated(self, *, buys: bool = False) -> Iterator[None]:
        """Say what it means that an exchange broke."""
        import httpx2

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as exc:
            msg = f"the platform can't be reached, nothing was sent ({type(exc).__name__})"
            raise TryLater("model.unavailable", msg) from None
        except (httpx2.TransportError, _NoWholeAnswer, OSError) as exc:
            msg = f"the request left, and no whole answer came ({type(exc).__name__})"
            if buys:
                raise OutcomeUnknown("outcome_unknown", msg) from None
            raise TryLater("model.unavailable", msg) from None

    def _connected(self) -> httpx2.Client:
        if self._http is None:
            import httpx2

            key = self._settings.api_key
            self._http = httpx2.Client(
                headers={"x-goog-api-key": key.get_secret_value() if key else ""},
                timeout=httpx2.Timeout(_STALL_S, connect=self._settings.connect_timeout_s),
                follow_redirects=False,
            )
        return self._http

    def _base(self) -> str:
        return (self._settings.base_url or _BASE_URL).rstrip("/")


class _NoWholeAnswer(Exception):
    """An answer came too slowly, or never ended."""


def request_body(request: TakeRequest, table: ModelTable) -> dict[str, object]:
    """The JSON of one request, as :class:`worker.gemini.model.GeminiModel` has the SDK write it."""
    model = table.find(request.model_id)
    size = {"imageSize": request.size} if model is None or model.sends_size else {}
    thinking = (
        {"thinkingConfig": {"thinkingLevel": model.thinking_level.upper()}}
        if model and model.thinking_level
        else {}
    )
    photos: list[dict[str, object]] = [
        {
            "inlineData": {
                "mimeType": photo.media_type,
                "data": base64.b64encode(photo.content).decode(),
            }
        }
        for photo in request.references
    ]
    return {
        "contents": [{"role": "user", "parts": [*photos, {"text": request.prompt}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": request.ratio, **size},
            "seed": request.seed,
            **thinking,
        },
    }


def read_batch(operation: Mapping[str, Any]) -> Batch:
    """Read an operation as the batch endpoints answer it."""
    told = _mapping(operation.get("metadata"))
    output = _mapping(told.get("output")) or _mapping(operation.get("response"))
    stats = _mapping(told.get("batchStats"))
    word = _text(told.get("state")).removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
    error = _mapping(operation.get("error"))
    fault = f"{error.get('code', '')} {_text(error.get('message'))}".strip()[:500] if error else ""
    return Batch(
        name=_text(operation.get("name")) or _text(told.get("name")),
        display_name=_text(told.get("displayName")),
        state=_STATES.get(word, BatchState.UNKNOWN),
        requests=_count(stats.get("requestCount")),
        answered=_count(stats.get("successfulRequestCount")),
        refused=_count(stats.get("failedRequestCount")),
        results=_text(output.get("responsesFile")),
        fault=fault,
    )


def read_result(line: bytes, *, sent_at: datetime) -> BatchResult:
    """Read one line of a result file; what can't be read has an empty key and says why."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        msg = f"a result line of {len(line)} bytes can't be read"
        return BatchResult(key="", fault=OutcomeUnknown("outcome_unknown", msg))
    key = _text(told.get("key")) or _text(_mapping(told.get("metadata")).get("key"))
    try:
        return BatchResult(key=key, answer=_answer(told, sent_at))
    except RenderError as fault:
        return BatchResult(key=key, fault=fault)


def _answer(told: Mapping[str, object], sent_at: datetime) -> Answer:
    error = _mapping(told.get("error"))
    if error:
        code = _count(error.get("code"))
        reply = faults.read_error(_HTTP_OF_GRPC.get(code, code), {"error": error})
        raise _of_line(faults.translate(reply, "the model"))
    sold = answers.read_answer(_mapping(told.get("response")))
    return Answer(
        content=sold.content,
        media_type=sold.media_type,
        model_answered=sold.model_answered,
        response_id=sold.response_id,
        usage=sold.usage,
        sent_at=sent_at,
        answered_at=datetime.now(UTC),
    )


def _of_line(fault: RenderError) -> RenderError:
    """One line's error is no word on the lane: the batch that it stands in was let in."""
    if isinstance(fault, LaneStopped):
        return TryLater("model.unavailable", fault.message)
    return fault


def lines_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream into lines, blank ones left out; one that is too long comes cut off."""
    line = bytearray()
    for part in parts:
        pieces = part.split(b"\n")
        for at, piece in enumerate(pieces):
            if len(line) < _LONGEST_LINE:
                line += piece
            if at < len(pieces) - 1:
                if line.strip():
                    yield bytes(line)
                line = bytearray()
    if line.strip():
        yield bytes(line)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    """A number, which JSON of 64-bit integers writes as text."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
