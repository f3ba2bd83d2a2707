"""Which outcome does this call get?

A script's lines go first, in order; then the rates; then a picture. The rates' dice are thrown
from seed, request and how often that request has come: two runs with the same seed treat each
request alike, whatever the order in which calls arrive. Batches and their results are ordered in
the same way, by lines and rates whose names begin with what they are about.
"""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from worker.simulator.orders import ResultOrder, Scope, scope_of
from worker.simulator.outcomes import PICTURE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from worker.simulator.books import Lane


_SKEW: Final = ":skew"
_ALPHA: Final = 2.0
_BETA: Final = 5.0


class ScriptError(ValueError):
    """An order that can't be followed; says which, and what is allowed."""


class ScriptLine(BaseModel):
    """What to do with the next calls, or batches, that match.

    ``match`` is a part of the prompt, in any case, or of a batch's display name; ``None`` matches
    everything. ``times`` 0 means for ever. ``lane`` ``None`` is both. ``latency_s`` replaces the
    simulator's own for these calls, ``hours`` the time that a batch takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: str
    match: str | None = None
    times: int = Field(default=1, ge=0)
    lane: Literal["standard", "batch"] | None = None
    latency_s: float | None = Field(default=None, ge=0)
    delay_s: float = Field(default=3.0, ge=0)
    drip_s: float = Field(default=5.0, ge=0)
    finish_reason: str | None = None
    block_reason: str | None = None
    reset: bool = False
    hours: float | None = Field(default=None, ge=0)
    share: float = Field(default=0.3, ge=0, le=1)

    @field_validator("outcome")
    @classmethod
    def _known(cls, name: str) -> str:
        _find_scope(name)
        return name

    @property
    def scope(self) -> Scope:
        """What the line is about."""
        return _find_scope(self.outcome)

    def matches(self, text: str) -> bool:
        """Whether a call with this prompt is meant, or a batch of this name."""
        return self.match is None or self.match.casefold() in text.casefold()


class Span:
    """A number, or one that is drawn between two, evenly or skewed.

    Skewed is ``low + (high - low) * X`` with X from the Beta distribution of 2 and 5: most end in
    the lower part (the commonest at 1/5 of the way, the mean at 2/7), few come late.
    """

    _what: ClassVar[str]
    _unit: ClassVar[str]
    _examples: ClassVar[tuple[str, str, str]]

    def __init__(self, low: float, high: float, *, is_skewed: bool = False) -> None:
        if not 0 <= low <= high:
            message = f"{self._what} {low}-{high}: wanted {self._unit}, the smaller first"
            raise ScriptError(message)
        self.low = low
        self.high = high
        self.is_skewed = is_skewed

    @classmethod
    def parse(cls, text: str | float) -> Self:
        """Read a number, a span or a skewed span: ``0.05``, ``10-40``, ``4-20:skew``."""
        span = str(text).removesuffix(_SKEW)
        is_skewed = span != str(text)
        low, dash, high = span.partition("-")
        try:
            if is_skewed and not dash:
                raise ValueError(text)  # noqa: TRY301 - one message for all that is wrong
            return cls(float(low), float(high or low), is_skewed=is_skewed)
        except ValueError as exc:
            number, even, skewed = cls._examples
            message = (
                f"{cls._what} {text!r}: wanted {cls._unit} ({number}), a span ({even}) or a skewed "
                f"span ({skewed})"
            )
            raise ScriptError(message) from exc

    @property
    def mean(self) -> float:
        """What it comes to on average."""
        share = _ALPHA / (_ALPHA + _BETA) if self.is_skewed else 1 / 2
        return self.low + (self.high - self.low) * share

    def draw(self, dice: Random) -> float:
        """One number."""
        if self.is_skewed:
            return self.low + (self.high - self.low) * dice.betavariate(_ALPHA, _BETA)
        return dice.uniform(self.low, self.high)


class Latency(Span):
    """How long the model thinks, in seconds."""

    _what = "latency"
    _unit = "seconds"
    _examples = ("0.05", "10-40", "4-20:skew")

    @property
    def low_s(self) -> float:
        """The shortest, in seconds."""
        return self.low

    @property
    def high_s(self) -> float:
        """The longest, in seconds."""
        return self.high

    @property
    def mean_s(self) -> float:
        """What it comes to on average, in seconds."""
        return self.mean


class BatchHours(Span):
    """How long a batch takes, in hours."""

    _what = "batch hours"
    _unit = "hours"
    _examples = ("2", "1-6", "1-24:skew")


class Director:
    """Follows the script and throws the dice."""

    def __init__(self, *, rates: Mapping[str, float], seed: int) -> None:
        self._rates = _check_rates(rates)
        self._seed = seed
        self._lines: list[tuple[ScriptLine, int]] = []
        self._seen: Counter[str] = Counter()

    def add(self, lines: Iterable[ScriptLine]) -> None:
        """Put lines at the script's end."""
        self._lines += [(line, line.times) for line in lines]

    def clear(self) -> None:
        """Forget the script and which requests have come; the rates stay."""
        self._lines.clear()
        self._seen.clear()

    def left(self) -> list[dict[str, Any]]:
        """The lines that still wait, each with the ``times`` it has left (0: for ever)."""
        return [
            line.model_copy(update={"times": times}).model_dump(exclude_defaults=True)
            for line, times in self._lines
        ]

    def direct(
        self, prompt: str, digest: str, lane: Lane = "standard"
    ) -> tuple[ScriptLine, Random]:
        """Decide one call; the dice are the call's own, for whatever else is left to chance."""
        dice = self._dice(digest)
        by_rate = ScriptLine(outcome=self._throw(Scope.CALL, dice) or PICTURE.name)
        line = self._take_line(
            lambda line: (
                line.scope is Scope.CALL and line.lane in {None, lane} and line.matches(prompt)
            )
        )
        return line or by_rate, dice

    def order(self, scope: Scope, subject: str) -> tuple[ScriptLine | None, Random]:
        """Decide about something else than a call; ``None`` leaves it to its usual course.

        ``subject`` is what a line has to match. It also tells apart what has dice of its own.
        """
        dice = self._dice(f"{scope} {subject}")
        name = self._throw(scope, dice)
        by_rate = ScriptLine(outcome=name) if name else None
        line = self._take_line(lambda line: line.scope is scope and line.matches(subject))
        return line or by_rate, dice

    def order_results(self, subject: str, dice: Random) -> list[ScriptLine]:
        """Decide what is wrong with a result file: any of the orders, each for itself."""
        orders = []
        for name in map(str, ResultOrder):
            by_rate = dice.random() < self._rates.get(Scope.RESULT, {}).get(name, 0)
            line = self._take_line(lambda line: line.outcome == name and line.matches(subject))  # noqa: B023 - asked at once
            if line or by_rate:
                orders.append(line or ScriptLine(outcome=name))
        return orders

    def _dice(self, subject: str) -> Random:
        self._seen[subject] += 1
        return Random(f"{self._seed} {subject} {self._seen[subject]}")  # noqa: S311 - not secrets

    def _take_line(self, is_meant: Callable[[ScriptLine], bool]) -> ScriptLine | None:
        for place, (line, times) in enumerate(self._lines):
            if not is_meant(line):
                continue
            if times == 1:
                del self._lines[place]
            elif times:
                self._lines[place] = (line, times - 1)
            return line
        return None

    def _throw(self, scope: Scope, dice: Random) -> str | None:
        point = dice.random()
        for name, share in self._rates.get(scope, {}).items():
            point -= share
            if point < 0:
                return name
        return None


