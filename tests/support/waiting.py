"""How does a test wait? For a condition, with a deadline; never for time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY_S = 0.02


def wait_for(condition: Callable[[], T], timeout_s: float, what: str | Callable[[], str]) -> T:
    """Look until the condition holds; return what it returned.

    ``what`` is said when it does not; one that is called tells how things stand by then.

    Raises:
        AssertionError: it did not hold in time; the message says what was waited for.
    """
    until = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= until:
            msg = f"waited {timeout_s} s in vain for {what() if callable(what) else what}"
            raise AssertionError(msg)
        time.sleep(_LOOK_EVERY_S)
