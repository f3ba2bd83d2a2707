"""How are the living room, the kitchen and the studio drawn?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.preview import daylight, surfaces
from worker.preview.canvas import Colour, Point, mix, rgb, scaled
from worker.preview.light import Mood
from worker.preview.painting import COOL, WARM, finish_surface, half, onto, sided
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas

# wall top, wall low, wood, textile, accent
_LIVING = (
    ("#d9d2c6", "#c9c0b1", "#a9774a", "#8d8f7f", "#b5653f"),
    ("#c5cabf", "#b1b7a9", "#b98a5c", "#d8cfbf", "#c79a4b"),
    ("#ccd1d4", "#b6bdc3", "#8f6240", "#5c6f80", "#d0a070"),
    ("#dcc7b4", "#cbb29c", "#7d5233", "#e2d8c8", "#6f7d5f"),
    ("#aab3a4", "#959f8e", "#c39b70", "#c8bca6", "#a8503c"),
)


def living_room(canvas: Canvas, variant: int) -> Mood:
    """A sofa, a floor lamp and a plant behind a wooden tabletop."""
    wall_top, wall_low, wood, textile, accent = (rgb(code) for code in _LIVING[variant % 5])
    left = variant % 2 == 0
    far = half(canvas)
    daylight.wall(far, wall_top, wall_low, from_left=left, floor=0.66)
    _picture(far, accent, wall_low, left=left)
    daylight.window_light(
        far, from_left=left, top=0.02, foot=0.56, strength=0.16, colour=(1.14, 1.05, 0.9)
    )
    _sofa(far, textile, accent, left=left)
    lamp = variant % 3
    if lamp != 0:
        _floor_lamp(far, left=left)
    _tall_plant(far, (0.9 if left else 0.1, 0.7), 0.36 + 0.05 * (variant % 3), left=left)
    daylight.haze(far, from_left=left, colour=rgb("#ffe2b4"), strength=0.3)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.655, eye=0.36)
    table = surfaces.wood(canvas.rng, floor, wood, boards=3.2, seams=0.42)
    finish_surface(canvas, floor, table, left=left, sheen=rgb("#fff0d8"))
    return Mood(
        from_left=left,
        key=WARM,
        ambient=COOL,
        gloss=0.10,
        shadow=0.5,
        hardness=0.45,
        variant=variant,
    )


def _sofa(far: Canvas, textile: Colour, accent: Colour, *, left: bool) -> None:
    sofa = layer(far, from_left=left)
    middle = 0.36 if left else 0.64
    sofa.box((middle, 0.70), (0.98, 0.26), scaled(textile, 0.86), round_=0.05)
    for step in (-1, 0, 1):
        sofa.box((middle + step * 0.29, 0.60), (0.30, 0.15), scaled(textile, 1.0), round_=0.035)
    for side in (-1, 1):
        sofa.box((middle + side * 0.46, 0.72), (0.12, 0.22), scaled(textile, 0.94), round_=0.05)
    sofa.box((middle - 0.22, 0.605), (0.17, 0.135), accent, round_=0.03)
    sofa.box((middle + 0.2, 0.605), (0.15, 0.12), mix(accent, (0.95, 0.92, 0.86), 0.7), round_=0.03)
    sofa.lay(0.013)


def _picture(far: Canvas, accent: Colour, wall: Colour, *, left: bool) -> None:
    art = layer(far, from_left=left)
    x = 0.66 if left else 0.34
    for offset, size in ((0.0, (0.2, 0.27)), (0.24, (0.15, 0.2))):
        place = (x + (offset if left else -offset), 0.36)
        art.box(place, size, (0.2, 0.17, 0.14))
        inner = (place[0], place[1] - 0.012)
        art.box(inner, (size[0] - 0.02, size[1] - 0.022), (0.93, 0.91, 0.86))
        art.box(
            (inner[0], inner[1] - size[1] * 0.16),
            (size[0] * 0.5, size[1] * 0.5),
            mix(accent, wall, 0.35),
        )
    art.lay(0.0085)


def _floor_lamp(far: Canvas, *, left: bool) -> None:
    x = 0.12 if left else 0.88
    far.glow(far.spot((x, 0.27), (0.34, 0.26)) * 0.5, (1.0, 0.78, 0.48))
    lamp = layer(far, from_left=left)
    lamp.line([(x, 0.28), (x, 0.7)], 0.014, (0.24, 0.2, 0.16))
    lamp.turned("shade", (x, 0.32), (0.24, 0.17), (1.0, 0.88, 0.68))
    lamp.lay(0.010)
    far.glow(far.spot((x, 0.26), (0.10, 0.07)) * 0.5, (1.0, 0.9, 0.7))


def _tall_plant(far: Canvas, place: Point, size: float, *, left: bool) -> None:
    plant = layer(far, from_left=left)
    plant.plant((place[0], place[1] - 0.10), size, (0.22, 0.36, 0.2), leaves=17, broad=0.24)
    plant.turned("pot", place, (0.2, 0.17), (0.82, 0.78, 0.7))
    plant.lay(0.011)


_KITCHEN = (
    ("#e6d3b4", "#d9bd94", "#a66a38", "#efe6d6", "#c98a3c"),
    ("#d8c7a6", "#c7ae84", "#8a5630", "#dfe3da", "#7f8f6a"),
    ("#e8d8c2", "#dcc09c", "#b77d47", "#f2ece0", "#b4532f"),
    ("#cdbb9b", "#b89d76", "#70452a", "#e8dcc8", "#d4a24c"),
    ("#e0c9ae", "#cfae88", "#96602f", "#cfd6cf", "#a3683e"),
)


def golden_hour_kitchen(canvas: Canvas, variant: int) -> Mood:
    """A low sun over a wooden worktop: tiles, a shelf, hanging lamps, jars and herbs."""
    wall_top, wall_low, wood, tile, accent = (rgb(code) for code in _KITCHEN[variant % 5])
    left = variant % 2 == 1
    far = half(canvas)
    daylight.wall(far, wall_top, wall_low, from_left=left, floor=0.62)
    _backsplash(far, tile)
    _window(far, rgb("#ffdf9e"), left=left)
    daylight.window_light(
        far, from_left=left, top=0.06, foot=0.6, strength=0.26, colour=(1.22, 1.02, 0.74)
    )
    _shelf(far, wood, accent, left=left)
    _counter_things(far, accent, variant, left=left)
    if variant % 3 != 1:
        _pendants(far, accent, left=left)
    daylight.haze(far, from_left=left, colour=rgb("#ffc873"), strength=0.55)
    daylight.bokeh(
        far,
        count=9,
        top=0.08,
        foot=0.5,
        size=0.03,
        colours=[rgb("#ffd58a"), rgb("#ffe9c0")],
        strength=0.22,
    )
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.645, eye=0.34)
    boards = surfaces.wood(canvas.rng, floor, wood, boards=2.4, seams=0.3)
    if variant % 4 == 2:
        boards = surfaces.marble(canvas.rng, floor, rgb("#e6ddd0"), rgb("#a39382"))
    finish_surface(canvas, floor, boards, left=left, sheen=rgb("#ffd896"), strength=0.42)
    return Mood(
        from_left=left,
        key=(1.0, 0.84, 0.62),
        ambient=(0.93, 0.92, 0.95),
        gloss=0.13,
        shadow=0.58,
        hardness=0.6,
        contrast=0.14,
        variant=variant,
    )


def _backsplash(far: Canvas, tile: Colour) -> None:
    sheet = layer(far, from_left=True)
    wide, high = 0.13, 0.052
    rows = 7
    for row in range(rows):
        y = 0.64 - row * high * far.unit_px / far.height_px
        for column in range(-1, round(far.width_px / far.unit_px / wide) + 2):
            x = (column + 0.5 * (row % 2)) * wide * far.unit_px / far.width_px
            tone = scaled(tile, far.rng.uniform(0.86, 1.0))
            sheet.box((x, y), (wide - 0.006, high - 0.006), tone)
    sheet.lay(0.005)


def _window(far: Canvas, light: Colour, *, left: bool) -> None:
    x = 0.1 if left else 0.9
    sheet = layer(far, from_left=left)
    sheet.area((x - 0.16, 0.06), (x + 0.16, 0.50), scaled(light, 1.0))
    for offset in (-0.16, 0.0, 0.16):
        sheet.line([(x + offset, 0.05), (x + offset, 0.51)], 0.018, (0.62, 0.5, 0.38))
    for y in (0.06, 0.28, 0.5):
        sheet.line([(x - 0.17, y), (x + 0.17, y)], 0.016, (0.62, 0.5, 0.38))
    sheet.lay(0.012)
    far.glow(far.spot((x, 0.26), (0.26, 0.3)) * 0.75, light)


def _shelf(far: Canvas, wood: Colour, accent: Colour, *, left: bool) -> None:
    rng = far.rng
    shelf = layer(far, from_left=left)
    start, end = (0.46, 1.02) if left else (-0.02, 0.54)
    y = 0.30
    shelf.area((start, y), (end, y + 0.017), scaled(wood, 0.9))
    shelf.area((start, y + 0.017), (end, y + 0.024), scaled(wood, 0.5))
    places = [start + 0.08 + step * 0.105 for step in range(5)]
    shapes = ("jar", "bottle", "bowl", "vase", "jar", "pot")
    colours = (accent, (0.9, 0.87, 0.8), (0.4, 0.45, 0.36), (0.85, 0.72, 0.5), (0.55, 0.35, 0.22))
    for x in places:
        shape = shapes[int(rng.integers(len(shapes)))]
        colour = colours[int(rng.integers(len(colours)))]
        wide = 0.12 if shape == "bowl" else 0.075
        tall = {"bottle": 0.17, "bowl": 0.055, "vase": 0.13, "jar": 0.1, "pot": 0.075}[shape]
        shelf.turned(shape, (x, y + 0.002), (wide, tall * rng.uniform(0.85, 1.15)), colour)
        if shape == "pot":
            shelf.plant((x, y - 0.05), 0.11, (0.33, 0.45, 0.2), leaves=11, broad=0.3)
    shelf.lay(0.0095)


def _counter_things(far: Canvas, accent: Colour, variant: int, *, left: bool) -> None:
    things = layer(far, from_left=left)
    side = sided(left=left)
    foot = 0.668
    things.turned("bottle", (side(0.86), foot), (0.085, 0.30), (0.36, 0.36, 0.16))
    things.turned("jar", (side(0.96), foot), (0.13, 0.19), (0.88, 0.8, 0.68))
    things.turned("pot", (side(0.13), foot), (0.15, 0.12), scaled(accent, 0.95))
    things.plant((side(0.13), foot - 0.085), 0.24, (0.32, 0.44, 0.17), leaves=21, broad=0.26)
    if variant % 2:
        for step, x in enumerate((0.70, 0.745, 0.79)):
            things.ball((side(x), foot - 0.045 - 0.012 * (step % 2)), 0.035, (0.95, 0.72, 0.2))
        things.turned("bowl", (side(0.745), foot), (0.2, 0.07), (0.9, 0.86, 0.78))
    things.lay(0.0115)


def _pendants(far: Canvas, accent: Colour, *, left: bool) -> None:
    lamps = layer(far, from_left=left)
    places = (0.44, 0.70) if left else (0.30, 0.56)
    for x in places:
        lamps.line([(x, -0.02), (x, 0.1)], 0.006, (0.2, 0.16, 0.12))
        lamps.turned("dome", (x, 0.155), (0.17, 0.09), scaled(accent, 0.7))
        lamps.ball((x, 0.158), 0.026, (1.0, 0.93, 0.75))
    lamps.lay(0.009)
    for x in places:
        far.glow(far.spot((x, 0.165), (0.15, 0.09)) * 0.55, (1.0, 0.82, 0.5))


def studio(canvas: Canvas, variant: int) -> Mood:
    """A sweep of paper in a calm colour, with the shadow of a window."""
    tones = ("#d9d2c7", "#cdd3d1", "#d9c8b8", "#c9c6cf", "#d0d2c2")
    tone = rgb(tones[variant % 5])
    left = variant % 2 == 0
    far = half(canvas)
    daylight.wall(far, scaled(tone, 1.0), scaled(tone, 1.06), from_left=left, floor=0.62)
    daylight.window_light(
        far,
        from_left=left,
        top=0.04,
        foot=0.6,
        strength=0.12,
        colour=(1.08, 1.03, 0.96),
        leaves=variant % 3 != 0,
    )
    daylight.haze(far, from_left=left, colour=(1.0, 0.96, 0.9), strength=0.25)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.6, eye=0.2)
    paper = surfaces.stone(canvas.rng, floor, scaled(tone, 0.98), rough=0.25)
    finish_surface(canvas, floor, paper, left=left, sheen=(1.0, 0.97, 0.92), edge=0.16)
    return Mood(from_left=left, key=WARM, ambient=COOL, gloss=0.06, shadow=0.42, variant=variant)
