"""The crash table: workers are killed before every effect that a render has on the world.

The effects are not listed here: a render that nobody disturbs is watched first, and whatever it
writes, sends or asks is a row. Each row is a render of its own whose worker gets a SIGKILL just
before that effect; then it is counted what the model sold.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catalog import claims
from tests.support.deaths import RECORDED, Aftermath, Death, Street, process_of, rows, street
from tests.support.effects import ANSWERED, IN_FLIGHT, LEAVES, Kill
from tests.support.redis_server import running_redis
from tests.support.running import House, house
from tests.support.stores import new_bucket, s3_environment
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.effects import Noted

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

FEED = Path(__file__).parent.parent / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
STREETS = 4
TAKE = "store link renders/<id>/take-1.jpg"
RECORD = "store link renders/<id>/record.json"
LEDGER = "store link ledger/<seq>.jsonl"
LANDMARKS = {
    claims.FEED: ("redis open_shard", "redis LPUSH prepare:urgent"),
    claims.PREPARE: (
        "link references/<id>.jpg",
        "link sources/<id>.json",
        "redis LPUSH generate:urgent",
    ),
    claims.GENERATE: (
        *("redis SET lease", "redis reserve", LEAVES, IN_FLIGHT, ANSWERED),
        *("describe renders/<id>/take-1.jpg", TAKE, "redis end", "redis LPUSH finish:urgent"),
    ),
    claims.FINISH: ("web-1024.webp", "merchant-1500.jpg", RECORD, "redis settle"),
    claims.COMMIT: ("results/part-00000.r1.jsonl.gz", "redis commit", "redis LPUSH control:urgent"),
    claims.PUBLISH: (
        *("gallery/index.html", "manifest.r1.json", "link imports/<import>/manifest.json"),
        *("catalogs/shop/current.json", "redis forget", ".schema.json"),
    ),
}
"""What a render's tasks are known to do: a harness that does not see it proves nothing."""
BROKER = ("redis ZADD unacked_index, HSET unacked", "redis ZREM unacked_index, HDEL unacked")


def before(effect: str, task: str | None = None) -> Kill:
    """The process that has this effect dies before it."""
    return Kill(effect=effect, task=task)


LOST_ANSWER = before(ANSWERED, claims.GENERATE)
STORE_AWAY = Kill(effect=TAKE, task=claims.GENERATE, whom="nobody")
BESIDE = {
    "the ledger's lines die with their process": (Death(kills=(before(LEDGER),)),),
    "whoever clears up dies as well": (
        *(
            Death(kills=(LOST_ANSWER, before(effect)), sold=2, doubtful=1)
            for effect in ("redis bury_work", "store link ledger/<call>.jsonl", "redis end")
        ),
        Death(kills=(LOST_ANSWER, LOST_ANSWER), sold=3, doubtful=2),
        Death(kills=(LOST_ANSWER, before(TAKE)), sold=3, doubtful=2),
        Death(kills=(before("redis end", claims.GENERATE), before("redis end"))),
        Death(kills=(before("redis LPUSH control", claims.FINISH), before("redis commit"))),
    ),
    "the store is away, and the answer is on disk": tuple(
        Death(kills=(STORE_AWAY, before(effect)))
        for effect in ("spool rename .answer", TAKE, "spool remove .answer")
    ),
}


@dataclass(slots=True)
class CrashTable:
    """Every row's aftermath, and what was seen over all of them."""

    recorded: dict[str, tuple[Noted, ...]] = field(default_factory=dict)
    aftermaths: list[Aftermath] = field(default_factory=list)
    redelivered: list[str] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)

    def of(self, deaths: tuple[Death, ...]) -> list[Aftermath]:
        """What became of these."""
        return [found for found in self.aftermaths if found.death in deaths]


class Played:
    """The table while it is being played: several streets side by side."""

    def __init__(self) -> None:
        self.table = CrashTable()
        self._waiting: queue.SimpleQueue[Death] = queue.SimpleQueue()
        self._recorded: Future[None] = Future()
        self._guard = threading.Lock()

    def directory(self, number: int, folder: Path, redis_url: str) -> None:
        """Play rows in a street with a directory store until none is left; the first records."""
        store = (folder / "store").as_uri()
        with street(folder, redis_url=redis_url, store=store) as place:
            if number == 0:
                self._open_table(place)
            else:
                place.warm_up(number * 100)
                self._recorded.result(60)
            self._play(place, number * 100 + RECORDED)
            self._close(place)

    def bucket(self, number: int, folder: Path, redis_url: str, store: str) -> None:
        """Play the rows that differ where the store is a bucket."""
        with street(folder, redis_url=redis_url, store=store) as place:
            recorded = place.record(number * 100)
            self.table.recorded["bucket"] = recorded
            for at, death in enumerate(bucket_rows(recorded)):
                self._add(place.die(f"death-{number * 100 + RECORDED + at}", death))
            self._close(place)

    def _open_table(self, place: Street) -> None:
        try:
            recorded = self.table.recorded["directory"] = place.record(0)
        except BaseException as exc:
            self._recorded.set_exception(exc)
            raise
        stages = [death for task in LANDMARKS for death in rows(recorded, task)]
        beside = [death for deaths in BESIDE.values() for death in deaths]
        for death in sorted((*stages, *beside), key=_is_quick):
            self._waiting.put(death)
        self._recorded.set_result(None)

    def _play(self, place: Street, first: int) -> None:
        number = first
        with contextlib.suppress(queue.Empty):
            while True:
                self._add(place.die(f"death-{number:03}", self._waiting.get_nowait()))
                number += 1

    def _add(self, found: Aftermath) -> None:
        with self._guard:
            self.table.aftermaths.append(found)

    def _close(self, place: Street) -> None:
        redelivered, lies = place.redeliver(), place.lies()
        with self._guard:
            self.table.redelivered += redelivered
            self.table.lies += lies


