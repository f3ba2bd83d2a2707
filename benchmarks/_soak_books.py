"""What was lost, what was sold twice, and who is to blame?

Joins three witnesses: the model's books (every call: who, when, what it ended as), the store as it
is afterwards, and the chronicle of who was killed when.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from worker.model import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks._soak_world import Chronicle, Death
    from catalog.models import Model

ATTEMPT_FAULTS = frozenset({"500", "503", "504", "429", "429_retryinfo", "empty_200"})
_STORM_S = 60.0
DOUBTFUL_FAULTS = frozenset({"cut", "hang"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SoldCall:
    """One call as the simulator booked it; times are Unix time."""

    prompt: str
    caller: str
    began: float
    ended: float
    outcome: str
    fate: str
    sold: bool
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one render: ``kept`` says that it has a picture."""

    prompt: str
    status: str
    reason: str
    kept: bool
    stored_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What fails a render for good: so many faulty calls of the one kind, or of the other."""

    attempts: int
    doubtful: int
    both: bool = False

    def is_used_up(self, faults: Counter[str]) -> bool:
        """Whether the model alone is to blame."""
        if self.both:
            return faults["attempt"] + faults["doubtful"] >= self.attempts
        return faults["attempt"] >= self.attempts or faults["doubtful"] >= self.doubtful


@dataclass(slots=True, kw_only=True)
class Findings:
    """What an audit found; counts of renders and calls unless the name says otherwise."""

    expected: int
    settled: int
    kept: int
    failed: Counter[str] = field(default_factory=Counter)
    by_kills_alone: list[str] = field(default_factory=list)
    sold: int = 0
    sold_usd: float = 0.0
    calls: int = 0
    sold_again: int = 0
    extra: int = 0
    sold_and_lost: int = 0
    open_at_kills: int = 0
    unput_at_kills: int = 0
    open_at_own_ends: int = 0
    cut: int = 0
    hung: int = 0
    given_up: int = 0
    unexplained: list[str] = field(default_factory=list)
    after_emptying: list[str] = field(default_factory=list)
    reopened_s: list[float] = field(default_factory=list)
    reopened_calmly_s: list[float] = field(default_factory=list)
    never_again: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Renders without an outcome."""
        return self.expected - self.settled

    @property
    def bound(self) -> int:
        """The most extra sales that the faults account for."""
        return self.open_at_kills + self.unput_at_kills + self.cut + self.hung

    @property
    def wasted_usd(self) -> float:
        """What was paid for pictures that nobody has."""
        if not self.sold:
            return 0.0
        return self.sold_usd * (self.extra + self.sold_and_lost) / self.sold

    @property
    def wasted_usd_per_1000(self) -> float:
        """The same, per 1 000 pictures that are kept."""
        return self.wasted_usd / self.kept * 1000 if self.kept else 0.0


def median_and_worst(seconds: list[float]) -> str:
    """Both in one cell; a dash for nothing."""
    return f"{statistics.median(seconds):.1f} / {max(seconds):.1f}" if seconds else "-"


def read_calls(books: Path, model: Model, size: str) -> list[SoldCall]:
    """Every call in a simulator's books file, in the order of their beginning."""
    with books.open(encoding="utf-8") as lines:
        calls = [_call(json.loads(line), model, size) for line in lines]
    return sorted(calls, key=lambda call: call.began)


def audit(
    calls: list[SoldCall],
    settled: list[Settled],
    chronicle: Chronicle,
    *,
    expected: int,
    allowance: Allowance,
    stored_of_lost: Mapping[str, float] | None = None,
) -> Findings:
    """Hold the books against what is there.

    ``stored_of_lost`` says since when there has been a picture of a render without an outcome.
    """
    found = Findings(
        expected=expected,
        settled=len(settled),
        kept=sum(one.kept for one in settled),
        calls=len(calls),
        sold=sum(call.sold for call in calls),
        sold_usd=sum(call.usd for call in calls if call.sold),
        faults=Counter(call.outcome for call in calls),
    )
    deaths = {death.caller: death for death in chronicle.deaths}
    stored: dict[str, float | None] = {**(stored_of_lost or {})}
    stored |= {one.prompt: one.stored_at for one in settled}
    exposed = _exposed(calls, deaths, stored, found)
    _judge_sales(calls, settled, exposed, found)
    _judge_failures(calls, settled, deaths, allowance, found)
    _judge_emptying(calls, exposed, chronicle, found)
    _measure_reopening(calls, deaths, chronicle, found)
    return found


