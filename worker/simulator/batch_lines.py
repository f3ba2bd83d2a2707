"""Which requests does a batch's input hold?

Input is JSON Lines on disk, whether it was uploaded or came inside a create. It is never whole in
memory: it is gone through once for what it holds, and then read line by line, in any order.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from worker.simulator.bodies import MAX_BODY_BYTES
from worker.simulator.models import INPUT_IMAGE_TOKENS

if TYPE_CHECKING:
    from pathlib import Path

_LETTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What an input holds: where its lines begin, and the tokens that wait with them.

    ``problem`` says which line can't be read, and why; empty if all can.
    """

    offsets: array[int]
    tokens: int
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLine:
    """One line: ``label`` is what its answer begins with, a key or metadata or nothing."""

    label: dict[str, Any]
    request: dict[str, Any]


def survey_lines(path: Path) -> Survey:
    """Go through an input; blocks for as long as reading and parsing it takes.

    An unreadable line ends it: what Google makes of one is not known.
    """
    offsets = array("Q")
    tokens = 0
    try:
        for offset, text in _lines(path):
            tokens += _tokens_of(_parse(text).request)
            offsets.append(offset)
    except ValueError as exc:
        return Survey(offsets=offsets, tokens=tokens, problem=f"line {len(offsets) + 1}: {exc}")
    return Survey(offsets=offsets, tokens=tokens)


def read_line(path: Path, offset: int) -> AskedLine:
    """The line that begins there; blocks."""
    with path.open("rb") as file:
        file.seek(offset)
        return _parse(file.readline())


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        offset = 0
        while text := file.readline(MAX_BODY_BYTES + 1):
            if len(text) > MAX_BODY_BYTES:
                message = f"longer than {MAX_BODY_BYTES} bytes"
                raise ValueError(message)
            if text.strip():
                yield offset, text
            offset += len(text)


def _parse(text: bytes) -> AskedLine:
    line = json.loads(text)
    if not isinstance(line, dict) or not isinstance(line.get("request"), dict):
        message = 'wanted {"key": ..., "request": {...}}'
        raise ValueError(message)  # noqa: TRY004 - whatever is wrong with a line is told alike
    label = {name: line[name] for name in ("key", "metadata") if name in line}
    return AskedLine(label=label, request=line["request"])


def _tokens_of(request: dict[str, Any]) -> int:
    letters = images = 0
    for part in _parts_of(request):
        letters += len(part["text"]) if isinstance(part.get("text"), str) else 0
        images += any(name in part for name in _IMAGE_FIELDS)
    return -(-letters // _LETTERS_PER_TOKEN) + images * INPUT_IMAGE_TOKENS


_IMAGE_FIELDS: Final = ("inlineData", "inline_data", "fileData", "file_data")


def _parts_of(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a request that nobody has checked yet."""
    for content in _list(request.get("contents")):
        if isinstance(content, dict):
            yield from (part for part in _list(content.get("parts")) if isinstance(part, dict))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
