"""Does a paid picture outlive its process and the store's outage, and is it bought once?

Real processes, killed by SIGKILL; real stores that are away and come back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from catalog.connection import open_redis
from catalog.keys import take
from catalog.leases import Leases
from catalog.renders import LedgerLine, Purchase, Tokens
from catalog.state import State
from catalog.store.directory import DirectoryStore
from catalog.store.port import Store
from tests.support.deaths import process_of
from tests.support.running import BUCKET, House, house, s3_server
from tests.support.stores import free_port, opened
from tests.support.waiting import wait_for
from worker.logs import configure_logs
from worker.spool import Kept, PaidAnswer, Spool

ROOT = Path(__file__).parents[2]
FEED = ROOT / "tests" / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = ROOT / "producers" / "demo" / "photos"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4_000
FINGERPRINT = "ab" * 32
RENDER = FINGERPRINT[:32]


# -- one spool, several processes ------------------------------------------------------------


class Unbooked:
    """A ledger that keeps nothing: what these processes put is counted in the store."""

    def book(self, line: LedgerLine) -> None:
        """Drop the line."""

    def put(self, line: LedgerLine) -> LedgerLine:
        """Drop the line."""
        return line


class Alone:
    """A Redis that is not asked here."""

    def mark_spooled(self, render_id: str, host: str, *, ttl_s: float) -> None: ...
    def drop_spooled(self, render_id: str) -> None: ...
    def add_spent(self, import_id: str, micro_usd: int) -> None: ...
    def add_doubtful(self, import_id: str, micro_usd: int) -> None: ...

    def is_registered(self, import_id: str) -> bool:
        return not import_id


def spool_of(
    folder: Path, store: Store, state: Any = None, leases: Any = None, **options: float
) -> Spool:
    return Spool(
        folder,
        store,
        state or Alone(),
        leases or Alone(),
        Unbooked(),
        host="host-1",
        put_deadline_s=options.get("put_deadline_s", 0.0),
        max_age_s=options.get("max_age_s", 86_400.0),
        background=False,
    )


def answer(number: int) -> PaidAnswer:
    now = datetime.now(UTC)
    render_id = f"{number:032x}"
    purchase = Purchase(
        take=1,
        import_id="monday",
        claim=f"monday/0/{number}",
        fingerprint=render_id * 2,
        model_asked="model-1",
        model_answered="model-1-001",
        response_id=f"answer-{number}",
        tokens=Tokens(input=10),
        micro_usd=67_000,
        sent_at=now,
        answered_at=now,
    )
    line = LedgerLine(
        at=now,
        import_id="monday",
        claim=purchase.claim,
        render_id=render_id,
        scene="kitchen",
        sku="mug",
        take=1,
        outcome="picture",
        model_asked="model-1",
        platform="developer",
        cost_usd=purchase.cost_usd,
        run_s=1.0,
        worker="worker-1",
    )
    return PaidAnswer(
        render_id=render_id, media_type="image/png", ext="png", purchase=purchase, line=line
    )


def picture(number: int) -> bytes:
    return PICTURE + str(number).encode()


def keep_many(folder: str, store: str) -> None:
    """Spool answers until killed, saying after each that it is safe."""
    configure_logs()
    spool = spool_of(Path(folder), DirectoryStore(Path(store)))
    for number in range(1_000):
        assert spool.keep(answer(number), picture(number)) is Kept.SPOOL
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def drain(folder: str, store: str) -> None:
    """Drain when told to; say how many were put."""
    configure_logs()
    spool = spool_of(Path(folder), DirectoryStore(Path(store)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{spool.drain_once()}\n")
    sys.stdout.flush()
    sys.stdin.readline()  # the others must not find files that this one's end would set free


@contextmanager
def processes(work: str, arguments: Sequence[Path], count: int) -> Iterator[list[Any]]:
    """Run a function of this file in processes of their own; end them by pid."""
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('crash', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        f"module.{work}(*sys.argv[1:])\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


@contextmanager
def taking_nothing(root: Path) -> Iterator[None]:
    """A directory store whose renders can't be written: a file stands where the folder should."""
    root.mkdir(exist_ok=True)
    (root / "renders").touch()
    try:
        yield
    finally:
        if (root / "renders").is_file():
            (root / "renders").unlink()


@pytest.mark.parametrize("said_before_death", [1, 2, 5, 9])
def test_what_a_killed_process_called_safe_is_put_by_the_next(
    tmp_path: Path, said_before_death: int
) -> None:
    folder, root = tmp_path / "spool", tmp_path / "store"
    with taking_nothing(root), processes("keep_many", [folder, root], 1) as (writer,):
        said = [writer.stdout.readline() for _ in range(said_before_death)]
        os.kill(writer.pid, signal.SIGKILL)
        said += writer.stdout.readlines()
    safe = [int(line) for line in said]

    spool = spool_of(folder, store := DirectoryStore(root))
    put = spool.drain_once()
    spool.close()

    assert len(safe) >= said_before_death
    for number in safe:
        assert store.read(take(f"{number:032x}", 1, "png")).content == picture(number)  # type: ignore[union-attr]
    assert len(safe) <= put <= len(safe) + 1  # it may have died before it could say the last one
    assert [path for path in folder.iterdir() if path.name != "aside"] == []


