"""Which records belong together, and when is a product complete?

A feed is read twice: once for the keys alone, to learn which of them come back after other
products; then to fold. A product leaves as soon as its last record is read, so that memory holds
the products that still come back and no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from catalog.product import Product, RejectedRow
from catalog.reasons import Rejection
from producers.feeds.entries import ID_MAX_CHARS, Entry, Keyer, entries, rejected, rejection
from producers.feeds.errors import FeedError
from producers.feeds.fold import Notes, fold
from producers.feeds.records import Record, Source

HELD_ROWS_MAX = 1_000_000
"""As many rows of unfinished products may be held at once."""
BITMAP_MIN_BYTES = 1 << 16
BITMAP_MAX_BYTES = 1 << 24


class Folded(NamedTuple):
    """What became of some rows: one product of them all, or one rejection."""

    rows: tuple[int, ...]
    outcome: Product | RejectedRow


def fold_records(source: Source, notes: Notes, *, name: str, text_bytes: int) -> Iterator[Folded]:
    """Fold a feed; products come in the order in which they are complete.

    Every row is in exactly one of the results.

    Raises:
        FeedError: the feed can't be read on, or too many products come back later in the file.
    """
    returning = ReturningKeys(text_bytes)
    returning.scan(source)
    held = _Held(name)
    keyer = Keyer(source)
    run: list[Entry] = []
    for record in source.records():
        key = keyer.key(record)
        if (unusable := rejection(record, key, source)) is not None:
            yield Folded(rows=(record.row,), outcome=unusable)
            continue
        if run and run[0].key != key:
            yield from _closed(run, returning, held, source, notes)
            run = []
        run += entries(record, key, source, notes.cut)
    if run:
        yield from _closed(run, returning, held, source, notes)
    for rest in held.rest():
        yield from _folded(rest, source, notes)


class ReturningKeys:
    """The keys that come back after other products, each with its last row.

    A fixed bitmap tells which keys were seen. It may err by taking a new key for a seen one; such
    a product is merely looked up once more, and is right all the same.
    """

    def __init__(self, text_bytes: int) -> None:
        size = BITMAP_MIN_BYTES
        while size < min(BITMAP_MAX_BYTES, text_bytes // 16):
            size *= 2
        self._bitmap = bytearray(size)
        self._last_rows: dict[int, int] = {}

    def scan(self, source: Source) -> None:
        """Read all keys of a feed."""
        keyer, above, digest = Keyer(source), "", 0
        for record in source.records():
            key = keyer.key(record)
            if not key:
                continue
            if key != above:
                above, digest = key, _digest(key)
                if self._is_new(digest):
                    continue
                self._last_rows[digest] = record.row
            elif digest in self._last_rows:
                self._last_rows[digest] = record.row

    def last_row(self, key: str) -> int:
        """Give the last row of a key that comes back; 0 for one that does not."""
        return self._last_rows.get(_digest(key), 0) if self._last_rows else 0

    def _is_new(self, digest: int) -> bool:
        bits = len(self._bitmap) * 8
        is_new = False
        for probe in (digest & 0xFFFFFFFF, digest >> 32):
            at, bit = divmod(probe % bits, 8)
            if not self._bitmap[at] >> bit & 1:
                self._bitmap[at] |= 1 << bit
                is_new = True
        return is_new


class _Held:
    """Entries of products that come back later in the file.

    In memory, bounded; a table on disk could take its place behind the same three methods.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._entries: dict[str, list[Entry]] = {}
        self._rows = 0

    def take(self, key: str) -> list[Entry]:
        """Take out what is held of a product."""
        taken = self._entries.pop(key, [])
        self._rows -= len(taken)
        return taken

    def put(self, key: str, held: list[Entry]) -> None:
        """Hold a product's entries until its key comes back."""
        self._entries[key] = held
        self._rows += len(held)
        if self._rows > HELD_ROWS_MAX:
            raise FeedError(
                f"{self._name}: more than {HELD_ROWS_MAX} rows wait for further rows of their "
                "product; sort the file by the column that names the product, and import again"
            )

    def rest(self) -> Iterator[list[Entry]]:
        """Give what is left, in the order in which it was put."""
        yield from self._entries.values()


def _closed(
    run: list[Entry], returning: ReturningKeys, held: _Held, source: Source, notes: Notes
) -> Iterator[Folded]:
    """End a run of rows with one key: the product is complete, or waits for the rest."""
    key = run[0].key
    known = [*held.take(key), *run]
    if returning.last_row(key) > run[-1].row:
        held.put(key, known)
    else:
        yield from _folded(known, source, notes)


def _folded(known: list[Entry], source: Source, notes: Notes) -> Iterator[Folded]:
    rows = tuple(dict.fromkeys(entry.row for entry in known))
    try:
        product = fold(known[0].key, known, source.format, notes)
    except ValidationError as exc:
        # Entries are bounded, so this is the net under them: no feed may end an import.
        first = exc.errors(include_url=False, include_input=False)[0]
        what = f"its product can't be made: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        yield from _all_rejected(known, source, Rejection.ROW_UNREADABLE, what)
        return
    if product is not None:
        yield Folded(rows=rows, outcome=product)
        return
    what = (
        f"it prices {known[0].key[:80]!r}, which has no row of its own; restore the product's row"
    )
    yield from _all_rejected(known, source, Rejection.ROW_ORPHAN, what)


def _all_rejected(
    known: list[Entry], source: Source, reason: Rejection, what: str
) -> Iterator[Folded]:
    for entry in {entry.row: entry for entry in known}.values():
        unusable = rejected(Record(entry.row, None), source, reason, what)
        outcome = unusable.changed(
            sku=entry.sku[:ID_MAX_CHARS], product_id=entry.product_id[:ID_MAX_CHARS]
        )
        yield Folded(rows=(entry.row,), outcome=outcome)


def _digest(key: str) -> int:
    return (
        hash(key) & 0xFFFF_FFFF_FFFF_FFFF
    )  # another one in every process, so that no feed can aim
