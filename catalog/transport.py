"""How does a worker survive its broker: one that goes away, and one that gives out rubbish?

kombu 5.7.0 ends the whole worker process when it restores unacknowledged messages over a transport
that is already closed: it reads the host name of a connection that is ``None``. A connection error
in that place is what kombu's own reconnecting waits for.

It ends the process, too, when what lies in a queue is no envelope of its own: it has taken it out
by then, so that the message is gone and the next process meets the next one. Here such a thing gets
an envelope around it, and from then on it is a message like any other: noted as unacknowledged,
given out again, refused and parked where messages are read.

Delete either when kombu does it itself.

Urgent messages wait in a list of their own, which is asked first, and of a worker's places some are
for them alone: with calls that take half a minute, whoever is urgent would wait for the first that
ends.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from queue import Empty
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import redis
import structlog
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import MultiChannelPoller
from kombu.transport.redis import Transport as RedisTransport
from kombu.utils.json import loads
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from catalog.claims import QUEUES

if TYPE_CHECKING:
    from collections.abc import Sequence

log = structlog.get_logger(__name__)

ALIAS = "skuscene"
"""Our transport's name in broker URLs of sockets; other URLs leave the choice to the settings."""
PATH = "catalog.transport:Transport"

UNREADABLE: Final = "application/x-skuscene-unreadable"
"""The content type of what was no message; the body is what lay in the queue, byte for byte."""
URGENT: Final = 1
"""The priority of a message that goes before all that have none. A queue of its own would want a
worker of its own."""
REFUSED: Final = "skuscene_refused"
"""The header that says why it was no message."""

# kombu parses and writes envelopes recursively. Ours hold fewer than ten objects and lists besides
# their body, which is base64; without so many brackets nothing can be nested too deeply.
_MOST_BRACKETS: Final = 200
_LONGEST_WHY: Final = 1_000


_URGENT_LIST: Final = ":urgent"
_PLACES_PER_KEPT: Final = 8


def lists_of(queue: str) -> tuple[str, str]:
    """The Redis lists in which a queue's messages wait: the urgent ones, and all others."""
    return queue + _URGENT_LIST, queue


def kept_for_urgent(places: int) -> int:
    """How many of a worker's places only urgent messages take; none where there are few."""
    return places // _PLACES_PER_KEPT


class _Properties(BaseModel):
    """What kombu can't do without."""

    model_config = ConfigDict(strict=True)

    delivery_tag: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
    delivery_info: dict[str, Any] = Field(default_factory=dict)
    body_encoding: Literal["base64", "utf-8"] | None = None


class _Envelope(BaseModel):
    """As much of an envelope as must be right for kombu to go on."""

    model_config = ConfigDict(strict=True)

    body: str | None = None
    content_type: str | None = Field(default=None, alias="content-type")
    content_encoding: str | None = Field(default=None, alias="content-encoding")
    headers: dict[str, Any] | None = None
    properties: _Properties


