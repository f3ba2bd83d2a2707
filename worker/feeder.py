"""Which shards are open, and what is fed again because nobody holds it?

One feeder per import works at a time, under a token in Redis; any control worker can be it. Whole
shards are opened while fewer than ``window`` renders are open.
"""

from __future__ import annotations

import math
import uuid
from functools import partial
from typing import TYPE_CHECKING

import structlog

from catalog import claims, keys
from catalog.claims import ImportClaim, ProductClaim, ShardClaim
from catalog.epoch import ensure_epoch
from catalog.queue import QueueUnavailable
from catalog.results import Status
from catalog.revisions import open_revision, unpublished
from catalog.state import Recovery, StateUnavailable
from catalog.store.port import StoreRefuses, StoreUnavailable
from worker import plans, revisions
from worker.commit import read_part
from worker.concluding import conclude_all
from worker.rebuilding import rebuild_money
from worker.settling import line_of, settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from catalog.imports import Import, PlanPart
    from worker.ports import Desk

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 5.0


def feed(desk: Desk, claim: ImportClaim) -> None:
    """Open as many shards as the window allows and enqueue their products.

    A cancelled import's open renders end ``cancelled``. May be repeated at any time.
    """
    imported = plans.read_import(desk.store, claim.import_id)
    _recover(desk, imported)
    if not desk.state.is_registered(claim.import_id):
        return  # published, and forgotten: a late message must not bring its state back
    wanted = plans.read_intent(desk, claim.import_id)
    token = uuid.uuid4().hex
    with desk.state.feeder(claim.import_id, token, ttl_s=desk.limits.lease_s) as ours:
        if not ours:
            return
        if wanted == "cancel":
            _cancel(desk, imported, token)
        elif wanted == "run":
            if claim.refeed:
                _feed_again(desk, imported)
            _open_shards(desk, imported, token)


def _recover(desk: Desk, imported: Import) -> None:
    """Make an import known that Redis has forgotten (or never heard of): the store knows all."""
    if desk.state.is_registered(imported.import_id):
        return
    number = open_revision(desk.store, imported.import_id)
    if number is None:
        return
    revision = revisions.read_revision(desk.store, imported.import_id, number)
    desk.state.register(
        imported.import_id,
        shards=len(imported.parts),
        renders=sum(part.renders for part in imported.parts),
        revision=number,
        spent_micro=revision.cost.spent.micro,
        doubtful_micro=revision.cost.doubtful.micro,
    )
    _adopt_parts(desk, imported)


def _adopt_parts(desk: Desk, imported: Import) -> None:
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
    if progress is None:
        return
    begun = {*desk.state.open_parts(imported.import_id), *desk.state.committed(imported.import_id)}
    not_begun = sum(part.renders for part in imported.parts if part.part not in begun)
    waiting = progress.counts.open - not_begun
    for part in imported.parts:
        if waiting >= desk.limits.window:
            return
        if part.part in begun:
            continue
        opened = _open(desk, imported, part, token)
        slots = desk.state.open_slots(imported.import_id, part.part)
        if opened:
            _enqueue_products(desk, imported, part.part, only=set(slots))
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


def _enqueue_products(
    desk: Desk, imported: Import, part: int, only: AbstractSet[int] | None = None
) -> None:
    """Enqueue a shard's products; with ``only``, those that have one of these slots."""
    for at, product in enumerate(plans.read_shard(desk.store, imported.import_id, part)):
        if only is not None and only.isdisjoint(slot.index for slot in product.slots):
            continue
        desk.queue.enqueue(
            claims.PREPARE,
            ProductClaim(store=desk.store_id, import_id=imported.import_id, part=part, product=at),
        )


def _feed_again(desk: Desk, imported: Import) -> None:
    for part in desk.state.open_parts(imported.import_id):
        slots = set(desk.state.open_slots(imported.import_id, part))
        if slots:
            _enqueue_products(desk, imported, part, only=slots)


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


def _nudge(desk: Desk, imported: Import) -> None:
    """Go on where a process stopped between two steps: ask for commits and the publication.

    Only once a round: every commit asks for a feed, so a feed that asked for commits would, while
    some are waiting, multiply them.
    """
    if not desk.state.is_registered(imported.import_id):
        return
    for part in desk.state.open_parts(imported.import_id):
        if desk.state.left(imported.import_id, part) == 0:
            claim = ShardClaim(store=desk.store_id, import_id=imported.import_id, part=part)
            desk.queue.enqueue(claims.COMMIT, claim)
    if len(desk.state.committed(imported.import_id)) == len(imported.parts):
        publish = ImportClaim(store=desk.store_id, import_id=imported.import_id)
        desk.queue.enqueue(claims.PUBLISH, publish)


