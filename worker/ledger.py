"""Where is every call to a model booked?

In segments of JSON Lines under ``ledger/<UTC day>/<worker>/``, each created once. Lines wait in
memory until the segment is old or long enough; a call that left no take is written at once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from catalog import keys
from catalog.store.port import StoreError

if TYPE_CHECKING:
    from catalog.renders import LedgerLine
    from catalog.store.port import Store

log = structlog.get_logger(__name__)

_LINES = 500


class StoreLedger:
    """A ledger of one process, made after the fork; ``worker`` must be the process's own name."""

    def __init__(self, store: Store, *, worker: str, flush_s: float) -> None:
        self._store = store
        self._worker = worker
        self._flush_s = flush_s
        self._waiting: list[LedgerLine] = []
        self._seq = 0
        self._attempted = 0
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def book(self, line: LedgerLine, *, at_once: bool) -> None:
        """Book a call; with ``at_once`` the line is in the store when this returns.

        Raises:
            StoreError: the line could not be written at once; it stays in line.
        """
        with self._guard:
            self._waiting.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._tick, name="ledger", daemon=True)
                self._thread.start()
            if at_once or len(self._waiting) >= _LINES:
                self._write()

    def close(self) -> None:
        """Write what waits; for the end of the process."""
        self._stopped.set()
        with self._guard:
            self._flush()

    def _tick(self) -> None:
        while not self._stopped.wait(self._flush_s):
            with self._guard:
                self._flush()

    def _flush(self) -> None:
        try:
            self._write()
        except StoreError as exc:
            log.warning("ledger_waits", lines=len(self._waiting), error=str(exc))

    def _write(self) -> None:
        while self._waiting:
            # A segment is tried again as it was: if only the reply was lost, it is there already,
            # and a longer one beside it would count its lines twice.
            self._attempted = self._attempted or len(self._waiting)
            lines = self._waiting[: self._attempted]
            body = b"".join(line.to_json() + b"\n" for line in lines)
            key = keys.ledger(lines[0].at.strftime("%Y-%m-%d"), self._worker, self._seq)
            created = self._store.create(key, body, media_type="application/x-ndjson")
            self._seq += 1
            if created.won:  # else another process of this name wrote that one: take the next
                del self._waiting[: self._attempted]
                self._attempted = 0
