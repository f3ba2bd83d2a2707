"""Does this worker still take messages?

Celery's consumer has more than once gone on running after its broker came back and taken nothing
any more (celery issues 8030, 8091 and 8990 report it). No message is lost by that, but none of this
stage is worked either, so somebody has to notice: messages wait, this process has room for them,
and gets none. Then it ends, once what it works at is done, and its supervisor starts another one.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from catalog.connection import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 5.0
LOOKS: Final = 6
"""A BRPOP is sent anew every second: who has room while messages wait gets one of them soon."""
_STOP_S: Final = 10.0


def end_process() -> None:
    """End this process as if it were told to, and if that stands still as well, at once."""
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_STOP_S)
    os._exit(1)


@dataclass(slots=True)
class Standstill:
    """How often in a row it was seen that messages wait and none comes."""

    received: int = 0
    looks: int = 0

    def look(self, *, waiting: int, received: int, has_room: bool) -> bool:
        """Take one look; ``True`` says that the consumer stands still.

        ``received`` is how many messages the process was ever given.
        """
        stands = waiting > 0 and has_room and received == self.received
        self.received = received
        self.looks = self.looks + 1 if stands else 0
        return self.looks >= LOOKS


class Watch:
    """The thread that looks; ``has_room`` and ``is_idle`` speak of the process's pool."""

    def __init__(
        self,
        queues: Collection[str],
        *,
        depths: Callable[[], Mapping[str, int]],
        received: Callable[[], int],
        has_room: Callable[[], bool],
        is_idle: Callable[[], bool],
        end: Callable[[], None] = end_process,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._queues = queues
        self._depths = depths
        self._received = received
        self._has_room = has_room
        self._is_idle = is_idle
        self._end = end
        self._every_s = every_s
        self._stopped = threading.Event()

    def start(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more: the process takes no messages because it is told to end."""
        self._stopped.set()

    def _run(self) -> None:
        standstill = Standstill(received=self._received())
        while not self._stopped.wait(self._every_s):
            if standstill.look(
                waiting=self._waiting(), received=self._received(), has_room=self._has_room()
            ):
                self._give_up()
                return

    def _waiting(self) -> int:
        try:
            depths = self._depths()
        except QueueUnavailable:
            return 0  # nobody gets anything now
        return sum(depths.get(name, 0) for name in self._queues)

    def _give_up(self) -> None:
        log.error("consumer_stands_still", queues=sorted(self._queues))
        faulthandler.dump_traceback(all_threads=True)
        while not self._is_idle():  # a call that is open is paid for: it ends first
            if self._stopped.wait(self._every_s):
                return
        self._end()
