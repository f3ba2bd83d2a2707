"""How long does a dry run take, and how near does its price come to the bill?

    python benchmarks/estimate.py [--products 10000] [--renders 500] [--runs 10] [--seed 1]

Three parts. A dry run of a generated feed, in seconds. A run without faults, whose price is
compared with what the dry run expected by the table. Runs of 62 renders with other luck: thinking
of 90 or 310 tokens (the levels minimal and medium, by a models file that the workers alone have),
and seeded shares of 503, of answers without a picture and of refusals; the interval that the dry
run gave before each should hold what it cost. The first two parts can be left out with 0.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import shlex
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from catalog.models import load_models
from tests.support.running import House, house

ROOT = Path(__file__).resolve().parent.parent
FEED = ROOT / "tests" / "data" / "feeds" / "vendure" / "products.csv"
PHOTOS = ROOT / "producers" / "demo" / "photos"
PRODUCTS = 31
LEVELS = ("minimal", "medium")
WORST = {"503": 0.20, "no_image": 0.10, "prohibited": 0.08}
"""Shares are drawn between nothing and these."""


@dataclass(frozen=True)
class Compared:
    """What a dry run said in US dollars, and what it came to."""

    expected: float
    low: float
    high: float
    spent: float
    counts: dict[str, int]

    @property
    def off(self) -> float:
        return 100 * (self.spent / self.expected - 1)

    @property
    def held(self) -> bool:
        return self.low <= self.spent <= self.high


def main() -> None:
    options = _options()
    print(f"$ python {shlex.join(sys.argv)}")
    print(_machine())
    with (
        tempfile.TemporaryDirectory() as folder,
        house(Path(folder), SKUSCENE_GENERATE_CONCURRENCY="64") as shop,
    ):
        # Bytecode that is not kept is compiled at every start.
        shop.variables.pop("PYTHONDONTWRITEBYTECODE", None)
        if options.products:
            _time_dry_run(shop, options.products)
        if options.renders:
            _run_without_faults(shop, options.renders)
        _run_with_other_luck(shop, options)
    print(f"load at the end: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold dry runs against what was paid.")
    parser.add_argument("--products", type=int, default=10_000, help="of the feed [10000]")
    parser.add_argument("--renders", type=int, default=500, help="without faults, at least [500]")
    parser.add_argument("--runs", type=int, default=10, help="with other luck [10]")
    parser.add_argument("--seed", type=int, default=1, help="of the first of them [1]")
    return parser.parse_args()


def _time_dry_run(shop: House, products: int) -> None:
    feed = shop.folder / "generated.csv"
    with feed.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "sku", "title", "description", "brand", "category", "image"))
        for number in range(products):
            about = "Made by hand from one piece of wood, oiled twice. " * 3
            photo = f"https://cdn.shop.example/{number}.jpg"
            rows.writerow(
                (number, f"SKU-{number}", f"Lamp {number}", about, "Acme", "Home > Lamps", photo)
            )
    took, cpu = [], []
    planned: dict[str, Any] = {}
    for _ in range(3):
        started, before = time.monotonic(), os.times()
        planned = _dry_run(shop, str(feed))
        took.append(time.monotonic() - started)
        after = os.times()
        cpu.append(after.children_user + after.children_system - before[2] - before[3])
    told = ", ".join(f"{seconds:.1f}" for seconds in took)
    print(
        f"dry run of {planned['products']} products: {statistics.median(took):.1f} s ({told}), "
        f"{statistics.median(cpu):.1f} s of CPU; about {planned['estimate_usd']['standard']} USD"
    )


def _run_without_faults(shop: House, renders: int) -> None:
    scenes = -(-renders // PRODUCTS)
    with shop.workers():
        found = _compare(shop, "plain", scenes)
    print(
        f"{found.counts['succeeded']} renders without faults: expected {found.expected:.6f}, "
        f"spent {found.spent:.6f} USD: {found.off:+.2f} %"
    )


def _run_with_other_luck(shop: House, options: argparse.Namespace) -> None:
    names = ("run", "thoughts", *WORST, "ok", "lost", "low", "expected", "high", "spent", "held")
    print("".join(f"{name:>11}" for name in names))
    held = 0
    seeds = range(options.seed, options.seed + options.runs)
    for level in LEVELS:
        mine = [seed for seed in seeds if LEVELS[seed % len(LEVELS)] == level]
        if not mine:
            continue
        file = _models_file(shop, level)
        with shop.workers(SKUSCENE_MODELS_FILE=str(file)):
            for seed in mine:
                luck = random.Random(seed)
                shares = {name: luck.uniform(0, worst) for name, worst in WORST.items()}
                _tell_luck(shop, luck, shares)
                found = _compare(shop, f"seed-{seed}", 2)
                _reset(shop)
                held += found.held
                _print(seed, level, shares, found)
    print(f"held in {held} of {options.runs} runs")


def _models_file(shop: House, level: str) -> Path:
    """The shipped model with another level of thinking."""
    model = load_models().resolve("nano-banana", platform="developer")
    file = shop.folder / f"models-{level}.toml"
    file.write_text(f'[[models]]\nid = "{model.id}"\nthinking_level = "{level}"\n')
    return file


def _tell_luck(shop: House, luck: random.Random, shares: dict[str, float]) -> None:
    lines = []
    for _ in range(PRODUCTS * 2 * 3):
        dice, outcome = luck.random(), "picture"
        for name, share in shares.items():
            if 0 <= dice < share:
                outcome = name
            dice -= share
        lines.append({"outcome": outcome})
    shop.script(*lines)


def _reset(shop: House) -> None:
    request = urllib.request.Request(  # noqa: S310  the simulator on this machine
        f"{shop.simulator_url}/_sim/reset", data=b"", method="POST"
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass


def _compare(shop: House, name: str, scenes: int) -> Compared:
    """Dry run by the table, then the run itself."""
    book = shop.folder / f"{name}.yaml"
    written = "".join(
        f"  scene-{number}: {{prompt: 'Run {name}, the {{product.title}} in room {number}'}}\n"
        for number in range(scenes)
    )
    defaults = "defaults: {renditions: [web]}\n"
    book.write_text(f"version: 1\n{defaults}scenes:\n{written}")
    order = (str(FEED), "--images", str(PHOTOS), "--limit", str(PRODUCTS), "--scenes", str(book))
    planned = _dry_run(shop, *order)
    ran = shop.skuscene("import", *order, "--yes", "--wait", "--json", timeout_s=900)
    status = ran.json()
    bounds = planned["estimate_range_usd"]["standard"]
    return Compared(
        expected=planned["estimate_usd"]["standard"],
        low=bounds["low"],
        high=bounds["high"],
        spent=status["cost_usd"]["spent"],
        counts=status["renders"],
    )


def _dry_run(shop: House, *order: str) -> dict[str, Any]:
    """Without a store: what the table says, whatever the ledger has learnt by now."""
    variables = {name: value for name, value in shop.variables.items() if name != "SKUSCENE_STORE"}
    ran = replace(shop, variables=variables).skuscene(
        "import", *order, "--dry-run", "--json", timeout_s=300
    )
    if ran.code not in {0, 3}:
        raise SystemExit(ran.err[-500:])
    return dict(json.loads(ran.out))


def _print(seed: int, level: str, shares: dict[str, float], found: Compared) -> None:
    lost = found.counts["failed"] + found.counts["blocked"]
    amounts = (found.low, found.expected, found.high, found.spent)
    print(
        f"{seed:>11}{level:>11}"
        + "".join(f"{100 * share:>10.1f}%" for share in shares.values())
        + f"{found.counts['succeeded']:>11}{lost:>11}"
        + "".join(f"{amount:>11.4f}" for amount in amounts)
        + f"{'yes' if found.held else 'NO':>11}"
    )


def _machine() -> str:
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {loads}"
    )


if __name__ == "__main__":
    main()
