"""What is lost and what is bought twice while everything that can die dies?

    python benchmarks/chaos.py [--renders 2000] [--minutes 45] [--seed 1] [--slow] [--only NAME]

One import against the simulator and a real S3 server behind a proxy with faults, in real worker
processes on a private Redis. Two generate and two finish workers: one is killed every 5 s on
average and replaced at once; all are restarted in turn every 60 s; Redis is killed and comes back
with its append-only file twice and empty once, when a quarter, a half and three quarters of the
renders are through. The same is then done to a plain Celery task (baselines/plain_task.py), under
the same rates, seeds and schedule. ``--slow`` adds a second table: 15 to 40 s a call, 256 of them
open, a generate worker killed every minute on average, the first after half a minute. Exit code 1
if a promise did not hold for Skuscene.

Settings that differ from the defaults: SKUSCENE_MODEL_DEADLINE_S, because with the default of 300 s
each of the hanging calls would hold its render for five minutes; in the second table
SKUSCENE_GENERATE_CONCURRENCY, for 256 calls in two workers.

How the numbers come about:

- Every worker process has a model key of its own, so the simulator's books say whose calls were
  open when it was killed. An answer that had been written to a process which was killed before
  its picture was in the store (seen by the proxy) counts as "not yet in the store".
- Extra sales are pictures sold beyond one per render, and all of a render that ended without one.
  Beside the sum's bound each render is judged alone: an extra sale needs a kill or a cut of its
  own.
- "Because Redis was emptied": sold again afterwards though an earlier sale was neither cut nor
  hit by a kill.
- "Ended by kills alone": ended without a picture, though the answers that the model owed it by
  fault do not use up its attempts.
- From a kill to the render's next call: that next call's arrival at the simulator, for each
  render that had a call open in the killed process. It includes the queue, pauses after Redis's
  deaths, and further kills.
- Objects are read straight from the S3 server, past the proxy, after the workers have ended.
- Half of what hits a finish worker with child processes (the baseline's pool) is the kill of one of
  them alone, as an out-of-memory kill does; every other kill takes the process and its children.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._s3_faults import S3FaultProxy, S3Faults
from benchmarks._soak_books import Findings, audit, median_and_worst, read_calls
from benchmarks._soak_subjects import SIZE, Place, PlainTask, Remains, Skuscene
from benchmarks._soak_world import Chronicle, Crew, MortalRedis, Soak, Weather
from catalog.models import load_models
from catalog.settings import Settings
from tests.support.running import s3_server, simulator_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.models import Model

RATES = {
    "503": 0.06,
    "500": 0.04,
    "429": 0.02,
    "429_retryinfo": 0.03,
    "hang": 0.02,
    "cut": 0.01,
    "empty_200": 0.02,
}
ROUGH = Weather(
    latency_s="0.5-2",
    deadline_s=10.0,
    kill_every_s=5.0,
    roll_every_s=60.0,
    calls_per_worker=int(Settings.model_fields["generate_concurrency"].default),
    redis_file_at=(0.25, 0.5),
    redis_empty_at=(0.75,),
)
SLOW = Weather(
    latency_s="15-40",
    deadline_s=60.0,
    kill_every_s=60.0,
    roll_every_s=None,
    calls_per_worker=128,
    first_kill_s=30.0,
    victims=("generate",),
    grace_s=120.0,
)
SLOW_RENDERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """One subject's run."""

    name: str
    findings: Findings
    remains: Remains
    chronicle: Chronicle
    s3: dict[str, int]


