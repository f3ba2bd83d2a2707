"""Which photos does a cell link, and which of them is what to the product?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from catalog.product import Photo, PhotoRole
from producers.feeds.text import visible

LINK_MAX_CHARS = 4_000
PHOTOS_MAX = 250
NO_LINK = frozenset({"no_selection", "null", "none", "nan", "n/a", "#n/a", "-", "undefined", "[]"})
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".heic", ".tif", ".tiff", ".bmp", ".jfif",
)  # fmt: skip
_SCHEMES = ("http://", "https://")
_MAY_END_LINK = re.compile(r"[\s,|;\"']")
_PRECEDENCE = (PhotoRole.MAIN, PhotoRole.VARIANT)


class Link(NamedTuple):
    """A photo as one row links it.

    ``skus`` are the variants it shows as far as the row says so; ``position`` orders a product's
    photos, None stands behind all others.
    """

    text: str
    role: PhotoRole
    skus: tuple[str, ...] = ()
    position: int | None = None


def split_links(cell: str, separators: Sequence[str]) -> list[str]:
    """Give the links in a cell, in order.

    A comma or a blank separates only where a link can begin: URLs and file names may hold both.
    """
    text = visible(cell).strip()
    if text.startswith(_SCHEMES) and not _MAY_END_LINK.search(text):  # most cells
        return [text]
    if not text or text.casefold() in NO_LINK:
        return []
    if text.startswith("[") and (listed := _json_list(text)) is not None:
        return listed
    parts = [text]
    if "|" in separators:
        parts = [part for line in text.splitlines() for part in line.split("|")]
    links = [link for part in parts for link in _apart(part, commas="," in separators)]
    return [link for link in links if link and link.casefold() not in NO_LINK]


def looks_like_link(text: str) -> bool:
    """Tell whether a cell seems to hold a photo's URL or file name."""
    folded = text.strip().casefold()
    return folded.startswith((*_SCHEMES, "//")) or folded.endswith(IMAGE_SUFFIXES)


def product_photos(links: Iterable[Link]) -> tuple[Photo, ...]:
    """Order the photos, give each its role, and name none twice."""
    merged: dict[str, Link] = {}
    for link in sorted(links, key=_place):
        seen = merged.get(link.text)
        merged[link.text] = link if seen is None else _merged(seen, link)
    chosen = list(merged.values())[:PHOTOS_MAX]
    main = next((at for at, link in enumerate(chosen) if link.role is PhotoRole.MAIN), 0)
    return tuple(
        Photo(
            address=f"https:{link.text}" if link.text.startswith("//") else link.text,
            link=link.text,
            role=_role(link, is_main=at == main),
            variant_skus=link.skus,
        )
        for at, link in enumerate(chosen)
    )


def _place(link: Link) -> tuple[bool, int]:
    return (link.position is None, link.position or 0)


def _merged(seen: Link, again: Link) -> Link:
    skus = tuple(dict.fromkeys((*seen.skus, *again.skus)))
    strongest = next((r for r in _PRECEDENCE if r in {seen.role, again.role}), seen.role)
    return seen._replace(role=strongest, skus=skus)


def _role(link: Link, *, is_main: bool) -> PhotoRole:
    if is_main:
        return PhotoRole.MAIN
    if link.role is not PhotoRole.MAIN:
        return link.role
    return PhotoRole.VARIANT if link.skus else PhotoRole.ADDITIONAL


def _json_list(text: str) -> list[str] | None:
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return [item.strip() for item in listed if isinstance(item, str) and item.strip()]


def _apart(part: str, *, commas: bool) -> Iterator[str]:
    for words in _by_blank(part):
        yield from (link.strip("\"' ") for link in (_by_comma(words) if commas else [words]))


def _by_blank(part: str) -> list[str]:
    """Split at blanks before a URL; blanks inside one link stay."""
    words = part.split()
    if not any(word.startswith(_SCHEMES) for word in words[1:]):
        return [part.strip()]
    links: list[list[str]] = []
    for word in words:
        if links and not word.startswith(_SCHEMES):
            links[-1].append(word)
        else:
            links.append([word])
    return [" ".join(link).strip(",; ") for link in links]


def _by_comma(text: str) -> list[str]:
    """Split at commas where a link can begin; commas inside one link stay."""
    first, *rest = text.split(",")
    # Each link is a list of its pieces, so that a cell of nothing but commas costs linear time.
    links = [[first]]
    for piece in rest:
        if _begins(piece, after=links[-1]):
            links.append([piece])
        else:
            links[-1].append(piece)
    return [",".join(link) for link in links]


def _begins(piece: str, *, after: Sequence[str]) -> bool:
    """Tell whether a link begins at a comma: after a URL only another URL does."""
    text = _bare(piece)
    if _bare(after[0]).startswith((*_SCHEMES, "//")):
        return text.startswith((*_SCHEMES, "//"))
    return looks_like_link(text) and _bare(after[-1]).endswith(IMAGE_SUFFIXES)


def _bare(piece: str) -> str:
    return piece.strip(" \"'").casefold()
