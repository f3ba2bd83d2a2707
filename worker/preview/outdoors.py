"""How are the outdoor sets drawn: beach, patio, forest?"""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worker.preview import daylight, surfaces
from worker.preview.canvas import mix, noise, resized, rgb, scaled, smooth
from worker.preview.light import Mood
from worker.preview.painting import COOL, finish_surface, half, onto
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas, Colour, Pixels

# sky top, sky low, deep sea, shallow sea, sand
_BEACH = (
    ("#5fa9dc", "#d8ecf3", "#2f86ad", "#7cc9cb", "#dcc39a"),
    ("#79b9e6", "#f3ead6", "#2c7f9f", "#8fd2c8", "#e3cba6"),
    ("#4f9ad2", "#cfe6f2", "#1f6f9c", "#62bcc6", "#d6bb90"),
    ("#8cc0e0", "#fbe5c8", "#3c8ba6", "#9cd3c4", "#dfc29c"),
    ("#6cb2d8", "#e6f1ee", "#2a8c9c", "#86d6c8", "#e6d3b4"),
)


def sunny_beach(canvas: Canvas, variant: int) -> Mood:
    """Sea and sky behind warm sand, with the shadow of a palm."""
    sky, low, deep, shallow, sand = (rgb(code) for code in _BEACH[variant % 5])
    left = variant % 2 == 0
    horizon = 0.40 + 0.03 * (variant % 3 - 1)
    far = half(canvas)
    _sky(far, sky, low, horizon)
    _sea(far, deep, shallow, horizon)
    if variant % 4 != 3:
        _headland(far, horizon, left=left)
    if variant % 3 != 2:
        _fronds(far, left=left)
    daylight.haze(far, from_left=left, colour=rgb("#fff0cc"), strength=0.5)
    far.pixels[:] = surfaces.softened(far.pixels, max(1.5, far.unit_px * 0.009))
    _sparkle(far, horizon, left=left)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.60, eye=horizon - 0.06)
    ground = surfaces.sand(canvas.rng, floor, sand, from_left=left)
    ground = _wetted(canvas, ground, floor, mix(shallow, low, 0.5))
    finish_surface(
        canvas,
        floor,
        ground,
        left=left,
        sheen=rgb("#fff1d2"),
        strength=0.34,
        edge=0.004,
        mirror=0.0,
    )
    _palm_shadow(canvas, left=left)
    return Mood(
        from_left=left,
        key=(1.0, 0.95, 0.84),
        ambient=(0.82, 0.92, 1.0),
        gloss=0.0,
        shadow=0.55,
        hardness=0.75,
        contrast=0.12,
        vignette=0.14,
        variant=variant,
    )


def _sky(far: Canvas, top: Colour, low: Colour, horizon: float) -> None:
    far.fill([(0, top), (horizon, low), (1, low)])
    cloud = 0.6 * far.noise(far.unit_px * 0.22, (2.6, 0.8)) + 0.35 * far.noise(
        far.unit_px * 0.07, (2.2, 0.8)
    )
    veil = smooth(cloud, 0.35, 1.7) * (1 - smooth(far.y, horizon - 0.12, horizon)) * 0.75
    far.glow(veil, (1.0, 0.99, 0.97))


def _sea(far: Canvas, deep: Colour, shallow: Colour, horizon: float) -> None:
    rows = far.y[:, 0]
    place = ((rows - horizon) / (0.64 - horizon)).clip(0, 1)
    colours = np.stack(
        [
            np.interp(
                place, (0, 0.45, 1), (deep[band], mix(deep, shallow, 0.6)[band], shallow[band])
            )
            for band in range(3)
        ],
        axis=-1,
    )[:, None, :].astype(np.float32)
    waves = _waves(far, horizon)
    water = colours * (1 + 0.09 * waves)[..., None]
    cover = smooth(far.y, horizon - 0.002, horizon + 0.004)[..., None]
    far.pixels *= 1 - cover
    far.pixels += water * cover
    for at, thick in ((0.545, 0.010), (0.585, 0.016)):
        drift = noise(far.rng, (1, far.width_px), far.unit_px * 0.22)[0] * 0.008
        foam = np.exp(-(((far.y - at - drift[None, :]) / thick) ** 2))
        far.glow((foam * (0.55 + 0.3 * waves)).clip(0, 0.9).astype(np.float32), (1, 1, 0.99))


