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
from catalog.money import ZERO, Usd
from catalog.open_calls import count_of
from catalog.renders import LedgerLine
from catalog.results import ResultLine
from catalog.revisions import open_revision
from worker import plans, revisions
from worker.errors import Refused, TryLater

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    from catalog.imports import Import
    from catalog.open_calls import OpenCall
    from catalog.store.port import Store
    from worker.ports import Desk
    from worker.revisions import Revision

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Known:
    """Of one import: micro-USD per slot (``<part>:<slot>``), and what its slots went through.

    ``facts`` are of the revision that is being made: a retry's attempts begin anew.
    """

    imported: Import
    revision: Revision
    doubtful: int = 0
    money: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)


def rebuild_money(desk: Desk, import_ids: Sequence[str]) -> None:
    """Tell Redis what these imports have cost and tried; reads the ledger since the oldest began.

    Costs a read per ledger segment and per results part.
    """
    known = {found.imported.import_id: found for found in _readable(desk.store, import_ids)}
    open_calls = {call.call: call for call in desk.calls.open_calls()}
    starts = [found.imported.created_at for found in known.values()]
    starts += [call.line.at for call in open_calls.values()]
    if desk.limits.budget_per_day_micro is not None:
        # Today's calls count against the day's budget, whatever import they were for.
        starts.append(desk.clock() - timedelta(days=1))
    if not starts:
        return
    since = min(starts)
    seen: set[str] = set()
    days: Counter[date] = Counter()
    for line in ledger_lines(desk, since=since):
        if line.call and line.call in seen:
            continue
        seen.add(line.call)
        days[line.at.astimezone(UTC).date()] += line.cost_usd.micro
        if line.call in open_calls:
            _end(desk, open_calls[line.call], line, known.get(line.import_id))
        if line.import_id in known:
            _count(known[line.import_id], line)
    _tell_days(desk, days)
    for import_id, found in known.items():
        try:
            _tell(desk, found)
        except TryLater:  # a results part is damaged: the others must not wait for it
            log.exception("import_broken", import_id=import_id)


def _tell_days(desk: Desk, days: Counter[date]) -> None:
    if desk.limits.budget_per_day_micro is None:
        return
    today = desk.clock().astimezone(UTC).date()
    for day in (today - timedelta(days=1), today):
        desk.calls.rebuild_day(day, days[day])


def _end(desk: Desk, call: OpenCall, line: LedgerLine, known: _Known | None) -> None:
    """End a call that is in the ledger: it was open in the file that Redis read, at most."""
    if call.state == "open":
        if known is not None and line.revision != known.revision.number:
            # That revision was published: its lines have what it cost.
            line = line.changed(outcome="not_sold", cost_usd=ZERO, attempt=False)
        desk.calls.bury(call, line)
    if line.outcome == "picture":
        desk.leases.drop_spooled(line.render_id)
    desk.calls.close(call)


def doubtful_usd(desk: Desk, imported: Import) -> Usd:
    """What the ledger knows of an import's calls that were never answered."""
    lines = ledger_lines(desk, since=imported.created_at)
    ours = (line for line in lines if line.import_id == imported.import_id)
    return Usd(sum(line.cost_usd.micro for line in ours if line.outcome == "doubtful"))


def ledger_lines(desk: Desk, *, since: datetime) -> Iterator[LedgerLine]:
    """Every line of the ledger from a UTC day on."""
    for segment in desk.read_all(desk.store, _segments(desk, since)):
        for line in segment.content.splitlines() if segment else ():
            try:
                yield LedgerLine.from_json(line)
            except ValidationError as exc:  # somebody else's, or damaged: the others count
                log.warning("ledger_line_unreadable", error=str(exc)[:200])


def _segments(desk: Desk, since: datetime) -> Iterator[str]:
    day = since.astimezone(UTC).date()
    while day <= desk.clock().astimezone(UTC).date():
        yield from [entry.key for entry in desk.store.list(keys.ledger_day(day.isoformat()))]
        day += timedelta(days=1)


def _readable(store: Store, import_ids: Sequence[str]) -> Iterator[_Known]:
    for import_id in import_ids:
        try:
            number = open_revision(store, import_id) or 1
            yield _Known(
                imported=plans.read_import(store, import_id),
                revision=revisions.read_revision(store, import_id, number),
            )
        except (ValidationError, Refused):  # one broken import must not keep the others waiting
            log.exception("import_broken", import_id=import_id)


def _count(known: _Known, line: LedgerLine) -> None:
    part, slot = line.claim.rsplit("/", 2)[-2:]
    at = f"{part}:{slot}"
    if line.outcome == "doubtful":
        known.doubtful += line.cost_usd.micro
    else:
        known.money[at] += line.cost_usd.micro
    if line.revision != known.revision.number:
        return
    if line.outcome != "doubtful":
        known.facts[f"m:{at}"] += line.cost_usd.micro
        if line.outcome != "picture":
            known.facts[f"w:{at}"] += line.cost_usd.micro
    if count_of(line):
        known.facts[f"{count_of(line)}:{at}"] += 1
        known.reasons[at] = line.reason or ""


def _count_before(desk: Desk, known: _Known, part: int) -> None:
    """What a shard that was opened again cost before, as its lines say."""
    before = revisions.reopened(desk.store, known.revision, part)
    for slot, line in {**before.kept, **before.again}.items():
        at, cost = f"{part}:{slot}", line.cost_usd.micro
        known.money[at] = max(known.money[at], cost + known.facts[f"m:{at}"])
        if slot in before.again:
            known.facts[f"m:{at}"] += cost
            known.facts[f"w:{at}"] += cost


def _tell(desk: Desk, known: _Known) -> None:
    imported = known.imported
    committed: set[int] = set()
    for part in imported.parts:
        stays = known.revision.keeps(part.part)
        key = keys.results_part(imported.import_id, part.part, known.revision.number)
        found = desk.store.read(stays.key if stays else key)
        if found is None:
            _count_before(desk, known, part.part)
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
        reasons={
            at: reason
            for at, reason in known.reasons.items()
            if int(at.split(":")[0]) not in committed
        },
    )
