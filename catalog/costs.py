"""Where did the money go? What ``skuscene costs --json`` prints."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from catalog.money import ZERO, Usd
from catalog.renders import Tokens
from catalog.wire import ImportId, Wire

Dimension = Literal["import", "model", "scene", "day", "status"]


class CallSum(Wire):
    """Calls of one kind, and what they cost."""

    calls: int = 0
    usd: Usd = ZERO


class WithoutPicture(Wire):
    """Calls that brought no picture.

    ``no_picture`` and ``blocked`` are part of what was spent. ``not_sold`` costs nothing: an error,
    a rate limit, a key that was refused. ``doubtful`` was never answered and may have been billed:
    its money is part of no sum.
    """

    no_picture: CallSum = CallSum()
    blocked: CallSum = CallSum()
    not_sold: CallSum = CallSum()
    doubtful: CallSum = CallSum()


class CostSum(Wire):
    """What some calls came to.

    ``spent_usd`` is without ``doubtful_usd``; ``without_picture_usd`` is a part of it. ``accepted``
    are pictures that were bought and whose render succeeded. ``usd_per_accepted`` is all that was
    spent over those, ``null`` without one.
    """

    spent_usd: Usd = ZERO
    doubtful_usd: Usd = ZERO
    without_picture_usd: Usd = ZERO
    calls: int = 0
    pictures: int = 0
    accepted: int = 0
    doubtful_calls: int = 0
    usd_per_accepted: Usd | None = None


class CostRow(CostSum):
    """The same for one import, model, scene, UTC day or status.

    The status is that of the call's render; ``open`` if it has none yet.
    """

    name: str


class BillRow(Wire):
    """A UTC day of one model, to be held against the provider's bill.

    ``usd`` is ``tokens`` times the prices that held for the worker; doubtful calls stand apart,
    and no tokens are known of them.
    """

    day: date
    platform: str
    lane: str
    model: str
    calls: int
    pictures: int
    tokens: Tokens
    usd: Usd
    doubtful_calls: int
    doubtful_usd: Usd


class AnsweredModel(Wire):
    """Which model said that it answered where one was asked; ``is_same`` is false for another."""

    asked: str
    answered: str
    calls: int
    is_same: bool


class CostReport(Wire):
    """What ``costs --json`` prints.

    ``since`` is the first UTC day that counts, ``null`` for all. ``by`` has the tables that were
    asked for, else all five. ``outside_ledger`` are pictures that only their records tell of: the
    line is not written yet, or was lost with its process.
    """

    import_id: ImportId | None
    since: date | None
    total: CostSum
    without_picture: WithoutPicture
    by: dict[Dimension, tuple[CostRow, ...]]
    bill: tuple[BillRow, ...]
    models_answered: tuple[AnsweredModel, ...]
    outside_ledger: int = Field(ge=0)
    unreadable_lines: int = Field(ge=0)
    warnings: tuple[str, ...]
