"""``skuscene quota``: how much may be asked of a model, as set and as found?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.table import Table

from catalog.settings import read_settings
from producers import display
from producers.exits import Exit
from producers.limiting import LaneReport, lanes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_COLUMNS = (
    "model",
    "pool",
    "project",
    "set /min",
    "found /min",
    "last min",
    "in flight",
    "most",
    "refused",
    "held s",
)


def run_quota(options: argparse.Namespace) -> int:
    """Show what is set and what was learnt of the model's limits."""
    found = lanes(read_settings())
    if options.json:
        shape = {"lanes": [lane.to_dict() for lane in found]}
        sys.stdout.write(json.dumps(shape, indent=2) + "\n")
    elif found:
        display.out().print(_table(found))
    else:
        display.say("no call to a model has been made through this Redis yet")
    return Exit.DONE


def _table(found: Sequence[LaneReport]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(
            name,
            justify="left" if name in {"model", "pool", "project"} else "right",
            no_wrap=True,
            overflow="ignore",
        )
    for report in found:
        now, limits = report.standing, report.limits
        calls = now.answered + now.refused
        share = f"{now.refused / calls:.1%}" if calls else "-"
        most = min((one for one in (limits.calls_in_flight, now.most_open) if one), default=0)
        table.add_row(
            now.lane.model,
            now.lane.pool,
            now.lane.project,
            str(limits.requests_per_minute or "-"),
            _number(now.told_per_minute or now.found_per_minute),
            str(now.let_in_last_minute),
            str(now.open),
            _number(most),
            share,
            f"{now.hold_s:.1f}",
        )
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value else "-"
