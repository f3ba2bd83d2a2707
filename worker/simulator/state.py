"""What does a running simulator remember, and what has it been told to do?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catalog.models import load_models
from worker.simulator.batches import Batches, BatchLimits
from worker.simulator.books import Books
from worker.simulator.files import FileStore, StorageLimits
from worker.simulator.limit_refusals import Telling
from worker.simulator.quota import Quota
from worker.simulator.rules import Rule
from worker.simulator.script import BatchHours, Director, Latency, ScriptLine
from worker.simulator.tokens import TokenRates
from worker.simulator.uploads import Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a simulator starts; without ``limits`` every call comes in.

    ``hour_s`` is how many seconds an hour takes for files and batches.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency: Latency
    rates: Mapping[str, float] = field(default_factory=dict)
    script: tuple[ScriptLine, ...] = ()
    books_path: Path | None = None
    seed: int = 0
    limits: tuple[Rule, ...] = ()
    telling: Telling = field(default_factory=Telling)
    tokens: TokenRates = field(default_factory=TokenRates)
    hour_s: float = 3600.0
    batch_hours: BatchHours = field(default_factory=lambda: BatchHours(1, 6))
    batches: BatchLimits = field(default_factory=BatchLimits)
    storage: StorageLimits = field(default_factory=StorageLimits)
    quiet: bool = True


class State:
    """The simulator's memory; belongs to one event loop."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.latency = setup.latency
        self.director = Director(rates=setup.rates, seed=setup.seed)
        self.director.add(setup.script)
        load_models()  # now, and not while the first call is waiting for its price
        self._begun_s = time.monotonic()
        self.quota = Quota(setup.limits, self.now_s, seed=setup.seed, telling=setup.telling)
        self.books = Books(setup.books_path)
        self.files = FileStore(setup.storage, self.now_s, hour_s=setup.hour_s)
        self.uploads = Uploads(self.files)
        self.batches = Batches(setup.batches)
        self._drawn: Counter[str] = Counter()

    def now_s(self) -> float:
        """Seconds since the simulator's start, on a clock that nobody sets."""
        return time.monotonic() - self._begun_s

    def number_sale(self, digest: str) -> int:
        """The how-manieth picture of a request this is, counted from 1."""
        self._drawn[digest] += 1
        return self._drawn[digest]

    def reset(self) -> None:
        """Empty books, script and accounts, stop batches, remove files.

        Limits and latency are those of the start; rates stay.
        """
        self.batches.clear()
        self.latency = self.setup.latency
        self.director.clear()
        self.quota.reset()
        self.books.reset()
        self._drawn.clear()
        self.uploads.clear()
        self.files.clear()

    async def close(self) -> None:
        """Stop batches, close the books and remove all files; safe to call twice."""
        await self.batches.stop()
        self.books.close()
        self.uploads.clear()
        self.files.clear()
