"""What is a set painted on: float pixels, soft noise, blurred layers and masks?

Colours are display sRGB between 0 and 1. Every random choice comes from the caller's generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.floating[Any]]

Colour = tuple[float, float, float]
Point = tuple[float, float]

_FLAT = 2


@dataclass(slots=True, kw_only=True)
class Canvas:
    """A picture being painted, ``unit_px`` being the measure of things in it."""

    width_px: int
    height_px: int
    rng: np.random.Generator
    pixels: Pixels = field(init=False)

    def __post_init__(self) -> None:
        self.pixels = np.zeros((self.height_px, self.width_px, 3), np.float32)

    @property
    def unit_px(self) -> float:
        """The shorter side, or a little more in long frames."""
        return float(min(self.width_px, self.height_px * 1.15, 1.3 * self.width_px))

    @property
    def x(self) -> Pixels:
        """Columns as a row of 0 to 1."""
        return np.linspace(0, 1, self.width_px, dtype=np.float32)[None, :]

    @property
    def y(self) -> Pixels:
        """Rows as a column of 0 to 1."""
        return np.linspace(0, 1, self.height_px, dtype=np.float32)[:, None]

    def fill(self, stops: Sequence[tuple[float, Colour]]) -> None:
        """Paint a vertical gradient over everything."""
        self.pixels[:] = ramp(self.y[:, 0], stops)[:, None, :]

    def lay(self, layer: Image.Image, *, blur_px: float = 0.0) -> None:
        """Paint an ``RGBA`` layer of the canvas's size, out of focus by ``blur_px``."""
        soft = layer.convert("RGBa")
        if blur_px > 0:
            soft = soft.filter(ImageFilter.GaussianBlur(blur_px))
        found = np.asarray(soft, np.float32) / 255
        self.pixels *= 1 - found[..., 3:]
        self.pixels += found[..., :3]

    def shine(self, mask: Pixels, colour: Colour) -> None:
        """Multiply light in: where ``mask`` is 1, pixels become ``colour`` times themselves."""
        self.pixels *= 1 + mask[..., None] * (np.asarray(colour, np.float32) - 1)

    def glow(self, mask: Pixels, colour: Colour) -> None:
        """Add light, as a lens does around lamps; never beyond white."""
        self.pixels += mask[..., None] * np.asarray(colour, np.float32) * (1 - self.pixels).clip(0)

    def noise(self, cell_px: float, stretch: Point = (1.0, 1.0)) -> Pixels:
        """Make soft noise of mean 0 and deviation near 1, with cells of ``cell_px``."""
        return noise(self.rng, (self.height_px, self.width_px), cell_px, stretch)

    def mask(self, draw: Callable[[ImageDraw.ImageDraw], None], *, blur_px: float = 0.0) -> Pixels:
        """Draw in white on black and give it back as 0 to 1."""
        sheet = Image.new("L", (self.width_px, self.height_px), 0)
        draw(ImageDraw.Draw(sheet))
        if blur_px > 0:
            sheet = sheet.filter(ImageFilter.GaussianBlur(blur_px))
        return np.asarray(sheet, np.float32) / 255

    def spot(self, centre: Point, radius: Point) -> Pixels:
        """A soft round patch: ``centre`` and ``radius`` as shares of width and height."""
        across = ((self.x - centre[0]) / radius[0]) ** 2
        down = ((self.y - centre[1]) / radius[1]) ** 2
        patch: Pixels = np.exp(-(across + down)).astype(np.float32)
        return patch


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cell_px: float, stretch: Point = (1.0, 1.0)
) -> Pixels:
    """Make soft noise of mean 0 and deviation near 1; ``stretch`` lengthens its cells."""
    high, wide = shape
    rows = max(2, round(high / (cell_px * stretch[1])) + 2)
    columns = max(2, round(wide / (cell_px * stretch[0])) + 2)
    seeds = rng.standard_normal((min(rows, high + 2), min(columns, wide + 2)), np.float32)
    grown = Image.fromarray(seeds).resize((wide, high), Image.Resampling.BICUBIC)
    return np.asarray(grown, np.float32) * 1.3


def ramp(places: Pixels, stops: Sequence[tuple[float, Colour]]) -> Pixels:
    """Interpolate colours at ``places`` between ``(place, colour)`` stops."""
    at = [stop[0] for stop in stops]
    bands = [np.interp(places, at, [stop[1][band] for stop in stops]) for band in range(3)]
    return np.stack(bands, axis=-1).astype(np.float32)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` is the second's."""
    red, green, blue = (
        one * (1 - share) + other * share for one, other in zip(first, second, strict=True)
    )
    return red, green, blue


def scaled(colour: Colour, factor: float) -> Colour:
    """Brighten or darken a colour."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def smooth(values: Pixels, low: float, high: float) -> Pixels:
    """Rise softly from 0 at ``low`` to 1 at ``high``."""
    share = ((values - low) / (high - low)).clip(0, 1)
    risen: Pixels = (share * share * (3 - 2 * share)).astype(np.float32)
    return risen


def as_picture(pixels: Pixels) -> Image.Image:
    """Round float pixels to an 8-bit picture."""
    return Image.fromarray((pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def resized(pixels: Pixels, size_px: tuple[int, int]) -> Pixels:
    """Scale float pixels without rounding them to 8 bits."""
    bands = pixels if pixels.ndim > _FLAT else pixels[..., None]
    grown = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(bands[..., band])).resize(
                size_px, Image.Resampling.BICUBIC
            )
        )
        for band in range(bands.shape[2])
    ]
    return np.stack(grown, axis=-1) if pixels.ndim > _FLAT else grown[0]


def rgb(code: str) -> Colour:
    """Read ``#rrggbb``."""
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue
