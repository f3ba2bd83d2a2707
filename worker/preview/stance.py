"""How does a product stand: on a tabletop, on the floor, or lying flat?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from worker.preview.canvas import Pixels

_QUOTED: Final = re.compile(r'"([^"]{1,300})"')
_ON_FLOORS: Final = """
    vacuum chair armchair lamp stool sofa couch table desk bike bicycle tent tripod bench
    wardrobe ottoman dresser bookcase bookshelf ladder easel treadmill scooter stroller
    pram suitcase trolley mower grill barbecue cabinet sideboard recliner loveseat hoover
"""
# Beside these a word above names a small thing: a table lamp, a chair cushion, a vacuum flask.
_SMALL: Final = """
    bag bags bulb charger cloth cover cushion filter flask lantern light mat mini model
    napkin pad runner shade spoon tablecloth tennis top toy bottle mug clock fan
"""
_ON_TABLES: Final = frozenset({"table", "desk", "bedside"})
_HELD: Final = """
    bottle brush candle clipper flute knife pen pencil razor spoon straightener sword
    toothbrush trimmer tube vase wand watch
"""
_VERY_SLIM: Final = 4.5
_LYING_DEGREES: Final = 24.0


def is_on_floor(prompt: str, shape_px: tuple[int, int]) -> bool:
    """Say whether a product stands on a floor, by its title in the prompt, else by its shape.

    The title is what the prompt quotes first; prompts quote all catalog data.
    """
    found = _QUOTED.search(prompt)
    said = re.findall(r"[a-z]+", found[1].lower()) if found else []
    words = set(said) | {word.removesuffix("s") for word in said}
    if words.isdisjoint(_ON_FLOORS.split()):
        return shape_px[1] > _VERY_SLIM * shape_px[0] and words.isdisjoint(_HELD.split())
    is_table_lamp = "lamp" in words and not words.isdisjoint(_ON_TABLES)
    return words.isdisjoint(_SMALL.split()) and not is_table_lamp


def laid_flat(product: Image.Image) -> Image.Image | None:
    """Lay a long diagonal thing down that has nothing to stand on; ``None`` if it can stand."""
    small = product.getchannel("A").copy()
    small.thumbnail((200, 200))
    alpha = np.asarray(small, np.float32) / 255
    degrees, slimness = _axis(alpha)
    if slimness < 3.2 or not 14 < abs(degrees) < 76 or _base_share(alpha) > 0.16:
        return None
    turn = degrees - math.copysign(_LYING_DEGREES, degrees)
    turned = product.convert("RGBa").rotate(turn, Image.Resampling.BICUBIC, expand=True)
    turned = turned.convert("RGBA")
    box = turned.getchannel("A").point(_is_seen).getbbox()
    flat = turned.crop(box) if box else turned
    return flat.resize((flat.width, max(1, round(flat.height * 0.86))), Image.Resampling.LANCZOS)


def _axis(alpha: Pixels) -> tuple[float, float]:
    """Give the long axis: degrees that it sinks to the right, and how much longer it is."""
    rows, columns = np.nonzero(alpha > 0.5)
    if len(rows) < 12:
        return 0.0, 1.0
    spread = np.cov(np.stack([columns, rows]).astype(np.float64))
    sizes, ways = np.linalg.eigh(spread)
    along = ways[:, 1] * (1 if ways[0, 1] >= 0 else -1)
    degrees = math.degrees(math.atan2(float(along[1]), float(along[0])))
    return degrees, float(np.sqrt(sizes[1] / max(sizes[0], 1e-6)))


def _base_share(alpha: Pixels) -> float:
    """Say how much of the width comes down to the foot."""
    solid = alpha > 0.5
    rows = np.flatnonzero(solid.any(axis=1))
    foot = rows[-1] - 0.06 * (rows[-1] - rows[0])
    low = len(solid) - 1 - solid[::-1].argmax(axis=0)
    return float((solid.any(axis=0) & (low >= foot)).mean())


def _is_seen(value: int) -> int:
    return 255 * (value > 24)
