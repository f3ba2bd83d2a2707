"""What does the contact sheet know of a product and its renders?

Neither prompts nor the addresses of photos: the page is shown around, and addresses may carry
signatures. Absent and empty fields are left out.
"""

from __future__ import annotations

import itertools
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from catalog import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from catalog.results import Image, Provenance, ReferenceUsed, ResultLine

TO_PREFIX: Final = "../../../"
"""From ``imports/<id>/gallery/`` to the store's prefix."""

THUMB: Final = "web-512.webp"
VIEW: Final = "web-1024.webp"

_SHORT_SHA256: Final = 12
_MESSAGE_CHARS: Final = 600

Entry = dict[str, object]


def in_products(lines: Iterable[ResultLine]) -> Iterator[list[ResultLine]]:
    """Put neighbouring lines of one product together."""
    for _, renders in itertools.groupby(lines, key=lambda line: (line.row, line.product_id)):
        yield list(renders)


def href(key: str) -> str:
    """A link from the page to an object of the store."""
    return TO_PREFIX + quote(key, safe="/")


def product_entry(lines: Sequence[ResultLine]) -> Entry:
    """A product with its renders; facts that they share stand once."""
    first = lines[0]
    references = _references(lines)
    at = {reference.key: index for index, reference in enumerate(references)}
    return _without_empty(
        {
            "product": first.product_id,
            "row": first.row,
            "title": first.title,
            "skus": first.skus,
            "references": [_reference_entry(reference) for reference in references],
            "renders": [_render_entry(line, at) for line in lines],
        }
    )


def _references(lines: Iterable[ResultLine]) -> list[ReferenceUsed]:
    used = (line.provenance.references for line in lines if line.provenance)
    return list({reference.key: reference for some in used for reference in some}.values())


def _reference_entry(reference: ReferenceUsed) -> Entry:
    sha256 = PurePosixPath(reference.key).stem
    return {
        "thumb": href(keys.reference_thumb(sha256)),
        "href": href(reference.key),
        "width": reference.width_px,
        "height": reference.height_px,
    }


def _render_entry(line: ResultLine, reference_at: Mapping[str, int]) -> Entry:
    facts = _provenance_facts(line.provenance, reference_at) if line.provenance else {}
    return _without_empty(
        {
            "sku": line.sku,
            "scene": line.scene,
            "picture": line.picture_no,
            "locale": line.locale,
            "slot": line.slot,
            "status": line.status.value,
            "reason": line.reason,
            "message": (line.message or "")[:_MESSAGE_CHARS],
            "cause": line.cause,
            "render": line.render_id,
            "cost": float(line.cost_usd),
            "attempts": line.attempts,
            "checks": _plain(line.checks),
            "images": [_image_entry(image) for image in line.images],
            "thumb": _first_of(line.images, THUMB, largest=False),
            "view": _first_of(line.images, VIEW, largest=True),
            **facts,
        }
    )


def _provenance_facts(provenance: Provenance, reference_at: Mapping[str, int]) -> Entry:
    return {
        "model": provenance.model_answered,
        "asked": provenance.model_asked,
        "ratio": provenance.ratio,
        "size": provenance.size,
        "source": provenance.digital_source_type,
        "take": provenance.take,
        "bought": provenance.bought_at.isoformat(timespec="seconds"),
        "references": [reference_at[reference.key] for reference in provenance.references],
    }


def _image_entry(image: Image) -> Entry:
    return {
        "name": image.name,
        "href": href(image.key),
        "width": image.width_px,
        "height": image.height_px,
        "bytes": image.bytes,
        "type": image.media_type,
        "sha256": image.sha256[:_SHORT_SHA256],
    }


def _first_of(images: Sequence[Image], name: str, *, largest: bool) -> int | None:
    """Where the image of that name stands; else a rendition by size; else the master."""
    if not images:
        return None
    sign = -1 if largest else 1
    ranked = sorted(
        range(len(images)),
        key=lambda at: (
            images[at].name != name,
            images[at].role != "rendition",
            sign * images[at].width_px * images[at].height_px,
        ),
    )
    return ranked[0]


def _plain(checks: Mapping[str, object]) -> dict[str, str]:
    return {name: _written(score) for name, score in checks.items() if score is not None}


def _written(score: object) -> str:
    if isinstance(score, float) and math.isfinite(score):
        return f"{score:.4g}"
    return str(score)[:_MESSAGE_CHARS]


def _without_empty(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if value not in (None, "", [], (), {})}
