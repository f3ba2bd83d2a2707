"""What does the product look like in the scene? A drawing, made from its photo without a model."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from worker.imaging.colour import srgb, srgb_profile
from worker.preview import label, light
from worker.preview.canvas import as_picture, resized
from worker.preview.card import framed
from worker.preview.cutout import cut_out
from worker.preview.sets import Backdrop, backdrop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.preview.canvas import Pixels

_DRAWN_LONG_PX = 1536
_PHOTO_LONG_PX = 1600
_MAX_PHOTO_PIXELS = 120_000_000


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
    """
    rng = np.random.default_rng(_seeded(seed, scene))
    scale = min(1.0, _DRAWN_LONG_PX / max(width_px, height_px))
    size_px = max(8, round(width_px * scale)), max(8, round(height_px * scale))
    stage = backdrop(scene, prompt=prompt, size_px=size_px, seed=seed)
    pixels: Pixels = stage.pixels.astype(np.float32) / 255
    if size_px != (width_px, height_px):
        pixels = resized(pixels, (width_px, height_px))
    photo = _first_readable(references)
    if photo is not None:
        pixels = _with_product(pixels, photo, stage, rng)
    finished = light.finished(pixels, stage.mood, rng)
    return _encoded(label.tagged(as_picture(finished)))


def _seeded(seed: int, scene: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{scene}".encode()).digest()[:8])


def _first_readable(references: Sequence[bytes]) -> Image.Image | None:
    for content in references:
        photo = _opened(content)
        if photo is not None:
            return photo
    return None


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
    pixels: Pixels, photo: Image.Image, stage: Backdrop, rng: np.random.Generator
) -> Pixels:
    found = cut_out(photo)
    if found is None:
        return light.placed(pixels, framed(photo, stage.mood), stage.mood, rng, is_card=True)
    return light.placed(pixels, found.picture, stage.mood, rng, is_card=False)


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