def main() -> int:
    """Run the soaks and print their tables; 1 if a promise did not hold."""
    options = _options()
    print(f"$ python {shlex.join(sys.argv)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    faults = []
    if options.renders:
        faults += _table("Rough weather", ROUGH, options, renders=options.renders)
    if options.slow:
        faults += _table("Real latencies", SLOW, options, renders=SLOW_RENDERS)
    for fault in faults:
        print(f"DOES NOT HOLD: {fault}")
    if not faults and options.only != "plain":
        print("every promise held for Skuscene")
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill things while pictures are bought.")
    add = parser.add_argument
    add("--renders", type=int, default=2000, help="renders of the first table; 0: none [2000]")
    add("--minutes", type=float, default=45.0, help="longest run of each subject [45]")
    add("--seed", type=int, default=1, help="seed of faults and kills [1]")
    add("--slow", action="store_true", help=f"also 15 to 40 s a call, {SLOW_RENDERS} renders")
    add("--only", choices=("skuscene", "plain"), help="one subject alone")
    add("--keep", type=Path, metavar="DIR", help="keep logs and books there")
    return parser.parse_args()


def _table(title: str, weather: Weather, options: argparse.Namespace, *, renders: int) -> list[str]:
    names = [name for name in ("skuscene", "plain") if options.only in {None, name}]
    runs = [_run(name, weather, options, renders=renders) for name in names]
    _print(title, weather, runs, seed=options.seed)
    return _broken(runs[0]) if runs[0].name == "Skuscene" else []


def _run(name: str, weather: Weather, options: argparse.Namespace, *, renders: int) -> Soaked:
    folder = Path(tempfile.mkdtemp(prefix="sks-soak-"))
    try:
        return asyncio.run(_soaked(name, weather, options, folder, renders=renders))
    finally:
        if options.keep is not None:
            kept = options.keep / f"{name}-{weather.latency_s}"
            shutil.copytree(
                folder, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("redis")
            )
        shutil.rmtree(folder, ignore_errors=True)


async def _soaked(
    name: str,
    weather: Weather,
    options: argparse.Namespace,
    folder: Path,
    *,
    renders: int,
) -> Soaked:
    books, chronicle, model = folder / "books.jsonl", Chronicle(), _model()
    async with contextlib.AsyncExitStack() as stack:
        server = MortalRedis(folder)
        stack.callback(server.kill)
        server.start()
        s3_url = stack.enter_context(s3_server(folder))
        model_url = stack.enter_context(
            simulator_process(folder, *_simulated(weather, books, options))
        )
        proxy = await stack.enter_async_context(
            S3FaultProxy(
                upstream_port=int(urlsplit(s3_url).port or 0),
                faults=S3Faults(),
                dice=Random(f"s3 {options.seed}"),
            )
        )
        place = Place(
            folder=folder,
            redis_url=server.url,
            store_url=proxy.url,
            direct_store_url=s3_url,
            model_url=model_url,
            deadline_s=weather.deadline_s,
            calls_per_worker=weather.calls_per_worker,
            renders=renders,
        )
        subject = (
            Skuscene(place=place) if name == "skuscene" else PlainTask(place=place, model=model.id)
        )
        await Soak(
            subject=subject,
            crew=stack.enter_context(Crew(subject, folder, chronicle)),
            server=server,
            proxy=proxy,
            weather=weather,
            chronicle=chronicle,
            renders=renders,
            seed=options.seed,
        ).run(options.minutes)
        remains = await subject.remains(proxy)
        s3 = dict(proxy.counts)
    findings = audit(
        read_calls(books, model, SIZE),
        remains.settled,
        chronicle,
        expected=renders,
        allowance=subject.allowance,
        stored_of_lost=remains.stored_of_lost,
    )
    return Soaked(name=subject.name, findings=findings, remains=remains, chronicle=chronicle, s3=s3)


def _simulated(weather: Weather, books: Path, options: argparse.Namespace) -> list[str]:
    rates = [word for kind, share in RATES.items() for word in ("--rate", f"{kind}={share}")]
    latency = ("--latency-s", weather.latency_s)
    return [*latency, "--seed", str(options.seed), "--books", str(books), "--quiet", *rates]


def _model() -> Model:
    models = load_models()
    return models.resolve(str(Settings.model_fields["model"].default), platform="developer")


def _broken(run: Soaked) -> list[str]:
    found, left = run.findings, run.remains
    checks = (
        (run.chronicle.finished and left.published, "the manifest came within the time"),
        (found.lost == 0, f"nothing is lost: {found.lost} renders have no outcome"),
        (
            found.extra <= found.bound,
            f"extra sales stay within the bound: {found.extra} of {found.bound}",
        ),
        (
            not found.unexplained,
            f"each extra sale has its own kill or cut: {found.unexplained[:5]}",
        ),
        (not found.after_emptying, f"emptying Redis sells nothing: {found.after_emptying[:5]}"),
        (not found.by_kills_alone, f"kills alone end nothing: {found.by_kills_alone[:5]}"),
        (
            not found.failed["failed without a reason"],
            f"every failure has its reason: {dict(found.failed)}",
        ),
        (not left.differ, f"objects are as the manifest says: {left.differ[:5]}"),
    )
    return [said for holds, said in checks if not holds]


def _print(title: str, weather: Weather, runs: list[Soaked], *, seed: int) -> None:
    rolling = f"{weather.roll_every_s:.0f} s" if weather.roll_every_s else "never"
    print(
        f"\n{title}: {weather.latency_s} s a call, deadline {weather.deadline_s:.0f} s, "
        f"2 x {weather.calls_per_worker} calls open at most,\n"
        f"a kill every {weather.kill_every_s:.0f} s, rolling restart {rolling}, seed {seed}"
    )
    print("".join((f"{'':<52}", *(f"{run.name:>16}" for run in runs))))
    for label, tell in _ROWS:
        print("".join((f"{label:<52}", *(f"{tell(run):>16}" for run in runs))))
    for run in runs:
        if not run.remains.published:
            print(
                f"{run.name}: the time was over before its manifest came, with "
                f"{run.remains.open_renders} renders open: shards that are not committed count "
                "above as lost, and their sales are not judged"
            )
        failed = ", ".join(f"{reason} {n}" for reason, n in run.findings.failed.most_common())
        print(f"{run.name}: failed with a reason: {failed or 'none'}")
        outcomes = sorted(run.findings.faults.items())
        print(f"{run.name}: calls: {', '.join(f'{kind} {n}' for kind, n in outcomes)}")


def _usd(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:.2f}"


def _ledger(kind: str) -> Callable[[Soaked], str]:
    return lambda run: _usd(run.remains.ledger_usd[kind] / 1e6) if run.remains.ledger_usd else "-"


_ROWS: tuple[tuple[str, Callable[[Soaked], object]], ...] = (
    ("renders expected", lambda run: run.findings.expected),
    ("renders settled", lambda run: run.findings.settled),
    ("  with a picture", lambda run: run.findings.kept),
    ("  failed with a reason", lambda run: sum(run.findings.failed.values())),
    ("lost", lambda run: run.findings.lost),
    ("  messages in Redis when it was emptied", lambda run: run.chronicle.messages_emptied),
    ("ended by kills alone", lambda run: len(run.findings.by_kills_alone)),
    (
        "objects read / that differ",
        lambda run: f"{run.remains.objects} / {len(run.remains.differ)}",
    ),
    ("pictures sold", lambda run: run.findings.sold),
    ("renders sold more than once", lambda run: run.findings.sold_again),
    ("pictures sold for lost renders", lambda run: run.findings.sold_and_lost),
    ("extra sales", lambda run: run.findings.extra),
    ("  bound: the sum of the next four", lambda run: run.findings.bound),
    ("    calls open at kills", lambda run: run.findings.open_at_kills),
    ("    answers not yet in the store at kills", lambda run: run.findings.unput_at_kills),
    ("    cut", lambda run: run.findings.cut),
    ("    hung", lambda run: run.findings.hung),
    ("  without a kill or cut of its own", lambda run: len(run.findings.unexplained)),
    ("  because Redis was emptied", lambda run: len(run.findings.after_emptying)),
    ("calls given up at the deadline though sold", lambda run: run.findings.given_up),
    (
        "kill to the render's next call, median / worst s",
        lambda run: median_and_worst(run.findings.reopened_s),
    ),
    (
        "  where Redis did not die meanwhile",
        lambda run: median_and_worst(run.findings.reopened_calmly_s),
    ),
    ("  renders caught in a call / never called again", lambda run: _caught(run.findings)),
    ("sold, by the simulator's books, USD", lambda run: _usd(run.findings.sold_usd)),
    ("spent, by status", lambda run: _usd(run.remains.spent_usd)),
    ("doubtful, by status", lambda run: _usd(run.remains.doubtful_usd)),
    ("pictures, by the ledger", _ledger("picture")),
    ("doubtful, by the ledger", _ledger("doubtful")),
    ("wasted per 1 000 pictures kept, USD", lambda run: _usd(run.findings.wasted_usd_per_1000)),
    ("workers killed", lambda run: run.chronicle.count("killed")),
    ("encoders killed", lambda run: run.chronicle.encoders_killed),
    ("rolling restarts", lambda run: run.chronicle.rolled),
    ("  killed after the grace", lambda run: run.chronicle.count("killed after the grace")),
    ("workers ended by themselves", lambda run: run.chronicle.count("ended by itself")),
    ("  with calls open", lambda run: run.findings.open_at_own_ends),
    ("Redis restarted with its file / emptied", lambda run: _redis(run.chronicle)),
    ("S3 requests", lambda run: run.s3.get("requests", 0)),
    ("  503 before / after being carried out", lambda run: _refused(run.s3)),
    ("  stalled 2 to 5 s", lambda run: run.s3.get("stalled", 0)),
    ("minutes", lambda run: f"{(run.chronicle.ended - run.chronicle.began) / 60:.1f}"),
)


def _caught(found: Findings) -> str:
    return f"{len(found.reopened_s) + found.never_again} / {found.never_again}"


def _redis(chronicle: Chronicle) -> str:
    return f"{len(chronicle.redis_restarts)} / {len(chronicle.redis_emptied)}"


def _refused(s3: dict[str, int]) -> str:
    return f"{s3.get('refused before', 0)} / {s3.get('refused after', 0)}"


if __name__ == "__main__":
    sys.exit(main())
