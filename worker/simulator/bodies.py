"""How do bodies travel that are too long for memory?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

MAX_BODY_BYTES: Final = 100 * 1024 * 1024
PIECE_BYTES: Final = 256 * 1024


class ClientLeftError(Exception):
    """The client has left before its body was through."""


class MalformedBodyError(ValueError):
    """What came in is no body that can be read; the connection is over."""


class Incoming:
    """A request's body on its way in: taken whole, piece by piece, or skipped; once."""

    def __init__(self, reader: asyncio.StreamReader, headers: Mapping[str, str]) -> None:
        """Look at the headers (names in lower case), and read nothing yet.

        Raises:
            ValueError: the length is none.
        """
        self._reader = reader
        self._is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._is_over = False
        self._follows_a_chunk = False
        self._left = 0 if self._is_chunked else int(headers.get("content-length", "0"))
        if self._left < 0:
            message = f"a body of {self._left} bytes"
            raise ValueError(message)

    async def whole(self) -> bytes:
        """Take everything into memory.

        Raises:
            ClientLeftError: it did not come.
            MalformedBodyError: more than ``MAX_BODY_BYTES``, or not chunked as announced.
        """
        body = bytearray()
        _check_length(self._left)
        async for piece in self.pieces():
            body += piece
            _check_length(len(body) + self._left)
        return bytes(body)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Take it as it comes, at most ``PIECE_BYTES`` at a time.

        Raises:
            ClientLeftError: the rest did not come.
            MalformedBodyError: it is not chunked as announced.
        """
        try:
            while await self._has_more():
                piece = await self._reader.read(min(self._left, PIECE_BYTES))
                if not piece:
                    raise ClientLeftError
                self._left -= len(piece)
                yield piece
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise ClientLeftError from exc
        except (asyncio.LimitOverrunError, ValueError) as exc:
            raise MalformedBodyError(str(exc)) from exc

    async def skip(self) -> None:
        """Read what nobody wanted, so that the next request can be read.

        Raises:
            ClientLeftError, MalformedBodyError: as :meth:`pieces`.
        """
        async for _ in self.pieces():
            pass

    async def _has_more(self) -> bool:
        if self._left or not self._is_chunked or self._is_over:
            return self._left > 0
        if self._follows_a_chunk:
            await self._reader.readexactly(2)
        head = await self._reader.readuntil(b"\r\n")
        self._left = int(head.split(b";")[0], 16)
        self._follows_a_chunk = True
        if self._left < 0:
            message = f"a chunk of {self._left} bytes"
            raise ValueError(message)
        if not self._left:
            self._is_over = True
            await self._reader.readexactly(2)
        return self._left > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A file's bytes inside a reply, read while they are sent."""

    path: Path
    size_bytes: int

    async def pieces(self, most_bytes: int) -> AsyncIterator[bytes]:
        """The beginning of the file, at most ``PIECE_BYTES`` at a time.

        Raises:
            OSError: the file is gone, or shorter than it was.
        """
        left = min(self.size_bytes, most_bytes)
        with self.path.open("rb", buffering=0) as file:
            while left:
                piece = await asyncio.to_thread(file.read, min(left, PIECE_BYTES))
                if not piece:
                    message = f"{self.path} ends {left} bytes early"
                    raise OSError(message)
                left -= len(piece)
                yield piece


def _check_length(length: int) -> None:
    if length > MAX_BODY_BYTES:
        message = f"a body of {length} bytes; the limit is {MAX_BODY_BYTES}"
        raise MalformedBodyError(message)
