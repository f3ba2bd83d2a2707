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
from worker import revisions

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    Raises:
        StateUnavailable: Redis is away, or what it knows is being rebuilt.
    """
    wasted = desk.calls.tries(line.import_id, part, slot).wasted_micro
    if wasted:
        line = line.changed(cost_usd=Usd(line.cost_usd.micro + wasted))
    _settle(desk, line, part=part, slot=slot, unless_bought=unless_bought)


def settle_uncalled(desk: Desk, line: ResultLine, *, part: int, slot: int) -> None:
    """Write the outcome of a slot that has come to no call, as far as its message knows.

    Another copy of the message may have come further: what is being bought ends by itself, and
    whatever was paid for the slot by now is its cost.

    Raises:
        StateUnavailable: Redis is away, or what it knows is being rebuilt.
    """
    paid = desk.calls.tries(line.import_id, part, slot).paid_micro
    line = line.changed(cost_usd=Usd(paid))
    _settle(desk, line, part=part, slot=slot, unless_bought=True)


def _settle(desk: Desk, line: ResultLine, *, part: int, slot: int, unless_bought: bool) -> None:
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
    bought = _uncounted(desk, claim, [take.purchase for take in record.takes])
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
    """What this claim's takes cost, whatever became of them, as far as no line has counted it."""
    stored = (desk.store.read(entry.key) for entry in desk.store.list(keys.takes(claim.render_id)))
    purchases = (_purchase_of(take) for take in stored if take is not None)
    return _uncounted(desk, claim, [purchase for purchase in purchases if purchase is not None])


def _purchase_of(take: Stored) -> Purchase | None:
    try:
        return Purchase.from_metadata(dict(take.metadata))
    except ValidationError:  # copied by some tool that drops metadata: the render still must end
        return None


def _uncounted(desk: Desk, claim: RenderClaim, purchases: Sequence[Purchase]) -> Usd:
    """What earlier revisions' lines have counted is added when the slot is settled."""
    revision = revisions.current(desk, claim.import_id)
    ours = [purchase for purchase in purchases if purchase.claim == claim.name]
    now = sum(one.micro_usd for one in ours if one.revision == revision.number)
    before = sum(one.micro_usd for one in ours if one.revision != revision.number)
    # A picture that an earlier line did not know of, because Redis was lost then.
    counted = revisions.paid_before(desk, revision, claim.part, claim.slot)
    return Usd(now + max(0, before - counted))


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
        softened=purchase.softened,
        sent_prompt_sha256=purchase.prompt_sha256,
    )
