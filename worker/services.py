"""How does a worker reach Redis and the store, and what if it can't?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.connection import StateUnavailable, check, open_redis
from catalog.models import load_models
from catalog.pools import read_pools
from catalog.settings import REDIS_WAYS, STORE_WAYS, Settings, SettingsError, need
from catalog.store.opening import StoreUrlError, identify, open_store, probe
from catalog.store.port import Store, StoreError
from worker.spool import SpoolUnusable, check_folder

if TYPE_CHECKING:
    from catalog.store.s3 import S3Options

SETTING_WRONG = 2
SERVICE_AWAY = 4


class CannotStart(Exception):
    """A worker can't start; ``code`` is the exit code that says why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


def check_services(settings: Settings) -> None:
    """Reach Redis and the store, and try the store's conditional writes.

    Raises:
        CannotStart: a setting is missing (2), or a service can't be used (4).
    """
    try:
        redis_url = need(settings.redis_url, "SKUSCENE_REDIS_URL", REDIS_WAYS)
        load_models(settings.models_file)
        read_pools(settings)
        store = worker_store(settings)
        check(open_redis(redis_url))
        identify(store)
        probe(store)
    except (SettingsError, StoreUrlError, ValueError) as exc:
        raise CannotStart(SETTING_WRONG, str(exc)) from exc
    except StateUnavailable as exc:
        raise CannotStart(SERVICE_AWAY, f"{exc} (SKUSCENE_REDIS_URL)") from exc
    except StoreError as exc:
        raise CannotStart(SERVICE_AWAY, f"{exc} (SKUSCENE_STORE)") from exc


def check_spool(settings: Settings) -> None:
    """Try whether paid pictures can wait on this machine's disk.

    Raises:
        CannotStart: they can't (2).
    """
    try:
        check_folder(settings.spool_folder)
    except (SettingsError, SpoolUnusable) as exc:
        raise CannotStart(SETTING_WRONG, f"{exc} (SKUSCENE_SPOOL_DIR)") from exc


def worker_store(settings: Settings) -> Store:
    """The store with a worker's options; reaches nothing yet.

    Raises:
        SettingsError, StoreUrlError: SKUSCENE_STORE is not set or names no store.
        StoreRefuses: its directory can't be made.
    """
    url = need(settings.store, "SKUSCENE_STORE", STORE_WAYS)
    return open_store(url, _options(settings) if url.startswith("s3:") else None)


def _options(settings: Settings) -> S3Options:
    from catalog.store.s3 import S3Options

    return S3Options(
        cache_control=settings.store_cache_control,
        sse=settings.store_sse,
        sse_kms_key_id=settings.store_sse_kms_key_id,
        connections=settings.generate_concurrency + 16,
    )
