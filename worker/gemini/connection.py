"""How does a call to the model travel, and has it left us?

Whether a failed call may have been billed hangs on one fact: did the request leave? No exception of
the SDK tells, so the HTTP client is watched: it notes on the call at hand when the first byte goes
out. The client is ours as well so that the SDK uses httpx2 even where aiohttp is installed (over
aiohttp it repeats a call by itself after a broken connection), follows no redirect (a redirected
POST is sent again) and has room for hundreds of calls.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

# Google keeps idle connections for minutes, routers in between do not: a request into a connection
# that is gone would be booked as doubtful.
_IDLE_CONNECTION_S = 20.0
_CONNECT = b"CONNECT"


class SecondRequestError(RuntimeError):
    """The SDK tried to send a second request for one call: a second purchase."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One call on its way; ``left_at`` is when its first byte was sent."""

    deadline_s: float
    left_at: datetime | None = None

    async def note(self, event: str, info: dict[str, Any]) -> None:
        """Hear of the connection's steps; an exchange with a proxy is not ours yet."""
        is_ours = event.endswith(".send_request_headers.started")
        if is_ours and self.left_at is None and info["request"].method != _CONNECT:
            self.left_at = datetime.now(UTC)


_calls: ContextVar[Call] = ContextVar("gemini_call")


@contextmanager
def watched(deadline_s: float) -> Iterator[Call]:
    """Watch the one request that is sent inside, in this task."""
    call = Call(deadline_s=deadline_s)
    token = _calls.set(call)
    try:
        yield call
    finally:
        _calls.reset(token)


def open_http(*, max_connections: int, connect_timeout_s: float) -> httpx2.AsyncClient:
    """Make the HTTP client that the SDK is to use; it belongs to the running loop and process."""
    import httpx2

    async def prepare(request: httpx2.Request) -> None:
        call = _calls.get()
        if call.left_at is not None:
            raise SecondRequestError("the SDK tried to send a second request for one call")
        # The SDK has one number for everything. Reaching the host takes seconds or fails; the
        # answer may take the whole deadline, which the caller enforces over the sum.
        request.extensions["timeout"] = {
            "connect": min(connect_timeout_s, call.deadline_s),
            "pool": call.deadline_s,
            "write": call.deadline_s,
            "read": call.deadline_s,
        }
        request.extensions["trace"] = call.note

    return httpx2.AsyncClient(
        event_hooks={"request": [prepare]},
        follow_redirects=False,
        limits=httpx2.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=_IDLE_CONNECTION_S,
        ),
    )
