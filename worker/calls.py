"""How do many waiting tasks share one event loop?

A task's thread hands its call to the process's loop and waits; hundreds of open calls then cost a
sleeping thread each (about 50 KB) instead of a copy of every answer (docs/performance.md).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from typing import TYPE_CHECKING

from worker.errors import OutcomeUnknown, TryLater

if TYPE_CHECKING:
    from worker.model import Answer, ImageModel, TakeRequest

_SLACK_S = 15.0
_CLOSE_S = 5.0
_OPEN_S = 30.0


class Calls:
    """The process's event loop and the model that is called on it; made after the fork."""

    def __init__(self, model: ImageModel) -> None:
        self._model = model
        self._opened = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Let the model load what its calls need; what is wrong with that, a call will say."""
        if self._opened or self._loop.is_closed():
            return
        opening = asyncio.run_coroutine_threadsafe(self._model.open(), self._loop)
        with contextlib.suppress(Exception):
            opening.result(_OPEN_S)
        self._opened = True

    def ask(self, request: TakeRequest) -> Answer:
        """Buy one picture; blocks until the answer is whole or the deadline is over.

        The deadline is the loop's own: Celery's thread pool drops time limits.

        Raises:
            RenderError: as :meth:`ImageModel.render`.
        """
        if self._loop.is_closed():
            raise TryLater("model.unavailable", "this worker is stopping: nothing was sent")
        future = asyncio.run_coroutine_threadsafe(self._bounded(request), self._loop)
        try:
            # The slack lets the loop's own deadline speak first; this one is a seat belt.
            return future.result(request.deadline_s + _SLACK_S)
        except concurrent.futures.TimeoutError as exc:
            future.cancel()
            raise _late(request) from exc
        except concurrent.futures.CancelledError as exc:
            msg = f"the call to {request.model_id} was cut off; it may have been billed"
            raise OutcomeUnknown("outcome_unknown", msg) from exc

    async def _bounded(self, request: TakeRequest) -> Answer:
        try:
            async with asyncio.timeout(request.deadline_s):
                return await self._model.render(request)
        except TimeoutError as exc:
            raise _late(request) from exc

    def close(self) -> None:
        """Close the model's connections and stop the loop."""
        if self._loop.is_closed():
            return
        closing = asyncio.run_coroutine_threadsafe(self._model.aclose(), self._loop)
        # A model that will not be closed must not keep the loop from ending.
        with contextlib.suppress(Exception):
            closing.result(_CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():
            self._loop.close()


def _late(request: TakeRequest) -> OutcomeUnknown:
    return OutcomeUnknown(
        "outcome_unknown",
        f"{request.model_id} did not answer within {request.deadline_s:.0f} s "
        "(SKUSCENE_MODEL_DEADLINE_S); the call may have been billed",
    )
