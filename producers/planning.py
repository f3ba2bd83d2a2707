"""What does an import want, what of it is owned, and what does the rest cost?

Streaming: products come in, shards go out; memory holds one shard, the owned slots and the counts.
Deciding is apart from doing: a dry run is this with a writer that keeps nothing.
"""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from catalog import keys
from catalog.imports import (
    CauseCount,
    Counts,
    PlannedProduct,
    PlannedSlot,
    PlanPart,
)
from catalog.money import ZERO, Usd
from catalog.product import Photo, PhotoRole, Product, RejectedRow
from catalog.results import ManifestFile
from catalog.store.port import sha256_hex
from producers.images import uploaded
from producers.owned import Cause, Owned, owned_spec
from producers.pricing import Forecast
from producers.slots import WantedSlot, wanted_slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from catalog.models import Model
    from catalog.scenes import SceneBook
    from catalog.store.port import Store
    from producers.images import ImageFolder, Uploads
    from producers.paid_lately import PaidLately

GZIP = "application/gzip"


class Writer(Protocol):
    """Where shards go."""

    @property
    def keeps(self) -> bool:
        """Whether anything is kept: what is not need not be made."""
        ...

    def write(self, key: str, content: bytes, *, media_type: str) -> None:
        """Keep an object of the plan.

        Raises:
            PlanConflict: another plan stands under this import's id.
        """
        ...


class PlanConflict(Exception):
    """Another plan stands under this import's id."""


