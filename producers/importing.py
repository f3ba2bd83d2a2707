"""How does a feed become an import that workers work on?

1. Read and check everything that can be wrong as a whole: nothing is written before.
2. Plan: shards and rejected rows into the store.
3. Ask for consent where the price asks for it.
4. ``import.json`` last: from here on the import exists, whatever happens to this process.
5. Make it known to Redis and ask for its feeder.

Stopping at any point is harmless: the same id with the same feed and scenes goes on.
"""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from catalog import claims, keys
from catalog.claims import ImportClaim
from catalog.epoch import ensure_epoch
from catalog.imports import Control, DryRun, FeedSummary, Import, ModelChoice
from catalog.models import UnknownModel, load_models
from catalog.money import Usd
from catalog.pools import first_platform, limits_together, read_pools
from catalog.product import Photo
from catalog.results import Costs, RowCounts
from catalog.revisions import manifest_in, open_revision
from catalog.store.port import sha256_hex
from producers.feeds.feed import open_feed
from producers.images import ImageFolder, Uploads
from producers.owned import DEFAULT_CAUSES, Cause, Owned, OwnedUnreadable, read_owned
from producers.paid_lately import read_paid_lately
from producers.planning import (
    DryWriter,
    Plan,
    PlanConflict,
    Request,
    StoreWriter,
    mood_photo,
    plan_import,
    write_rejected,
)
from producers.scene_book import built_in_book, read_scene_book

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from catalog.models import Lane, Model, Platform
    from catalog.quota_limits import QuotaLimits
    from catalog.scenes import SceneBook
    from catalog.settings import Settings
    from catalog.store.port import Store
    from producers.feeds.feed import Feed
    from producers.services import Services

JSON = "application/json"
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")


class ImportRefused(Exception):
    """The import can't be right as a whole; nothing was enqueued."""


