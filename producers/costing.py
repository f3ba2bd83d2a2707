"""Where did the money go, by import, model, scene, day and status?

1. Read the ledger's lines into a table on this machine's disk: memory stays flat, and a call whose
   line stands twice is there once.
2. Read the results parts of the imports that were found: how did each call's render end, and is
   there a picture whose line was lost with its process? Its record tells of the purchase.
3. Add up.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import sqlite3
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from catalog import keys
from catalog.costs import (
    AnsweredModel,
    BillRow,
    CallSum,
    CostReport,
    CostRow,
    CostSum,
    Dimension,
    WithoutPicture,
)
from catalog.imports import Import
from catalog.models import is_answer_of
from catalog.money import Usd
from catalog.renders import LedgerLine, Purchase, RenderRecord, Tokens
from catalog.results import Manifest, Status
from catalog.revisions import open_revision
from catalog.store.reading import read_at_once
from producers.reporting import UnknownImport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from catalog.store.port import Store

DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)

_BATCH = 1_000
_PART = re.compile(r"/part-(\d+)\.r(\d+)\.jsonl\.gz$")
_DAY = re.compile(r"^ledger/(\d{4}-\d{2}-\d{2})/")

# An empty name is a private file that SQLite removes itself; it spills there what its cache of
# 16 MB does not hold.
_PRIVATE_FILE = ""
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE calls (
    call TEXT PRIMARY KEY, import TEXT, claim TEXT, day TEXT, scene TEXT,
    model TEXT, answered TEXT, platform TEXT, lane TEXT, outcome TEXT, micro INTEGER,
    input INTEGER, output_image INTEGER, output_text INTEGER, thought INTEGER
) WITHOUT ROWID;
CREATE TABLE ends (claim TEXT PRIMARY KEY, status TEXT) WITHOUT ROWID;
"""
# A call that was given up as doubtful may have been answered after all: the answer counts.
_ADD_CALL = """
INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (call) DO UPDATE SET
    outcome = excluded.outcome, micro = excluded.micro, answered = excluded.answered,
    input = excluded.input, output_image = excluded.output_image,
    output_text = excluded.output_text, thought = excluded.thought
WHERE calls.outcome = 'doubtful' AND excluded.outcome <> 'doubtful'
"""
_ADD_END = "INSERT OR REPLACE INTO ends VALUES (?, ?)"
_SUMS = """
SELECT {name},
    sum(CASE WHEN outcome <> 'doubtful' THEN micro ELSE 0 END),
    sum(CASE WHEN outcome = 'doubtful' THEN micro ELSE 0 END),
    sum(CASE WHEN outcome IN ('no_picture', 'blocked') THEN micro ELSE 0 END),
    count(*),
    sum(outcome = 'picture'),
    sum(outcome = 'picture' AND status = 'succeeded'),
    sum(outcome = 'doubtful')
FROM (SELECT calls.*, coalesce(ends.status, 'open') AS status
      FROM calls LEFT JOIN ends USING (claim))
GROUP BY 1 ORDER BY 1
"""
_NAMES: dict[Dimension, str] = {
    "import": "import",
    "model": "model",
    "scene": "scene",
    "day": "day",
    "status": "status",
}
_BILL = """
SELECT day, platform, lane, model, count(*), sum(outcome = 'picture'),
    sum(input), sum(output_image), sum(output_text), sum(thought),
    sum(CASE WHEN outcome <> 'doubtful' THEN micro ELSE 0 END),
    sum(outcome = 'doubtful'), sum(CASE WHEN outcome = 'doubtful' THEN micro ELSE 0 END)
FROM calls WHERE outcome <> 'not_sold' GROUP BY 1, 2, 3, 4 ORDER BY 1, 4, 2, 3
"""
_ANSWERED = """
SELECT model, answered, count(*) FROM calls WHERE answered <> '' GROUP BY 1, 2 ORDER BY 1, 2
"""


def read_costs(
    store: Store,
    import_id: str | None = None,
    *,
    since: date | None = None,
    by: Sequence[Dimension] = DIMENSIONS,
    is_free: Callable[[str], bool] = lambda _model: False,
    progress: Callable[[int], None] = lambda _lines: None,
) -> CostReport:
    """Add up what the ledger says, of one import or of all, from a UTC day on.

    ``is_free`` tells of a model's id that nobody sells it: it is on no bill. Reads every ledger
    segment of those days and the results parts of each import that it names; ``progress`` hears
    now and then how many lines were read.

    Raises:
        UnknownImport: the store has no such import.
        StoreError: the store can't be read.
    """
    with contextlib.closing(_Book(store)) as book:
        book.read(_span(store, import_id, since), import_id, progress)
        return book.report(import_id, since, by, is_free)


class _Days:
    """UTC days from ``first`` to ``last``, both included; ``None`` leaves an end open."""

    def __init__(self, first: date | None, last: date | None) -> None:
        self.first = first
        self.last = last

    def __contains__(self, day: date) -> bool:
        return (self.first or day) <= day <= (self.last or day)


