"""Who works on what?

While a task works on a slot, its process says so again and again; a slot of which nobody has said
anything for ``lease_s`` is overdue, and the reconciler feeds it again. A killed process falls
silent, so its slots are open again without waiting for the broker's visibility time-out.

Claims of the stage that has an entrance (:mod:`worker.entrance`) may wait for it: their process
says so too, and dying meanwhile is no death at work.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import structlog

from catalog.connection import StateUnavailable
from catalog.work import WAITING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from catalog.work import Begun
    from worker.entrance import Entrance
    from worker.ports import Work

log = structlog.get_logger(__name__)


class HoldKeeper:
    """Speaks for all the tasks of one process; made after the fork."""

    def __init__(
        self,
        work: Work,
        *,
        worker: str,
        ttl_s: float,
        renew_s: float,
        entrances: Mapping[str, Entrance] | None = None,
    ) -> None:
        self._work = work
        self._entrances = entrances or {}
        self._worker = worker
        self._ttl_s = ttl_s
        self._renew_s = renew_s
        self._held: dict[int, tuple[str, int, frozenset[int]]] = {}
        self._next = 0
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def held(
        self, import_id: str, part: int, slots: Collection[int], stage: str
    ) -> Iterator[Begun]:
        """Say that these slots are worked on, now and until the block ends.

        Nothing is said where nothing was begun: see :class:`catalog.work.Begun`.
        """
        entrance = self._entrances.get(stage)
        if entrance is None:
            with self._said(import_id, part, slots, stage) as begun:
                yield begun
            return
        if not entrance.enter(wait=False):
            with self._said(import_id, part, slots, WAITING):
                entrance.enter(wait=True)
        try:
            with self._said(import_id, part, slots, stage) as begun:
                yield begun
        finally:
            entrance.leave()

    def leave_entrance(self) -> None:
        """Let the next one begin: what this thread does now is to wait."""
        for entrance in self._entrances.values():
            entrance.leave()

    @contextlib.contextmanager
    def _said(
        self, import_id: str, part: int, slots: Collection[int], stage: str
    ) -> Iterator[Begun]:
        begun = self._work.begin_work(
            import_id, part, slots, self._worker, stage=stage, within_s=self._ttl_s
        )
        if begun.is_busy or not begun.is_open:
            yield begun
            return
        with self._guard:
            self._next += 1
            number = self._next
            self._held[number] = (import_id, part, frozenset(slots))
            self._start()
        try:
            yield begun
        finally:
            with self._guard:
                del self._held[number]
            # What can't be said now is taken for a death later; only three of them matter.
            with contextlib.suppress(StateUnavailable):
                self._work.end_work(import_id, part, slots, self._worker)

    def close(self) -> None:
        """Fall silent."""
        self._stopped.set()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._speak, name="holds", daemon=True)
            self._thread.start()

    def _speak(self) -> None:
        while not self._stopped.wait(self._renew_s):
            with self._guard:
                held = list(self._held.values())
            try:
                for import_id, part, slots in held:
                    self._work.go_on_working(
                        import_id, part, slots, self._worker, within_s=self._ttl_s
                    )
            except StateUnavailable as exc:
                log.warning("holds_not_renewed", slots=len(held), error=str(exc))
