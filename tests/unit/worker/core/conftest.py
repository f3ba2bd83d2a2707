"""What every test of the core has around it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged is kept, not drawn: structlog's own tracebacks take a second each."""
    with capture_logs() as entries:
        yield entries
