"""How is the kitchen at golden hour drawn: eight kitchens, one low sun?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.preview import daylight, surfaces
from worker.preview.canvas import Colour, mix, rgb, scaled
from worker.preview.light import Mood
from worker.preview.painting import finish_surface, half, onto, sided
from worker.preview.props import layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.preview.canvas import Canvas, Pixels
    from worker.preview.surfaces import Plane

_STEEL: Colour = (0.62, 0.6, 0.57)
_CREAM: Colour = (0.9, 0.86, 0.78)
_GREEN: Colour = (0.32, 0.44, 0.17)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kitchen:
    """A kitchen's colours (``#rrggbb``), tiles, worktop, and what hangs and stands in it.

    ``tiles`` are ``bricks``, ``squares``, ``upright``, ``small`` or ``none``; ``top`` is ``wood``,
    ``marble``, ``stone`` or ``tiles``.
    """

    wall: str
    tile: str
    wood: str
    accent: str
    tiles: str
    top: str
    hang: tuple[Callable[[Scene], None], ...]
    things: Callable[[Scene], None]
    stone: str = "#e6ddd0"
    eye: float = 0.34


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A kitchen's far part, being painted."""

    far: Canvas
    left: bool
    wood: Colour
    accent: Colour

    def side(self, x: float) -> float:
        """Mirror a place across the frame when the light comes from the right."""
        return sided(left=self.left)(x)

    def span(self, start: float, end: float) -> tuple[float, float]:
        """Mirror a stretch; the smaller place comes first."""
        first, second = self.side(start), self.side(end)
        return min(first, second), max(first, second)


def golden_hour_kitchen(canvas: Canvas, variant: int) -> Mood:
    """A low sun over a worktop, and a kitchen out of focus behind it."""
    kitchen, left = _KITCHENS[variant % len(_KITCHENS)], variant % 2 == 1
    far, wall = half(canvas), rgb(kitchen.wall)
    scene = Scene(far=far, left=left, wood=rgb(kitchen.wood), accent=rgb(kitchen.accent))
    daylight.wall(far, wall, scaled(wall, 0.9), from_left=left, floor=0.62)
    _tiled(far, kitchen.tiles, rgb(kitchen.tile))
    _hung(scene, kitchen)
    kitchen.things(scene)
    _sun(scene)
    onto(far, canvas)
    plane = surfaces.plane(canvas, back=0.645 - 0.5 * (0.34 - kitchen.eye), eye=kitchen.eye)
    top = _worktop(canvas, plane, kitchen)
    finish_surface(canvas, plane, top, left=left, sheen=rgb("#ffd896"), strength=0.42)
    return Mood(
        from_left=left,
        key=(1.0, 0.84, 0.62),
        ambient=(0.93, 0.92, 0.95),
        gloss=0.1 if kitchen.top == "wood" else 0.17,
        shadow=0.58,
        hardness=0.6,
        contrast=0.14,
        variant=variant,
    )


def _hung(scene: Scene, kitchen: Kitchen) -> None:
    for hang in kitchen.hang:
        hang(scene)
    daylight.window_light(
        scene.far,
        from_left=scene.left,
        top=0.06,
        foot=0.6,
        strength=0.24,
        colour=(1.22, 1.02, 0.74),
    )


def _sun(scene: Scene) -> None:
    daylight.haze(scene.far, from_left=scene.left, colour=rgb("#ffc873"), strength=0.42)
    daylight.bokeh(
        scene.far,
        count=7,
        top=0.08,
        foot=0.5,
        size=0.03,
        colours=[rgb("#ffd58a"), rgb("#ffe9c0")],
        strength=0.16,
    )


def _worktop(canvas: Canvas, plane: Plane, kitchen: Kitchen) -> Pixels:
    stone, rng = rgb(kitchen.stone), canvas.rng
    if kitchen.top == "marble":
        return surfaces.marble(rng, plane, stone, mix(stone, (0.35, 0.3, 0.26), 0.55))
    if kitchen.top == "stone":
        return surfaces.stone(rng, plane, stone, rough=1.1)
    if kitchen.top == "tiles":
        return surfaces.tiles(rng, plane, stone, mix(stone, (0.5, 0.45, 0.4), 0.5), count=3.4)
    return surfaces.wood(rng, plane, rgb(kitchen.wood), boards=2.4, seams=0.3)


_TILES: Final[dict[str, tuple[float, float, float, float]]] = {
    # width, height, the odd rows' shift, how much tones differ
    "bricks": (0.13, 0.052, 0.5, 0.14),
    "squares": (0.1, 0.1, 0.0, 0.07),
    "upright": (0.042, 0.15, 0.0, 0.12),
    "small": (0.05, 0.05, 0.0, 0.26),
}


