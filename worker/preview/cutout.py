"""Where in a photo is the product? Plain backgrounds only; anything else is left alone.

The background is flooded from the frame: it may change slowly, as light and soft shadows do, but
not across an edge. What the flood can't reach is the product, whatever its colour, so a white
product on white keeps its inside. The edge's alpha is read from the colours on both its sides.
"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.preview.canvas import Pixels

    Mask = NDArray[np.bool_]

_SEARCH_PX = 400
_FULL_PX = 1024
_MAX_SWEEPS = 60
_GAP_PX = 4
_HALF = 127
_MIN_SLOPE = 0.03
_MIN_TRACED = 0.84
"""Of the photos that ship, well cut ones trace at least 0.87 of their outline along an edge, and
those that took ground for product at most 0.80 (2026-11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A product without its background: ``RGBA``, cropped; ``confidence`` is 0 to 1."""

    picture: Image.Image
    confidence: float


def cut_out(photo: Image.Image) -> Cutout | None:
    """Separate a product from a plain background; ``None`` if the background isn't plain."""
    if photo.has_transparency_data:
        return _by_alpha(photo.convert("RGBA"))
    return _by_flood(photo.convert("RGB"))


def _by_alpha(photo: Image.Image) -> Cutout | None:
    photo.thumbnail((_FULL_PX, _FULL_PX))
    alpha = photo.getchannel("A")
    share = float(np.asarray(alpha.point(lambda value: 255 * (value > 127)), np.float32).mean())
    if share > 0.985 * 255:
        return _by_flood(photo.convert("RGB"))
    box = alpha.point(lambda value: 255 * (value > 16)).getbbox()
    if box is None or share < 0.002 * 255:
        return None
    return Cutout(picture=photo.crop(box), confidence=1.0)


def _by_flood(photo: Image.Image) -> Cutout | None:
    if min(photo.size) < 24 or max(photo.size) > 12 * min(photo.size):
        return None
    photo = photo.copy()
    photo.thumbnail((_FULL_PX, _FULL_PX), Image.Resampling.LANCZOS)
    small = photo.copy()
    small.thumbnail((_SEARCH_PX, _SEARCH_PX), Image.Resampling.BOX)
    product = _product(small)
    confidence = 0.0 if product is None else _confidence(product)
    if product is None or confidence < 0.5:
        return None
    photo, product = _closer(photo, product)
    alpha, colours = _matte(photo, product)
    box = alpha.point(lambda value: 255 * (value > 24)).getbbox()
    if box is None:
        return None
    colours.putalpha(alpha)
    return Cutout(picture=colours.crop(box), confidence=confidence)


def _product(small: Image.Image) -> Mask | None:
    """Find the product in a small photo; ``None`` if the frame isn't plain."""
    seen = np.asarray(small.filter(ImageFilter.GaussianBlur(0.7)), np.float32) / 255
    ground, rest = _ground(seen)
    if rest > 0.09:
        return None
    passable = _passable(seen, ground)
    reached = _flooded_behind_gaps(passable)
    edge = np.concatenate([reached[0], reached[-1], reached[:, 0], reached[:, -1]])
    if edge.mean() < 0.72:
        return None
    product = _whole(_without_crumbs(_closed(~reached)))
    product = _without_crumbs(_without_shadow_rags(product, seen, ground))
    product = _smoothed(product & ~_seen_through(product, seen, ground))
    return product if _traced(product, seen) >= _MIN_TRACED else None


def _traced(product: Mask, seen: Pixels) -> float:
    """Say how much of the outline runs along something that can be seen in the photo.

    Ground that was taken for product ends nowhere in particular.
    """
    outline = product & ~_eroded(product, 1)
    if not outline.any():
        return 0.0
    down, across = np.gradient(seen, axis=(0, 1))
    slope = np.sqrt((down**2 + across**2).sum(axis=-1))
    return float((outline & _dilated(slope > _MIN_SLOPE, 2)).sum() / outline.sum())


def _smoothed(product: Mask) -> Mask:
    """Take small nicks out of the outline; thin parts stay as they are."""
    thin = product & ~_dilated(_eroded(product, 3), 3)
    picture = Image.fromarray(product.astype(np.uint8) * 255)
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(2.6)))
    return (soft > _HALF) | thin


