"""How does a test wait? For a condition, with a deadline; never for time to pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_EVERY_S = 0.02


def wait_for(condition: Callable[[], object], *, timeout_s: float, what: str) -> None:
    """Return as soon as ``condition`` holds.

    Raises:
        AssertionError: it did not hold within ``timeout_s``; the message names ``what``.
    """
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            message = f"waited {timeout_s:.0f} s in vain for {what}"
            raise AssertionError(message)
        time.sleep(_LOOK_EVERY_S)
