"""The command ``python -m worker.simulator``: how is the simulator started?"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from worker.simulator.batches import BatchLimits
from worker.simulator.files import StorageLimits
from worker.simulator.limit_refusals import Telling
from worker.simulator.models import INPUT_IMAGE_TOKENS
from worker.simulator.orders import FAULTS, ORDERS, REQUESTS
from worker.simulator.outcomes import OUTCOMES
from worker.simulator.rules import SHAPES, parse_limits
from worker.simulator.script import (
    BatchHours,
    Director,
    Latency,
    ScriptError,
    ScriptLine,
    parse_script,
)
from worker.simulator.service import Service
from worker.simulator.state import Setup
from worker.simulator.tokens import Count, TokenRates

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_DONE = 0
EXIT_USAGE = 2

_HOUR_HELP = "seconds that an hour takes for files and batches [3600]"
_EPILOG = f"""\
examples:
  python -m worker.simulator --port 8090
  python -m worker.simulator --port 8090 --latency-s 10-40 --rate 503=0.1 --rate cut=0.01
  python -m worker.simulator --port 0 --books books.jsonl --script script.jsonl
  python -m worker.simulator --hour-s 2 --batch-hours 1-6 --rate batch:expired=0.05
  python -m worker.simulator --latency-s 4-20:skew --limit bucket:600/60s:10 --limit day:5000

outcomes: {", ".join(OUTCOMES)}
of batches: {", ".join(ORDERS)}
of requests about files and batches: {", ".join(f"{scope}:" for scope in REQUESTS)}
  each with {", ".join(FAULTS)}
limits: {", ".join(SHAPES)}
A running simulator is steered by POST /_sim/script, /_sim/latency, /_sim/limits and /_sim/reset,
and shows its books at GET /_sim/books, its batches at GET /_sim/batches. It sells drawn pictures
and costs nothing.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted or terminated; 2 if it can't start as asked."""
    arguments = _parser().parse_args(argv)
    try:
        setup = _setup(arguments)
        asyncio.run(_serve(setup))
    except (ScriptError, OSError) as exc:
        sys.stderr.write(f"simulator: {exc}\n")
        return EXIT_USAGE
    return EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skuscene simulator",
        description="Stand in for the Gemini image API on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=8089, help="port to listen on; 0 takes a free one [8089]")
    add("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
    add(
        "--latency-s",
        default="0.05",
        metavar="S|MIN-MAX[:skew]",
        help="thinking time, seconds, evenly spread or mostly short [0.05]",
    )
    add(
        "--rate",
        action="append",
        default=[],
        metavar="KIND=SHARE",
        help="share of calls, or batches (0 to 1), that end as KIND; may be given again",
    )
    add("--script", type=Path, metavar="FILE", help="what to do with the next calls (JSON Lines)")
    add("--books", type=Path, metavar="FILE", help="append one line per call; counts on from there")
    add("--rpm", type=int, metavar="N", help="requests per minute and model, 429 beyond [no limit]")
    add(
        "--limit",
        action="append",
        default=[],
        metavar="RULE",
        help="what a model may be asked for, e.g. bucket:600/60s:10; may be given again [no limit]",
    )
    add("--no-retryinfo", action="store_true", help="a 429 never says when to come again")
    add("--no-quota-value", action="store_true", help="a 429 never says how high its limit is")
    add("--no-quota-failure", action="store_true", help="a 429 never says which limit it was")
    add("--thoughts", metavar="N|MIN-MAX", help="thought tokens that a call reports [by level]")
    add(
        "--input-image-tokens",
        metavar="N|MIN-MAX",
        help=f"tokens reported per input image [{INPUT_IMAGE_TOKENS}]",
    )
    add("--hour-s", type=_positive, default=3600.0, metavar="S", help=_HOUR_HELP)
    add(
        "--batch-hours",
        default="1-6",
        metavar="H|MIN-MAX[:skew]",
        help="how long a batch takes, in hours of --hour-s [1-6]",
    )
    add("--batches", type=int, default=100, metavar="N", help="batches open at a time [100]")
    add(
        "--enqueued-tokens",
        type=int,
        metavar="N",
        help="input tokens in a model's open batches, 429 beyond [no limit]",
    )
    add(
        "--storage-bytes",
        type=int,
        default=StorageLimits().total_bytes,
        metavar="N",
        help="what all files together may hold [20 GiB]",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of everything left to chance [0]")
    add("--quiet", action="store_true", help="no line per call on standard error")
    return parser


def _setup(arguments: argparse.Namespace) -> Setup:
    rates = dict(_read_rate(text) for text in arguments.rate)
    Director(rates=rates, seed=0)  # complains about what can't be followed
    return Setup(
        host=arguments.host,
        port=arguments.port,
        latency=Latency.parse(arguments.latency_s),
        rates=rates,
        script=_read_script(arguments.script),
        books_path=arguments.books,
        seed=arguments.seed,
        limits=parse_limits(arguments.limit, rpm=arguments.rpm),
        telling=Telling(
            retry_info=not arguments.no_retryinfo,
            quota=not arguments.no_quota_failure,
            quota_value=not arguments.no_quota_value,
        ),
        tokens=TokenRates(
            thoughts=_read_count(arguments.thoughts),
            input_image=_read_count(arguments.input_image_tokens),
        ),
        hour_s=arguments.hour_s,
        batch_hours=BatchHours.parse(arguments.batch_hours),
        batches=BatchLimits(
            open_batches=arguments.batches, enqueued_tokens=arguments.enqueued_tokens
        ),
        storage=StorageLimits(total_bytes=arguments.storage_bytes),
        quiet=arguments.quiet,
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


def _read_rate(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError as exc:
        message = f"rate {text!r}: wanted KIND=SHARE, e.g. 503=0.1"
        raise ScriptError(message) from exc


def _read_count(text: str | None) -> Count | None:
    return None if text is None else Count.parse(text)


def _read_script(path: Path | None) -> tuple[ScriptLine, ...]:
    if path is None:
        return ()
    try:
        return tuple(parse_script(path.read_text(encoding="utf-8")))
    except ScriptError as exc:
        message = f"{path}: {exc}"
        raise ScriptError(message) from exc


async def _serve(setup: Setup) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    service = Service(setup)
    await service.start()
    sys.stdout.write(f"simulator ready on {service.url}\n")
    sys.stdout.flush()
    await stopped.wait()
    await service.stop()


if __name__ == "__main__":
    sys.exit(main())
