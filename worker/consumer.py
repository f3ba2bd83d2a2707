"""Which messages does Celery get to see?

Only those that this version can read, under headers that we wrote: Celery drops what it does not
know, and some of what it honours (an expiry, a time limit, a chain) no claim may have. All others
are parked as they came and acknowledged once the store has them.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog
from celery.worker.consumer import Consumer

from catalog.parked import JSON, RawMessage
from catalog.reading import Unreadable, read_body, read_claim
from catalog.transport import REFUSED, UNREADABLE
from worker.parking import ParkingLot

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.store.port import Store

log = structlog.get_logger(__name__)

LONGEST_WAIT: Final = timedelta(days=7)
"""No claim is put off for longer; one that claims to be would be forgotten in the queue."""

_ENCODINGS: Final = {"utf-8", "utf8", "us-ascii", "ascii"}
_LONGEST_ID: Final = 200
_MOST_RETRIES: Final = 1_000


def parking_consumer(open_store: Callable[[], Store]) -> type[ParkingConsumer]:
    """A consumer for ``worker_consumer`` that parks in this store, opened when it is needed."""

    class _Consumer(ParkingConsumer):
        lot = ParkingLot(open_store)

    return _Consumer


class ParkingConsumer(Consumer):  # type: ignore[misc]  # Celery has no types for it
    """Celery's consumer behind a door."""

    lot: ParkingLot
    received = 0
    """How many messages it was ever given."""

    def create_task_handler(self, *arguments: Any) -> Callable[[Any], None]:
        """What is called for every message."""
        handle = super().create_task_handler(*arguments)

        def on_message(message: Any) -> None:
            self.received += 1
            try:
                headers = understood(message)
            except Unreadable as exc:
                self._park(message, str(exc))
                return
            message.headers = headers
            message.properties = {"correlation_id": headers["id"], "priority": 0}
            handle(message)

        return on_message

    # Celery's own refusals. The door is narrower, but kombu calls the first one by itself, and
    # each of them drops the message.

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Park what kombu could not decode."""
        self._park(message, f"it can't be decoded: {exc}")

    def on_unknown_message(self, _body: Any, message: Any) -> None:
        """Park what is no task message."""
        self._park(message, "it is no task message")

    def on_unknown_task(self, _body: Any, message: Any, exc: Exception) -> None:
        """Park what names a task that is not registered."""
        self._park(message, f"there is no task {exc} here")

    def on_invalid_task(self, _body: Any, message: Any, exc: Exception) -> None:
        """Park what Celery can't make a request of."""
        self._park(message, f"it is no valid task message: {exc}")

    def _park(self, message: Any, why: str) -> None:
        if message.channel is not self.task_consumer.channel:
            # A command that was broadcast to workers: it is nobody's claim.
            log.warning("broadcast_ignored", error=why)
            return
        raw = RawMessage.of(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=message.headers,
        )
        self.lot.take(
            raw,
            task=message.headers.get("task"),
            queue=message.delivery_info.get("routing_key"),
            why=why,
            at=datetime.now(UTC),
            worker=f"{socket.gethostname()}-{os.getpid()}",
            parked=lambda: self._acknowledge(message),
        )

    def _acknowledge(self, message: Any) -> None:
        """Let the broker forget a message that the store has; called by the lot's thread."""

        def acknowledge() -> None:
            try:
                message.ack()
            except Exception as exc:  # noqa: BLE001  it may end neither the loop nor the worker
                # The connection was lost meanwhile: it comes again, and is parked already.
                log.warning("not_acknowledged", error=str(exc))

        self.call_soon_ack(acknowledge)


def understood(message: Any) -> dict[str, Any]:
    """The headers of a message that can be worked, with nothing in them that we did not check.

    ``expires`` is not among them: a claim has no date after which it may be dropped, and neither
    has its import.

    Raises:
        Unreadable: it can't be worked; the text says why.
    """
    sent = message.headers
    if message.content_type == UNREADABLE:
        raise Unreadable(str(sent.get(REFUSED)))
    if message.content_type != JSON:
        msg = f"its body is {message.content_type!r}, and only {JSON} is ever read"
        raise Unreadable(msg)
    if str(message.content_encoding or "utf-8").lower() not in _ENCODINGS:
        msg = f"its body is encoded as {message.content_encoding!r}, not utf-8"
        raise Unreadable(msg)
    task, name = sent.get("task"), sent.get("id")
    if not isinstance(task, str) or not task:
        msg = "its headers name no task"
        raise Unreadable(msg)
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID or not name.isprintable():
        msg = "its headers have no id"
        raise Unreadable(msg)
    read_claim(task, read_body(_bytes(message.body)))
    return _headers(task, name, eta=_eta(sent.get("eta")), retries=sent.get("retries"))


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else str(body or "").encode(errors="surrogatepass")


def _eta(sent: object) -> str | None:
    """When to begin, if that is yet to come."""
    if sent is None:
        return None
    try:
        eta = datetime.fromisoformat(str(sent))
    except ValueError as exc:
        msg = f"its eta is no time: {exc}"
        raise Unreadable(msg) from exc
    eta = eta if eta.tzinfo else eta.replace(tzinfo=UTC)
    ahead = eta - datetime.now(UTC)
    if ahead > LONGEST_WAIT:
        msg = f"its eta {eta} is more than {LONGEST_WAIT.days} days away"
        raise Unreadable(msg)
    return eta.isoformat() if ahead > timedelta(0) else None


def _headers(task: str, name: str, *, eta: str | None, retries: object) -> dict[str, Any]:
    known = isinstance(retries, int) and 0 <= retries <= _MOST_RETRIES
    return {
        "lang": "py",
        "task": task,
        "id": name,
        "root_id": name,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": eta,
        "expires": None,
        "retries": retries if known else 0,
        "timelimit": [None, None],
        "argsrepr": "-",
        "kwargsrepr": "-",
        "ignore_result": True,
    }