def reconcile(desk: Desk) -> None:
    """Look after every running import: feed, commit and publish what stands still.

    A render is overdue when nobody has taken care of it for ``lease_s``. Those whose worker fell
    silent at work are fed again at once. Of the others, as many as no waiting message can stand
    for have lost their message, and are fed again, oldest first. Feeding one again that is held
    after all costs nothing: it finds the record, the master or the lease.
    """
    desk.calls.beat()
    if desk.state.recovery() not in {Recovery.REBUILT, Recovery.DONE}:
        return  # what Redis says now is not the truth
    conclude_all(desk)
    waiting = _waiting(desk)
    for import_id in desk.state.running():
        _look_after(desk, import_id, refeed=False)
        _feed_overdue(desk, import_id, waiting)


def _waiting(desk: Desk) -> dict[str, int]:
    depths = desk.queue.depths()
    return {name: depths.get(name, 0) for name in ("prepare", "generate", "finish")}


def _feed_overdue(desk: Desk, import_id: str, waiting: dict[str, int]) -> None:
    if plans.intent(desk, import_id) == "pause":
        return
    died = desk.state.bury_work(import_id)
    overdue = tuple(slot for slot in desk.state.overdue(import_id) if slot not in set(died))
    if not overdue and not died:
        return
    imported = plans.read_import(desk.store, import_id)
    products = sum(part.products for part in imported.parts)
    # A message of prepare stands for all renders of a product.
    per_product = math.ceil(imported.counts.renders / max(1, products))
    standing = waiting["prepare"] * per_product + waiting["generate"] + waiting["finish"]
    lost = (*died, *overdue[: max(0, len(overdue) - standing)])
    if lost:
        log.warning("fed_again", import_id=import_id, renders=len(lost), died=len(died))
    for part in sorted({part for part, _ in lost}):
        slots = {slot for of, slot in lost if of == part}
        desk.state.expect(import_id, part, slots, within_s=desk.limits.lease_s)
        _enqueue_products(desk, imported, part, only=slots)


def recover(desk: Desk) -> float:
    """Begin an epoch where Redis needs one, and rebuild from the store what it should know.

    Done when nothing of before can be open any more, and ledgers that wait have been flushed:
    returns in how many seconds it should be called again for that, 0 if it need not be.
    """
    ensure_epoch(
        desk.state,
        desk.store,
        model_deadline_s=desk.limits.model_deadline_s,
        lease_s=desk.limits.lease_s,
    )
    if desk.state.recovery() is Recovery.NEEDED:
        token = uuid.uuid4().hex
        if desk.state.claim_recovery(token):
            _rebuild(desk, token)
            if desk.state.buy_not_before() == 0:  # nothing of before is open: nothing is added
                desk.state.finish_recovery()
    recovery = desk.state.recovery()
    if recovery is Recovery.BEGUN:
        return _LOOK_AGAIN_S  # whoever does it may die over it
    if recovery is not Recovery.REBUILT:
        return 0.0
    wait_s = desk.state.buy_not_before()
    if wait_s == 0:
        rebuild_money(desk, unpublished(desk.store))
        desk.state.finish_recovery()
    return wait_s


def _rebuild(desk: Desk, token: str) -> None:
    try:
        keep = partial(desk.state.keep_rebuilding, token)
        log.info("rebuilds", imports=recover_all(desk, keep))
    except Exception:
        desk.state.give_up_rebuilding(token)
        raise
    desk.state.end_rebuilding(token)


def recover_all(desk: Desk, keep: Callable[[], None] = lambda: None) -> int:
    """Make every unpublished import of the store known again; returns how many.

    For a Redis that was emptied, or has read an older file: reads one listing of ``imports/``, and
    the ledger since the oldest of them began.
    """
    found = unpublished(desk.store)
    rebuild_money(desk, found, keep=keep)
    for import_id in desk.state.running():
        if import_id in found and desk.state.revision(import_id) == open_revision(
            desk.store, import_id
        ):
            _adopt_parts(desk, plans.read_import(desk.store, import_id))
        elif desk.store.has(keys.manifest(import_id)):
            desk.state.forget(import_id)  # published after the file was written that Redis read
    return sum(_look_after(desk, import_id, refeed=False) for import_id in found)


def _look_after(desk: Desk, import_id: str, *, refeed: bool) -> bool:
    try:
        feed(desk, ImportClaim(store=desk.store_id, import_id=import_id, refeed=refeed))
        _nudge(desk, plans.read_import(desk.store, import_id))
    except (StateUnavailable, QueueUnavailable, StoreUnavailable, StoreRefuses):
        raise
    except Exception:  # one broken import must not keep the others waiting
        log.exception("import_broken", import_id=import_id)
        return False
    return True
