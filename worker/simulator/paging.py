"""Which of a list's entries stand on a page?

The newest come first. A page's token is the number of its last entry: entries that come or go
meanwhile make nobody miss one that stays.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Protocol, TypeVar

from worker.simulator import refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Numbered(Protocol):
    """Something that was made in an order."""

    @property
    def number(self) -> int:
        """Higher is newer."""
        ...


Entry = TypeVar("Entry", bound=Numbered)


def take_page(
    entries: Iterable[Entry], query: Mapping[str, str], *, usual: int, most: int
) -> tuple[list[Entry], str]:
    """A page as ``pageSize`` and ``pageToken`` ask for it, and the next one's token, or "".

    Raises:
        Refusal: a size that is no number, or a token that was never given.
    """
    size = min(_read_size(query.get("pageSize", "")) or usual, most)
    before = _read_token(query.get("pageToken", ""))
    waiting = sorted(
        (entry for entry in entries if before is None or entry.number < before),
        key=lambda entry: entry.number,
        reverse=True,
    )
    page = waiting[:size]
    return page, _write_token(page[-1].number) if len(waiting) > size else ""


def _read_size(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        message = f"Invalid value at 'page_size' (TYPE_INT32), {text!r}"
        raise refusals.invalid_argument(message, "page_size")
    return int(text or 0)


def _write_token(number: int) -> str:
    return base64.urlsafe_b64encode(f"before {number}".encode()).decode()


def _read_token(text: str) -> int | None:
    if not text:
        return None
    try:
        word, _, number = base64.urlsafe_b64decode(text).decode().partition(" ")
        if word == "before":
            return int(number)
    except (binascii.Error, ValueError):
        pass
    message = "Invalid page token"
    raise refusals.invalid_argument(message, "page_token")
