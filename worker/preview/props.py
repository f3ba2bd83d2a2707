"""What stands about in a set, out of focus? Shaded shapes on transparent layers."""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from worker.preview.canvas import Colour, Point, mix, scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.preview.canvas import Canvas

_BOTTLE = ((0.3, 0), (0.3, 0.22), (0.34, 0.3), (0.9, 0.46), (1, 0.56), (1, 0.97), (0.92, 1))
_VASE = ((0.5, 0), (0.42, 0.1), (0.5, 0.25), (0.92, 0.5), (1, 0.66), (0.85, 0.88), (0.55, 1))
_BOWL = ((1, 0), (0.97, 0.2), (0.84, 0.55), (0.58, 0.85), (0.42, 0.93), (0.42, 1))
_POT = ((1, 0), (1, 0.14), (0.93, 0.15), (0.74, 1))
_JAR = ((0.8, 0), (0.8, 0.16), (1, 0.2), (1, 0.95), (0.94, 1))
_SHADE = ((0.55, 0), (1, 1))
_DOME = ((0.12, 0), (0.14, 0.2), (0.5, 0.34), (0.82, 0.6), (1, 1))
_CANDLE = ((1, 0), (1, 1))
PROFILES = {
    "bottle": _BOTTLE,
    "vase": _VASE,
    "bowl": _BOWL,
    "pot": _POT,
    "jar": _JAR,
    "shade": _SHADE,
    "dome": _DOME,
    "candle": _CANDLE,
}


