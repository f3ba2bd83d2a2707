"""How do bytes come in and go out: whole, cut, dripped, or not at all?

HTTP/1.1 by hand over asyncio streams: the faults worth rehearsing happen below the level that a
web framework lets one reach, and an idle connection costs a coroutine instead of a thread.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_BODY_BYTES: Final = 100 * 1024 * 1024
READ_AHEAD_BYTES: Final = 1024 * 1024
DRIPS: Final = 20


class Delivery(StrEnum):
    """How an answer is to be written."""

    WHOLE = "whole"
    CUT = "cut"
    RESET = "reset"
    DRIP = "drip"
    HANG = "hang"


class Fate(StrEnum):
    """What became of an answer."""

    DELIVERED = "delivered"
    CUT = "cut"
    HUNG = "hung"
    CLIENT_GONE = "client_gone"


class MalformedRequestError(Exception):
    """What came in is not HTTP that the simulator reads; the connection is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, wholly read; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def _ignore(_fate: Fate) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer and the way to write it.

    ``settle`` is called with the answer's fate in the same step of the loop in which its last
    byte was handed over: whoever has read an answer finds it in the books.
    """

    status: int
    body: bytes
    content_type: str = "application/json; charset=UTF-8"
    delivery: Delivery = Delivery.WHOLE
    drip_s: float = 0.0
    settle: Callable[[Fate], None] = field(default=_ignore)


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

    async def read_request(self) -> Request | None:
        """The next request, or ``None`` when the client has left.

        Raises:
            MalformedRequestError: not HTTP, or more than ``MAX_BODY_BYTES``.
        """
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            method, target, headers = _parse_head(head)
            body = await self._read_body(headers)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except (ValueError, asyncio.LimitOverrunError) as exc:
            raise MalformedRequestError(str(exc)) from exc
        url = urlsplit(target)
        return Request(
            method=method,
            path=unquote(url.path),
            query=dict(parse_qsl(url.query)),
            headers=headers,
            body=body,
        )

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

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._read_chunks()
        length = int(headers.get("content-length", "0"))
        _check_length(length)
        return await self._reader.readexactly(length)

    async def _read_chunks(self) -> bytes:
        chunks = bytearray()
        while True:
            line = await self._reader.readuntil(b"\r\n")
            length = int(line.split(b";")[0], 16)
            _check_length(len(chunks) + length)
            chunk = await self._reader.readexactly(length + 2)
            if not length:
                return bytes(chunks)
            chunks += chunk[:-2]

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
            self._writer.write(head + reply.body)
            await self._writer.drain()
            return Fate.DELIVERED
        self._writer.write(head + reply.body[: len(reply.body) // 2])
        await self._writer.drain()
        self._hang_up(reset=reply.delivery is Delivery.RESET)
        return Fate.CUT

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


def _check_length(length: int) -> None:
    if not 0 <= length <= MAX_BODY_BYTES:
        message = f"a body of {length} bytes; the limit is {MAX_BODY_BYTES}"
        raise ValueError(message)


def _head(reply: Reply) -> bytes:
    phrase = HTTPStatus(reply.status).phrase
    return (
        f"HTTP/1.1 {reply.status} {phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(reply.body)}\r\n"
        "Server: skuscene-simulator\r\n\r\n"
    ).encode("latin-1")
