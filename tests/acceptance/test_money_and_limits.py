"""Is the purse held to the micro-dollar, and a shared limit used without anybody noticing?"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from catalog.money import Usd
from tests.support.running import House, house

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

FEED = Path(__file__).parent.parent / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
RENDERS = 24


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    """A directory store, a queue and a model, without workers."""
    with house(tmp_path) as made:
        yield made


def order(name: str, *more: str) -> tuple[str, ...]:
    """An import of twelve products in two scenes."""
    return (
        *("import", str(FEED), "--images", str(PHOTOS), "--id", name, "--catalog", name),
        *("--scenes", "living-room,sunny-beach", "--wait", "--json", *more),
    )


def ledger(shop: House) -> list[dict[str, Any]]:
    """A line per call; what two processes knew of one call may stand there twice."""
    files = (shop.folder / "store" / "ledger").rglob("*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return list({line["call"]: line for line in lines}.values())


def test_a_budget_stops_at_its_cap_and_the_ledger_is_the_models_bill(shop: House) -> None:
    plan = shop.skuscene(*order("one", "--dry-run")).json()
    budget = round(plan["estimate_usd"]["standard"] * 0.6, 6)

    with shop.workers():
        paused = shop.skuscene(*order("one", "--budget", str(budget)))
        sold_at_pause = shop.books()["sold"]
        shop.skuscene("resume", "one", "--budget", "5")
        finished = shop.skuscene("status", "one", "--watch", "--json")

    assert paused.json()["state"] == "paused"
    assert paused.json()["reason"] == "budget"
    assert paused.json()["cost_usd"]["spent"] <= budget
    assert 0.4 * RENDERS <= sold_at_pause <= 0.6 * RENDERS + 1
    assert finished.json()["renders"]["succeeded"] == RENDERS
    books = shop.books()
    spent = sum(Usd.parse(line["cost_usd"]).micro for line in ledger(shop))
    assert spent == Usd.parse(books["cost_usd"]).micro
    assert spent == Usd.parse(finished.json()["cost_usd"]["spent"]).micro
    assert (books["sold"], books["doubles"]) == (RENDERS, 0)


def test_all_imports_share_the_days_budget(shop: House) -> None:
    with shop.workers(SKUSCENE_BUDGET_PER_DAY_USD="0.5"):
        one = shop.skuscene(*order("one"))
        two = shop.skuscene(*order("two"))

    # Another catalog asks for the same pictures: they are there. The day's purse is empty.
    spent = sum(Usd.parse(line["cost_usd"]).micro for line in ledger(shop))
    assert one.json()["state"] == two.json()["state"] == "paused"
    assert one.json()["reason"] == two.json()["reason"] == "budget"
    assert "SKUSCENE_BUDGET_PER_DAY_USD" in one.err
    assert spent <= 500_000
    assert spent == Usd.parse(shop.books()["cost_usd"]).micro


def test_a_key_that_dies_in_mid_import_burns_no_attempt(shop: House) -> None:
    with shop.workers():
        shop.script({"outcome": "picture", "times": 8}, {"outcome": "key_invalid"})
        paused = shop.skuscene(*order("one"))
        shop.skuscene("resume", "one")
        finished = shop.skuscene("status", "one", "--watch", "--json")

    assert paused.json()["state"] == "paused"
    assert paused.json()["reason"] == "model.key_invalid"
    assert paused.json()["renders"]["failed"] == 0
    assert finished.json()["renders"]["succeeded"] == RENDERS
    assert Counter(line["outcome"] for line in ledger(shop))["picture"] == RENDERS
    assert not [line for line in ledger(shop) if line["outcome"] == "not_sold" and line["attempt"]]
    assert shop.books()["doubles"] == 0


def test_a_limit_that_nobody_set_is_found_and_costs_nothing(shop: House) -> None:
    shop.limits("bucket:120/60s:4")

    with shop.workers():
        ran = shop.skuscene(*order("one"))
        quota = shop.skuscene("quota", "--json").json()

    books = shop.books()
    assert ran.code == 3  # done, with rejected rows
    assert ran.json()["renders"]["succeeded"] == RENDERS
    assert books["sold"] == RENDERS
    assert books["by_limit"]["bucket:120/60s:4"] > 0
    assert not [line for line in ledger(shop) if line["outcome"] == "not_sold" and line["attempt"]]
    (lane,) = quota["lanes"]
    assert lane["learnt"]["calls_per_minute"] > 0
    assert lane["refused"] == books["by_limit"]["bucket:120/60s:4"]
