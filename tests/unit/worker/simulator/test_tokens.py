"""Which tokens a call reports, as documented or as ordered."""

from __future__ import annotations

import json
from random import Random

import pytest

from worker.simulator.models import MODELS
from worker.simulator.outcomes import OUTCOMES
from worker.simulator.prices import list_price
from worker.simulator.routes import Platform
from worker.simulator.script import ScriptError
from worker.simulator.tokens import Count, TokenRate, TokenRates, Usage, count_usage
from worker.simulator.wire import Call, parse_call

MODEL = "gemini-nano-banana-2.1"


def _call(model: str = MODEL, images: int = 2) -> Call:
    parts = [{"fileData": {"fileUri": "gs://shop/lamp.png", "mimeType": "image/png"}}] * images
    body = {
        "contents": [{"parts": [*parts, {"text": "a lamp, lit"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"]},
    }
    return parse_call(json.dumps(body).encode(), MODELS[model], Platform.DEVELOPER)


def test_without_an_order_the_figures_are_the_documented_ones() -> None:
    usage = count_usage(_call(), OUTCOMES["picture"], TokenRates().draw(Random(0)))

    assert usage == Usage(
        prompt_text_tokens=3,
        prompt_image_tokens=2 * 1120,
        output_image_tokens=1120,
        thought_tokens=310,
    )
    assert usage.total_tokens == 3 + 2 * 1120 + 1120 + 310


def test_ordered_tokens_are_drawn_anew_for_each_call_within_their_bounds() -> None:
    rates = TokenRates(thoughts=Count.parse("100-900"), input_image=Count.parse("258"))

    drawn = [rates.draw(Random(seed)) for seed in range(500)]

    thoughts = [rate.thoughts for rate in drawn if rate.thoughts is not None]
    assert len(thoughts) == 500
    assert 100 <= min(thoughts) < 150
    assert 850 < max(thoughts) <= 900
    assert {rate.input_image for rate in drawn} == {258}
    assert drawn[3] == rates.draw(Random(3))


def test_a_model_that_does_not_think_and_a_blocked_prompt_have_no_thoughts() -> None:
    rate = TokenRate(thoughts=500)

    silent = count_usage(_call("gemini-2.5-flash-image"), OUTCOMES["picture"], rate)
    blocked = count_usage(_call(), OUTCOMES["blocked_prompt"], rate)

    assert (silent.thought_tokens, blocked.thought_tokens) == (0, 0)
    assert count_usage(_call(), OUTCOMES["no_image"], rate).thought_tokens == 500


def test_a_call_costs_what_the_model_table_says() -> None:
    usage = count_usage(_call(images=1), OUTCOMES["picture"], TokenRate(thoughts=1000))

    # 1123 tokens at 1.50, 1000 at 7.50 and 1120 at 30 dollars per million, rounded up.
    assert list_price(MODEL, usage).micro == 1685 + 7500 + 33_600
    assert list_price(MODEL, Usage()).micro == 0
    assert list_price("nobody-lists-this", usage).micro == 0


@pytest.mark.parametrize("text", ["", "some", "-5", "9-3", "1.5", "1-2-3"])
def test_another_number_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(ScriptError, match="wanted a number"):
        Count.parse(text)
