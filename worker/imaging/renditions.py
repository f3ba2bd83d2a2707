"""Which delivery files are made from a master, and how?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.imaging.colour import opaque, srgb, upright
from worker.imaging.decode import MASTER_LIMITS, fit, open_bounded, read_facts, unreadable_master
from worker.imaging.encode import Encoding, encode
from worker.imaging.resample import shrink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.imaging.decode import DecodeLimits
    from worker.imaging.provenance import Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one delivery file is made.

    ``name`` is the file's, and a promise: a recipe that changes gets a new one, such as
    ``web-1024.v2.webp``. ``long_edge_px`` is a bound; a smaller master is not enlarged.
    """

    name: str
    long_edge_px: int
    encoding: Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionFile:
    """A delivery file; type and size are read back from its bytes."""

    name: str
    content: bytes
    media_type: str
    width_px: int
    height_px: int


_WEBP: Final = Encoding(media_type="image/webp", quality=80)
# At 2048 px progressive costs 25 ms and saves an eighth of the bytes; 4:4:4 would add half of them.
_JPEG: Final = Encoding(media_type="image/jpeg", quality=85, progressive=True)

RECIPES: Final[Mapping[str, tuple[Recipe, ...]]] = {
    "web": (
        Recipe(name="web-1024.webp", long_edge_px=1024, encoding=_WEBP),
        Recipe(name="web-512.webp", long_edge_px=512, encoding=_WEBP),
    ),
    "merchant": (Recipe(name="merchant-1500.jpg", long_edge_px=1500, encoding=_JPEG),),
}


def make_renditions(
    master: bytes,
    recipes: Sequence[Recipe],
    *,
    provenance: Provenance,
    limits: DecodeLimits = MASTER_LIMITS,
) -> Iterator[RenditionFile]:
    """Make delivery files from a master, the largest first.

    The master is decoded once, and each size made from the one before. A file is yielded before the
    next is made, so that one at a time is held. The same master and recipes give the same bytes.

    Raises:
        Refused: ``picture.unreadable``, at the first step; no file was yielded.
    """
    downwards = sorted(recipes, key=lambda recipe: recipe.long_edge_px, reverse=True)
    if not downwards:
        return
    largest_px = downwards[0].long_edge_px
    decoded = open_bounded(master, limits=limits, refusal=unreadable_master, enough_px=largest_px)
    master_px = (decoded.width_px, decoded.height_px)
    picture, _ = opaque(upright(decoded.picture, decoded.orientation)[0])
    del decoded
    picture, _ = srgb(shrink(picture, fit(*master_px, largest_px)))
    for recipe in downwards:
        picture = shrink(picture, fit(*master_px, recipe.long_edge_px))
        yield _measured(recipe.name, encode(picture, recipe.encoding, provenance=provenance))


def _measured(name: str, content: bytes) -> RenditionFile:
    facts = read_facts(content)
    return RenditionFile(
        name=name,
        content=content,
        media_type=facts.media_type,
        width_px=facts.width_px,
        height_px=facts.height_px,
    )
