"""How does a worker survive that its broker goes away?

kombu 5.7.0 ends the whole worker process when it restores unacknowledged messages over a transport
that is already closed: it reads the host name of a connection that is ``None``. A connection error
in that place is what kombu's own reconnecting waits for. Delete this when kombu raises one itself.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import Transport as RedisTransport

ALIAS = "skuscene"
"""Our transport's name in broker URLs of sockets; other URLs leave the choice to the settings."""
PATH = "catalog.transport:Transport"


class Channel(RedisChannel):
    """kombu's Redis channel, which says that it is closed when it is."""

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002  kombu's own
        if self.connection.client is None:
            msg = "the broker's connection is closed"
            raise redis.ConnectionError(msg)
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[no-untyped-call]


class Transport(RedisTransport):
    """kombu's Redis transport over our channel."""

    Channel = Channel


# A broker URL with a scheme of its own overrides the setting, so sockets need the alias.
TRANSPORT_ALIASES[ALIAS] = PATH
