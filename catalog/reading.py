"""Can this version read what a message says?

Both sides ask here: a worker before it works a message, a producer before it replays one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from catalog import claims
from catalog.claims import Claim, ImportClaim, ProductClaim, RenderClaim, RepairClaim, ShardClaim

if TYPE_CHECKING:
    from collections.abc import Mapping

SHAPES: Final[Mapping[str, type[Claim]]] = {
    claims.PREPARE: ProductClaim,
    claims.GENERATE: RenderClaim,
    claims.FINISH: RenderClaim,
    claims.FEED: ImportClaim,
    claims.COMMIT: ShardClaim,
    claims.PUBLISH: ImportClaim,
    claims.REPAIR: RepairClaim,
}
"""What a message of each task carries."""

NEWEST: Final = int(Claim.model_fields["v"].default)
"""The newest version of claims that we write and read."""

_UPGRADE: Final = "upgrade this worker, then `skuscene parked replay`"
_ARGUMENT_PARTS: Final = 3
_LONGEST_NAME: Final = 200
_MOST_FAULTS: Final = 5


class Unreadable(ValueError):
    """A message can't be read as a claim; the text says why, and what now if that is known."""


def read_claim(task: str, payload: object) -> Claim:
    """Read the payload of a task's message.

    Raises:
        Unreadable: there is no such task, or its messages look different.
    """
    shape = SHAPES.get(task)
    if shape is None:
        name = repr(task[:_LONGEST_NAME])
        msg = f"there is no task {name} here; if a newer version sent it, {_UPGRADE}"
        raise Unreadable(msg)
    newer = sent_by_newer(payload)
    if newer is not None:
        raise Unreadable(newer)
    try:
        return shape.model_validate_json(json.dumps(payload))
    except ValidationError as exc:
        msg = f"it can't be read: {_faults(exc)}"
        raise Unreadable(msg) from exc
    except (TypeError, ValueError, RecursionError) as exc:
        msg = f"it is no JSON: {exc}"
        raise Unreadable(msg) from exc


def _faults(exc: ValidationError) -> str:
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'payload'}: {one['msg']}" for one in found]
    more = f" and {len(told) - _MOST_FAULTS} more" if len(told) > _MOST_FAULTS else ""
    return "; ".join(told[:_MOST_FAULTS]) + more


def sent_by_newer(payload: object) -> str | None:
    """What to say of a payload whose version is above ours; ``None`` for any other one."""
    version = payload.get("v") if isinstance(payload, dict) else None
    if not isinstance(version, int) or version <= NEWEST:
        return None
    return f"it was sent by a newer version (v {version}; we read {NEWEST}): {_UPGRADE}"


def read_body(body: bytes) -> object:
    """The payload in a message's body, which is JSON: ``[[payload], {}, {}]``.

    Raises:
        Unreadable: it is no JSON, or not one payload and nothing else.
    """
    try:
        arguments = json.loads(body.decode())
    except (ValueError, RecursionError) as exc:
        msg = f"its body is no JSON: {exc}"
        raise Unreadable(msg) from exc
    if not isinstance(arguments, list) or len(arguments) != _ARGUMENT_PARTS:
        msg = "its body is not [arguments, named arguments, what follows]"
        raise Unreadable(msg)
    positional, named, follows = arguments
    if not isinstance(positional, list) or len(positional) != 1 or named != {}:
        msg = "a task takes one payload, and nothing by name"
        raise Unreadable(msg)
    if not isinstance(follows, dict) or any(follows.values()):
        msg = "it asks for more tasks after it (callbacks, a chain or a chord): none is ever run"
        raise Unreadable(msg)
    return positional[0]
