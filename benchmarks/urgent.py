"""How long does an urgent render wait behind a million others, when there is quota to spare?

    python benchmarks/urgent.py [--requests 200] [--behind 1000000] [--seed 1]

Two generate workers have all their calls in flight, 4 to 20 s each and mostly short, and the queue
behind them holds a million messages; no limit is enforced. Meanwhile somebody imports one
product at a time, a small import, which is urgent by default. Measured from the moment in which
the import is handed over until its first call reaches the simulator, by the simulator's books; and
from the moment in which the producer began to plan it, in a process that has loaded its libraries.
A directory store; nothing is finished, so that the CPU measures the way to the call.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import platform
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.quota import CALLS_PER_WORKER, LATENCY, WORKERS, running_worker, wait_filled
from catalog.claims import FEED, Claim
from catalog.queue import Queue, connect
from catalog.settings import read_settings
from producers.importing import Order, prepare_order, start_import
from producers.services import Services, reach
from tests.support.running import House, house, simulator_process
from tests.support.waiting import wait_for

_EVERY_S = 1.0
_CALLS_PER_S = 18
"""More than both workers can have answered in a second."""
_CHUNK = 2_000


class NotedQueue(Queue):
    """The queue; ``fed_at`` is when an import was last handed over, in seconds since 1970."""

    fed_at = 0.0

    def enqueue(self, task: str, claim: Claim, *, countdown_s: float = 0.0) -> None:
        """Note the time, and put the claim on its queue."""
        if task == FEED:
            self.fed_at = time.time()
        super().enqueue(task, claim, countdown_s=countdown_s)


def main() -> int:
    """Fill the queue, ask again and again, and print how long each waited."""
    options = _options()
    print(f"$ python {shlex.join(sys.argv)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="sks-urgent-") as name:
        asked, calls = _run(Path(name), options)
    from_hand_over = sorted(calls[title] - fed_at for title, (_, fed_at) in asked.items())
    from_planning = sorted(calls[title] - began for title, (began, _) in asked.items())
    print(
        f"{WORKERS} workers with {CALLS_PER_WORKER} calls in flight each, {LATENCY} s a call, "
        f"{options.behind} messages behind, {len(asked)} urgent imports of one product"
    )
    print(f"{'seconds to the call':<34}{'median':>8}{'p90':>8}{'p99':>8}{'worst':>8}")
    for what, waits in (
        ("from the hand-over", from_hand_over),
        ("from the producer's first step", from_planning),
    ):
        at = [waits[int((len(waits) - 1) * share)] for share in (0.5, 0.9, 0.99, 1.0)]
        print(f"{what:<34}" + "".join(f"{wait:>8.3f}" for wait in at))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how long an urgent render waits.")
    parser.add_argument("--requests", type=int, default=200, help="urgent imports [200]")
    parser.add_argument("--behind", type=int, default=1_000_000, help="messages behind them")
    parser.add_argument("--seed", type=int, default=1, help="the simulator's and the pauses' seed")
    return parser.parse_args()


def _run(
    folder: Path, options: argparse.Namespace
) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Play it; returns by title when it was begun and handed over, and when it was called."""
    bulk = int((options.requests * _EVERY_S + 90) * _CALLS_PER_S)
    told = {
        "SKUSCENE_GENERATE_CONCURRENCY": str(CALLS_PER_WORKER),
        "SKUSCENE_WINDOW": str(2 * bulk),
        "SKUSCENE_QUOTA_REQUESTS_PER_MINUTE": "100000",
    }
    books = folder / "books.jsonl"
    simulator = ("--latency-s", LATENCY, "--seed", str(options.seed), "--books", str(books))
    with (
        house(folder / "shop", simulator=False, **told) as shop,
        simulator_process(folder, *simulator, "--quiet") as url,
    ):
        shop.variables["GOOGLE_GEMINI_BASE_URL"] = url
        client = redis.Redis.from_url(shop.variables["SKUSCENE_REDIS_URL"])
        with running_worker(shop, "rest", "prepare,control"):
            wait_filled(shop, bulk)
            _put_behind(client, options.behind)
            with contextlib.ExitStack() as stack:
                for number in range(WORKERS):
                    stack.enter_context(running_worker(shop, f"generate-{number}", "generate"))
                talks = House(folder=folder, variables={}, simulator_url=url)
                full = WORKERS * CALLS_PER_WORKER
                wait_for(
                    lambda: talks.books()["open"] >= full - 2, timeout_s=120, what="full workers"
                )
                asked = dict(_ask(shop, options))
                wait_for(
                    lambda: asked.keys() <= _called(books).keys(), timeout_s=120, what="all calls"
                )
                print(f"{client.llen('generate')} messages still waited at the end")
        return asked, _called(books)


def _put_behind(client: redis.Redis, number: int) -> None:
    """Put copies of the last message at the end of the queue."""
    last = cast("list[bytes]", client.lrange("generate", 0, 0))[0]
    for begin in range(0, number, _CHUNK):
        client.lpush("generate", *[last] * min(_CHUNK, number - begin))


def _ask(shop: House, options: argparse.Namespace) -> Iterator[tuple[str, tuple[float, float]]]:
    rng = random.Random(options.seed)
    with _environment(shop.variables):
        settings = read_settings()
        reached = reach(settings)
        queue = NotedQueue(connect(settings, shop.variables["SKUSCENE_REDIS_URL"]))
        services = Services(
            store=reached.store, store_id=reached.store_id, state=reached.state, queue=queue
        )
        for number in range(options.requests):
            title = f"Urgent lamp {number:04d}"
            feed = shop.folder / f"urgent-{number}.csv"
            with feed.open("w", newline="") as out:
                csv.writer(out).writerows(
                    (("sku", "title", "image"), (f"U-{number}", title, "photo.jpg"))
                )
            order = Order(feed=feed, images=shop.folder / "photos", import_id=f"urgent-{number}")
            began = time.time()
            start_import(prepare_order(order, settings), settings, services)
            yield title, (began, queue.fed_at)
            time.sleep(rng.uniform(0.5, 1.5) * _EVERY_S)


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _called(books: Path) -> dict[str, float]:
    """When the first call for each urgent title came, in seconds since 1970.

    A call is written down when it ends, so this is asked again until all are.
    """
    calls: dict[str, float] = {}
    for line in books.read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        prompt = entry.get("prompt") or ""
        if entry.get("event") != "call" or "Urgent lamp " not in prompt:
            continue
        title = "Urgent lamp " + prompt.partition("Urgent lamp ")[2][:4]
        at = datetime.fromisoformat(entry["at"]).timestamp()
        calls[title] = min(at, calls.get(title, at))
    return calls


if __name__ == "__main__":
    sys.exit(main())
