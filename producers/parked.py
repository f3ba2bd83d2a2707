"""Which messages are parked, and what becomes of one that is replayed?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.parked import FOLDER, ParkedMessage, name_of
from catalog.reading import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalog.claims import Claim
    from catalog.store.port import Listed, Store
    from producers.services import Services


class UnknownParked(ValueError):
    """No message of that name is parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A parked object. ``message`` is ``None`` where ``fault`` says why it can't be shown."""

    name: str
    key: str
    size_bytes: int
    message: ParkedMessage | None
    fault: str | None = None


def parked(store: Store, *, task: str | None = None) -> Iterator[Parked]:
    """Every parked message, or those of one task, in order of task and name.

    One at a time is read and held. What is parked meanwhile does not appear.
    """
    for entry in list(store.list(FOLDER)):
        found = _read(store, entry)
        if found is not None and (task is None or _task(found) == task):
            yield found


def named(store: Store, names: Sequence[str]) -> list[Parked]:
    """The messages of these names, each once.

    Raises:
        UnknownParked: there is none of one of the names.
    """
    there = {name_of(entry.key): entry for entry in store.list(FOLDER)}
    found = {name: _read(store, there[name]) if name in there else None for name in names}
    missing = [name for name, one in found.items() if one is None]
    if missing:
        msg = f"nothing is parked as {', '.join(missing)}: `skuscene parked list` shows what is"
        raise UnknownParked(msg)
    return [one for one in found.values() if one is not None]


def replay(one: Parked, services: Services) -> None:
    """Enqueue a parked message again and then forget it.

    A process that dies in between leaves it parked, and a message that comes twice is harmless.

    Raises:
        Unreadable: it stays parked; the text says why.
        QueueUnavailable, StoreError: it may have been enqueued, and is parked still.
    """
    if one.message is None:
        raise Unreadable(one.fault)
    claim = one.message.claim()
    _check_store(claim, services.store_id)
    services.queue.enqueue(one.message.task, claim)
    services.store.delete(one.key)


def _check_store(claim: Claim, store_id: str) -> None:
    if claim.store != store_id:
        msg = f"it speaks of store {claim.store}, and this is {store_id}"
        raise Unreadable(msg)


def _task(found: Parked) -> str | None:
    return found.message.task if found.message else None


def _read(store: Store, entry: Listed) -> Parked | None:
    stored = store.read(entry.key)
    if stored is None:  # replayed by somebody else since it was listed
        return None
    message, fault = None, None
    try:
        message = ParkedMessage.from_json(stored.content)
    except ValueError as exc:
        fault = f"the object {entry.key} is no parked message: {exc}"
    return Parked(
        name=name_of(entry.key),
        key=entry.key,
        size_bytes=entry.size_bytes,
        message=message,
        fault=fault,
    )
