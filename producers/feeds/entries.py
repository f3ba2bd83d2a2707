"""What does one record say about its product?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from catalog.product import PhotoRole, RejectedRow
from catalog.reasons import Rejection
from producers.feeds.formats import OPTION_PREFIX, Format
from producers.feeds.photos import LINK_MAX_CHARS, Link, split_links
from producers.feeds.records import Record, Source, View
from producers.feeds.text import one_line, plain, visible

ID_MAX_CHARS = 1_000
TEXT_MAX_CHARS = 5_000
PRICE_MAX_CHARS = 100
LINKING_FIELDS = ("group", "parent_sku", "id", "sku")
TAGS_MAX = 250
OPTIONS_MAX = 100
VARIANTS_MAX = 10_000
DEFAULT_OPTION = "Default Title"

# facet name -> field of the product
_FACETS = {"category": "category", "brand": "brand", "color": "color", "colour": "color",
           "material": "material"}  # fmt: skip
_FACET_FIELDS = frozenset({"variant_facets", "facets"})


class Entry(NamedTuple):
    """A record's contents, cleaned and bounded; empty where it says nothing.

    A tuple, as others that are made for every record: a frozen dataclass takes five times as long.
    """

    row: int
    key: str
    product_id: str
    sku: str
    title: str
    is_linked: bool
    is_sold: bool
    is_parent: bool = False
    description: str = ""
    brand: str = ""
    category: str = ""
    product_type: str = ""
    tags: tuple[str, ...] = ()
    color: str = ""
    material: str = ""
    price: str = ""
    currency: str = ""
    option_names: tuple[str, ...] = ()
    option_values: tuple[str, ...] = ()
    named_options: tuple[tuple[str, str], ...] = ()
    links: tuple[Link, ...] = ()


class Keyer:
    """Says which product a record belongs to; a record may continue the one above."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._format = source.format
        self._fields = source.fields()
        self._identity = identity_fields(source)
        self._above = ""

    def key(self, record: Record) -> str:
        """Give the product's key; empty if the record belongs to none."""
        leader = self._format.leader
        view = View(self._source, self._fields, record.content)
        if leader and record.content is not None and not view.values(leader):
            return self._above
        self._above = "" if record.problem else _identity(view, self._identity)
        return self._above


def identity_fields(source: Source) -> tuple[str, ...]:
    """Name the fields that tell products apart in this feed, the first that is filled deciding."""
    by_sku = source.format.identity_by_sku
    return by_sku if by_sku and source.column("parent_sku") else source.format.identity


def entries(record: Record, key: str, source: Source, cut: Counter[str]) -> list[Entry]:
    """Read a record: one entry, or one per variant that is written inside it.

    ``cut`` counts what was shortened or left out.
    """
    fields = source.fields()
    own = _entry(record.row, key, View(source, fields, record.content), source, cut)
    inside = [
        _entry(record.row, key, View(source, fields, child), source, cut)
        for child in source.children(record.content)[:VARIANTS_MAX]
    ]
    return [own._replace(is_parent=True), *inside] if inside else [own]


def rejection(record: Record, key: str, source: Source) -> RejectedRow | None:
    """Say why a record can't be used, if it can't."""
    if record.problem:
        return rejected(record, source, Rejection.ROW_UNREADABLE, record.problem)
    layout = source.format
    if not key and layout.leader:
        what = "it continues a product and none stands above it; restore the product's first row"
        return rejected(record, source, Rejection.ROW_ORPHAN, what, field=layout.leader)
    if not key:
        identity = identity_fields(source)
        what = f"it has no {' and no '.join(identity)}; fill one in, or name it with --map"
        return rejected(record, source, Rejection.ROW_NO_IDENTITY, what, field=identity[0])
    view = View(source, source.fields(), record.content)
    for field in LINKING_FIELDS:
        for value in view.values(field):
            if len(value) > ID_MAX_CHARS:
                what = f"its {field} has {len(value)} characters; {ID_MAX_CHARS} are the most"
                return rejected(record, source, Rejection.ROW_UNREADABLE, what, field=field)
    return None


def rejected(
    record: Record, source: Source, reason: Rejection, what: str, *, field: str | None = None
) -> RejectedRow:
    """Write a record's rejection, with what the record says of itself."""
    view = View(source, source.fields(), record.content)
    return RejectedRow(
        row=record.row,
        column=source.column(field) if field else None,
        reason=reason.value,
        message=f"row {record.row}: {what}",
        sku=_first(view, "sku")[:ID_MAX_CHARS],
        product_id=_first(view, "id")[:ID_MAX_CHARS],
        title=_first(view, "title")[:ID_MAX_CHARS],
    )


def _identity(view: View, fields: Sequence[str]) -> str:
    for field in fields:
        if found := _first(view, field):
            # A title is no id: a product called "12" is another one than the product 12.
            return f"title\0{found}" if field == "title" else found
    return ""


