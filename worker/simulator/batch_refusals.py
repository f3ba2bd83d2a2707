"""How do the endpoints of files and batches say no?

Statuses are the documented ones, and those that users report; of quotas of storage and batches no
whole report was found: their ids are made up.
"""

from __future__ import annotations

from typing import Final

from worker.simulator.refusals import Quoted, Refusal, invalid_argument, quota_exceeded

STORAGE_METRIC: Final = "generativelanguage.googleapis.com/file_storage_bytes"
BATCHES_METRIC: Final = "generativelanguage.googleapis.com/concurrent_batches"
ENQUEUED_METRIC: Final = "generativelanguage.googleapis.com/batch_enqueued_tokens"


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


def batch_not_found(batch_id: str) -> Refusal:
    """404: no such batch, or one that was deleted."""
    return Refusal(404, f"Requested entity batches/{batch_id} was not found.", outcome="404")


def batch_is_over(batch_id: str) -> Refusal:
    """400 FAILED_PRECONDITION: only what is pending or running can be cancelled."""
    return Refusal(
        400,
        f"Batch batches/{batch_id} is neither pending nor running.",
        outcome="400",
        status_word="FAILED_PRECONDITION",
    )


def inline_too_large(limit_bytes: int) -> Refusal:
    """400: more inline requests than a create may hold."""
    return invalid_argument(f"Request payload size exceeds the limit: {limit_bytes} bytes.")


def too_many_batches(limit: int) -> Refusal:
    """429: as many batches are open as may be; it names no time."""
    quota = Quoted(id="ConcurrentBatchesPerProject", metric=BATCHES_METRIC)
    return quota_exceeded(None, quota, value=str(limit), delay_s=None, outcome="429")


def too_many_tokens(model: str, limit: int) -> Refusal:
    """429: the model's open batches would hold more tokens than may wait; it names no time."""
    quota = Quoted(id="BatchEnqueuedTokensPerProjectPerModel", metric=ENQUEUED_METRIC)
    return quota_exceeded(model, quota, value=str(limit), delay_s=None, outcome="429")


def not_found() -> Refusal:
    """404 of whatever was asked for."""
    return Refusal(404, "Requested entity was not found.", outcome="404")


def exhausted(delay_s: float | None) -> Refusal:
    """429 that names no quota; with a delay, RetryInfo."""
    outcome = "429" if delay_s is None else "429_retryinfo"
    return quota_exceeded(None, None, value=None, delay_s=delay_s, outcome=outcome)
