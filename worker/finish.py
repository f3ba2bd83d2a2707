"""How does a bought picture become what the shop gets?

1. Read the chosen take and what it says of its purchase.
2. Look at it: decodes, size, ratio, not blank. The scores go into the record.
3. Make the renditions that the slot asks for and that are not there; each is created once.
4. Write the record. Its existence is the success: everything before may be repeated.
5. Settle the slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog import keys
from catalog.renders import Purchase, RecordedTake, RenderRecord, Spec
from catalog.results import Image
from catalog.store.port import Conflict, Stored, sha256_hex
from worker import plans
from worker.errors import Refused, TryLater
from worker.ports import Inspected, Marking
from worker.prepare import spec_of
from worker.settling import delivered, settle
from worker.version import MADE_BY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.claims import RenderClaim
    from catalog.imports import PlannedProduct, PlannedSlot
    from worker.ports import Desk

JSON = "application/json"
GENERATED = "trainedAlgorithmicMedia"
"""IPTC's word for a picture that a model drew whole; the one that Google Merchant asks for."""
COMPOSED = "compositeSynthetic"
"""IPTC's word for elements put together of which some are synthetic: the offline preview."""


def finish(desk: Desk, claim: RenderClaim) -> None:
    """Check a bought picture, make its files, write its record, settle its slot.

    Buys nothing. Every write is idempotent, the record is the last.

    Raises:
        Refused: the picture can't be used.
        TryLater: the take is not (yet) in the store.
    """
    product, slot = plans.planned(desk.store, claim)
    found = desk.store.read(keys.record(claim.render_id))
    if found is None:
        record = _first_record(desk, claim, product, slot)
    else:
        record = _grown(desk, claim, slot, found)
    line = delivered(desk, claim, product, slot, record)
    settle(desk, line, part=claim.part, slot=claim.slot)


def _first_record(
    desk: Desk, claim: RenderClaim, product: PlannedProduct, slot: PlannedSlot
) -> RenderRecord:
    takes = list(_takes(desk, claim.render_id))
    if not takes:
        raise TryLater("internal", f"render {claim.render_id} has no take")
    # The first, whatever came late: renditions may be there already, and they were made from it.
    master, purchase = takes[0]
    width_px, height_px = desk.models.resolve(slot.model, platform=desk.platform).pixels(
        slot.ratio, slot.size
    )
    inspected = desk.imaging.inspect(
        master.content, asked_width_px=width_px, asked_height_px=height_px
    )
    preview = desk.models.resolve(slot.model, platform=desk.platform).is_preview
    marking = marking_of(purchase, preview=preview)
    images = (
        _master_image(master, inspected),
        *_renditions(desk, claim.render_id, slot, master, marking, have=()),
    )
    spec = spec_of(slot, claim.references)
    record = RenderRecord(
        render_id=claim.render_id,
        fingerprint=spec.fingerprint,
        spec=Spec.of(spec),
        scene=slot.scene,
        sku=slot.sku,
        product_id=product.product_id,
        references=claim.references,
        takes=tuple(_recorded(stored, bought) for stored, bought in takes),
        chosen_take=purchase.take,
        images=images,
        checks={**inspected.scores, "rule": inspected.rule},
        # The checks' thresholds are not calibrated on real renders yet: findings are recorded with
        # their scores and decide nothing. Only what can't be decoded at all is refused.
        verdict="pass",
        ai_generated=not preview,
        preview=preview,
        digital_source_type=marking.digital_source_type,
        finished_at=desk.clock(),
        made_by=MADE_BY,
        softened=purchase.softened,
        prompt_sent=prompt_sent(desk, purchase),
    )
    return _written(desk, claim, slot, record)


def _written(
    desk: Desk, claim: RenderClaim, slot: PlannedSlot, record: RenderRecord
) -> RenderRecord:
    key = keys.record(record.render_id)
    if desk.store.create(key, record.to_json(indent=2), media_type=JSON).won:
        return record
    found = desk.store.read(key)  # another worker finished it first: its record stands
    if found is None:
        raise TryLater("internal", f"{key} was there and is gone")
    return _grown(desk, claim, slot, found)  # it may have been asked for fewer files


