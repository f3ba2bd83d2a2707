"""What does a producer cost to start, next to what a worker loads?

    python benchmarks/producer_start.py [--runs 7]

Each import happens in a fresh interpreter; medians of wall time and of the process's memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import statistics
import subprocess
import sys

WHAT = {
    "an empty interpreter": "pass",
    "producers.cli (--help)": "import producers.cli",
    "producers.api (import, status)": "import producers.api",
    "worker.app (all stages)": "import worker.app",
    "the model SDK": "from google import genai",
}
MEASURE = """
import resource, sys, time
started = time.perf_counter()
{statement}
took = time.perf_counter() - started
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(sys.modules))
"""


def main() -> None:
    """Run each import several times and print the table."""
    parser = argparse.ArgumentParser(description="Measure what an import costs.")
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    print(f"$ python {shlex.join(sys.argv)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'what is imported':<34}{'ms':>8}{'MiB':>7}{'modules':>9}{'ratio to SDK':>14}")
    found = {name: _median(statement, runs) for name, statement in WHAT.items()}
    sdk_s = found["the model SDK"][0]
    for name, (took_s, memory_kib, modules) in found.items():
        print(
            f"{name:<34}{took_s * 1000:>8.0f}{memory_kib / 1024:>7.0f}{modules:>9.0f}"
            f"{took_s / sdk_s:>14.2f}"
        )


def _median(statement: str, runs: int) -> tuple[float, float, float]:
    rows = [_once(statement) for _ in range(runs)]
    took, memory, modules = (statistics.median(column) for column in zip(*rows, strict=True))
    return took, memory, modules


def _once(statement: str) -> tuple[float, ...]:
    said = subprocess.run(
        [sys.executable, "-c", MEASURE.format(statement=statement)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    return tuple(float(number) for number in said.split())


if __name__ == "__main__":
    main()
