"""Which product do the records of one key make?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from catalog.product import Photo, PhotoRole, Product, Variant
from producers.feeds.entries import (
    DEFAULT_OPTION,
    ID_MAX_CHARS,
    PRICE_MAX_CHARS,
    TEXT_MAX_CHARS,
    Entry,
)
from producers.feeds.formats import Format, Parent
from producers.feeds.photos import LINK_MAX_CHARS, PHOTOS_MAX, Link, product_photos

COLOR_OPTIONS = frozenset(
    {"color", "colour", "farbe", "couleur", "colore", "cor", "kleur", "färg", "farve", "kolor"}
)


@dataclass(slots=True)
class Notes:
    """What the folding had to mend, counted; a person reads the sentences."""

    cut: Counter[str] = field(default_factory=Counter)
    without_sku: int = 0
    first_without_sku: int = 0
    without_title: int = 0
    first_without_title: int = 0
    price_rows: int = 0

    def take(self, sold: Sequence[Entry], *, has_title: bool) -> None:
        """Count what a product lacks."""
        for entry in sold:
            if not entry.sku:
                self.without_sku += 1
                self.first_without_sku = self.first_without_sku or entry.row
        if not has_title:
            self.without_title += 1
            self.first_without_title = self.first_without_title or sold[0].row

    def sentences(self, *, has_sku_column: bool = True) -> Iterator[str]:
        """Say what was mended, one sentence per kind."""
        if self.without_sku:
            what = (
                "variants without a SKU" if has_sku_column else "variants, in a feed without SKUs"
            )
            first = f"the first in row {self.first_without_sku}"
            yield f"{self.without_sku} {what} ({first}): the product's id stands in"
        if self.without_title:
            first = f"the first in row {self.first_without_title}"
            yield f"{self.without_title} products without a title ({first}): the SKU stands in"
        if self.price_rows:
            yield f"{self.price_rows} rows that only repeat prices in another currency"
        if self.cut["text"]:
            yield f"{self.cut['text']} texts longer than {TEXT_MAX_CHARS} characters: cut"
        if self.cut["link"]:
            yield f"{self.cut['link']} photo links over {LINK_MAX_CHARS} characters: left out"
        if self.cut["photo"]:
            yield f"{self.cut['photo']} photos beyond a product's first {PHOTOS_MAX}: left out"


def fold(key: str, entries: Sequence[Entry], layout: Format, notes: Notes) -> Product | None:
    """Fold a product's entries, in the feed's order; None if they only price an unknown product."""
    told = _without_price_rows(entries, notes) if layout.price_rows else list(entries)
    if not told:
        return None
    product_id = key.removeprefix("title\0")[:ID_MAX_CHARS]
    sold = _sold(told, layout)
    title = _told(told, "title")
    variants = _variants(sold, product_id, title, layout, names=_option_names(told))
    sku = _product_sku(told, sold) or variants[0].sku
    notes.take(sold, has_title=bool(title))
    return Product(
        row=entries[0].row,
        product_id=product_id,
        sku=sku,
        title=title or sku,
        description=_told(told, "description"),
        brand=_told(told, "brand"),
        category=_told(told, "category"),
        product_type=_told(told, "product_type"),
        tags=next((entry.tags for entry in told if entry.tags), ()),
        color=_told(told, "color") or _common_color(variants),
        material=_told(told, "material"),
        price=next((v.price for v in variants if v.price), _told(told, "price")),
        photos=_photos(told, sold, product_id, layout, notes),
        variants=tuple(variants),
    )


def _told(entries: Iterable[Entry], name: str) -> str:
    """Give what the first entry says that says anything."""
    for entry in entries:
        value: str = getattr(entry, name)
        if value:
            return value
    return ""


def _without_price_rows(entries: Sequence[Entry], notes: Notes) -> list[Entry]:
    """Leave out the records that only give a known variant's price in another currency."""
    told = [entry for entry in entries if not _is_bare(entry)]
    if not told:
        return []
    known = {entry.sku for entry in told}
    kept = [e for e in entries if not (_is_bare(e) and _is_price(e, known, told[0].currency))]
    notes.price_rows += len(entries) - len(kept)
    return kept


def _is_bare(entry: Entry) -> bool:
    return not (entry.title or any(entry.option_values) or entry.links)


def _is_price(entry: Entry, known_skus: set[str], currency: str) -> bool:
    return entry.sku in known_skus or entry.currency not in {"", currency}


