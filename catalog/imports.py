"""What is an import, how is its plan written, and what do people want of it?"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from catalog.money import ZERO, Usd
from catalog.product import Photo
from catalog.results import ManifestFile, ResultLine, RowCounts
from catalog.scenes import MAX_SOFTER, SceneBook
from catalog.wire import ImportId, Sha256, Wire


class PlannedSlot(Wire):
    """One wanted picture: where it goes and what will be asked.

    ``index`` counts the slots of the shard; ``photos`` point into the product's photos, in the
    order in which they are sent. ``softer`` are asked, one after the other, once ``prompt`` was
    refused; they are no part of what makes two renders the same.
    """

    index: int = Field(ge=0)
    slot: str
    sku: str
    scene: str
    picture_no: int = Field(ge=1)
    locale: str | None = None
    prompt: str
    softer: tuple[str, ...] = Field(
        default=(), max_length=MAX_SOFTER, exclude_if=lambda softer: not softer
    )
    model: str
    size: str
    ratio: str
    photos: tuple[int, ...] = Field(min_length=1)
    renditions: tuple[str, ...]
    cause: str
    estimated_usd: Usd = ZERO

    @property
    def wordings(self) -> tuple[str, ...]:
        """What may be asked, in this order: 0 is the prompt, 1 the first softer one, and so on."""
        return (self.prompt, *self.softer)


class PlannedProduct(Wire):
    """One line of a shard: a product and its slots."""

    row: int
    product_id: str
    sku: str
    skus: tuple[str, ...]
    title: str
    photos: tuple[Photo, ...]
    slots: tuple[PlannedSlot, ...]


class PlanPart(Wire):
    """A shard as import.json lists it."""

    part: int
    key: str
    products: int
    renders: int
    bytes: int
    sha256: Sha256


class FeedSummary(Wire):
    """Which file was imported, and what it was taken for."""

    name: str
    sha256: Sha256
    bytes: int
    format: str
    encoding: str


class ModelChoice(Wire):
    """The model, as asked for and as pinned at planning."""

    asked: str
    id: str
    platform: str


class CauseCount(Wire):
    """Renders wanted for one cause, and what buying them costs."""

    renders: int = 0
    estimated_usd: Usd = ZERO


class Estimate(Wire):
    """The price of what would be bought, both ways."""

    standard: Usd = ZERO
    batch: Usd = ZERO


class UsdRange(Wire):
    """From what it costs at least to what it costs at most, unless things go badly wrong."""

    low: Usd = ZERO
    high: Usd = ZERO


class EstimateRange(Wire):
    """The same for both lanes."""

    standard: UsdRange = UsdRange()
    batch: UsdRange = UsdRange()


class SizeEstimate(Wire):
    """Renders of one size that would be bought, and their price."""

    renders: int = 0
    estimate_usd: Estimate = Estimate()


class Counts(Wire):
    """What planning counted."""

    products: int = 0
    variants: int = 0
    with_reference: int = 0
    renders: int = 0


class Import(Wire):
    """``import.json``: what was asked. Written last by planning: its existence is the plan.

    ``estimate_usd`` is what is expected, on the ``estimate_basis``; ``seconds_at_quota`` is
    ``null`` where no limit is known.
    """

    schema_: Annotated[Literal["skuscene.import/1"], Field(alias="schema")] = "skuscene.import/1"
    import_id: ImportId
    catalog: str
    created_at: AwareDatetime
    feed: FeedSummary
    scenes: SceneBook
    scenes_sha256: Sha256
    model: ModelChoice
    lane: Literal["standard", "batch"] = "standard"
    budget_usd: Usd | None = None
    urgent: bool = False
    """A small import: its renders go before those of others."""
    counts: Counts
    rows: RowCounts
    reasons: dict[str, int]
    causes: dict[str, CauseCount]
    estimate_usd: Estimate
    estimate_range_usd: EstimateRange | None = None
    estimate_basis: str = ""
    by_size: dict[str, SizeEstimate] = Field(default={})
    seconds_at_quota: float | None = None
    parts: tuple[PlanPart, ...]
    rejected: ManifestFile | None = None
    warnings: tuple[str, ...] = ()
    made_by: str

    @property
    def expected_usd(self) -> Usd:
        """What it is expected to cost in its lane."""
        return self.estimate_usd.batch if self.lane == "batch" else self.estimate_usd.standard


class Control(Wire):
    """``control.json``: intent. Redis only caches it; replaced on its ETag.

    ``revision`` is the one that the intent was spoken to.
    """

    schema_: Annotated[Literal["skuscene.control/1"], Field(alias="schema")] = "skuscene.control/1"
    import_id: ImportId
    intent: Literal["run", "pause", "cancel"] = "run"
    reason: str | None = None
    message: str | None = None
    budget_usd: Usd | None = None
    priority: int = 0
    revision: int = 1
    by: str
    at: AwareDatetime

    def intent_for(self, revision: int) -> Literal["run", "pause", "cancel"]:
        """What is wanted of a revision: a word to an earlier one has had its effect."""
        return self.intent if self.revision >= revision else "run"


class Retry(Wire):
    """``retry.r<N>.json``: which rows of the revision before are run again. Created once.

    While there is no ``manifest.r<N>.json``, that revision is being made. ``parts`` are the shards
    that hold such rows, ``renders`` is how many there are.
    """

    schema_: Annotated[Literal["skuscene.retry/1"], Field(alias="schema")] = "skuscene.retry/1"
    import_id: ImportId
    revision: int = Field(ge=2)
    statuses: tuple[Literal["failed", "blocked", "cancelled"], ...] = Field(min_length=1)
    reason: str | None = None
    skus: tuple[str, ...] = ()
    parts: tuple[int, ...] = Field(min_length=1)
    renders: int = Field(ge=1)
    by: str
    at: AwareDatetime

    def wants(self, line: ResultLine) -> bool:
        """Whether a row is to be run again."""
        if line.status.value not in self.statuses or self.reason not in {None, line.reason}:
            return False
        return not self.skus or not {line.sku, *line.skus}.isdisjoint(self.skus)


class DryRun(Wire):
    """What ``import --dry-run --json`` prints.

    ``estimate_usd`` is what is expected, on the ``estimate_basis``, within ``estimate_range_usd``;
    ``by_size`` splits it. ``seconds_at_quota`` is how long the calls take at least at the limits
    that are set, ``null`` where none is. ``unknown`` says what no dry run can know.
    """

    format: str
    encoding: str
    rows: int
    products: int
    variants: int
    with_reference: int
    rejected: int
    reasons: dict[str, int]
    renders: int
    causes: dict[str, CauseCount]
    estimate_usd: Estimate
    estimate_range_usd: EstimateRange
    estimate_basis: str
    by_size: dict[str, SizeEstimate]
    seconds_at_quota: float | None
    unknown: tuple[str, ...]
    warnings: tuple[str, ...]
    model: dict[str, Any]
