"""Which states does a batch go through?"""

from __future__ import annotations

from enum import StrEnum


class BatchState(StrEnum):
    """A batch's state as the Developer API writes it."""

    PENDING = "BATCH_STATE_PENDING"
    RUNNING = "BATCH_STATE_RUNNING"
    SUCCEEDED = "BATCH_STATE_SUCCEEDED"
    PARTIALLY_SUCCEEDED = "BATCH_STATE_PARTIALLY_SUCCEEDED"
    FAILED = "BATCH_STATE_FAILED"
    CANCELLED = "BATCH_STATE_CANCELLED"
    EXPIRED = "BATCH_STATE_EXPIRED"

    @property
    def is_terminal(self) -> bool:
        """Whether it is a batch's last."""
        return self not in {BatchState.PENDING, BatchState.RUNNING}
