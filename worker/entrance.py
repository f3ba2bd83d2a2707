"""How many threads of a process are at the steps before a call at once?

All of them at once would be no faster: they share an interpreter. But all would be half-way when
the process dies, and three deaths let a render run alone. A few at a time get through soon.
"""

from __future__ import annotations

import threading


class Entrance:
    """At most ``places`` threads are between entering and leaving; a thread enters once."""

    def __init__(self, places: int) -> None:
        self._free = threading.Semaphore(places)
        self._mine = threading.local()

    def enter(self, *, wait: bool) -> bool:
        """Take a place; says whether we have one. ``wait``: until one is free."""
        if not self._free.acquire(blocking=wait):
            return False
        self._mine.inside = True
        return True

    def leave(self) -> None:
        """Let somebody else enter; nothing happens where this thread has left already."""
        if getattr(self._mine, "inside", False):
            self._mine.inside = False
            self._free.release()
