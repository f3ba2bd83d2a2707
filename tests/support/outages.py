"""What does a Skuscene look like whose Redis can be killed, emptied, set back and filled up?

A :class:`Broker` listens on a port, as in production, and comes back there. A :class:`Shop` has
imports in it whose calls are quick, slow, or put off by a rate limit, so that an outage finds some
renders bought, some calls open and some renders not yet asked for.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import random
import shutil
import signal
import socket
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from catalog import keys
from catalog.claims import QUEUES
from catalog.imports import Control
from catalog.models import load_models
from catalog.settings import Settings
from producers.embedded import find_server
from producers.importing import Order, prepare_order, start_import
from producers.reporting import import_status
from producers.services import Services, reach
from tests.support.deaths import process_of
from tests.support.running import House, _clean_environment, simulator_process
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.money import Usd
    from catalog.results import ImportStatus

PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
PHOTO = "2-slice-toaster.webp"
LONG_S = 150.0
"""For waits that end much sooner on a machine that has nothing else to do."""
SLOW_S = {"slow": 2.0, "slower": 7.0}
LATER_S = 6.0
_EPHEMERAL_FROM = 32_768
_SCENES = """\
version: 1
defaults: {ratio: '1:1', size: 1K, pictures: 1, renditions: [web]}
scenes:
  shelf:
    prompt: "The {product.title} on an oak shelf"
    when: {exclude_title: ["*wide*"]}
  banner:
    prompt: "The {product.title} in a long room"
    ratio: '16:9'
    when: {title: ["*wide*"]}
"""


class Broker:
    """A Redis with an append-only file, on a port that it keeps."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "redis"
        self._aside = folder / "redis-before"
        self._log = folder / "redis.log"
        self._port = _port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it over what lies in its folder."""
        self._data.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [
                *(str(find_server()), "--port", str(self._port), "--bind", "127.0.0.1"),
                *("--dir", str(self._data), "--appendonly", "yes", "--appendfsync", "everysec"),
                *("--save", "", "--maxmemory-policy", "noeviction", "--logfile", str(self._log)),
            ],
            stdin=subprocess.DEVNULL,
        )
        wait_for(self._answers, timeout_s=LONG_S, what="Redis answering")

    def kill(self) -> None:
        """End it as a power cut does; what it had written to its file stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(LONG_S)
            self._process = None

    def is_running(self) -> bool:
        """Whether it was started, and has not been killed since."""
        return self._process is not None

    def forget(self) -> None:
        """Empty its folder, while it is down."""
        shutil.rmtree(self._data)

    def keep_a_copy(self) -> None:
        """Copy its file as it is now, as a backup does."""
        shutil.copytree(self._data, self._aside)

    def go_back_to_the_copy(self) -> None:
        """Put the copy in the place of its file, while it is down."""
        self.forget()
        self._aside.rename(self._data)

    def limit_memory(self, limit_bytes: int) -> None:
        """Let it take no more than this; 0 lifts the limit."""
        with self.client() as client:
            client.config_set("maxmemory", limit_bytes)

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """A client of its own."""
        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            yield client

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-500:]
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False


