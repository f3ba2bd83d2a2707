"""Where is every call to a model booked?

In segments of JSON Lines under ``ledger/<UTC day>/<worker>/``, each created once. A picture's line
waits in memory until the segment is old or long enough; ``booked`` then hears of it, and whoever
misses it books the call anew, so a call may have two lines: they carry the same ``call``. Any other
call has a segment of its own, at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import structlog

from catalog import keys
from catalog.connection import StateUnavailable
from catalog.renders import LedgerLine
from catalog.store.port import StoreError, StoreRefuses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from catalog.store.port import Store

log = structlog.get_logger(__name__)

NDJSON = "application/x-ndjson"
_LINES = 500
_FIRST_DELAY_S = 0.2


class StoreLedger:
    """A ledger of one process, made after the fork; ``worker`` must be the process's own name."""

    def __init__(
        self,
        store: Store,
        *,
        worker: str,
        flush_s: float,
        close_s: float = 10.0,
        booked: Callable[[Sequence[LedgerLine]], None] = lambda _lines: None,
    ) -> None:
        self._store = store
        self._booked = booked
        self._worker = worker
        self._flush_s = flush_s
        self._close_s = close_s
        self._waiting: list[LedgerLine] = []
        self._owed: dict[str, LedgerLine] = {}
        self._seq = 0
        self._attempted = 0
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, line: LedgerLine) -> LedgerLine:
        """Book a call now, in a segment of its own; returns the line that is in the store.

        A doubtful one gives way to what this process knows of the call and could not write yet.

        Raises:
            StoreError: the line could not be written; it is tried again in time.
        """
        if line.outcome == "doubtful":
            with self._guard:
                line = self._owed.get(line.call, line)
        try:
            stored = self._put(line)
        except StoreError:
            with self._guard:
                self._owed[line.call] = line
                self._start()
            raise
        with self._guard:
            self._owed.pop(line.call, None)
        return stored

    def _put(self, line: LedgerLine) -> LedgerLine:
        key = keys.ledger_call(line.at.strftime("%Y-%m-%d"), line.worker, line.call)
        if self._store.create(key, line.to_json() + b"\n", media_type=NDJSON).won:
            return line
        found = self._store.read(key)
        if found is None:
            msg = f"{self._store.url} has {key} and does not give it back"
            raise StoreRefuses(msg)
        return LedgerLine.from_json(found.content)

    def book(self, line: LedgerLine) -> None:
        """Book a call whose take says as much; its line waits for others."""
        with self._guard:
            self._waiting.append(line)
            self._start()
            if len(self._waiting) >= _LINES:
                self._flush()

    def close(self) -> None:
        """Write what waits, for the end of the process; takes up to ``close_s`` where that fails.

        What can't be written by then is said: the takes carry the same facts.
        """
        self._stopped.set()
        until = time.monotonic() + self._close_s
        delay_s = _FIRST_DELAY_S
        with self._guard:
            while not self._flush():
                if time.monotonic() + delay_s > until:
                    log.error("ledger_lines_left", lines=len(self._waiting) + len(self._owed))
                    return
                time.sleep(delay_s)
                delay_s *= 2

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._tick, name="ledger", daemon=True)
            self._thread.start()

    def _tick(self) -> None:
        while not self._stopped.wait(self._flush_s):
            with self._guard:
                self._flush()

    def _flush(self) -> bool:
        try:
            for call, line in list(self._owed.items()):
                self._put(line)
                del self._owed[call]
            self._write()
        except StoreError as exc:
            waiting = len(self._waiting) + len(self._owed)
            log.warning("ledger_waits", lines=waiting, error=str(exc))
            return False
        return True

    def _write(self) -> None:
        while self._waiting:
            # A segment is tried again as it was: if only the reply was lost, it is there already,
            # and a longer one beside it would count its lines twice.
            self._attempted = self._attempted or len(self._waiting)
            lines = self._waiting[: self._attempted]
            body = b"".join(line.to_json() + b"\n" for line in lines)
            key = keys.ledger(lines[0].at.strftime("%Y-%m-%d"), self._worker, self._seq)
            created = self._store.create(key, body, media_type=NDJSON)
            self._seq += 1
            if created.won:  # else another process of this name wrote that one: take the next
                del self._waiting[: self._attempted]
                self._attempted = 0
                with contextlib.suppress(StateUnavailable):  # they are booked a second time, then
                    self._booked(lines)
