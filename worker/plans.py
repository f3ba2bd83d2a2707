"""What was planned for an import, and what do people want of it now?

Plans never change once written, so they are kept in memory; intent is read through Redis.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import TYPE_CHECKING

from catalog import keys
from catalog.imports import Control, Import, PlannedProduct, PlannedSlot
from catalog.store.port import Conflict, Store
from worker.errors import Refused

if TYPE_CHECKING:
    from catalog.claims import RenderClaim
    from catalog.money import Usd
    from worker.ports import Desk

JSON = "application/json"


@lru_cache(maxsize=32)
def read_import(store: Store, import_id: str) -> Import:
    """``import.json``.

    Raises:
        Refused: the store has no such import.
    """
    found = store.read(keys.import_(import_id))
    if found is None:
        raise Refused("internal", f"import {import_id} is not in {store.url}")
    return Import.from_json(found.content)


@lru_cache(maxsize=64)
def read_shard(store: Store, import_id: str, part: int) -> tuple[PlannedProduct, ...]:
    """A shard's products, in plan order.

    Raises:
        Refused: the store has no such shard.
    """
    key = keys.plan_part(import_id, part)
    found = store.read(key)
    if found is None:
        raise Refused("internal", f"{key} is not in {store.url}")
    lines = gzip.decompress(found.content).splitlines()
    return tuple(PlannedProduct.from_json(line) for line in lines)


def planned(store: Store, claim: RenderClaim) -> tuple[PlannedProduct, PlannedSlot]:
    """The product and the slot that a claim names."""
    product = read_shard(store, claim.import_id, claim.part)[claim.product]
    slot = next(slot for slot in product.slots if slot.index == claim.slot)
    return product, slot


def slot_at(store: Store, import_id: str, part: int, index: int) -> PlannedSlot:
    """A slot by its place in a shard.

    Raises:
        Refused: the store has no such shard, or the shard no such slot.
    """
    for product in read_shard(store, import_id, part):
        for slot in product.slots:
            if slot.index == index:
                return slot
    raise Refused("internal", f"{keys.plan_part(import_id, part)} has no slot {index}")


def intent(desk: Desk, import_id: str) -> str:
    """``run``, ``pause`` or ``cancel``; the store decides, Redis caches."""
    wanted = desk.state.intent(import_id)
    return wanted or read_intent(desk, import_id, desk.state.revision(import_id) or 1)


def read_intent(desk: Desk, import_id: str, revision: int) -> str:
    """The same from the store, cached anew: whoever caches may be slower than who changes it."""
    found = desk.store.read(keys.control(import_id))
    wanted = Control.from_json(found.content).intent_for(revision) if found else "run"
    desk.state.cache_intent(import_id, wanted)
    return wanted


def budget(desk: Desk, import_id: str) -> Usd | None:
    """What an import may cost in all; people can change it while it runs."""
    found = desk.store.read(keys.control(import_id))
    return Control.from_json(found.content).budget_usd if found else None


def pause(desk: Desk, import_id: str, *, reason: str, message: str) -> None:
    """Pause an import for a reason that only a person can mend; a cancelled one stays cancelled."""
    for _ in range(5):
        found = desk.store.read(keys.control(import_id))
        if found is None:
            return  # planning writes it before anything is sent
        control = Control.from_json(found.content)
        revision = desk.state.revision(import_id) or 1
        if control.intent_for(revision) == "run":
            control = control.changed(
                intent="pause",
                reason=reason,
                message=message,
                revision=revision,
                by=desk.worker,
                at=desk.clock(),
            )
            try:
                desk.store.replace(
                    keys.control(import_id),
                    control.to_json(indent=2),
                    media_type=JSON,
                    etag=found.etag,
                )
            except Conflict:
                continue
        desk.state.cache_intent(import_id, control.intent_for(revision))
        return