def _seen_through(product: Mask, seen: Pixels, ground: Pixels) -> Mask:
    """Find the ground inside loops and handles; only a coloured ground can be told from product."""
    coloured = _most(ground) + _most(-ground) > 0.22
    like = _most(np.abs(seen - ground)) < 0.09
    return _dilated(_eroded(product & coloured & like, 1), 1)


def _ground(seen: Pixels) -> tuple[Pixels, float]:
    """Fit a slowly changing background to the frame; also say how badly it fits."""
    high, wide = seen.shape[:2]
    rows, columns = np.mgrid[0:high, 0:wide].astype(np.float32)
    across, down = columns / wide * 2 - 1, rows / high * 2 - 1
    terms = np.stack(
        [np.ones_like(across), across, down, across * down, across**2, down**2], axis=-1
    )
    rim = np.zeros((high, wide), bool)
    depth = max(2, min(high, wide) // 40)
    rim[:depth], rim[-depth:], rim[:, :depth], rim[:, -depth:] = True, True, True, True
    known, values = terms[rim], seen[rim]
    keep = np.ones(len(known), bool)
    off = np.zeros(len(known), np.float32)
    found = np.zeros((6, 3), np.float32)
    for _ in range(4):
        found = np.linalg.lstsq(known[keep], values[keep], rcond=None)[0]
        off = np.abs(known @ found - values).max(axis=1)
        keep = off <= max(0.02, float(np.quantile(off, 0.8)))
    return (terms @ found).clip(0.02, 1), float(np.quantile(off, 0.7))


def _passable(seen: Pixels, ground: Pixels) -> Mask:
    """Say which pixels may be background: no edge there, and the ground's tint, lit or shaded."""
    ratio = seen / ground
    level = _mean(ratio)
    tint = (ratio - level[..., None]) * ground
    tinted = _most(np.abs(tint)) > 0.05 + 0.05 * (1 - level).clip(0, 1)
    dark = (level < 0.3) & (_mean(seen) < _mean(ground) - 0.12)
    bright = _mean(seen - ground) > 0.12
    passable: Mask = ~(_edges(seen) | tinted | dark | bright)
    return passable


def _edges(seen: Pixels) -> Mask:
    """Mark sharp changes; the slow ones of a soft shadow are no edges."""
    padded = np.pad(seen, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = _most(np.abs(padded[1:-1, 2:] - padded[1:-1, :-2]))
    down = _most(np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1]))
    slope = np.hypot(across, down)
    wide = np.asarray(
        Image.fromarray((slope * 255).clip(0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(6)),
        np.float32,
    )
    rim = np.concatenate([slope[0], slope[-1], slope[:, 0], slope[:, -1]])
    calm = min(0.016, max(0.007, 2.2 * float(np.quantile(rim, 0.9))))
    return slope > calm + 1.15 * wide / 255


def _flooded_behind_gaps(passable: Mask) -> Mask:
    """Flood so that gaps of a few pixels in an outline hold, then let the flood close up to it."""
    reached = _flooded(_eroded(passable, _GAP_PX))
    for _ in range(_GAP_PX + 3):
        reached = _dilated(reached, 1) & passable
    return reached


def _flooded(passable: Mask) -> Mask:
    """Reach every passable pixel from the frame, along rows and columns by turns."""
    reached = np.zeros_like(passable)
    reached[0], reached[-1], reached[:, 0], reached[:, -1] = True, True, True, True
    return _flooded_from(passable, reached & passable)


def _flooded_from(passable: Mask, reached: Mask) -> Mask:
    count = 0
    for _ in range(_MAX_SWEEPS):
        reached = _along_rows(passable, reached)
        reached = _along_rows(passable.T, reached.T).T
        now = int(reached.sum())
        if now == count:
            break
        count = now
    return reached


def _along_rows(passable: Mask, reached: Mask) -> Mask:
    walled = np.pad(passable, ((0, 0), (1, 0)))
    runs = np.cumsum(~walled.ravel())
    hit = np.zeros(int(runs[-1]) + 1, bool)
    hit[runs[np.pad(reached, ((0, 0), (1, 0))).ravel()]] = True
    return hit[runs].reshape(walled.shape)[:, 1:] & passable


def _closed(mask: Mask) -> Mask:
    """Shut the small gaps in an outline and take off what is thinner than it."""
    return _dilated(_eroded(_dilated(mask, 1), 2), 1)


def _dilated(mask: Mask, radius: int) -> Mask:
    """Grow a mask by a square; the frame's edge repeats outwards."""
    for _ in range(2):
        padded = np.pad(mask, ((radius + 1, radius), (0, 0)), mode="edge")
        sums = np.cumsum(padded, axis=0, dtype=np.int32)
        mask = (sums[2 * radius + 1 :] > sums[: -2 * radius - 1]).T
    return mask


def _eroded(mask: Mask, radius: int) -> Mask:
    return ~_dilated(~mask, radius)


def _without_shadow_rags(product: Mask, seen: Pixels, ground: Pixels) -> Mask:
    """Take off thin rags at the product's foot that have the tint of the ground in shade."""
    radius = max(2, round(0.05 * float(product.sum()) ** 0.5))
    thick = _dilated(_eroded(product, radius), radius)
    ratio = seen / ground
    level = _mean(ratio)
    tint = _most(np.abs((ratio - level[..., None]) * ground))
    shaded = (level > 0.3) & (level < 1.1) & (tint < 0.06)
    rows = np.flatnonzero(product.any(axis=1))
    if not rows.size:
        return product
    low = np.arange(len(product))[:, None] > rows[0] + 0.55 * (rows[-1] - rows[0])
    rags = product & ~thick & shaded & low
    kept = _dilated(_eroded(product & ~rags, 1), 1)
    foot = np.arange(len(product))[:, None] > rows[0] + 0.86 * (rows[-1] - rows[0])
    even = kept & shaded & (level > 0.42) & (level < 0.92) & foot & ~_edges(seen)
    return _dilated(_eroded(kept & ~_dilated(_patches(kept, even), 2), 1), 1)


def _patches(product: Mask, even: Mask) -> Mask:
    """Find small even patches at the rim: pieces of shadow that an edge kept from the flood."""
    left = _flooded_from(even, even & _dilated(~product, 4))
    found = np.zeros_like(product)
    for _ in range(6):
        if not left.any():
            break
        piece = _largest_piece(left)
        left &= ~piece
        if piece.sum() < 0.015 * product.sum():
            found |= piece
    return found


def _without_crumbs(mask: Mask) -> Mask:
    """Keep the largest piece, and the others that are not tiny beside it."""
    kept = np.zeros_like(mask)
    left = mask.copy()
    largest = 0
    for _ in range(12):
        if not left.any():
            break
        piece = _largest_piece(left)
        size = int(piece.sum())
        largest = max(largest, size)
        if size >= 0.04 * largest:
            kept |= piece
        left &= ~piece
    return kept


def _largest_piece(mask: Mask) -> Mask:
    """Take the piece with the longest run of pixels, which is nearly always the largest."""
    start = np.zeros_like(mask)
    walled = np.pad(mask, ((0, 0), (1, 0)))
    runs = np.cumsum(~walled.ravel())
    lengths = np.bincount(runs[walled.ravel()])
    longest = (runs == int(lengths.argmax())).reshape(walled.shape)[:, 1:]
    start |= longest & mask
    for _ in range(_MAX_SWEEPS):
        grown = _along_rows(mask.T, _along_rows(mask, start).T).T
        if int(grown.sum()) == int(start.sum()):
            break
        start = grown
    return start


def _whole(mask: Mask) -> Mask:
    """Fill what the outline encloses."""
    padded = np.pad(~mask, 1, constant_values=True)
    return ~_flooded(padded)[1:-1, 1:-1]


def _confidence(product: Mask) -> float:
    """Doubt products that fill the frame, are cut off by it, or are hardly there."""
    share = float(product.mean())
    if not 0.004 < share < 0.8:
        return 0.0
    if _is_scattered(product):
        return 0.0
    sides = (product[0], product[-1], product[:, 0], product[:, -1])
    touching = sum(float(side.mean()) for side in sides)
    return max(0.0, 1.0 - 1.6 * touching - 1.7 * max(0.0, _hollow(product) - 0.25))


def _is_scattered(product: Mask) -> bool:
    """Tell a flat lay of several things, which can't stand, from one thing or two."""
    left, sizes = product.copy(), []
    for _ in range(4):
        if not left.any():
            break
        piece = _largest_piece(left)
        left &= ~piece
        sizes.append(int(piece.sum()))
    return len(sizes) == 4 and min(sizes) > 0.1 * max(sizes)


def _hollow(product: Mask) -> float:
    """Say how much lies between upper and lower outlines, as a share of what was found.

    A flood that broke into a product leaves its outline standing like that.
    """
    above = np.logical_or.accumulate(product, axis=0)
    below = np.logical_or.accumulate(product[::-1], axis=0)[::-1]
    return float((above & below & ~product).sum() / product.sum())


def _closer(photo: Image.Image, product: Mask) -> tuple[Image.Image, Mask]:
    """Crop both to the product with some ground around it."""
    high, wide = product.shape
    rows, columns = np.flatnonzero(product.any(axis=1)), np.flatnonzero(product.any(axis=0))
    margin = 14
    top, low = max(0, int(rows[0]) - margin), min(high, int(rows[-1]) + 1 + margin)
    left, right = max(0, int(columns[0]) - margin), min(wide, int(columns[-1]) + 1 + margin)
    across, down = photo.width / wide, photo.height / high
    box = (round(left * across), round(top * down), round(right * across), round(low * down))
    return photo.crop(box), product[top:low, left:right]


def _matte(photo: Image.Image, product: Mask) -> tuple[Image.Image, Image.Image]:
    """Give the alpha at full size, and the photo with the background's colour out of its edge."""
    rough = Image.fromarray(product.astype(np.uint8) * 255)
    scale = max(1.0, photo.width / rough.width)
    rough = rough.resize(photo.size, Image.Resampling.BICUBIC)
    band_px = 1.0 + 1.4 * scale
    soft = np.asarray(rough.filter(ImageFilter.GaussianBlur(0.5 * scale)), np.float32) / 255
    wide = np.asarray(rough.filter(ImageFilter.GaussianBlur(band_px)), np.float32) / 255
    seen = np.asarray(photo, np.float32) / 255
    inside = _spread(seen, wide > 0.93, 2.5 * band_px)
    outside = _spread(seen, wide < 0.05, 2.5 * band_px)
    apart = inside - outside
    reach = 3 * _mean(apart**2)
    share = (3 * _mean((seen - outside) * apart) / np.maximum(reach, 1e-4)).clip(0, 1)
    trust = ((reach - 0.01) / 0.05).clip(0, 1)
    alpha = soft * (1 - trust) + share * trust
    alpha = np.where(wide > 0.93, 1.0, np.where(wide < 0.05, 0.0, alpha))
    alpha = ((alpha - 0.08) / 0.88).clip(0, 1)
    edge = (1 - alpha)[..., None] * (wide < 0.97)[..., None]
    clean = seen * (1 - edge) + inside * edge
    return (
        Image.fromarray((alpha * 255).astype(np.uint8)),
        Image.fromarray((clean * 255 + 0.5).clip(0, 255).astype(np.uint8)),
    )


def _spread(seen: Pixels, where: Mask, radius_px: float) -> Pixels:
    """Carry colours from where they are sure to where they aren't."""
    layer = np.dstack([seen * where[..., None], where]) * 255
    soft = Image.fromarray(layer.astype(np.uint8), "RGBa").filter(ImageFilter.BoxBlur(radius_px))
    found = np.asarray(soft, np.float32)
    known = found[..., 3:]
    carried = np.where(known > 2, found[..., :3] / np.maximum(known, 1), seen)
    return carried.clip(0, 1).astype(np.float32)


def _most(bands: Pixels) -> Pixels:
    """The largest of three bands; numpy's own is ten times slower along so short an axis."""
    return np.maximum(np.maximum(bands[..., 0], bands[..., 1]), bands[..., 2])


def _mean(bands: Pixels) -> Pixels:
    mean: Pixels = (bands[..., 0] + bands[..., 1] + bands[..., 2]) / 3
    return mean
