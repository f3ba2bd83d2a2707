"""What happens to a message that can't be read?

It is parked: put into the store whole and as it came, where ``skuscene parked`` shows and replays
it. Only then may the broker forget it.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

import structlog

from catalog.parked import (
    JSON,
    LONGEST_TASK,
    LONGEST_WHY,
    ParkedMessage,
    RawMessage,
    as_json,
    key_of,
    printable,
)
from catalog.reading import sent_by_newer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from catalog.store.port import Store

log = structlog.get_logger(__name__)

_AGAIN_S: Final = 1.0
_LONGEST_AGAIN_S: Final = 30.0
_SHOWN: Final = 200


def park(store: Store, *, task: str, payload: object, why: str, at: datetime, worker: str) -> str:
    """Park a payload that a task was given; returns its key.

    Raises:
        StoreUnavailable, StoreRefuses: it is not parked; the message must stay where it is.
    """
    parked = ParkedMessage(
        task=_task(task),
        payload=as_json(payload),
        why=_why(sent_by_newer(payload) or why),
        at=at,
        worker=worker,
    )
    # No two payloads share a name: one that is replayed in vain is parked anew before the first
    # object is deleted.
    key = key_of(parked.task, uuid.uuid4().hex)
    _write(store, key, parked)
    return key


def _write(store: Store, key: str, parked: ParkedMessage) -> None:
    store.create(key, parked.to_json(), media_type=JSON)
    log.error("message_parked", task=parked.task[:_SHOWN], key=key, why=parked.why)


def _task(task: object) -> str:
    return printable(task)[:LONGEST_TASK] if isinstance(task, str) else ""


def _why(why: str) -> str:
    return printable(why)[:LONGEST_WHY]


class ParkingLot:
    """Parks messages that no task ever saw, beside the loop that receives them.

    A store that stalls must not hold up that loop, so a thread of its own writes; it lives while
    something waits. What waits is unacknowledged, so there is never more of it than is prefetched,
    and the broker gives it out again should this process die.
    """

    def __init__(self, open_store: Callable[[], Store], *, again_s: float = _AGAIN_S) -> None:
        self._open_store = open_store
        self._store: Store | None = None
        self._again_s = again_s
        self._guard = threading.Lock()
        self._waiting: dict[str, tuple[ParkedMessage, Callable[[], None]]] = {}
        self._runs = False

    def take(
        self,
        message: RawMessage,
        *,
        task: object,
        queue: str | None,
        why: str,
        at: datetime,
        worker: str,
        parked: Callable[[], None],
    ) -> str:
        """Park a message and call ``parked`` when the store has it; returns its key at once.

        The same message given again, as after a lost connection, is parked once.
        """
        one = ParkedMessage(
            task=_task(task), queue=queue, message=message, why=_why(why), at=at, worker=worker
        )
        key = key_of(one.task, message.fingerprint(queue))
        with self._guard:
            # Only the newest delivery of a message can still be acknowledged.
            self._waiting[key] = (one, parked)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._work, name="parking", daemon=True).start()
        return key

    def _work(self) -> None:
        wait_s = self._again_s
        while (key := self._next()) is not None:
            if self._parks(key):
                wait_s = self._again_s
            else:
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_AGAIN_S)

    def _next(self) -> str | None:
        with self._guard:
            key = next(iter(self._waiting), None)
            self._runs = key is not None
            return key

    def _parks(self, key: str) -> bool:
        message, _ = self._waiting[key]
        try:
            self._store = self._store or self._open_store()
            _write(self._store, key, message)
        except Exception as exc:  # noqa: BLE001  whatever it was, dropping the message is worse
            log.warning("parking_failed", key=key, error=str(exc))
            return False
        with self._guard:
            _, parked = self._waiting.pop(key)
        parked()
        return True
