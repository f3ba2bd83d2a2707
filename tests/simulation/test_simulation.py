"""Does the core keep its promises, whatever goes wrong, and would we notice if it did not?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutations import COVERED, MUTATIONS, Mutation, applied
from tests.simulation.runs import broken, played, report, seed_that_finds
from tests.simulation.world import simulate

ROOT = Path(__file__).parents[2]
SEEDS = int(os.environ.get("SKUSCENE_SIMULATION_SEEDS", "2000"))


@pytest.mark.timeout(600)
def test_no_seed_breaks_a_promise() -> None:
    failed = [one for one in played(range(SEEDS), processes=os.cpu_count() or 1) if broken(one)]

    seeds = [verdict.seed for verdict in failed]
    assert not failed, f"{seeds}\n" + report(failed[0])


def test_a_seed_replays_exactly_in_another_process() -> None:
    here = [simulate(seed, trace=True).digest for seed in (1, 10, 53)]

    there = [_digest_elsewhere(seed) for seed in (1, 10, 53)]

    assert there == here


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
@pytest.mark.timeout(400)  # on a busy machine a seed in the hundreds takes minutes to come to
def test_a_guard_switched_off_is_noticed(mutation: Mutation) -> None:
    with applied(mutation):
        found = seed_that_finds(mutation.name)

    assert found is not None


@pytest.mark.parametrize("mutation", COVERED, ids=lambda mutation: mutation.name)
def test_a_guard_that_another_one_covers_is_still_there(mutation: Mutation) -> None:
    with applied(mutation):
        verdict = simulate(0)

    assert verdict.effects > 0


def _digest_elsewhere(seed: int) -> str:
    said = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.rsplit("digest: ", 1)[-1].strip()