class NoConsent(Exception):
    """The price was not agreed to; nothing was enqueued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody asks to be imported; the fields are ``skuscene import``'s options."""

    feed: Path
    scenes: Path | None = None
    scene_names: tuple[str, ...] = ()
    format: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    images: Path | None = None
    import_id: str | None = None
    catalog: str | None = None
    model: str | None = None
    budget: Usd | None = None
    rebuy: tuple[str, ...] = ()
    limit: int | None = None
    lane: Lane = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An order whose parts were all found good."""

    order: Order
    import_id: str
    catalog: str
    feed: Feed
    book: SceneBook
    model: Model
    platform: Platform
    causes: frozenset[Cause]
    images: ImageFolder | None
    warnings: tuple[str, ...]


def prepare_order(order: Order, settings: Settings) -> Prepared:
    """Check everything that can be wrong as a whole; reaches no service.

    Raises:
        FeedError, SceneBookError, ImagesError, ImportRefused: it can't be right.
    """
    feed = open_feed(order.feed, format=order.format, mapping=order.mapping)
    book = _book(order)
    model, warnings = _model(order, settings)
    if order.lane == "batch" and (model.is_preview or first_platform(settings) != "developer"):
        msg = (
            "batches are bought from the Gemini Developer API only; leave --lane batch out to "
            "render now"
        )
        raise ImportRefused(msg)
    if objections := tuple(_objections(book, model)):
        raise ImportRefused("; ".join(objections))
    now = datetime.now(UTC)
    return Prepared(
        order=order,
        import_id=_import_id(order, feed, now),
        catalog=order.catalog or order.feed.name.split(".")[0] or "catalog",
        feed=feed,
        book=book,
        model=model,
        platform=first_platform(settings),
        causes=_causes(order),
        images=ImageFolder.open(order.images) if order.images else None,
        warnings=warnings,
    )


def dry_run(
    prepared: Prepared,
    settings: Settings,
    store: Store | None,
    *,
    progress: Callable[[Plan], None] = lambda _plan: None,
) -> DryRun:
    """Plan without keeping anything; with a store, compared with what the catalog owns there.

    Raises:
        FeedError, ImportRefused: the feed can't be read to its end.
    """
    owned = _owned(store, prepared.catalog) if store else Owned()
    request = _request(prepared, settings, owned, store, Uploads(None))
    plan = plan_import(prepared.feed.products(), request, DryWriter(), progress=progress)
    seconds = plan.forecast.seconds(_limits(settings, plan.forecast.model.id))
    _check_outlives(prepared, settings, seconds)
    facts = prepared.feed.facts
    return DryRun(
        format=facts.format,
        encoding=facts.encoding,
        rows=prepared.feed.rows_read,
        products=plan.products,
        variants=plan.variants,
        with_reference=plan.with_reference,
        rejected=len(plan.rejected),
        reasons=plan.reasons,
        renders=plan.renders,
        causes={cause.value: count for cause, count in plan.causes.items()},
        estimate_usd=plan.forecast.estimate,
        estimate_range_usd=plan.forecast.range,
        estimate_basis=plan.forecast.basis,
        by_size=plan.forecast.by_size,
        seconds_at_quota=_rounded(seconds),
        unknown=tuple(_unknown(prepared, plan, seconds, store)),
        warnings=(*prepared.warnings, *prepared.feed.warnings, *plan.warnings),
        model={"asked": _asked(prepared.order, settings), "id": prepared.model.id},
    )


def start_import(
    prepared: Prepared,
    settings: Settings,
    services: Services,
    *,
    consent: Callable[[Plan], bool] = lambda _plan: True,
    progress: Callable[[Plan], None] = lambda _plan: None,
) -> Import:
    """Plan an import, write it down and set the workers on it; costs no model call by itself.

    The same order under the same id goes on where it stood.

    Raises:
        FeedError, ImportRefused: the import can't be right; nothing was enqueued.
        NoConsent: ``consent`` said no to the plan's price; nothing was enqueued.
        StoreError, StateUnavailable, QueueUnavailable: a service went away meanwhile.
    """
    ensure_epoch(
        services.state,
        services.store,
        model_deadline_s=settings.model_deadline_s,
        lease_s=settings.lease_s,
    )
    imported = _read(services.store, prepared.import_id)
    if imported is None:
        imported = _write(prepared, settings, services, consent, progress)
    else:
        _check_same(imported, prepared)
    hand_over(imported, services)
    return imported


def hand_over(imported: Import, services: Services, *, refeed: bool = False) -> None:
    """Make an import known to Redis and ask for its feeder; again changes nothing.

    Does nothing once all revisions are published.
    """
    revision = open_revision(services.store, imported.import_id)
    if revision is None:
        return
    before = _cost_before(services.store, imported.import_id, revision)
    services.state.register(
        imported.import_id,
        shards=len(imported.parts),
        renders=sum(part.renders for part in imported.parts),
        revision=revision,
        spent_micro=before.spent.micro,
        doubtful_micro=before.doubtful.micro,
    )
    claim = ImportClaim(
        store=services.store_id,
        import_id=imported.import_id,
        refeed=refeed,
        urgent=imported.urgent,
    )
    services.queue.enqueue(claims.FEED, claim)


def _cost_before(store: Store, import_id: str, revision: int) -> Costs:
    if revision == 1:
        return Costs()
    manifest = manifest_in(store.read(keys.manifest_revision(import_id, revision - 1)))
    return manifest.cost_usd if manifest else Costs()


def _write(
    prepared: Prepared,
    settings: Settings,
    services: Services,
    consent: Callable[[Plan], bool],
    progress: Callable[[Plan], None],
) -> Import:
    store, import_id = services.store, prepared.import_id
    started_at = datetime.now(UTC)
    _write_control(store, prepared, started_at)
    owned = _owned(store, prepared.catalog)
    request = _request(prepared, settings, owned, store, Uploads(store))
    writer = StoreWriter(store)
    try:
        plan = plan_import(prepared.feed.products(), request, writer, progress=progress)
        rejected = write_rejected(plan, import_id, writer)
    except PlanConflict as exc:
        raise ImportRefused(str(exc)) from exc
    seconds = plan.forecast.seconds(_limits(settings, plan.forecast.model.id))
    try:
        _check_outlives(prepared, settings, seconds)
    except ImportRefused:
        _discard(store, import_id)
        raise
    if not consent(plan):
        _discard(store, import_id)
        expected = plan.forecast.estimate
        price = expected.batch if prepared.order.lane == "batch" else expected.standard
        msg = f"about {price} USD was not agreed to; nothing was enqueued"
        raise NoConsent(msg)
    facts = prepared.feed.facts
    imported = Import(
        import_id=import_id,
        catalog=prepared.catalog,
        created_at=started_at,
        feed=FeedSummary(
            name=facts.name,
            sha256=facts.sha256,
            bytes=facts.bytes,
            format=facts.format,
            encoding=facts.encoding,
        ),
        scenes=prepared.book,
        scenes_sha256=_book_sha256(prepared.book),
        model=ModelChoice(
            asked=_asked(prepared.order, settings),
            id=prepared.model.id,
            platform=prepared.platform,
        ),
        lane=prepared.order.lane,
        budget_usd=prepared.order.budget,
        urgent=plan.renders < settings.urgent_below_renders,
        counts=plan.counts,
        rows=RowCounts(read=prepared.feed.rows_read, rejected=len(plan.rejected)),
        reasons=plan.reasons,
        causes={cause.value: count for cause, count in plan.causes.items()},
        estimate_usd=plan.forecast.estimate,
        estimate_range_usd=plan.forecast.range,
        estimate_basis=plan.forecast.basis,
        by_size=plan.forecast.by_size,
        seconds_at_quota=_rounded(seconds),
        parts=tuple(plan.parts),
        rejected=rejected,
        warnings=(*prepared.warnings, *prepared.feed.warnings, *plan.warnings),
        made_by=f"skuscene {version('skuscene')}",
    )
    store.create(keys.import_(import_id), imported.to_json(indent=2), media_type=JSON)
    # Two processes may have planned the same id at once: the one in the store is the import.
    return _read(store, import_id) or imported


def _write_control(store: Store, prepared: Prepared, now: datetime) -> None:
    control = Control(
        import_id=prepared.import_id, budget_usd=prepared.order.budget, by=whoami(), at=now
    )
    store.create(keys.control(prepared.import_id), control.to_json(indent=2), media_type=JSON)


def _discard(store: Store, import_id: str) -> None:
    """Remove the plan of an import that is none; what was uploaded stays for the next one."""
    if store.has(keys.import_(import_id)):
        return  # somebody else planned the same id, and was agreed to
    for entry in list(store.list(keys.import_folder(import_id))):
        store.delete(entry.key)


def whoami() -> str:
    """Who gives this order, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def _read(store: Store, import_id: str) -> Import | None:
    found = store.read(keys.import_(import_id))
    return Import.from_json(found.content) if found else None


