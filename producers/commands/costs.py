"""``skuscene costs``: where did the money go, and does that agree with the provider's bill?"""

from __future__ import annotations

import json
import sys
from datetime import date
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from catalog.models import load_models
from catalog.settings import read_settings
from producers import display
from producers.costing import DIMENSIONS, read_costs
from producers.exits import Exit
from producers.failures import UsageError
from producers.services import reach_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.console import RenderableType

    from catalog.costs import CostReport, CostRow, CostSum, Dimension
    from catalog.money import Usd

_OF_ALL: tuple[Dimension, ...] = ("import", "model")
_OF_ONE: tuple[Dimension, ...] = ("scene", "status")


def run_costs(options: argparse.Namespace) -> int:
    """Add up the ledger."""
    asked = _dimensions(options.by)
    since = _day(options.since)
    settings = read_settings()
    is_free = load_models(settings.models_file).is_preview
    store = reach_store(settings)
    with display.counting("reading the ledger: {} lines") as progress:
        report = read_costs(
            store,
            options.id,
            since=since,
            by=asked or DIMENSIONS,
            is_free=is_free,
            progress=progress,
        )
    if options.json:
        shape = report.model_dump(mode="json")
        sys.stdout.write(json.dumps(shape, ensure_ascii=False, indent=2) + "\n")
    else:
        _print(report, asked or (_OF_ONE if options.id else _OF_ALL))
    for warning in report.warnings:
        display.say(f"warning: {warning}")
    return Exit.DONE


def _dimensions(text: str | None) -> tuple[Dimension, ...]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown:
        msg = f"--by {','.join(unknown)}: there are {', '.join(DIMENSIONS)}"
        raise UsageError(msg)
    return tuple(dimension for dimension in DIMENSIONS if dimension in names)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        msg = f"--since {text!r}: write a UTC day, as in --since 2026-11-22"
        raise UsageError(msg) from exc


def _print(report: CostReport, asked: Sequence[Dimension]) -> None:
    _show(Text(_head(report)))
    for dimension in asked:
        _show(Text(""))
        _show(_sums(dimension, report.by[dimension]))
    if report.bill:
        _show(Text("\nto hold against the provider's bill (UTC days):"))
        _show(_bill(report))
    if report.models_answered:
        _show(Text("\nasked -> answered:"))
    for pair in report.models_answered:
        mark = "" if pair.is_same else "  ANOTHER MODEL"
        _show(Text(f"  {pair.asked} -> {pair.answered}  {pair.calls} calls{mark}"))


def _head(report: CostReport) -> str:
    total, without = report.total, report.without_picture
    what = report.import_id or "all imports"
    since = f" since {report.since} (UTC)" if report.since else ""
    each = f", {_amount(total.usd_per_accepted)} USD each" if total.usd_per_accepted else ""
    return "\n".join(
        (
            f"{what}{since}: {_amount(total.spent_usd)} USD spent in {total.calls} calls",
            f"  pictures  {total.pictures} bought, {total.accepted} accepted{each}",
            (
                f"  without   {without.no_picture.calls} no picture "
                f"({_amount(without.no_picture.usd)} USD), {without.blocked.calls} blocked "
                f"({_amount(without.blocked.usd)} USD), {without.not_sold.calls} not sold"
            ),
            (
                f"  doubtful  {without.doubtful.calls} calls, {_amount(without.doubtful.usd)} USD "
                "at most: part of no sum"
            ),
        )
    )


def _sums(dimension: str, rows: Sequence[CostRow]) -> Table:
    table = _table(dimension, "spent USD", "calls", "pictures", "accepted", "each", "no picture")
    table.add_column("doubtful", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, *_columns(row))
    return table


def _columns(row: CostSum) -> tuple[str, ...]:
    return (
        _amount(row.spent_usd),
        str(row.calls),
        str(row.pictures),
        str(row.accepted),
        _amount(row.usd_per_accepted) if row.usd_per_accepted else "-",
        _amount(row.without_picture_usd),
        _amount(row.doubtful_usd),
    )


def _bill(report: CostReport) -> Table:
    table = _table("day", "calls", "pictures", "input", "picture", "text", "thoughts", "USD")
    table.add_column("doubtful", justify="right", no_wrap=True)
    table.add_column("model")
    for row in report.bill:
        tokens = row.tokens
        lane = "" if row.lane == "standard" else f" ({row.lane})"
        table.add_row(
            row.day.isoformat(),
            str(row.calls),
            str(row.pictures),
            str(tokens.input),
            str(tokens.output_image),
            str(tokens.output_text),
            str(tokens.thought),
            _amount(row.usd),
            _amount(row.doubtful_usd),
            f"{row.model} on {row.platform}{lane}",
        )
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False)
    # A name that is cut off can't be copied into the next command.
    table.add_column(first, no_wrap=True, overflow="ignore")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _amount(amount: Usd) -> str:
    """To the millionth: a bill is compared to the last digit."""
    return f"{amount.micro / 1_000_000:.6f}"


def _show(shown: RenderableType) -> None:
    display.out().print(shown)
