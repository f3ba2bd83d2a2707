"""Which feed formats are known, and how is each laid out?

Formats are data: ``producers/data/formats/*.toml``. A format has anchor columns by which it is
recognised, a layout that says which records make a product, and aliases for each field's column.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

from producers.feeds.errors import FeedError, named

OPTION_PREFIX = "option:"
IMAGE_FIELDS = ("image", "additional_images", "lifestyle_images", "variant_image")
FIELDS = (
    "id", "group", "parent_sku", "sku", "title", "description", "brand", "category", "type",
    "tags", "color", "material", "price", "currency", *IMAGE_FIELDS, "image_position",
    "option:<name>",
)  # fmt: skip
"""The fields that ``--map`` accepts; ``option:<name>`` stands for any option's name."""

_NUMBER = "{n}"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BLANKS = re.compile(r"[\s_-]+")


class Kind(StrEnum):
    """How the file is written."""

    TABLE = "table"
    LINES = "lines"
    LIST = "list"


class Layout(StrEnum):
    """Which records make a product: those with one key, or those that continue the one above."""

    GROUPED = "grouped"
    CONTINUED = "continued"


class Parent(StrEnum):
    """Which record of a product with variants is no variant itself."""

    NONE = "none"
    LEADING = "leading"
    LINKED = "linked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format, as its file describes it; column names are folded (see ``folded``)."""

    name: str
    title: str
    kind: Kind
    layout: Layout
    identity: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    identity_by_sku: tuple[str, ...] = ()
    required: tuple[tuple[str, ...], ...] = ()
    strong: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    needs: tuple[tuple[str, ...], ...] = ()
    needs_unasked: tuple[tuple[str, ...], ...] = ()
    fallback: bool = False
    leader: str = ""
    parent: Parent = Parent.NONE
    own_images: bool = False
    price_rows: bool = False
    sellable: tuple[str, ...] = ()
    link_separators: tuple[str, ...] = ()
    list_separator: str = ","


def known_formats() -> tuple[Format, ...]:
    """Every format that can be read, by name."""
    return tuple(_formats()[name] for name in sorted(_formats()))


def format_named(name: str) -> Format:
    """Find a format by the name that ``--format`` takes.

    Raises:
        FeedError: there is no such format.
    """
    if (found := _formats().get(name.strip().casefold())) is None:
        raise FeedError(f"no format is called {name!r}; --format takes {', '.join(_formats())}")
    return found


def folded(column: str) -> str:
    """Give a column's name as formats compare it: case, blanks, ``_`` and ``-`` do not count."""
    spaced = _CAMEL.sub(" ", column.strip().strip("\"'\ufeff"))
    return _BLANKS.sub(" ", spaced).strip().casefold()


def alias_columns(alias: str, columns: Sequence[str]) -> list[int]:
    """Find where an alias stands among folded columns; a numbered alias in the numbers' order."""
    if _NUMBER not in alias:
        return [at for at, column in enumerate(columns) if column == alias]
    numbered = re.compile(re.escape(alias).replace(re.escape(_NUMBER), r"0*(\d{1,4})"))
    found = [(at, numbered.fullmatch(column)) for at, column in enumerate(columns)]
    hits = [(int(match[1]), at) for at, match in found if match]
    return [at for _, at in sorted(hits)]


def check_field(field: str) -> None:
    """Refuse a field that ``--map`` does not know.

    Raises:
        FeedError: with the fields that it knows.
    """
    known = field in FIELDS or (field.startswith(OPTION_PREFIX) and len(field) > len(OPTION_PREFIX))
    if not known or field == FIELDS[-1]:
        raise FeedError(f"--map knows no field {field!r}; it knows {named(FIELDS)}")


@cache
def _formats() -> Mapping[str, Format]:
    folder = resources.files("producers") / "data" / "formats"
    written = {
        file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    }
    return {name: _format(name, _extended(written, name)) for name in sorted(written)}


def _extended(written: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    own = written[name]
    if "extends" not in own:
        return own
    return {**_extended(written, own["extends"]), **own}


def _format(name: str, written: Mapping[str, Any]) -> Format:
    kind = Kind(written["kind"])
    # A table's columns are compared folded; a document's paths keep their dots and case.
    spelled = folded if kind is Kind.TABLE else str
    anchors = written["anchors"]
    return Format(
        name=name,
        title=written["title"],
        kind=kind,
        layout=Layout(written["layout"]),
        identity=tuple(written["identity"]),
        identity_by_sku=tuple(written.get("identity_by_sku", ())),
        columns={
            field: tuple(spelled(alias) for alias in aliases)
            for field, aliases in written["columns"].items()
        },
        required=tuple(tuple(spelled(one) for one in either) for either in anchors["required"]),
        strong=tuple(dict.fromkeys(spelled(anchor) for anchor in anchors["strong"])),
        negative=tuple(spelled(anchor) for anchor in anchors["negative"]),
        needs=tuple(tuple(either) for either in written["needs"]),
        needs_unasked=tuple(tuple(either) for either in written.get("needs_unasked", ())),
        fallback=written.get("fallback", False),
        leader=written.get("leader", ""),
        parent=Parent(written["parent"]),
        own_images=written["following_images"] == "variant",
        price_rows=written.get("price_rows", False),
        sellable=tuple(written["sellable"]),
        link_separators=tuple(written["link_separators"]),
        list_separator=written.get("list_separator", ","),
    )
