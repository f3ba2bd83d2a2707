"""What did imports cost so far, when Redis does not know it any more?

The ledger has a line for every call that left no take, and for pictures whose line was not lost
with its process; result parts have what committed renders cost. Redis takes over whatever is more
than it knows. A picture that stands in neither is counted when its render is settled.
"""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from catalog import keys
from catalog.money import Usd
from catalog.open_calls import count_of
from catalog.renders import LedgerLine
from catalog.results import ResultLine
from worker import plans
from worker.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from catalog.imports import Import
    from catalog.open_calls import OpenCall
    from catalog.store.port import Store
    from worker.ports import Desk

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """Of one import: micro-USD per slot (``<part>/<slot>``), and what its slots went through."""

    doubtful: int = 0
    money: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)


def rebuild_money(desk: Desk, import_ids: Sequence[str]) -> None:
    """Tell Redis what these imports have cost and tried; reads the ledger since the oldest began.

    Costs a read per ledger segment and per results part.
    """
    imports = list(_readable(desk.store, import_ids))
    open_calls = {call.call: call for call in desk.calls.open_calls()}
    starts = [imported.created_at for imported in imports]
    starts += [call.line.at for call in open_calls.values()]
    if not starts:
        return
    known = {imported.import_id: _Known() for imported in imports}
    since = min(starts)
    for line in ledger_lines(desk.store, since=since, until=desk.clock()):
        if line.call in open_calls:
            _end(desk, open_calls[line.call], line)
        if line.import_id in known:
            _count(known[line.import_id], line)
    for imported in imports:
        _tell(desk, imported, known[imported.import_id])


def _end(desk: Desk, call: OpenCall, line: LedgerLine) -> None:
    """End a call that is in the ledger: it was open in the file that Redis read, at most."""
    if call.state == "open":
        desk.calls.bury(call, line)
    if line.outcome == "picture":
        desk.state.drop_spooled(line.render_id)
    desk.calls.close(call)


def doubtful_usd(desk: Desk, imported: Import) -> Usd:
    """What the ledger knows of an import's calls that were never answered."""
    lines = ledger_lines(desk.store, since=imported.created_at, until=desk.clock())
    ours = (line for line in lines if line.import_id == imported.import_id)
    return Usd(sum(line.cost_usd.micro for line in ours if line.outcome == "doubtful"))


def ledger_lines(store: Store, *, since: datetime, until: datetime) -> Iterator[LedgerLine]:
    """Every line of some UTC days of the ledger."""
    day = since.astimezone(UTC).date()
    while day <= until.astimezone(UTC).date():
        for entry in store.list(keys.ledger_day(day.isoformat())):
            found = store.read(entry.key)
            for line in found.content.splitlines() if found else ():
                try:
                    yield LedgerLine.from_json(line)
                except ValidationError as exc:  # somebody else's, or damaged: the others count
                    log.warning("ledger_line_unreadable", key=entry.key, error=str(exc)[:200])
        day += timedelta(days=1)


def _readable(store: Store, import_ids: Sequence[str]) -> Iterator[Import]:
    for import_id in import_ids:
        try:
            yield plans.read_import(store, import_id)
        except (ValidationError, Refused):  # one broken import must not keep the others waiting
            log.exception("import_broken", import_id=import_id)


def _count(known: _Known, line: LedgerLine) -> None:
    part, slot = line.claim.rsplit("/", 2)[-2:]
    at = f"{part}:{slot}"
    if line.outcome == "doubtful":
        known.doubtful += line.cost_usd.micro
    else:
        known.money[at] += line.cost_usd.micro
        known.facts[f"m:{at}"] += line.cost_usd.micro
        if line.outcome != "picture":
            known.facts[f"w:{at}"] += line.cost_usd.micro
    if count_of(line):
        known.facts[f"{count_of(line)}:{at}"] += 1


def _tell(desk: Desk, imported: Import, known: _Known) -> None:
    committed: set[int] = set()
    for part in imported.parts:
        found = desk.store.read(keys.results_part(imported.import_id, part.part, 1))
        if found is None:
            continue
        committed.add(part.part)
        for at, line in enumerate(gzip.decompress(found.content).splitlines()):
            slot = f"{part.part}:{at}"
            cost = ResultLine.from_json(line).cost_usd.micro
            known.money[slot] = max(known.money[slot], cost)
    open_facts = {
        name: value
        for name, value in known.facts.items()
        if value and int(name.split(":")[1]) not in committed
    }
    desk.calls.rebuild(
        imported.import_id,
        spent=sum(known.money.values()),
        doubtful=known.doubtful,
        slots=open_facts,
    )
