"""How are many seeds played, on every core, and how is a failing one told?"""

from __future__ import annotations

import gc
import itertools
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.world import Verdict, simulate

_CHUNK = 25
_MOST_SEEDS = 10_000
FOUND_BY = Path(__file__).with_name("found_by.json")
"""Which seed found which switched-off guard."""


def played(seeds: range, *, processes: int) -> Iterator[Verdict]:
    """Play seeds, in order."""
    # Spawned: a fork would copy whatever threads the parent has.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        yield from itertools.chain.from_iterable(pool.map(_played, _chunks(seeds)))


def _chunks(seeds: range) -> Iterator[range]:
    for first in range(seeds.start, seeds.stop, _CHUNK):
        yield range(first, min(first + _CHUNK, seeds.stop))


def _played(seeds: range) -> list[Verdict]:
    # A world lives for some 20 ms and is taken apart at its end: looking for garbage meanwhile is a
    # tenth of a run's time, and finds none. Nor is there any in what was there before.
    gc.disable()
    gc.freeze()
    verdicts = [simulate(seed) for seed in seeds]
    gc.collect()
    return verdicts


def seed_that_finds(name: str) -> int | None:
    """A seed that breaks a promise now that the guard of this name is switched off.

    The one that did so last time is tried first: ``python -m tests.simulation --mutations`` looks
    for them anew.
    """
    last = json.loads(FOUND_BY.read_text(encoding="utf-8")).get(name)
    tried = itertools.chain(() if last is None else (last,), range(_MOST_SEEDS))
    return next((seed for seed in tried if broken(simulate(seed))), None)


def broken(verdict: Verdict) -> list[str]:
    """What a run broke, in words."""
    return [str(one) for one in verdict.broken]


def report(verdict: Verdict) -> str:
    """Tell of a run so that somebody can begin to look for the reason, if it fails."""
    return "\n".join(
        [
            f"seed {verdict.seed} breaks:" if verdict.broken else f"seed {verdict.seed} holds",
            *(f"  {one}" for one in verdict.broken),
            f"faults: {verdict.plan.said()}",
            *verdict.last,
            f"replay: python -m tests.simulation --seed {verdict.seed} --trace",
        ]
    )
