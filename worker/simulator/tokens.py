"""How many tokens does a call report?

Documented figures for pictures, a guess for text. Thoughts and input pictures may be ordered to
vary, so that a client's estimates can be tried against other figures than those it knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from worker.simulator.books import Tokens
from worker.simulator.models import DEFAULT_SIZE, INPUT_IMAGE_TOKENS
from worker.simulator.outcomes import FINALS, Piece
from worker.simulator.script import ScriptError

if TYPE_CHECKING:
    from random import Random

    from worker.simulator.outcomes import Outcome
    from worker.simulator.wire import Call

_LETTERS_PER_TOKEN: Final = 4
_TEXT_TOKENS: Final = 12
_THOUGHT_TOKENS: Final = {"": 0, "minimal": 90, "low": 150, "medium": 310, "high": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What ``usageMetadata`` says, as the model table prices it."""

    prompt_text_tokens: int = 0
    prompt_image_tokens: int = 0
    output_text_tokens: int = 0
    output_image_tokens: int = 0
    thought_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        """The prompt, its pictures included."""
        return self.prompt_text_tokens + self.prompt_image_tokens

    @property
    def candidates_tokens(self) -> int:
        """The answer without thoughts."""
        return self.output_text_tokens + self.output_image_tokens

    @property
    def total_tokens(self) -> int:
        """Everything."""
        return self.input_tokens + self.candidates_tokens + self.thought_tokens

    def booked(self) -> Tokens:
        """The same as it stands in the books."""
        return Tokens(
            prompt=self.input_tokens,
            candidates=self.candidates_tokens,
            thoughts=self.thought_tokens,
        )


@dataclass(frozen=True, slots=True)
class Count:
    """A number of tokens that is drawn per call, evenly between both bounds."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Read ``300`` or ``100-900``.

        Raises:
            ScriptError: it is neither.
        """
        match = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7}))?", str(text), re.ASCII)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            message = f"tokens {text!r}: wanted a number (300) or a span (100-900)"
            raise ScriptError(message)
        return cls(low, high)

    def draw(self, dice: Random) -> int:
        """One number."""
        return dice.randint(self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRates:
    """What is drawn for every call; ``None`` leaves the documented figures."""

    thoughts: Count | None = None
    input_image: Count | None = None

    def draw(self, dice: Random) -> TokenRate:
        """The figures of one call."""
        return TokenRate(
            thoughts=self.thoughts.draw(dice) if self.thoughts else None,
            input_image=self.input_image.draw(dice) if self.input_image else INPUT_IMAGE_TOKENS,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRate:
    """The figures of one call; ``thoughts`` is ``None`` where the thinking level decides."""

    thoughts: int | None = None
    input_image: int = INPUT_IMAGE_TOKENS


def count_usage(call: Call, outcome: Outcome, rate: TokenRate) -> Usage:
    """What the answer to a call will report."""
    return Usage(
        prompt_text_tokens=-(-len(call.prompt) // _LETTERS_PER_TOKEN),
        prompt_image_tokens=call.images * rate.input_image,
        output_text_tokens=_TEXT_TOKENS if Piece.TEXT in pieces_of(call, outcome) else 0,
        output_image_tokens=_image_tokens(call, outcome),
        thought_tokens=_thought_tokens(call, outcome, rate),
    )


def pieces_of(call: Call, outcome: Outcome) -> tuple[Piece, ...]:
    """The parts of the answer; words go before a picture if the caller wants any."""
    if not outcome.pieces or outcome.pieces == (Piece.TEXT,):
        return outcome.pieces
    return (Piece.TEXT, *outcome.pieces) if call.wants_text else outcome.pieces


def _image_tokens(call: Call, outcome: Outcome) -> int:
    size = DEFAULT_SIZE if outcome.wrong_size else call.size
    finals = sum(1 for piece in outcome.pieces if piece in FINALS)
    return finals * call.model.output_tokens[size]


def _thought_tokens(call: Call, outcome: Outcome, rate: TokenRate) -> int:
    usual = _THOUGHT_TOKENS[call.thinking_level]
    if outcome.block_reason or not usual:
        return 0
    return usual if rate.thoughts is None else rate.thoughts
