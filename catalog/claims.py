"""What travels from producers to workers, and by which task names?

A message is a claim: it names a place in a shard and carries no pictures. Task and queue names
stand here, not in the worker, so that moving a file never orphans queued messages.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from catalog.results import ReferenceUsed
from catalog.wire import ImportId, RenderId, Wire

PREPARE = "skuscene.prepare"
GENERATE = "skuscene.generate"
FINISH = "skuscene.finish"
FEED = "skuscene.feed"
COMMIT = "skuscene.commit"
PUBLISH = "skuscene.publish"
REPAIR = "skuscene.repair"

QUEUES = ("prepare", "generate", "finish", "control")
QUEUE_OF = {
    PREPARE: "prepare",
    GENERATE: "generate",
    FINISH: "finish",
    FEED: "control",
    COMMIT: "control",
    PUBLISH: "control",
    REPAIR: "finish",
}


class Claim(Wire):
    """What all messages carry: a version, and which store they speak of."""

    v: Literal[1] = 1
    store: str
    import_id: ImportId


class ImportClaim(Claim):
    """An import that should be fed, or published.

    ``refeed`` sends what is open once more, after a pause.
    """

    refeed: bool = False
    urgent: bool = False
    """Goes before what is not."""


class ShardClaim(Claim):
    """A shard whose renders are all settled."""

    part: int = Field(ge=0)


class ProductClaim(ShardClaim):
    """A product whose photos are wanted; ``product`` is its line in the shard."""

    product: int = Field(ge=0)
    attempt: int = Field(default=1, ge=1)
    urgent: bool = False
    """Goes before what is not."""


class RenderClaim(ProductClaim):
    """One render: ``slot`` is the slot's index in the shard."""

    slot: int = Field(ge=0)
    render_id: RenderId
    references: tuple[ReferenceUsed, ...]

    @property
    def name(self) -> str:
        """The slot's name in purchases: ``<import>/<part>/<slot index>``."""
        return claim_name(self.import_id, self.part, self.slot)


class RepairClaim(Claim):
    """Something of a manifest that is missing or damaged and may be made again from the store.

    With ``part`` and ``row`` (the slot's index) the files of that result line, with ``part`` alone
    the results part, with neither what the import has beside its parts. ``request`` names who
    asked: the answer (:class:`catalog.repairs.Repair`) says it again.
    """

    revision: int = Field(ge=1)
    part: int | None = Field(default=None, ge=0)
    row: int | None = Field(default=None, ge=0)
    request: str = ""
    attempt: int = Field(default=1, ge=1)


def claim_name(import_id: str, part: int, slot: int) -> str:
    """Name a slot of an import."""
    return f"{import_id}/{part}/{slot}"
