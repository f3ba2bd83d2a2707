"""How does light fall into a set: window panes, leaf shadows, haze, bokeh?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worker.preview.canvas import Colour, smooth
from worker.preview.props import layer

if TYPE_CHECKING:
    from PIL import ImageDraw

    from worker.preview.canvas import Canvas, Pixels


def wall(canvas: Canvas, top: Colour, low: Colour, *, from_left: bool, floor: float) -> None:
    """Paint a plastered wall that is brighter on the light's side."""
    canvas.fill([(0, top), (floor, low), (1, low)])
    away = canvas.x if from_left else 1 - canvas.x
    fall = 1.1 - 0.32 * smooth(away + 0.15 * canvas.y, 0.0, 1.15)
    plaster = 1 + 0.010 * canvas.noise(canvas.unit_px * 0.12) + 0.006 * canvas.noise(6)
    canvas.pixels *= (fall * plaster)[..., None]


def window_light(
    canvas: Canvas,
    *,
    from_left: bool,
    top: float,
    foot: float,
    strength: float,
    colour: Colour,
    leaves: bool = True,
) -> None:
    """Throw a window's slanted panes onto the wall, with the shadow of leaves in them."""
    mask = canvas.mask(
        lambda draw: _panes(draw, canvas, from_left=from_left, top=top, foot=foot),
        blur_px=canvas.unit_px * 0.011,
    )
    if leaves:
        mask = mask * (1 - 0.75 * leaf_shadow(canvas, from_left=from_left, foot=foot))
    fade = 0.72 + 0.28 * canvas.noise(canvas.unit_px * 0.4).clip(-1, 1)
    lit = np.asarray(colour, np.float32) * (1 + strength)
    canvas.pixels *= 1 + (mask * fade)[..., None] * (lit - 1)


def _panes(
    draw: ImageDraw.ImageDraw, canvas: Canvas, *, from_left: bool, top: float, foot: float
) -> None:
    wide, high, unit = canvas.width_px, canvas.height_px, canvas.unit_px
    start = canvas.rng.uniform(0.16, 0.34) * wide
    pane, gap = unit * 0.17, unit * 0.018
    rows = 3
    tall = (foot - top) * high / rows
    slant = 0.42 * unit
    for column in range(3):
        for row in range(rows):
            upper = top * high + row * tall
            lower = upper + tall - gap
            left = start + column * (pane + gap)
            corners = []
            for x, y in ((left, upper), (left + pane, upper), (left + pane, lower), (left, lower)):
                drift = (y / high - top) * slant
                sink = (x - start) * 0.16
                corners.append((x + drift, y + sink))
            if not from_left:
                corners = [(wide - x, y) for x, y in corners]
            draw.polygon(corners, fill=255)


def leaf_shadow(canvas: Canvas, *, from_left: bool, foot: float) -> Pixels:
    """Make a soft shadow of fronds that hang into the light, as 0 to 1."""
    sheet = layer(canvas, from_left=from_left)
    rng = canvas.rng
    for _ in range(4):
        x = rng.uniform(-0.1, 0.35)
        x = x if from_left else 1 - x
        start = x * canvas.width_px, rng.uniform(-0.05, foot * 0.4) * canvas.height_px
        angle = rng.uniform(0.0, 0.9)
        sheet.palm(start, angle if from_left else np.pi - angle, rng.uniform(0.5, 0.8), (0, 0, 0))
    alpha = sheet.sheet.getchannel("A")
    blur_px = canvas.unit_px * 0.014
    return canvas.mask(lambda draw: draw.bitmap((0, 0), alpha, fill=255), blur_px=blur_px)


def haze(canvas: Canvas, *, from_left: bool, colour: Colour, strength: float) -> None:
    """Let light spill in from the side."""
    side = 0.0 if from_left else 1.0
    canvas.glow(canvas.spot((side, 0.22), (0.62, 0.6)) * (0.8 * strength), colour)


def bokeh(
    canvas: Canvas,
    *,
    count: int,
    top: float,
    foot: float,
    size: float,
    colours: list[Colour],
    strength: float = 0.5,
) -> None:
    """Scatter out-of-focus lights: discs, a little brighter at their rims."""
    rng = canvas.rng
    for _ in range(count):
        centre = rng.uniform(0, 1) * canvas.width_px, rng.uniform(top, foot) * canvas.height_px
        radius = size * canvas.unit_px * rng.uniform(0.5, 1.25)
        disc(
            canvas,
            centre,
            radius,
            colours[int(rng.integers(len(colours)))],
            strength * rng.uniform(0.3, 1.0),
        )


def disc(
    canvas: Canvas, centre: tuple[float, float], radius: float, colour: Colour, strength: float
) -> None:
    """Draw one disc of light; ``centre`` and ``radius`` in pixels."""
    left, right = (
        int(max(0, centre[0] - radius - 2)),
        int(min(canvas.width_px, centre[0] + radius + 3)),
    )
    top, low = (
        int(max(0, centre[1] - radius - 2)),
        int(min(canvas.height_px, centre[1] + radius + 3)),
    )
    if left >= right or top >= low:
        return
    rows, columns = np.mgrid[top:low, left:right].astype(np.float32)
    away = np.hypot(columns - centre[0], rows - centre[1]) / radius
    disc = smooth(-away, -1.0, -0.9) * (0.72 + 0.28 * smooth(away, 0.55, 0.95)) * strength
    into = canvas.pixels[top:low, left:right]
    into += disc[..., None] * np.asarray(colour, np.float32) * (1 - into).clip(0)
