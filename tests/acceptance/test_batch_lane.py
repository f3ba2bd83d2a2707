"""Is a catalog rendered in batches, once, for half the price, whatever goes wrong meanwhile?"""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from catalog.money import Usd
from tests.support.deaths import process_of
from tests.support.running import House, house, simulator_process
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

FEED = Path(__file__).parent.parent / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
RENDERS = 24
QUICK = {
    "SKUSCENE_BATCH_LOOK_EVERY_S": "0.3",
    "SKUSCENE_BATCH_GATHER_S": "1",
    "SKUSCENE_BATCH_REQUESTS": "8",
    "SKUSCENE_BATCH_PENDING_S": "5",
    "SKUSCENE_BATCH_RUNNING_S": "5",
    "SKUSCENE_MODEL_DEADLINE_S": "8",
    "SKUSCENE_LEASE_S": "6",
    "SKUSCENE_LEASE_RENEW_S": "2",
}


@contextmanager
def shop(folder: Path, **more: str) -> Iterator[House]:
    """A shop whose model's hours take half a second, without workers."""
    hours = ("--hour-s", "0.5", "--batch-hours", "1-3", "--quiet")
    with (
        house(folder / "shop", simulator=False, **QUICK, **more) as made,
        simulator_process(folder, *hours) as url,
    ):
        made.variables["GOOGLE_GEMINI_BASE_URL"] = url
        made.simulator_url = url
        yield made


def order(name: str, *more: str) -> tuple[str, ...]:
    """An import of twelve products in two scenes, bought in batches."""
    return (
        *("import", str(FEED), "--images", str(PHOTOS), "--id", name, "--catalog", name),
        *("--scenes", "living-room,sunny-beach", "--lane", "batch", "--json", *more),
    )


def orders(house_: House, name: str) -> list[dict[str, Any]]:
    """What was ordered for an import."""
    folder = house_.folder / "store" / "imports" / name / "orders"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def ledger(house_: House) -> list[dict[str, Any]]:
    """A line per call; what two processes knew of one call may stand there twice."""
    files = (house_.folder / "store" / "ledger").rglob("*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return list({line["call"]: line for line in lines}.values())


def test_every_picture_is_sold_once_at_half_the_price(tmp_path: Path) -> None:
    with shop(tmp_path) as made:
        plan = made.skuscene(*order("one", "--dry-run")).json()
        with made.workers():
            done = made.skuscene(*order("one", "--wait")).json()
        verified = made.skuscene("verify", "one")
        books = made.books()

    assert done["renders"]["succeeded"] == RENDERS
    assert (books["sold"], books["doubles"]) == (RENDERS, 0)
    spent = sum(Usd.parse(line["cost_usd"]).micro for line in ledger(made))
    assert spent == Usd.parse(books["cost_usd"]).micro
    assert spent == Usd.parse(done["cost_usd"]["spent"]).micro
    assert {line["lane"] for line in ledger(made)} == {"batch"}
    assert done["cost_usd"]["spent"] < 0.55 * plan["estimate_usd"]["standard"]
    assert {one["step"] for one in orders(made, "one")} == {"done"}
    assert verified.code == 0


def test_batches_that_go_wrong_are_made_up_for_and_nothing_is_bought_twice(tmp_path: Path) -> None:
    with shop(tmp_path) as made:
        made.script(
            {"outcome": "create:lost"},
            {"outcome": "batch:partly_missing"},
            {"outcome": "batch:expired"},
            {"outcome": "download:cut"},
        )
        with made.workers(SKUSCENE_BATCH_LOOK_EVERY_S="0.2"):
            done = made.skuscene(*order("one", "--wait")).json()
        books = made.books()

    assert done["renders"]["succeeded"] == RENDERS
    assert (books["sold"], books["doubles"]) == (RENDERS, 0)


@pytest.mark.parametrize("moment", ["placed", "over"])
def test_a_killed_worker_and_an_emptied_redis_cost_nothing(tmp_path: Path, moment: str) -> None:
    with shop(tmp_path) as made, made.workers() as workers:
        made.skuscene(*order("one"))
        wait_for(
            lambda: any(one["step"] in {moment, "done"} for one in orders(made, "one")),
            60,
            f"an order that is {moment}",
        )
        os.kill(process_of(workers.pid, "generate"), signal.SIGKILL)
        redis.Redis.from_url(made.variables["SKUSCENE_REDIS_URL"]).flushall()

        done = made.skuscene("status", "one", "--watch", "--json").json()
        books = made.books()

    assert done["renders"]["succeeded"] == RENDERS
    assert (books["sold"], books["doubles"]) == (RENDERS, 0)
