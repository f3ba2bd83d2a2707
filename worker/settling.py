"""How does a render get its outcome?

Every outcome is a result line, written once into the shard's state; whoever settles a shard's last
render asks for its commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from catalog import claims, keys
from catalog.claims import RenderClaim, ShardClaim
from catalog.money import Usd
from catalog.renders import Purchase
from catalog.results import Image, Provenance, ResultLine, Status
from catalog.store.port import sha256_hex

if TYPE_CHECKING:
    from catalog.imports import PlannedProduct, PlannedSlot
    from catalog.renders import RenderRecord
    from catalog.store.port import Stored
    from worker.ports import Desk


def settle(
    desk: Desk, line: ResultLine, *, part: int, slot: int, unless_bought: bool = False
) -> None:
    """Write a slot's outcome; asks for the shard's commit after its last one.

    What was paid for answers without a picture, and by earlier revisions, is added to the line's
    cost. ``unless_bought``: see :meth:`catalog.state.State.settle`.
    """
    wasted = desk.calls.tries(line.import_id, part, slot).wasted_micro
    if wasted:
        line = line.changed(cost_usd=Usd(line.cost_usd.micro + wasted))
    settled = desk.state.settle(line, part=part, slot=slot, unless_bought=unless_bought)
    # Also when somebody else settled it: their message to commit may be the one that was lost.
    if settled.left == 0:
        claim = ShardClaim(store=desk.store_id, import_id=line.import_id, part=part)
        desk.queue.enqueue(claims.COMMIT, claim)


def line_of(
    import_id: str, product: PlannedProduct, slot: PlannedSlot, status: Status
) -> ResultLine:
    """A result line without pictures."""
    return ResultLine(
        import_id=import_id,
        row=product.row,
        sku=slot.sku,
        skus=product.skus,
        product_id=product.product_id,
        title=product.title,
        scene=slot.scene,
        picture_no=slot.picture_no,
        locale=slot.locale,
        slot=slot.slot,
        photos=tuple(product.photos[at].address for at in slot.photos),
        cause=slot.cause,
        status=status,
    )


def delivered(
    desk: Desk,
    claim: RenderClaim,
    product: PlannedProduct,
    slot: PlannedSlot,
    record: RenderRecord,
) -> ResultLine:
    """The line of a render whose record is there.

    It is ``succeeded`` and carries the price for the slot whose claim bought it; every other slot,
    of this import or another, reuses it for nothing.
    """
    purchase = record.chosen.purchase
    ours = purchase.claim == claim.name
    status = Status.SUCCEEDED if ours else Status.REUSED
    if record.verdict == "review":
        status = Status.REVIEW
    takes = (take.purchase for take in record.takes)
    # What earlier revisions paid for the slot is added when it is settled.
    revision = desk.state.revision(claim.import_id) or 1
    now = (claim.name, revision)
    bought = Usd(sum(take.micro_usd for take in takes if (take.claim, take.revision) == now))
    wanted = {"master", *desk.imaging.file_names(slot.renditions)}
    return line_of(claim.import_id, product, slot, status).changed(
        reason="check.failed" if status is Status.REVIEW else None,
        render_id=record.render_id,
        images=tuple(_addressed(desk, image) for image in record.images if image.name in wanted),
        cost_usd=bought,
        provenance=_provenance(record),
        checks=record.checks,
        attempts=purchase.attempts if ours else 0,
    )


def paid_for(desk: Desk, claim: RenderClaim) -> Usd:
    """What this claim's takes of this revision cost, whatever became of them."""
    revision = desk.state.revision(claim.import_id) or 1
    paid = 0
    for entry in desk.store.list(keys.takes(claim.render_id)):
        stored = desk.store.read(entry.key)
        if stored is not None:
            paid += _price_for(claim, revision, stored)
    return Usd(paid)


def _price_for(claim: RenderClaim, revision: int, take: Stored) -> int:
    try:
        purchase = Purchase.from_metadata(dict(take.metadata))
    except ValidationError:  # copied by some tool that drops metadata: the render still must end
        return 0
    ours = (purchase.claim, purchase.revision) == (claim.name, revision)
    return purchase.micro_usd if ours else 0


def _addressed(desk: Desk, image: Image) -> Image:
    if desk.public_base_url is None:
        return image
    return image.changed(url=f"{desk.public_base_url.rstrip('/')}/{image.key}")


def _provenance(record: RenderRecord) -> Provenance:
    purchase = record.chosen.purchase
    return Provenance(
        ai_generated=record.ai_generated,
        preview=record.preview,
        digital_source_type=record.digital_source_type,
        model_asked=purchase.model_asked,
        model_answered=purchase.model_answered,
        response_id=purchase.response_id,
        fingerprint=record.fingerprint,
        prompt_sha256=sha256_hex(record.spec.prompt.encode()),
        ratio=record.spec.ratio,
        size=record.spec.size,
        references=record.references,
        take=record.chosen_take,
        bought_by=purchase.import_id,
        bought_at=purchase.answered_at,
    )
