"""How does light tie the product to the set: shadows, reflection, shading, grading, grain?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from worker.preview.canvas import Colour, noise, resized, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.preview.canvas import Pixels


# Above this level the film saturates slowly; slimmer things than this may stand taller.
_SHOULDER = 0.78
_SLIM = 2.0


class Stance(Enum):
    """How a product is on its surface: a thing on its foot, one lying flat, a print in a frame."""

    STANDING = "standing"
    LYING = "lying"
    FRAMED = "framed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """A set's light: where it comes from, its colours, and how the surface takes it.

    ``gloss`` is how much the surface mirrors, ``shadow`` how dark the cast shadow is, ``hardness``
    how sharp. ``base`` and ``tall`` are shares of the frame's height: where the product stands and
    how high it is.
    """

    from_left: bool
    key: Colour
    ambient: Colour
    gloss: float = 0.12
    shadow: float = 0.5
    hardness: float = 0.4
    base: float = 0.8
    tall: float = 0.54
    contrast: float = 0.12
    exposure: float = 1.0
    vignette: float = 0.22
    variant: int = 0


def placed(
    pixels: Pixels, product: Image.Image, mood: Mood, rng: np.random.Generator, *, stance: Stance
) -> Pixels:
    """Put a cut-out on the surface, with its shadow and reflection: into ``pixels``."""
    high, wide = pixels.shape[:2]
    fitted = _fitted(product, (wide, high), mood, rng)
    left = round(wide * (0.5 + rng.uniform(-0.035, 0.035)) - fitted.width / 2)
    top = round(high * mood.base) - fitted.height
    alpha_sheet = Image.new("L", (wide, high), 0)
    alpha_sheet.paste(fitted.getchannel("A"), (left, top))
    box = (left, top, left + fitted.width, top + fitted.height)
    _cast(pixels, alpha_sheet, box, mood, lies=stance is Stance.LYING)
    if stance is Stance.STANDING or (stance is Stance.FRAMED and mood.gloss > 0.05):
        _mirror(pixels, fitted, box, mood)
    lit = _lit(fitted, mood)
    alpha = lit[..., 3:]
    into = pixels[top : box[3], left : box[2]]
    into *= 1 - alpha
    into += lit[..., :3] * alpha
    return pixels


def _fitted(
    product: Image.Image, size_px: tuple[int, int], mood: Mood, rng: np.random.Generator
) -> Image.Image:
    wide, high = size_px
    tall = high * mood.tall * rng.uniform(0.95, 1.05)
    if product.height > _SLIM * product.width:
        tall *= 1.12
    factor = min(tall / product.height, wide * 0.64 / product.width, high * 0.74 / product.height)
    shape = max(1, round(product.width * factor)), max(1, round(product.height * factor))
    return product.convert("RGBa").resize(shape, Image.Resampling.LANCZOS).convert("RGBA")


def _lit(fitted: Image.Image, mood: Mood) -> Pixels:
    """Shade the product as the set's light would."""
    found = np.asarray(fitted, np.float32) / 255
    high, wide = found.shape[:2]
    across = np.linspace(0, 1, wide, dtype=np.float32)[None, :]
    down = np.linspace(0, 1, high, dtype=np.float32)[:, None]
    away = across if mood.from_left else 1 - across
    light = 1.02 - 0.14 * smooth(away, 0.1, 1.0) - 0.10 * smooth(down, 0.55, 1.0)
    key, ambient = np.asarray(mood.key, np.float32), np.asarray(mood.ambient, np.float32)
    share = smooth(away, 0.0, 1.0)[..., None] * np.ones_like(down)[..., None]
    colour = key * (1 - share) + ambient * share
    colour = colour / colour.mean(axis=-1, keepdims=True)
    lit = found.copy()
    lit[..., :3] = found[..., :3] * (mood.exposure * light[..., None]) * (0.45 + 0.55 * colour)
    return lit


