"""Which Redis do tests use?

A private one on a socket, started for the session and emptied per test. It is always found: the
server comes with the development environment.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis

from producers.embedded import EmbeddedRedis, private_redis

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_redis() -> Iterator[EmbeddedRedis]:
    """Run a private Redis that keeps nothing on disk."""
    with private_redis(append_only=False) as server:
        yield server


def empty(server: EmbeddedRedis) -> None:
    """Forget everything; takes a server that was started here, so that no other can be emptied."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