class Channel(RedisChannel):
    """kombu's Redis channel, which says that it is closed when it is, and trusts no envelope.

    While all places but the kept ones are taken it waits for urgent messages only. When one becomes
    free it ends that wait (CLIENT UNBLOCK) and asks for all.
    """

    _steps: tuple[int, ...] = (URGENT, 0)
    _places = 0
    _waits_for: int | None = None
    """The Redis client that waits for urgent messages only."""
    _may_unblock = True

    @property
    def priority_steps(self) -> list[int]:  # type: ignore[override]  # kombu has an attribute
        """The priorities there are, by which lists are asked."""
        return list(self._steps)

    def priority(self, n: int) -> int:
        """The step of a message's priority."""
        return URGENT if n else 0

    def _q_for_pri(self, queue: str, pri: int) -> str:
        urgent, others = lists_of(queue)
        return urgent if pri else others

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, *options: Any) -> None:
        """Bound how many messages are held at once; the first bound is the number of places."""
        super().basic_qos(prefetch_size, prefetch_count, *options)  # type: ignore[no-untyped-call]
        self._places = self._places or prefetch_count

    def _brpop_start(self, timeout: float | None = None) -> None:
        self._waits_for = None
        if self._has_room_for_all():
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
            return
        self._waits_for = self._client_id()
        self._steps = (URGENT,)
        try:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]
        finally:
            del self._steps

    def _client_id(self) -> int:
        """Redis's number of the connection that is about to wait."""
        connection = self.client.connection
        try:
            connection.send_command("CLIENT", "ID")
            return int(connection.read_response())
        except Exception as exc:
            connection.disconnect()
            # Whatever it was: the one error that kombu's reconnecting waits for.
            msg = f"the broker's connection broke: {exc}"
            raise redis.ConnectionError(msg) from exc

    def _has_room_for_all(self) -> bool:
        room = self.qos.can_consume_max_estimate()
        return room is None or not self._may_unblock or room > kept_for_urgent(self._places)

    def ask_for_all(self) -> None:
        """End a wait for urgent messages only, if there is room for others by now."""
        if self._waits_for is None or not self._in_poll or not self._has_room_for_all():
            return
        try:
            with self.conn_or_acquire() as client:
                # Nobody there: it has its answer, or has not begun to wait and is told next time.
                if client.client_unblock(self._waits_for):
                    self._waits_for = None
        except redis.ResponseError as exc:
            log.warning("no_place_kept_for_urgent", error=str(exc))
            self._may_unblock, self._waits_for = False, None
        except (redis.RedisError, OSError) as exc:
            # The wait ends by itself within a second, and its own reader finds out what is wrong.
            log.info("wait_not_ended", error=str(exc))

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002  kombu's own
        if self.connection.client is None:
            msg = "the broker's connection is closed"
            raise redis.ConnectionError(msg)
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[no-untyped-call]

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002  kombu's
        client = super()._create_client(asynchronous=asynchronous)  # type: ignore[no-untyped-call]
        client.set_response_callback("BRPOP", self._popped)
        return client

    def _popped(self, reply: Sequence[bytes] | None, **_: object) -> tuple[bytes, bytes] | None:
        """What BRPOP answered, in an envelope that kombu can open."""
        if not reply:
            return None
        key, item = reply
        queue = key.decode(errors="replace").removesuffix(_URGENT_LIST)
        why = fault(item, queue) if queue in QUEUES else None
        return queue.encode(), item if why is None else wrapped(item, queue, why)

    def _receive_one(self, c: Any) -> Any:
        """Take what was broadcast to workers, such as a ping; anybody may shout anything."""
        try:
            return super()._receive_one(c)  # type: ignore[no-untyped-call]
        except (Empty, redis.RedisError, OSError):
            raise
        except Exception as exc:  # noqa: BLE001  nobody is owed anything by a broadcast
            log.warning("broadcast_ignored", error=f"{type(exc).__name__}: {exc}"[:_LONGEST_WHY])
            return False


class _Poller(MultiChannelPoller):
    """kombu's poller, which looks first whether a channel's wait is still the right one."""

    def on_poll_start(self) -> None:
        for channel in self._channels:
            channel.ask_for_all()
        super().on_poll_start()  # type: ignore[no-untyped-call]


class Transport(RedisTransport):
    """kombu's Redis transport over our channel."""

    Channel = Channel

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self.cycle: Any = _Poller()  # type: ignore[no-untyped-call]


def fault(raw: bytes, queue: str) -> str | None:
    """Why kombu could not go on with this from that queue; ``None`` if it can."""
    if raw.count(b"{") + raw.count(b"[") > _MOST_BRACKETS:
        return "no message: it is nested too deeply, or its body is not base64"
    try:
        envelope = loads(raw.decode())  # type: ignore[no-untyped-call]
    except Exception as exc:  # noqa: BLE001  kombu makes objects of some JSON, which may raise all
        return f"no message: {type(exc).__name__}: {exc}"
    return _fault_of(envelope) or _wrong_way(envelope, queue)


def _fault_of(envelope: object) -> str | None:
    try:
        checked = _Envelope.model_validate(envelope)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "envelope"
        return f"no message of Celery's: {where}: {first['msg']}"
    if "compression" in (checked.headers or {}):
        return "it is compressed, and might unpack to any size"
    return _body_fault(checked)


def _body_fault(envelope: _Envelope) -> str | None:
    if not envelope.body or envelope.properties.body_encoding != "base64":
        return None
    try:
        base64.b64decode(envelope.body, validate=True)
    except (binascii.Error, ValueError) as exc:
        return f"its body is no base64: {exc}"
    return None


def _wrong_way(envelope: dict[str, Any], queue: str) -> str | None:
    """Given back, it would go where its address says, and nobody may be there."""
    address = envelope["properties"].get("delivery_info") or {}
    if (address.get("exchange"), address.get("routing_key")) == ("", queue):
        return None
    return f"its delivery_info does not name the queue {queue!r}, where it was found"


def wrapped(raw: bytes, queue: str, why: str) -> bytes:
    """An envelope around something that is none."""
    return json.dumps(
        {
            "body": base64.b64encode(raw).decode(),
            "content-type": UNREADABLE,
            "content-encoding": "binary",
            "headers": {REFUSED: why[:_LONGEST_WHY]},
            "properties": {
                "body_encoding": "base64",
                "delivery_tag": uuid.uuid4().hex,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
            },
        }
    ).encode()


# A broker URL with a scheme of its own overrides the setting, so sockets need the alias.
TRANSPORT_ALIASES[ALIAS] = PATH
