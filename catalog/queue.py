"""How do both sides put claims on the queue, with which wire options?

Both connect here: with Redis the shortest visibility time-out of all connected apps wins, so they
must agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from celery import Celery
from kombu.entity import Queue as BrokerQueue
from kombu.exceptions import OperationalError
from redis import RedisError

from catalog import transport
from catalog.claims import QUEUE_OF, QUEUES
from catalog.connection import QueueUnavailable

if TYPE_CHECKING:
    from catalog.claims import Claim
    from catalog.settings import Settings


# kombu translates what befalls its own calls, but not what a command of ours is answered.
_FAILURES: Final = (OperationalError, RedisError, OSError)


_ANSWER_S: Final = 15.0
"""So long Redis may take to answer; a waiting BRPOP is answered within a second."""


def broker_url(redis_url: str) -> str:
    """Write a redis-py URL the way kombu wants it (they differ for sockets)."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"{transport.ALIAS}+socket://{parts.netloc}{parts.path}?virtual_host={database}"


def connect(settings: Settings, redis_url: str) -> Celery:
    """Build the Celery app that both sides use; opens no connection."""
    app = Celery("skuscene", set_as_current=False)
    app.conf.update(
        broker_url=broker_url(redis_url),
        broker_transport=transport.PATH,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_s,
            # The default sweep looks for abandoned messages only every 100 s or so.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 10,
            "socket_keepalive": True,
            "retry_on_timeout": True,
            # kombu's own are none: whoever asks a Redis that answers nobody would ask for ever.
            "socket_connect_timeout": 5.0,
            "socket_timeout": _ANSWER_S,
        },
        task_default_queue="control",
        # All of them, so that a plain `celery -A worker worker` does the whole job.
        task_queues=[_broker_queue(name) for name in QUEUES],
        task_routes={name: {"queue": queue} for name, queue in QUEUE_OF.items()},
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        # A killed child's message comes back after the task's retry delay, a few times.
        task_retry_on_worker_lost=True,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_step": 0.5},
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=True,
        worker_soft_shutdown_timeout=0,
        worker_send_task_events=False,
        enable_utc=True,
    )
    return app


def _broker_queue(name: str) -> Any:
    return BrokerQueue(name, routing_key=name)  # type: ignore[no-untyped-call]


class Queue:
    """Puts claims on the queue, by task name."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def enqueue(self, task: str, claim: Claim, *, countdown_s: float = 0.0) -> None:
        """Put one claim on its queue, an urgent one before all others; returns when Redis has it.

        Sending a claim again is harmless: the worker finds what is there already.

        Raises:
            QueueUnavailable: Redis did not take it, after a few tries.
        """
        try:
            self._app.send_task(
                task,
                args=[claim.model_dump(mode="json", exclude_defaults=False)],
                countdown=countdown_s or None,
                priority=transport.URGENT if getattr(claim, "urgent", False) else None,
                # Celery would keep a printed copy of the arguments in the headers.
                argsrepr="-",
                kwargsrepr="-",
            )
        except _FAILURES as exc:
            msg = f"{task} was not enqueued: {exc}"
            raise QueueUnavailable(msg) from exc

    def depths(self) -> dict[str, int]:
        """Messages waiting per queue.

        Raises:
            QueueUnavailable: Redis can't be asked.
        """
        try:
            with self._app.connection_for_read() as connection:
                channel: Any = connection.default_channel
                count = channel.client.llen
                return {name: sum(map(count, transport.lists_of(name))) for name in QUEUES}
        except _FAILURES as exc:
            msg = f"the queues can't be counted: {exc}"
            raise QueueUnavailable(msg) from exc
