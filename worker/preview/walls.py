"""What is on a room's wall and floor: panels, two tones, tiles, a skirting board, a rug?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worker.preview.canvas import Colour, mix, noise, scaled, smooth
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas, Pixels
    from worker.preview.furnishing import Corner
    from worker.preview.surfaces import Plane


def treated(canvas: Canvas, kind: str, lower: Colour, *, floor: float, left: bool) -> None:
    """Treat a wall: ``panelled`` with mouldings, ``two-tone``, ``boarded``; otherwise plain."""
    if kind == "two-tone":
        _two_tone(canvas, lower, floor - 0.26)
    elif kind == "panelled":
        _panelled(canvas, lower, floor, left=left)


def _two_tone(canvas: Canvas, lower: Colour, line: float) -> None:
    share = smooth(canvas.y, line - 0.004, line + 0.004)[..., None]
    level = canvas.pixels.mean(axis=-1, keepdims=True)
    level = level / level.mean()
    painted = np.asarray(lower, np.float32) * level
    canvas.pixels[:] = canvas.pixels * (1 - share) + painted * share


def _panelled(canvas: Canvas, tone: Colour, floor: float, *, left: bool) -> None:
    """Frames of moulding: a light line where light falls on them, a dark one at the other side."""
    unit = canvas.unit_px / canvas.width_px
    wide, gap = 0.34 * unit, 0.06 * unit
    for upper, lower in ((0.04, floor - 0.26), (floor - 0.22, floor - 0.03)):
        for drift, colour in ((0.004, scaled(tone, 0.78)), (0.0, mix(tone, (1, 1, 1), 0.45))):
            sheet = layer(canvas, from_left=left)
            x = -0.12 * unit
            while x < 1:
                corners = [
                    (x + drift, upper + drift),
                    (x + wide + drift, upper + drift),
                    (x + wide + drift, lower + drift),
                    (x + drift, lower + drift),
                    (x + drift, upper + drift),
                ]
                sheet.line(corners, 0.008, colour)
                x += wide + gap
            sheet.lay(0.006)


def skirting(canvas: Canvas, foot: float) -> None:
    """Set a white board along the wall's foot, with a line of shade below it."""
    sheet = layer(canvas, from_left=True)
    top = foot - 0.042 * canvas.unit_px / canvas.height_px
    sheet.area((-0.01, top), (1.01, foot), (0.9, 0.88, 0.84))
    sheet.line([(0, foot + 0.001), (1, foot + 0.001)], 0.006, (0.24, 0.19, 0.15))
    sheet.line([(0, top), (1, top)], 0.003, (0.72, 0.7, 0.66))
    sheet.lay(0.0055)


def shade(corner: Corner) -> None:
    """Darken the floor along the wall, where furniture stands."""
    spot = corner.canvas.spot((0.5, corner.foot), (0.9, 0.022))
    corner.canvas.shine(spot * 0.35, (0.35, 0.3, 0.27))


def rug(rng: np.random.Generator, plane: Plane, boards: Pixels, colour: Colour) -> Pixels:
    """Lay a woven rug over a floor, its back edge a little behind the middle."""
    deep, away = plane.deep / plane.deep.max(), np.abs(plane.across - 0.05)
    share = (1 - smooth(deep, 0.66, 0.668)) * (1 - smooth(away, 0.545, 0.55)) * 0.94
    hem = (smooth(deep, 0.61, 0.616) + smooth(away, 0.505, 0.508)).clip(0, 1)
    weave = noise(rng, plane.deep.shape, 1.6, (3.0, 1.0))
    level = (1 + 0.05 * weave + 0.03 * np.sin(plane.deep * 95)) * (1 - 0.16 * hem)
    cloth = np.asarray(colour, np.float32) * level[..., None]
    edge = 1 - 0.45 * np.exp(-(((away - 0.556) / 0.012) ** 2)) * (deep < 0.668)
    under = boards * edge[..., None]
    painted: Pixels = (under + (cloth - under) * share[..., None]).astype(np.float32)
    return painted
