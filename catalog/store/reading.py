"""How are many objects read, in order, without waiting for one after the other?"""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from catalog.store.port import Store, Stored

_AT_ONCE = 24


def read_in_turn(store: Store, keys: Iterable[str]) -> Iterator[Stored | None]:
    """Read objects one after the other."""
    return map(store.read, keys)


def read_at_once(store: Store, keys: Iterable[str]) -> Iterator[Stored | None]:
    """Read objects, 24 at a time; yields them in order, and holds that many in memory.

    Raises:
        StoreError: one of them can't be read.
    """
    waiting = iter(keys)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reading") as threads:
        begun: deque[Future[Stored | None]] = deque(
            threads.submit(store.read, key) for key in itertools.islice(waiting, _AT_ONCE)
        )
        try:
            while begun:
                yield begun.popleft().result()
                begun.extend(
                    threads.submit(store.read, key) for key in itertools.islice(waiting, 1)
                )
        finally:
            for one in begun:
                one.cancel()
