"""What does it cost to make a master's delivery files?

    python benchmarks/imaging_speed.py [--seconds 20]

Prints the median CPU time of one process and one thread for all renditions of a 1K and a 4K JPEG
master, of a check and of a photo's normalisation. Pictures are made here: smooth ground, a drawn
product, camera grain.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import PIL
from PIL import Image

from tests.support.pictures import product_picture, written
from worker.imaging.checks import check_master
from worker.imaging.normalise import ReferenceLimits, normalise_reference
from worker.imaging.provenance import TRAINED, Provenance
from worker.imaging.renditions import RECIPES, make_renditions

PROVENANCE = Provenance(digital_source_type=TRAINED, system="benchmark", system_version="1")
FILES = tuple(file for files in RECIPES.values() for file in files)
MIN_RUNS = 3
MAX_RUNS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0, help="bound of the whole run")
    seconds = parser.parse_args().seconds
    works = _works()
    print(f"$ python {shlex.join(sys.argv)}")
    print(_machine())
    print(f"{'work':<52}{'median CPU ms':>14}{'runs':>6}")
    for name, work in works.items():
        spent_ms = _measure(work, seconds / len(works))
        print(f"{name:<52}{statistics.median(spent_ms):>14.0f}{len(spent_ms):>6}")


def _works() -> dict[str, Callable[[], object]]:
    small, large = _photo(1024, 1024), _photo(4096, 4096)
    names = ", ".join(file.name for file in FILES)
    print(f"renditions: {names}")
    return {
        f"renditions of a 1K JPEG ({_kib(small)} KiB)": lambda: _renditions(small),
        f"renditions of a 4K JPEG ({_kib(large)} KiB)": lambda: _renditions(large),
        "check of a 1K JPEG": lambda: check_master(
            small, asked_width_px=1024, asked_height_px=1024
        ),
        "check of a 4K JPEG": lambda: check_master(
            large, asked_width_px=4096, asked_height_px=4096
        ),
        "normalisation of a 16.8-megapixel JPEG": lambda: normalise_reference(
            large, limits=ReferenceLimits()
        ),
    }


def _renditions(master: bytes) -> list[object]:
    return list(make_renditions(master, FILES, provenance=PROVENANCE))


def _photo(width_px: int, height_px: int) -> bytes:
    picture = product_picture(5, width_px, height_px)
    grain = Image.effect_noise((width_px, height_px), 24).convert("RGB")
    return written(Image.blend(picture, grain, 0.12), "JPEG", quality=90)


def _measure(work: Callable[[], object], seconds: float) -> list[float]:
    work()
    spent_ms: list[float] = []
    until_s = time.monotonic() + seconds
    while len(spent_ms) < MIN_RUNS or (time.monotonic() < until_s and len(spent_ms) < MAX_RUNS):
        started_s = time.process_time()
        work()
        spent_ms.append((time.process_time() - started_s) * 1000)
    return spent_ms


def _machine() -> str:
    python = platform.python_version()
    load = os.getloadavg()[0]
    return (
        f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores, "
        f"load {load:.1f}; Python {python}, Pillow {PIL.__version__}"
    )


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def _kib(content: bytes) -> int:
    return len(content) // 1024


if __name__ == "__main__":
    main()
