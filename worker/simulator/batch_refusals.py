"""How do the endpoints of files and batches say no?

Statuses are the documented ones, and those that users report; of quotas of storage and batches no
whole report was found: their ids are made up.
"""

from __future__ import annotations

from typing import Final

from worker.simulator.refusals import Quoted, Refusal, invalid_argument, quota_exceeded

STORAGE_METRIC: Final = "generativelanguage.googleapis.com/file_storage_bytes"


def file_not_found(file_id: str) -> Refusal:
    """403: word for word what users report, of files that are gone as well as of others' files."""
    return Refusal(
        403,
        f"You do not have permission to access the File {file_id} or it may not exist.",
        outcome="403",
    )


def file_exists(file_id: str) -> Refusal:
    """409: the name that the client chose is taken."""
    return Refusal(409, f"Requested entity files/{file_id} already exists.", outcome="409")


def file_too_large(size_bytes: int, limit_bytes: int) -> Refusal:
    """400: more than one file may hold."""
    return invalid_argument(f"A file of {size_bytes} bytes; {limit_bytes} is the most.", "file")


def not_downloadable(file_id: str) -> Refusal:
    """400: it was uploaded, and only what the platform made can be downloaded."""
    return invalid_argument(f"File {file_id} was uploaded: only generated files can be downloaded.")


def storage_full(limit_bytes: int) -> Refusal:
    """429: no room for another file; it names no time, since files end at their own."""
    quota = Quoted(id="FileStorageBytesPerProject", metric=STORAGE_METRIC)
    return quota_exceeded(None, quota, value=str(limit_bytes), delay_s=None, outcome="429")
