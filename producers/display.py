"""How do results and progress look to a person?

Results go to standard output; talk and progress to standard error.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from catalog.imports import DryRun
    from catalog.results import ImportStatus
    from producers.planning import Plan
    from producers.verifying import Verification

_STYLES = {
    "succeeded": "green",
    "reused": "cyan",
    "review": "yellow",
    "blocked": "magenta",
    "failed": "red",
    "cancelled": "dim",
    "open": "white",
}


def out() -> Console:
    """Standard output."""
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    return console if console.is_terminal else Console(file=sys.stdout, width=200)


def talk() -> Console:
    """Standard error."""
    return Console(file=sys.stderr, soft_wrap=True, highlight=False)


def say(message: str) -> None:
    """Tell the person something, on standard error."""
    talk().print(Text(message))


@contextlib.contextmanager
def planning() -> Iterator[Callable[[Plan], None]]:
    """Show how far planning is, on a terminal."""
    console = talk()
    if not console.is_terminal:
        yield lambda _plan: None
        return
    with console.status("planning") as spinner:

        def show(plan: Plan) -> None:
            if plan.products % 50 == 1:
                spinner.update(
                    f"planning: {plan.products} products, {plan.renders} renders, "
                    f"{len(plan.rejected)} rejected rows"
                )

        yield show


@contextlib.contextmanager
def watching() -> Iterator[Callable[[ImportStatus], None]]:
    """Show an import's progress: live on a terminal, a line per change elsewhere."""
    console = talk()
    if not console.is_terminal:
        last = ""

        def line(status: ImportStatus) -> None:
            nonlocal last
            now = _one_line(status)
            if now != last:
                console.print(now)
                last = now

        yield line
        return
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield lambda status: live.update(_panel(status))


def _one_line(status: ImportStatus) -> str:
    renders = status.renders
    told = ", ".join(
        f"{getattr(renders, name)} {name}" for name in _STYLES if getattr(renders, name)
    )
    return f"{status.import_id}: {status.state}: {told or 'nothing yet'}"


def _panel(status: ImportStatus) -> Group:
    renders = status.renders
    counts = Text("  ").join(
        Text(f"{getattr(renders, name)} {name}", style=style)
        for name, style in _STYLES.items()
        if getattr(renders, name)
    )
    head = Text.assemble(
        (status.import_id, "bold"),
        "  ",
        (status.state, "bold green" if status.state == "complete" else "bold"),
        f"  {status.reason}" if status.reason else "",
    )
    bar = ProgressBar(total=max(1, renders.expected), completed=renders.settled, width=60)
    tail = Text(
        f"{renders.settled} of {renders.expected} renders · shards {status.shards.committed}/"
        f"{status.shards.total} · {status.cost_usd.spent} of about {status.cost_usd.estimated} USD"
        + (f" · {_duration(status.eta_s)} to go" if status.eta_s else ""),
        style="dim",
    )
    return Group(head, bar, counts, tail)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def status_table(statuses: Sequence[ImportStatus]) -> Table:
    """All imports, a line each."""
    table = Table(box=None, pad_edge=False)
    for name in ("import", "state", "renders", "ok", "reused", "failed", "open", "spent USD"):
        table.add_column(
            name,
            justify="left" if name in {"import", "state"} else "right",
            # An id that is cut off can't be copied into the next command.
            no_wrap=True,
            overflow="ignore",
        )
    for status in statuses:
        renders = status.renders
        state = f"{status.state} ({status.reason})" if status.reason else status.state
        table.add_row(
            status.import_id,
            state,
            str(renders.expected),
            str(renders.succeeded),
            str(renders.reused),
            str(renders.failed + renders.blocked),
            str(renders.open),
            str(status.cost_usd.spent),
        )
    return table


def status_text(status: ImportStatus) -> str:
    """One import, in full."""
    renders = status.renders
    lines = [
        f"{status.import_id}: {status.state}" + (f" ({status.reason})" if status.reason else ""),
        f"  rows      {status.rows.read} read, {status.rows.rejected} rejected",
        f"  products  {status.products}",
        f"  renders   {renders.expected} = "
        + " + ".join(f"{getattr(renders, name)} {name}" for name in _STYLES),
        (
            f"  cost      {status.cost_usd.spent} USD spent, {status.cost_usd.doubtful} doubtful, "
            f"{status.cost_usd.estimated} estimated"
        ),
        f"  shards    {status.shards.committed} of {status.shards.total} committed",
    ]
    if status.eta_s:
        lines.append(f"  to go     about {_duration(status.eta_s)}")
    return "\n".join(lines)


def dry_run_text(plan: DryRun, feed: str) -> str:
    """What an import would do and cost."""
    lines = [
        f"{feed}: {plan.format}, {plan.encoding}, {plan.rows} rows",
        (
            f"  {plan.products} products with {plan.variants} variants; "
            f"{plan.with_reference} have a photo"
        ),
        f"  {plan.rejected} rejected rows"
        + "".join(f"\n    {count:>6}  {reason}" for reason, count in plan.reasons.items()),
        f"  {plan.renders} renders with {plan.model['id']}",
        *(
            f"    {count.renders:>6}  {cause:<10} {count.estimated_usd} USD"
            for cause, count in plan.causes.items()
        ),
        *_price_lines(plan),
        *(f"  not known: {what}" for what in plan.unknown),
        "  nothing was enqueued",
    ]
    return "\n".join(lines)


def _price_lines(plan: DryRun) -> Iterator[str]:
    now, later = plan.estimate_range_usd.standard, plan.estimate_range_usd.batch
    yield f"  about {plan.estimate_usd.standard} USD now, {now.low} to {now.high}"
    yield (
        f"     or {plan.estimate_usd.batch} USD in batches (within 24 hours), "
        f"{later.low} to {later.high}"
    )
    for size, part in plan.by_size.items():
        yield (
            f"    {part.renders:>6}  {size:<10} {part.estimate_usd.standard} USD now, "
            f"{part.estimate_usd.batch} in batches"
        )
    if plan.estimate_usd.standard:
        yield f"  expected after the {plan.estimate_basis}"
    if plan.seconds_at_quota is not None:
        yield f"  at least {_duration(plan.seconds_at_quota)} at the limits that are set"


def verification_text(report: Verification) -> str:
    """What reading every object showed."""
    head = (
        f"{report.import_id} r{report.revision}: {report.objects} objects, "
        f"{report.bytes / 1e6:.1f} MB read: "
    )
    if report.holds:
        return head + "all as the manifest says"
    told = [
        f"  {found.kind:<10} {found.key}: expected {found.expected}, found {found.found}\n"
        f"             {found.cure}"
        for found in report.problems
    ]
    return "\n".join([f"{head}{len(told)} differ", *told])


@contextlib.contextmanager
def verifying() -> Iterator[Callable[[int], None]]:
    """Show how many objects were read: live on a terminal, every thousand elsewhere."""
    console = talk()
    if not console.is_terminal:
        yield lambda count: None if count % 1_000 else console.print(f"{count} objects read")
        return
    with console.status("verifying") as spinner:
        yield lambda count: spinner.update(f"verifying: {count} objects read")


@contextlib.contextmanager
def counting(words: str) -> Iterator[Callable[[int], None]]:
    """Show how far some reading is, on a terminal; ``words`` has a place for the number."""
    console = talk()
    if not console.is_terminal:
        yield lambda _count: None
        return
    with console.status(words.format(0)) as spinner:
        yield lambda count: spinner.update(words.format(count))