def _waves(far: Canvas, horizon: float) -> Pixels:
    """Ripples that shrink towards the horizon."""
    rows = (np.arange(far.height_px, dtype=np.float32) / far.height_px - horizon).clip(0.004)
    tile = noise(far.rng, (512, 512), 9, (3.5, 1.0)) + 0.5 * noise(
        far.rng, (512, 512), 3, (4.0, 1.0)
    )
    scale = 0.12 / rows[:, None]
    columns = (np.arange(far.width_px, dtype=np.float32)[None, :] - far.width_px / 2) / far.unit_px
    return surfaces.sample(tile, columns * scale * 0.5 + 0.5, scale * 2.2 * np.ones_like(columns))


def _sparkle(far: Canvas, horizon: float, *, left: bool) -> None:
    """Glints on the water below the sun: small bright discs."""
    rng = far.rng
    middle = 0.24 if left else 0.76
    for _ in range(120):
        depth = rng.uniform(0, 1) ** 1.5
        spread = 0.16 + 0.25 * depth
        place = (middle + rng.normal(0, spread)) * far.width_px
        row = (horizon + 0.006 + depth * 0.16) * far.height_px
        radius = far.unit_px * (0.002 + 0.007 * depth) * rng.uniform(0.6, 1.5)
        daylight.disc(far, (place, row), radius, (1.0, 0.99, 0.94), rng.uniform(0.12, 0.6))


def _headland(far: Canvas, horizon: float, *, left: bool) -> None:
    sheet = layer(far, from_left=left)
    ridge = noise(far.rng, (1, 41), 9)[0] * 0.012 + noise(far.rng, (1, 41), 3)[0] * 0.004
    share = np.linspace(0, 1, 41)
    tall = 0.055 * (1 - share) ** 0.8 * (1 + ridge * 8)
    xs = 1.02 - share * 0.5 if left else -0.02 + share * 0.5
    points = [(float(x), float(horizon + 0.002 - t)) for x, t in zip(xs, tall, strict=True)]
    foot = [(points[-1][0], horizon + 0.003), (points[0][0], horizon + 0.003)]
    sheet.polygon([*points, *foot], rgb("#7d9a94"))
    sheet.lay(0.004)


def _fronds(far: Canvas, *, left: bool) -> None:
    sheet = layer(far, from_left=left)
    rng = far.rng
    for step in range(5):
        x = -0.06 if left else 1.06
        foot = x * far.width_px, (-0.05 + 0.03 * step) * far.height_px
        angle = -0.25 + 0.33 * step + rng.normal(0, 0.08)
        tint = scaled((0.24, 0.42, 0.2), rng.uniform(0.75, 1.15))
        sheet.palm(foot, angle if left else np.pi - angle, rng.uniform(0.42, 0.6), tint)
    sheet.lay(0.008)


def _wetted(canvas: Canvas, ground: Pixels, floor: surfaces.Plane, mirror: Colour) -> Pixels:
    """Darken the sand where the last wave ran, and let the sky shine in it."""
    drift = noise(canvas.rng, (1, canvas.width_px), canvas.unit_px * 0.4)[0] * 0.05
    wet = smooth(floor.far - drift[None, :], 0.60, 0.74)[..., None]
    foam = np.exp(-(((floor.far - drift[None, :] - 0.66) / 0.02) ** 2))[..., None] * 0.35
    damp = ground * 0.62 + np.asarray(mirror, np.float32) * 0.26 * wet * floor.far[..., None]
    mixed = ground * (1 - wet) + damp * wet
    washed: Pixels = (mixed * (1 - foam) + foam).astype(np.float32)
    return washed


def _palm_shadow(canvas: Canvas, *, left: bool) -> None:
    small = half(half(canvas))
    sheet = layer(small, from_left=left)
    for height, angle, length in ((0.80, -0.10, 0.5), (0.90, -0.34, 0.62), (0.97, -0.05, 0.7)):
        foot = (-0.08 if left else 1.08) * small.width_px, height * small.height_px
        sheet.palm(foot, angle if left else np.pi - angle, length, (0, 0, 0))
    alpha = sheet.sheet.getchannel("A")
    mask = small.mask(
        lambda draw: draw.bitmap((0, 0), alpha, fill=255), blur_px=small.unit_px * 0.006
    )
    full = resized(mask, (canvas.width_px, canvas.height_px))
    full = full * smooth(canvas.y, 0.63, 0.70)
    canvas.shine(full * 0.6, (0.55, 0.62, 0.78))


