"""How does a file come in?

Google's resumable upload: a request starts it and is told an address, one or several more bring
the bytes, the last one ends it. Bytes go to disk as they come. An upload that was broken off goes
on where it stopped: ``query`` says where. No credential is asked for once it has begun: the address
is the secret, and the SDK sends no key there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from worker.simulator import refusals
from worker.simulator.connection import Reply
from worker.simulator.credentials import check_credentials
from worker.simulator.faults import with_faults
from worker.simulator.file_answers import base_url, describe_file
from worker.simulator.files import Content
from worker.simulator.orders import Scope

if TYPE_CHECKING:
    from pathlib import Path

    from worker.simulator.connection import Request
    from worker.simulator.files import FileStore
    from worker.simulator.refusals import Refusal
    from worker.simulator.routes import Route
    from worker.simulator.state import State

_FILE_NAME: Final = re.compile(r"files/([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)")
_COMMANDS: Final = frozenset({"upload", "finalize"})
_LONE_COMMANDS: Final = frozenset({"start", "query", "cancel"})


class _Described(BaseModel):
    """What a client says of its file; nobody needs more than its names and its type."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    name: str = ""
    display_name: str = ""
    mime_type: str = ""


class _Start(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    file: _Described = _Described()


class Upload:
    """A file on its way in; ``announced_bytes`` is ``None`` where the client didn't say."""

    def __init__(
        self,
        *,
        file_id: str,
        display_name: str,
        media_type: str,
        announced_bytes: int | None,
        path: Path,
    ) -> None:
        self.file_id = file_id
        self.display_name = display_name
        self.media_type = media_type
        self.announced_bytes = announced_bytes
        self.path = path
        self.size_bytes = 0
        self.turn = asyncio.Lock()
        self._sha256 = hashlib.sha256()
        path.touch()

    def append(self, piece: bytes) -> None:
        """Add bytes at the end; blocks, so it belongs into a thread.

        Raises:
            FileNotFoundError: the upload was dropped meanwhile.
        """
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self.size_bytes)
            file.write(piece)
        self._sha256.update(piece)
        self.size_bytes += len(piece)

    def content(self) -> Content:
        """All that has come."""
        return Content(path=self.path, size_bytes=self.size_bytes, sha256=self._sha256.hexdigest())


class Uploads:
    """The uploads that have begun and not ended; belongs to one event loop."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._open: dict[str, Upload] = {}

    def begin(self, described: _Described, announced_bytes: int | None, media_type: str) -> str:
        """Keep room for a file; the secret part of the upload's address.

        Raises:
            Refusal: the file can't come in, or can't be called so.
        """
        file_id = _read_name(described.name) if described.name else uuid4().hex[:12]
        self._store.expect(file_id, announced_bytes or 0)
        upload_id = uuid4().hex
        self._open[upload_id] = Upload(
            file_id=file_id,
            display_name=described.display_name,
            media_type=media_type or described.mime_type or "application/octet-stream",
            announced_bytes=announced_bytes,
            path=self._store.new_path(),
        )
        return upload_id

    def find(self, upload_id: str) -> Upload:
        """An upload that goes on.

        Raises:
            Refusal: there is none, or not any more.
        """
        if upload_id not in self._open:
            raise _terminated()
        return self._open[upload_id]

    def end(self, upload_id: str) -> None:
        """That upload is over; its bytes stay where they are. Safe to call twice."""
        self._open.pop(upload_id, None)

    def drop(self, upload_id: str) -> None:
        """That upload was given up: free its room and its bytes. Safe to call twice."""
        upload = self._open.pop(upload_id, None)
        if upload:
            self._store.give_up(upload.file_id)
            upload.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Give up all of them."""
        for upload_id in tuple(self._open):
            self.drop(upload_id)


async def answer_upload(state: State, request: Request, route: Route) -> Reply:
    """Start, continue, question or end an upload.

    Raises:
        Refusal: the file is not let in, or the request does not fit what has come so far.
    """
    words = _read_command(request)
    if words == {"start"}:
        check_credentials(request, route.platform)
        asked = await _read_start(request)
        subject = asked.file.display_name

        async def act() -> Reply:
            return _start(state, request, asked)
    else:
        upload_id = request.query.get("upload_id", "")
        subject = state.uploads.find(upload_id).display_name

        async def act() -> Reply:
            return await _continue(state, request, words, upload_id)

    return await with_faults(state, Scope.UPLOAD, subject, act)