def _is_quick(death: Death) -> bool:
    """Whether it is over in seconds; a feeder's token outlives its holder by a minute."""
    return death.kills[0].effect != "redis open_shard"


def bucket_rows(recorded: tuple[Noted, ...]) -> list[Death]:
    """A death before each put, and around the call: the rest does not know what the store is."""
    every = [death for task in LANDMARKS for death in rows(recorded, task)]
    return [
        death
        for death in every
        if "store " in death.kills[0].effect
        and not any(word in death.kills[0].effect for word in ("schema", "thumb", "data-000"))
    ]


@pytest.fixture(scope="module")
def redis_of_the_table() -> Iterator[str]:
    """The address of a Redis, without its database."""
    with running_redis() as server:
        yield server.url.removesuffix("db=0")


@pytest.fixture(scope="module")
def playing(
    tmp_path_factory: pytest.TempPathFactory, redis_of_the_table: str, moto: str
) -> Iterator[tuple[Future[CrashTable], Future[float]]]:
    """The table, and the wait for what nobody hurries: both begin here, at once."""
    folder, played = tmp_path_factory.mktemp("crashes"), Played()
    with (
        ThreadPoolExecutor(STREETS + 3) as pool,
        pytest.MonkeyPatch.context() as patch,
    ):
        # It would print every request of a test that fails.
        patch.setattr(logging.getLogger("werkzeug"), "level", logging.WARNING)
        streets = [
            pool.submit(played.directory, at, folder / str(at), f"{redis_of_the_table}db={at}")
            for at in range(STREETS)
        ]
        reopened = pool.submit(reopened_after_s, folder / "default")
        for name, value in s3_environment(moto).items():
            patch.setenv(name, value)
        database, store = f"{redis_of_the_table}db={STREETS}", f"s3://{new_bucket(moto)}/shop"
        in_bucket = (STREETS, folder / "bucket", database, store)
        streets.append(pool.submit(played.bucket, *in_bucket))

        def whole() -> CrashTable:
            for one in streets:
                one.result(560)
            return played.table

        whole_table = pool.submit(whole)
        yield whole_table, reopened
        # They need the bucket's server, whatever became of the tests that waited for them.
        for one in (whole_table, reopened):
            one.exception()


@pytest.fixture
def table(playing: tuple[Future[CrashTable], Future[float]]) -> CrashTable:
    """The table, played to its end."""
    return playing[0].result(560)


@pytest.mark.parametrize("task", LANDMARKS)
def test_a_death_before_any_effect_of_a_task_loses_nothing_and_buys_nothing_twice(
    table: CrashTable, task: str
) -> None:
    deaths = tuple(rows(table.recorded["directory"], task))

    found = table.of(deaths)

    effects = [death.kills[0].effect for death in deaths]
    for landmark in (*LANDMARKS[task], *BROKER):
        assert any(landmark in effect for effect in effects), (landmark, effects)
    assert len(found) == len(deaths)
    assert [str(one) for one in found if one.faults] == []


@pytest.mark.parametrize("what", BESIDE)
def test_other_deaths_lose_nothing_either(table: CrashTable, what: str) -> None:
    found = table.of(BESIDE[what])

    assert len(found) == len(BESIDE[what])
    assert [str(one) for one in found if one.faults] == []


def test_deaths_around_every_put_into_a_bucket_lose_nothing(table: CrashTable) -> None:
    deaths = tuple(bucket_rows(table.recorded["bucket"]))

    found = table.of(deaths)

    effects = [death.kills[0].effect for death in deaths]
    for landmark in ("take-1", "record.json", "results/part", "manifest.r1.json", "current.json"):
        assert any(landmark in effect for effect in effects), (landmark, effects)
    assert len(found) == len(deaths)
    assert [str(one) for one in found if one.faults] == []


def test_no_manifest_is_written_before_all_that_it_names(table: CrashTable) -> None:
    assert table.lies == []


def test_what_the_dead_had_taken_comes_again_and_changes_nothing(table: CrashTable) -> None:
    assert table.redelivered == []


def test_with_default_settings_renders_of_a_killed_worker_are_open_again_within_60_s(
    playing: tuple[Future[CrashTable], Future[float]],
) -> None:
    assert playing[1].result(560) < 60.0


def reopened_after_s(folder: Path) -> float:
    """How long after a kill -9 the last of four renders in flight was called for again."""
    with house(folder) as made:
        hurried = ("SKUSCENE_RECONCILE_EVERY_S", "SKUSCENE_RETRY_BACKOFF_S")
        shop = House(
            folder=folder,
            variables={name: said for name, said in made.variables.items() if name not in hurried},
            simulator_url=made.simulator_url,
        )
        shop.latency(250.0)
        with shop.workers() as supervisor:
            shop.skuscene(
                *("import", str(FEED), "--images", str(PHOTOS), "--limit", "4", "--id", "one")
            )
            wait_for(lambda: shop.books()["open"] == 4, timeout_s=60, what="four calls in flight")
            shop.latency(0.0)
            os.kill(process_of(supervisor.pid, "generate"), signal.SIGKILL)
            killed_at = time.monotonic()
            wait_for(lambda: shop.books()["sold"] == 4, timeout_s=120, what="four calls again")
            return time.monotonic() - killed_at
