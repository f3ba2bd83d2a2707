"""How does an S3 server have bad days to order?

A proxy before a real server: a share of the requests is answered 503, half of them before they are
carried out and half of them after, and some wait for seconds. What was carried out is remembered,
so that an audit can say since when an object has been there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Self

_BUSY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b"<Error><Code>ServiceUnavailable</Code><Message>Please reduce your request rate."
    b"</Message></Error>"
)
_READ_AHEAD_BYTES = 1024 * 1024
_UPSTREAM_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Faults:
    """Shares of requests (0 to 1) and how long a stalled one waits, in seconds."""

    refused: float = 0.03
    stalled: float = 0.01
    stall_s: tuple[float, float] = (2.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    raw: bytes
    keeps: bool


@dataclass(slots=True, kw_only=True)
class S3FaultProxy:
    """Passes HTTP/1.1 requests on to ``upstream_port`` on this machine, most of the time.

    ``stored`` says when (Unix time) each path was first put; ``counts`` what befell requests.
    """

    upstream_port: int
    faults: S3Faults
    dice: Random
    port: int = 0
    stored: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = None
    _visits: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._visit, "127.0.0.1", 0, limit=_READ_AHEAD_BYTES, backlog=512
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for visit in tuple(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        if visit is not None:
            self._visits.add(visit)
            visit.add_done_callback(self._visits.discard)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the client was killed, or the server behind is ending
        except asyncio.CancelledError:
            pass  # asyncio's streams would report it as an error
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await _read(reader, writer)
            if request is None:
                return
            writer.write(await self._answer(request))
            await writer.drain()
            if not request.keeps:
                return

    async def _answer(self, request: _Request) -> bytes:
        self.counts["requests"] += 1
        point = self.dice.random()
        if point < self.faults.refused / 2:
            self.counts["refused before"] += 1
            return _busy(request)
        if self.dice.random() < self.faults.stalled:
            self.counts["stalled"] += 1
            await asyncio.sleep(self.dice.uniform(*self.faults.stall_s))
        answer = await self._pass_on(request)
        if point < self.faults.refused:
            self.counts["refused after"] += 1
            return _busy(request)
        return answer

    async def _pass_on(self, request: _Request) -> bytes:
        async with asyncio.timeout(_UPSTREAM_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
            try:
                writer.write(request.raw)
                await writer.drain()
                answer = await reader.read(-1)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        if not answer:
            message = "the S3 server behind closed without an answer"
            raise ConnectionResetError(message)
        if request.method == "PUT" and answer[9:12] == b"200":
            self.stored.setdefault(request.path, time.time())
        return _kept_open(request, answer)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Request | None:
    """The next request as it goes upstream: whole, and asking for a connection of its own."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].split(b"\r\n")
    method, target, _ = first.decode("latin-1").split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    if headers.get(b"expect", b"").lower() == b"100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    body = await _read_body(reader, headers)
    passed = [line for line in lines if _name(line) not in {b"connection", b"expect"}]
    return _Request(
        method=method,
        path=target.partition("?")[0],
        raw=b"\r\n".join([first, *passed, b"Connection: close", b"", b""]) + body,
        keeps=headers.get(b"connection", b"").lower() != b"close",
    )


async def _read_body(reader: asyncio.StreamReader, headers: dict[bytes, bytes]) -> bytes:
    """The body as it came, chunks with their lengths."""
    if headers.get(b"transfer-encoding", b"").lower() != b"chunked":
        return await reader.readexactly(int(headers.get(b"content-length", b"0")))
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        length = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(length + 2)
        if not length:
            return bytes(body)


def _kept_open(request: _Request, answer: bytes) -> bytes:
    """The answer without its ``Connection``, and with a length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if _name(line) != b"connection"]
    names = {_name(line) for line in lines}
    if not names & {b"content-length", b"transfer-encoding"}:
        lines.append(b"Content-Length: %d" % len(body))
    body = b"" if request.method == "HEAD" else body
    return b"\r\n".join([*lines, b"", b""]) + body


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()


def _busy(request: _Request) -> bytes:
    body = b"" if request.method == "HEAD" else _BUSY
    head = (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    return head % len(_BUSY) + body