def _sold(entries: Sequence[Entry], layout: Format) -> list[Entry]:
    """Give the entries that are sellable variants; never none."""
    sold = [entry for entry in entries if entry.is_sold and not entry.is_parent]
    match layout.parent:
        case Parent.LEADING if len(sold) > 1 and not any(entries[0].option_values):
            sold = [entry for entry in sold if entry is not entries[0]]
        case Parent.LINKED if any(entry.is_linked for entry in sold):
            sold = [entry for entry in sold if entry.is_linked]
    return _distinct(sold, layout) or [entries[0]]


def _distinct(sold: Iterable[Entry], layout: Format) -> list[Entry]:
    """Drop repetitions: the same variant on another row, which brings a photo more."""
    firsts: dict[object, Entry] = {}
    for entry in sold:
        firsts.setdefault(_variant_identity(entry, layout), entry)
    return list(firsts.values())


def _variant_identity(entry: Entry, layout: Format) -> object:
    own_id = entry.product_id if layout.parent is Parent.LINKED else ""
    colored = (entry.color, entry.material) if layout.parent is Parent.LINKED else ()
    return (own_id, entry.sku, entry.option_values, entry.named_options, colored)


def _option_names(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Give the options' names, which often stand in the product's first row only."""
    return next((entry.option_names for entry in entries if any(entry.option_names)), ())


def _variants(
    sold: Sequence[Entry], product_id: str, title: str, layout: Format, *, names: tuple[str, ...]
) -> list[Variant]:
    variants = []
    for entry in sold:
        options = _options(
            entry, names, tell_color=layout.parent is Parent.LINKED and len(sold) > 1
        )
        own_title = entry.title if entry.title != title else ""
        variants.append(
            Variant(
                row=entry.row,
                sku=_variant_sku(entry, product_id, layout),
                title=(own_title or " / ".join(options.values()))[:ID_MAX_CHARS],
                options=options,
                price=entry.price[:PRICE_MAX_CHARS],
            )
        )
    return variants


def _variant_sku(entry: Entry, product_id: str, layout: Format) -> str:
    own_id = entry.product_id if layout.parent is Parent.LINKED else ""
    return entry.sku or own_id or product_id


def _product_sku(told: Sequence[Entry], sold: Sequence[Entry]) -> str:
    """Give the SKU of the parent if it has one, else the first variant's."""
    parents = (entry.sku for entry in told if entry not in sold)
    firsts = (entry.sku for entry in (told[0], *sold))
    return next((sku for sku in (*parents, *firsts) if sku), "")


def _options(entry: Entry, names: tuple[str, ...], *, tell_color: bool) -> dict[str, str]:
    options = {}
    for at, value in enumerate(entry.option_values):
        if value and value != DEFAULT_OPTION:
            options[_option_name(entry, names, at)] = value
    options.update(entry.named_options)
    if tell_color and entry.color:
        options.setdefault("color", entry.color[:ID_MAX_CHARS])
    if tell_color and entry.material:
        options.setdefault("material", entry.material[:ID_MAX_CHARS])
    return options


def _option_name(entry: Entry, names: tuple[str, ...], at: int) -> str:
    own = entry.option_names[at] if at < len(entry.option_names) else ""
    return own or (names[at] if at < len(names) else "") or f"option {at + 1}"


def _common_color(variants: Sequence[Variant]) -> str:
    """Give the color that all variants have, if they have one and the same."""
    colors = {
        value
        for variant in variants
        for name, value in variant.options.items()
        if name.casefold() in COLOR_OPTIONS
    }
    return colors.pop() if len(colors) == 1 else ""


def _photos(
    told: Sequence[Entry], sold: Sequence[Entry], product_id: str, layout: Format, notes: Notes
) -> tuple[Photo, ...]:
    several = len(sold) > 1
    links: list[Link] = []
    for entry in told:
        is_own = several and entry in sold
        skus = (_variant_sku(entry, product_id, layout),) if is_own else ()
        is_first = entry is told[0]
        links += [_linked(link, skus, layout, is_first=is_first) for link in entry.links]
    notes.cut["photo"] += max(0, len({link.text for link in links}) - PHOTOS_MAX)
    return product_photos(links)


def _linked(link: Link, skus: tuple[str, ...], layout: Format, *, is_first: bool) -> Link:
    """Tie a link to the variant it shows, if its column or its format says so."""
    if link.role is PhotoRole.VARIANT:
        return link._replace(skus=skus)
    if not (layout.own_images and skus):
        return link
    is_variants_main = link.role is PhotoRole.MAIN and not is_first
    role = PhotoRole.VARIANT if is_variants_main else link.role
    return link._replace(skus=skus, role=role)
