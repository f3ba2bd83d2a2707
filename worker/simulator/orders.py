"""What can be ordered besides what becomes of a call?

An order's name begins with what it is about: ``batch:expired``, ``result:torn``, ``create:lost``.
What becomes of a call, in a batch or not, goes without (:mod:`worker.simulator.outcomes`).
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
    CREATE = "create"
    GET = "get"
    LIST = "list"
    CANCEL = "cancel"
    DELETE = "delete"
    UPLOAD = "upload"
    FILE = "file"
    DOWNLOAD = "download"


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


class Fault(StrEnum):
    """What goes wrong with a request about files or batches; the last three when it is done."""

    WRONG = "400"
    UNAUTHENTICATED = "401"
    FORBIDDEN = "403"
    MISSING = "404"
    EXHAUSTED = "429"
    EXHAUSTED_FOR_A_WHILE = "429_retryinfo"
    INTERNAL = "500"
    INTERNAL_HTML = "500_html"
    UNAVAILABLE = "503"
    TOO_SLOW = "504"
    HANG = "hang"
    SILENT = "silent"
    LOST = "lost"
    CUT = "cut"


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


REQUESTS: Final[Mapping[Scope, str]] = MappingProxyType(
    {
        Scope.CREATE: "creating a batch",
        Scope.GET: "reading a batch",
        Scope.LIST: "listing batches",
        Scope.CANCEL: "cancelling a batch",
        Scope.DELETE: "deleting a batch",
        Scope.UPLOAD: "each request of an upload",
        Scope.FILE: "reading, listing or deleting files",
        Scope.DOWNLOAD: "downloading a result",
    }
)
"""The requests that each :class:`Fault` can be ordered for, as ``create:lost``."""

FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "400": "INVALID_ARGUMENT",
        "401": "UNAUTHENTICATED",
        "403": "PERMISSION_DENIED",
        "404": "NOT_FOUND, though it is there",
        "429": "RESOURCE_EXHAUSTED, without RetryInfo",
        "429_retryinfo": "RESOURCE_EXHAUSTED, RetryInfo of `delay_s`",
        "500": "INTERNAL",
        "500_html": "500 with an HTML page",
        "503": "UNAVAILABLE",
        "504": "DEADLINE_EXCEEDED",
        "hang": "silence until the client leaves; nothing was done",
        "silent": "done, and silence until the client leaves",
        "lost": "done, and the connection is closed without a byte",
        "cut": "done, and closed in the middle of the answer (`reset: true`: with a TCP reset)",
    }
)
"""Every fault of a request by name, with what it does."""


def scope_of(name: str) -> Scope:
    """What the order of that name is about.

    Raises:
        LookupError: there is none of that name.
    """
    if name in OUTCOMES:
        return Scope.CALL
    about, _, what = name.partition(":")
    if name in ORDERS or (about in set(REQUESTS) and what in FAULTS):
        return Scope(about)
    message = (
        f"no outcome {name!r}; there are {', '.join((*OUTCOMES, *ORDERS))}; and after "
        f"{', '.join(f'{scope}:' for scope in REQUESTS)} {', '.join(FAULTS)}"
    )
    raise LookupError(message)
