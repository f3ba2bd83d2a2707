"""What does a shop sell, as its catalog export tells us?

A feed's rows are folded into products; a product knows its variants and its photos.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from catalog.wire import Wire

UPLOAD_SCHEME = "upload:"
"""A photo that a producer took from its own disk has the address ``upload:<sha256>``."""

Text = Annotated[str, StringConstraints(max_length=5_000)]


class PhotoRole(StrEnum):
    """What the feed says a photo is for."""

    MAIN = "main"
    ADDITIONAL = "additional"
    LIFESTYLE = "lifestyle"
    VARIANT = "variant"


class Photo(Wire):
    """A photo as the feed links it, or as a producer uploaded it.

    ``address`` is an http(s) URL, a bare file name (only until ``--images`` has matched it), or
    ``upload:<sha256 of the original bytes>``; ``link`` is the feed's own text.
    """

    address: str = Field(max_length=4_000)
    link: str = Field(max_length=4_000)
    role: PhotoRole = PhotoRole.ADDITIONAL
    variant_skus: tuple[str, ...] = ()

    @property
    def upload_sha256(self) -> str | None:
        """The original's hash, if a producer uploaded it."""
        if self.address.startswith(UPLOAD_SCHEME):
            return self.address.removeprefix(UPLOAD_SCHEME)
        return None


class Variant(Wire):
    """A shop's variant of a product (size, colour ...); never our A/B index."""

    row: int = Field(ge=1)
    sku: str = Field(max_length=1_000)
    title: Text = ""
    options: dict[str, str] = Field(default={})
    price: str = ""


class Product(Wire):
    """One product, folded from its rows.

    ``row`` is the product's first record, the heading being record 1 (JSON Lines: the line).
    ``sku`` is the first variant's; a product without any SKU carries its ``product_id`` there.
    """

    row: int = Field(ge=1)
    product_id: str = Field(min_length=1, max_length=1_000)
    sku: str = Field(min_length=1, max_length=1_000)
    title: Text = ""
    description: Text = ""
    brand: Text = ""
    category: Text = ""
    product_type: Text = ""
    tags: tuple[str, ...] = ()
    color: Text = ""
    material: Text = ""
    price: str = ""
    photos: tuple[Photo, ...] = ()
    variants: tuple[Variant, ...] = ()

    @property
    def skus(self) -> tuple[str, ...]:
        """Every SKU of the product, its own first, none twice."""
        own = (self.sku, *(variant.sku for variant in self.variants))
        return tuple(dict.fromkeys(sku for sku in own if sku))


class RejectedRow(Wire):
    """A line of ``rejected.jsonl``: a feed row that can't be used, and why."""

    schema_: Annotated[Literal["skuscene.rejected/1"], Field(alias="schema")] = (
        "skuscene.rejected/1"
    )
    row: int = Field(ge=1)
    column: str | None = None
    reason: str
    message: str
    sku: str = ""
    product_id: str = ""
    title: str = ""
