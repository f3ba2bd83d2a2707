"""Is a reservation no expectation, and does the interval allow for what can't be known?"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from catalog import keys
from catalog.models import Model, load_models
from catalog.money import Usd
from catalog.quota_limits import QuotaLimits
from catalog.renders import LedgerLine, Tokens
from catalog.store.directory import DirectoryStore
from producers.paid_lately import read_paid_lately
from producers.pricing import Forecast
from tests.support.shapes import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PROMPT = "a lamp on a beach, " * 20
REFERENCES = 1


def model(name: str = "nano-banana") -> Model:
    return load_models().resolve(name, platform="developer")


def forecast(pictures: int = 100, **given: Any) -> Forecast:
    made = Forecast(model(), given.get("lately"))
    for _ in range(pictures):
        made.add(PROMPT, references=REFERENCES, size=given.get("size", "1K"))
    return made


@dataclass(frozen=True)
class Reported:
    input_tokens: int
    output_image_tokens: int
    output_text_tokens: int = 0
    thought_tokens: int = 0


def bill(*, thoughts: int, image: int = 1_120) -> Usd:
    """What a call costs that reports what the simulator reports."""
    tokens = Reported(
        input_tokens=-(-len(PROMPT) // 4) + 1_120 * REFERENCES,
        output_image_tokens=image,
        thought_tokens=thoughts,
    )
    return model().cost(tokens, size="1K" if image else None, lane="standard")


def test_a_reservation_is_more_than_what_is_expected() -> None:
    reserved = model().reserve(references=REFERENCES, size="1K", lane="standard")

    assert reserved > forecast(1).estimate.standard


def test_a_run_without_faults_costs_what_is_expected_within_two_percent() -> None:
    expected = forecast(500).estimate.standard

    assert float(expected) == pytest.approx(float(bill(thoughts=90) * 500), rel=0.02)


def test_the_longer_prompt_is_the_dearer_one() -> None:
    made = Forecast(model())

    short = made.add("a" * 40, references=1, size="1K")
    long = made.add("a" * 4_040, references=1, size="1K")

    assert long - short == Usd(1_500)


def test_sizes_and_lanes_add_up_to_the_whole() -> None:
    made = forecast(3)
    made.add(PROMPT, references=REFERENCES, size="4K")

    by_size = made.by_size
    assert {size: part.renders for size, part in by_size.items()} == {"1K": 3, "4K": 1}
    assert (
        by_size["1K"].estimate_usd.standard + by_size["4K"].estimate_usd.standard
        == made.estimate.standard
    )
    assert float(made.estimate.batch) == pytest.approx(float(made.estimate.standard) / 2, rel=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_the_interval_holds_what_runs_with_other_luck_cost(seed: int) -> None:
    luck = random.Random(seed)
    thoughts, refused, wasted = luck.randint(0, 600), luck.uniform(0, 0.1), luck.uniform(0, 0.1)
    pictures = 60
    spent = Usd(0)
    for _ in range(pictures):
        if luck.random() < refused:
            spent += bill(thoughts=0, image=0)
            continue
        while luck.random() < wasted:
            spent += bill(thoughts=thoughts, image=0)
        spent += bill(thoughts=thoughts)

    bounds = forecast(pictures).range.standard

    assert bounds.low <= spent <= bounds.high


def test_more_pictures_leave_less_to_chance() -> None:
    few, many = (forecast(count) for count in (20, 20_000))

    def width(made: Forecast) -> float:
        bounds = made.range.standard
        return float(bounds.high - bounds.low) / float(made.estimate.standard)

    assert width(many) < width(few)
    assert width(many) < 0.3


def test_nothing_to_buy_costs_nothing_at_all() -> None:
    made = forecast(0)

    assert (made.estimate.standard, made.range.standard.high) == (Usd(0), Usd(0))
    assert made.by_size == {}


def test_the_time_at_the_quota_comes_from_the_limits_that_are_set() -> None:
    made = forecast(600)

    assert made.seconds(QuotaLimits()) is None
    assert made.seconds(QuotaLimits(requests_per_minute=60)) == 600
    assert made.seconds(QuotaLimits(tokens_per_minute=made.tokens)) == 60


# -- what was really paid lately --------------------------------------------------------------


def paid(store: DirectoryStore, count: int, *, seq: int = 0, **changes: Any) -> None:
    line = EXAMPLES["ledger"]
    assert isinstance(line, LedgerLine)
    given: dict[str, Any] = {
        "at": NOW,
        "tokens": Tokens(input=1_200, output_image=1_120, thought=400),
        "run_s": 7.0,
        **changes,
    }
    lines = [line.changed(call=f"{seq}-{at}", **given) for at in range(count)]
    body = b"".join(one.to_json() + b"\n" for one in lines)
    key = keys.ledger(NOW.strftime("%Y-%m-%d"), "host-1", seq)
    store.create(key, body, media_type="application/x-ndjson")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def test_what_was_paid_lately_is_expected_again(store: DirectoryStore) -> None:
    paid(store, 50)
    paid(store, 5, seq=1, outcome="no_picture", cost_usd=Usd(2_000))

    lately = read_paid_lately(store, model(), clock=lambda: NOW)

    assert lately is not None
    assert (lately.calls, lately.text_tokens, lately.call_s) == (55, 400, 7)
    assert (lately.wasted_micro, lately.wasted_share) == (200, 0.1)
    expected = forecast(1, lately=lately).estimate.standard
    assert expected == bill(thoughts=400) + Usd(200)
    assert forecast(1, lately=lately).basis.startswith("55 calls to gemini-nano-banana-2.1")


def test_pictures_that_come_with_other_tokens_than_the_table_says_are_believed(
    store: DirectoryStore,
) -> None:
    paid(store, 50, tokens=Tokens(input=1_200, output_image=1_290, thought=90))

    lately = read_paid_lately(store, model(), clock=lambda: NOW)

    assert lately is not None
    assert lately.image_tokens == {"1K": 1_290}


@pytest.mark.parametrize("changes", [{"model_asked": "another"}, {"outcome": "not_sold"}])
def test_calls_that_say_nothing_of_the_model_leave_the_table_in_force(
    store: DirectoryStore, changes: dict[str, Any]
) -> None:
    paid(store, 50, **changes)

    assert read_paid_lately(store, model(), clock=lambda: NOW) is None
    assert forecast().basis.startswith("table: ")


def test_a_handful_of_pictures_or_an_old_ledger_says_nothing(store: DirectoryStore) -> None:
    paid(store, 19)
    assert read_paid_lately(store, model(), clock=lambda: NOW) is None

    paid(store, 50, seq=1)
    assert read_paid_lately(store, model(), clock=lambda: NOW) is not None
    later = NOW.replace(year=2027)
    assert read_paid_lately(store, model(), clock=lambda: later) is None


def test_a_long_ledger_is_not_read_whole(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in range(120):
        paid(store, 1, seq=seq)
    read: list[str] = []
    original = DirectoryStore.read

    def counting(self: DirectoryStore, key: str) -> Any:
        read.append(key)
        return original(self, key)

    monkeypatch.setattr(DirectoryStore, "read", counting)

    assert read_paid_lately(store, model(), clock=lambda: NOW) is not None
    assert len(read) == 60
