"""How do bytes come in and go out: whole, cut, dripped, or not at all?

HTTP/1.1 by hand over asyncio streams: the faults worth rehearsing happen below the level that a
web framework lets one reach, and an idle connection costs a coroutine instead of a thread.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from worker.simulator.bodies import ClientLeftError, FilePart, Incoming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READ_AHEAD_BYTES: Final = 1024 * 1024
DRIPS: Final = 20


class Delivery(StrEnum):
    """How an answer is to be written."""

    WHOLE = "whole"
    CUT = "cut"
    RESET = "reset"
    DRIP = "drip"
    HANG = "hang"
    LOST = "lost"


class Fate(StrEnum):
    """What became of an answer; ``KEPT`` is one that waits among a batch's results."""

    DELIVERED = "delivered"
    CUT = "cut"
    HUNG = "hung"
    CLIENT_GONE = "client_gone"
    KEPT = "kept"


class MalformedRequestError(Exception):
    """What came in is not HTTP that the simulator reads; the connection is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names are in lower case.

    Its body has been read into ``body``, or is still to come: then ``incoming`` has it.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    incoming: Incoming | None = None


def _ignore(_fate: Fate) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer and the way to write it.

    ``parts`` follow the body: what is too long to be in memory. They can be cut, but don't drip.
    ``settle`` is called with the answer's fate in the same step of the loop in which its last
    byte was handed over: whoever has read an answer finds it in the books.
    """

    status: int
    body: bytes = b""
    parts: tuple[bytes | FilePart, ...] = ()
    content_type: str = "application/json; charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = Delivery.WHOLE
    drip_s: float = 0.0
    settle: Callable[[Fate], None] = field(default=_ignore)

    @property
    def length(self) -> int:
        """How many bytes come after the head."""
        return len(self.body) + sum(
            part.size_bytes if isinstance(part, FilePart) else len(part) for part in self.parts
        )


class Connection:
    """One client's connection; ends with the client, with a cut, or with the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # With a high-water mark of zero, drain() returns when the kernel has every byte.
        writer.transport.set_write_buffer_limits(high=0)

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed its side."""
        return (
            self._reader.at_eof()
            or self._reader.exception() is not None
            or self._writer.is_closing()
        )

    async def read_request(
        self, is_streamed: Callable[[str, str], bool] = lambda _method, _path: False
    ) -> Request | None:
        """The next request, or ``None`` when the client has left.

        ``is_streamed``, asked with method and path, says whose body is left to be read.

        Raises:
            MalformedRequestError: not HTTP, or more than ``MAX_BODY_BYTES`` to be read here.
        """
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            method, target, headers = _parse_head(head)
            url = urlsplit(target)
            request = Request(
                method=method,
                path=unquote(url.path),
                query=dict(parse_qsl(url.query)),
                headers=headers,
                incoming=self._expect_body(headers),
            )
            if request.incoming and not is_streamed(method, request.path):
                return replace(request, body=await request.incoming.whole(), incoming=None)
        except (asyncio.IncompleteReadError, ConnectionError, ClientLeftError):
            return None
        except (ValueError, asyncio.LimitOverrunError) as exc:
            raise MalformedRequestError(str(exc)) from exc
        return request

    async def deliver(self, reply: Reply) -> Fate:
        """Write an answer as it asks to be written; only a whole one keeps the connection."""
        if reply.delivery is Delivery.HANG:
            await self._wait_for_the_client_to_leave()
            return Fate.HUNG
        if self.is_gone:
            return Fate.CLIENT_GONE
        try:
            return await self._write(reply)
        except ConnectionError:
            return Fate.CLIENT_GONE
        except OSError:  # a part's file was deleted meanwhile
            self._hang_up(reset=False)
            return Fate.CUT

    async def close(self) -> None:
        """End the connection; safe to call twice."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            return

    def abort(self) -> None:
        """End the connection at once, whatever is still unwritten."""
        self._writer.transport.abort()

    def _expect_body(self, headers: dict[str, str]) -> Incoming:
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Incoming(self._reader, headers)

    async def _wait_for_the_client_to_leave(self) -> None:
        try:
            while await self._reader.read(READ_AHEAD_BYTES):
                pass
        except ConnectionError:
            return

    async def _write(self, reply: Reply) -> Fate:
        head = _head(reply)
        if reply.delivery is Delivery.DRIP:
            return await self._drip(head + reply.body, reply.drip_s)
        if reply.delivery is Delivery.WHOLE:
            await self._send(head, reply, reply.length)
            return Fate.DELIVERED
        if reply.delivery is not Delivery.LOST:
            await self._send(head, reply, reply.length // 2)
        self._hang_up(reset=reply.delivery is Delivery.RESET)
        return Fate.CUT

    async def _send(self, head: bytes, reply: Reply, most_bytes: int) -> None:
        # In one piece with the head: a short answer is one packet.
        self._writer.write(head + reply.body[:most_bytes])
        await self._writer.drain()
        async for piece in _pieces_of(reply.parts, most_bytes - len(reply.body)):
            self._writer.write(piece)
            await self._writer.drain()

    async def _drip(self, answer: bytes, drip_s: float) -> Fate:
        step = len(answer) // DRIPS + 1
        for start in range(0, len(answer), step):
            if self.is_gone:
                return Fate.CLIENT_GONE
            self._writer.write(answer[start : start + step])
            await self._writer.drain()
            if start + step < len(answer):
                await asyncio.sleep(drip_s / DRIPS)
        return Fate.DELIVERED

    def _hang_up(self, *, reset: bool) -> None:
        if reset:
            # Lingering for zero seconds makes the kernel send RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger
            )
        self._writer.close()


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = request_line.split(" ")
    if not version.startswith("HTTP/1."):
        message = f"the request line says {version!r}; the simulator speaks HTTP/1.1"
        raise ValueError(message)
    pairs = (line.partition(":") for line in lines if line)
    return method, target, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _pieces_of(parts: tuple[bytes | FilePart, ...], most_bytes: int) -> AsyncIterator[bytes]:
    left = most_bytes
    for part in parts:
        if left <= 0:
            return
        if isinstance(part, bytes):
            yield part[:left]
            left -= len(part)
            continue
        async for piece in part.pieces(left):
            yield piece
        left -= part.size_bytes


def _head(reply: Reply) -> bytes:
    phrase = HTTPStatus(reply.status).phrase
    more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    return (
        f"HTTP/1.1 {reply.status} {phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\n"
        f"Content-Length: {reply.length}\r\n"
        f"{more}Server: skuscene-simulator\r\n\r\n"
    ).encode("latin-1")