async def _continue(state: State, request: Request, words: set[str], upload_id: str) -> Reply:
    upload = state.uploads.find(upload_id)
    if words == {"query"}:
        return _status("active", ("X-Goog-Upload-Size-Received", str(upload.size_bytes)))
    if words == {"cancel"}:
        state.uploads.drop(upload_id)
        return _status("cancelled")
    try:
        if "upload" in words:
            async with upload.turn:
                await _take(state.files, upload, request)
        if "finalize" in words:
            return _finalize(state, request, upload_id)
    except refusals.Refusal as refusal:
        return _refuse(refusal, upload)
    return _status("active")


def _start(state: State, request: Request, asked: _Start) -> Reply:
    headers = request.headers
    upload_id = state.uploads.begin(
        asked.file,
        _read_length(headers.get("x-goog-upload-header-content-length")),
        headers.get("x-goog-upload-header-content-type", ""),
    )
    url = f"{base_url(request)}{request.path}?upload_id={upload_id}&upload_protocol=resumable"
    return _status("active", ("X-Goog-Upload-URL", url))


async def _take(store: FileStore, upload: Upload, request: Request) -> None:
    offset = _read_length(request.headers.get("x-goog-upload-offset")) or 0
    if offset != upload.size_bytes:
        message = f"X-Goog-Upload-Offset is {offset}; {upload.size_bytes} bytes have come"
        raise refusals.invalid_argument(message)
    if request.incoming is None:
        return
    async for piece in request.incoming.pieces():
        most_bytes = upload.announced_bytes
        if most_bytes is None:
            store.expect(upload.file_id, upload.size_bytes + len(piece))
        elif upload.size_bytes + len(piece) > most_bytes:
            message = f"More came than the {most_bytes} bytes that were announced"
            raise refusals.invalid_argument(message)
        try:
            await asyncio.to_thread(upload.append, piece)
        except FileNotFoundError as exc:
            raise _terminated() from exc


def _finalize(state: State, request: Request, upload_id: str) -> Reply:
    upload = state.uploads.find(upload_id)
    if upload.announced_bytes not in {None, upload.size_bytes}:
        message = f"{upload.size_bytes} of {upload.announced_bytes} announced bytes have come"
        raise refusals.invalid_argument(message)
    state.uploads.end(upload_id)
    file = state.files.add(
        upload.content(),
        file_id=upload.file_id,
        display_name=upload.display_name,
        media_type=upload.media_type,
    )
    body = json.dumps({"file": describe_file(file, base_url(request))}).encode()
    return Reply(status=200, body=body, headers=(("X-Goog-Upload-Status", "final"),))


def _refuse(refusal: Refusal, upload: Upload) -> Reply:
    # With a status the SDK reads the error at once; without one it asks three times more.
    received = ("X-Goog-Upload-Size-Received", str(upload.size_bytes))
    headers = (("X-Goog-Upload-Status", "active"), received)
    return Reply(status=refusal.status, body=refusal.body(), headers=headers)


def _terminated() -> Refusal:
    return refusals.invalid_argument("Upload has already been terminated.")


def _status(word: str, *more: tuple[str, str]) -> Reply:
    return Reply(status=200, headers=(("X-Goog-Upload-Status", word), *more))


def _read_command(request: Request) -> set[str]:
    command = request.headers.get("x-goog-upload-command", "").lower()
    words = {word.strip() for word in command.split(",")}
    if words <= _COMMANDS or (len(words) == 1 and words <= _LONE_COMMANDS):
        return words
    message = f"X-Goog-Upload-Command {command!r}: wanted start, upload, finalize, query or cancel"
    raise refusals.invalid_argument(message)


async def _read_start(request: Request) -> _Start:
    protocol = request.headers.get("x-goog-upload-protocol", "")
    if protocol != "resumable":
        message = f"X-Goog-Upload-Protocol {protocol!r}: the simulator takes resumable uploads"
        raise refusals.invalid_argument(message)
    body = await request.incoming.whole() if request.incoming else b""
    try:
        return _Start.model_validate_json(body) if body.strip() else _Start()
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        raise refusals.invalid_argument(f"Invalid JSON payload received. {first['msg']}") from exc


def _read_name(name: str) -> str:
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        message = f"{name!r}: wanted files/ and at most 40 of a-z, 0-9 and dashes between them"
        raise refusals.invalid_argument(message, "file.name")
    return match[1]


def _read_length(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise refusals.invalid_argument(f"{text!r} is no number of bytes")
    return int(text)
