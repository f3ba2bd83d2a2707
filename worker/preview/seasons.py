"""How are the winter window and the festive table drawn?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.preview import daylight, surfaces
from worker.preview.canvas import mix, rgb, scaled
from worker.preview.light import Mood
from worker.preview.painting import finish_surface, half, onto, paired, sided
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas


def winter_window(canvas: Canvas, variant: int) -> Mood:
    """Snow and trees behind a window, candles on its sill."""
    left = variant % 2 == 0
    tone, wood = paired(
        variant,
        ("#b9cbdc", "#c6d0da", "#a9bfd4", "#cdd3dc", "#b4c8d0"),
        ("#c8b296", "#8f6f52", "#dcd2c4", "#a58566", "#76583f"),
    )
    far = half(canvas)
    far.fill(
        [
            (0, scaled(tone, 0.92)),
            (0.42, mix(tone, (1, 1, 1), 0.5)),
            (0.5, (0.93, 0.95, 0.98)),
            (1, (0.9, 0.93, 0.97)),
        ]
    )
    trees = layer(far, from_left=left)
    for _ in range(11):
        x, tall = far.rng.uniform(-0.05, 1.05), far.rng.uniform(0.16, 0.42)
        trees.fir((x, 0.57), tall, mix(rgb("#3e5a58"), tone, far.rng.uniform(0.2, 0.65)))
    trees.lay(0.009)
    daylight.bokeh(far, count=60, top=0, foot=0.62, size=0.013, colours=[(1, 1, 1)], strength=0.8)
    frame = layer(far, from_left=left)
    for x in (0.02, 0.5 + (0.17 if left else -0.17), 0.98):
        frame.line([(x, 0), (x, 0.68)], 0.045, (0.95, 0.94, 0.92))
    frame.line([(0, 0.2), (1, 0.2)], 0.03, (0.93, 0.92, 0.9))
    side = sided(left=left)
    places = [(side(0.12), 0.15), (side(0.21), 0.1), (side(0.9), 0.13)]
    for x, tall in places:
        frame.turned("candle", (x, 0.685), (0.06, tall), (0.93, 0.88, 0.78))
        frame.ball((x, 0.68 - tall * far.unit_px / far.height_px - 0.01), 0.012, (1.0, 0.9, 0.6))
    frame.lay(0.010)
    for x, tall in places:
        far.glow(
            far.spot((x, 0.67 - tall * far.unit_px / far.height_px), (0.1, 0.08)) * 0.85,
            (1.0, 0.78, 0.42),
        )
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.655, eye=0.36)
    finish_surface(
        canvas,
        floor,
        surfaces.wood(canvas.rng, floor, wood, boards=2.4, seams=0.35),
        left=left,
        sheen=(0.95, 0.98, 1.0),
    )
    return Mood(
        from_left=left,
        key=(0.97, 0.98, 1.0),
        ambient=(1.0, 0.92, 0.82),
        gloss=0.14,
        shadow=0.4,
        hardness=0.25,
        variant=variant,
    )


def festive_table(canvas: Canvas, variant: int) -> Mood:
    """A fir with lights, baubles and candles behind a linen cloth."""
    left = variant % 2 == 1
    tone, accent = paired(
        variant,
        ("#5e3a34", "#31473c", "#4a3f52", "#6a5038", "#3a4350"),
        ("#b8322c", "#c9a24a", "#a8443e", "#d8c48c", "#8f2f3a"),
    )
    far = half(canvas)
    daylight.wall(far, scaled(tone, 0.9), tone, from_left=left, floor=0.66)
    side = sided(left=left)
    x = side(0.8)
    tree = layer(far, from_left=left)
    tree.fir((x, 0.7), 0.8, rgb("#36523a"))
    for _ in range(16):
        down = far.rng.uniform(0.12, 0.6)
        tree.ball((x + far.rng.uniform(-0.4, 0.4) * down, down), 0.02, accent)
    tree.lay(0.012)
    table = layer(far, from_left=left)
    places = [(side(0.08), 0.24), (side(0.17), 0.17), (side(0.27), 0.21)]
    for place, tall in places:
        table.turned("candle", (place, 0.68), (0.036, tall), (0.94, 0.89, 0.8))
        table.ball(
            (place, 0.675 - tall * far.unit_px / far.height_px - 0.01), 0.011, (1.0, 0.92, 0.66)
        )
    table.box((side(0.86), 0.69), (0.2, 0.15), accent)
    table.box((side(0.86), 0.69), (0.03, 0.15), (0.93, 0.86, 0.68))
    table.lay(0.011)
    for place, tall in places:
        far.glow(
            far.spot((place, 0.66 - tall * far.unit_px / far.height_px), (0.13, 0.1)) * 0.85,
            (1.0, 0.78, 0.42),
        )
    daylight.bokeh(
        far,
        count=64,
        top=0.02,
        foot=0.62,
        size=0.022,
        colours=[rgb("#ffd58c"), rgb("#ffe6b8"), rgb("#ffb65c")],
        strength=0.75,
    )
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.655, eye=0.36)
    linen = surfaces.cloth(canvas.rng, floor, rgb(("#e6ddcc", "#d8d0c0", "#c9b8a0")[variant % 3]))
    finish_surface(canvas, floor, linen, left=left, sheen=rgb("#ffe2b0"), strength=0.3, mirror=0.05)
    return Mood(
        from_left=left,
        key=(1.0, 0.88, 0.7),
        ambient=(0.98, 0.9, 0.9),
        gloss=0.03,
        shadow=0.46,
        variant=variant,
    )