def _tiled(far: Canvas, kind: str, tile: Colour) -> None:
    if kind == "none":
        return
    wide, high, shift, spread = _TILES[kind]
    sheet = layer(far, from_left=True)
    for row in range(round(0.36 / high)):
        y = 0.66 - row * high * far.unit_px / far.height_px
        for column in range(-1, round(far.width_px / far.unit_px / wide) + 2):
            x = (column + shift * (row % 2)) * wide * far.unit_px / far.width_px
            tone = scaled(tile, float(far.rng.uniform(1 - spread, 1.0)))
            gap = 0.005
            sheet.area(
                (x + gap / 2, y - (high - gap) * far.unit_px / far.height_px),
                (x + (wide - gap) * far.unit_px / far.width_px, y),
                tone,
            )
    sheet.lay(0.0055)


def _window(scene: Scene) -> None:
    far, light = scene.far, rgb("#ffdf9e")
    x = scene.side(0.1)
    sheet = layer(far, from_left=scene.left)
    sheet.area((x - 0.16, 0.06), (x + 0.16, 0.50), light)
    for offset in (-0.16, 0.0, 0.16):
        sheet.line([(x + offset, 0.05), (x + offset, 0.51)], 0.018, (0.62, 0.5, 0.38))
    for y in (0.06, 0.28, 0.5):
        sheet.line([(x - 0.17, y), (x + 0.17, y)], 0.016, (0.62, 0.5, 0.38))
    sheet.lay(0.012)
    far.glow(far.spot((x, 0.26), (0.26, 0.3)) * 0.75, light)


def _wide_window(scene: Scene) -> None:
    """A window over the worktop, with the evening's garden in it and herbs on its sill."""
    far = scene.far
    start, end = scene.span(0.08, 0.66)
    garden = layer(far, from_left=scene.left)
    garden.area((start, 0.08), (end, 0.46), rgb("#ffe2a0"))
    for step in range(9):
        x = start + (end - start) * (step + 0.5) / 9
        round_ = float(far.rng.uniform(0.05, 0.1))
        garden.ball((x, 0.44 - round_ * 0.3), round_, mix(_GREEN, (1.0, 0.84, 0.5), 0.45))
    garden.area((start, 0.46), (end, 0.56), scaled(rgb("#e8d2ac"), 0.95))
    garden.lay(0.016)
    bars = layer(far, from_left=scene.left)
    for share in (0.0, 0.5, 1.0):
        x = start + (end - start) * share
        bars.line([(x, 0.07), (x, 0.47)], 0.02, (0.93, 0.86, 0.74))
    for y in (0.08, 0.465):
        bars.line([(start - 0.01, y), (end + 0.01, y)], 0.022, (0.93, 0.86, 0.74))
    bars.lay(0.0105)
    far.glow(far.spot(((start + end) / 2, 0.26), (0.34, 0.26)) * 0.5, rgb("#ffdf9e"))


def _shelf(scene: Scene, y: float = 0.30) -> None:
    sheet, rng = layer(scene.far, from_left=scene.left), scene.far.rng
    start, end = scene.span(0.46, 1.02)
    sheet.area((start, y), (end, y + 0.017), scaled(scene.wood, 0.9))
    sheet.area((start, y + 0.017), (end, y + 0.024), scaled(scene.wood, 0.5))
    shapes = ("jar", "bottle", "bowl", "vase", "jar", "pot")
    colours = (scene.accent, _CREAM, (0.4, 0.45, 0.36), (0.85, 0.72, 0.5), (0.55, 0.35, 0.22))
    tall = {"bottle": 0.17, "bowl": 0.055, "vase": 0.13, "jar": 0.1, "pot": 0.075}
    for step in range(5):
        x = start + 0.07 + step * 0.105
        shape = shapes[int(rng.integers(len(shapes)))]
        wide = 0.12 if shape == "bowl" else 0.075
        colour = colours[int(rng.integers(len(colours)))]
        high = tall[shape] * float(rng.uniform(0.85, 1.15))
        sheet.turned(shape, (x, y + 0.002), (wide, high), colour)
        if shape == "pot":
            sheet.plant((x, y - 0.05), 0.11, (0.33, 0.45, 0.2), leaves=11, broad=0.3)
    sheet.lay(0.0095)


def _two_shelves(scene: Scene) -> None:
    _shelf(scene, 0.19)
    _shelf(scene, 0.37)