def _grown(desk: Desk, claim: RenderClaim, slot: PlannedSlot, found: Stored) -> RenderRecord:
    """The record with the renditions that this slot asks for; a later channel buys nothing."""
    record = RenderRecord.from_json(found.content)
    have = tuple(image.name for image in record.images)
    if set(have).issuperset(desk.imaging.file_names(slot.renditions)):
        return record
    master = desk.store.read(record.chosen.key)
    if master is None:
        raise Refused("internal", f"{record.chosen.key} is gone from the store")
    marking = marking_of(record.chosen.purchase, preview=record.preview)
    more = tuple(_renditions(desk, claim.render_id, slot, master, marking, have=have))
    grown = record.changed(images=(*record.images, *more))
    try:
        desk.store.replace(
            keys.record(record.render_id),
            grown.to_json(indent=2),
            media_type=JSON,
            etag=found.etag,
        )
    except Conflict as exc:
        msg = f"the record of {record.render_id} is being extended by another worker"
        raise TryLater("internal", msg) from exc
    return grown


def _takes(desk: Desk, render_id: str) -> Iterator[tuple[Stored, Purchase]]:
    listed = sorted(desk.store.list(keys.takes(render_id)), key=lambda at: keys.take_no(at.key))
    for entry in listed:
        stored = desk.store.read(entry.key)
        if stored is not None:
            yield stored, Purchase.from_metadata(dict(stored.metadata))


def _recorded(stored: Stored, purchase: Purchase) -> RecordedTake:
    return RecordedTake(
        key=stored.key,
        sha256=stored.sha256,
        bytes=len(stored.content),
        media_type=stored.media_type,
        purchase=purchase,
    )


def _master_image(master: Stored, inspected: Inspected) -> Image:
    return Image(
        role="master",
        name="master",
        key=master.key,
        sha256=master.sha256,
        bytes=len(master.content),
        width_px=inspected.width_px,
        height_px=inspected.height_px,
        media_type=inspected.media_type,
    )


def marking_of(purchase: Purchase, *, preview: bool) -> Marking:
    """What the files of a picture say of its origin."""
    return Marking(
        digital_source_type=COMPOSED if preview else GENERATED,
        system="Skuscene preview renderer" if preview else purchase.model_asked,
        system_version=purchase.model_answered,
    )


def prompt_sent(desk: Desk, purchase: Purchase) -> str | None:
    """The softer prompt that a take was bought with, from its buyer's plan; else ``None``."""
    if not purchase.softened:
        return None
    import_id, part, slot = purchase.claim.rsplit("/", 2)
    try:
        wordings = plans.slot_at(desk.store, import_id, int(part), int(slot)).wordings
    except Refused:  # somebody took the plan away: the take still has the prompt's hash
        return None
    hashes = {sha256_hex(prompt.encode()): prompt for prompt in wordings}
    return hashes.get(purchase.prompt_sha256 or "")


def _renditions(
    desk: Desk,
    render_id: str,
    slot: PlannedSlot,
    master: Stored,
    marking: Marking,
    *,
    have: tuple[str, ...],
) -> Iterator[Image]:
    names = [name for name in desk.imaging.file_names(slot.renditions) if name not in have]
    for made in desk.imaging.render(master.content, names, marking):
        key = keys.rendition(render_id, made.name)
        created = desk.store.create(key, made.content, media_type=made.media_type)
        content = made.content if created.won else _adopted(desk, key)
        yield Image(
            role="rendition",
            name=made.name,
            key=key,
            # Of the stored bytes: an encoder upgrade between two attempts makes other ones.
            sha256=sha256_hex(content),
            bytes=len(content),
            width_px=made.width_px,
            height_px=made.height_px,
            media_type=made.media_type,
        )


def _adopted(desk: Desk, key: str) -> bytes:
    found = desk.store.read(key)
    if found is None:
        raise TryLater("internal", f"{key} was there and is gone")
    return found.content
