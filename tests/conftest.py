"""Fixtures that many tests share: each starts something real once, and empties it per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from producers.embedded import EmbeddedRedis
from tests.support.redis_server import empty, running_redis
from tests.support.stores import new_bucket, running_ministack, running_moto, s3_environment

# A machine that is busy is no fault of a strategy's.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


_LONGEST = ("test_crash_table", "test_simulation", "acceptance", "integration")
"""What takes longest, so that it is begun first: with two at work, neither ends alone for long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put whole files in order of how long they take; the order inside is left as it is."""

    def rank(item: pytest.Item) -> int:
        place = item.path.as_posix()
        return next((at for at, name in enumerate(_LONGEST) if name in place), len(_LONGEST))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def redis_of_the_session() -> Iterator[EmbeddedRedis]:
    """Use ``private_redis_server`` or ``redis_url``: they are empty."""
    with running_redis() as server:
        yield server


@pytest.fixture
def private_redis_server(redis_of_the_session: EmbeddedRedis) -> EmbeddedRedis:
    """The session's Redis, emptied."""
    empty(redis_of_the_session)
    return redis_of_the_session


@pytest.fixture
def redis_url(private_redis_server: EmbeddedRedis) -> str:
    """The address of an empty Redis."""
    return private_redis_server.url


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of moto's S3."""
    with running_moto() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """The address of ministack's S3: strict about races and checksums."""
    with running_ministack() as endpoint:
        yield endpoint


@pytest.fixture
def bucket_url(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket as SKUSCENE_STORE names it; the environment leads there."""
    for name, value in s3_environment(moto).items():
        monkeypatch.setenv(name, value)
    return f"s3://{new_bucket(moto)}/shop"