def _hood(scene: Scene) -> None:
    """An extractor hood over a stove with a pot on it."""
    sheet, x = layer(scene.far, from_left=scene.left), scene.side(0.72)
    sheet.box((x, 0.2), (0.16, 0.3), scaled(_STEEL, 1.05))
    sheet.polygon([(x - 0.09, 0.2), (x + 0.09, 0.2), (x + 0.2, 0.29), (x - 0.2, 0.29)], _STEEL)
    sheet.area((x - 0.2, 0.29), (x + 0.2, 0.31), scaled(_STEEL, 0.75))
    sheet.lay(0.0105)
    pot = layer(scene.far, from_left=scene.left)
    pot.box((x, 0.675), (0.46, 0.035), (0.12, 0.12, 0.12))
    pot.box((x, 0.655), (0.19, 0.11), scene.accent, round_=0.018)
    pot.box((x, 0.565), (0.2, 0.02), scaled(scene.accent, 0.75), round_=0.01)
    pot.ball((x, 0.545), 0.015, (0.2, 0.17, 0.14))
    pot.lay(0.0105)


def _cupboards(scene: Scene) -> None:
    """Matte doors in a row, above."""
    sheet = layer(scene.far, from_left=scene.left)
    start, end = scene.span(0.36, 1.05)
    step = (end - start) / 3
    tone = mix(scene.accent, _CREAM, 0.35)
    for door in range(3):
        x = start + door * step
        sheet.area((x, -0.02), (x + step - 0.008, 0.29), scaled(tone, 0.97 - 0.04 * (door % 2)))
        sheet.line([(x + 0.03, 0.265), (x + 0.09, 0.265)], 0.01, (0.66, 0.5, 0.28))
    sheet.area((start, 0.29), (end, 0.30), scaled(tone, 0.55))
    sheet.lay(0.0095)


def _pendants(scene: Scene) -> None:
    _lamps(scene, (0.44, 0.70), "dome", scaled(scene.accent, 0.7))


def _bulbs(scene: Scene) -> None:
    _lamps(scene, (0.4, 0.58, 0.76), "shade", _CREAM)


def _lamps(scene: Scene, places: tuple[float, ...], shape: str, colour: Colour) -> None:
    far = scene.far
    lamps = layer(far, from_left=scene.left)
    wide = 0.17 if shape == "dome" else 0.11
    for x in (scene.side(place) for place in places):
        lamps.line([(x, -0.02), (x, 0.1)], 0.006, (0.2, 0.16, 0.12))
        lamps.turned(shape, (x, 0.155), (wide, 0.09), colour)
        lamps.ball((x, 0.158), 0.026, (1.0, 0.93, 0.75))
    lamps.lay(0.009)
    for x in (scene.side(place) for place in places):
        far.glow(far.spot((x, 0.165), (0.15, 0.09)) * 0.5, (1.0, 0.82, 0.5))


def _rail(scene: Scene) -> None:
    """Ladles and pans on a rail."""
    sheet = layer(scene.far, from_left=scene.left)
    start, end = scene.span(0.44, 1.02)
    sheet.line([(start, 0.33), (end, 0.33)], 0.012, (0.5, 0.38, 0.22))
    for step in range(5):
        x = start + (end - start) * (step + 0.6) / 5.4
        sheet.line([(x, 0.33), (x, 0.41)], 0.012, (0.45, 0.33, 0.2))
        copper = mix((0.72, 0.42, 0.25), _STEEL, 0.5 * (step % 2))
        sheet.ball((x, 0.435), 0.034 + 0.014 * (step % 3), copper)
    sheet.lay(0.0105)


def _oils_and_herbs(scene: Scene) -> None:
    things, foot = layer(scene.far, from_left=scene.left), 0.668
    things.turned("bottle", (scene.side(0.86), foot), (0.085, 0.30), (0.36, 0.36, 0.16))
    things.turned("jar", (scene.side(0.96), foot), (0.13, 0.19), (0.88, 0.8, 0.68))
    things.turned("pot", (scene.side(0.13), foot), (0.15, 0.12), scaled(scene.accent, 0.95))
    things.plant((scene.side(0.13), foot - 0.085), 0.24, _GREEN, leaves=21, broad=0.26)
    things.lay(0.0115)


def _lemons(scene: Scene) -> None:
    things, foot = layer(scene.far, from_left=scene.left), 0.668
    for step, x in enumerate((0.78, 0.83, 0.88, 0.93)):
        centre = scene.side(x), foot - 0.05 - 0.014 * (step % 2)
        things.ball(centre, 0.035, (0.95, 0.74, 0.22))
    things.turned("bowl", (scene.side(0.855), foot), (0.26, 0.075), _CREAM)
    things.turned("vase", (scene.side(0.1), foot), (0.13, 0.2), scaled(scene.accent, 0.9))
    things.lay(0.0115)


