"""Which batches are there, and may there be one more?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypedDict
from uuid import uuid4

from worker.simulator import batch_refusals
from worker.simulator.batch_states import BatchState

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from worker.simulator.files import Content

EXPIRES_HOURS: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How many batches may be open, and with how many tokens per model; ``None`` is no limit."""

    open_batches: int = 100
    enqueued_tokens: int | None = None


class ToldBatch(TypedDict):
    """A batch as ``GET /_sim/batches`` answers it.

    ``input`` is empty if its requests were inline; so is ``results`` then, or if there are none.
    ``downloads`` are those of its results that were delivered whole.
    """

    name: str
    display_name: str
    state: BatchState
    model: str
    caller: str
    created_s: float
    tokens: int
    requests: int
    succeeded: int
    failed: int
    sold: int
    input: str
    results: str
    downloads: int
    is_cancelled: bool
    is_deleted: bool


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch: what was asked for, and how far it has come.

    ``input_file`` is empty where the requests were inline; their answers are ``inline`` then, and
    else in ``result_file``. ``halts_s``, on the simulator's clock, is when it ends if its work
    has not: at first 48 hours after its creation, earlier once it is to be cancelled, which takes
    ``cancel_s``.
    """

    number: int
    model: str
    display_name: str
    caller: str
    input_file: str
    tokens: int
    requests: int
    created_s: float
    halts_s: float
    cancel_s: float
    id: str = field(default_factory=lambda: uuid4().hex)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: BatchState = BatchState.PENDING
    succeeded: int = 0
    failed: int = 0
    sold: int = 0
    error: tuple[int, str] | None = None
    result_file: str = ""
    inline: Content | None = None
    downloads: int = 0
    is_cancelled: bool = False
    is_deleted: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """Its name on the wire."""
        return f"batches/{self.id}"

    @property
    def has_results(self) -> bool:
        """Whether there is anything to fetch."""
        return bool(self.result_file or self.inline)

    def told(self) -> ToldBatch:
        """What the simulator's owner is told."""
        return ToldBatch(
            name=self.name,
            display_name=self.display_name,
            state=self.state,
            model=self.model,
            caller=self.caller,
            created_s=round(self.created_s, 6),
            tokens=self.tokens,
            requests=self.requests,
            succeeded=self.succeeded,
            failed=self.failed,
            sold=self.sold,
            input=self.input_file,
            results=self.result_file,
            downloads=self.downloads,
            is_cancelled=self.is_cancelled,
            is_deleted=self.is_deleted,
        )

    def cancel(self, halts_s: float) -> None:
        """Let it end at that time, on the simulator's clock, if it has not until then."""
        self.is_cancelled = True
        self.halts_s = min(self.halts_s, halts_s)
        self.changed.set()

    def move(self, state: BatchState) -> None:
        """Come into another state."""
        self.state = state
        self.updated_at = datetime.now(UTC)


class Batches:
    """All batches, and the tasks that run them; belongs to one event loop."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._batches: dict[str, Batch] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._made = 0

    def check_room(self, model: str, tokens: int = 0) -> None:
        """Let one more batch in; changes nothing.

        Raises:
            Refusal: too many are open, or the model's hold too many tokens with it.
        """
        waiting = [batch for batch in self._batches.values() if not batch.state.is_terminal]
        if len(waiting) >= self._limits.open_batches:
            raise batch_refusals.too_many_batches(self._limits.open_batches)
        most = self._limits.enqueued_tokens
        enqueued = sum(batch.tokens for batch in waiting if batch.model == model)
        if most is not None and enqueued + tokens > most:
            raise batch_refusals.too_many_tokens(model, most)

    def next_number(self) -> int:
        """Higher than any before."""
        self._made += 1
        return self._made

    def add(self, batch: Batch, run: Coroutine[None, None, None]) -> None:
        """Know a batch from now on, and let it run."""
        self._batches[batch.id] = batch
        task = asyncio.create_task(run, name=batch.name)
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)

    def all(self) -> list[Batch]:
        """Every batch since the start or the last reset, deleted ones too."""
        return list(self._batches.values())

    def find(self, batch_id: str) -> Batch:
        """A batch that was not deleted.

        Raises:
            Refusal: there is none of that name.
        """
        batch = self._batches.get(batch_id)
        if batch is None or batch.is_deleted:
            raise batch_refusals.batch_not_found(batch_id)
        return batch

    def note_download(self, result_file: str) -> None:
        """A client has a result file whole."""
        for batch in self._batches.values():
            batch.downloads += batch.result_file == result_file

    def clear(self) -> None:
        """Stop and forget all of them."""
        for run in tuple(self._runs):
            run.cancel()
        self._batches.clear()

    async def stop(self) -> None:
        """Stop all of them, and wait until they have."""
        runs = tuple(self._runs)
        self.clear()
        await asyncio.gather(*runs, return_exceptions=True)
