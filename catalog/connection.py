"""How is Redis reached, and what if it can't be?"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from catalog.redis_keys import RedisKeys

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class StateUnavailable(Exception):
    """Redis can't be reached, or refuses us."""


class QueueUnavailable(Exception):
    """Redis did not take or give a message that it was asked for."""


def open_redis(url: str, *, timeout_s: float = 10.0) -> redis.Redis:
    """A client with time-outs of its own (redis-py's default would retry for a minute)."""
    # It takes a fifth of a second to load, which `--help` and a dry run need not wait for.
    import redis

    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=5.0,
        health_check_interval=30,
    )


def check(client: redis.Redis) -> None:
    """Reach Redis once.

    Raises:
        StateUnavailable: it can't be reached, or refuses us.
    """
    with translated():
        client.ping()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Say of every fault of Redis that state is unavailable."""
    from redis import RedisError

    try:
        yield
    except RedisError as exc:
        msg = f"Redis: {exc}"
        raise StateUnavailable(msg) from exc


class Part:
    """A part of what Redis knows of one store; every change that could race is one script."""

    def __init__(self, client: redis.Redis, store_id: str) -> None:
        self._redis: Any = client
        self._keys = RedisKeys(store_id)
        self._scripts: dict[str, Any] = {}

    def _run(self, script: str, keys: list[str], args: list[Any]) -> Any:
        if script not in self._scripts:
            self._scripts[script] = self._redis.register_script(script)
        return self._scripts[script](keys=keys, args=args)

    def _renew(self, key: str, token: str, *, ttl_s: float) -> bool:
        """Let a token stand for ``ttl_s`` from now; ``False`` says that it stands no more."""
        return bool(self._run(_RENEW, [key], [token, int(ttl_s * 1000)]))

    def _release(self, key: str, token: str) -> None:
        """Take a token away; somebody else's stays."""
        self._run(_RELEASE, [key], [token])