def parse_script(text: str) -> list[ScriptLine]:
    """Read a JSON list, one JSON object, or JSON Lines.

    Raises:
        ScriptError: names the line.
    """
    try:
        document = json.loads(text)
    except ValueError:
        lines = enumerate(text.splitlines(), start=1)
        return [_parse_line(_load(line, number), number) for number, line in lines if line.strip()]
    entries = document if isinstance(document, list) else [document]
    return [_parse_line(entry, number) for number, entry in enumerate(entries, start=1)]


def _load(line: str, number: int) -> object:
    try:
        return json.loads(line)
    except ValueError as exc:
        message = f"script line {number} is not JSON: {exc}"
        raise ScriptError(message) from exc


def _parse_line(entry: object, number: int) -> ScriptLine:
    try:
        return ScriptLine.model_validate(entry)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        message = f"script line {number}: {field}: {first['msg']}"
        raise ScriptError(message) from exc


def _find_scope(name: str) -> Scope:
    try:
        return scope_of(name)
    except LookupError as exc:
        raise ScriptError(exc.args[0]) from exc


def _check_rates(rates: Mapping[str, float]) -> dict[Scope, dict[str, float]]:
    checked: dict[Scope, dict[str, float]] = {}
    for name, share in rates.items():
        if not 0 <= share <= 1:
            message = f"rate {name}={share}: wanted a share between 0 and 1"
            raise ScriptError(message)
        checked.setdefault(_find_scope(name), {})[name] = share
    for scope, shares in checked.items():
        if scope is not Scope.RESULT and sum(shares.values()) > 1 + 1e-9:
            message = f"the rates of {scope} add up to {sum(shares.values()):g}; 1 is the most"
            raise ScriptError(message)
    return checked
