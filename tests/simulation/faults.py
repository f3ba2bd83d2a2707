"""What goes wrong in one simulated run, drawn from its seed?

Few kinds of faults per run, and hard ones: a run with everything at once mostly shows outages, and
many small worlds find what one large world hides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Chances are per effect, per message or per call; times are virtual seconds from the start."""

    stay: float = 0.3
    processes: int = 2
    threads: int = 1
    window: int = 100
    lasting_s: float = 90.0
    """Faults come in this span; afterwards the world is kind, and every import must end."""

    crash: float = 0.0
    most_crashes: int = 0
    lose_notes: float = 0.0
    stops: tuple[float, ...] = ()

    drop: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0

    redis_fails: float = 0.0
    redis_away: tuple[tuple[float, float], ...] = ()
    redis_emptied: tuple[float, ...] = ()
    redis_goes_back: tuple[tuple[float, float], ...] = ()
    """When its file is saved, and when it is started again with that."""

    store_fails: float = 0.0
    store_away: tuple[tuple[float, float], ...] = ()
    slow: float = 0.0

    model_slow: float = 0.0
    model_unavailable: float = 0.0
    model_limits: float = 0.0
    model_cuts: float = 0.0
    model_hangs: float = 0.0
    model_empty: float = 0.0
    model_refuses: float = 0.0
    refuses_hard: float = 0.0
    """The share of refusals after which nothing softer may be asked."""
    softer: float = 0.0
    """The share of slots that have softer prompts."""
    key_broken: tuple[tuple[float, float], ...] = ()

    fetch_fails: float = 0.0
    bad_photos: float = 0.0
    bad_pictures: float = 0.0
    poison: float = 0.0

    orders: tuple[tuple[float, int, str], ...] = ()
    """What people say: when, of which import, and what."""
    budget: float = 0.0
    """The chance that an import may cost only one picture and a half, until more is allowed."""
    second_import_at: float | None = None
    retries: int = 0
    """How often somebody asks for the rows without a picture again, once an import is published."""
    left_paused: bool = False

    def said(self) -> str:
        """The plan without what is as usual."""
        usual = FaultPlan()
        told = [
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)
            if getattr(self, one.name) != getattr(usual, one.name)
        ]
        return ", ".join(told)


def draw(rng: random.Random) -> FaultPlan:
    """A plan for one run."""

    def sometimes(chance: float, least: float, most: float) -> float:
        return round(rng.uniform(least, most), 3) if rng.random() < chance else 0.0

    def spans(chance: float, longest_s: float) -> tuple[tuple[float, float], ...]:
        if rng.random() >= chance:
            return ()
        begin = rng.uniform(0, 70)
        return ((round(begin, 1), round(begin + rng.uniform(1, longest_s), 1)),)

    def moments(chance: float, most: int) -> tuple[float, ...]:
        if rng.random() >= chance:
            return ()
        return tuple(sorted(round(rng.uniform(0, 80), 1) for _ in range(rng.randint(1, most))))

    worst = rng.choice((0.4, 0.4, 0.4, 1.0))
    crash = sometimes(0.4, 0.002, 0.03)
    return FaultPlan(
        stay=rng.choice((0.0, 0.2, 0.5, 0.8, 0.95)),
        processes=rng.choice((1, 1, 2, 2, 2, 3)),
        threads=rng.randint(1, 2),
        window=rng.choice((1, 2, 3, 100)),
        crash=crash,
        most_crashes=rng.randint(1, 4) if crash else 0,
        lose_notes=sometimes(0.3, 0.2, 1.0),
        stops=moments(0.15, 2),
        drop=sometimes(0.25, 0.02, 0.3),
        repeat=sometimes(0.3, 0.05, 0.5),
        delay=sometimes(0.2, 0.05, 0.5),
        redis_fails=sometimes(0.2, 0.005, 0.05),
        redis_away=spans(0.12, 40),
        redis_emptied=moments(0.2, 2),
        redis_goes_back=spans(0.1, 40),
        store_fails=sometimes(0.25, 0.01, 0.15),
        store_away=spans(0.12, 25),
        slow=sometimes(0.2, 0.02, 0.2),
        model_slow=sometimes(0.2, 0.2, 1.0),
        model_unavailable=sometimes(0.15, 0.05, worst),
        model_limits=sometimes(0.1, 0.05, 0.4),
        model_cuts=sometimes(0.15, 0.05, worst),
        model_hangs=sometimes(0.12, 0.05, worst),
        model_empty=sometimes(0.12, 0.05, worst),
        model_refuses=sometimes(0.15, 0.1, 0.5),
        key_broken=spans(0.08, 30),
        fetch_fails=sometimes(0.12, 0.05, 0.5),
        bad_photos=sometimes(0.1, 0.2, 0.5),
        bad_pictures=sometimes(0.06, 0.2, 0.5),
        poison=sometimes(0.02, 0.3, 0.5),
        orders=_orders(rng),
        budget=sometimes(0.1, 0.5, 1.0),
        second_import_at=round(rng.uniform(0, 50), 1) if rng.random() < 0.3 else None,
        left_paused=rng.random() < 0.03,
        retries=rng.choice((0, 0, 0, 0, 0, 0, 1, 2)),
    )


def drawn(seed: int) -> FaultPlan:
    """The plan of a seed's run.

    What was thought of later is drawn apart, so that the runs of other seeds stay as they were.
    """
    plan = draw(random.Random(f"plan {seed}"))
    rng = random.Random(f"softer {seed}")
    if plan.model_refuses and rng.random() < _SOFTENED:
        return replace(plan, softer=rng.uniform(0.4, 1.0), refuses_hard=rng.choice((0.0, 0.2, 0.5)))
    if rng.random() < _SOFTENED_TOO:
        return replace(
            plan,
            softer=rng.uniform(0.6, 1.0),
            model_refuses=round(rng.uniform(0.3, 0.8), 3),
            refuses_hard=rng.choice((0.0, 0.1, 0.3)),
        )
    return plan


_SOFTENED = 0.7
_SOFTENED_TOO = 0.08


def _orders(rng: random.Random) -> tuple[tuple[float, int, str], ...]:
    if rng.random() > 0.3:
        return ()
    words = ("pause", "resume", "cancel")
    told = [
        (round(rng.uniform(0, 60), 1), rng.randint(0, 1), rng.choices(words, (4, 4, 2))[0])
        for _ in range(rng.randint(1, 3))
    ]
    return tuple(sorted(told))
