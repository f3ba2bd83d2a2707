"""Which records does a delimited text file hold?"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from producers.feeds.errors import FeedError
from producers.feeds.formats import OPTION_PREFIX, Format, folded
from producers.feeds.records import Record
from producers.feeds.survey import Survey

CELL_MAX_CHARS = 10_000_000
DELIMITERS = (",", ";", "\t", "|")
SAMPLE_ROWS = 50
_NO_TEXT = "".join(DELIMITERS) + "\"' \r\n"
_SEP_LINE = "sep="
"""Excel's own first line, which names the delimiter and is no record."""
_SEP_LENGTH = len(_SEP_LINE) + 1
_SEP_DELIMITERS = frozenset(",;\t|:^~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A table's columns as spelled, with a look at the rows below them."""

    delimiter: str
    columns: tuple[str, ...]
    samples: tuple[tuple[str, ...], ...]
    skipped_lines: int = 0


class TableSource:
    """Records of a table with a heading."""

    def __init__(
        self, found: Survey, layout: Format, heading: Heading, places: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.format = layout
        self.columns = heading.columns
        self._survey = found
        self._heading = heading
        self._places = places
        self._fields = frozenset(places)
        self._options = tuple(field for field in places if field.startswith(OPTION_PREFIX))

    def records(self) -> Iterator[Record]:
        """Read the records below the heading."""
        with self._survey.text() as stream:
            yield from _records(stream, self._heading, name=self._survey.path.name)

    def values(self, content: Sequence[str], field: str) -> list[str]:
        """Give the field's cells that are not empty; missing cells at a row's end are."""
        places = self._places.get(field)
        if places is None:
            return []
        length = len(content)
        return [cell for at in places if at < length and (cell := content[at].strip())]

    def first(self, content: Sequence[str], field: str) -> list[str]:
        """Give the first cell that is not empty."""
        return self.values(content, field)[:1]

    def slots(self, content: Sequence[str], field: str) -> list[str]:
        """Give the field's cells by place; missing ones are empty."""
        length = len(content)
        return [content[at].strip() if at < length else "" for at in self._places.get(field, ())]

    def fields(self) -> frozenset[str]:
        """Name the fields that have a column."""
        return self._fields

    def column(self, field: str) -> str | None:
        """Name the field's first column."""
        places = self._places.get(field)
        return self.columns[places[0]].strip() if places else None

    def options(self) -> tuple[str, ...]:
        """Name the ``option:`` fields that have a column."""
        return self._options

    def children(self, content: Sequence[str]) -> list[Sequence[str]]:  # noqa: ARG002
        """Give nothing: a table's row holds no rows."""
        return []


def read_heading(found: Survey) -> Heading:
    """Find the delimiter and the heading: the delimiter under which there are most columns.

    Raises:
        FeedError: there is no record below the heading.
    """
    skipped, named_delimiter, head = _sep_line(found.head)
    is_whole = found.text_bytes <= len(found.head)
    tried = [
        _try(head, delimiter, skipped, is_whole=is_whole)
        for delimiter in ([named_delimiter] if named_delimiter else DELIMITERS)
    ]
    best = max(tried, key=lambda heading: (len(set(heading.columns)), _even(heading)))
    if not best.columns or not found.head.strip(_NO_TEXT):
        raise FeedError(f"{found.path.name}: the file holds blank lines only; export it again")
    if is_whole and not best.samples:
        raise FeedError(
            f"{found.path.name}: there is a heading of {len(best.columns)} columns and no row "
            "below it; export the products too"
        )
    return best


def twins(columns: Sequence[str]) -> list[str]:
    """Name the columns whose heading stands more than once."""
    plain = [folded(column) for column in columns]
    return [c.strip() for at, c in enumerate(columns) if plain[at] and plain[at] in plain[:at]]


def _records(stream: IO[str], heading: Heading, *, name: str) -> Iterator[Record]:
    lines = _Lines(stream, name=name)
    for _ in range(heading.skipped_lines):
        lines.skip()
    csv.field_size_limit(CELL_MAX_CHARS)
    reader = csv.reader(lines, delimiter=heading.delimiter)
    width, row = len(heading.columns), 0
    try:
        for cells in reader:
            if not cells:  # a blank line is no record
                lines.forget()
                continue
            is_blank = not any(map(str.strip, cells))
            row += bool(row) or not is_blank
            if row > 1 and not is_blank:
                yield Record(row, cells, _misfit(cells, width) or lines.unclosed())
            lines.forget()
    except csv.Error as exc:
        raise FeedError(
            f"{name}: record {row + 1}, which begins in line {lines.begun}, can't be read ({exc}); "
            "mostly a quotation mark that is never closed"
        ) from exc


class _Lines:
    """The lines of a stream, bounded; knows where the record being read began."""

    def __init__(self, stream: IO[str], *, name: str) -> None:
        self._stream = stream
        self._name = name
        self._at_end = False
        self._line = 0
        self.begun = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(CELL_MAX_CHARS + 1)
        if not line:
            self._at_end = True
            raise StopIteration
        self._line += 1
        if len(line) > CELL_MAX_CHARS:
            raise FeedError(
                f"{self._name}: line {self._line} is longer than {CELL_MAX_CHARS} characters; "
                "this is no table with one record per line"
            )
        return line

    def skip(self) -> None:
        """Pass over a line that is no record."""
        next(self, "")
        self.forget()

    def forget(self) -> None:
        """Begin the next record."""
        self.begun = self._line + 1

    def unclosed(self) -> str:
        """Say so if the record ran to the file's end inside quotation marks; else empty."""
        # The reader asks for a line behind the last one only while a quotation is open.
        if not self._at_end:
            return ""
        return (
            f"a quotation mark opened in line {self.begun} or below is never closed, so the rest "
            "of the file reads as one cell; close it, or export the file again"
        )


def _misfit(cells: Sequence[str], width: int) -> str:
    if len(cells) <= width or not any(cell.strip() for cell in cells[width:]):
        return ""
    return (
        f"{len(cells)} cells under {width} headings; a cell that holds the delimiter must stand "
        "in quotation marks"
    )


def _sep_line(head: str) -> tuple[int, str, str]:
    first = head.split("\n", 1)[0].strip('\r\n"')
    is_sep = len(first) == _SEP_LENGTH and first.lower().startswith(_SEP_LINE)
    if is_sep and first[-1] in _SEP_DELIMITERS:
        return 1, first[-1], head.partition("\n")[2]
    return 0, "", head


def _try(head: str, delimiter: str, skipped: int, *, is_whole: bool) -> Heading:
    csv.field_size_limit(CELL_MAX_CHARS)
    rows: list[tuple[str, ...]] = []
    try:
        sample = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
        for cells in sample:
            if cells and (rows or any(cell.strip() for cell in cells)):
                rows.append(tuple(cells))
            if len(rows) > SAMPLE_ROWS:
                break
        else:
            # The head may end inside its last record, but a heading is always one.
            rows = rows if is_whole else rows[: max(1, len(rows) - 1)]
    except csv.Error:
        rows = rows[:1]
    return Heading(
        delimiter=delimiter,
        columns=rows[0] if rows else (),
        samples=tuple(rows[1:]),
        skipped_lines=skipped,
    )


def _even(heading: Heading) -> int:
    return sum(1 < len(row) <= len(heading.columns) for row in heading.samples)
