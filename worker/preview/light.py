"""How does light tie the product to the set: shadows, reflection, shading, grading, grain?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from worker.preview.canvas import Colour, noise, resized, smooth

if TYPE_CHECKING:
    from worker.preview.canvas import Pixels


# Above this level the film saturates slowly; slimmer things than this may stand taller.
_SHOULDER = 0.78
_SLIM = 2.0


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
    pixels: Pixels, product: Image.Image, mood: Mood, rng: np.random.Generator, *, is_card: bool
) -> Pixels:
    """Stand a cut-out on the surface; returns new pixels."""
    high, wide = pixels.shape[:2]
    fitted = _fitted(product, (wide, high), mood, rng)
    left = round(wide * (0.5 + rng.uniform(-0.035, 0.035)) - fitted.width / 2)
    top = round(high * mood.base) - fitted.height
    sheet = Image.new("RGBA", (wide, high), (0, 0, 0, 0))
    sheet.paste(fitted, (left, top))
    box = (left, top, left + fitted.width, top + fitted.height)
    out = pixels.copy()
    _cast(out, sheet.getchannel("A"), box, mood)
    if not is_card or mood.gloss > 0.05:
        _mirror(out, fitted, box, mood)
    lit = _lit(fitted, mood)
    alpha = lit[..., 3:]
    into = out[top : box[3], left : box[2]]
    into *= 1 - alpha
    into += lit[..., :3] * alpha
    return out


def _fitted(
    product: Image.Image, size_px: tuple[int, int], mood: Mood, rng: np.random.Generator
) -> Image.Image:
    wide, high = size_px
    tall = high * mood.tall * rng.uniform(0.95, 1.05)
    if product.height > _SLIM * product.width:
        tall *= 1.12
    factor = min(tall / product.height, wide * 0.64 / product.width, high * 0.7 / product.height)
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


def _cast(pixels: Pixels, alpha: Image.Image, box: tuple[int, int, int, int], mood: Mood) -> None:
    high, wide = pixels.shape[:2]
    half = max(1, wide // 2), max(1, high // 2)
    scale = half[0] / wide
    mask = np.asarray(alpha.resize(half, Image.Resampling.BOX), np.float32) / 255
    size = (box[3] - box[1]) * scale
    base = box[3] * scale
    shade = _contact(mask, base, size)
    fall = _fall(mask, base, size, mood)
    ambient = 1 - np.asarray(mood.ambient, np.float32) / max(mood.ambient) * 0.22
    shade = np.maximum(shade, fall)
    full = resized(shade, (wide, high)).clip(0, 0.93)
    pixels *= 1 - full[..., None] * (0.8 + 0.2 * ambient)


def _contact(mask: Pixels, base: float, size: float) -> Pixels:
    """Darken where the product's underside meets the surface, tight and then wider."""
    high = len(mask)
    solid = mask > 0.5
    columns = solid.any(axis=0)
    lowest = np.where(columns, high - 1 - solid[::-1].argmax(axis=0), -1)
    rise = (base - lowest) / max(size, 1)
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


def _mirror(
    pixels: Pixels, fitted: Image.Image, box: tuple[int, int, int, int], mood: Mood
) -> None:
    """Lay a faint upside-down image on the surface below the product."""
    high = len(pixels)
    room = min(high - box[3], round(fitted.height * 0.4))
    if room < 2 or mood.gloss <= 0:
        return
    lower = fitted.crop((0, fitted.height - room, fitted.width, fitted.height))
    turned = lower.transpose(Image.Transpose.FLIP_TOP_BOTTOM).convert("RGBa")
    turned = turned.filter(ImageFilter.GaussianBlur(max(1.0, fitted.height * 0.008)))
    found = np.asarray(turned, np.float32) / 255
    fade = np.linspace(1, 0, room, dtype=np.float32)[:, None, None] ** 1.6 * mood.gloss
    into = pixels[box[3] : box[3] + room, box[0] : box[2]]
    into *= 1 - found[..., 3:] * fade
    into += found[..., :3] * fade


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
