"""What does a running simulator remember, and what has it been told to do?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.simulator.books import Books
from worker.simulator.quota import Quota
from worker.simulator.script import Director, Latency, ScriptLine
from worker.simulator.tokens import TokenRates


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a simulator starts; ``rpm`` is requests per minute and model, ``None`` no limit."""

    host: str = "127.0.0.1"
    port: int = 0
    latency: Latency
    rates: Mapping[str, float] = field(default_factory=dict)
    script: tuple[ScriptLine, ...] = ()
    books_path: Path | None = None
    seed: int = 0
    rpm: int | None = None
    tokens: TokenRates = field(default_factory=TokenRates)
    quiet: bool = True


class State:
    """The simulator's memory; belongs to one event loop."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.latency = setup.latency
        self.director = Director(rates=setup.rates, seed=setup.seed)
        self.director.add(setup.script)
        self.quota = Quota(setup.rpm)
        self.books = Books(setup.books_path)
        self._drawn: Counter[str] = Counter()

    def number_sale(self, digest: str) -> int:
        """The how-manieth picture of a request this is, counted from 1."""
        self._drawn[digest] += 1
        return self._drawn[digest]

    def reset(self) -> None:
        """Empty books, script and quota; the latency it started with. Rates stay."""
        self.latency = self.setup.latency
        self.director.clear()
        self.quota.clear()
        self.books.reset()
        self._drawn.clear()