class DryWriter:
    """Keeps nothing."""

    keeps = False

    def write(self, key: str, content: bytes, *, media_type: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class StoreWriter:
    """Creates the plan's objects; the same plan again finds its own."""

    store: Store

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return True

    def write(self, key: str, content: bytes, *, media_type: str) -> None:
        """Create an object, or find that it is there with the same bytes."""
        if self.store.create(key, content, media_type=media_type).sha256 != sha256_hex(content):
            msg = f"{key} is there with another content: choose another --id"
            raise PlanConflict(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What planning needs to know besides the products."""

    import_id: str
    book: SceneBook
    model: Model
    owned: Owned
    owned_from: Store | None
    causes: frozenset[Cause]
    images: ImageFolder | None
    uploads: Uploads
    also: dict[str, tuple[Photo, ...]]
    shard_products: int
    limit: int | None = None
    lately: PaidLately | None = None


@dataclass(slots=True, kw_only=True)
class Plan:
    """What planning found, growing product by product."""

    products: int = 0
    variants: int = 0
    with_reference: int = 0
    renders: int = 0
    without_scene: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)
    by_cause: dict[Cause, list[int]] = field(default_factory=dict)
    forecast: Forecast
    parts: list[PlanPart] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, int]:
        """Rejected rows by reason."""
        return dict(Counter(row.reason for row in self.rejected).most_common())

    @property
    def causes(self) -> dict[Cause, CauseCount]:
        """Renders by cause, and what buying them is expected to cost."""
        return {
            cause: CauseCount(renders=renders, estimated_usd=Usd(micro))
            for cause, (renders, micro) in self.by_cause.items()
        }

    @property
    def counts(self) -> Counts:
        """The counts as import.json keeps them."""
        return Counts(
            products=self.products,
            variants=self.variants,
            with_reference=self.with_reference,
            renders=self.renders,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before saying yes."""
        if not self.without_scene:
            return ()
        return (f"{self.without_scene} products are in no scene of the book and get no picture",)


def plan_import(
    products: Iterable[Product | RejectedRow],
    request: Request,
    writer: Writer,
    *,
    progress: Callable[[Plan], None] = lambda _plan: None,
) -> Plan:
    """Plan an import and write its shards; ``progress`` is called after each product.

    Raises:
        PlanConflict: another plan stands under this import's id.
    """
    plan = Plan(forecast=Forecast(request.model, request.lately))
    shard: list[PlannedProduct] = []
    first = 0
    for product in _usable(products, request, plan):
        if not shard:
            first = plan.renders
        planned = _plan_product(
            product, request, plan, first=plan.renders - first, keeps=writer.keeps
        )
        if planned is not None:
            shard.append(planned)
        if len(shard) >= request.shard_products:
            _write_shard(shard, request, plan, writer)
            shard = []
        progress(plan)
    if shard:
        _write_shard(shard, request, plan, writer)
    return plan


def write_rejected(plan: Plan, import_id: str, writer: Writer) -> ManifestFile | None:
    """Write ``rejected.jsonl``, if there is anything to say in it."""
    if not plan.rejected:
        return None
    content = b"".join(row.to_json() + b"\n" for row in plan.rejected)
    key = keys.rejected(import_id)
    writer.write(key, content, media_type="application/x-ndjson")
    return ManifestFile(
        key=key, rows=len(plan.rejected), bytes=len(content), sha256=sha256_hex(content)
    )


def _usable(
    products: Iterable[Product | RejectedRow], request: Request, plan: Plan
) -> Iterator[Product]:
    for found in products:
        if isinstance(found, RejectedRow):
            plan.rejected.append(found)
            continue
        plan.products += 1
        plan.variants += len(found.variants)
        product = _with_photos(found, request)
        if not product.photos:
            plan.rejected.append(_without_reference(found, request))
            continue
        plan.with_reference += 1
        yield product
        if request.limit is not None and plan.with_reference >= request.limit:
            return


def _with_photos(product: Product, request: Request) -> Product:
    if request.images is not None:
        return uploaded(product, request.images, request.uploads)
    usable = tuple(
        photo
        for photo in product.photos
        if photo.address.lower().startswith(("https://", "http://"))
    )
    # Making it anew checks it anew, and costs as much as reading it did.
    return product if len(usable) == len(product.photos) else product.changed(photos=usable)


def _without_reference(product: Product, request: Request) -> RejectedRow:
    links = [photo.link for photo in product.photos]
    if not links:
        reason, message = "reference.missing", "the product has no photo: add one to its row"
    elif request.images is not None:
        reason = "reference.missing"
        message = f"none of its photos is in the folder given by --images: {', '.join(links[:5])}"
    else:
        reason = "reference.bad_url"
        message = (
            f"{', '.join(links[:5])}: no http(s) address; mend the link, or name the folder that "
            "holds the photos with --images DIR"
        )
    return RejectedRow(
        row=product.row,
        column="image",
        reason=reason,
        message=message[:1_000],
        sku=product.sku,
        product_id=product.product_id,
        title=product.title,
    )


def _plan_product(
    product: Product, request: Request, plan: Plan, *, first: int, keeps: bool
) -> PlannedProduct | None:
    wanted = list(wanted_slots(product, request.book))
    if not wanted:
        plan.without_scene += 1
        return None
    photos = list(product.photos)
    choices = [_choose(product, slot, photos, request, plan) for slot in wanted]
    if not keeps:
        return None
    slots = tuple(_planned(choice, first + at) for at, choice in enumerate(choices))
    return PlannedProduct(
        row=product.row,
        product_id=product.product_id,
        sku=product.sku,
        skus=product.skus,
        title=product.title,
        photos=tuple(photos),
        slots=slots,
    )


class _Choice(NamedTuple):
    """A wanted slot: what is asked for it, why, and what that costs."""

    wanted: WantedSlot
    prompt: str
    model: str
    size: str
    ratio: str
    photos: tuple[int, ...]
    cause: Cause
    price: Usd


def _choose(
    product: Product, wanted: WantedSlot, photos: list[Photo], request: Request, plan: Plan
) -> _Choice:
    used = (*wanted.photos, *_mood(wanted, photos, request))
    scene, model = wanted.scene, request.model.id
    cause = request.owned.cause(
        wanted.slot,
        title=product.title,
        prompt=wanted.prompt,
        ratio=scene.ratio,
        size=scene.size,
        model=model,
        addresses=[photos[at].address for at in used],
    )
    asked: tuple[str, str, str, str] = (wanted.prompt, model, scene.size, scene.ratio)
    price = ZERO
    if cause in request.causes:
        price = plan.forecast.add(wanted.prompt, references=len(used), size=scene.size)
    elif cause is not Cause.UNCHANGED:
        asked = _as_owned(wanted.slot, request) or asked
    _count(plan, cause, price)
    prompt, model, size, ratio = asked
    return _Choice(
        wanted=wanted,
        prompt=prompt,
        model=model,
        size=size,
        ratio=ratio,
        photos=used,
        cause=cause,
        price=price,
    )


def _planned(choice: _Choice, index: int) -> PlannedSlot:
    wanted = choice.wanted
    return PlannedSlot(
        index=index,
        slot=wanted.slot,
        sku=wanted.sku,
        scene=wanted.scene.name,
        picture_no=wanted.picture_no,
        locale=wanted.locale,
        prompt=choice.prompt,
        # What is owned is asked for in the words that it was bought with.
        softer=wanted.softer if choice.prompt == wanted.prompt else (),
        model=choice.model,
        size=choice.size,
        ratio=choice.ratio,
        photos=choice.photos,
        renditions=wanted.scene.renditions,
        cause=choice.cause.value,
        estimated_usd=choice.price,
    )


def _mood(wanted: WantedSlot, photos: list[Photo], request: Request) -> Iterator[int]:
    """The scene's own pictures, sent after the product's."""
    for photo in request.also.get(wanted.scene.name, ()):
        if photo not in photos:
            photos.append(photo)
        yield photos.index(photo)


def _as_owned(name: str, request: Request) -> tuple[str, str, str, str] | None:
    """Prompt, model, size and ratio of what is owned, for a cause that is not accepted."""
    owned = request.owned.slots.get(name)
    if owned is None or request.owned_from is None:
        return None
    spec = owned_spec(request.owned_from, owned.render_id)
    return None if spec is None else (spec.prompt, spec.model, spec.size, spec.ratio)


def _count(plan: Plan, cause: Cause, price: Usd) -> None:
    plan.renders += 1
    sums = plan.by_cause.setdefault(cause, [0, 0])
    sums[0] += 1
    sums[1] += price.micro


def _write_shard(
    shard: Sequence[PlannedProduct], request: Request, plan: Plan, writer: Writer
) -> None:
    part = len(plan.parts)
    body = b"".join(product.to_json() + b"\n" for product in shard)
    content = gzip.compress(body, mtime=0)
    key = keys.plan_part(request.import_id, part)
    writer.write(key, content, media_type=GZIP)
    plan.parts.append(
        PlanPart(
            part=part,
            key=key,
            products=len(shard),
            renders=sum(len(product.slots) for product in shard),
            bytes=len(content),
            sha256=sha256_hex(content),
        )
    )


def mood_photo(address: str, link: str) -> Photo:
    """A scene's own picture as a photo."""
    return Photo(address=address, link=link, role=PhotoRole.LIFESTYLE)
