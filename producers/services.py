"""How do producers reach the store and Redis, and what do they say when they can't?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.settings import REDIS_WAYS, STORE_WAYS, Settings, need
from catalog.store.opening import identify, open_store
from catalog.store.port import Store, StoreError

if TYPE_CHECKING:
    from catalog.queue import Queue
    from catalog.state import State
    from catalog.store.s3 import S3Options


class ServiceAway(Exception):
    """A service that is needed can't be reached or refuses us; the message says which setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The store, what Redis knows of it, and the queue."""

    store: Store
    store_id: str
    state: State
    queue: Queue


def reach_store(settings: Settings) -> Store:
    """Open the store and see that it answers.

    Raises:
        SettingsError: SKUSCENE_STORE is not set.
        StoreUrlError: it names no store.
        ServiceAway: the store can't be reached, or refuses us.
    """
    url = need(settings.store, "SKUSCENE_STORE", STORE_WAYS)
    try:
        store = open_store(url, _options(settings, url))
        identify(store)
    except StoreError as exc:
        msg = f"{exc} (SKUSCENE_STORE={url})"
        raise ServiceAway(msg) from exc
    return store


def reach(settings: Settings) -> Services:
    """Open everything and see that it answers.

    Raises:
        SettingsError: a setting is missing.
        StoreUrlError: SKUSCENE_STORE names no store.
        ServiceAway: a service can't be reached, or refuses us.
    """
    redis_url = need(settings.redis_url, "SKUSCENE_REDIS_URL", REDIS_WAYS)
    store = reach_store(settings)
    # Celery and redis take a third of a second to load: `--help` must not.
    from catalog.connection import StateUnavailable, check, open_redis
    from catalog.queue import Queue, connect
    from catalog.state import State

    try:
        client = open_redis(redis_url)
        check(client)
    except (StateUnavailable, ValueError) as exc:
        msg = f"{exc} (SKUSCENE_REDIS_URL={_without_password(redis_url)})"
        raise ServiceAway(msg) from exc
    store_id = identify(store)
    return Services(
        store=store,
        store_id=store_id,
        state=State(client, store_id),
        queue=Queue(connect(settings, redis_url)),
    )


def _options(settings: Settings, url: str) -> S3Options | None:
    if not url.startswith("s3:"):
        return None
    from catalog.store.s3 import S3Options

    return S3Options(
        cache_control=settings.store_cache_control,
        sse=settings.store_sse,
        sse_kms_key_id=settings.store_sse_kms_key_id,
    )


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.split('://')[0]}://...@{tail}" if at else url
