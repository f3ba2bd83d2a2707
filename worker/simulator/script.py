"""Which outcome does this call get?

A script's lines go first, in order; then the rates; then a picture. The rates' dice are thrown
from seed, request and how often that request has come: two runs with the same seed treat each
request alike, whatever the order in which calls arrive.
"""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from worker.simulator.outcomes import OUTCOMES, PICTURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.simulator.outcomes import Outcome


_SKEW: Final = ":skew"
_ALPHA: Final = 2.0
_BETA: Final = 5.0


class ScriptError(ValueError):
    """An order that can't be followed; says which, and what is allowed."""


class ScriptLine(BaseModel):
    """What to do with the next calls that match.

    ``match`` is a part of the prompt, in any case; ``None`` matches every call. ``times`` 0 means
    for ever. ``latency_s`` replaces the simulator's own for these calls.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: str
    match: str | None = None
    times: int = Field(default=1, ge=0)
    latency_s: float | None = Field(default=None, ge=0)
    delay_s: float = Field(default=3.0, ge=0)
    drip_s: float = Field(default=5.0, ge=0)
    finish_reason: str | None = None
    block_reason: str | None = None
    reset: bool = False

    @field_validator("outcome")
    @classmethod
    def _known(cls, name: str) -> str:
        find_outcome(name)
        return name

    def matches(self, prompt: str) -> bool:
        """Whether a call with this prompt is meant."""
        return self.match is None or self.match.casefold() in prompt.casefold()


class Latency:
    """How long the model thinks: a number of seconds, or between two, evenly or skewed.

    Skewed is ``low + (high - low) * X`` with X from the Beta distribution of 2 and 5: most calls
    end in the lower part (the commonest at 1/5 of the way, the mean at 2/7), few come late.
    """

    def __init__(self, low_s: float, high_s: float, *, is_skewed: bool = False) -> None:
        if not 0 <= low_s <= high_s:
            message = f"latency {low_s}-{high_s}: wanted seconds, the smaller first"
            raise ScriptError(message)
        self.low_s = low_s
        self.high_s = high_s
        self.is_skewed = is_skewed

    @classmethod
    def parse(cls, text: str | float) -> Self:
        """Read ``0.05``, ``10-40`` or ``4-20:skew``."""
        span = str(text).removesuffix(_SKEW)
        is_skewed = span != str(text)
        low, dash, high = span.partition("-")
        try:
            if is_skewed and not dash:
                raise ValueError(text)  # noqa: TRY301 - one message for all that is wrong
            return cls(float(low), float(high or low), is_skewed=is_skewed)
        except ValueError as exc:
            message = (
                f"latency {text!r}: wanted seconds (0.05), a span (10-40) or a skewed span "
                "(4-20:skew)"
            )
            raise ScriptError(message) from exc

    @property
    def mean_s(self) -> float:
        """What it comes to on average."""
        share = _ALPHA / (_ALPHA + _BETA) if self.is_skewed else 1 / 2
        return self.low_s + (self.high_s - self.low_s) * share

    def draw(self, dice: Random) -> float:
        """One latency in seconds."""
        if self.is_skewed:
            return self.low_s + (self.high_s - self.low_s) * dice.betavariate(_ALPHA, _BETA)
        return dice.uniform(self.low_s, self.high_s)


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

    def direct(self, prompt: str, digest: str) -> tuple[ScriptLine, Random]:
        """Decide one call; the dice are the call's own, for whatever else is left to chance."""
        self._seen[digest] += 1
        dice = Random(f"{self._seed} {digest} {self._seen[digest]}")  # noqa: S311 - not secrets
        by_rate = ScriptLine(outcome=self._throw(dice).name)
        return self._take_line(prompt) or by_rate, dice

    def _take_line(self, prompt: str) -> ScriptLine | None:
        for place, (line, times) in enumerate(self._lines):
            if not line.matches(prompt):
                continue
            if times == 1:
                del self._lines[place]
            elif times:
                self._lines[place] = (line, times - 1)
            return line
        return None

    def _throw(self, dice: Random) -> Outcome:
        point = dice.random()
        for name, share in self._rates.items():
            point -= share
            if point < 0:
                return OUTCOMES[name]
        return PICTURE


def find_outcome(name: str) -> Outcome:
    """An outcome by its name.

    Raises:
        ScriptError: there is none of that name.
    """
    if name not in OUTCOMES:
        message = f"no outcome {name!r}; there are {', '.join(OUTCOMES)}"
        raise ScriptError(message)
    return OUTCOMES[name]


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


def _check_rates(rates: Mapping[str, float]) -> dict[str, float]:
    for name, share in rates.items():
        find_outcome(name)
        if not 0 <= share <= 1:
            message = f"rate {name}={share}: wanted a share between 0 and 1"
            raise ScriptError(message)
    if sum(rates.values()) > 1 + 1e-9:
        message = f"the rates add up to {sum(rates.values()):g}; 1 is the most"
        raise ScriptError(message)
    return dict(rates)