def _port() -> int:
    """A free port from which no connection is ever made: Redis has to get it back."""
    for port in random.sample(range(20_000, _EPHEMERAL_FROM), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    message = "no free port below the ephemeral ones"
    raise AssertionError(message)


@dataclass(slots=True, kw_only=True)
class Shop:
    """A store, a Redis, a model, and whoever works."""

    house: House
    broker: Broker
    settings: Settings
    services: Services
    supervisor: subprocess.Popen[bytes] | None = None

    # -- imports -----------------------------------------------------------------------------

    def begin(
        self,
        import_id: str,
        *,
        named: str | None = None,
        budget: Usd | None = None,
        **products: int,
    ) -> None:
        """Start an import of so many products of each kind.

        A call for a ``quick`` one takes a moment, one for a ``slow`` or ``slower`` one
        :data:`SLOW_S`, one for a ``later`` one meets a rate limit first.

        ``named`` is the word in their titles that their renders are found by, the import's id if
        it is not given.
        """
        word = named or import_id
        if products.get("later"):
            limit = {"outcome": "429_retryinfo", "delay_s": LATER_S, "times": products["later"]}
            self.house.script({"match": f"{word} later ", **limit})
        for kind, latency_s in SLOW_S.items():
            if products.get(kind):
                slow = {"outcome": "picture", "latency_s": latency_s, "times": 0}
                self.house.script({"match": f"{word} {kind} ", **slow})
        order = Order(
            feed=self._feed(import_id, word, products),
            scenes=self.house.folder / "scenes.yaml",
            images=PHOTOS,
            import_id=import_id,
            catalog=import_id,
            budget=budget,
        )
        start_import(prepare_order(order, self.settings), self.settings, self.services)

    def _feed(self, import_id: str, word: str, products: dict[str, int]) -> Path:
        path = self.house.folder / f"{import_id}.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "title", "image"])
            for kind, count in products.items():
                for number in range(count):
                    photo = f"https://shop.example/{PHOTO}"
                    rows.writerow([f"{word}-{kind}-{number}", f"{word} {kind} {number}", photo])
        return path

    def status(self, import_id: str) -> ImportStatus:
        """How it stands."""
        return import_status(self.services.store, self.services.state, import_id)

    def control(self, import_id: str) -> Control:
        """What is wanted of it, as the store has it."""
        found = self.services.store.read(keys.control(import_id))
        assert found is not None
        return Control.from_json(found.content)

    def is_over(self, import_id: str) -> bool:
        """Whether its manifest is there, and Redis has forgotten it."""
        return self.services.store.has(keys.manifest(import_id)) and not (
            self.broker.is_running() and import_id in self.services.state.running()
        )

    def until_over(self, *import_ids: str) -> None:
        """Wait for their ends."""
        for import_id in import_ids:
            wait_for(
                lambda one=import_id: self.is_over(one),  # type: ignore[misc]
                timeout_s=LONG_S,
                what=lambda one=import_id: f"the end of {one}: {self.standing(one)}",  # type: ignore[misc]
            )

    def standing(self, import_id: str) -> str:
        """How an import stands, what waits, and where every thread of the workers is."""
        said = len(self.log)
        for pid in self.pids().values():
            begun = len(self.log)
            os.killpg(pid, signal.SIGUSR2)
            with contextlib.suppress(AssertionError):  # those that hang say nothing
                wait_for(lambda at=begun: self.log[at:].count("\nCurrent thread") > 1, 1.0, "it")  # type: ignore[misc]
        depths = self.services.queue.depths() if self.broker.is_running() else "?"
        standing = f"{self.status(import_id).renders}, {depths} wait, {self.in_flight()} calls"
        before, dumped = self.log[:said], self.log[said:]
        return "\n".join([standing, *before.splitlines()[-15:], *_stacks(dumped)])

    def lines(self, import_id: str) -> list[dict[str, Any]]:
        """The result lines that its manifest names."""
        parts = self.manifest(import_id)["parts"]
        found = [self._read(part["key"]) for part in parts]
        return [json.loads(line) for one in found for line in gzip.decompress(one).splitlines()]

    def manifest(self, import_id: str) -> dict[str, Any]:
        """Its newest manifest."""
        return dict(json.loads(self._read(keys.manifest(import_id))))

    def doubtful_calls(self, import_id: str) -> list[dict[str, Any]]:
        """What the ledger has of its calls that were never answered."""
        listed = self.services.store.list("ledger/")
        lines = [json.loads(line) for at in listed for line in self._read(at.key).splitlines()]
        return [
            line
            for line in lines
            if line["import_id"] == import_id and line["outcome"] == "doubtful"
        ]

    def _read(self, key: str) -> bytes:
        found = self.services.store.read(key)
        assert found is not None, key
        return found.content

    # -- what the model sold -----------------------------------------------------------------

    def sold(self, word: str) -> Counter[str]:
        """How often each render with this word in its title was sold."""
        return Counter(call["prompt"] for call in self._sales(word))

    def paid_micro(self, word: str) -> int:
        """What the model took for them, by its own count of tokens."""
        model = load_models().resolve(self.settings.model, platform=self.settings.platform)
        return sum(
            model.cost(_Tokens(**call["tokens"]), size=None, lane="standard").micro
            for call in self._sales(word)
        )

    def in_flight(self) -> int:
        """Calls that wait for the model now."""
        return int(self.house.books()["open"])

    def _sales(self, word: str) -> list[dict[str, Any]]:
        # The last piece is a line that is still being written, or nothing.
        lines = (self.house.folder / "books.jsonl").read_text().split("\n")[:-1]
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if call.get("sold") and f'"{word} ' in call["prompt"]]

    # -- the end of each scenario ------------------------------------------------------------

    def faults(self, import_id: str, *, state: str = "complete", word: str = "") -> list[str]:
        """Everything that must be so at the end of every import, and is not."""
        status, word = self.status(import_id), word or import_id
        counts = status.renders.model_dump()
        found = []
        if (status.state, counts["open"]) != (state, 0):
            found.append(f"{import_id} is {status.state} with {counts}")
        if counts["expected"] != sum(n for name, n in counts.items() if name != "expected"):
            found.append(f"its counts don't add up: {counts}")
        found += [f"sold {n} times: {what}" for what, n in self.sold(word).items() if n != 1]
        found += [f"doubtful: {line}" for line in self.doubtful_calls(import_id)]
        found += [f"parked: {at.key}" for at in self.services.store.list("parked/")]
        checked = self.house.skuscene("verify", import_id)
        if checked.code:
            found.append(f"verify: {checked.out} {checked.err}")
        return found

    # -- who works ---------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """What the workers said."""
        return (self.house.folder / "workers.log").read_text()

    def pids(self) -> dict[str, int]:
        """The process of each stage."""
        assert self.supervisor is not None
        return {name: process_of(self.supervisor.pid, name) for name in QUEUES}

    @contextlib.contextmanager
    def workers(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``skuscene worker`` while the block runs."""
        (self.house.folder / "workers.log").touch()
        ready = self.log.count("worker_ready") + len(QUEUES)
        with self.house.workers(wait_ready=False) as process:
            wait_for(
                lambda: self.log.count("worker_ready") >= ready,
                timeout_s=LONG_S,
                what="four stages ready",
            )
            self.supervisor = process
            yield process


def _stacks(dumped: str) -> list[str]:
    """Where threads are that our code runs in or the broker is spoken to in; the innermost calls.

    Equal stacks are told once, with how many there are.
    """
    stacks = [
        [line.rpartition("/")[2] for line in stack.splitlines() if line.startswith("  File")]
        for stack in dumped.split("(most recent call first):")
        if "/worker/" in stack or "/kombu/" in stack
    ]
    return [f"{n} x {where}" for where, n in Counter(" < ".join(s[:6]) for s in stacks).items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """The simulator's count of a call's tokens, in the words of our price list."""

    prompt: int
    candidates: int
    thoughts: int
    output_text_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        return self.prompt

    @property
    def output_image_tokens(self) -> int:
        return self.candidates

    @property
    def thought_tokens(self) -> int:
        return self.thoughts


@contextlib.contextmanager
def shop(folder: Path, **variables: str) -> Iterator[Shop]:
    """Run everything but workers; no setting but those given differs from its default."""
    (folder / "scenes.yaml").write_text(_SCENES)
    books = folder / "books.jsonl"
    books.touch()
    broker = Broker(folder)
    with simulator_process(folder, "--quiet", "--books", str(books)) as simulator_url:
        named = {
            "SKUSCENE_REDIS_URL": broker.url,
            "SKUSCENE_STORE": (folder / "store").as_uri(),
            "SKUSCENE_SPOOL_DIR": str(folder / "spool"),
            "GEMINI_API_KEY": "test-key",
            "GOOGLE_GEMINI_BASE_URL": simulator_url,
            # A rate limit puts off the calls that meet it, and nobody else.
            "SKUSCENE_QUOTA_LIMITER": "false",
            **variables,
        }
        house = House(
            folder=folder,
            variables={**_clean_environment(), **named},
            simulator_url=simulator_url,
        )
        house.latency(0.3)
        broker.start()
        settings = Settings(
            redis_url=broker.url,
            store=named["SKUSCENE_STORE"],
            shard_products=3,
            model_deadline_s=float(named.get("SKUSCENE_MODEL_DEADLINE_S", "300")),
        )
        try:
            yield Shop(house=house, broker=broker, settings=settings, services=reach(settings))
        finally:
            broker.kill()
