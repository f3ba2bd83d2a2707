"""What is said about a feed that can't be used as a whole?"""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_COLUMNS = 40


class FeedError(Exception):
    """The feed can't be used; the message says which file, what was seen and what to do."""


def named(columns: Iterable[str]) -> str:
    """Write column names for a message: quoted, bounded."""
    names = list(columns)
    shown = ", ".join(repr(_short(name)) for name in names[:SHOWN_COLUMNS])
    more = len(names) - SHOWN_COLUMNS
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _short(name: str, limit: int = 60) -> str:
    return name if len(name) <= limit else f"{name[:limit]}..."
