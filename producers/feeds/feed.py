"""Which products does a shop's catalog export hold?

``open_feed`` decides what the file is, or says why it can't be used; ``Feed.products`` then reads
it as a stream. Products and rejected rows account for every row read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog.product import Product, RejectedRow
from producers.feeds.detect import Recognised, recognise
from producers.feeds.errors import FeedError, named
from producers.feeds.fold import Notes
from producers.feeds.formats import FIELDS, IMAGE_FIELDS, Kind
from producers.feeds.grouping import Folded, fold_records
from producers.feeds.survey import Survey, survey
from producers.feeds.table import twins

__all__ = ["FIELDS", "Feed", "FeedError", "FeedFacts", "Folded", "open_feed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFacts:
    """What a feed file is; ``why`` says how that was found out.

    ``sha256`` and ``bytes`` are those of the file as given, compressed or not.
    """

    name: str
    sha256: str
    bytes: int
    format: str
    encoding: str
    delimiter: str | None
    why: str
    columns: tuple[str, ...]


class Feed:
    """A feed that can be read, any number of times.

    ``rows_read`` and ``warnings`` are complete when an iteration has ended.
    """

    def __init__(self, found: Survey, recognised: Recognised) -> None:
        self._survey = found
        self._source = recognised.source
        self.facts = _facts(found, recognised)
        self._standing = [*found.warnings, *_doubts(recognised)]
        self.warnings = list(self._standing)
        self.rows_read = 0

    def products(self) -> Iterator[Product | RejectedRow]:
        """Read products and rejected rows, as they become complete.

        Raises:
            FeedError: the file can't be read on from some row.
        """
        return (folded.outcome for folded in self.folded())

    def folded(self) -> Iterator[Folded]:
        """Read as ``products``, each with the numbers of the rows it was made of."""
        notes = Notes()
        self.rows_read = 0
        folds = fold_records(
            self._source, notes, name=self.facts.name, text_bytes=self._survey.text_bytes
        )
        for folded in folds:
            self.rows_read += len(folded.rows)
            yield folded
        has_sku_column = self._source.column("sku") is not None
        self.warnings = [*self._standing, *notes.sentences(has_sku_column=has_sku_column)]


def open_feed(path: Path, *, format: str | None, mapping: Mapping[str, str]) -> Feed:  # noqa: A002
    """Find out what a feed file is; reads it once, for its hash and its encoding.

    ``format`` overrides the detection; ``mapping`` says which column a field of ``FIELDS`` is read
    from (for JSON a dotted path, such as ``images.0.src``; several columns are joined by ``|``).

    Raises:
        FeedError: the file can't be used as a whole; the message says what to do.
    """
    found = survey(path)
    return Feed(found, recognise(found, format, mapping))


def _facts(found: Survey, recognised: Recognised) -> FeedFacts:
    return FeedFacts(
        name=found.path.name,
        sha256=found.sha256,
        bytes=found.size_bytes,
        format=recognised.source.format.name,
        encoding=found.encoding,
        delimiter=recognised.delimiter,
        why=recognised.why,
        columns=tuple(column.strip() for column in recognised.source.columns),
    )


def _doubts(recognised: Recognised) -> Iterator[str]:
    source = recognised.source
    if not any(source.column(field) for field in IMAGE_FIELDS):
        yield (
            "no column is read as a photo link, so no product has a photo; name one with "
            "--map image=COLUMN"
        )
    if source.format.kind is Kind.TABLE and (doubled := twins(source.columns)):
        yield f"headings stand more than once: {named(doubled)}; the first of each counts"