def _boards(scene: Scene) -> None:
    """Cutting boards that lean on the wall, and a jar of spoons."""
    things, foot = layer(scene.far, from_left=scene.left), 0.668
    things.box((scene.side(0.86), foot), (0.2, 0.3), scaled(scene.wood, 0.8), round_=0.04)
    things.box((scene.side(0.94), foot), (0.2, 0.22), scaled(scene.wood, 1.15), round_=0.09)
    x = scene.side(0.14)
    for step in range(4):
        tip = x + (step - 1.5) * 0.026, foot - 0.2 - 0.012 * (step % 2)
        things.line([(x, foot - 0.06), tip], 0.012, scaled(scene.wood, 0.8 + 0.15 * step))
        things.ball(tip, 0.02, scaled(scene.wood, 0.8 + 0.15 * step))
    things.turned("jar", (x, foot), (0.12, 0.13), _CREAM)
    things.lay(0.0115)


def _kettle(scene: Scene) -> None:
    things, foot = layer(scene.far, from_left=scene.left), 0.668
    x = scene.side(0.14)
    things.line(
        [(x - 0.05, foot - 0.14), (x, foot - 0.185), (x + 0.05, foot - 0.14)], 0.014, _STEEL
    )
    things.turned("jar", (x, foot), (0.18, 0.17), scaled(scene.accent, 0.9))
    for place, high in ((0.8, 0.12), (0.88, 0.16), (0.96, 0.2)):
        things.turned("jar", (scene.side(place), foot), (0.1, high), _CREAM)
        lid = scene.side(place), foot - high * scene.far.unit_px / scene.far.height_px
        things.box(lid, (0.085, 0.018), scaled(scene.wood, 0.8))
    things.lay(0.0115)


def _basil(scene: Scene) -> None:
    things, foot = layer(scene.far, from_left=scene.left), 0.668
    for x, size in ((0.84, 0.2), (0.95, 0.26)):
        things.plant((scene.side(x), foot - 0.075), size, _GREEN, leaves=19, broad=0.36)
        things.turned("pot", (scene.side(x), foot), (0.13, 0.11), (0.7, 0.42, 0.28))
    things.turned("bottle", (scene.side(0.08), foot), (0.08, 0.28), (0.5, 0.36, 0.14))
    things.turned("bottle", (scene.side(0.16), foot), (0.07, 0.22), (0.4, 0.42, 0.2))
    things.lay(0.0115)


_KITCHENS: Final[tuple[Kitchen, ...]] = (
    Kitchen(
        wall="#e0c9a4", tile="#efe6d6", wood="#a66a38", accent="#c98a3c", tiles="bricks",
        top="stone", stone="#d9cdbb", hang=(_window, _shelf, _pendants), things=_oils_and_herbs,
    ),
    Kitchen(
        wall="#d0c2a2", tile="#a9b59a", wood="#8a5630", accent="#7f8f6a", tiles="upright",
        top="wood", hang=(_window, _cupboards), things=_lemons, eye=0.36,
    ),
    Kitchen(
        wall="#ead9c0", tile="#f2ece0", wood="#b77d47", accent="#b4532f", tiles="squares",
        top="marble", stone="#eae2d6", hang=(_window, _hood), things=_kettle, eye=0.33,
    ),
    Kitchen(
        wall="#d9c8a8", tile="#c58a62", wood="#70452a", accent="#d4a24c", tiles="small",
        top="stone", stone="#b9ab98", hang=(_window, _two_shelves), things=_basil, eye=0.35,
    ),
    Kitchen(
        wall="#e6d6bc", tile="#e7ddca", wood="#96602f", accent="#5f7482", tiles="none",
        top="wood", hang=(_wide_window, _bulbs), things=_boards, eye=0.34,
    ),
    Kitchen(
        wall="#dccbb0", tile="#6f8a8a", wood="#a8764a", accent="#4f6b6b", tiles="small",
        top="marble", stone="#efe8dc", hang=(_window, _shelf), things=_boards, eye=0.37,
    ),
    Kitchen(
        wall="#e4cda8", tile="#f0e4cf", wood="#7d4d2b", accent="#a3683e", tiles="squares",
        top="tiles", stone="#dcc6a4", hang=(_window, _rail, _pendants), things=_lemons, eye=0.35,
    ),
    Kitchen(
        wall="#cfc0a6", tile="#dfe3da", wood="#b98a58", accent="#6d7f5f", tiles="bricks",
        top="stone", stone="#e3dccf", hang=(_window, _cupboards, _bulbs), things=_kettle, eye=0.33,
    ),
)  # fmt: skip
