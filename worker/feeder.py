"""Which shards of an import are open?

One feeder per import works at a time, under a token in Redis; any control worker can be it. Whole
shards are opened while fewer than ``window`` renders are open.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import structlog

from catalog import claims
from catalog.claims import ImportClaim, ProductClaim
from catalog.epoch import Recovery
from catalog.results import Status
from catalog.revisions import open_revision
from worker import plans, revisions
from worker.commit import read_part
from worker.settling import line_of, settle

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from catalog.imports import Import, PlanPart
    from worker.ports import Desk

log = structlog.get_logger(__name__)


def feed(desk: Desk, claim: ImportClaim) -> None:
    """Open as many shards as the window allows and enqueue their products.

    A cancelled import's open renders end ``cancelled``. May be repeated at any time.
    """
    imported = plans.read_import(desk.store, claim.import_id)
    revision = desk.state.revision(claim.import_id) or _register(desk, imported)
    if revision is None:
        return  # published, and forgotten: a late message must not bring its state back
    wanted = plans.read_intent(desk, claim.import_id, revision)
    token = uuid.uuid4().hex
    with desk.state.feeder(claim.import_id, token, ttl_s=desk.limits.lease_s) as ours:
        if not ours:
            return
        if wanted == "cancel":
            if desk.state.recovery() is not Recovery.DONE:
                return  # a call of before may still be open, and be paid for
            _cancel(desk, imported, token)
        elif wanted == "run":
            if claim.refeed:
                _feed_again(desk, imported)
            _open_shards(desk, imported, token)


def _register(desk: Desk, imported: Import) -> int | None:
    """Make an import known that Redis has forgotten (or never heard of): the store knows all.

    Returns the revision that is being made; ``None`` if the newest one is published.
    """
    number = open_revision(desk.store, imported.import_id)
    if number is None:
        return None
    revision = revisions.read_revision(desk.store, imported.import_id, number)
    desk.state.register(
        imported.import_id,
        shards=len(imported.parts),
        renders=sum(part.renders for part in imported.parts),
        revision=number,
        spent_micro=revision.cost.spent.micro,
        doubtful_micro=revision.cost.doubtful.micro,
    )
    adopt_parts(desk, imported)
    return desk.state.revision(imported.import_id)


def adopt_parts(desk: Desk, imported: Import) -> None:
    """Take parts that are in the store for committed, whatever Redis says."""
    known = desk.state.committed(imported.import_id)
    revision = revisions.current(desk, imported.import_id)
    for part in imported.parts:
        if part.part in known:
            continue
        committed = revision.keeps(part.part) or read_part(
            desk.store, imported.import_id, part.part, revision.number
        )
        if committed is not None:
            desk.state.commit(imported.import_id, committed, revision=revision.number)


def _open_shards(desk: Desk, imported: Import, token: str) -> None:
    progress = desk.state.progress(imported.import_id)
    if progress is None or progress.open_parts + progress.committed >= len(imported.parts):
        return
    begun = {*desk.state.open_parts(imported.import_id), *desk.state.committed(imported.import_id)}
    not_begun = sum(part.renders for part in imported.parts if part.part not in begun)
    waiting = progress.counts.open - not_begun
    in_batches = imported.lane == "batch"
    window = desk.limits.batch_window if in_batches else desk.limits.window
    for part in imported.parts:
        if waiting >= window:
            return
        if part.part in begun:
            continue
        opened = _open(desk, imported, part, token)
        slots = desk.state.open_slots(imported.import_id, part.part)
        if opened:
            enqueue_products(desk, imported, part.part, only=set(slots))
        waiting += len(slots)


def _open(desk: Desk, imported: Import, part: PlanPart, token: str) -> bool:
    revision = revisions.current(desk, imported.import_id)
    stays = revision.keeps(part.part)
    if stays is not None:  # whoever registered the revision came no further
        desk.state.commit(imported.import_id, stays, revision=revision.number)
        return False
    before = revisions.reopened(desk.store, revision, part.part)
    return desk.state.open_shard(
        imported.import_id,
        token,
        part=part.part,
        slots=part.renders,
        within_s=desk.limits.lease_s,
        kept=before.kept,
        paid_micro=before.paid_micro,
    )


def enqueue_products(
    desk: Desk,
    imported: Import,
    part: int,
    only: AbstractSet[int] | None = None,
    *,
    is_next: bool = False,
) -> None:
    """Enqueue a shard's products; with ``only``, those that have one of these slots.

    With ``is_next`` they go before what waits, as urgent ones do.
    """
    for at, product in enumerate(plans.read_shard(desk.store, imported.import_id, part)):
        if only is not None and only.isdisjoint(slot.index for slot in product.slots):
            continue
        desk.queue.enqueue(
            claims.PREPARE,
            ProductClaim(
                store=desk.store_id,
                import_id=imported.import_id,
                part=part,
                product=at,
                urgent=imported.urgent or is_next,
            ),
        )


def _feed_again(desk: Desk, imported: Import) -> None:
    for part in desk.state.open_parts(imported.import_id):
        slots = set(desk.state.open_slots(imported.import_id, part))
        if slots:
            enqueue_products(desk, imported, part, only=slots)


def _cancel(desk: Desk, imported: Import, token: str) -> None:
    committed = desk.state.committed(imported.import_id)
    for part in imported.parts:
        if part.part in committed:
            continue
        _open(desk, imported, part, token)
        still = set(desk.state.open_slots(imported.import_id, part.part))
        for product in plans.read_shard(desk.store, imported.import_id, part.part):
            for slot in product.slots:
                if slot.index in still:
                    line = line_of(imported.import_id, product, slot, Status.CANCELLED)
                    # What is being bought, or was, ends by itself, and as what it is.
                    settle(
                        desk,
                        line.changed(reason="import.cancelled"),
                        part=part.part,
                        slot=slot.index,
                        unless_bought=True,
                    )
