"""What format is this feed in, and how do we know?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from producers.feeds.documents import DocumentSource
from producers.feeds.errors import FeedError, named
from producers.feeds.formats import (
    Format,
    Kind,
    alias_columns,
    folded,
    format_named,
    known_formats,
)
from producers.feeds.mapping import column_map, cure, missing_fields
from producers.feeds.photos import looks_like_link
from producers.feeds.records import Source
from producers.feeds.survey import Survey
from producers.feeds.table import Heading, TableSource, read_heading

SHOWN_ANCHORS = 6
NEGATIVE_WEIGHT = 3
_LIST_START = re.compile(
    r'\s*\{\s*"(?:products|items|data|results|nodes|entries|catalog)"\s*:\s*\[\s*\{'
)
_GOES_ON = ("{", "[", ",")
_MARKUP = re.compile(r"\s*<(?:\?xml|!doctype|html|rss|feed)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A feed's source of records, and why it was taken for what it is."""

    source: Source
    delimiter: str | None
    why: str


def recognise(found: Survey, asked: str | None, mapping: Mapping[str, str]) -> Recognised:
    """Decide on the format, the one asked for or the one that fits best.

    Raises:
        FeedError: nothing fits, or two formats fit alike; or what was asked for does not.
    """
    wanted = format_named(asked) if asked else None
    kind = wanted.kind if wanted else _kind(found)
    if kind is Kind.TABLE:
        return _table(found, wanted, mapping)
    return _documents(found, wanted or format_named(_document_format(kind)), mapping, asked=asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    format: Format
    score: int
    hits: tuple[str, ...]


def _kind(found: Survey) -> Kind:
    start = found.head.lstrip()
    if _MARKUP.match(start):
        raise FeedError(
            f"{found.path.name}: this is XML or a web page, which is not read; "
            f"export CSV or JSON Lines; formats: {_format_names()}"
        )
    if start.startswith("[") and start[1:].lstrip()[:1] in {"{", "]", "[", ""}:
        return Kind.LIST
    if not start.startswith("{"):
        return Kind.TABLE
    if _LIST_START.match(start):
        return Kind.LIST
    lines = [line for line in start.splitlines()[:20] if line.strip()]
    is_indented = len(lines) > 1 and lines[0].rstrip().endswith(_GOES_ON)
    is_lines = len(lines) == 1 or any(map(_is_object, lines))
    return Kind.LINES if is_lines and not is_indented else Kind.LIST


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _document_format(kind: Kind) -> str:
    return next(f.name for f in known_formats() if f.kind is kind and f.fallback)


def _table(found: Survey, wanted: Format | None, mapping: Mapping[str, str]) -> Recognised:
    heading = read_heading(found)
    name = found.path.name
    layout, why = (wanted, "as asked by --format") if wanted else _fitting(name, heading.columns)
    places = column_map(name, layout, heading.columns, mapping)
    if missing := missing_fields(layout, places, asked=bool(wanted or mapping)):
        raise _unusable(name, missing, heading, places)
    source = TableSource(found, layout, heading, places)
    return Recognised(source=source, delimiter=heading.delimiter, why=f"{layout.title}: {why}")


def _fitting(name: str, columns: Sequence[str]) -> tuple[Format, str]:
    """Choose the format whose anchors fit best; the plain table if none does."""
    plain = [folded(column) for column in columns]
    matches = [m for layout in known_formats() if (m := _match(layout, plain)) is not None]
    best = sorted(matches, key=lambda match: -match.score)
    if not best:
        fallback = next(f for f in known_formats() if f.kind is Kind.TABLE and f.fallback)
        return fallback, "no shop system's columns were recognised, so columns go by their names"
    if len(best) > 1 and best[0].score == best[1].score:
        both = " and ".join(match.format.name for match in best[:2])
        raise FeedError(
            f"{name}: {both} fit alike; say which with --format. Columns seen: {named(columns)}"
        )
    spelled = {folded(column): column.strip() for column in columns}
    shown = ", ".join(repr(spelled[hit]) for hit in best[0].hits[:SHOWN_ANCHORS])
    of = len(best[0].hits)
    return best[0].format, f"recognised by {of} columns such as {shown}"


def _match(layout: Format, plain: Sequence[str]) -> _Match | None:
    if layout.kind is not Kind.TABLE or not layout.required:
        return None
    required = [
        [alias for alias in either if alias_columns(alias, plain)] for either in layout.required
    ]
    if not all(required):
        return None
    strong = [anchor for anchor in layout.strong if anchor in plain]
    negative = [anchor for anchor in layout.negative if anchor in plain]
    score = len(required) + len(strong) - NEGATIVE_WEIGHT * len(negative)
    hits = tuple(dict.fromkeys([one[0] for one in required] + strong))
    return _Match(format=layout, score=score, hits=hits) if strong and score > 0 else None


def _documents(
    found: Survey, layout: Format, mapping: Mapping[str, str], *, asked: str | None
) -> Recognised:
    name = found.path.name
    source = DocumentSource(found, layout, mapping)
    if not source.columns:
        raise FeedError(
            f"{name}: no JSON object stands in it, as {layout.name} needs; "
            f"formats: {_format_names()}"
        )
    if linked := [one for one in layout.negative if one in source.columns]:
        raise FeedError(
            f"{name}: its lines are linked by {linked[0]} (a Shopify bulk result), which is not "
            "read; export the products as Shopify's CSV"
        )
    known = {field: column for field in source.fields() if (column := source.column(field))}
    if missing := missing_fields(layout, known, asked=bool(asked or mapping)):
        raise FeedError(
            f"{name}: {missing} was recognised. Paths seen: {named(source.columns)}. Say which is "
            "which, e.g. --map 'sku=PATH,title=PATH,image=PATH' with dotted paths (images.0.src)"
        )
    return Recognised(source=source, delimiter=None, why=f"{layout.title}: by its first characters")


def _unusable(
    name: str, missing: str, heading: Heading, known: Mapping[str, Sequence[int]]
) -> FeedError:
    columns = [column.strip() for column in heading.columns]
    seen = f"Columns seen: {named(columns)}"
    if any(looks_like_link(one) or one.replace(".", "").isdigit() for one in columns):
        return FeedError(
            f"{name}: {missing}; the first row looks like data, not like a heading. {seen}. "
            "Put a heading above it"
        )
    return FeedError(
        f"{name}: {missing} was recognised. {seen}. Say which is which, e.g. "
        f"{cure(columns, heading.samples, known)}, or name the format: --format {_format_names()}"
    )


def _format_names() -> str:
    return "|".join(layout.name for layout in known_formats())
