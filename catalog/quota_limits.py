"""How much may be asked of a model, as far as people have said?

What was left out is found by trying (:mod:`catalog.quota`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.money import Usd

if TYPE_CHECKING:
    from catalog.settings import Settings

_MINUTE_S = 60.0
_TEN_MINUTES_S = 600.0
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLimits:
    """Limits of one model in one project; ``None`` where nobody said."""

    requests_per_minute: int | None = None
    """One picture is asked for per call: the smaller of calls and pictures per minute."""
    tokens_per_minute: int | None = None
    spend_micro_per_10_minutes: int | None = None
    requests_per_day: int | None = None
    calls_in_flight: int | None = None

    def seconds_for(self, renders: int, *, tokens: int, cost: Usd, call_s: float) -> float | None:
        """How long so many calls take at least.

        ``tokens`` and ``cost`` are those of all of them together, ``call_s`` is how long one call
        takes. ``None`` where no limit is known.
        """
        times = [
            _MINUTE_S * renders / self.requests_per_minute if self.requests_per_minute else None,
            _MINUTE_S * tokens / self.tokens_per_minute if self.tokens_per_minute else None,
            _TEN_MINUTES_S * cost.micro / self.spend_micro_per_10_minutes
            if self.spend_micro_per_10_minutes
            else None,
            _DAY_S * (math.ceil(renders / self.requests_per_day) - 1)
            if self.requests_per_day and renders
            else None,
            call_s * renders / self.calls_in_flight if self.calls_in_flight else None,
        ]
        known = [seconds for seconds in times if seconds is not None]
        return max(known) if known else None


def limits_of(settings: Settings) -> QuotaLimits:
    """The limits that are set."""
    per_minute = [
        limit
        for limit in (settings.quota_requests_per_minute, settings.quota_images_per_minute)
        if limit is not None
    ]
    spend = settings.quota_spend_per_10_minutes_usd
    return QuotaLimits(
        requests_per_minute=min(per_minute) if per_minute else None,
        tokens_per_minute=settings.quota_tokens_per_minute,
        spend_micro_per_10_minutes=None if spend is None else Usd.parse(spend).micro,
        requests_per_day=settings.quota_requests_per_day,
        calls_in_flight=settings.quota_calls_in_flight,
    )
