"""What does the product look like in the scene? A drawing, made from its photo without a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageOps

from worker.imaging.colour import srgb, srgb_profile
from worker.preview import label, light
from worker.preview.canvas import as_picture
from worker.preview.card import framed
from worker.preview.cutout import cut_out
from worker.preview.kept import Kept
from worker.preview.sets import Backdrop, backdrop
from worker.preview.stance import is_on_floor, laid_flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.preview.canvas import Pixels

_STAGED_LONG_PX: Final = 2304
_PHOTO_LONG_PX: Final = 1600
_MAX_PHOTO_PIXELS: Final = 120_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a photo gives: the product without its background or, if it has to be, all of it."""

    picture: Image.Image
    is_cut_out: bool
    lies: bool


def _weight(found: Found | None) -> int:
    return 0 if found is None else found.picture.width * found.picture.height * 4


# A product's scenes are asked for one after another; cutting out is the dearest part of each.
KEPT: Final[Kept[Found | None]] = Kept(max_entries=16, max_bytes=64 * 2**20, size_bytes=_weight)


def compose(
    references: Sequence[bytes],
    *,
    prompt: str,
    scene: str,
    width_px: int,
    height_px: int,
    seed: int,
) -> bytes:
    """Set the first readable photo's product into a drawn scene, as a JPEG.

    The same arguments give the same bytes. Never raises for what a photo is like: a background that
    isn't plain is kept and shown as a framed print, and without any photo the set stays empty.
    What is larger than 2304 px is staged in that size and enlarged.
    """
    rng = np.random.default_rng(_seeded(seed, scene))
    scale = min(1.0, _STAGED_LONG_PX / max(width_px, height_px))
    size_px = max(8, round(width_px * scale)), max(8, round(height_px * scale))
    found = _first_readable(references)
    on_floor = found is not None and found.is_cut_out and is_on_floor(prompt, found.picture.size)
    stage = backdrop(scene, prompt=prompt, size_px=size_px, seed=seed, on_floor=on_floor)
    pixels = _filling(stage, size_px)
    if found is not None:
        pixels = _with_product(pixels, found, stage, rng)
    picture = as_picture(light.finished(pixels, stage.mood, rng))
    if picture.size != (width_px, height_px):
        picture = picture.resize((width_px, height_px), Image.Resampling.LANCZOS)
    return _encoded(label.tagged(picture))


def _seeded(seed: int, scene: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{scene}".encode()).digest()[:8])


def _filling(stage: Backdrop, size_px: tuple[int, int]) -> Pixels:
    """Give the set in the frame's size, as floats of the caller's own."""
    high, wide = stage.pixels.shape[:2]
    drawn = np.ascontiguousarray(stage.pixels)
    if (wide, high) != size_px:
        drawn = np.asarray(Image.fromarray(drawn).resize(size_px, Image.Resampling.LANCZOS))
    pixels = drawn.astype(np.float32)
    pixels /= 255
    return pixels


def _first_readable(references: Sequence[bytes]) -> Found | None:
    for content in references:
        key = hashlib.sha256(content).digest()
        found = KEPT.get(key, partial(_found, content))
        if found is not None:
            return found
    return None


def _found(content: bytes) -> Found | None:
    photo = _opened(content)
    if photo is None:
        return None
    cut = cut_out(photo)
    if cut is None:
        return Found(picture=photo.convert("RGB"), is_cut_out=False, lies=False)
    flat = laid_flat(cut.picture)
    return Found(picture=flat or cut.picture, is_cut_out=True, lies=flat is not None)


def _opened(content: bytes) -> Image.Image | None:
    try:
        opened = Image.open(BytesIO(content))
        if opened.width * opened.height > _MAX_PHOTO_PIXELS:
            return None
        opened.draft("RGB", (_PHOTO_LONG_PX, _PHOTO_LONG_PX))
        photo = ImageOps.exif_transpose(opened)
        photo.thumbnail((_PHOTO_LONG_PX, _PHOTO_LONG_PX))
        return _plain(photo)
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return None


def _plain(photo: Image.Image) -> Image.Image:
    if photo.has_transparency_data:
        return photo.convert("RGBA")
    if photo.mode.startswith("I"):
        photo = photo.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return srgb(photo)[0]


def _with_product(
    pixels: Pixels, found: Found, stage: Backdrop, rng: np.random.Generator
) -> Pixels:
    if found.is_cut_out:
        stance = light.Stance.LYING if found.lies else light.Stance.STANDING
        return light.placed(pixels, found.picture, stage.mood, rng, stance=stance)
    longest_px = max(320, round(0.8 * max(pixels.shape[:2])))
    card = framed(found.picture, stage.mood, longest_px=longest_px)
    return light.placed(pixels, card, stage.mood, rng, stance=light.Stance.FRAMED)


def _encoded(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(
        out,
        "JPEG",
        quality=92,
        subsampling=0,
        icc_profile=srgb_profile(),
        exif=label.exif().tobytes(),
    )
    return out.getvalue()