def _check_same(imported: Import, prepared: Prepared) -> None:
    differs = []
    if imported.feed.sha256 != prepared.feed.facts.sha256:
        differs.append("another feed")
    if imported.scenes_sha256 != _book_sha256(prepared.book):
        differs.append("other scenes")
    if imported.model.id != prepared.model.id:
        differs.append(f"another model ({imported.model.id})")
    if differs:
        msg = (
            f"import {imported.import_id} exists with {' and '.join(differs)}: choose another "
            "--id, or leave --id out to get a new one"
        )
        raise ImportRefused(msg)


def _book(order: Order) -> SceneBook:
    if order.scenes is not None:
        return read_scene_book(order.scenes)
    return built_in_book(order.scene_names or ("living-room",))


def _book_sha256(book: SceneBook) -> str:
    return sha256_hex(book.to_json())


def _asked(order: Order, settings: Settings) -> str:
    return order.model or settings.model


def _limits(settings: Settings, model_id: str) -> QuotaLimits:
    return limits_together(read_pools(settings, with_keys=False), model_id)


def _model(order: Order, settings: Settings) -> tuple[Model, tuple[str, ...]]:
    table = load_models(settings.models_file)
    platform = first_platform(settings)
    try:
        model = table.resolve(_asked(order, settings), platform=platform)
    except UnknownModel as exc:
        raise ImportRefused(str(exc)) from exc
    lifecycle = table.lifecycle(model, platform, datetime.now(UTC).date())
    if lifecycle.refusal:
        raise ImportRefused(lifecycle.refusal)
    return model, lifecycle.warnings


def _objections(book: SceneBook, model: Model) -> Iterator[str]:
    """Every scene that the model can't be asked for, and what it has instead."""
    for scene in book.scenes:
        wanted = scene.references.product + len(scene.references.also)
        found = model.objections(ratio=scene.ratio, size=scene.size, references=wanted)
        if found:
            yield f"scene {scene.name}: {'; '.join(found)}"


