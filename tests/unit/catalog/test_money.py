"""Is money exact from the price list to the manifest?"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from catalog.money import ZERO, Usd, total
from catalog.results import Costs

micros = st.integers(-(10**12), 10**12)


@pytest.mark.parametrize(
    ("given_amount", "micro"),
    [
        ("12.50", 12_500_000),
        (0.039, 39_000),
        (0.1, 100_000),
        (20, 20_000_000),
        (Decimal("0.0000005"), 1),
        ("0.0000004", 0),
        ("1e-6", 1),
        ("-3", -3_000_000),
        (Usd(7), 7),
    ],
)
def test_dollars_are_read_to_the_millionth(given_amount: object, micro: int) -> None:
    assert Usd.parse(given_amount).micro == micro


@pytest.mark.parametrize(
    "given_amount",
    [
        *("", " ", "abc", "1,50", "$5", "5 USD", "0x10", "nan", "inf", "-inf", "1e400"),
        *("1e999999", "1e1000000", "1000000000001", float("nan"), float("inf")),
        *(None, True, [], {}, b"5"),
    ],
)
def test_what_is_no_amount_is_refused(given_amount: object) -> None:
    with pytest.raises(ValueError, match="is not an amount of US dollars"):
        Usd.parse(given_amount)


@given(micros)
def test_an_amount_survives_its_way_through_json(micro: int) -> None:
    written = TypeAdapter(Usd).dump_json(Usd(micro))

    assert TypeAdapter(Usd).validate_json(written) == Usd(micro)
    # A number, with at most six decimals, whoever reads it.
    assert isinstance(json.loads(written), float | int)
    assert Decimal(written.decode()).normalize().as_tuple().exponent >= -6  # type: ignore[operator]


def test_an_amount_is_written_as_a_number() -> None:
    costs = Costs(estimated=Usd(1_500_000), spent=Usd(39_000), doubtful=Usd(1))

    assert json.loads(costs.to_json()) == {"estimated": 1.5, "spent": 0.039, "doubtful": 0.000001}


@given(st.lists(micros))
def test_amounts_add_up_exactly(amounts: list[int]) -> None:
    assert total(Usd(micro) for micro in amounts) == Usd(sum(amounts))


def test_amounts_can_be_reckoned_with() -> None:
    assert Usd(5) + Usd(2) - Usd(3) == Usd(4)
    assert Usd(5) * 3 == Usd(15)
    assert Usd(1) > ZERO
    assert not ZERO
    assert total([]) == ZERO


def test_a_shape_with_money_refuses_what_is_none() -> None:
    with pytest.raises(ValidationError, match="US dollars"):
        Costs.from_json('{"spent": "much"}')
