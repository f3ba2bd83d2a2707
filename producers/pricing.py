"""What will an import's pictures cost, as far as that can be known before they are bought?

Three answers: what is expected, what it costs at least, and what it costs at most unless things go
badly wrong. None is the reservation before a call (:meth:`catalog.models.Model.reserve`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catalog.imports import Estimate, EstimateRange, SizeEstimate, UsdRange
from catalog.money import Usd

if TYPE_CHECKING:
    from catalog.models import Lane, Model
    from catalog.quota_limits import QuotaLimits
    from producers.paid_lately import PaidLately

LETTERS_PER_TOKEN = 4
"""Google's own rule of thumb for text."""
REFUSED_SHARE = 0.10
"""Low: so many pictures may be refused, or lose their photo; only the asking is paid then."""
WASTED_SHARE = 0.10
"""High: so many calls per picture may be billed without bringing one."""
DOUBTFUL_SHARE = 0.05
"""High: so many calls per picture may be billed though no answer came."""
CALL_S = 20.0
"""How long a call is taken to last while nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quote:
    """One picture, in micro-USD; ``asking`` is a call that brings none."""

    standard: int
    batch: int
    low: int
    high: int
    asking_low: int
    asking_high: int
    tokens: int


@dataclass(slots=True)
class Forecast:
    """The price of what would be bought, growing picture by picture; flat in memory."""

    model: Model
    lately: PaidLately | None = None
    pictures: int = 0
    tokens: int = 0
    _sizes: dict[str, list[int]] = field(default_factory=dict)
    _low: int = 0
    _high: int = 0
    _asking_low: int = 0
    _asking_high: int = 0
    _quotes: dict[tuple[int, int, str], _Quote] = field(default_factory=dict)

    def add(self, prompt: str, *, references: int, size: str) -> Usd:
        """Count one picture; returns what it is expected to cost now."""
        asked = (-(-len(prompt) // LETTERS_PER_TOKEN), references, size)
        quote = self._quotes.get(asked)
        if quote is None:
            quote = self._quotes[asked] = self._quote(*asked)
        self.pictures += 1
        self.tokens += quote.tokens
        self._low += quote.low
        self._high += quote.high
        self._asking_low += quote.asking_low
        self._asking_high += quote.asking_high
        sums = self._sizes.setdefault(size, [0, 0, 0])
        sums[0] += 1
        sums[1] += quote.standard
        sums[2] += quote.batch
        return Usd(quote.standard)

    @property
    def by_size(self) -> dict[str, SizeEstimate]:
        """Pictures and what is expected of them, by size."""
        return {
            size: SizeEstimate(
                renders=renders, estimate_usd=Estimate(standard=Usd(standard), batch=Usd(batch))
            )
            for size, (renders, standard, batch) in self._sizes.items()
        }

    @property
    def estimate(self) -> Estimate:
        """What is expected, both ways."""
        return Estimate(
            standard=Usd(sum(standard for _, standard, _ in self._sizes.values())),
            batch=Usd(sum(batch for *_, batch in self._sizes.values())),
        )

    @property
    def range(self) -> EstimateRange:
        """What it costs at least and at most, both ways.

        Low is without thinking and without a second call, one picture in ten refused; high is with
        all the thinking that is reserved for, calls billed without a picture, and doubtful ones.
        Few pictures may have bad luck: two standard deviations are allowed for that.
        """
        refused = self._share(REFUSED_SHARE)
        low = self._low - round(refused * (self._low - self._asking_low))
        seen = self.lately
        wasted = self._share(max(WASTED_SHARE, 2 * seen.wasted_share if seen else 0.0))
        doubtful = self._share(max(DOUBTFUL_SHARE, 2 * seen.doubtful_share if seen else 0.0))
        high = self._high + round(wasted * self._asking_high + doubtful * self._high)
        now = self.estimate
        batch = self.model.prices.batch_factor
        return EstimateRange(
            standard=_around(now.standard, low, high),
            batch=_around(now.batch, int(low * batch), math.ceil(high * batch)),
        )

    @property
    def basis(self) -> str:
        """What the expectation rests on."""
        if self.lately is None:
            return f"table: {self.model.prices.source}"
        return (
            f"{self.lately.calls} calls to {self.model.id} in the ledger, "
            f"the oldest of {self.lately.since}"
        )

    def seconds(self, limits: QuotaLimits) -> float | None:
        """How long the calls take at least; ``None`` where no limit is known."""
        return limits.seconds_for(
            self.pictures,
            tokens=self.tokens,
            cost=self.estimate.standard,
            call_s=self.lately.call_s if self.lately else CALL_S,
        )

    def _share(self, share: float) -> float:
        if not self.pictures:
            return 0.0
        share = min(share, 1.0)
        return min(1.0, share + 2 * math.sqrt(share * (1 - share) / self.pictures))

    def _quote(self, prompt_tokens: int, references: int, size: str) -> _Quote:
        model, seen = self.model, self.lately
        asked = prompt_tokens + references * model.input_image_tokens
        table = model.output_image_tokens[size]
        picture = seen.image_tokens.get(size, table) if seen else table
        thinking: float = seen.text_tokens if seen else model.expected_thought_tokens
        most: float = max(model.thinking_allowance_tokens, 2 * thinking)
        waste = seen.wasted_micro if seen else 0.0

        def price(text: float, image: float, lane: Lane = "standard") -> int:
            return model.price(
                input_tokens=asked,
                text_tokens=math.ceil(text),
                image_tokens=math.ceil(image),
                lane=lane,
            ).micro

        return _Quote(
            standard=price(thinking, picture) + round(waste),
            batch=price(thinking, picture, "batch")
            + round(waste * float(model.prices.batch_factor)),
            low=price(0, min(picture, table)),
            high=price(most, max(picture, table)),
            asking_low=price(0, 0),
            asking_high=price(most, 0),
            tokens=asked + math.ceil(thinking + picture),
        )


def _around(expected: Usd, low: int, high: int) -> UsdRange:
    return UsdRange(low=min(Usd(low), expected), high=max(Usd(high), expected))
