"""What if the process dies just before any one of its effects?

A dry run lists the effects of a small import: writes, state changes, messages, calls. Then the
process dies before each of them once, and the work goes on as Redis and the reconciler let it.
"""

from __future__ import annotations

import pytest

from tests.support.desk import PRICE, Workplace, address, wanted

MUG = "mug in the kitchen"
LAMP = "lamp in the kitchen"


def _ordered() -> Workplace:
    """Three slots, two purchases: the twin asks for the mug's picture, and for one more file."""
    place = Workplace()
    place.order(
        "monday",
        [
            wanted("mug", "kitchen"),
            wanted(
                "twin",
                prompts={"kitchen": MUG},
                photos=[address("mug")],
                renditions=("web", "merchant"),
            ),
        ],
        [wanted("lamp", "kitchen")],
    )
    place.effects.seen.clear()
    return place


def _dry_run() -> list[str]:
    place = _ordered()
    place.settle_down()
    return place.effects.seen


EFFECTS = _dry_run()


def _in_flight(effect: str) -> bool:
    """Whether a death just before this effect comes between the answer and its first write."""
    return effect.startswith("create renders/") and "/take-" in effect


@pytest.mark.parametrize(
    "number", range(len(EFFECTS)), ids=[f"{at}-{name[:40]}" for at, name in enumerate(EFFECTS)]
)
def test_a_death_before_any_effect_loses_nothing_and_buys_nothing_twice(number: int) -> None:
    place = _ordered()
    place.effects.die_before = number

    place.run(until=lambda: place.deaths > 0)
    place.assert_manifests_hold()  # whatever is visible by now holds
    place.settle_down()

    assert place.deaths == 1
    assert place.is_published("monday")
    place.assert_manifests_hold()
    assert place.statuses("monday") == {"succeeded": 2, "reused": 1}
    # The one call whose answer died with the process is the only one that is made again.
    assert place.sold.total() == 2 + _in_flight(EFFECTS[number])
    assert len(place.takes()) == 2
    assert place.manifest("monday").cost_usd.spent == PRICE * 2
    assert place.desk.state.running() == ()


def test_the_table_has_every_kind_of_effect() -> None:
    kinds = {name.split()[0] for name in EFFECTS}

    assert kinds >= {"create", "replace", "ask", "enqueue", "lease", "state.settle", "state.commit"}
    assert [_in_flight(name) for name in EFFECTS].count(True) == 2


@pytest.mark.parametrize("first", range(0, len(EFFECTS), 7))
def test_two_deaths_are_no_worse_than_one_and_one(first: int) -> None:
    place = _ordered()
    place.effects.die_before = first
    place.run(until=lambda: place.deaths > 0)
    place.effects.die_before = len(place.effects.seen) + 5
    place.settle_down()

    place.assert_manifests_hold()
    assert place.statuses("monday") == {"succeeded": 2, "reused": 1}
    assert place.sold.total() <= 2 + place.deaths
    assert len(place.takes()) == 2
