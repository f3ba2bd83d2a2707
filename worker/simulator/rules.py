"""Which limits can be ordered, and how are they written?

A rule is text on the command line and over HTTP (:func:`parse_rule`), and a frozen value inside;
``str`` of the value is the text again. What a rule remembers of a model's calls is its account
(:mod:`worker.simulator.accounts`).
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from catalog.money import MICRO, Usd
from worker.simulator.script import ScriptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MINUTE_S: Final = 60
DAY_S: Final = 86_400.0


class Kind(StrEnum):
    """The word that a rule's text begins with."""

    BUCKET = "bucket"
    FIXED = "fixed"
    SLIDING = "sliding"
    TOKENS = "tokens"
    SPEND = "spend"
    DAY = "day"
    CAPACITY = "capacity"
    CAPACITY_429 = "capacity429"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRule:
    """A token bucket: ``requests`` flow in evenly over ``span_s``; it holds ``capacity``."""

    kind: ClassVar[Kind] = Kind.BUCKET
    requests: int
    span_s: float
    capacity: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.requests}/{self.span_s:.12g}s:{self.capacity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedRule:
    """So many requests per window; the first window begins with the simulator."""

    kind: ClassVar[Kind] = Kind.FIXED
    requests: int
    span_s: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.requests}/{self.span_s:.12g}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingRule:
    """So many requests in any ``span_s`` seconds."""

    kind: ClassVar[Kind] = Kind.SLIDING
    requests: int
    span_s: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.requests}/{self.span_s:.12g}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRule:
    """So many requests per day; the first day begins with the simulator, not at midnight."""

    kind: ClassVar[Kind] = Kind.DAY
    span_s: ClassVar[float] = DAY_S
    requests: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.requests}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensRule:
    """A call may start while the calls that ended in the last ``span_s`` used fewer tokens.

    Prompt, answer and thoughts together.
    """

    kind: ClassVar[Kind] = Kind.TOKENS
    tokens: int
    span_s: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.tokens}/{self.span_s:.12g}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRule:
    """A call may start while the calls that ended in the last ``span_s`` cost less, at list price.

    ``spend`` is what they may cost together.
    """

    kind: ClassVar[Kind] = Kind.SPEND
    spend: Usd
    span_s: float

    @property
    def dollars(self) -> str:
        """The amount as the rule's text writes it, e.g. ``0.60``."""
        whole, micro = divmod(self.spend.micro, MICRO)
        cents = f"{micro:06d}".rstrip("0").ljust(2, "0")
        return f"{whole}.{cents}"

    def __str__(self) -> str:
        return f"{self.kind}:{self.dollars}usd/{self.span_s:.12g}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityRule:
    """So many calls in flight as the model bears just now: between ``low`` and ``high``.

    The capacity follows a cosine, once up and down per ``period_s``; the seed says where in its
    swing the simulator begins. Calls in flight stay when it falls below their number. ``status`` is
    the refusal's: 503, or a 429 that names no quota.
    """

    low: int
    high: int
    period_s: float
    status: int = 503

    @property
    def kind(self) -> Kind:
        """The word that tells the two refusals apart."""
        return Kind.CAPACITY if self.status == 503 else Kind.CAPACITY_429  # noqa: PLR2004

    def at(self, now_s: float, seed: int) -> int:
        """How many calls the model bears ``now_s`` seconds after the simulator's start."""
        swing = (1 - math.cos(2 * math.pi * (now_s / self.period_s + _begin_of(seed)))) / 2
        return math.floor(self.low + (self.high - self.low) * swing + 0.5)

    def __str__(self) -> str:
        return f"{self.kind}:{self.low}-{self.high}/{self.period_s:.12g}s"


Rule = BucketRule | FixedRule | SlidingRule | DayRule | TokensRule | SpendRule | CapacityRule


def parse_rule(text: str) -> Rule:
    """Read one rule, e.g. ``bucket:600/60s:10``.

    Raises:
        ScriptError: says what is wanted instead.
    """
    word, _, terms = text.strip().partition(":")
    form = _FORMS.get(word)
    if form is None:
        shapes = ", ".join(form.shape for form in _FORMS.values())
        message = f"limit {text!r}: no kind {word!r}; there are {shapes}"
        raise ScriptError(message)
    match = re.fullmatch(form.pattern, terms, re.ASCII)
    if match is None:
        message = f"limit {text!r}: wanted {form.shape}, e.g. {form.example}"
        raise ScriptError(message)
    try:
        return form.build(match)
    except ValueError as exc:
        message = f"limit {text!r}: {exc}"
        raise ScriptError(message) from exc


