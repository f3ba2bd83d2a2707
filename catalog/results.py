"""What became of a render, and what does an import publish?

The shapes that e-commerce pipelines read: the result line and the manifest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from catalog.money import ZERO, Usd
from catalog.wire import ImportId, RenderId, Sha256, Wire


class Status(StrEnum):
    """Where a render ended."""

    SUCCEEDED = "succeeded"
    REUSED = "reused"
    REVIEW = "review"
    BLOCKED = "blocked"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Image(Wire):
    """One file of a render; facts are measured from the bytes written.

    ``key`` is relative to the store's prefix; ``url`` stands only with a public base URL set.
    """

    role: Literal["master", "rendition"]
    name: str
    key: str
    sha256: Sha256
    bytes: int = Field(ge=0)
    width_px: int = Field(ge=0)
    height_px: int = Field(ge=0)
    media_type: str
    url: str | None = Field(default=None, exclude_if=lambda url: url is None)


class ReferenceUsed(Wire):
    """A photo that was sent: the shop's own bytes by hash, and what we made of them."""

    address: str
    original_sha256: Sha256
    key: str
    media_type: str
    width_px: int
    height_px: int


class Provenance(Wire):
    """Where a picture comes from: enough to say what was asked of whom, and what it was sold as.

    ``prompt_sha256`` is of the prompt that was asked for. Where the model refused that one and sold
    the picture for a softer one, ``softened`` says for which, and ``sent_prompt_sha256`` is its
    hash.
    """

    ai_generated: bool
    preview: bool
    digital_source_type: str
    model_asked: str
    model_answered: str
    response_id: str
    fingerprint: Sha256
    prompt_sha256: Sha256
    ratio: str
    size: str
    references: tuple[ReferenceUsed, ...]
    take: int
    bought_by: str
    bought_at: AwareDatetime
    softened: int = Field(default=0, ge=0, exclude_if=lambda softened: softened == 0)
    sent_prompt_sha256: Sha256 | None = Field(
        default=None, exclude_if=lambda sha256: sha256 is None
    )


class ResultLine(Wire):
    """One line of a results part: one slot's render.

    ``slot`` and ``photos`` (the addresses that were asked for) are what the next import compares.
    """

    schema_: Annotated[Literal["skuscene.result/1"], Field(alias="schema")] = "skuscene.result/1"
    import_id: ImportId
    row: int
    sku: str
    skus: tuple[str, ...]
    product_id: str
    title: str
    scene: str
    picture_no: int
    locale: str | None
    slot: str
    photos: tuple[str, ...] = ()
    cause: str
    status: Status
    reason: str | None = None
    message: str | None = None
    render_id: RenderId | None = None
    images: tuple[Image, ...] = ()
    cost_usd: Usd = ZERO
    provenance: Provenance | None = None
    checks: dict[str, Any] = Field(default={})
    attempts: int = 0


class RenderCounts(Wire):
    """How many renders stand where; ``expected`` is the sum of all others."""

    expected: int = 0
    succeeded: int = 0
    reused: int = 0
    review: int = 0
    blocked: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = 0

    @property
    def settled(self) -> int:
        """Renders that have an outcome."""
        return self.expected - self.open


class RowCounts(Wire):
    """Feed rows read, and how many of them were rejected."""

    read: int
    rejected: int


class Costs(Wire):
    """Money of one import."""

    estimated: Usd = ZERO
    spent: Usd = ZERO
    doubtful: Usd = ZERO


class ManifestPart(Wire):
    """A results part: one line per render, gzip-compressed JSON Lines."""

    part: int
    key: str
    rows: int
    bytes: int
    sha256: Sha256
    counts: RenderCounts
    cost_usd: Usd


class Manifest(Wire):
    """What an import delivered. It appears whole: what it names exists, with that checksum."""

    schema_: Annotated[Literal["skuscene.manifest/1"], Field(alias="schema")] = (
        "skuscene.manifest/1"
    )
    import_id: ImportId
    revision: int = Field(ge=1)
    state: Literal["complete", "cancelled"]
    catalog: str
    feed: dict[str, Any]
    model: str
    preview: bool
    products: int
    rows: RowCounts
    counts: RenderCounts
    cost_usd: Costs
    parts: tuple[ManifestPart, ...]
    rejected: ManifestFile | None
    gallery: str
    started_at: AwareDatetime
    published_at: AwareDatetime
    made_by: str


class ManifestFile(Wire):
    """A file beside the parts."""

    key: str
    rows: int
    bytes: int
    sha256: Sha256


class ShardCounts(Wire):
    """Shards of an import, and how many of them are committed."""

    total: int
    committed: int


class ImportStatus(Wire):
    """What ``status --json`` prints."""

    import_id: ImportId
    state: Literal["planning", "running", "paused", "publishing", "complete", "cancelled"]
    reason: str | None
    products: int
    rows: RowCounts
    renders: RenderCounts
    cost_usd: Costs
    shards: ShardCounts
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    eta_s: float | None


Manifest.model_rebuild()


class CatalogPointer(Wire):
    """``catalogs/<name>/current.json``: the catalog's newest good manifest."""

    schema_: Annotated[Literal["skuscene.catalog/1"], Field(alias="schema")] = "skuscene.catalog/1"
    catalog: str
    import_id: ImportId
    revision: int
    manifest: str
    sha256: Sha256
    updated_at: AwareDatetime
