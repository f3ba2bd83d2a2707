"""How are the bedroom, the bathroom and the study drawn?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.preview import daylight, surfaces
from worker.preview.canvas import mix, rgb, scaled
from worker.preview.light import Mood
from worker.preview.painting import COOL, WARM, finish_surface, half, onto, paired, sided
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas, Colour
    from worker.preview.props import Layer


def bedroom(canvas: Canvas, variant: int) -> Mood:
    """A made bed and a curtain behind a bedside top."""
    left = variant % 2 == 0
    tone, cloth = paired(
        variant,
        ("#d9d0c6", "#ccd2d0", "#dccfc8", "#c9ccd6", "#d3d0bd"),
        ("#efe9df", "#dfe4e6", "#e9dbd0", "#d9dbe6", "#e6e3d2"),
    )
    far = half(canvas)
    daylight.wall(far, tone, scaled(tone, 0.93), from_left=left, floor=0.66)
    daylight.window_light(
        far, from_left=left, top=0.02, foot=0.5, strength=0.12, colour=(1.12, 1.04, 0.92)
    )
    bed = layer(far, from_left=left)
    middle = 0.62 if left else 0.38
    bed.box((middle, 0.62), (0.95, 0.3), scaled(mix(tone, rgb("#7c6a58"), 0.5), 0.9), round_=0.03)
    bed.box((middle, 0.72), (1.05, 0.2), cloth, round_=0.05)
    for offset, colour in ((-0.24, cloth), (0.2, cloth), (-0.02, mix(cloth, rgb("#a98468"), 0.5))):
        bed.box(
            (middle + offset, 0.61), (0.34 if colour is cloth else 0.22, 0.13), colour, round_=0.05
        )
    bed.lay(0.014)
    _curtain(far, left=left, colour=mix(cloth, (1, 1, 1), 0.4))
    daylight.haze(far, from_left=left, colour=rgb("#fff0d8"), strength=0.45)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.66, eye=0.36)
    top = surfaces.wood(
        canvas.rng,
        floor,
        rgb(("#c8a783", "#8d6a4c", "#d4bfa4")[variant % 3]),
        boards=2.2,
        seams=0.3,
    )
    finish_surface(canvas, floor, top, left=left, sheen=WARM)
    return Mood(
        from_left=left,
        key=WARM,
        ambient=COOL,
        gloss=0.08,
        shadow=0.42,
        hardness=0.3,
        variant=variant,
    )


def _curtain(far: Canvas, *, left: bool, colour: Colour) -> None:
    sheet = layer(far, from_left=left)
    for step in range(9):
        x = -0.02 + step * 0.026
        tone = scaled(colour, 0.86 + 0.14 * (step % 2) * far.rng.uniform(0.6, 1.0))
        sheet.box((x if left else 1 - x, 0.72), (0.034, 0.95), tone)
    sheet.lay(0.010)
    far.glow(far.spot((0.06 if left else 0.94, 0.3), (0.16, 0.4)) * 0.55, (1.0, 0.96, 0.88))


def bathroom_shelf(canvas: Canvas, variant: int) -> Mood:
    """Tiles, bottles and towels behind a stone shelf."""
    left = variant % 2 == 1
    tone, towel = paired(
        variant,
        ("#dfe5e3", "#d2ddd6", "#e6ddd2", "#c9d8de", "#dcdcd6"),
        ("#8fa79c", "#c79f86", "#7d93a6", "#e9e2d6", "#b3a58c"),
    )
    far = half(canvas)
    daylight.wall(far, tone, scaled(tone, 0.95), from_left=left, floor=0.66)
    _wall_tiles(far, tone)
    daylight.window_light(
        far, from_left=left, top=0.04, foot=0.55, strength=0.1, colour=(1.08, 1.05, 1.0)
    )
    things = layer(far, from_left=left)
    side = sided(left=left)
    for step in range(3):
        things.box(
            (side(0.86), 0.69 - 0.046 * step),
            (0.3, 0.055),
            mix(towel, (1, 1, 1), 0.28 * step),
            round_=0.025,
        )
    things.turned("bottle", (side(0.1), 0.69), (0.09, 0.26), rgb("#7a5236"))
    things.turned("jar", (side(0.22), 0.69), (0.1, 0.13), (0.95, 0.94, 0.9))
    things.turned("pot", (side(0.66), 0.685), (0.11, 0.085), (0.92, 0.9, 0.86))
    things.plant((side(0.66), 0.63), 0.2, (0.32, 0.48, 0.3), leaves=19, broad=0.3)
    things.lay(0.0105)
    daylight.haze(far, from_left=left, colour=(1.0, 0.99, 0.95), strength=0.45)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.66, eye=0.36)
    stone = surfaces.marble(canvas.rng, floor, rgb("#e9e8e4"), rgb("#9aa09f"))
    finish_surface(canvas, floor, stone, left=left, sheen=(1, 1, 1), strength=0.15)
    return Mood(
        from_left=left,
        key=(1.0, 0.97, 0.93),
        ambient=COOL,
        gloss=0.2,
        shadow=0.36,
        hardness=0.3,
        variant=variant,
    )


def _wall_tiles(far: Canvas, tone: Colour) -> None:
    sheet = layer(far, from_left=True)
    size = 0.105
    rows, columns = (
        round(0.7 * far.height_px / far.unit_px / size) + 1,
        round(far.width_px / far.unit_px / size) + 1,
    )
    for row in range(rows):
        for column in range(columns):
            place = (
                (column + 0.5) * size * far.unit_px / far.width_px,
                0.70 - row * size * far.unit_px / far.height_px,
            )
            sheet.box(
                place, (size - 0.006, size - 0.006), scaled(tone, far.rng.uniform(0.93, 1.02))
            )
    far_copy = far.pixels.copy()
    sheet.lay(0.005)
    far.pixels[:] = 0.45 * far_copy + 0.55 * far.pixels


def home_office(canvas: Canvas, variant: int) -> Mood:
    """Shelves with books, a screen and a desk lamp behind a desk."""
    left = variant % 2 == 0
    tone, accent = paired(
        variant,
        ("#d5d3cc", "#b9c4c6", "#d8cbb9", "#a7b2ab", "#c9c8d2"),
        ("#3f5a6b", "#b26b3f", "#556b4c", "#c79a4a", "#7b4a42"),
    )
    far = half(canvas)
    daylight.wall(far, tone, scaled(tone, 0.92), from_left=left, floor=0.66)
    daylight.window_light(
        far, from_left=left, top=0.02, foot=0.55, strength=0.12, colour=(1.1, 1.04, 0.94)
    )
    side = sided(left=left)
    things = layer(far, from_left=left)
    for y in (0.2, 0.38):
        _books(things, side(0.72), y, accent)
    things.lay(0.010)
    desk = layer(far, from_left=left)
    desk.turned("pot", (side(0.93), 0.685), (0.14, 0.12), (0.9, 0.88, 0.83))
    desk.plant((side(0.93), 0.61), 0.28, (0.27, 0.4, 0.24), leaves=19, broad=0.26)
    desk.line([(side(0.1), 0.68), (side(0.06), 0.5), (side(0.16), 0.4)], 0.012, (0.17, 0.16, 0.15))
    desk.turned("dome", (side(0.18), 0.44), (0.15, 0.085), (0.17, 0.16, 0.15))
    for step, shade in enumerate((accent, (0.88, 0.84, 0.76), scaled(accent, 0.6))):
        desk.box((side(0.26), 0.685 - 0.022 * step), (0.22 - 0.02 * step, 0.027), shade)
    desk.lay(0.011)
    far.glow(far.spot((side(0.18), 0.46), (0.14, 0.12)) * 0.5, (1.0, 0.84, 0.58))
    daylight.haze(far, from_left=left, colour=rgb("#fff1da"), strength=0.35)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.66, eye=0.36)
    top = surfaces.wood(
        canvas.rng,
        floor,
        rgb(("#a57c55", "#c7a682", "#6f4d34")[variant % 3]),
        boards=1.8,
        seams=0.25,
    )
    finish_surface(canvas, floor, top, left=left, sheen=WARM)
    return Mood(from_left=left, key=WARM, ambient=COOL, gloss=0.1, shadow=0.46, variant=variant)


def _books(things: Layer, middle: float, y: float, accent: Colour) -> None:
    rng = things.canvas.rng
    things.area((middle - 0.27, y), (middle + 0.27, y + 0.016), rgb("#8a6646"))
    x = middle - 0.22
    colours = (accent, (0.87, 0.83, 0.74), (0.33, 0.34, 0.36), (0.69, 0.5, 0.34), (0.5, 0.55, 0.5))
    while x < middle + 0.2:
        wide = rng.uniform(0.018, 0.034)
        if rng.uniform() < 0.8:
            shade = scaled(colours[int(rng.integers(5))], rng.uniform(0.8, 1.1))
            things.box((x, y), (wide, rng.uniform(0.09, 0.135)), shade)
        x += wide * 1.15