def parse_limits(texts: Iterable[str], *, rpm: int | None = None) -> tuple[Rule, ...]:
    """Read rules; ``rpm`` puts a sliding minute of so many requests before them.

    Raises:
        ScriptError: names the one that can't be followed.
    """
    minute = [] if rpm is None else [f"{Kind.SLIDING}:{rpm}/{MINUTE_S}s"]
    return tuple(parse_rule(text) for text in (*minute, *texts))


@functools.cache
def _begin_of(seed: int) -> float:
    """The part of a swing that lies behind when the simulator starts."""
    return Random(f"{seed} drift").random()  # noqa: S311 - not secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    shape: str
    example: str
    pattern: str
    build: Callable[[re.Match[str]], Rule]


def _bucket(match: re.Match[str]) -> Rule:
    requests, capacity = int(match["n"]), int(match["capacity"])
    if not requests or not capacity:
        message = "a bucket needs at least 1 request per span and room for 1"
        raise ValueError(message)
    return BucketRule(requests=requests, span_s=_span_s(match), capacity=capacity)


def _fixed(match: re.Match[str]) -> Rule:
    return FixedRule(requests=int(match["n"]), span_s=_span_s(match))


def _sliding(match: re.Match[str]) -> Rule:
    return SlidingRule(requests=int(match["n"]), span_s=_span_s(match))


def _tokens(match: re.Match[str]) -> Rule:
    return TokensRule(tokens=int(match["n"]), span_s=_span_s(match))


def _spend(match: re.Match[str]) -> Rule:
    return SpendRule(spend=Usd.parse(match["usd"]), span_s=_span_s(match))


def _day(match: re.Match[str]) -> Rule:
    return DayRule(requests=int(match["n"]))


def _capacity(status: int) -> Callable[[re.Match[str]], Rule]:
    def build(match: re.Match[str]) -> Rule:
        low, high = int(match["low"]), int(match["high"])
        if low > high:
            message = f"a capacity between {low} and {high}: wanted the smaller first"
            raise ValueError(message)
        return CapacityRule(low=low, high=high, period_s=_span_s(match), status=status)

    return build


def _span_s(match: re.Match[str]) -> float:
    span_s = float(match["span"])
    if not span_s:
        message = "a span of 0 seconds; wanted more"
        raise ValueError(message)
    return span_s


_N: Final = r"(?P<n>\d{1,12})"
_SPAN: Final = r"(?P<span>\d{1,9}(?:\.\d{1,6})?)s"
_SWING: Final = rf"(?P<low>\d{{1,6}})-(?P<high>\d{{1,6}})/{_SPAN}"
_FORMS: Final[Mapping[str, _Form]] = MappingProxyType(
    {
        Kind.BUCKET: _Form(
            shape="bucket:N/SPANs:CAPACITY",
            example="bucket:600/60s:10",
            pattern=rf"{_N}/{_SPAN}:(?P<capacity>\d{{1,9}})",
            build=_bucket,
        ),
        Kind.FIXED: _Form(
            shape="fixed:N/SPANs", example="fixed:600/60s", pattern=rf"{_N}/{_SPAN}", build=_fixed
        ),
        Kind.SLIDING: _Form(
            shape="sliding:N/SPANs",
            example="sliding:600/60s",
            pattern=rf"{_N}/{_SPAN}",
            build=_sliding,
        ),
        Kind.TOKENS: _Form(
            shape="tokens:N/SPANs",
            example="tokens:1500000/60s",
            pattern=rf"{_N}/{_SPAN}",
            build=_tokens,
        ),
        Kind.SPEND: _Form(
            shape="spend:DOLLARSusd/SPANs",
            example="spend:0.60usd/600s",
            pattern=rf"(?P<usd>\d{{1,9}}(?:\.\d{{1,6}})?)usd/{_SPAN}",
            build=_spend,
        ),
        Kind.DAY: _Form(shape="day:N", example="day:5000", pattern=_N, build=_day),
        Kind.CAPACITY: _Form(
            shape="capacity:LOW-HIGH/PERIODs",
            example="capacity:4-16/300s",
            pattern=_SWING,
            build=_capacity(503),
        ),
        Kind.CAPACITY_429: _Form(
            shape="capacity429:LOW-HIGH/PERIODs",
            example="capacity429:4-16/300s",
            pattern=_SWING,
            build=_capacity(429),
        ),
    }
)

SHAPES: Final[Mapping[str, str]] = MappingProxyType(
    {form.shape: form.example for form in _FORMS.values()}
)
"""How each kind is written, with an example."""
