"""What stands still, and what did Redis forget?

Any control worker looks, again and again. What nobody takes care of is fed again; what stopped
between two steps goes on; a Redis that is new, was emptied or restarted is told what the store
knows before anything is believed or bought.
"""

from __future__ import annotations

import math
import uuid
from functools import partial
from typing import TYPE_CHECKING

import structlog

from catalog import claims, keys
from catalog.claims import ImportClaim, ShardClaim
from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.epoch import Recovery, ensure_epoch
from catalog.revisions import open_revision, unpublished
from catalog.store.port import StoreRefuses, StoreUnavailable
from worker import plans
from worker.concluding import conclude_all
from worker.feeder import adopt_parts, enqueue_products, feed
from worker.ordering import restore
from worker.rebuilding import rebuild_money

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.imports import Import
    from worker.ports import Desk

log = structlog.get_logger(__name__)

_LOOK_AGAIN_S = 5.0


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
    died = desk.work.bury_work(import_id)
    overdue = tuple(slot for slot in desk.work.overdue(import_id) if slot not in set(died))
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
    # What a dead process held is a few renders whose turn it was: they need not queue once more.
    for slots_of, is_next in ((died, True), (lost[len(died) :], False)):
        for part in sorted({part for part, _ in slots_of}):
            slots = {slot for of, slot in slots_of if of == part}
            desk.work.expect(import_id, part, slots, within_s=desk.limits.lease_s)
            enqueue_products(desk, imported, part, only=slots, is_next=is_next)


def recover(desk: Desk) -> float:
    """Begin an epoch where Redis needs one, and rebuild from the store what it should know.

    First what there is to do, so that work goes on that buys nothing and ends nothing. Then what
    was spent and tried, when nothing of before can be open any more, and ledgers that wait have
    been flushed: returns in how many seconds it should be called again for that, 0 if it need not
    be. The ledger is read once, since the oldest import that is not published.
    """
    recovery = desk.state.recovery()
    if recovery is Recovery.NEEDED:
        ensure_epoch(
            desk.state,
            desk.store,
            model_deadline_s=desk.limits.model_deadline_s,
            lease_s=desk.limits.lease_s,
        )
        token = uuid.uuid4().hex
        if desk.state.claim_recovery(token):
            _rebuild(desk, token)
        recovery = desk.state.recovery()
    if recovery is Recovery.BEGUN:
        return _LOOK_AGAIN_S  # whoever does it may die over it
    if recovery is not Recovery.REBUILT:
        return 0.0
    wait_s = desk.state.buy_not_before()
    if wait_s == 0:
        found = unpublished(desk.store)
        for import_id in found:
            _restore_orders(desk, import_id)
        rebuild_money(desk, found)
        _drop_what_was_put(desk)
        desk.state.finish_recovery()
        log.info("recovered")
    return wait_s


def _restore_orders(desk: Desk, import_id: str) -> None:
    try:
        if plans.read_import(desk.store, import_id).lane == "batch":
            restore(desk, import_id)
    except (StateUnavailable, StoreUnavailable, StoreRefuses):
        raise
    except Exception:  # one broken import must not keep the others waiting
        log.exception("import_broken", import_id=import_id)


def _drop_what_was_put(desk: Desk) -> None:
    """Take back leases of paid answers that were put after the file was written that Redis read."""
    for render_id in desk.leases.spooled_renders():
        if any(True for _ in desk.store.list(keys.takes(render_id))):
            desk.leases.drop_spooled(render_id)


def _rebuild(desk: Desk, token: str) -> None:
    try:
        keep = partial(desk.state.keep_rebuilding, token)
        log.info("rebuilds", imports=recover_all(desk, keep))
    except Exception:
        desk.state.give_up_rebuilding(token)
        raise
    desk.state.end_rebuilding(token)


def recover_all(desk: Desk, keep: Callable[[], None] = lambda: None) -> int:
    """Make every unpublished import of the store known again, but for its money; says how many.

    For a Redis that was emptied, or has read an older file: reads one listing of ``imports/``.
    """
    found = unpublished(desk.store)
    _forget_published(desk)
    for import_id in desk.state.running():
        if import_id in found:
            keep()
            adopt_parts(desk, plans.read_import(desk.store, import_id))
    known = 0
    for import_id in found:
        keep()
        known += _look_after(desk, import_id, refeed=False)
    return known


def _forget_published(desk: Desk) -> None:
    """Drop what was published after the file was written that Redis has read."""
    for import_id in desk.state.running():
        known, being_made = desk.state.revision(import_id), open_revision(desk.store, import_id)
        if known != being_made and desk.store.has(keys.manifest(import_id)):
            desk.state.forget(import_id, revision=known)


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


def _nudge(desk: Desk, imported: Import) -> None:
    """Go on where a process stopped between two steps: ask for commits and the publication.

    Only once a round: every commit asks for a feed, so a feed that asked for commits would, while
    some are waiting, multiply them.
    """
    progress = desk.state.progress(imported.import_id)
    if progress is None:
        return
    for part in progress.to_commit:
        claim = ShardClaim(store=desk.store_id, import_id=imported.import_id, part=part)
        desk.queue.enqueue(claims.COMMIT, claim)
    if progress.committed == len(imported.parts):
        publish = ImportClaim(store=desk.store_id, import_id=imported.import_id)
        desk.queue.enqueue(claims.PUBLISH, publish)
