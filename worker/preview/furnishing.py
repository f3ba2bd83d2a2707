"""What furniture stands in a living room, and where? Each piece is a blurred layer of its own.

Heights and widths are in units of the canvas, above the foot that a :class:`Corner` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.preview.canvas import Colour, Point, mix, scaled
from worker.preview.props import layer

if TYPE_CHECKING:
    from worker.preview.canvas import Canvas
    from worker.preview.props import Layer

_DARK: Colour = (0.2, 0.17, 0.14)
_PAPER: Colour = (0.93, 0.91, 0.86)
_BRASS: Colour = (0.72, 0.55, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """Part of a room: where its things stand, how large they are, and where light comes from.

    ``foot`` is a share of the frame's height; ``scale`` is 1 behind a tabletop.
    """

    canvas: Canvas
    left: bool
    foot: float
    scale: float
    accent: Colour
    textile: Colour
    wood: Colour

    def sheet(self) -> Layer:
        """Start an empty layer."""
        return layer(self.canvas, from_left=self.left)

    def side(self, x: float) -> float:
        """Mirror a place across the frame when the light comes from the right."""
        return x if self.left else 1 - x

    def up(self, height: float) -> float:
        """Say where in the frame something is that is ``height`` units above the foot."""
        return self.foot - height * self.scale * self.canvas.unit_px / self.canvas.height_px

    def at(self, x: float, height: float = 0.0) -> Point:
        """Place something, seen with the light from the left."""
        return self.side(x), self.up(height)

    def size(self, wide: float, high: float) -> Point:
        """Scale a size to this corner."""
        return wide * self.scale, high * self.scale


def sofa(room: Corner, x: float, *, seats: int = 3) -> None:
    """A sofa with two cushions; ``x`` is its middle."""
    sheet, wide = room.sheet(), 0.3 * seats
    step = 0.3 * room.scale * room.canvas.unit_px / room.canvas.width_px
    for end in (-1, 1):
        sheet.box(_by(room.at(x), end * step * seats * 0.42), room.size(0.03, 0.05), _DARK)
    sheet.box(room.at(x, 0.03), room.size(wide + 0.1, 0.3), scaled(room.textile, 0.86), round_=0.05)
    for seat in range(seats):
        place = _by(room.at(x, 0.16), (seat - (seats - 1) / 2) * step)
        sheet.box(place, room.size(0.3, 0.17), room.textile, round_=0.035)
    for end in (-1, 1):
        place = _by(room.at(x, 0.03), end * step * (seats / 2 + 0.08))
        sheet.box(place, room.size(0.12, 0.24), scaled(room.textile, 0.94), round_=0.05)
    pale = mix(room.accent, (0.95, 0.92, 0.86), 0.7)
    sheet.box(_by(room.at(x, 0.15), -step * seats * 0.3), room.size(0.18, 0.14), room.accent)
    sheet.box(_by(room.at(x, 0.15), step * seats * 0.28), room.size(0.16, 0.12), pale, round_=0.03)
    sheet.lay(0.013)


def armchair(room: Corner, x: float) -> None:
    """A chair with arms on thin legs."""
    sheet = room.sheet()
    step = room.scale * room.canvas.unit_px / room.canvas.width_px
    for end in (-0.13, 0.13):
        foot = _by(room.at(x), end * step * 1.15)
        sheet.line([foot, _by(room.at(x, 0.1), end * step)], 0.014 * room.scale, _DARK)
    sheet.box(room.at(x, 0.08), room.size(0.32, 0.34), scaled(room.textile, 0.88), round_=0.08)
    sheet.box(room.at(x, 0.09), room.size(0.34, 0.11), room.textile, round_=0.04)
    for end in (-0.17, 0.17):
        place = _by(room.at(x, 0.08), end * step)
        sheet.box(place, room.size(0.07, 0.19), scaled(room.textile, 0.97), round_=0.03)
    sheet.box(room.at(x, 0.19), room.size(0.16, 0.12), room.accent, round_=0.03)
    sheet.lay(0.0115)


def console(room: Corner, x: float, *, wide: float = 0.72) -> float:
    """A low cupboard; gives the height of its top."""
    sheet = room.sheet()
    step = room.scale * room.canvas.unit_px / room.canvas.width_px
    for end in (-0.4, 0.4):
        sheet.box(_by(room.at(x), end * wide * step), room.size(0.02, 0.07), _DARK)
    sheet.box(room.at(x, 0.06), room.size(wide, 0.2), scaled(room.wood, 0.72))
    for door in (-1, 0, 1):
        place = _by(room.at(x, 0.075), door * wide * 0.32 * step)
        sheet.box(place, room.size(wide * 0.3, 0.165), scaled(room.wood, 0.84))
    sheet.lay(0.0105)
    return 0.255


def bookcase(room: Corner, x: float, *, shelves: int = 4) -> None:
    """Open shelves with books, and now and then a vessel."""
    sheet, rng = room.sheet(), room.canvas.rng
    step = room.scale * room.canvas.unit_px / room.canvas.width_px
    sheet.box(room.at(x), room.size(0.5, 0.21 * shelves + 0.03), scaled(room.wood, 0.5))
    for shelf in range(shelves):
        height = 0.03 + 0.21 * shelf
        sheet.box(room.at(x, height), room.size(0.46, 0.185), scaled(room.wood, 0.34))
        sheet.box(room.at(x, height - 0.02), room.size(0.5, 0.02), scaled(room.wood, 0.85))
        start = -0.2 + (0.1 if shelf % 2 else 0.0)
        _books(room, sheet, _by(room.at(x, height), start * step), 0.24)
        shape = ("vase", "jar", "bowl", "pot")[int(rng.integers(4))]
        vessel = _by(room.at(x, height), (-0.15 if shelf % 2 else 0.15) * step)
        sheet.turned(shape, vessel, room.size(0.085, 0.11), mix(room.accent, _PAPER, 0.5))
    sheet.lay(0.0105)


def _books(room: Corner, sheet: Layer, start: Point, wide: float) -> None:
    rng = room.canvas.rng
    unit = room.scale * room.canvas.unit_px / room.canvas.width_px
    colours = (room.accent, (0.87, 0.83, 0.74), (0.36, 0.37, 0.38), (0.69, 0.5, 0.34), room.textile)
    done = 0.0
    while done < wide:
        thick = float(rng.uniform(0.018, 0.034))
        shade = scaled(colours[int(rng.integers(5))], float(rng.uniform(0.75, 1.05)))
        place = _by(start, (done + thick / 2) * unit)
        sheet.box(place, room.size(thick, float(rng.uniform(0.1, 0.155))), shade)
        done += thick * 1.1


def stack(room: Corner, x: float, height: float) -> None:
    """A few books that lie on each other."""
    sheet = room.sheet()
    for step, shade in enumerate((room.accent, _PAPER, scaled(room.textile, 0.7))):
        sheet.box(room.at(x, height + 0.03 * step), room.size(0.2 - 0.025 * step, 0.032), shade)
    sheet.lay(0.0105)


def frames(room: Corner, x: float, height: float, layout: str) -> None:
    """Pictures on the wall: ``pair``, ``large``, ``grid``, ``row`` or ``round`` (a mirror)."""
    sheet = room.sheet()
    if layout == "round":
        sheet.ball(room.at(x, height + 0.2), 0.2 * room.scale, _BRASS)
        sheet.ball(room.at(x, height + 0.2), 0.186 * room.scale, (0.83, 0.86, 0.87))
    layouts: dict[str, tuple[tuple[float, float, float, float], ...]] = {
        "pair": ((-0.12, 0, 0.2, 0.27), (0.12, 0.02, 0.16, 0.21)),
        "large": ((0, 0, 0.44, 0.34),),
        "tall": ((0, 0, 0.3, 0.42),),
        "grid": tuple((dx, dy, 0.15, 0.18) for dx in (-0.09, 0.09) for dy in (0, 0.21)),
        "row": ((-0.23, 0, 0.17, 0.22), (0, 0, 0.17, 0.22), (0.23, 0, 0.17, 0.22)),
    }
    step = room.scale * room.canvas.unit_px / room.canvas.width_px
    for index, (dx, dy, wide, high) in enumerate(layouts.get(layout, ())):
        place = _by(room.at(x, height + dy), dx * step)
        _frame(room, sheet, place, (wide, high), index)
    sheet.lay(0.009)


def _frame(room: Corner, sheet: Layer, place: Point, size: Point, index: int) -> None:
    """One print in a mat; they are abstract: a sun, hills, or a band of colour."""
    unit = room.scale * room.canvas.unit_px / room.canvas.height_px
    wide, high = size
    rim = (_DARK, _BRASS, room.wood)[int(room.canvas.rng.integers(3))]
    sheet.box(place, room.size(wide, high), rim)
    inner = place[0], place[1] - 0.012 * unit
    sheet.box(inner, room.size(wide - 0.022, high - 0.024), _PAPER)
    soft = mix(room.accent, _PAPER, 0.3)
    foot = inner[0], inner[1] - high * 0.14 * unit
    if index % 2:
        sheet.box(foot, room.size(wide * 0.55, high * 0.6), soft)
        return
    sheet.box(foot, room.size(wide * 0.62, high * 0.26), mix(room.textile, _DARK, 0.25))
    sun = foot[0], foot[1] - high * 0.45 * unit
    sheet.ball(sun, min(wide, high) * 0.16 * room.scale, soft)


def floor_lamp(room: Corner, x: float, *, arc: bool = False, lit: bool = True) -> None:
    """A lamp on a pole, or on an arc that reaches into the room."""
    top = 0.66
    head = room.at(x + (0.16 if arc else 0.0), top)
    if lit:
        room.canvas.glow(room.canvas.spot(head, (0.34, 0.26)) * 0.42, (1.0, 0.78, 0.48))
    sheet = room.sheet()
    pole = _DARK if not arc else _BRASS
    points = [room.at(x), room.at(x, top * 0.95)]
    if arc:
        points = [room.at(x), room.at(x, 0.6), room.at(x + 0.05, 0.76), room.at(x + 0.16, 0.72)]
    sheet.line(points, 0.013 * room.scale, pole)
    sheet.box(room.at(x), room.size(0.15, 0.018), pole)
    shade = (1.0, 0.88, 0.68) if lit else _PAPER
    if arc:
        sheet.turned("dome", head, room.size(0.2, 0.11), _BRASS)
    else:
        sheet.turned("shade", room.at(x, top - 0.06), room.size(0.24, 0.17), shade)
    sheet.lay(0.0105)


def table_lamp(room: Corner, x: float, height: float) -> None:
    """A small lamp that burns."""
    head = room.at(x, height + 0.2)
    room.canvas.glow(room.canvas.spot(head, (0.22, 0.17)) * 0.45, (1.0, 0.8, 0.5))
    sheet = room.sheet()
    sheet.turned("vase", room.at(x, height), room.size(0.1, 0.15), mix(room.accent, _PAPER, 0.35))
    sheet.turned("shade", room.at(x, height + 0.13), room.size(0.2, 0.14), (1.0, 0.9, 0.72))
    sheet.lay(0.0105)


def plant(room: Corner, x: float, height: float, kind: str, *, size: float = 0.4) -> None:
    """Greens in a pot: ``bush``, ``palm``, ``rubber`` (broad leaves on a stem) or ``snake``."""
    sheet, rng = room.sheet(), room.canvas.rng
    pot = room.at(x, height)
    crown = room.at(x, height + 0.38 * size)
    if kind == "palm":
        for step in range(7):
            angle = -2.75 + step * 0.4 + float(rng.normal(0, 0.06))
            sheet.palm(sheet.at(crown), angle, size * room.scale * 0.95, (0.25, 0.38, 0.2))
    elif kind == "rubber":
        _rubber(room, sheet, (x, height), size)
    elif kind == "snake":
        for step in range(9):
            angle = -1.57 + (step - 4) * 0.085
            long = size * room.scale * float(rng.uniform(0.75, 1.05))
            sheet.leaf(sheet.at(crown), angle, long, long * 0.13, (0.3, 0.42, 0.26))
    else:
        sheet.plant(crown, size * room.scale, (0.22, 0.36, 0.2), leaves=17, broad=0.24)
    sheet.turned("pot", pot, room.size(0.46 * size, 0.42 * size), mix(room.wood, _PAPER, 0.6))
    sheet.lay(0.011)


def _rubber(room: Corner, sheet: Layer, place: Point, size: float) -> None:
    """A stem with broad leaves to both its sides."""
    rng = room.canvas.rng
    x, height = place
    tall = size * 1.45
    sheet.line(
        [room.at(x, height + 0.3 * size), room.at(x, height + tall)], 0.012, (0.3, 0.24, 0.16)
    )
    for step in range(13):
        foot = sheet.at(room.at(x, height + 0.45 * size + step / 13 * (tall - 0.45 * size)))
        angle = (-0.5 if step % 2 else -2.64) + float(rng.normal(0, 0.25))
        long = size * room.scale * float(rng.uniform(0.42, 0.58))
        tint = scaled((0.2, 0.34, 0.2), float(rng.uniform(0.75, 1.25)))
        sheet.leaf(foot, angle, long, long * 0.52, tint)


def vase(room: Corner, x: float, height: float, kind: str = "twigs") -> None:
    """A vase with ``twigs``, dry ``grass``, or nothing in it (``plain``)."""
    sheet, rng = room.sheet(), room.canvas.rng
    mouth = room.at(x, height + 0.19)
    for step in range(9 if kind != "plain" else 0):
        angle = -1.57 + (step - 4) * 0.16 + float(rng.normal(0, 0.05))
        long = room.scale * float(rng.uniform(0.2, 0.34))
        tint = (0.83, 0.72, 0.54) if kind == "grass" else (0.42, 0.46, 0.3)
        sheet.leaf(sheet.at(mouth), angle, long, long * (0.16 if kind == "grass" else 0.06), tint)
    sheet.turned("vase", room.at(x, height), room.size(0.13, 0.21), mix(room.accent, _PAPER, 0.55))
    sheet.lay(0.0105)


def window(room: Corner, x: float, *, wide: float = 0.4, curtain: Colour | None = None) -> None:
    """A bright window with muntins, and a curtain at its side."""
    sheet = room.sheet()
    half = wide / 2 * room.canvas.unit_px / room.canvas.width_px
    middle = room.side(x)
    top, low = 0.05, room.up(0.22)
    sheet.area((middle - half, top), (middle + half, low), (0.97, 0.98, 0.97))
    for line in (-half, 0.0, half):
        sheet.line([(middle + line, top), (middle + line, low)], 0.018, (0.86, 0.84, 0.8))
    for y in (top, (top + low) / 2, low):
        sheet.line([(middle - half, y), (middle + half, y)], 0.016, (0.88, 0.86, 0.82))
    sheet.lay(0.012)
    spot = room.canvas.spot((middle, 0.28), (0.3, 0.34))
    room.canvas.glow(spot * 0.5, (1.0, 0.97, 0.9))
    if curtain is not None:
        _curtain(room, middle, half * 1.25, curtain)


def _curtain(room: Corner, middle: float, half: float, colour: Colour) -> None:
    sheet = room.sheet()
    pleat = 0.026 * room.canvas.unit_px / room.canvas.width_px
    for end in (-1, 1):
        for step in range(5):
            tone = scaled(colour, 0.86 + 0.13 * (step % 2))
            sheet.box((middle + end * (half + (step - 2) * pleat), room.up(0)), (0.034, 1.1), tone)
    sheet.lay(0.0105)


def side_table(room: Corner, x: float) -> float:
    """A small round table; gives the height of its top."""
    sheet = room.sheet()
    step = room.scale * room.canvas.unit_px / room.canvas.width_px
    for end in (-0.07, 0.0, 0.07):
        foot = _by(room.at(x), end * 1.3 * step)
        sheet.line([foot, _by(room.at(x, 0.24), end * step)], 0.012 * room.scale, _DARK)
    sheet.box(room.at(x, 0.235), room.size(0.24, 0.022), room.wood, round_=0.008)
    sheet.lay(0.0105)
    return 0.257


def _by(place: Point, across: float) -> Point:
    return place[0] + across, place[1]