@dataclass(slots=True)
class Layer:
    """A transparent sheet over a canvas; lengths in it are in units of the canvas, places too.

    A place is ``(x, y)``: a share of the frame's width and of its height.
    """

    canvas: Canvas
    from_left: bool
    sheet: Image.Image

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.sheet)

    def px(self, length: float) -> float:
        return length * self.canvas.unit_px

    def at(self, place: Point) -> Point:
        return place[0] * self.canvas.width_px, place[1] * self.canvas.height_px

    def lay(self, blur: float) -> None:
        """Put the layer on its canvas, out of focus by ``blur`` units."""
        self.canvas.lay(self.sheet, blur_px=blur * self.canvas.unit_px)

    def box(self, place: Point, size: Point, colour: Colour, *, round_: float = 0.0) -> None:
        """A block standing at ``place`` (the middle of its foot), lit from the side."""
        x, foot = self.at(place)
        wide, high = self.px(size[0]), self.px(size[1])
        if wide < 2 or high < 2:
            return
        mask = Image.new("L", (round(wide), round(high)), 0)
        ImageDraw.Draw(mask).rounded_rectangle(
            (0, 0, wide - 1, high - 1), self.px(round_), fill=255
        )
        self._stamp(mask, (x - wide / 2, foot - high), colour, roundness=0.25)

    def turned(self, shape: str, place: Point, size: Point, colour: Colour) -> None:
        """A vessel off the potter's wheel, standing at ``place``."""
        x, foot = self.at(place)
        wide, high = self.px(size[0]), self.px(size[1])
        if wide < 3 or high < 3:
            return
        outline = PROFILES[shape]
        right = [(wide / 2 * (1 + share), high * down) for share, down in outline]
        left = [(wide / 2 * (1 - share), high * down) for share, down in reversed(outline)]
        mask = Image.new("L", (round(wide) + 1, round(high) + 1), 0)
        ImageDraw.Draw(mask).polygon(right + left, fill=255)
        self._stamp(mask, (x - wide / 2, foot - high), colour, roundness=1.0)

    def ball(self, centre: Point, radius: float, colour: Colour) -> None:
        """A fruit, a bauble or a lamp: lit from the upper side."""
        x, y = self.at(centre)
        size = max(3, round(2 * self.px(radius)))
        mask = Image.new("L", (size, size), 0)
        ImageDraw.Draw(mask).ellipse((0, 0, size - 1, size - 1), fill=255)
        self._stamp(mask, (x - size / 2, y - size / 2), colour, roundness=1.0, upper=0.5)

    def _stamp(
        self,
        mask: Image.Image,
        corner: Point,
        colour: Colour,
        *,
        roundness: float,
        upper: float = 0.2,
    ) -> None:
        across = np.linspace(-1, 1, mask.width, dtype=np.float32)[None, :]
        down = np.linspace(-1, 1, mask.height, dtype=np.float32)[:, None]
        side = across if self.from_left else -across
        round_ = 1.08 - 0.62 * (((side + 0.42) / 1.42).clip(-1, 1) ** 2)
        level = (1 - roundness) * (1 - 0.12 * side) + roundness * round_
        level = level * (1 - upper * 0.5 * (down + 0.4))
        pixels = (np.asarray(colour, np.float32) * level[..., None]).clip(0, 1)
        shape = Image.fromarray((pixels * 255).astype(np.uint8)).convert("RGBA")
        shape.putalpha(mask)
        x, y = round(corner[0]), round(corner[1])
        if not (-mask.width < x < self.sheet.width and -mask.height < y < self.sheet.height):
            return
        self.sheet.alpha_composite(shape, (max(0, x), max(0, y)), (max(0, -x), max(0, -y)))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        self.draw.line(
            [self.at(point) for point in points],
            fill=_ink(colour),
            width=max(1, round(self.px(width))),
        )

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self.draw.polygon([self.at(point) for point in points], fill=_ink(colour))

    def area(self, upper: Point, lower: Point, colour: Colour, *, round_: float = 0.0) -> None:
        self.draw.rounded_rectangle(
            (self.at(upper), self.at(lower)), self.px(round_), fill=_ink(colour)
        )

    def leaf(self, foot: Point, angle: float, length: float, width: float, colour: Colour) -> None:
        """One leaf from ``foot`` (pixels), bending under its weight; its halves differ in shade."""
        spine = _spine(foot, angle, self.px(length))
        self._blade(spine, self.px(width), colour)

    def _blade(self, spine: list[Point], width_px: float, colour: Colour) -> None:
        ways = np.gradient(np.asarray(spine), axis=0)
        normal = np.stack([-ways[:, 1], ways[:, 0]], axis=-1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        share = np.linspace(0, 1, len(spine))
        half = (np.sin(np.pi * share**0.8) * width_px / 2)[:, None]
        middle = np.asarray(spine)
        lit = 1.14 if self.from_left else 0.86
        for side, level in ((1, lit), (-1, 2 - lit)):
            edge = middle + side * normal * half
            points = [tuple(point) for point in np.concatenate([middle, edge[::-1]])]
            self.draw.polygon(points, fill=_ink(scaled(colour, level)))

    def plant(
        self, place: Point, size: float, green: Colour, *, leaves: int = 15, broad: float = 0.3
    ) -> None:
        """A bush of leaves out of one foot."""
        rng = self.canvas.rng
        foot = self.at(place)
        for step in range(leaves):
            turn = (step + 0.5) / leaves * 2 - 1
            angle = -np.pi / 2 + turn * 1.25 + rng.normal(0, 0.12)
            length = size * (1 - 0.25 * abs(turn)) * rng.uniform(0.75, 1.1)
            tint = scaled(
                mix(green, (0.75, 0.78, 0.45), rng.uniform(0, 0.28)), rng.uniform(0.7, 1.2)
            )
            self.leaf(foot, angle, length, size * broad * rng.uniform(0.7, 1.1), tint)

    def fir(self, place: Point, tall: float, green: Colour) -> None:
        """A fir: boughs that hang, longer and darker towards the foot."""
        rng = self.canvas.rng
        x, foot = self.at(place)
        for tier in range(12):
            share = 1 - tier / 12
            y = foot - self.px(tall) * (1 - share)
            for step in range(-4, 5):
                reach = tall * 0.34 * share * rng.uniform(0.8, 1.1)
                angle = np.pi / 2 - step * 0.29
                tint = scaled(green, (1.15 - 0.4 * share) * rng.uniform(0.75, 1.2))
                self.leaf((x, y - self.px(reach) * 0.7), angle, reach, reach * 0.34, tint)

    def palm(self, foot: Point, angle: float, length: float, colour: Colour) -> None:
        """A palm or fern frond (``foot`` in pixels): leaflets along a bent rib."""
        spine = _spine(foot, angle, self.px(length), bend=0.9, steps=26)
        for index in range(2, len(spine) - 1):
            share = index / len(spine)
            way = np.arctan2(
                spine[index + 1][1] - spine[index][1], spine[index + 1][0] - spine[index][0]
            )
            reach = length * 0.36 * np.sin(np.pi * (0.12 + 0.86 * share)) ** 0.7
            for side in (-1, 1):
                self.leaf(spine[index], way + side * 0.85, reach, reach * 0.11, colour)


def layer(canvas: Canvas, *, from_left: bool) -> Layer:
    """Start an empty layer of the canvas's size."""
    size_px = canvas.width_px, canvas.height_px
    return Layer(canvas, from_left, Image.new("RGBA", size_px, (0, 0, 0, 0)))


def _spine(
    foot: Point, angle: float, length_px: float, *, bend: float = 0.55, steps: int = 12
) -> list[Point]:
    """Follow a stem that gravity pulls down."""
    points = [foot]
    x, y = foot
    lean = np.cos(angle)
    for step in range(steps):
        way = angle + bend * lean * (step / steps) ** 1.3
        x += float(np.cos(way)) * length_px / steps
        y += float(np.sin(way)) * length_px / steps
        points.append((x, y))
    return points


def _ink(colour: Colour) -> tuple[int, int, int, int]:
    red, green, blue = (min(255, max(0, round(band * 255))) for band in colour)
    return red, green, blue, 255
