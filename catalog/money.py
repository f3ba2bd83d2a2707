"""How is money written and added up?

Kept as integer micro-dollars, written as a JSON number of dollars with at most 6 decimals.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

MICRO = 1_000_000
_MOST = Decimal(10**12)
"""Dollars; more is a slip, and would not fit into Redis's integers."""


@dataclass(frozen=True, slots=True, order=True)
class Usd:
    """An amount of US dollars, exact to a millionth."""

    micro: int = 0

    @classmethod
    def parse(cls, amount: object) -> Usd:
        """Read dollars from a number or a string of digits.

        Raises:
            ValueError: ``amount`` is no amount of dollars.
        """
        if isinstance(amount, Usd):
            return amount
        if isinstance(amount, bool) or not isinstance(amount, int | float | str | Decimal):
            msg = f"{amount!r} is not an amount of US dollars"
            raise ValueError(msg)  # noqa: TRY004  pydantic turns a ValueError into a finding
        try:
            return cls(_micro(str(amount)))
        except (InvalidOperation, OverflowError, ValueError) as exc:
            msg = f"{amount!r} is not an amount of US dollars, such as 12.50"
            raise ValueError(msg) from exc

    def __add__(self, other: Usd) -> Usd:
        return Usd(self.micro + other.micro)

    def __sub__(self, other: Usd) -> Usd:
        return Usd(self.micro - other.micro)

    def __mul__(self, times: int) -> Usd:
        return Usd(self.micro * times)

    def __bool__(self) -> bool:
        return self.micro != 0

    def __float__(self) -> float:
        return self.micro / MICRO

    def __str__(self) -> str:
        return f"{Decimal(self.micro) / MICRO:.4f}"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                float, return_schema=core_schema.float_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described: dict[str, Any] = {
            "type": "number",
            "description": "US dollars with at most 6 decimals",
        }
        return described


@lru_cache(maxsize=1_024)
def _micro(digits: str) -> int:
    """Read micro-dollars; kept, since a catalog's pictures have few prices and many lines.

    Raises:
        InvalidOperation, OverflowError, ValueError: these are no digits, or too many.
    """
    dollars = Decimal(digits)
    if not -_MOST <= dollars <= _MOST:
        raise ValueError(digits)
    return int((dollars * MICRO).to_integral_value(ROUND_HALF_UP))


ZERO = Usd(0)


def total(amounts: Any) -> Usd:
    """Add up amounts; nothing at all is zero."""
    return Usd(sum(amount.micro for amount in amounts))
