"""What does a source of records look like to the folding, whatever its file format?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from producers.feeds.formats import Format


class Record(NamedTuple):
    """One record of a feed.

    ``row`` counts records, the heading being 1 (JSON Lines: the line). ``problem`` says why the
    record can't be read; then ``content`` may be None.
    """

    row: int
    content: Any
    problem: str = ""


class Source(Protocol):
    """A feed's records, and the fields' values in each."""

    format: Format
    columns: tuple[str, ...]

    def records(self) -> Iterator[Record]:
        """Read the records from the start; records without any content are left out."""

    def values(self, content: Any, field: str) -> list[str]:
        """Give a field's values in a record, from the likeliest column first; no empty ones."""

    def first(self, content: Any, field: str) -> list[str]:
        """Give the values of the first column that has any."""

    def slots(self, content: Any, field: str) -> list[str]:
        """Give the cells of a numbered field, empty ones too: the place counts."""

    def fields(self) -> frozenset[str]:
        """Name the fields that records can have a value of; the others are not worth a look."""

    def column(self, field: str) -> str | None:
        """Name the column that a field is read from, as the file spells it."""

    def options(self) -> tuple[str, ...]:
        """Name the fields of options that have a column of their own."""

    def children(self, content: Any) -> list[Any]:
        """Give the variants that are written inside a record."""


class View(NamedTuple):
    """One record seen through its source; ``fields`` are the source's."""

    source: Source
    fields: frozenset[str]
    content: Any

    def values(self, field: str) -> list[str]:
        """Give a field's values."""
        if self.content is None or field not in self.fields:
            return []
        return self.source.values(self.content, field)

    def first(self, field: str) -> list[str]:
        """Give the values of the first column that has any."""
        return self.source.first(self.content, field) if field in self.fields else []

    def slots(self, field: str) -> list[str]:
        """Give a numbered field's cells by place."""
        return self.source.slots(self.content, field) if field in self.fields else []
