"""May one more request of this model come in this minute?"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from worker.simulator import refusals

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S: Final = 60.0


class Quota:
    """Requests per rolling minute and model; ``None`` is no limit."""

    def __init__(
        self, requests_per_minute: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = requests_per_minute
        self._clock = clock
        self._taken_at: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, model: str) -> None:
        """Let one request in.

        Raises:
            Refusal: 429 with the quota and the time until the next one may come.
        """
        if self._limit is None:
            return
        now = self._clock()
        taken = self._taken_at[model]
        while taken and now - taken[0] >= WINDOW_S:
            taken.popleft()
        if len(taken) >= self._limit:
            delay_s = round(WINDOW_S - (now - taken[0]), 3) if taken else WINDOW_S
            raise refusals.rate_limited(model, limit=self._limit, delay_s=delay_s)
        taken.append(now)

    def clear(self) -> None:
        """Forget what came in."""
        self._taken_at.clear()
