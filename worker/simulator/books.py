"""What was asked, what was sold, and what became of it?

One line per call, kept in memory as counts and, if a file is given, appended to it as JSON
Lines before the caller can have read its answer whole. A request in a batch is a call in the batch
lane; batches have lines of their own besides. A simulator started again on the same file counts on
from there.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from pydantic import BaseModel, ConfigDict

from catalog.money import MICRO, Usd
from worker.simulator.batch_states import BatchState
from worker.simulator.connection import Fate

if TYPE_CHECKING:
    from pathlib import Path

Lane = Literal["standard", "batch"]


class Tokens(BaseModel):
    """What ``usageMetadata`` said."""

    model_config = ConfigDict(frozen=True)

    prompt: int = 0
    candidates: int = 0
    thoughts: int = 0


class CallLine(BaseModel):
    """One call; ``request`` and ``prompt`` are empty when it was refused before it was read.

    ``caller`` tells credentials apart without naming one; see :func:`label_caller`. ``at_s`` and
    ``admitted_at_s`` count from the simulator's start, on a clock that nobody sets: the first when
    the call was read, the second when the limits let it in, ``None`` if they did not or it was
    refused before they were asked. ``limit`` is the rule that refused it. A call in the batch lane
    names its ``batch``; limits are not asked for it.
    """

    model_config = ConfigDict(frozen=True)

    event: Literal["call"] = "call"
    at: str
    at_s: float = 0.0
    admitted_at_s: float | None = None
    model: str
    request: str = ""
    prompt: str = ""
    caller: str = ""
    outcome: str
    status: int
    limit: str = ""
    sold: bool = False
    fate: Fate
    run_s: float
    tokens: Tokens = Tokens()
    cost_usd: Usd = Usd()
    lane: Lane = "standard"
    batch: str = ""


class BatchLine(BaseModel):
    """A batch has come into another state; counts are those at that moment.

    ``results`` is the file with its answers, empty if there is none.
    """

    model_config = ConfigDict(frozen=True)

    event: Literal["batch"] = "batch"
    at: str
    at_s: float
    batch: str
    state: BatchState
    display_name: str
    model: str
    caller: str
    requests: int
    succeeded: int
    failed: int
    sold: int
    results: str


class BooksPage(TypedDict):
    """The books as ``GET /_sim/books`` answers them."""

    calls: int
    admitted: int
    sold: int
    delivered: int
    cut: int
    hung: int
    client_gone: int
    by_outcome: dict[str, int]
    by_limit: dict[str, int]
    sold_by_request: dict[str, int]
    sold_by_prompt: dict[str, int]
    sold_by_lane: dict[str, int]
    doubles: int
    tokens: dict[str, int]
    cost_usd: float
    open: int
    peak_open: int
    batches: dict[str, int]


_RESET: Final = {"event": "reset"}
_LANES: Final[tuple[Lane, ...]] = ("standard", "batch")
_LOST: Final = "lost"


class Books:
    """Counts every call; belongs to one event loop."""

    def __init__(self, path: Path | None = None) -> None:
        self._open = 0
        self._peak_open = 0
        self._forget()
        self._file = None
        if path:
            torn = self._read(path)
            self._file = path.open("a", encoding="utf-8")
            self._file.write("\n" if torn else "")

    def open_call(self) -> None:
        """A call has come in."""
        self._open += 1
        self._peak_open = max(self._peak_open, self._open)

    def settle(self, line: CallLine) -> None:
        """That call is over: book it."""
        self._open -= 1
        self._write(line.model_dump(mode="json"))
        self._count(line)

    def book_batched(self, line: CallLine) -> None:
        """A call in the batch lane is over: book it. It was never open."""
        self._write(line.model_dump(mode="json"))
        self._count(line)

    def book_batch(self, line: BatchLine) -> None:
        """A batch has come into another state."""
        self._write(line.model_dump(mode="json"))
        self._batches[line.batch] = line.state

    def reset(self) -> None:
        """Begin with empty counts; the file keeps its lines and a mark."""
        self._write(_RESET)
        self._forget()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file:
            self._file.close()

    def page(self) -> BooksPage:
        """The counts as they stand."""
        return BooksPage(
            calls=self._calls,
            admitted=self._admitted,
            sold=sum(self._sold_by_request.values()),
            delivered=self._fates["delivered"],
            cut=self._fates["cut"],
            hung=self._fates["hung"],
            client_gone=self._fates["client_gone"],
            by_outcome=dict(sorted(self._by_outcome.items())),
            by_limit=dict(sorted(self._by_limit.items())),
            sold_by_request=dict(self._sold_by_request),
            sold_by_prompt=dict(self._sold_by_prompt),
            sold_by_lane={lane: self._sold_by_lane[lane] for lane in _LANES},
            doubles=sum(1 for times in self._sold_by_request.values() if times > 1),
            tokens={name: self._tokens[name] for name in Tokens.model_fields},
            cost_usd=self._cost.micro / MICRO,
            open=self._open,
            peak_open=self._peak_open,
            batches=dict(sorted(Counter(self._batches.values()).items())),
        )

    def _forget(self) -> None:
        self._calls = 0
        self._admitted = 0
        self._cost = Usd()
        self._peak_open = self._open
        self._fates: Counter[str] = Counter()
        self._by_outcome: Counter[str] = Counter()
        self._by_limit: Counter[str] = Counter()
        self._sold_by_request: Counter[str] = Counter()
        self._sold_by_prompt: Counter[str] = Counter()
        self._sold_by_lane: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._batches: dict[str, str] = {}

    def _count(self, line: CallLine) -> None:
        self._calls += 1
        self._admitted += line.admitted_at_s is not None
        self._cost += line.cost_usd
        self._by_outcome[line.outcome] += 1
        if line.limit:
            self._by_limit[line.limit] += 1
        self._tokens.update(line.tokens.model_dump())
        # Delivered counts pictures; whoever left or hung without one is counted all the same.
        if line.sold or line.fate is not Fate.DELIVERED:
            self._fates[line.fate] += 1
        if line.sold:
            self._sold_by_request[line.request] += 1
            self._sold_by_prompt[line.prompt] += 1
            self._sold_by_lane[line.lane] += 1

    def _read(self, path: Path) -> bool:
        """Count what stands there; whether a kill has torn its last line."""
        if not path.exists():
            return False
        text = path.read_text(encoding="utf-8")
        for line in text.split("\n"):
            self._replay(line)
        for batch, state in self._batches.items():
            # It had not ended when the simulator before this one did, and ended with it.
            self._batches[batch] = state if BatchState(state).is_terminal else _LOST
        return bool(text) and not text.endswith("\n")

    def _replay(self, text: str) -> None:
        try:
            line = json.loads(text)
        except ValueError:  # empty, or torn by a kill
            return
        if line == _RESET:
            self._forget()
        elif line.get("event") == "batch":
            self._batches[line["batch"]] = line["state"]
        else:
            self._count(CallLine.model_validate(line))

    def _write(self, line: dict[str, Any]) -> None:
        if self._file:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
