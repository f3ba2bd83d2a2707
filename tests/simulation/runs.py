"""How are many seeds played, on every core, and how is a failing one told?"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.known_gaps import KNOWN_GAPS
from tests.simulation.world import Verdict, simulate

_CHUNK = 25


def played(seeds: range, *, processes: int) -> Iterator[Verdict]:
    """Play seeds, in order."""
    # Spawned: a fork would copy whatever threads the parent has.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        yield from pool.map(simulate, seeds, chunksize=_CHUNK)


def broken(verdict: Verdict) -> list[str]:
    """What a run broke that is no known gap."""
    return [str(one) for one in verdict.broken if one.name not in KNOWN_GAPS]


def report(verdict: Verdict) -> str:
    """Tell of a failing run so that somebody can begin to look for the reason."""
    return "\n".join(
        [
            f"seed {verdict.seed} breaks:",
            *(f"  {one}" for one in verdict.broken),
            f"faults: {verdict.plan.said()}",
            *verdict.last,
            f"replay: python -m tests.simulation --seed {verdict.seed} --trace",
        ]
    )
