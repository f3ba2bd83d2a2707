"""Who is buying a render right now?

A lease in Redis, renewed by one thread per process while the call is open. A holder that dies stops
renewing, and the lease ends by itself after ``lease_s``.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import TYPE_CHECKING

import structlog

from catalog.connection import StateUnavailable
from catalog.leases import ORDERED, Leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Holds leases and keeps them alive. One per process, made after the fork."""

    def __init__(
        self,
        leases: Leases,
        *,
        ttl_s: float,
        renew_s: float,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._leases = leases
        self._beat = beat
        self._ttl_s = ttl_s
        self._renew_s = renew_s
        # By token: a render whose lease we lost may be leased to us a second time.
        self._held: dict[str, str] = {}
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def held(self, render_id: str) -> Iterator[str | None]:
        """Be the render's buyer while the block runs; yields the lease's token if we are."""
        token = uuid.uuid4().hex
        if not self._leases.acquire_lease(render_id, token, ttl_s=self._ttl_s):
            yield None
            return
        with self._guard:
            self._held[token] = render_id
            self._start()
        try:
            yield token
        finally:
            with self._guard:
                del self._held[token]
            # A lease that can't be given back ends by itself.
            with contextlib.suppress(StateUnavailable):
                self._leases.release_lease(render_id, token)

    def drop_spooled(self, render_id: str) -> None:
        """End a lease that says where a paid answer waits; a buyer's stays."""
        self._leases.drop_spooled(render_id)

    def spooled_renders(self) -> tuple[str, ...]:
        """The renders whose lease says where a paid answer waits."""
        return self._leases.spooled_renders()

    def order(self, render_id: str, order_id: str) -> bool:
        """Hold a render for an order, if nobody else has it; may be repeated."""
        return self._leases.order(render_id, order_id)

    def release_order(self, render_id: str, order_id: str) -> None:
        """Hold it no longer; somebody else's lease stays."""
        self._leases.release_lease(render_id, f"{ORDERED}{order_id}")

    def close(self) -> None:
        """Stop renewing."""
        self._stopped.set()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
            self._thread.start()

    def _renew(self) -> None:
        while not self._stopped.wait(self._renew_s):
            with self._guard:
                held = dict(self._held)
            if held:
                # First: a pause in which leases may lapse must be seen before they are renewed.
                with contextlib.suppress(StateUnavailable):
                    self._beat()
            for token, render_id in held.items():
                self._renew_one(render_id, token)

    def _renew_one(self, render_id: str, token: str) -> None:
        try:
            if not self._leases.renew_lease(render_id, token, ttl_s=self._ttl_s):
                self._take_again(render_id, token)
        except StateUnavailable as exc:
            log.warning("lease_not_renewed", render_id=render_id, error=str(exc))

    def _take_again(self, render_id: str, token: str) -> None:
        """Redis was emptied or we were too slow: take it again if nobody has it."""
        if not self._is_held(token):
            return
        self._leases.acquire_lease(render_id, token, ttl_s=self._ttl_s)
        if not self._is_held(token):  # given back while we took it
            self._leases.release_lease(render_id, token)

    def _is_held(self, token: str) -> bool:
        with self._guard:
            return token in self._held
