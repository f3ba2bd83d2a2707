"""How are the cafe and the loft drawn?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.preview import daylight, surfaces
from worker.preview.canvas import mix, rgb, scaled
from worker.preview.light import Mood
from worker.preview.painting import finish_surface, half, onto, paired, sided
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas, Colour


def cafe_table(canvas: Canvas, variant: int) -> Mood:
    """A dim cafe full of lights behind a small round table."""
    left = variant % 2 == 1
    tone, wood = paired(
        variant,
        ("#6d5644", "#4c5a54", "#74584a", "#53484a", "#7a6650"),
        ("#7d5030", "#94683f", "#5f3c26", "#a8794c", "#6e4830"),
    )
    far = half(canvas)
    far.fill(
        [(0, scaled(tone, 0.7)), (0.5, tone), (0.7, scaled(tone, 0.55)), (1, scaled(tone, 0.4))]
    )
    side = sided(left=left)
    things = layer(far, from_left=left)
    things.area((side(0.5) - 0.55, 0.1), (side(0.5) - 0.1, 0.46), rgb("#e8d6b0"))
    things.box((side(0.72), 0.7), (0.6, 0.2), scaled(wood, 0.7))
    for x in (0.5, 0.6, 0.7, 0.82, 0.92):
        things.turned(
            "bottle",
            (side(x), 0.42),
            (0.055, far.rng.uniform(0.12, 0.18)),
            scaled(tone, far.rng.uniform(0.7, 1.5)),
        )
    things.area(
        (min(side(0.44), side(0.98)), 0.42), (max(side(0.44), side(0.98)), 0.435), scaled(wood, 0.8)
    )
    for x in (0.16, 0.34):
        things.box((side(x), 0.7), (0.13, 0.22), scaled(wood, 0.5), round_=0.04)
    things.lay(0.02)
    daylight.bokeh(
        far,
        count=34,
        top=0.02,
        foot=0.5,
        size=0.036,
        colours=[rgb("#ffcf86"), rgb("#ffe3b4"), rgb("#ffb564")],
        strength=0.6,
    )
    daylight.haze(far, from_left=left, colour=rgb("#ffdca4"), strength=0.4)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.655, eye=0.38)
    finish_surface(
        canvas,
        floor,
        surfaces.wood(canvas.rng, floor, wood, boards=2.0, seams=0.3),
        left=left,
        sheen=rgb("#ffdca6"),
        strength=0.5,
    )
    return Mood(
        from_left=left,
        key=(1.0, 0.88, 0.7),
        ambient=(0.95, 0.9, 0.88),
        gloss=0.18,
        shadow=0.5,
        variant=variant,
    )


def loft(canvas: Canvas, variant: int) -> Mood:
    """Brick, steel windows and bulbs behind a concrete top."""
    left = variant % 2 == 1
    tone, wood = paired(
        variant,
        ("#9c6650", "#8b6a58", "#a87458", "#7d6259", "#b0806a"),
        ("#9a9a96", "#8c8781", "#a39c92", "#8f9496", "#b0aaa0"),
    )
    far = half(canvas)
    daylight.wall(far, scaled(tone, 0.75), scaled(tone, 0.68), from_left=left, floor=0.66)
    _bricks(far, tone)
    side = sided(left=left)
    window = layer(far, from_left=left)
    start, end = sorted((side(-0.05), side(0.36)))
    window.area((start, 0.04), (end, 0.54), rgb("#eef3f2"))
    for step in range(5):
        x = start + (end - start) * step / 4
        window.line([(x, 0.04), (x, 0.54)], 0.011, (0.13, 0.13, 0.14))
        y = 0.04 + 0.125 * step
        window.line([(start, y), (end, y)], 0.011, (0.13, 0.13, 0.14))
    window.lay(0.010)
    far.glow(far.spot((side(0.14), 0.28), (0.34, 0.36)) * 0.5, (0.96, 0.98, 1.0))
    bulbs = layer(far, from_left=left)
    places = [side(x) for x in (0.56, 0.72, 0.88)]
    for index, x in enumerate(places):
        bulbs.line([(x, -0.02), (x, 0.14 + 0.04 * (index % 2))], 0.005, (0.1, 0.1, 0.1))
        bulbs.ball((x, 0.165 + 0.04 * (index % 2)), 0.026, (1.0, 0.86, 0.56))
    bulbs.plant((side(0.95), 0.66), 0.36, (0.24, 0.36, 0.22), leaves=19, broad=0.24)
    bulbs.lay(0.010)
    for index, x in enumerate(places):
        far.glow(far.spot((x, 0.165 + 0.04 * (index % 2)), (0.12, 0.09)) * 0.7, (1.0, 0.8, 0.46))
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.655, eye=0.36)
    finish_surface(
        canvas,
        floor,
        surfaces.stone(canvas.rng, floor, wood, rough=1.5),
        left=left,
        sheen=(0.98, 0.98, 1.0),
    )
    return Mood(
        from_left=left,
        key=(1.0, 0.97, 0.92),
        ambient=(1.0, 0.92, 0.84),
        gloss=0.12,
        shadow=0.5,
        variant=variant,
    )


def _bricks(far: Canvas, tone: Colour) -> None:
    sheet = layer(far, from_left=True)
    wide, high = 0.125, 0.04
    for row in range(round(0.7 * far.height_px / far.unit_px / high) + 1):
        y = 0.70 - row * high * far.unit_px / far.height_px
        for column in range(-1, round(far.width_px / far.unit_px / wide) + 2):
            x = (column + 0.5 * (row % 2)) * wide * far.unit_px / far.width_px
            shade = scaled(
                mix(tone, rgb("#d9b79c"), far.rng.uniform(0, 0.25)), far.rng.uniform(0.75, 1.05)
            )
            sheet.box((x, y), (wide - 0.008, high - 0.008), shade)
    sheet.lay(0.0055)