def _cast(
    pixels: Pixels, alpha: Image.Image, box: tuple[int, int, int, int], mood: Mood, *, lies: bool
) -> None:
    high, wide = pixels.shape[:2]
    half = max(1, wide // 2), max(1, high // 2)
    scale = half[0] / wide
    mask = np.asarray(alpha.resize(half, Image.Resampling.BOX), np.float32) / 255
    size = (box[3] - box[1]) * scale
    base = box[3] * scale
    if lies:
        size = max(size, 0.5 * (box[2] - box[0]) * scale)
    shade = _contact(mask, base, size, lies=lies)
    fall = _beside(mask, size, mood) if lies else _fall(mask, base, size, mood)
    ambient = 1 - np.asarray(mood.ambient, np.float32) / max(mood.ambient) * 0.22
    shade = np.maximum(shade, fall)
    full = resized(shade, (wide, high)).clip(0, 0.93)
    pixels *= 1 - full[..., None] * (0.8 + 0.2 * ambient)


def _contact(mask: Pixels, base: float, size: float, *, lies: bool) -> Pixels:
    """Darken where the product's underside meets the surface, tight and then wider.

    What lies flat touches the surface along its whole length.
    """
    high = len(mask)
    solid = mask > 0.5
    columns = solid.any(axis=0)
    lowest = np.where(columns, high - 1 - solid[::-1].argmax(axis=0), -1)
    rise = (base - lowest) / max(size, 1) * (0.0 if lies else 1.0)
    weight = np.where(columns, np.exp(-((rise / 0.13) ** 2)), 0).astype(np.float32)
    rows = np.arange(high)[:, None]
    thick = max(1.0, size * 0.012)
    band = (rows <= lowest[None, :] + thick) & (rows >= lowest[None, :] - size * 0.03)
    tight = _soft(band * weight[None, :], max(0.8, size * 0.009))
    wider = _soft(band * weight[None, :], size * 0.045)
    broad = _soft(band * weight[None, :], size * 0.12)
    shade: Pixels = (0.8 * tight + 1.3 * wider + 1.2 * broad).clip(0, 0.9)
    return shade


def _fall(mask: Pixels, base: float, size: float, mood: Mood) -> Pixels:
    """Throw the silhouette onto the surface, away from the light, softer with distance."""
    high, wide = mask.shape
    lean = 1.15 if mood.from_left else -1.15
    flat = 0.26
    picture = Image.fromarray((mask * 255).astype(np.uint8))
    # A point at height h above the base falls at (lean * h, flat * h) from its foot.
    turned = picture.transform(
        (wide, high),
        Image.Transform.AFFINE,
        (1, lean / flat, -lean / flat * base, 0, 1 / flat, base - base / flat),
        Image.Resampling.BILINEAR,
    )
    thrown = np.asarray(turned, np.float32) / 255
    soft = 1 - mood.hardness
    near = _soft(thrown, size * (0.006 + 0.03 * soft))
    far = _soft(thrown, size * (0.03 + 0.09 * soft))
    reach = ((base - np.arange(high, dtype=np.float32)) / (size * flat)).clip(0, 1)[:, None]
    fade = 1 - 0.65 * reach
    thrown_soft: Pixels = mood.shadow * 1.15 * fade * (near * (1 - reach) + far * reach)
    return thrown_soft


def _beside(mask: Pixels, size: float, mood: Mood) -> Pixels:
    """Shade the surface next to a thing that lies: its outline, moved a little from the light."""
    across = round(size * 0.045) * (1 if mood.from_left else -1)
    moved = np.roll(mask, (max(1, round(size * 0.028)), across), axis=(0, 1))
    near = _soft(moved, size * 0.014)
    far = _soft(moved, size * 0.05)
    shade: Pixels = mood.shadow * (0.75 * near + 0.55 * far)
    return shade


def _mirror(
    pixels: Pixels, fitted: Image.Image, box: tuple[int, int, int, int], mood: Mood
) -> None:
    """Lay a faint upside-down image below the product, column by column from its lowest pixel.

    Where the underside is high above the foot, the surface mirrors little of it.
    """
    found = np.asarray(fitted.convert("RGBa"))
    high, wide = found.shape[:2]
    reach = round(high * 0.32)
    if reach < 2 or mood.gloss <= 0:
        return
    lowest, weight = _underside(found[..., 3])
    below = np.arange(high - reach, high + reach)[:, None] - lowest[None, :]
    source = (lowest[None, :] - below).clip(0, high - 1)
    turned = np.take_along_axis(found, source[..., None], axis=0)
    fade = (1 - below / reach).clip(0, 1) ** 1.6 * ((below > 0) & (below < reach)) * weight
    share = (fade * mood.gloss).astype(np.float32)[..., None]
    turned = _softened(turned * share, max(1.0, high * 0.008))
    top = box[1] + high - reach
    into = pixels[top : top + 2 * reach, box[0] : box[0] + wide]
    turned = turned[: len(into)]
    into *= 1 - turned[..., 3:]
    into += turned[..., :3]


def _underside(alpha: NDArray[np.uint8]) -> tuple[NDArray[np.intp], Pixels]:
    """Give each column's lowest solid row, and how near to the foot it is: 1 to 0."""
    high = len(alpha)
    solid = alpha > 127
    lowest = np.where(solid.any(axis=0), high - 1 - solid[::-1].argmax(axis=0), 0)
    weight: Pixels = np.exp(-(((high - lowest) / (0.16 * high)) ** 2)) * solid.any(axis=0)
    return lowest, weight.astype(np.float32)


def _softened(premultiplied: Pixels, radius_px: float) -> Pixels:
    layer = (premultiplied + 0.5).astype(np.uint8)
    picture = Image.fromarray(layer, "RGBa").filter(ImageFilter.GaussianBlur(radius_px))
    return np.asarray(picture, np.float32) / 255


def finished(pixels: Pixels, mood: Mood, rng: np.random.Generator) -> Pixels:
    """Grade, darken the corners and add grain, as one camera would over the whole."""
    high, wide = pixels.shape[:2]
    out = pixels.clip(0, 2)
    # Highlights roll off instead of being cut.
    over = (out - _SHOULDER).clip(0)
    out = np.minimum(out, _SHOULDER) + (1 - _SHOULDER) * (1 - np.exp(-over / (1 - _SHOULDER)))
    out = out + mood.contrast * (out - 0.46) * (1 - np.abs(2 * out - 1)) * 2
    x = np.linspace(-1, 1, wide, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, high, dtype=np.float32)[:, None]
    out *= (1 - mood.vignette * smooth(x * x + y * y, 0.5, 2.1))[..., None]
    grain = noise(rng, (high, wide), max(1.0, min(high, wide) / 900))
    level = (out[..., 0] + out[..., 1] + out[..., 2]) / 3
    out += (grain * 0.011 * (1 - 0.55 * np.abs(2 * level - 1)))[..., None]
    graded: Pixels = out.astype(np.float32)
    return graded


def _soft(mask: Pixels, radius_px: float) -> Pixels:
    picture = Image.fromarray((mask * 255).clip(0, 255).astype(np.uint8))
    soft = picture.filter(ImageFilter.GaussianBlur(radius_px))
    return np.asarray(soft, np.float32) / 255
