"""Which exit code does a command end with?

When several apply, the first of 4, 2, 1, 3, 0 counts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.results import ImportStatus


class Exit(IntEnum):
    """The exit codes of ``skuscene``."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REJECTED_ROWS = 3
    SERVICE = 4


def of_status(status: ImportStatus) -> Exit:
    """The exit code of an import that was waited for."""
    if status.state in {"cancelled", "paused"}:
        return Exit.FAILED
    if status.renders.failed or status.renders.blocked:
        return Exit.FAILED
    return Exit.REJECTED_ROWS if status.rows.rejected else Exit.DONE