def _call(line: dict[str, object], model: Model, size: str) -> SoldCall:
    tokens: dict[str, int] = line["tokens"]  # type: ignore[assignment]
    usage = Usage(
        input_tokens=tokens["prompt"],
        output_image_tokens=tokens["candidates"],
        output_text_tokens=0,
        thought_tokens=tokens["thoughts"],
    )
    began = datetime.fromisoformat(str(line["at"])).timestamp()
    sold = bool(line["sold"])
    return SoldCall(
        prompt=str(line["prompt"]),
        caller=str(line["caller"]),
        began=began,
        ended=began + float(str(line["run_s"])),
        outcome=str(line["outcome"]),
        fate=str(line["fate"]),
        sold=sold,
        usd=model.cost(usage, size=size, lane="standard").micro / 1e6 if sold else 0.0,
    )


def _was_open(call: SoldCall, death: Death | None) -> bool:
    return death is not None and call.ended >= death.at


def _exposed(
    calls: list[SoldCall],
    deaths: dict[str, Death],
    stored: dict[str, float | None],
    found: Findings,
) -> set[int]:
    """Places of the calls whose answer may have been lost through no fault of the program."""
    exposed: set[int] = set()
    for place, call in enumerate(calls):
        death = deaths.get(call.caller)
        if death is not None and _was_open(call, death):
            if death.how == "ended by itself":
                found.open_at_own_ends += 1
                continue
            found.open_at_kills += 1
        elif call.outcome == "cut":
            found.cut += 1
        elif call.outcome == "hang":
            found.hung += 1
        elif call.fate == "client_gone":
            found.given_up += call.sold
            continue
        elif call.sold and death is not None and death.how != "ended by itself":
            stored_at = stored.get(call.prompt)
            if stored_at is not None and stored_at <= death.at:
                continue
            found.unput_at_kills += 1
        else:
            continue
        exposed.add(place)
    return exposed


def _judge_sales(
    calls: list[SoldCall], settled: list[Settled], exposed: set[int], found: Findings
) -> None:
    sold: Counter[str] = Counter()
    excused: Counter[str] = Counter()
    for place, call in enumerate(calls):
        sold[call.prompt] += call.sold
        excused[call.prompt] += call.sold and place in exposed
    kept = Counter(one.prompt for one in settled if one.kept)
    lost = sold.keys() - {one.prompt for one in settled}
    found.sold_again = sum(1 for times in sold.values() if times > 1)
    found.sold_and_lost = sum(1 for prompt in lost if sold[prompt])
    for prompt, times in sold.items():
        # A picture of a lost render is no double sale: the render is counted as lost.
        extra = times - max(kept[prompt], prompt in lost and times > 0)
        found.extra += extra
        found.unexplained += [prompt] * max(0, extra - excused[prompt])


def _judge_failures(
    calls: list[SoldCall],
    settled: list[Settled],
    deaths: dict[str, Death],
    allowance: Allowance,
    found: Findings,
) -> None:
    faults: dict[str, Counter[str]] = defaultdict(Counter)
    for call in calls:
        if _was_open(call, deaths.get(call.caller)):
            continue
        if call.outcome in ATTEMPT_FAULTS:
            faults[call.prompt]["attempt"] += 1
        elif call.outcome in DOUBTFUL_FAULTS or call.fate == "client_gone":
            faults[call.prompt]["doubtful"] += 1
    for one in settled:
        if one.kept:
            continue
        found.failed[f"{one.status} {one.reason or 'without a reason'}"] += 1
        if not allowance.is_used_up(faults[one.prompt]):
            found.by_kills_alone.append(f"{one.prompt} ({one.status}, {one.reason})")


def _judge_emptying(
    calls: list[SoldCall], exposed: set[int], chronicle: Chronicle, found: Findings
) -> None:
    """Sold again after Redis was emptied, though an earlier sale's answer had arrived or would."""
    good: dict[str, float] = {}
    for place, call in enumerate(calls):
        if not call.sold:
            continue
        before = good.get(call.prompt)
        if before is not None and any(
            before < emptied <= call.began for emptied in chronicle.redis_emptied
        ):
            found.after_emptying.append(call.prompt)
        if place not in exposed:
            good.setdefault(call.prompt, call.began)


def _measure_reopening(
    calls: list[SoldCall], deaths: dict[str, Death], chronicle: Chronicle, found: Findings
) -> None:
    """From each kill to the beginning of the next call for each render that it caught in a call.

    Calmly: Redis did not die in between, nor within the minute before the kill.
    """
    storms = [*chronicle.redis_restarts, *chronicle.redis_emptied]
    by_prompt: dict[str, list[SoldCall]] = defaultdict(list)
    for call in calls:
        by_prompt[call.prompt].append(call)
    for call in calls:
        death = deaths.get(call.caller)
        if death is None or not _was_open(call, death):
            continue
        after = [one.began for one in by_prompt[call.prompt] if one.began > death.at]
        if after:
            found.reopened_s.append(min(after) - death.at)
            if not any(death.at - _STORM_S <= storm <= min(after) for storm in storms):
                found.reopened_calmly_s.append(min(after) - death.at)
        else:
            found.never_again += 1
