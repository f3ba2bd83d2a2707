"""What do we need of an object store, and how may it fail?

Every object is small enough to be held in memory once (a master is some megabytes). Keys are
relative to the store's prefix.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class StoreError(Exception):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store can't be reached, stalls or answers 5xx; the same call may succeed later."""


class StoreRefuses(StoreError):
    """The store refuses us (credentials, permission, no such bucket) or can't keep its promises."""


class Conflict(StoreError):
    """The object is not the one that was read: somebody else replaced or created it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object and what the store says of it. ``etag`` is opaque and only good for ``replace``."""

    key: str
    content: bytes
    etag: str
    media_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The hash of the bytes that were read, not of what somebody claimed."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """What stands under the key after ``create``.

    ``won`` says that the stored object is ours; otherwise ``sha256`` is the other one's.
    """

    key: str
    sha256: str
    won: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An entry of a listing."""

    key: str
    size_bytes: int


class Store(Protocol):
    """Objects by key. Every method raises ``StoreUnavailable`` or ``StoreRefuses``."""

    def __hash__(self) -> int:
        """A store is itself: what was read from one is never given out for another."""
        ...

    @property
    def url(self) -> str:
        """The store as it was named, without credentials."""
        ...

    def create(
        self, key: str, content: bytes, *, media_type: str, metadata: Mapping[str, str] = ...
    ) -> Created:
        """Write an object if there is none; never changes one that is there.

        Bytes that are already there count as written: a lost reply and a repeated write both end
        as success. Whole or not at all: no reader ever sees a part of the object.
        """
        ...

    def replace(self, key: str, content: bytes, *, media_type: str, etag: str | None) -> str:
        """Write an object if it is still the one that was read; return the new ETag.

        ``etag=None`` says that there was none. Bytes that are already there count as written, as
        with ``create``.

        Raises:
            Conflict: it is another one by now.
        """
        ...

    def read(self, key: str) -> Stored | None:
        """Read an object whole, or ``None`` if there is none."""
        ...

    def has(self, key: str) -> bool:
        """Say whether there is an object, without reading it."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """Every object whose key begins with ``prefix``, in key order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...


def sha256_hex(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
