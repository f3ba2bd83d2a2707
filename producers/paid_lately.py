"""What did calls to a model really come to lately?

A sample of the ledger's newest lines: at most 60 segments and about 2 000 lines of two weeks, so
that a dry run stays quick whatever the ledger holds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from catalog import keys
from catalog.money import Usd
from catalog.renders import Tokens
from catalog.store.reading import read_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from catalog.models import Model
    from catalog.store.port import Store

_DAYS = 14
_SEGMENTS = 60
_LINES = 2_000
_FEWEST = 20
"""Pictures; fewer say less than the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidLately:
    """Calls to one model; means are per picture that was bought.

    ``text_tokens`` are words and thoughts. ``image_tokens`` has the sizes that were seen.
    ``wasted_micro`` was billed by calls without a picture.
    """

    calls: int
    since: date
    text_tokens: float
    image_tokens: dict[str, float]
    wasted_micro: float
    wasted_share: float
    doubtful_share: float
    call_s: float


class _Line(BaseModel):
    """What is read of a ledger line."""

    model_config = ConfigDict(extra="ignore")

    at: AwareDatetime
    outcome: str
    model_asked: str
    tokens: Tokens
    cost_usd: Usd
    run_s: float
    call: str = ""


def read_paid_lately(
    store: Store,
    model: Model,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> PaidLately | None:
    """Look at the newest calls to a model; ``None`` if there are too few to learn from.

    Costs a listing per day, of two weeks at most, and at most 60 reads.
    """
    lines = {line.call or number: line for number, line in enumerate(_lines(store, model, clock()))}
    pictures = [line for line in lines.values() if line.outcome == "picture"]
    if model.is_preview or len(pictures) < _FEWEST:
        return None
    wasted = [line for line in lines.values() if line.outcome in {"no_picture", "blocked"}]
    doubtful = sum(line.outcome == "doubtful" for line in lines.values())
    count = len(pictures)
    return PaidLately(
        calls=len(lines),
        since=min(line.at for line in lines.values()).astimezone(UTC).date(),
        text_tokens=_mean([one.tokens.output_text + one.tokens.thought for one in pictures]),
        image_tokens=_image_tokens(model, [one.tokens.output_image for one in pictures]),
        wasted_micro=sum(line.cost_usd.micro for line in wasted) / count,
        wasted_share=len(wasted) / count,
        doubtful_share=doubtful / count,
        call_s=_mean([one.run_s for one in pictures]),
    )


def _lines(store: Store, model: Model, now: datetime) -> Iterator[_Line]:
    read = 0
    for segment in read_at_once(store, _segments(store, now.astimezone(UTC).date())):
        for text in segment.content.splitlines() if segment else ():
            try:
                line = _Line.model_validate_json(text)
            except ValidationError:  # `skuscene costs` says so; here it is one of a sample
                continue
            if line.model_asked == model.id and line.outcome != "not_sold":
                read += 1
                yield line
        if read >= _LINES:
            return


def _segments(store: Store, today: date) -> Iterator[str]:
    left = _SEGMENTS
    for back in range(_DAYS):
        listed = store.list(keys.ledger_day((today - timedelta(days=back)).isoformat()))
        day = [entry.key for entry in listed]
        # Calls without a picture have files of their own, and those come last: an even choice.
        chosen = random.Random(len(day)).sample(day, min(left, len(day)))  # noqa: S311
        yield from chosen
        left -= len(chosen)
        if left <= 0:
            return


def _image_tokens(model: Model, reported: Sequence[int]) -> dict[str, float]:
    """Mean tokens of a picture by size: a line does not name its size, its tokens tell."""
    found: dict[str, list[int]] = {}
    for tokens in reported:
        if tokens:
            size = min(model.sizes, key=lambda one: abs(model.output_image_tokens[one] - tokens))
            found.setdefault(size, []).append(tokens)
    # Sizes that cost the same tokens can't be told apart, and need not be.
    return {size: _mean(tokens) for size, tokens in found.items() if len(tokens) >= _FEWEST}


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
