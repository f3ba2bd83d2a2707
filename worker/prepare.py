"""How are a product's photos made ready, once for all its renders?

1. Photos of the product's open slots are resolved: fetched, checked, normalised, stored.
2. With the originals' hashes each slot's fingerprint is known: the slot becomes a render.
3. Each render is handed to generate. Dying anywhere repeats harmlessly: everything is by content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog import claims
from catalog.claims import RenderClaim
from catalog.renders import RenderSpec
from catalog.results import Status
from worker import plans, references
from worker.errors import ReferenceUnusable
from worker.settling import line_of, settle_uncalled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.claims import ProductClaim
    from catalog.imports import PlannedProduct, PlannedSlot
    from catalog.results import ReferenceUsed
    from worker.ports import Desk


def prepare(desk: Desk, claim: ProductClaim) -> None:
    """Make a product's photos ready and hand its open slots to generate.

    A slot whose photos are all unusable ends ``failed``; a slot with some that are usable goes on
    with those.

    Raises:
        TryLater: a photo's host can't be reached now.
    """
    product = plans.read_shard(desk.store, claim.import_id, claim.part)[claim.product]
    unsettled = set(desk.state.open_slots(claim.import_id, claim.part))
    wanted = [slot for slot in product.slots if slot.index in unsettled]
    photos = _resolve(desk, claim, product, wanted)
    for slot in wanted:
        _hand_on(desk, claim, product, slot, [photos[at] for at in slot.photos])


def _resolve(
    desk: Desk, claim: ProductClaim, product: PlannedProduct, slots: Sequence[PlannedSlot]
) -> dict[int, ReferenceUsed | ReferenceUnusable]:
    started_at = plans.read_import(desk.store, claim.import_id).created_at
    resolved: dict[int, ReferenceUsed | ReferenceUnusable] = {}
    for at in sorted({at for slot in slots for at in slot.photos}):
        try:
            resolved[at] = references.resolve(
                desk, product.photos[at], import_started_at=started_at
            )
        except ReferenceUnusable as exc:
            resolved[at] = exc
    return resolved


def _hand_on(
    desk: Desk,
    claim: ProductClaim,
    product: PlannedProduct,
    slot: PlannedSlot,
    photos: Sequence[ReferenceUsed | ReferenceUnusable],
) -> None:
    usable = [photo for photo in photos if not isinstance(photo, ReferenceUnusable)]
    faults = [photo for photo in photos if isinstance(photo, ReferenceUnusable)]
    if not usable:
        line = line_of(claim.import_id, product, slot, Status.FAILED).changed(
            reason=faults[0].reason, message=faults[0].message
        )
        settle_uncalled(desk, line, part=claim.part, slot=slot.index)
        return
    # The same photo under two links is sent, and hashed, once.
    used = tuple({photo.original_sha256: photo for photo in usable}.values())
    desk.queue.enqueue(
        claims.GENERATE,
        RenderClaim(
            store=desk.store_id,
            import_id=claim.import_id,
            part=claim.part,
            product=claim.product,
            urgent=claim.urgent,
            slot=slot.index,
            render_id=spec_of(slot, used).render_id,
            references=used,
        ),
    )


def spec_of(slot: PlannedSlot, used: Sequence[ReferenceUsed]) -> RenderSpec:
    """What a slot asks for, now that its photos are known."""
    return RenderSpec(
        photos=tuple(photo.original_sha256 for photo in used),
        prompt=slot.prompt,
        model=slot.model,
        size=slot.size,
        ratio=slot.ratio,
        picture_no=slot.picture_no,
    )
