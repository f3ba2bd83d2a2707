"""How many pictures an hour does one machine deliver, and how far is that from its limit?

    python benchmarks/pipeline.py [--products 12] [--scenes 5] [--latency 1.0] [--rounds 3]

A real catalog goes through real workers, a private Redis, a directory store and the simulator. The
limit is measured in the same run: the CPU that checking and encoding the very same masters takes in
one process, spread over all cores. A round is one import of all products in all scenes.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from catalog.scenes import RENDITIONS
from tests.support.running import House, house
from worker.imaging.adapter import PillowImaging
from worker.ports import Marking

ROOT = Path(__file__).resolve().parent.parent
FEED = ROOT / "tests" / "data" / "feeds" / "vendure" / "products.csv"
PHOTOS = ROOT / "producers" / "demo" / "photos"
SCENES = ("living-room", "sunny-beach", "golden-hour-kitchen", "bedroom", "home-office")
MARKING = Marking(
    digital_source_type="trainedAlgorithmicMedia", system="benchmark", system_version="1"
)


def main() -> None:
    """Run the rounds and print the table."""
    options = _options()
    print(f"$ python {shlex.join(sys.argv)}")
    print(_machine())
    with tempfile.TemporaryDirectory() as folder:
        made = house(Path(folder), SKUSCENE_GENERATE_CONCURRENCY="64")
        with made as shop, shop.workers():
            shop.latency(options.latency)
            rounds = [_round(shop, options, number) for number in range(options.rounds)]
            renders = rounds[0][0]
            books = shop.books()
        finish_cpu_s = _finish_cpu_s(Path(folder))
    _print(rounds, renders, finish_cpu_s, options)
    sold = books["sold"]
    print(
        f"sold {sold} for {sum(count for count, _ in rounds)} succeeded renders; "
        f"bought twice: {books['doubles']}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the whole job against the simulator.")
    parser.add_argument("--products", type=int, default=31, help="products of the feed [31]")
    parser.add_argument("--scenes", type=int, default=4, help=f"1 to {len(SCENES)} [4]")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds per call [1.0]")
    parser.add_argument("--rounds", type=int, default=3, help="imports; the median counts [3]")
    return parser.parse_args()


def _round(shop: House, options: argparse.Namespace, number: int) -> tuple[int, float]:
    """One import under new prompts, so that all of it is bought; renders and seconds."""
    book = shop.folder / f"scenes-{number}.yaml"
    scenes = "".join(
        f"  {name}:\n    prompt: Round {number}, the {{product.title}} in a {name}\n"
        for name in SCENES[: options.scenes]
    )
    book.write_text(f"version: 1\nscenes:\n{scenes}")
    started = time.monotonic()
    ran = shop.skuscene(
        *("import", str(FEED), "--images", str(PHOTOS), "--limit", str(options.products)),
        *("--scenes", str(book), "--yes", "--wait", "--json"),
        timeout_s=900,
    )
    took_s = time.monotonic() - started
    status = ran.json()
    if status["renders"]["succeeded"] != status["renders"]["expected"]:
        message = f"round {number} did not succeed: {status['renders']} {ran.err[-500:]}"
        raise SystemExit(message)
    return int(status["renders"]["succeeded"]), took_s


def _finish_cpu_s(folder: Path) -> float:
    """Median CPU seconds of one process for checking and encoding one of the masters."""
    imaging = PillowImaging()
    names = imaging.file_names(RENDITIONS)
    spent: list[float] = []
    for path in sorted((folder / "store" / "renders").rglob("take-1.jpg"))[:40]:
        master = path.read_bytes()
        started = time.process_time()
        imaging.inspect(master, asked_width_px=1024, asked_height_px=1024)
        list(imaging.render(master, names, MARKING))
        spent.append(time.process_time() - started)
    return statistics.median(spent)


def _print(
    rounds: list[tuple[int, float]],
    renders: int,
    finish_cpu_s: float,
    options: argparse.Namespace,
) -> None:
    cores = os.cpu_count() or 1
    median_s = statistics.median(took_s for _, took_s in rounds)
    limit_s = max(renders * finish_cpu_s / cores, options.latency * renders / 64)
    print(f"{renders} renders a round, {options.latency} s a call, 64 calls in flight")
    print(f"{'':<34}{'seconds':>9}{'pictures/h':>12}")
    print(f"{'import to manifest, median':<34}{median_s:>9.1f}{renders / median_s * 3600:>12.0f}")
    print(f"{'limit: encoders alone':<34}{limit_s:>9.1f}{renders / limit_s * 3600:>12.0f}")
    print(f"{'ratio':<34}{limit_s / median_s:>9.2f}")
    print(f"finish: {finish_cpu_s * 1000:.0f} CPU ms a picture in one process")
    print(f"rounds: {', '.join(f'{took_s:.1f} s' for _, took_s in rounds)}")


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