def _entry(row: int, key: str, view: View, source: Source, cut: Counter[str]) -> Entry:
    layout = source.format
    text = partial(_text, view, cut=cut)
    option_values = _slots(view, "option_value", "packed_option_values", layout)
    facets = {} if _FACET_FIELDS.isdisjoint(view.fields) else dict(_facets(view, layout))
    return Entry(
        row=row,
        key=key,
        product_id=_first(view, "id"),
        sku=_first(view, "sku"),
        title=text("title"),
        is_linked=bool(view.values("group") or view.values("parent_sku")),
        is_sold=any(option_values) or _is_sold(view, layout),
        description=_bounded(plain(next(iter(view.values("description")), "")), cut),
        brand=text("brand") or facets.get("brand", ""),
        category=text("category") or facets.get("category", ""),
        product_type=text("type"),
        tags=_tags(view, layout),
        color=text("color") or facets.get("color", ""),
        material=text("material") or facets.get("material", ""),
        price=text("price")[:PRICE_MAX_CHARS],
        currency=text("currency")[:PRICE_MAX_CHARS],
        option_names=_slots(view, "option_name", "packed_option_names", layout),
        option_values=option_values,
        named_options=_named_options(view, source),
        links=tuple(_links(view, layout, cut)),
    )


def _is_sold(view: View, layout: Format) -> bool:
    return not layout.sellable or any(view.values(field) for field in layout.sellable)


def _first(view: View, field: str) -> str:
    """Give an identity: nothing about it is changed but blanks around and the invisible."""
    for value in view.values(field):
        if one := visible(value).strip():
            return one
    return ""


def _text(view: View, field: str, *, cut: Counter[str]) -> str:
    for value in view.values(field):
        if one := _bounded(one_line(value), cut):
            return one
    return ""


def _bounded(text: str, cut: Counter[str]) -> str:
    if len(text) <= TEXT_MAX_CHARS:
        return text
    cut["text"] += 1
    return text[:TEXT_MAX_CHARS]


def _split(view: View, field: str, separator: str) -> list[str]:
    if field not in view.fields:  # most feeds lack most of these, and each costs every record
        return []
    return [
        one_line(part)[:TEXT_MAX_CHARS]
        for value in view.values(field)
        for part in value.split(separator)
    ]


def _tags(view: View, layout: Format) -> tuple[str, ...]:
    words = _split(view, "tags", layout.list_separator)
    facets = _split(view, "facets", layout.list_separator)
    if not (words or facets):
        return ()
    words += [facet.partition(":")[2].strip() or facet for facet in facets]
    return tuple(dict.fromkeys(word for word in words if word))[:TAGS_MAX]


def _facets(view: View, layout: Format) -> Iterator[tuple[str, str]]:
    """Read ``name:value`` lists; several categories become one path."""
    found: dict[str, list[str]] = {}
    for source in ("variant_facets", "facets"):
        for facet in _split(view, source, layout.list_separator):
            name, _, value = facet.partition(":")
            if value.strip() and (field := _FACETS.get(name.strip().casefold())):
                found.setdefault(field, []).append(value.strip())
    for field, texts in found.items():
        yield field, (" > ".join(texts) if field == "category" else texts[0])[:TEXT_MAX_CHARS]


def _slots(view: View, field: str, packed: str, layout: Format) -> tuple[str, ...]:
    """Read options by their place: the first name belongs to the first value."""
    slots = [one_line(cell) for cell in view.slots(field)]
    if not (slots or packed in view.fields):
        return ()
    if not any(slots):
        slots = _split(view, packed, layout.list_separator)
    return tuple(slot[:ID_MAX_CHARS] for slot in slots[:OPTIONS_MAX])


def _named_options(view: View, source: Source) -> tuple[tuple[str, str], ...]:
    found = (
        (field.removeprefix(OPTION_PREFIX), _first(view, field)[:ID_MAX_CHARS])
        for field in source.options()
    )
    return tuple((name, value) for name, value in found if value)


def _links(view: View, layout: Format, cut: Counter[str]) -> Iterator[Link]:
    position = _position(view)
    split = partial(_split_bounded, separators=layout.link_separators, cut=cut)
    main, *further = split(view.first("image")) or [""]
    if main:
        yield Link(main, PhotoRole.MAIN, position=position)
    for link in (*further, *split(view.values("additional_images"))):
        yield Link(link, PhotoRole.ADDITIONAL, position=position)
    for link in split(view.values("lifestyle_images")):
        yield Link(link, PhotoRole.LIFESTYLE, position=position)
    for link in split(view.values("variant_image")):
        yield Link(link, PhotoRole.VARIANT)


def _split_bounded(
    cells: list[str], *, separators: tuple[str, ...], cut: Counter[str]
) -> list[str]:
    if not cells:
        return []
    links = [link for cell in cells for link in split_links(cell, separators)]
    kept = [link for link in links if len(link) <= LINK_MAX_CHARS]
    cut["link"] += len(links) - len(kept)
    return kept


def _position(view: View) -> int | None:
    written = _first(view, "image_position").removesuffix(".0")
    return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else None  # noqa: PLR2004
