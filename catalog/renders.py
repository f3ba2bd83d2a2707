"""What is a render, what makes two of them the same purchase, and what is written about one?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from catalog.keys import ID_LENGTH
from catalog.money import Usd
from catalog.results import Image, ReferenceUsed
from catalog.wire import RenderId, Sha256, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """What is asked of the model, by meaning.

    ``photos`` are SHA-256 of the originals as the shop gave them, in the order in which they are
    sent. What we do to photos before sending is recorded, not part of this: a new decoder or a
    new rendition must not change what was bought.
    """

    photos: tuple[str, ...]
    prompt: str
    model: str
    size: str
    ratio: str
    picture_no: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every field: equal specs are the same purchase."""
        return _fingerprint(self)

    @property
    def render_id(self) -> str:
        """The fingerprint's first 32 hex digits."""
        return self.fingerprint[:ID_LENGTH]


@lru_cache(maxsize=1_024)
def _fingerprint(spec: RenderSpec) -> str:
    """Hash a spec; kept, since each stage of a render asks for it, some of them twice."""
    # The tag makes room for another way of hashing; changing it buys every catalog again.
    asked = json.dumps(
        {"schema": "skuscene.spec/1", **asdict(spec)},
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return hashlib.sha256(asked.encode()).hexdigest()


def seed(fingerprint: str, take_no: int) -> int:
    """The seed a take is asked with: the same for the same take, another for a retake."""
    return (int(fingerprint[:8], 16) + take_no - 1) % 2**31


# Written where it says something: what was bought as asked is written as it always was.
_SOFTENED: Any = Field(default=0, ge=0, exclude_if=lambda softened: softened == 0)


class Tokens(Wire):
    """Tokens as the model reported them."""

    input: int = 0
    output_image: int = 0
    output_text: int = 0
    thought: int = 0


class Purchase(Wire):
    """One bought picture.

    Carried by the take object itself, so that nothing else is needed to rebuild record, ledger and
    status. ``claim`` names the slot it was bought for: ``<import>/<part>/<slot index>``,
    ``revision`` the import's revision that bought it, and ``call`` the call to the model, as the
    ledger does. ``softened`` is 0 where the spec's own prompt was sent; else the buyer's first,
    second ... softer one was, and ``prompt_sha256`` is that one's hash.
    """

    take: int = Field(ge=1)
    import_id: str
    claim: str
    fingerprint: Sha256
    model_asked: str
    model_answered: str
    response_id: str
    tokens: Tokens
    micro_usd: int
    sent_at: AwareDatetime
    answered_at: AwareDatetime
    attempts: int = 1
    revision: int = 1
    call: str = ""
    softened: int = _SOFTENED
    prompt_sha256: Sha256 | None = Field(default=None, exclude_if=lambda sha256: sha256 is None)

    @property
    def cost_usd(self) -> Usd:
        """What the picture cost."""
        return Usd(self.micro_usd)

    def to_metadata(self) -> dict[str, str]:
        """Write the purchase as object metadata: ASCII, well under the 2 KB that S3 allows."""
        return {"purchase": json.dumps(self.model_dump(mode="json"), ensure_ascii=True)}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> Purchase:
        """Read the purchase back.

        Raises:
            pydantic.ValidationError: the object carries no purchase.
        """
        return cls.model_validate_json(metadata.get("purchase", "null"))


class RecordedTake(Wire):
    """A take as the record tells of it."""

    key: str
    sha256: Sha256
    bytes: int
    media_type: str
    purchase: Purchase


class Spec(Wire):
    """A :class:`RenderSpec` on the wire."""

    photos: tuple[Sha256, ...]
    prompt: str
    model: str
    size: str
    ratio: str
    picture_no: int

    @classmethod
    def of(cls, spec: RenderSpec) -> Spec:
        """Write a spec down."""
        return cls(**asdict(spec))

    def spec(self) -> RenderSpec:
        """The spec itself."""
        return RenderSpec(**dict(self))


class RenderRecord(Wire):
    """``record.json``: what was asked, bought, checked, written. Its existence is the success.

    ``softened``: which softer prompt the chosen take was bought with, if not with the spec's own;
    ``prompt_sent`` are its words.
    """

    schema_: Annotated[Literal["skuscene.record/1"], Field(alias="schema")] = "skuscene.record/1"
    render_id: RenderId
    fingerprint: Sha256
    spec: Spec
    scene: str
    sku: str
    product_id: str
    references: tuple[ReferenceUsed, ...]
    takes: tuple[RecordedTake, ...]
    chosen_take: int
    images: tuple[Image, ...]
    checks: dict[str, Any]
    verdict: Literal["pass", "review"]
    ai_generated: bool
    preview: bool
    digital_source_type: str
    finished_at: AwareDatetime
    made_by: str
    softened: int = _SOFTENED
    prompt_sent: str | None = Field(default=None, exclude_if=lambda prompt: prompt is None)

    @property
    def chosen(self) -> RecordedTake:
        """The take that is the render's master."""
        return next(take for take in self.takes if take.purchase.take == self.chosen_take)


class Refusal(Wire):
    """``refused.json``: what was refused of a render, and will be again.

    ``prompts`` are all that were tried, the render's own first; reason, message and
    ``finish_reason`` are those of the last refusal, unless an earlier one was harder. Not
    ``final``: who asked last had softer words left, and asks them next.
    """

    schema_: Annotated[Literal["skuscene.refused/1"], Field(alias="schema")] = "skuscene.refused/1"
    render_id: RenderId
    reason: str
    message: str
    finish_reason: str
    prompts: tuple[str, ...]
    cost_usd: Usd
    refused_at: AwareDatetime
    import_id: str
    revision: int = 1
    final: bool = Field(default=True, exclude_if=lambda final: final)


class LedgerLine(Wire):
    """One call to a model: enough to hold against the provider's bill.

    ``at`` is when it was sent. ``attempt`` is false where the call was not the render's fault, as
    with a rate limit or a key that is refused. ``softened`` is as in :class:`Purchase`.
    ``pool`` is empty where there is one alone.
    """

    schema_: Annotated[Literal["skuscene.ledger/1"], Field(alias="schema")] = "skuscene.ledger/1"
    at: AwareDatetime
    import_id: str
    claim: str
    render_id: RenderId
    scene: str
    sku: str
    take: int
    outcome: Literal["picture", "no_picture", "blocked", "not_sold", "doubtful"]
    reason: str | None = None
    model_asked: str
    model_answered: str = ""
    platform: str
    lane: Literal["standard", "batch"] = "standard"
    response_id: str = ""
    tokens: Tokens = Tokens()
    cost_usd: Usd
    run_s: float
    worker: str
    call: str = ""
    attempt: bool = True
    revision: int = 1
    softened: int = _SOFTENED
    pool: str = Field(default="", exclude_if=lambda pool: not pool)


class SourceVersion(Wire):
    """A photo as it was from ``fetched_at`` on; last seen unchanged at ``checked_at``."""

    fetched_at: AwareDatetime
    checked_at: AwareDatetime
    etag: str | None = None
    last_modified: str | None = None
    original_sha256: Sha256
    original_bytes: int
    reference: ReferenceUsed


class SourceEntry(Wire):
    """``sources/<sha256 of address>.json``: what an address gave us, newest last."""

    schema_: Annotated[Literal["skuscene.source/1"], Field(alias="schema")] = "skuscene.source/1"
    address: str
    versions: tuple[SourceVersion, ...] = Field(min_length=1)
