"""Which feeds do the tests of this folder read?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from producers.feeds.feed import Feed, open_feed

FEEDS = Path(__file__).parents[3] / "data" / "feeds"

Open = Callable[..., Feed]


@pytest.fixture
def shipped() -> Callable[[str], Feed]:
    """Open a feed that lies in tests/data/feeds."""
    return lambda name: open_feed(FEEDS / name, format=None, mapping={})


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Write a feed and open it."""

    def write(
        content: str | bytes,
        *,
        name: str = "feed.csv",
        format: str | None = None,  # noqa: A002
        mapping: Mapping[str, str] | None = None,
    ) -> Feed:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return open_feed(path, format=format, mapping=mapping or {})

    return write