def garden_patio(canvas: Canvas, variant: int) -> Mood:
    """A table of weathered wood before sunlit bushes."""
    left = variant % 2 == 0
    greens = ("#6f8f4a", "#7f9a55", "#5f854f", "#8a9b52", "#688a5c")
    green = rgb(greens[variant % 5])
    far = half(canvas)
    far.fill(
        [
            (0, rgb("#e9f0d8")),
            (0.3, mix(green, rgb("#dfe8b8"), 0.45)),
            (0.66, scaled(green, 0.7)),
            (1, green),
        ]
    )
    _foliage(far, green, count=26, left=left)
    bush = layer(far, from_left=left)
    for x, size in ((0.06, 0.3), (0.94, 0.36)):
        bush.plant((x, 0.62), size, scaled(green, 0.7), leaves=19, broad=0.3)
        bush.turned("pot", (x, 0.69), (0.22, 0.14), rgb("#b4704a"))
    bush.lay(0.014)
    daylight.bokeh(
        far,
        count=46,
        top=0.02,
        foot=0.5,
        size=0.032,
        colours=[rgb("#fbffd8"), rgb("#e8f2b0"), rgb("#fff3c8")],
        strength=0.42,
    )
    daylight.haze(far, from_left=left, colour=rgb("#fff3c4"), strength=0.55)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.65, eye=0.35)
    wood = surfaces.wood(canvas.rng, floor, rgb("#a98d6c"), boards=3.6, seams=0.75)
    finish_surface(canvas, floor, wood, left=left, sheen=rgb("#fff2c8"), strength=0.4)
    dapple = smooth(canvas.noise(canvas.unit_px * 0.09), -0.2, 1.1) * smooth(canvas.y, 0.64, 0.7)
    canvas.shine(dapple * 0.32, (0.62, 0.68, 0.62))
    return Mood(
        from_left=left,
        key=(1.0, 0.96, 0.82),
        ambient=(0.86, 0.95, 0.86),
        gloss=0.05,
        shadow=0.5,
        hardness=0.55,
        variant=variant,
    )


def _foliage(far: Canvas, green: Colour, *, count: int, left: bool) -> None:
    rng = far.rng
    sheet = layer(far, from_left=left)
    for _ in range(count):
        place = rng.uniform(-0.05, 1.05), rng.uniform(0.1, 0.7)
        tint = scaled(mix(green, (0.86, 0.9, 0.5), rng.uniform(0, 0.5)), rng.uniform(0.5, 1.15))
        sheet.plant(place, rng.uniform(0.12, 0.3), tint, leaves=9, broad=0.4)
    sheet.lay(0.022)


def forest_clearing(canvas: Canvas, variant: int) -> Mood:
    """Trunks in a misty light behind a mossy ground."""
    left = variant % 2 == 1
    mists = ("#c9d3b0", "#bccbb4", "#d6d2a8", "#b4c4b4", "#cfd8bc")
    mist = rgb(mists[variant % 5])
    far = half(canvas)
    far.fill(
        [(0, scaled(mist, 1.02)), (0.45, mist), (0.66, scaled(mist, 0.62)), (1, scaled(mist, 0.4))]
    )
    for depth in range(4):
        near = (depth + 1) / 4
        trunks = layer(far, from_left=left)
        for _ in range(5 + depth):
            x, wide = far.rng.uniform(-0.05, 1.05), (0.02 + 0.05 * near) * far.rng.uniform(0.6, 1.3)
            colour = mix(mist, rgb("#3a2f24"), 0.22 + 0.6 * near)
            trunks.box((x, 0.60 + 0.04 * near), (wide, 0.9), colour)
        trunks.lay(0.006 + 0.008 * near)
        daylight.haze(far, from_left=left, colour=mist, strength=0.22)
    _foliage(far, rgb("#5c7a3c"), count=12, left=left)
    daylight.bokeh(
        far,
        count=30,
        top=0.0,
        foot=0.42,
        size=0.03,
        colours=[rgb("#f6f6cc"), rgb("#e4ecb4")],
        strength=0.35,
    )
    daylight.haze(far, from_left=left, colour=rgb("#fff2c2"), strength=0.5)
    onto(far, canvas)
    floor = surfaces.plane(canvas, back=0.63, eye=0.42)
    ground = surfaces.moss(canvas.rng, floor, rgb("#65593a"), rgb("#5d6b38"))
    finish_surface(
        canvas, floor, ground, left=left, sheen=rgb("#f6eebc"), strength=0.4, edge=0.05, mirror=0.0
    )
    return Mood(
        from_left=left,
        key=(1.0, 0.96, 0.8),
        ambient=COOL,
        gloss=0.0,
        shadow=0.5,
        hardness=0.35,
        variant=variant,
    )
