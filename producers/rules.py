"""Which products does a scene apply to?"""

from __future__ import annotations

import re
import unicodedata
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from catalog.product import Product
    from catalog.scenes import Scene

_SEPARATOR = re.compile(r"\s*(?:->|[>/;])\s*")
"""What feeds put between the levels of a category, and between two categories."""


def applies(scene: Scene, product: Product) -> bool:
    """Does the scene's ``when`` hold for the product? No ``when`` holds for all."""
    when = scene.when
    checks: tuple[tuple[Iterable[str], Iterable[str], Callable[[], Iterable[str]]], ...] = (
        (_paths(when.category), _paths(when.exclude_category), lambda: _levels(product.category)),
        (_paths(when.type), _paths(when.exclude_type), lambda: _levels(product.product_type)),
        (when.tags, when.exclude_tags, lambda: product.tags),
        (when.title, when.exclude_title, lambda: (product.title,)),
        (when.sku, when.exclude_sku, lambda: product.skus),
        (when.brand, when.exclude_brand, lambda: (product.brand,)),
    )
    return all(
        _holds(wanted, unwanted, facts())
        for wanted, unwanted, facts in checks
        if wanted or unwanted
    )


def _holds(wanted: Iterable[str], unwanted: Iterable[str], facts: Iterable[str]) -> bool:
    known = [_folded(fact) for fact in facts if fact.strip()]
    if any(_matches(glob, known) for glob in unwanted):
        return False
    asked = tuple(wanted)
    return not asked or any(_matches(glob, known) for glob in asked)


def _matches(glob: str, facts: list[str]) -> bool:
    folded = _folded(glob)
    return any(fnmatchcase(fact, folded) for fact in facts)


def _paths(globs: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(_path, globs))


def _levels(category: str) -> tuple[str, ...]:
    """The category as a whole, each of its paths, and each level by itself."""
    paths = category.split(";")
    return (_path(category), *map(_path, paths), *_SEPARATOR.split(category))


def _path(text: str) -> str:
    """One spelling of a path, for categories and for the globs that ask for them."""
    return _SEPARATOR.sub(" > ", text)


def _folded(text: str) -> str:
    """One spelling for what people take for the same word."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