def _check_outlives(prepared: Prepared, settings: Settings, seconds: float | None) -> None:
    """Refuse a model that ends before the import can.

    Raises:
        ImportRefused: it does, by all that is known.
    """
    ends = (datetime.now(UTC) + timedelta(seconds=seconds or 0.0)).date()
    table = load_models(settings.models_file)
    refusal = table.lifecycle(prepared.model, prepared.platform, ends).refusal
    if refusal:
        msg = f"{refusal}; at the limits that are set this import takes until {ends} at least"
        raise ImportRefused(msg)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _unknown(
    prepared: Prepared, plan: Plan, seconds: float | None, store: Store | None
) -> Iterator[str]:
    """What no dry run can know, and what would tell it."""
    if prepared.images is None and plan.with_reference:
        yield (
            f"photos of {plan.with_reference} products are behind links that only workers fetch: "
            "one that is missing makes no picture and costs nothing"
        )
    if store is None:
        yield "what the catalog owns: SKUSCENE_STORE is not set, so every picture counts as new"
    if plan.forecast.pictures and not prepared.model.is_preview:
        yield "refusals: a refused picture costs what asking for it costs"
        yield "retries: calls that were billed and brought no picture, and doubtful ones"
        if plan.forecast.lately is None:
            yield (
                f"thinking: {prepared.model.expected_thought_tokens} tokens a picture are a guess "
                "until the ledger has calls to this model"
            )
    if seconds is None:
        yield (
            "how long it takes: no limit is known; `skuscene settings` lists SKUSCENE_QUOTA_..., "
            "such as SKUSCENE_QUOTA_IMAGES_PER_MINUTE"
        )


def _import_id(order: Order, feed: Feed, now: datetime) -> str:
    if order.import_id is None:
        return f"{now:%Y%m%dT%H%M%SZ}-{feed.facts.sha256[:8]}"
    if not _ID.match(order.import_id):
        msg = (
            f"--id {order.import_id!r}: use letters, digits, '.', '_' and '-', at most 100, "
            "beginning with a letter or digit"
        )
        raise ImportRefused(msg)
    return order.import_id


def _causes(order: Order) -> frozenset[Cause]:
    known = {cause.value for cause in Cause} - {Cause.UNCHANGED.value}
    unknown = [name for name in order.rebuy if name not in known]
    if unknown:
        msg = f"--rebuy {','.join(unknown)}: there are {', '.join(sorted(known))}"
        raise ImportRefused(msg)
    return DEFAULT_CAUSES | {Cause(name) for name in order.rebuy}


def _owned(store: Store, catalog: str) -> Owned:
    try:
        return read_owned(store, catalog)
    except OwnedUnreadable as exc:
        raise ImportRefused(str(exc)) from exc
    except ValidationError as exc:
        msg = (
            f"what catalog {catalog} owns can't be read: {exc.error_count()} faults in its manifest"
        )
        raise ImportRefused(msg) from exc


def _request(
    prepared: Prepared,
    settings: Settings,
    owned: Owned,
    store: Store | None,
    uploads: Uploads,
) -> Request:
    return Request(
        import_id=prepared.import_id,
        book=prepared.book,
        model=prepared.model,
        owned=owned,
        owned_from=store,
        causes=prepared.causes,
        images=prepared.images,
        uploads=uploads,
        also=_also(prepared, uploads),
        shard_products=settings.shard_products,
        limit=prepared.order.limit,
        lately=read_paid_lately(store, prepared.model) if store else None,
    )


def _also(prepared: Prepared, uploads: Uploads) -> dict[str, tuple[Photo, ...]]:
    """The scenes' own pictures, uploaded from beside the scene book."""
    beside = prepared.order.scenes.parent if prepared.order.scenes else Path()
    return {
        scene.name: tuple(_mood(image, beside, uploads) for image in scene.references.also)
        for scene in prepared.book.scenes
        if scene.references.also
    }


def _mood(image: str, beside: Path, uploads: Uploads) -> Photo:
    if image.startswith(("https://", "http://")):
        return mood_photo(image, image)
    path = beside / image
    if not path.is_file() or path.is_symlink():
        msg = f"references.also: {image} is not in {beside.resolve()}"
        raise ImportRefused(msg)
    return mood_photo(uploads.address(path), image)