def test_processes_that_drain_at_once_put_each_picture_once(tmp_path: Path) -> None:
    folder, root = tmp_path / "spool", tmp_path / "store"
    with taking_nothing(root):
        dead = spool_of(folder, DirectoryStore(root))
        for number in range(30):
            assert dead.keep(answer(number), picture(number)) is Kept.SPOOL
        dead.close()

    with processes("drain", [folder, root], 3) as drainers:
        assert [each.stdout.readline() for each in drainers] == ["ready\n"] * 3
        for each in drainers:
            each.stdin.write("go\n")
            each.stdin.flush()
        put = [int(each.stdout.readline()) for each in drainers]

    stored = [entry.key for entry in DirectoryStore(root).list("renders/")]
    assert sum(put) == 30
    assert sorted(stored) == [take(f"{number:032x}", 1, "png") for number in range(30)]
    assert list(folder.iterdir()) == []


def test_a_bucket_that_comes_back_gets_what_waited_and_the_lease_ends(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setattr("tests.support.running.free_port", lambda: port)
    client = open_redis(redis_url)
    state, leases = State(client, "store-1"), Leases(client, "store-1")
    store = opened(f"http://127.0.0.1:{port}", BUCKET)
    spool = spool_of(tmp_path / "spool", store, state, leases)
    lease = f"skuscene:store-1:lease:{answer(1).render_id}"

    kept = spool.keep(answer(1), picture(1))
    waits = client.get(lease)
    buyer = leases.acquire_lease(answer(1).render_id, "a buyer", ttl_s=30)
    with s3_server(tmp_path):
        put = spool.drain_once()
        stored = store.read(take(answer(1).render_id, 1, "png"))
    spool.close()

    assert (kept, put) == (Kept.SPOOL, 1)
    assert waits == "spooled on host-1"
    assert not buyer
    assert stored is not None
    assert stored.content == picture(1)
    assert Purchase.from_metadata(dict(stored.metadata)).response_id == "answer-1"
    assert leases.acquire_lease(answer(1).render_id, "a buyer", ttl_s=30)


def test_a_mark_takes_a_buyers_lease_and_its_end_leaves_a_buyers_alone(redis_url: str) -> None:
    leases = Leases(open_redis(redis_url), "store-1")
    assert leases.acquire_lease(RENDER, "a buyer", ttl_s=30)

    leases.drop_spooled(RENDER)
    kept_its_lease = leases.renew_lease(RENDER, "a buyer", ttl_s=30)
    leases.mark_spooled(RENDER, "host-1", ttl_s=30)
    lost_it = not leases.renew_lease(RENDER, "a buyer", ttl_s=30)
    leases.release_lease(RENDER, "a buyer")

    assert (kept_its_lease, lost_it) == (True, True)
    assert not leases.acquire_lease(RENDER, "another", ttl_s=30)
    assert leases.spooled_renders() == (RENDER,)
    leases.drop_spooled(RENDER)
    assert leases.acquire_lease(RENDER, "another", ttl_s=30)
    assert leases.spooled_renders() == ()


# -- the whole worker ------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    """Workers that make two calls at a time, and give a put half a second."""
    quick: dict[str, Any] = {
        "SKUSCENE_GENERATE_CONCURRENCY": "2",
        "SKUSCENE_PUT_DEADLINE_S": "0.5",
        "SKUSCENE_LEASE_S": "3",
        "SKUSCENE_LEASE_RENEW_S": "1",
        "SKUSCENE_MODEL_DEADLINE_S": "3",
    }
    with house(tmp_path, **quick) as made:
        yield made


@pytest.mark.parametrize("redis_is_emptied", [False, True], ids=["redis kept", "redis emptied"])
def test_killed_workers_and_a_store_that_is_away_cost_no_second_purchase(
    shop: House, *, redis_is_emptied: bool
) -> None:
    root = shop.folder / "store"
    with taking_nothing(root), shop.workers() as supervisor:
        ordered = shop.skuscene(
            *("import", str(FEED), "--images", str(PHOTOS), "--limit", "4", "--id", "one")
        )
        wait_for(lambda: spooled(shop) == waiting(shop) >= 1, 30, "pictures in the spool")
        wait_for(lambda: shop.books()["open"] == 0, 30, "no call in flight")
        sold_before = shop.books()["sold"]
        if redis_is_emptied:
            with redis.Redis.from_url(shop.variables["SKUSCENE_REDIS_URL"]) as client:
                client.flushall()
        os.kill(process_of(supervisor.pid, "generate"), signal.SIGKILL)
        wait_for(lambda: said(shop, "spooled_picture_found") >= waiting(shop), 30, "them found")
        wait_for(lambda: said(shop, "spooled_picture_refused") >= 3, 30, "puts that fail")
        sold_while_away = shop.books()["sold"]
        files = waiting(shop)
        (root / "renders").unlink()
        finished = shop.skuscene("status", "one", "--watch", "--json", timeout_s=60)

    assert ordered.code in {0, 3}, ordered.err
    assert 1 <= sold_before <= 2  # as many as were in flight when the first put failed
    assert sold_while_away == sold_before == files
    assert finished.json()["renders"]["succeeded"] == finished.json()["renders"]["expected"] == 4
    assert shop.books()["sold"] == 4
    assert shop.books()["doubles"] == 0
    assert waiting(shop) == 0
    assert shop.skuscene("verify", "one").code == 0


def spooled(shop: House) -> int:
    return said(shop, "paid_picture_spooled")


def waiting(shop: House) -> int:
    return len(list((shop.folder / "spool").glob("*/*.answer")))


def said(shop: House, event: str) -> int:
    """How often the workers logged an event."""
    return (shop.folder / "workers.log").read_text().count(f'"{event}"')
