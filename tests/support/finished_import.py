"""What does an import look like after its last shard, as the contact sheet gets it?

Shapes only; no worker ran. Which objects the lines name can be asked, to lay them into a store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from catalog import keys
from catalog.imports import Counts, Estimate, FeedSummary, Import, ModelChoice
from catalog.money import ZERO, Usd
from catalog.results import (
    Costs,
    Image,
    Manifest,
    ManifestFile,
    Provenance,
    ReferenceUsed,
    RenderCounts,
    ResultLine,
    RowCounts,
    Status,
)
from catalog.scenes import Scene, SceneBook

IMPORT_ID: Final = "2026-11-22-autumn"
STARTED_AT: Final = datetime(2026, 11, 22, 9, 15, tzinfo=UTC)
PRICE: Final = Usd.parse("0.039")
SCENES: Final = ("kitchen-counter", "studio-daylight")
DELIVERED: Final = (Status.SUCCEEDED, Status.REUSED, Status.REVIEW)

_SIZES: Final = (
    ("master", "master", 896, 1120, "take-1.jpg", "image/jpeg"),
    ("rendition", "web-1024.webp", 819, 1024, "web-1024.webp", "image/webp"),
    ("rendition", "web-512.webp", 410, 512, "web-512.webp", "image/webp"),
    ("rendition", "merchant-1500.jpg", 896, 1120, "merchant-1500.jpg", "image/jpeg"),
)


def sha256(words: str) -> str:
    """Stands for a hash of something that does not exist."""
    return hashlib.sha256(words.encode()).hexdigest()


def reference(name: str, *, width_px: int = 800, height_px: int = 800) -> ReferenceUsed:
    """A photo that was sent."""
    return ReferenceUsed(
        address=f"https://shop.example/{name}.jpg?token=hush",
        original_sha256=sha256(f"original {name}"),
        key=keys.reference(sha256(name), "jpg"),
        media_type="image/jpeg",
        width_px=width_px,
        height_px=height_px,
    )


def line(
    product_no: int,
    scene: str = SCENES[0],
    *,
    status: Status = Status.SUCCEEDED,
    title: str | None = None,
    references: Sequence[ReferenceUsed] | None = None,
    reason: str | None = None,
    message: str | None = None,
    images: Sequence[Image] | None = None,
) -> ResultLine:
    """The line of one render; pictures and provenance only where one was delivered."""
    delivered = status in DELIVERED
    sku = f"SKU-{product_no:04}"
    render_id = sha256(f"{sku} {scene}")[:32]
    if references is None:
        references = (reference(sku),)
    return ResultLine(
        import_id=IMPORT_ID,
        row=product_no + 1,
        sku=sku,
        skus=(sku, f"{sku}-B"),
        product_id=f"product-{product_no}",
        title=f"Product {product_no}" if title is None else title,
        scene=scene,
        picture_no=1,
        locale=None,
        slot=f"{sku}/{scene}/1",
        photos=tuple(one.address for one in references),
        cause="new",
        status=status,
        reason=reason,
        message=message,
        render_id=render_id if delivered else None,
        images=tuple(images_of(render_id) if images is None else images) if delivered else (),
        cost_usd=PRICE if status in (Status.SUCCEEDED, Status.REVIEW) else ZERO,
        provenance=_provenance(render_id, references) if delivered else None,
        checks={"spread": 41.25, "ratio_off": 0.001, "rule": None} if delivered else {},
        attempts=1,
    )


def images_of(render_id: str) -> tuple[Image, ...]:
    """The files of a render with all its renditions."""
    return tuple(
        Image(
            role="master" if role == "master" else "rendition",
            name=name,
            key=keys.rendition(render_id, file),
            sha256=sha256(f"{render_id} {name}"),
            bytes=width_px * height_px // 10,
            width_px=width_px,
            height_px=height_px,
            media_type=media_type,
        )
        for role, name, width_px, height_px, file, media_type in _SIZES
    )


def _provenance(render_id: str, references: Sequence[ReferenceUsed]) -> Provenance:
    return Provenance(
        ai_generated=True,
        preview=False,
        digital_source_type="trainedAlgorithmicMedia",
        model_asked="an-image-model",
        model_answered="an-image-model-001",
        response_id="answer-1",
        fingerprint=sha256(render_id),
        prompt_sha256=sha256("a prompt"),
        ratio="4:5",
        size="1K",
        references=tuple(references),
        take=1,
        bought_by=IMPORT_ID,
        bought_at=STARTED_AT + timedelta(minutes=3),
    )


def imported(*, catalog: str = "autumn", scenes: Iterable[str] = SCENES) -> Import:
    """What was asked."""
    return Import(
        import_id=IMPORT_ID,
        catalog=catalog,
        created_at=STARTED_AT,
        feed=FeedSummary(
            name="autumn.csv", sha256=sha256("feed"), bytes=1_000, format="csv", encoding="utf-8"
        ),
        scenes=SceneBook(scenes=tuple(Scene(name=name, prompt="Show {title}.") for name in scenes)),
        scenes_sha256=sha256("scenes"),
        model=ModelChoice(asked="an-image-model", id="an-image-model", platform="developer"),
        counts=Counts(),
        rows=RowCounts(read=0, rejected=0),
        reasons={"reference.missing": 2},
        causes={},
        estimate_usd=Estimate(),
        parts=(),
        made_by="skuscene 0",
    )


def manifest(
    lines: Sequence[ResultLine],
    *,
    catalog: str = "autumn",
    preview: bool = False,
    took: timedelta = timedelta(minutes=12),
) -> Manifest:
    """The manifest that fits the lines."""
    tally = {status.value: 0 for status in Status}
    for one in lines:
        tally[one.status.value] += 1
    spent = Usd(sum(one.cost_usd.micro for one in lines))
    return Manifest(
        import_id=IMPORT_ID,
        revision=1,
        state="complete",
        catalog=catalog,
        feed={"name": "autumn.csv"},
        model="preview" if preview else "an-image-model",
        preview=preview,
        products=len({one.product_id for one in lines}),
        rows=RowCounts(read=len(lines), rejected=2),
        counts=RenderCounts(expected=len(lines), **tally),
        cost_usd=Costs(estimated=spent, spent=spent),
        parts=(),
        rejected=ManifestFile(
            key=keys.rejected(IMPORT_ID), rows=2, bytes=300, sha256=sha256("rejected")
        ),
        gallery=keys.gallery(IMPORT_ID),
        started_at=STARTED_AT,
        published_at=STARTED_AT + took,
        made_by="skuscene 0",
    )


def named_keys(lines: Iterable[ResultLine], whole: Manifest) -> set[str]:
    """Every object that a store holds for these lines and their manifest, gallery aside."""
    named = {keys.manifest(whole.import_id)}
    if whole.rejected:
        named.add(whole.rejected.key)
    for one in lines:
        named.update(image.key for image in one.images)
        for photo in one.provenance.references if one.provenance else ():
            named.add(photo.key)
            named.add(keys.reference_thumb(photo.key.rsplit("/", 1)[1].split(".")[0]))
    return named
