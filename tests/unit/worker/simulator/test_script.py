"""Which outcome a call gets."""

from __future__ import annotations

from random import Random

import pytest

from worker.simulator.orders import Scope
from worker.simulator.script import Director, Latency, ScriptError, parse_script


def _outcomes(director: Director, *prompts: str) -> list[str]:
    return [director.direct(prompt, prompt)[0].outcome for prompt in prompts]


def test_lines_are_used_in_order_and_then_it_is_pictures_again() -> None:
    director = Director(rates={}, seed=0)
    director.add(parse_script('{"outcome": "503", "times": 2}\n\n{"outcome": "cut"}\n'))

    assert _outcomes(director, *"abcd") == ["503", "503", "cut", "picture"]
    assert director.left() == []


def test_a_line_with_a_match_waits_for_its_prompt() -> None:
    director = Director(rates={}, seed=0)
    director.add(parse_script('[{"match": "toaster", "outcome": "hang"}]'))

    assert _outcomes(director, "a lamp", "The Toaster", "the toaster") == [
        "picture",
        "hang",
        "picture",
    ]


def test_zero_times_is_for_ever() -> None:
    director = Director(rates={}, seed=0)
    director.add(parse_script('{"outcome": "429", "times": 0}'))

    assert _outcomes(director, *"abcde") == ["429"] * 5
    assert director.left() == [{"outcome": "429", "times": 0}]


def test_rates_come_close_to_their_share_and_do_not_depend_on_the_order() -> None:
    prompts = [f"product {number}" for number in range(4000)]
    forward = dict(zip(prompts, _outcomes(_by_rate(seed=3), *prompts), strict=True))
    backward = dict(zip(prompts[::-1], _outcomes(_by_rate(seed=3), *prompts[::-1]), strict=True))
    other_seed = dict(zip(prompts, _outcomes(_by_rate(seed=4), *prompts), strict=True))

    share = list(forward.values()).count("503") / len(prompts)

    assert forward == backward
    assert forward != other_seed
    assert 0.08 < share < 0.12
    assert "cut" in forward.values()


def test_the_same_request_again_gets_other_dice() -> None:
    director = Director(rates={"503": 0.5}, seed=0)

    assert set(_outcomes(director, *["the same"] * 40)) == {"503", "picture"}


def _by_rate(*, seed: int) -> Director:
    return Director(rates={"503": 0.1, "cut": 0.01}, seed=seed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"outcome": "explode"}', "no outcome 'explode'"),
        ('{"outcome": "503"}\n{"outcome": "503", "tmes": 2}', "line 2: tmes"),
        ('{"outcome": "503"}\nhello', "line 2 is not JSON"),
        ("[3]", "line 1"),
    ],
)
def test_a_script_that_cannot_be_followed_names_the_line(text: str, says: str) -> None:
    with pytest.raises(ScriptError, match=says):
        parse_script(text)


@pytest.mark.parametrize(
    "rates", [{"503": 1.5}, {"503": -0.1}, {"boom": 0.1}, {"503": 0.6, "429": 0.6}]
)
def test_rates_that_are_no_shares_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ScriptError):
        Director(rates=rates, seed=0)


@pytest.mark.parametrize(
    ("text", "low_s", "high_s"), [("0.05", 0.05, 0.05), ("10-40", 10, 40), (2, 2, 2)]
)
def test_a_latency_is_a_number_or_a_span(text: str | float, low_s: float, high_s: float) -> None:
    latency = Latency.parse(text)

    assert (latency.low_s, latency.high_s) == (low_s, high_s)


def test_a_skewed_latency_is_mostly_short_and_sometimes_long() -> None:
    latency = Latency.parse("4-20:skew")
    dice = Random(1)

    drawn = sorted(latency.draw(dice) for _ in range(20_000))

    assert latency.mean_s == pytest.approx(4 + 16 * 2 / 7)
    assert sum(drawn) / len(drawn) == pytest.approx(latency.mean_s, abs=0.1)
    assert 4 <= drawn[0] < 5
    assert 16 < drawn[-1] <= 20
    # The median of Beta(2, 5) is 0.2645, its ninety-fifth percentile 0.5818.
    assert drawn[10_000] == pytest.approx(4 + 16 * 0.2645, abs=0.15)
    assert drawn[19_000] == pytest.approx(4 + 16 * 0.5818, abs=0.3)


def test_an_even_latency_has_its_mean_in_the_middle() -> None:
    assert Latency.parse("4-20").mean_s == 12
    assert Latency.parse("5").mean_s == 5


@pytest.mark.parametrize(
    "text", ["fast", "-1", "3-1", "1-2-3", "", "5:skew", ":skew", "4-20:even", "20-4:skew"]
)
def test_another_latency_is_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        Latency.parse(text)


def test_a_line_about_a_batch_is_none_about_a_call() -> None:
    director = Director(rates={}, seed=0)
    director.add(parse_script('{"outcome": "batch:failed", "match": "Monday"}'))

    assert director.direct("monday", "a")[0].outcome == "picture"
    assert director.order(Scope.BATCH, "sunday's")[0] is None
    line, _ = director.order(Scope.BATCH, "monday's")
    assert (line and line.outcome) == "batch:failed"


def test_a_line_may_be_for_one_lane() -> None:
    director = Director(rates={}, seed=0)
    director.add(parse_script('{"outcome": "503", "lane": "batch"}'))

    assert director.direct("a lamp", "a")[0].outcome == "picture"
    assert director.direct("a lamp", "a", "batch")[0].outcome == "503"


def test_each_rate_of_results_stands_for_itself() -> None:
    director = Director(rates={"result:torn": 1, "result:dropped": 1, "batch:failed": 1}, seed=0)

    orders = [line.outcome for line in director.order_results("a batch", Random(0))]

    assert orders == ["result:dropped", "result:torn"]


def test_rates_of_one_kind_add_up_to_one_at_most() -> None:
    Director(rates={"503": 0.9, "batch:failed": 0.9}, seed=0)

    with pytest.raises(ScriptError, match="of batch add up to"):
        Director(rates={"batch:expired": 0.9, "batch:failed": 0.9}, seed=0)
