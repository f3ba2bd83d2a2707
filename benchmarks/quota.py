"""How much of a shared limit is used, and how often is it fought?

    python benchmarks/quota.py [--minutes 5] [--peer-minutes 3] [--only NAME] [--seed 1]
                               [--no-peers] [--litellm PYTHON] [--books FOLDER]

The simulator enforces a limit; two generate workers of Skuscene buy against it on a directory
store, with nothing else running: the renders wait prepared in the queue. Calls take 4 to 20 s,
mostly short. Beside it, under the same limits: the plain Celery recipe (rate_limit and autoretry
with backoff, two workers), an asyncio script with a semaphore and tenacity, and LiteLLM's router
where it is installed: in an environment of its own, which ``--litellm`` names (``pip install
litellm==1.110.2``).

- used: calls that were let in, of those that a caller who knows the rule could have had let in
  (``worker.simulator.oracle``), from the second minute on; of a fixed window only whole ones
- refused: calls that the limit refused, of all calls, from the second minute on; and their number
  in the first minute
- gaps: median and 99th percentile of the time between two calls that were let in, in ms

"set": the limit is told to Skuscene, or to the recipe; "found": nobody is told anything.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from catalog.models import load_models
from catalog.money import Usd
from catalog.settings import Settings
from producers.embedded import private_redis
from tests.support.running import House, house, simulator_process
from tests.support.waiting import wait_for
from worker.simulator.oracle import borne_calls, most_admitted
from worker.simulator.rules import (
    BucketRule,
    CapacityRule,
    FixedRule,
    Rule,
    SpendRule,
    TokensRule,
    parse_rule,
)

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "producers" / "demo" / "photos" / "florian-olivo-1166419-unsplash.jpg"
BASELINES = Path(__file__).resolve().parent / "baselines"
LATENCY = "4-20:skew"
MEAN_CALL_S = 4 + 16 * 2 / 7
WARM_S = 60.0
WORKERS = 2
CALLS_PER_WORKER = 64
_STOP_S = 90.0
TOKENS_PER_CALL = 2_400
"""What the limit of a row is reckoned with; a call's real number is in the books."""
PER_CALL = Usd(36_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One limit: how the simulator enforces it, and what Skuscene is told."""

    name: str
    rule: str
    told: dict[str, str] = field(default_factory=dict)
    manners: tuple[str, ...] = ()
    changes: tuple[tuple[float, str], ...] = ()
    peers: bool = False


BUCKET = "bucket:600/60s:10"
SET = {"SKUSCENE_QUOTA_REQUESTS_PER_MINUTE": "600"}
ROWS = (
    Row(name="bucket, set", rule=BUCKET, told=SET, peers=True),
    Row(name="bucket, found", rule=BUCKET, manners=("--no-quota-value",), peers=True),
    Row(name="bucket, named", rule=BUCKET),
    Row(name="bucket, silent", rule=BUCKET, manners=("--no-quota-failure", "--no-retryinfo")),
    Row(name="fixed window, found", rule="fixed:600/60s", manners=("--no-quota-value",)),
    Row(name="sliding log, found", rule="sliding:600/60s", manners=("--no-quota-value",)),
    Row(name="sliding log, set", rule="sliding:600/60s", told=SET),
    Row(
        name="tokens at the end, set",
        rule=f"tokens:{600 * TOKENS_PER_CALL}/60s",
        told={"SKUSCENE_QUOTA_TOKENS_PER_MINUTE": str(600 * TOKENS_PER_CALL)},
    ),
    Row(name="spend, found", rule="spend:72usd/600s", manners=("--no-quota-value",)),
    Row(name="capacity drifts, 503", rule="capacity:40-80/120s"),
    Row(name="capacity drifts, 429", rule="capacity429:40-80/120s"),
    Row(
        name="bucket, halved, doubled",
        rule=BUCKET,
        told=SET,
        manners=("--no-quota-value",),
        changes=((120.0, "bucket:300/60s:10"), (240.0, BUCKET)),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the simulator's books say of a run, in seconds since its first call."""

    let_in: list[float]
    refused: list[float]
    tokens_per_call: float
    begin_s: float
    """When the first call came, in seconds since the simulator's start."""

    @classmethod
    def read(cls, path: Path) -> Seen:
        """Read the books."""
        calls = [
            entry
            for line in path.read_text().splitlines()
            if (entry := json.loads(line)).get("event") == "call"
        ]
        begin_s = min(call["at_s"] for call in calls)
        return cls(
            let_in=sorted(
                call["admitted_at_s"] - begin_s
                for call in calls
                if call["admitted_at_s"] is not None
            ),
            refused=sorted(call["at_s"] - begin_s for call in calls if call["limit"]),
            tokens_per_call=statistics.mean(
                sum(call["tokens"].values()) for call in calls if call["sold"]
            ),
            begin_s=begin_s,
        )


def main() -> int:
    """Run the rows and print the table."""
    options = _options()
    print(f"$ python {shlex.join(sys.argv)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        f"{WORKERS} workers with {CALLS_PER_WORKER} calls in flight each, {LATENCY} s a call, "
        f"{options.minutes:g} minutes after the first one ({options.peer_minutes:g} for peers)"
    )
    print(
        f"{'limit':<26}{'caller':<12}{'used':>8}{'refused':>9}{'in 1st min':>11}"
        f"{'gap ms':>8}{'p99':>7}"
    )
    for row in ROWS:
        if options.only and row.name not in options.only:
            continue
        _print(row, "Skuscene", _ours(row, options), options.minutes, options)
        if row.peers and not options.no_peers:
            for name, run in _PEERS.items():
                if name != "litellm" or options.litellm:
                    _print(row, name, run(row, options), options.peer_minutes, options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how a shared limit is used.")
    parser.add_argument("--minutes", type=float, default=5.0, help="steady minutes of ours [5]")
    parser.add_argument("--peer-minutes", type=float, default=3.0, help="and of each peer [3]")
    names = [row.name for row in ROWS]
    parser.add_argument("--only", action="append", choices=names, help="this row; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="the simulator's seed [1]")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--books", type=Path, metavar="FOLDER", help="keep the simulator's books")
    parser.add_argument(
        "--litellm",
        metavar="PYTHON",
        help="an interpreter that has litellm: its router is run, too",
    )
    return parser.parse_args()


# -- the callers -----------------------------------------------------------------------------


def _ours(row: Row, options: argparse.Namespace) -> Seen:
    seconds = WARM_S + 60 * options.minutes
    calls = int(seconds * 11) + 400
    with tempfile.TemporaryDirectory(prefix="sks-quota-") as name:
        folder = Path(name)
        told = {
            **row.told,
            "SKUSCENE_GENERATE_CONCURRENCY": str(CALLS_PER_WORKER),
            "SKUSCENE_WINDOW": str(2 * calls),
        }
        with (
            house(folder, simulator=False, **told) as shop,
            _simulated(folder, row, options) as url,
        ):
            shop.variables["GOOGLE_GEMINI_BASE_URL"] = url
            _prepare(shop, calls)
            with contextlib.ExitStack() as stack:
                for number in range(WORKERS):
                    stack.enter_context(running_worker(shop, f"generate-{number}", "generate"))
                _let_run(url, row, seconds)
        return _read(folder, row, "skuscene", options)


def _prepare(shop: House, calls: int) -> None:
    """Plan an import, and let its renders wait for workers that buy."""
    with running_worker(shop, "prepare", "prepare,control"):
        wait_filled(shop, calls)


def wait_filled(shop: House, calls: int) -> None:
    """Import so many products of one render each, and wait until all are prepared."""
    photos, feed = shop.folder / "photos", shop.folder / "feed.csv"
    photos.mkdir()
    (photos / "photo.jpg").write_bytes(PHOTO.read_bytes())
    with feed.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("sku", "title", "image"))
        rows.writerows((f"S-{n}", f"Product {n}", "photo.jpg") for n in range(calls))
    client = redis.Redis.from_url(shop.variables["SKUSCENE_REDIS_URL"])
    ran = shop.skuscene(
        *("import", str(feed), "--images", str(photos), "--yes", "--id", "quota"),
        timeout_s=300,
    )
    if ran.code != 0:
        raise SystemExit(ran.err[-800:])
    wait_for(lambda: client.llen("generate") >= calls, timeout_s=900, what=f"{calls} renders wait")


def _celery(row: Row, options: argparse.Namespace) -> Seen:
    rate = f"{600 // WORKERS}/m" if row.told else ""
    with _peer(row, options) as (folder, variables, url, server_url):
        variables |= {"PLAIN_REDIS_URL": server_url, "PLAIN_RATE": rate}
        seconds = WARM_S + 60 * options.peer_minutes
        fill = (
            "from quota_celery import render\n"
            f"for number in range({int(seconds * 11)}):\n"
            f"    render.delay(number, {_model()!r}, {str(PHOTO)!r})\n"
        )
        subprocess.run([sys.executable, "-c", fill], env=variables, cwd=BASELINES, check=True)
        with contextlib.ExitStack() as stack:
            for number in range(WORKERS):
                command = (
                    *("-m", "celery", "-A", "quota_celery", "worker", "-P", "threads"),
                    *("-c", str(CALLS_PER_WORKER), "-n", f"w{number}@%h", "-l", "WARNING"),
                )
                stack.enter_context(_started(folder, f"w{number}", variables, BASELINES, *command))
            _let_run(url, row, seconds)
        return _read(folder, row, "celery", options)


def _asyncio(row: Row, options: argparse.Namespace) -> Seen:
    # Who knows the limit sets the semaphore by it: what a call takes, on average, at that rate.
    in_flight = min(_IN_FLIGHT, round(10 * MEAN_CALL_S)) if row.told else _IN_FLIGHT
    return _script(row, options, "quota_asyncio.py", sys.executable, str(in_flight))


def _litellm(row: Row, options: argparse.Namespace) -> Seen:
    known = ("600",) if row.told else ()
    return _script(row, options, "quota_litellm.py", options.litellm, str(_IN_FLIGHT), *known)


def _script(row: Row, options: argparse.Namespace, name: str, interpreter: str, *more: str) -> Seen:
    with _peer(row, options) as (folder, variables, url, _):
        seconds = WARM_S + 60 * options.peer_minutes
        command = (
            *(str(BASELINES / name), str(int(seconds * 11)), _model(), str(PHOTO)),
            *(variables["PLAIN_FOLDER"], *more),
        )
        with _started(folder, name, variables, BASELINES, *command, interpreter=interpreter):
            _let_run(url, row, seconds)
        return _read(folder, row, name.removesuffix(".py"), options)


_IN_FLIGHT = WORKERS * CALLS_PER_WORKER
_PEERS = {"celery": _celery, "asyncio": _asyncio, "litellm": _litellm}


@contextlib.contextmanager
def _peer(row: Row, options: argparse.Namespace) -> Iterator[tuple[Path, dict[str, str], str, str]]:
    with (
        tempfile.TemporaryDirectory(prefix="sks-quota-") as name,
        private_redis(append_only=False) as server,
        _simulated(Path(name), row, options) as url,
    ):
        pictures = Path(name) / "pictures"
        pictures.mkdir()
        variables = {
            **os.environ,
            "GEMINI_API_KEY": "test-key",
            "GOOGLE_GEMINI_BASE_URL": url,
            "PLAIN_FOLDER": str(pictures),
            # LiteLLM fetches its price list at each start, unless it is told not to.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        # kombu writes sockets another way than redis-py.
        socket = server.url.removeprefix("unix://").partition("?")[0]
        yield Path(name), variables, url, f"redis+socket://{socket}?virtual_host=0"


# -- processes -------------------------------------------------------------------------------


@contextlib.contextmanager
def _simulated(folder: Path, row: Row, options: argparse.Namespace) -> Iterator[str]:
    arguments = (
        *("--latency-s", LATENCY, "--limit", row.rule, *row.manners),
        *("--seed", str(options.seed), "--books", str(folder / "books.jsonl"), "--quiet"),
    )
    with simulator_process(folder, *arguments) as url:
        yield url


@contextlib.contextmanager
def running_worker(shop: House, name: str, queues: str) -> Iterator[None]:
    """Run a worker for some queues while the block runs."""
    log = shop.folder / f"{name}.log"
    command = ("-m", "producers", "worker", "--queues", queues)
    ready = len(queues.split(","))
    with _started(shop.folder, name, shop.variables, shop.folder, *command):
        wait_for(
            lambda: log.read_text().count("worker_ready") >= ready,
            timeout_s=120,
            what=f"{name} is ready",
        )
        yield


@contextlib.contextmanager
def _started(
    folder: Path,
    name: str,
    variables: dict[str, str],
    place: Path,
    *command: str,
    interpreter: str = sys.executable,
) -> Iterator[None]:
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [interpreter, *command],
            env=variables,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        # Told, not killed: a killed supervisor's stage would still write into a folder that goes.
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _let_run(url: str, row: Row, seconds: float) -> None:
    """Wait for the first call, then until the time is over; change the limit on the way."""
    simulator = House(folder=Path(), variables={}, simulator_url=url)
    wait_for(lambda: simulator.books()["open"] > 0, timeout_s=120, what="a call")
    began = time.monotonic()
    for at, rule in row.changes:
        time.sleep(max(0.0, began + at - time.monotonic()))
        simulator.limits(rule)
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def _model() -> str:
    name = str(Settings.model_fields["model"].default)
    return load_models().resolve(name, platform="developer").id


def _read(folder: Path, row: Row, caller: str, options: argparse.Namespace) -> Seen:
    if options.books:
        options.books.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "books.jsonl", options.books / f"{row.name}, {caller}.jsonl")
    return Seen.read(folder / "books.jsonl")


# -- the table -------------------------------------------------------------------------------


def _print(row: Row, caller: str, seen: Seen, minutes: float, options: argparse.Namespace) -> None:
    begin_s, end_s = _measured(row, seen, WARM_S + 60 * minutes)
    let_in = [at for at in seen.let_in if begin_s <= at < end_s]
    refused = [at for at in seen.refused if begin_s <= at < end_s]
    best = _best(row, seen, begin_s, end_s, options)
    gaps = sorted(1_000 * (after - at) for at, after in itertools.pairwise(let_in))
    first = sum(at < WARM_S for at in seen.refused)
    share = len(refused) / max(1, len(let_in) + len(refused))
    print(
        f"{row.name:<26}{caller:<12}{len(let_in) / best:>8.2%}{share:>9.2%}{first:>11}"
        f"{gaps[len(gaps) // 2]:>8.0f}{gaps[int(len(gaps) * 0.99)]:>7.0f}",
        flush=True,
    )
    if row.changes:
        per_10_s = [sum(t <= at < t + 10 for at in seen.let_in) for t in range(0, int(end_s), 10)]
        print(f"{'':<26}let in per 10 s: {' '.join(map(str, per_10_s))}", flush=True)


def _measured(row: Row, seen: Seen, end_s: float) -> tuple[float, float]:
    """From the second minute to the end; where windows are fixed, those that lie within as a whole.

    In a part of a window somebody who sends its calls early has few, or many.
    """
    rule = parse_rule(row.rule)
    if not isinstance(rule, FixedRule):
        return WARM_S, end_s
    first = math.ceil((seen.begin_s + WARM_S) / rule.span_s) * rule.span_s
    last = math.floor((seen.begin_s + end_s) / rule.span_s) * rule.span_s
    return first - seen.begin_s, last - seen.begin_s


def _best(row: Row, seen: Seen, begin_s: float, end_s: float, options: argparse.Namespace) -> float:
    """What a caller who knows the rule gets through in that time."""
    if not row.changes:
        return _most(parse_rule(row.rule), seen, begin_s, end_s, options)
    times = [begin_s, *(at for at, _ in row.changes), end_s]
    rules = [row.rule, *(rule for _, rule in row.changes)]
    spans = zip(rules, times, times[1:], strict=False)
    return sum(_most(parse_rule(rule), seen, a, b, options) for rule, a, b in spans)


def _most(rule: Rule, seen: Seen, a: float, b: float, options: argparse.Namespace) -> float:
    match rule:
        case CapacityRule():
            begin_s = seen.begin_s + a
            return borne_calls(rule, b - a, seed=options.seed, call_s=MEAN_CALL_S, begin_s=begin_s)
        case BucketRule():
            # In the second minute a caller who used the first one has an empty bucket.
            return rule.requests * (b - a) / rule.span_s
        case TokensRule():
            return rule.tokens * (b - a) / rule.span_s / seen.tokens_per_call
        case SpendRule():
            # Its whole window, from the first call on: what is spent early is missing later.
            let_in_before = sum(at < a for at in seen.let_in)
            return max(1, rule.spend.micro / PER_CALL.micro - let_in_before)
        case _:
            return most_admitted(rule, b - a)


if __name__ == "__main__":
    sys.exit(main())
