"""What can be ordered besides what becomes of a call?

An order's name begins with what it is about: ``batch:expired``, ``result:torn``. What becomes of a
call, in a batch or not, goes without (:mod:`worker.simulator.outcomes`).
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from worker.simulator.outcomes import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping


class Scope(StrEnum):
    """What an order is about."""

    CALL = "call"
    BATCH = "batch"
    RESULT = "result"


class BatchOrder(StrEnum):
    """How a batch is to go; one per batch."""

    SUCCEEDED = "batch:succeeded"
    STUCK_PENDING = "batch:stuck_pending"
    STUCK_RUNNING = "batch:stuck_running"
    EXPIRED = "batch:expired"
    FAILED = "batch:failed"
    CANCELLED = "batch:cancelled"
    PARTLY_MISSING = "batch:partly_missing"
    PARTLY_FAILED = "batch:partly_failed"


class ResultOrder(StrEnum):
    """What is wrong with a result file; each for itself."""

    DROPPED = "result:dropped"
    DOUBLED = "result:doubled"
    UNKNOWN = "result:unknown"
    TORN = "result:torn"


_ABOUT: Final = {
    BatchOrder.SUCCEEDED: "ends SUCCEEDED when its time has come; what it does without an order",
    BatchOrder.STUCK_PENDING: "stays PENDING until it is EXPIRED",
    BatchOrder.STUCK_RUNNING: "stops after `share` of its lines, stays RUNNING until it is EXPIRED",
    BatchOrder.EXPIRED: "makes nothing, and is EXPIRED when its time has come",
    BatchOrder.FAILED: "makes nothing, and is FAILED when its time has come",
    BatchOrder.CANCELLED: "the platform ends it CANCELLED after `share` of its lines",
    BatchOrder.PARTLY_MISSING: "PARTIALLY_SUCCEEDED; `share` of its lines are not made",
    BatchOrder.PARTLY_FAILED: "PARTIALLY_SUCCEEDED; `share` of its lines are errors (13)",
    ResultOrder.DROPPED: "`share` of the lines are missing, made and sold all the same",
    ResultOrder.DOUBLED: "`share` of the lines stand there twice",
    ResultOrder.UNKNOWN: "one more line, with a key that nobody gave",
    ResultOrder.TORN: "it ends in the middle of its last line",
}

ORDERS: Final[Mapping[str, str]] = MappingProxyType(
    {str(order): about for order, about in _ABOUT.items()}
)
"""Every order by name, with what it does."""


def scope_of(name: str) -> Scope:
    """What the order of that name is about.

    Raises:
        LookupError: there is none of that name.
    """
    if name in OUTCOMES:
        return Scope.CALL
    if name not in ORDERS:
        message = f"no outcome {name!r}; there are {', '.join((*OUTCOMES, *ORDERS))}"
        raise LookupError(message)
    return Scope(name.partition(":")[0])
