"""How are the other indoor sets drawn?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.preview import daylight, surfaces
from worker.preview.canvas import mix, rgb, scaled
from worker.preview.light import Mood
from worker.preview.painting import COOL, WARM, finish_surface, half, onto, sided
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas, Colour
    from worker.preview.props import Layer


def bedroom(canvas: Canvas, variant: int) -> Mood:
    """A made bed and a curtain behind a bedside top."""
    left = variant % 2 == 0
    tone, cloth = _pair(
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
    tone, towel = _pair(
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
    tone, accent = _pair(
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


def cafe_table(canvas: Canvas, variant: int) -> Mood:
    """A dim cafe full of lights behind a small round table."""
    left = variant % 2 == 1
    tone, wood = _pair(
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


def marble_studio(canvas: Canvas, variant: int) -> Mood:
    """Veined marble before a calm wall with the shadow of leaves."""
    left = variant % 2 == 0
    tone, vein = _pair(
        variant,
        ("#e2ddd6", "#d8cfc8", "#d5dad8", "#e0d2c6", "#cfd0d8"),
        ("#8d8a86", "#a08c74", "#7f8a8a", "#9c8678", "#868a96"),
    )
    far = half(canvas)
    daylight.wall(far, tone, scaled(tone, 1.0), from_left=left, floor=0.62)
    daylight.window_light(
        far, from_left=left, top=-0.05, foot=0.62, strength=0.17, colour=(1.08, 1.04, 0.98)
    )
    arch = layer(far, from_left=left)
    x = 0.8 if left else 0.2
    arch.box((x, 0.66), (0.34, 0.16), scaled(tone, 0.9))
    arch.turned("vase", (x, 0.585), (0.15, 0.24), mix(tone, (1, 1, 1), 0.4))
    arch.lay(0.010)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.64, eye=0.34)
    finish_surface(
        canvas,
        floor,
        surfaces.marble(canvas.rng, floor, rgb("#ece9e4"), vein),
        left=left,
        sheen=(1, 0.99, 0.97),
        strength=0.12,
    )
    return Mood(
        from_left=left,
        key=WARM,
        ambient=COOL,
        gloss=0.24,
        shadow=0.36,
        hardness=0.4,
        variant=variant,
    )


def dark_studio(canvas: Canvas, variant: int) -> Mood:
    """A pool of light on black stone."""
    left = variant % 2 == 0
    tone, rim = _pair(
        variant,
        ("#2a2c30", "#2c2622", "#1f2a2c", "#2b2430", "#2a2825"),
        ("#b9c6d8", "#d8a878", "#8fc0c0", "#b49ad0", "#d9c9a8"),
    )
    far = half(canvas)
    far.fill([(0, scaled(tone, 0.6)), (0.6, tone), (1, scaled(tone, 0.5))])
    far.glow(far.spot((0.5, 0.46), (0.46, 0.34)) * 0.34, rim)
    far.glow(far.spot((0.05 if left else 0.95, 0.2), (0.4, 0.4)) * 0.18, WARM)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.66, eye=0.36)
    slate = surfaces.stone(canvas.rng, floor, scaled(tone, 1.15), rough=2.2)
    finish_surface(canvas, floor, slate, left=left, sheen=rim, strength=1.1, edge=0.03)
    return Mood(
        from_left=left,
        key=WARM,
        ambient=mix(rim, (1, 1, 1), 0.6),
        gloss=0.3,
        shadow=0.6,
        exposure=0.86,
        vignette=0.4,
        variant=variant,
    )


def loft(canvas: Canvas, variant: int) -> Mood:
    """Brick, steel windows and bulbs behind a concrete top."""
    left = variant % 2 == 1
    tone, wood = _pair(
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


def winter_window(canvas: Canvas, variant: int) -> Mood:
    """Snow and firs behind a window, candles on its sill."""
    left = variant % 2 == 0
    tone, wood = _pair(
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
    firs = layer(far, from_left=left)
    for _ in range(11):
        x, tall = far.rng.uniform(-0.05, 1.05), far.rng.uniform(0.16, 0.42)
        firs.fir((x, 0.57), tall, mix(rgb("#3e5a58"), tone, far.rng.uniform(0.2, 0.65)))
    firs.lay(0.009)
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
    tone, accent = _pair(
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


def _pair(variant: int, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[Colour, Colour]:
    return rgb(first[variant % len(first)]), rgb(second[(variant // 2) % len(second)])