def _span(store: Store, import_id: str | None, since: date | None) -> _Days:
    if import_id is None:
        return _Days(since, None)
    found = store.read(keys.import_(import_id))
    if found is None:
        msg = f"there is no import {import_id!r} in this store: `skuscene status` lists them"
        raise UnknownImport(msg)
    created = Import.from_json(found.content).created_at.astimezone(UTC).date()
    last = None
    # Before a revision is published, all its calls are concluded.
    if open_revision(store, import_id) is None:
        manifest = store.read(keys.manifest(import_id))
        if manifest is not None:
            last = Manifest.from_json(manifest.content).published_at.astimezone(UTC).date()
    return _Days(max(created, since or created), last)


class _Ended(BaseModel):
    """What is read of a result line; the whole of it would cost five times as much."""

    model_config = ConfigDict(extra="ignore")

    class _Origin(BaseModel):
        bought_by: str

    status: Status
    render_id: str | None
    provenance: _Origin | None


class _Book:
    """The calls, each once, and how their renders ended; on disk while it is open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = sqlite3.connect(_PRIVATE_FILE, isolation_level=None)
        self._table.executescript(_SCHEMA)
        self._unreadable = 0
        self._outside = 0

    def close(self) -> None:
        self._table.close()

    def read(self, days: _Days, import_id: str | None, progress: Callable[[int], None]) -> None:
        lines = self._lines(days, import_id, progress)
        for rows in _batches(_row(call, line) for call, line in lines):
            self._insert(_ADD_CALL, rows)
        self._table.execute("CREATE INDEX calls_claim ON calls (claim)")
        imports = [import_id] if import_id else self._imports()
        for one in imports:
            self._read_results(one, days)

    def _lines(
        self, days: _Days, import_id: str | None, progress: Callable[[int], None]
    ) -> Iterator[tuple[str, LedgerLine]]:
        number = 0
        for segment in read_at_once(self._store, _segments(self._store, days)):
            for at, text in enumerate(segment.content.splitlines() if segment else ()):
                number += 1
                if number % _BATCH == 0:
                    progress(number)
                try:
                    line = LedgerLine.from_json(text)
                except ValidationError:  # somebody else's, or damaged: it is counted and told
                    self._unreadable += 1
                    continue
                if import_id in {None, line.import_id} and line.at.astimezone(UTC).date() in days:
                    # Lines of before calls had ids are told apart by where they stand.
                    yield line.call or f"{segment.key if segment else ''}#{at}", line

    def _imports(self) -> list[str]:
        found = self._table.execute("SELECT DISTINCT import FROM calls ORDER BY 1")
        return [name for (name,) in found]

    def _read_results(self, import_id: str, days: _Days) -> None:
        newest: dict[int, tuple[int, str]] = {}
        for entry in self._store.list(f"{keys.import_folder(import_id)}results/"):
            if match := _PART.search(entry.key):
                part, revision = int(match[1]), int(match[2])
                newest[part] = max(newest.get(part, (0, "")), (revision, entry.key))
        platform = self._platform(import_id)
        for part, (_, key) in sorted(newest.items()):
            found = self._store.read(key)
            if found is not None:
                self._read_part(f"{import_id}/{part}", found.content, days, platform)

    def _platform(self, import_id: str) -> str:
        found = self._store.read(keys.import_(import_id))
        return Import.from_json(found.content).model.platform if found else ""

    def _read_part(self, name: str, content: bytes, days: _Days, platform: str) -> None:
        import_id = name.rpartition("/")[0]
        ends: list[tuple[str, str]] = []
        lost: list[tuple[Any, ...]] = []
        for index, text in enumerate(gzip.decompress(content).splitlines()):
            claim, line = f"{name}/{index}", _Ended.model_validate_json(text)
            ends.append((claim, line.status.value))
            ours = line.provenance is not None and line.provenance.bought_by == import_id
            if ours and line.render_id and not self._knows_picture(claim):
                lost += self._outside_ledger(claim, line.render_id, days, platform)
        self._insert(_ADD_END, ends)
        self._insert(_ADD_CALL, lost)
        self._outside += len(lost)

    def _knows_picture(self, claim: str) -> bool:
        found = self._table.execute(
            "SELECT 1 FROM calls WHERE claim = ? AND outcome = 'picture'", (claim,)
        )
        return found.fetchone() is not None

    def _outside_ledger(
        self, claim: str, render_id: str, days: _Days, platform: str
    ) -> Iterator[tuple[Any, ...]]:
        found = self._store.read(keys.record(render_id))
        if found is None:  # `skuscene verify` says so
            return
        record = RenderRecord.from_json(found.content)
        for take in record.takes:
            bought = take.purchase
            if bought.claim == claim and bought.sent_at.astimezone(UTC).date() in days:
                line = _line_of(record, bought, platform)
                yield _row(bought.call or take.key, line)

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._table.execute("BEGIN")
        self._table.executemany(statement, rows)
        self._table.execute("COMMIT")

    # Adding up -----------------------------------------------------------------------------------

    def report(
        self,
        import_id: str | None,
        since: date | None,
        by: Sequence[Dimension],
        is_free: Callable[[str], bool],
    ) -> CostReport:
        answered = tuple(self._answered())
        return CostReport(
            import_id=import_id,
            since=since,
            total=_total(self._sums("'all'")),
            without_picture=self._without_picture(),
            by={
                dimension: tuple(self._sums(_NAMES[dimension]))
                for dimension in DIMENSIONS
                if dimension in by
            },
            bill=tuple(row for row in self._bill() if not is_free(row.model)),
            models_answered=answered,
            outside_ledger=self._outside,
            unreadable_lines=self._unreadable,
            warnings=tuple(self._warnings(answered)),
        )

    def _sums(self, name: str) -> Iterator[CostRow]:
        for key, *sums in self._table.execute(_SUMS.format(name=name)):
            spent, doubtful, wasted, calls, pictures, accepted, doubts = sums
            yield CostRow(
                name=key,
                spent_usd=Usd(spent),
                doubtful_usd=Usd(doubtful),
                without_picture_usd=Usd(wasted),
                calls=calls,
                pictures=pictures,
                accepted=accepted,
                doubtful_calls=doubts,
                usd_per_accepted=Usd(-(-spent // accepted)) if accepted else None,
            )

    def _without_picture(self) -> WithoutPicture:
        found = self._table.execute(
            "SELECT outcome, count(*), sum(micro) FROM calls WHERE outcome <> 'picture' GROUP BY 1"
        )
        sums = {name: CallSum(calls=calls, usd=Usd(micro)) for name, calls, micro in found}
        return WithoutPicture.model_validate(sums)

    def _bill(self) -> Iterator[BillRow]:
        for row in self._table.execute(_BILL):
            day, platform, lane, model, calls, pictures, *tokens, micro, doubts, doubtful = row
            names = ("input", "output_image", "output_text", "thought")
            yield BillRow(
                day=date.fromisoformat(day),
                platform=platform,
                lane=lane,
                model=model,
                calls=calls,
                pictures=pictures,
                tokens=Tokens(**dict(zip(names, tokens, strict=True))),
                usd=Usd(micro),
                doubtful_calls=doubts,
                doubtful_usd=Usd(doubtful),
            )

    def _answered(self) -> Iterator[AnsweredModel]:
        for asked, answered, calls in self._table.execute(_ANSWERED):
            yield AnsweredModel(
                asked=asked, answered=answered, calls=calls, is_same=is_answer_of(asked, answered)
            )

    def _warnings(self, answered: Iterable[AnsweredModel]) -> Iterator[str]:
        for pair in answered:
            if not pair.is_same:
                yield (
                    f"{pair.calls} calls asked {pair.asked} and were answered by {pair.answered}: "
                    f"they are priced as {pair.asked}; compare the provider's bill"
                )
        if self._outside:
            yield (
                f"{self._outside} pictures are counted from their records: the ledger has no line "
                "of them yet (SKUSCENE_LEDGER_FLUSH_S), or lost it with a worker"
            )
        if self._unreadable:
            yield f"{self._unreadable} ledger lines can't be read and are not counted"


def _total(rows: Iterable[CostRow]) -> CostSum:
    for row in rows:
        return CostSum.model_validate({name: getattr(row, name) for name in CostSum.model_fields})
    return CostSum()


def _segments(store: Store, days: _Days) -> Iterator[str]:
    """The ledger's segments that may hold lines of these days."""
    # A segment goes by the day of its first line, and may have been begun before midnight.
    if days.first is None:
        for entry in store.list(keys.ledger_root()):
            named = _DAY.match(entry.key)
            if named and (days.last is None or named[1] <= days.last.isoformat()):
                yield entry.key
        return
    day = days.first - timedelta(days=1)
    last = days.last or datetime.now(UTC).date()
    while day <= last:
        yield from (entry.key for entry in store.list(keys.ledger_day(day.isoformat())))
        day += timedelta(days=1)


def _line_of(record: RenderRecord, bought: Purchase, platform: str) -> LedgerLine:
    return LedgerLine(
        at=bought.sent_at,
        import_id=bought.import_id,
        claim=bought.claim,
        render_id=record.render_id,
        scene=record.scene,
        sku=record.sku,
        take=bought.take,
        outcome="picture",
        model_asked=bought.model_asked,
        model_answered=bought.model_answered,
        platform=platform,
        response_id=bought.response_id,
        tokens=bought.tokens,
        cost_usd=bought.cost_usd,
        run_s=(bought.answered_at - bought.sent_at).total_seconds(),
        worker="",
        call=bought.call,
        revision=bought.revision,
    )


def _row(call: str, line: LedgerLine) -> tuple[Any, ...]:
    tokens = line.tokens
    return (
        call,
        line.import_id,
        line.claim,
        line.at.astimezone(UTC).date().isoformat(),
        line.scene,
        line.model_asked,
        line.model_answered,
        line.platform,
        line.lane,
        line.outcome,
        line.cost_usd.micro,
        tokens.input,
        tokens.output_image,
        tokens.output_text,
        tokens.thought,
    )


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch
