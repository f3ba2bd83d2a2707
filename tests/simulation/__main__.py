"""How are many seeds played, and one of them read?

``python -m tests.simulation --seeds 100000`` plays on every core; ``--seed N --trace`` plays one
and prints everything that happened. Exit 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence

from tests.simulation.mutations import MUTATIONS, applied
from tests.simulation.runs import FOUND_BY, broken, played, report, seed_that_finds
from tests.simulation.world import Verdict, simulate

_MOST_SHOWN = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what is asked for; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.mutations:
        return _mutations()
    if options.seed is not None:
        return _one(options.seed, trace=options.trace)
    return _many(range(options.first, options.first + options.seeds), options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many [2000]")
    parser.add_argument("--first", type=int, default=0, help="the first of them [0]")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes [cores]")
    parser.add_argument("--seed", type=int, help="play this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every effect")
    parser.add_argument("--mutations", action="store_true", help="switch guards off, one by one")
    return parser


def _mutations() -> int:
    """Look for the first seed that finds each guard that is switched off."""
    found: dict[str, int] = {}
    for mutation in MUTATIONS:
        with applied(mutation):
            seed = seed_that_finds(mutation.name)
        sys.stdout.write(f"{mutation.name}: {'nobody notices' if seed is None else seed}\n")
        if seed is not None:
            found[mutation.name] = seed
    FOUND_BY.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return 0 if len(found) == len(MUTATIONS) else 1


def _one(seed: int, *, trace: bool) -> int:
    verdict = simulate(seed, trace=trace)
    sys.stdout.write(f"{report(verdict)}\n")
    sys.stdout.write(f"digest: {verdict.digest}\n")
    return 1 if broken(verdict) else 0


def _many(seeds: range, processes: int) -> int:
    began = time.monotonic()
    failed: list[Verdict] = []
    effects = calls = 0
    for verdict in played(seeds, processes=processes):
        effects += verdict.effects
        calls += verdict.calls
        if broken(verdict):
            failed.append(verdict)
            sys.stdout.write(f"seed {verdict.seed}: {'; '.join(broken(verdict))[:300]}\n")
    for verdict in failed[:_MOST_SHOWN]:
        sys.stdout.write(f"\n{report(verdict)}\n")
    took_s = time.monotonic() - began
    sys.stdout.write(
        f"{len(seeds)} seeds, {effects} effects, {calls} calls to the model in {took_s:.0f} s; "
        f"{len(failed)} seeds break a promise\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
