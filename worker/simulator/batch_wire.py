"""What does a batchGenerateContent request ask for, and what does a batch look like as JSON?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from worker.simulator import batch_refusals, refusals
from worker.simulator.batch_states import BatchState
from worker.simulator.bodies import FilePart
from worker.simulator.file_answers import wire_time
from worker.simulator.wire import invalid_field, parse_json

if TYPE_CHECKING:
    from worker.simulator.batches import Batch

MAX_INLINE_BYTES: Final = 20 * 1024 * 1024
_TYPE: Final = "type.googleapis.com/google.ai.generativelanguage.v1main."


class _Message(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class InlineRequest(_Message):
    """One request inside a create; its metadata comes back with its answer."""

    request: dict[str, JsonValue]
    metadata: dict[str, JsonValue] | None = None


class _Requests(_Message):
    requests: tuple[InlineRequest, ...] = ()


class _InputConfig(_Message):
    file_name: str = ""
    requests: _Requests = _Requests()


class AskedBatch(_Message):
    """What a create asks for: requests that came with it, or a file that has them."""

    display_name: str = ""
    input_config: _InputConfig = _InputConfig()
    model: str = ""
    priority: str | int = 0
    webhook_config: JsonValue = None

    @property
    def file_id(self) -> str:
        """The input file's id; empty if the requests are inline."""
        return self.input_config.file_name.removeprefix("files/")

    @property
    def inline(self) -> tuple[InlineRequest, ...]:
        """The requests that came with it."""
        return self.input_config.requests.requests


class _Create(_Message):
    batch: AskedBatch


def parse_create(body: bytes) -> AskedBatch:
    """Read a create's body; the requests themselves are read when they are answered.

    Raises:
        Refusal: broken JSON, an unknown field, or not exactly one source of requests.
    """
    try:
        asked = _Create.model_validate(parse_json(body)).batch
    except ValidationError as exc:
        raise invalid_field(exc) from exc
    if bool(asked.file_id) == bool(asked.inline):
        message = "Exactly one of fileName and requests has to be given."
        raise refusals.invalid_argument(message, "batch.input_config")
    if asked.inline and len(body) > MAX_INLINE_BYTES:
        raise batch_refusals.inline_too_large(MAX_INLINE_BYTES)
    return asked


def operation_parts(batch: Batch) -> tuple[bytes, tuple[bytes | FilePart, ...]]:
    """A batch as the API shows it alone: a reply's body, and the parts after it.

    Inline answers are read from disk while they are sent.
    """
    gap = uuid4().hex
    text = json.dumps(describe_batch(batch, inlined=gap))
    if batch.inline is None:
        return text.encode(), ()
    answers = (b"[", FilePart(path=batch.inline.path, size_bytes=batch.inline.size_bytes), b"]")
    first, *others = (piece.encode() for piece in text.split(f'"{gap}"'))
    return first, tuple(part for piece in others for part in (*answers, piece))


def describe_batch(batch: Batch, *, inlined: str | None = None) -> dict[str, Any]:
    """A batch as an operation; ``inlined`` stands for inline answers, else they are left out."""
    output = _output(batch, inlined)
    operation: dict[str, Any] = {"name": batch.name, "metadata": _metadata(batch, output)}
    if not batch.state.is_terminal:
        return operation
    operation["done"] = True
    if batch.error:
        code, message = batch.error
        operation["error"] = {"code": code, "message": message}
    else:
        operation["response"] = {"@type": f"{_TYPE}GenerateContentBatchOutput", **output}
    return operation


def _metadata(batch: Batch, output: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "@type": f"{_TYPE}GenerateContentBatch",
        "model": f"models/{batch.model}",
        "displayName": batch.display_name,
        "createTime": wire_time(batch.created_at),
        "updateTime": wire_time(batch.updated_at),
        "batchStats": _stats(batch),
        "state": str(batch.state),
        "name": batch.name,
    }
    if batch.input_file:
        metadata["inputConfig"] = {"fileName": batch.input_file}
    if batch.state.is_terminal:
        metadata["endTime"] = wire_time(batch.updated_at)
    if output:
        metadata["output"] = output
    return metadata


def _stats(batch: Batch) -> dict[str, str]:
    """Counts as proto JSON writes them: as text, and none that is nought."""
    pending = batch.requests - batch.succeeded - batch.failed
    counts = {
        "requestCount": batch.requests,
        "successfulRequestCount": batch.succeeded,
        "failedRequestCount": batch.failed,
        "pendingRequestCount": pending if batch.state is not BatchState.FAILED else 0,
    }
    return {name: str(count) for name, count in counts.items() if count}


def _output(batch: Batch, inlined: str | None) -> dict[str, Any]:
    if batch.result_file:
        return {"responsesFile": batch.result_file}
    if batch.inline is not None and inlined is not None:
        return {"inlinedResponses": {"inlinedResponses": inlined}}
    return {}
