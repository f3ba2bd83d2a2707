"""How are a batch's answers written down?

Line by line as they are made: a file of JSON Lines to be downloaded, or the items of the list that
stands inside the batch where its requests were inline.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Self

from worker.simulator.files import Content
from worker.simulator.orders import ResultOrder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from types import TracebackType


class Results:
    """Answers on their way into a file; blocks, so it belongs into a thread.

    ``marked`` says which lines an order is about, by their number in the input.
    """

    def __init__(
        self, path: Path, *, is_inline: bool, marked: Mapping[ResultOrder, Collection[int]]
    ) -> None:
        self._path = path
        self._is_inline = is_inline
        self._marked = {} if is_inline else marked
        self._file = path.open("wb")
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        self._last = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, number: int, label: Mapping[str, Any], kind: str, answer: bytes) -> None:
        """Add what became of a line; ``answer`` is JSON, ``kind`` response or error."""
        line = json.dumps(label).encode()[:-1] + (b", " if label else b"")
        line += f'"{kind}": '.encode() + answer + b"}"
        if self._is_inline:
            self._put(b", " + line if self._size_bytes else line)
            return
        self._last = line
        if number in self._marked.get(ResultOrder.DROPPED, ()):
            return
        times = 2 if number in self._marked.get(ResultOrder.DOUBLED, ()) else 1
        self._put((line + b"\n") * times)

    def finish(self) -> Content:
        """The file as it will be downloaded, with what was ordered for its end."""
        if ResultOrder.UNKNOWN in self._marked:
            stranger = {**json.loads(self._last or b"{}"), "key": "nobody-gave-this-key"}
            self._put(json.dumps(stranger).encode() + b"\n")
        if ResultOrder.TORN in self._marked:
            self._tear(len(self._last) // 2 + 1)
        self._file.flush()
        return Content(
            path=self._path, size_bytes=self._size_bytes, sha256=self._sha256.hexdigest()
        )

    def _put(self, text: bytes) -> None:
        self._file.write(text)
        self._sha256.update(text)
        self._size_bytes += len(text)

    def _tear(self, by_bytes: int) -> None:
        self._file.flush()
        self._size_bytes = max(0, self._size_bytes - by_bytes)
        self._file.truncate(self._size_bytes)
        with self._path.open("rb") as file:
            self._sha256 = hashlib.file_digest(file, "sha256")
