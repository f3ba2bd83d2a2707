"""How is a message kept that can't be read, and what of it can be sent again?

One object per message under ``parked/<task>/``, whole, whatever its size: a store takes megabytes,
a queue of the unreadable in Redis would be lost with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints

from catalog import keys
from catalog.reading import Unreadable, read_body, read_claim
from catalog.wire import Wire

if TYPE_CHECKING:
    from catalog.claims import Claim

FOLDER: Final = "parked/"
LONGEST_WHY: Final = 2_000
LONGEST_TASK: Final = 500
JSON: Final = "application/json"
_UNNAMED: Final = "unnamed"
_DEEPEST: Final = 100

Why = Annotated[str, StringConstraints(max_length=LONGEST_WHY)]


class RawMessage(Wire):
    """A message as the broker gave it to us.

    ``body`` is text where the bytes are UTF-8, else base64; ``headers`` are as they came.
    """

    body: str
    body_is: Literal["text", "base64"]
    content_type: str | None
    content_encoding: str | None
    headers: dict[str, Any]

    @classmethod
    def of(
        cls,
        body: bytes | str | None,
        *,
        content_type: object = None,
        content_encoding: object = None,
        headers: object = None,
    ) -> RawMessage:
        """Keep whatever it is; what a message has no business to be is kept as its text."""
        content = body.encode(errors="surrogatepass") if isinstance(body, str) else body or b""
        text = _text(content)
        kept = as_json(headers)
        return cls(
            body=base64.b64encode(content).decode() if text is None else text,
            body_is="base64" if text is None else "text",
            content_type=_shown(content_type),
            content_encoding=_shown(content_encoding),
            headers=kept if isinstance(kept, dict) else {"headers": kept},
        )

    @property
    def content(self) -> bytes:
        """The body's bytes.

        Raises:
            Unreadable: somebody changed the parked object.
        """
        if self.body_is == "text":
            return self.body.encode()
        try:
            return base64.b64decode(self.body, validate=True)
        except (binascii.Error, ValueError) as exc:
            msg = f"the parked body is no base64: {exc}"
            raise Unreadable(msg) from exc

    def fingerprint(self, queue: str | None) -> str:
        """32 hex digits that a redelivery of the same message has again."""
        headers = {name: self.headers[name] for name in self.headers if name != "redelivered"}
        parts = [queue, self.body, self.content_type, self.content_encoding, headers]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class ParkedMessage(Wire):
    """A message that could not be read or worked.

    ``payload`` is what a task was given; where no task saw the message, ``message`` holds it.
    """

    schema_: Literal["skuscene.parked/1"] = Field(default="skuscene.parked/1", alias="schema")
    task: str
    queue: str | None = None
    payload: Any = None
    message: RawMessage | None = None
    why: Why
    at: datetime
    worker: str

    def to_json(self, *, indent: int | None = None) -> bytes:
        """Write it as ASCII: JSON may hold halves of characters, and UTF-8 may not."""
        written = self.model_dump(mode="json", exclude={"payload": True, "message": {"headers"}})
        if self.message is not None:
            written["message"]["headers"] = self.message.headers
        return json.dumps({**written, "payload": self.payload}, indent=indent).encode()

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read it back.

        Raises:
            ValueError: ``content`` is not this shape.
        """
        try:
            return cls.model_validate(json.loads(content))
        except RecursionError as exc:
            msg = "it is nested too deeply"
            raise ValueError(msg) from exc

    def claim(self) -> Claim:
        """Read it again, as this version reads.

        Raises:
            Unreadable: it still can't be read.
        """
        if self.message is None:
            return read_claim(self.task, self.payload)
        if self.message.content_type != JSON:
            msg = f"its body is {self.message.content_type!r}, and only {JSON} is ever read"
            raise Unreadable(msg)
        return read_claim(self.task, read_body(self.message.content))


def key_of(task: str, name: str) -> str:
    """Where a message is parked, whatever its task calls itself."""
    return keys.parked(printable(task) or _UNNAMED, name)


def name_of(key: str) -> str:
    """The name in a parked object's key."""
    return key.rsplit("/", 1)[-1].removesuffix(".json")


def printable(text: str) -> str:
    """The text as UTF-8 can hold it: JSON knows halves of characters, UTF-8 does not."""
    return text.encode(errors="replace").decode()


def as_json(value: object) -> Any:
    """The value itself if JSON can hold it, else the nearest that it can.

    What is no JSON becomes its ``str``, NaN and the infinities their names; what is nested so
    deeply that it might not be read again becomes its JSON text.
    """
    try:
        text = json.dumps(value, default=_told, skipkeys=True)
        held = json.loads(text, parse_constant=str)
    except (TypeError, ValueError, RecursionError):
        return _told(value)
    return text if _depth(held) > _DEEPEST else held


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level:
        level = [part for one in level for part in _parts(one)]
        depth += 1
    return depth


def _parts(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _told(value: object) -> str:
    try:
        return printable(str(value))
    except Exception:  # noqa: BLE001  whatever it is: its text may fail in any way
        return f"<{type(value).__name__}>"


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _shown(value: object) -> str | None:
    return None if value is None else _told(value)
