"""How do the model's limits stand: set, found, used?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.connection import check, open_redis
from catalog.pools import read_pools
from catalog.quota import Quota, Standing
from catalog.quota_limits import QuotaLimits
from catalog.settings import REDIS_WAYS, need

if TYPE_CHECKING:
    from catalog.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """One lane: what was set for it, and how it stands."""

    limits: QuotaLimits
    standing: Standing

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it; ``null`` where nothing is set or known."""
        lane, now = self.standing.lane, self.standing
        return {
            "pool": lane.pool,
            "project": lane.project,
            "model": lane.model,
            "set": {
                "calls_per_minute": self.limits.requests_per_minute,
                "tokens_per_minute": self.limits.tokens_per_minute,
                "spend_usd_per_10_minutes": (
                    None
                    if self.limits.spend_micro_per_10_minutes is None
                    else self.limits.spend_micro_per_10_minutes / 1_000_000
                ),
                "calls_per_day": self.limits.requests_per_day,
                "calls_in_flight": self.limits.calls_in_flight,
            },
            "learnt": {
                "calls_per_minute": round(now.found_per_minute, 1) or None,
                "told_calls_per_minute": round(now.told_per_minute, 1) or None,
                "calls_in_flight": round(now.most_open, 1) or None,
            },
            "now": {
                "calls_in_flight": now.open,
                "left_in_last_minute": now.let_in_last_minute,
                "held_for_s": round(now.hold_s, 1),
                "mean_call_s": round(now.call_s, 1),
            },
            "answered": now.answered,
            "refused": now.refused,
        }


def lanes(settings: Settings) -> tuple[LaneReport, ...]:
    """Every lane that this Redis knows of; reads three keys each.

    Raises:
        SettingsError: SKUSCENE_REDIS_URL is not set.
        StateUnavailable: Redis can't be reached.
    """
    client = open_redis(str(need(settings.redis_url, "SKUSCENE_REDIS_URL", REDIS_WAYS)))
    try:
        check(client)
        quota = Quota(client)
        limits = {pool.name: pool.limits for pool in read_pools(settings, with_keys=False)}
        return tuple(
            LaneReport(limits=limits.get(lane.pool, QuotaLimits()), standing=quota.standing(lane))
            for lane in quota.lanes()
        )
    finally:
        client.close()
