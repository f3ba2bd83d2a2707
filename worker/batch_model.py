"""What do we ask of a model's batch service, and what does it give back?

The port of the half-price lane, beside :mod:`worker.model`. A batch is created once under a name of
our own; no service makes that idempotent, so that who is not sure whether a create went through
asks for batches of that name before trying again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from worker.errors import RenderError
    from worker.model import Answer, TakeRequest


class BatchState(StrEnum):
    """Where a batch stands, by the platform's word; ``UNKNOWN`` is a word that we don't know."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    PARTIAL = "partially_succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


TERMINAL: Final = frozenset(
    {
        BatchState.SUCCEEDED,
        BatchState.PARTIAL,
        BatchState.FAILED,
        BatchState.CANCELLED,
        BatchState.EXPIRED,
    }
)
"""Nothing more is bought by a batch in one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """One picture that a batch asks for; ``key`` is its identity, whatever order answers have."""

    key: str
    request: TakeRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as the platform tells of it.

    ``name`` is the platform's, ``display_name`` ours. ``results`` names where its answers lie,
    empty until there are any. ``fault`` is the platform's word on a batch that failed as a whole.
    """

    name: str
    display_name: str
    state: BatchState
    requests: int = 0
    answered: int = 0
    refused: int = 0
    results: str = ""
    fault: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is bought by it."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What a batch says of one of its lines: an answer, or why there is none.

    ``key`` is empty where a line can't be read.
    """

    key: str
    answer: Answer | None = None
    fault: RenderError | None = None


class BatchModel(Protocol):
    """A model's batch service."""

    def upload(self, display_name: str, lines: Iterable[BatchLine]) -> str:
        """Bring the lines to the platform; returns where they lie.

        Buys nothing and may be repeated. Memory: one line at a time.

        Raises:
            TryLater, Limited, LaneStopped, Refused: nothing was created.
        """
        ...

    def create(self, model_id: str, display_name: str, place: str) -> Batch:
        """Order what was uploaded: from here on it may be bought, at the batch's price.

        Raises:
            OutcomeUnknown: the request left and no whole answer came: there may be a batch.
            TryLater, Limited, LaneStopped, Refused: there is none.
        """
        ...

    def find(self, display_name: str) -> tuple[Batch, ...]:
        """All batches of that name; reads the platform's whole list.

        Raises:
            TryLater, Limited, LaneStopped: it can't be asked now.
        """
        ...

    def get(self, name: str) -> Batch | None:
        """A batch as it stands now; ``None`` if the platform does not know it (any more).

        Raises:
            TryLater, Limited, LaneStopped: it can't be asked now.
        """
        ...

    def cancel(self, name: str) -> None:
        """Ask that nothing more of it is bought; it is over when :meth:`get` says so.

        Raises:
            TryLater, Limited, LaneStopped: it was not asked.
        """
        ...

    def results(self, batch: Batch, *, sent_at: datetime) -> Iterator[BatchResult]:
        """Read a finished batch's answers, in whatever order they come; one line in memory.

        May be repeated from the start.

        Raises:
            TryLater, Limited, LaneStopped: they could not be read (to their end).
        """
        ...

    def forget(self, place: str) -> None:
        """Delete an uploaded or a result file; one that is gone is no fault.

        Raises:
            TryLater, Limited, LaneStopped: it was not deleted.
        """
        ...

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        ...
