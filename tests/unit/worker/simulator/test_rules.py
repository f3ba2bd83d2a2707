"""How limits are written, and what their text means."""

from __future__ import annotations

from itertools import pairwise

import pytest

from worker.simulator.rules import SHAPES, CapacityRule, Kind, parse_limits, parse_rule
from worker.simulator.script import ScriptError

TEXTS = [
    "bucket:600/60s:10",
    "fixed:600/60s",
    "sliding:6/0.25s",
    "tokens:1500000/60s",
    "spend:0.60usd/600s",
    "spend:12.345678usd/600s",
    "day:5000",
    "capacity:4-16/300s",
    "capacity429:0-16/300.5s",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_rule(text)) == text


def test_every_kind_is_shown_with_an_example_that_can_be_read() -> None:
    read = [parse_rule(example).kind for example in SHAPES.values()]

    assert read == list(Kind)
    assert [shape.partition(":")[0] for shape in SHAPES] == list(Kind)


def test_a_limit_per_minute_goes_first_and_slides() -> None:
    assert [str(rule) for rule in parse_limits(["day:9"], rpm=5)] == ["sliding:5/60s", "day:9"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there are bucket:N/SPANs:CAPACITY, fixed:N/SPANs"),
        ("leaky:600/60s", "no kind 'leaky'"),
        ("bucket:600/60s", "wanted bucket:N/SPANs:CAPACITY, e.g. bucket:600/60s:10"),
        ("bucket:0/60s:5", "at least 1 request"),
        ("bucket:600/60s:0", "room for 1"),
        ("fixed:600/60", "wanted fixed:N/SPANs"),
        ("fixed:600/0s", "a span of 0 seconds"),
        ("sliding:-1/60s", "wanted sliding:N/SPANs"),
        ("sliding:6e2/60s", "wanted sliding:N/SPANs"),
        ("tokens:1.5/60s", "wanted tokens:N/SPANs"),
        ("spend:0.60/600s", "wanted spend:DOLLARSusd/SPANs"),
        ("day:5000/60s", "wanted day:N"),
        ("capacity:8/60s", "wanted capacity:LOW-HIGH/PERIODs"),
        ("capacity429:9-8/60s", "the smaller first"),
    ],
)
def test_a_rule_that_cannot_be_followed_says_what_is_wanted(text: str, says: str) -> None:
    with pytest.raises(ScriptError, match=says) as refused:
        parse_rule(text)

    assert repr(text) in str(refused.value)


def test_capacity_swings_smoothly_between_its_bounds_and_repeats() -> None:
    rule = CapacityRule(low=4, high=16, period_s=300)

    seen = [rule.at(now_s, seed=7) for now_s in range(300)]

    assert (min(seen), max(seen)) == (4, 16)
    assert max(abs(one - other) for one, other in pairwise(seen)) == 1
    assert seen == [rule.at(now_s + 300, seed=7) for now_s in range(300)]
    assert seen != [rule.at(now_s, seed=8) for now_s in range(300)]
    assert sum(seen) / len(seen) == pytest.approx(10, abs=0.05)
