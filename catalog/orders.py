"""What was ordered of a model's batch service, and where does each order stand?

An order is one batch. It is written down before anything leaves, under the name that the batch
will show, and it holds its renders until its answers are in the store: what Redis says of that is a
copy. Written again, on its ETag, at each step; steps are never taken back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, Field

from catalog import keys
from catalog.results import ReferenceUsed
from catalog.store.port import Conflict
from catalog.wire import ImportId, RenderId, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.store.port import Store

JSON = "application/json"


class Step(StrEnum):
    """How far an order has come."""

    WRITTEN = "written"
    """Nothing has left; which of its renders may be bought is not known yet."""
    ADMITTED = "admitted"
    """Its money is set aside; its lines may be on their way to the platform."""
    UPLOADED = "uploaded"
    """Its lines are there. A batch may have been asked for: see ``asked_at``."""
    PLACED = "placed"
    """There is a batch, which buys."""
    OVER = "over"
    """The batch buys nothing more; its answers are being read."""
    DONE = "done"
    """All that it brought is in the store, and its renders are free."""


class OrderedRender(Wire):
    """One picture of an order; ``call`` names its call in the ledger, as a call of its own would.

    ``softened`` is 0 for the slot's own prompt, else the first, second ... softer one.
    """

    slot: int = Field(ge=0)
    product: int = Field(ge=0)
    render_id: RenderId
    call: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    references: tuple[ReferenceUsed, ...]
    softened: int = 0
    attempts: int = 1


class Order(Wire):
    """``imports/<import>/orders/<part>-<sequence>-<attempt>.json``.

    ``sequence`` counts the orders of a shard, ``attempt`` how often its renders were ordered.
    ``place`` is where its lines lie on the platform, ``batch`` the platform's name of it, ``told``
    the state that the platform told last, since ``told_at``. ``worker`` wrote it, and stands in its
    calls' ledger lines whoever brings them home. ``asked_at`` is when a batch was last
    asked for. ``reports`` are what came back and was not asked for, or cannot be read.
    """

    schema_: Annotated[Literal["skuscene.order/1"], Field(alias="schema")] = "skuscene.order/1"
    import_id: ImportId
    revision: int = 1
    part: int = Field(ge=0)
    sequence: int = Field(ge=1)
    attempt: int = Field(default=1, ge=1)
    model: str
    platform: str
    pool: str = Field(default="", exclude_if=lambda pool: not pool)
    worker: str
    renders: tuple[OrderedRender, ...]
    step: Step = Step.WRITTEN
    written_at: AwareDatetime
    place: str = ""
    asked_at: AwareDatetime | None = None
    batch: str = ""
    placed_at: AwareDatetime | None = None
    told: str = ""
    told_at: AwareDatetime | None = None
    results: str = ""
    cancelled_because: str = ""
    pictures: int = 0
    refused: int = 0
    unanswered: int = 0
    reports: tuple[str, ...] = ()
    done_at: AwareDatetime | None = None

    @property
    def order_id(self) -> str:
        """Its name, which the batch shows."""
        return f"{self.import_id}.{self.part:05}.{self.sequence}.{self.attempt}"

    @property
    def key(self) -> str:
        """Where it lies in the store."""
        return keys.order(self.import_id, self.part, self.sequence, self.attempt)


def write_order(store: Store, order: Order) -> bool:
    """Write a new order; ``False`` if one of that name is there."""
    return store.create(order.key, order.to_json(indent=2), media_type=JSON).won


def change_order(store: Store, order: Order) -> bool:
    """Write an order anew, unless somebody else has taken it further meanwhile.

    ``False`` says so: read it again. Costs two requests.

    Raises:
        StoreError: the store can't be asked.
    """
    found = store.read(order.key)
    if found is None or _further(Order.from_json(found.content), order):
        return False
    try:
        store.replace(order.key, order.to_json(indent=2), media_type=JSON, etag=found.etag)
    except Conflict:
        return False
    return True


def _further(there: Order, ours: Order) -> bool:
    steps = list(Step)
    return steps.index(there.step) > steps.index(ours.step)


def read_order(store: Store, key: str) -> Order | None:
    """An order; ``None`` if there is none."""
    found = store.read(key)
    return None if found is None else Order.from_json(found.content)


def orders_of(store: Store, import_id: str, part: int | None = None) -> Iterator[Order]:
    """Every order of an import, or of one of its shards; costs a listing and a read for each."""
    for entry in store.list(keys.orders(import_id, part)):
        order = read_order(store, entry.key)
        if order is not None:
            yield order
