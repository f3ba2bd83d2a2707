"""How is what is dear to make kept for the next picture, and made once if two ask for it?"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The values used last, bounded in number and in bytes; any thread may ask.

    ``size_bytes`` tells a value's size. Values are shared: whoever gets one must not change it.
    """

    def __init__(
        self, *, max_entries: int, max_bytes: int, size_bytes: Callable[[Value], int]
    ) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._guard = Lock()
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0
        self._in_work: dict[Hashable, Future[Value]] = {}

    def __len__(self) -> int:
        return len(self._values)

    @property
    def held_bytes(self) -> int:
        """How much the values weigh together."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Give the value under ``key``; ``make`` it if it isn't there.

        Threads that ask for a key that is in work wait for it, and get its exception if it fails.
        """
        with self._guard:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            promised = self._in_work.get(key)
            is_ours = promised is None
            if promised is None:
                promised = self._in_work[key] = Future()
        return self._made(key, make, promised) if is_ours else promised.result()

    def _made(self, key: Hashable, make: Callable[[], Value], promised: Future[Value]) -> Value:
        try:
            value = make()
        except BaseException as exc:
            with self._guard:
                del self._in_work[key]
            promised.set_exception(exc)
            raise
        with self._guard:
            del self._in_work[key]
            self._store(key, value)
        promised.set_result(value)
        return value

    def _store(self, key: Hashable, value: Value) -> None:
        self._values[key] = value
        self._bytes += self._size_bytes(value)
        while len(self._values) > self.max_entries or self._bytes > self.max_bytes:
            _, gone = self._values.popitem(last=False)
            self._bytes -= self._size_bytes(gone)
