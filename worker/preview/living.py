"""How is the living room drawn: eight rooms, each with a tabletop in front or seen to its floor?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from worker.preview import daylight, surfaces, walls
from worker.preview import furnishing as put
from worker.preview.canvas import rgb, scaled
from worker.preview.furnishing import Corner
from worker.preview.light import Mood
from worker.preview.painting import COOL, WARM, finish_surface, half, onto

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.preview.canvas import Canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room's colours (``#rrggbb``), how its wall is treated, and who furnishes it."""

    wall: str
    lower: str
    wood: str
    textile: str
    accent: str
    treatment: str
    furnish: Callable[[Corner], None]
    eye: float = 0.36
    boards: float = 3.2
    floor: str = "#b08a62"
    rug: str = "#d8cfbf"


def living_room(canvas: Canvas, variant: int) -> Mood:
    """A room out of focus behind a tabletop."""
    room, left = _ROOMS[variant % len(_ROOMS)], variant % 2 == 0
    far = half(canvas)
    corner = _corner(far, room, left=left, foot=0.70)
    _wall(corner, room, floor=0.66)
    room.furnish(corner)
    daylight.haze(far, from_left=left, colour=rgb("#ffe2b4"), strength=0.26)
    onto(far, canvas)
    back = 0.655 - 0.5 * (0.36 - room.eye)
    plane = surfaces.plane(canvas, back=back, eye=room.eye)
    table = surfaces.wood(canvas.rng, plane, rgb(room.wood), boards=room.boards, seams=0.42)
    finish_surface(canvas, plane, table, left=left, sheen=rgb("#fff0d8"))
    return _mood(left=left, variant=variant)


def living_room_floor(canvas: Canvas, variant: int) -> Mood:
    """The same room farther away, with its floorboards and a rug: for what stands on floors."""
    room, left = _ROOMS[variant % len(_ROOMS)], variant % 2 == 0
    far = half(canvas)
    _wall(_corner(far, room, left=left, foot=0.6), room, floor=0.58)
    onto(far, canvas)
    plane = surfaces.plane(canvas, back=0.575, eye=0.3)
    boards = surfaces.wood(canvas.rng, plane, rgb(room.floor), boards=2.6, seams=0.5)
    boards = walls.rug(canvas.rng, plane, boards, rgb(room.rug))
    finish_surface(canvas, plane, boards, left=left, sheen=rgb("#fff0d8"), edge=0.008)
    walls.skirting(canvas, 0.578)
    near = _corner(canvas, room, left=left, foot=0.612)
    walls.shade(near)
    room.furnish(replace(near, scale=0.78))
    daylight.haze(canvas, from_left=left, colour=rgb("#ffe2b4"), strength=0.26)
    return replace(_mood(left=left, variant=variant), base=0.875, tall=0.66, gloss=0.05)


def _corner(canvas: Canvas, room: Room, *, left: bool, foot: float) -> Corner:
    return Corner(
        canvas=canvas,
        left=left,
        foot=foot,
        scale=1.0,
        accent=rgb(room.accent),
        textile=rgb(room.textile),
        wood=rgb(room.wood),
    )


def _wall(corner: Corner, room: Room, *, floor: float) -> None:
    canvas, left = corner.canvas, corner.left
    upper, lower = rgb(room.wall), rgb(room.lower)
    daylight.wall(canvas, upper, scaled(upper, 0.93), from_left=left, floor=floor)
    walls.treated(canvas, room.treatment, lower, floor=floor, left=left)
    daylight.window_light(
        canvas, from_left=left, top=0.02, foot=floor - 0.1, strength=0.15, colour=(1.14, 1.05, 0.9)
    )


def _mood(*, left: bool, variant: int) -> Mood:
    return Mood(
        from_left=left,
        key=WARM,
        ambient=COOL,
        gloss=0.10,
        shadow=0.5,
        hardness=0.45,
        variant=variant,
    )


def _long_sofa(room: Corner) -> None:
    put.frames(room, 0.76, 0.42, "pair")
    put.sofa(room, 0.36)
    put.floor_lamp(room, 0.08)
    put.plant(room, 0.9, 0.0, "bush", size=0.4)


def _by_the_window(room: Corner) -> None:
    put.window(room, 0.2, wide=0.42, curtain=(0.93, 0.9, 0.84))
    put.armchair(room, 0.8)
    put.plant(room, 0.1, 0.0, "rubber", size=0.38)
    put.frames(room, 0.76, 0.52, "large")


def _library(room: Corner) -> None:
    put.bookcase(room, 0.84)
    top = put.console(room, 0.22, wide=0.6)
    put.table_lamp(room, 0.1, top)
    put.stack(room, 0.32, top)
    put.frames(room, 0.26, 0.56, "tall")


def _one_large_picture(room: Corner) -> None:
    put.frames(room, 0.3, 0.45, "large")
    put.sofa(room, 0.3, seats=2)
    put.floor_lamp(room, 0.9, arc=False, lit=False)
    put.plant(room, 0.76, 0.0, "snake", size=0.42)


def _mirror_and_console(room: Corner) -> None:
    put.frames(room, 0.76, 0.38, "round")
    top = put.console(room, 0.76, wide=0.76)
    put.vase(room, 0.94, top, "twigs")
    put.stack(room, 0.66, top)
    put.plant(room, 0.1, 0.0, "palm", size=0.46)


def _bright_window(room: Corner) -> None:
    put.window(room, 0.78, wide=0.5)
    put.sofa(room, 0.1, seats=2)
    top = put.side_table(room, 0.62)
    put.vase(room, 0.62, top, "grass")
    put.plant(room, 0.96, 0.0, "bush", size=0.34)


def _gallery_wall(room: Corner) -> None:
    put.frames(room, 0.2, 0.44, "grid")
    top = put.console(room, 0.24, wide=0.7)
    put.table_lamp(room, 0.36, top)
    put.vase(room, 0.08, top, "plain")
    put.armchair(room, 0.9)
    put.frames(room, 0.84, 0.55, "row")


def _dark_green(room: Corner) -> None:
    put.floor_lamp(room, 0.06, arc=True)
    put.sofa(room, 0.7)
    put.frames(room, 0.74, 0.46, "row")
    put.plant(room, 0.24, 0.0, "rubber", size=0.33)


_ROOMS: Final[tuple[Room, ...]] = (
    Room(
        wall="#d9d2c6", lower="#c9c0b1", wood="#a9774a", textile="#8d8f7f", accent="#b5653f",
        treatment="plain", furnish=_long_sofa, floor="#b98f66",
    ),
    Room(
        wall="#e4ded2", lower="#aab5a2", wood="#c49a6c", textile="#c9a27c", accent="#c79a4b",
        treatment="two-tone", furnish=_by_the_window, eye=0.34, boards=2.4, rug="#b9bfae",
    ),
    Room(
        wall="#b4bfc8", lower="#9fadb8", wood="#7f5638", textile="#5c6f80", accent="#d0a070",
        treatment="panelled", furnish=_library, eye=0.38, boards=2.0, floor="#8d6544",
    ),
    Room(
        wall="#dcc4b0", lower="#cbb29c", wood="#6d4730", textile="#e2d8c8", accent="#6f7d5f",
        treatment="plain", furnish=_one_large_picture, floor="#94694a", rug="#c58f6c",
    ),
    Room(
        wall="#e2dfd7", lower="#d4d0c5", wood="#cba67c", textile="#c8bca6", accent="#7b8d8e",
        treatment="panelled", furnish=_mirror_and_console, eye=0.33, boards=2.8, floor="#c9a57c",
    ),
    Room(
        wall="#dfe1dd", lower="#cfd3cf", wood="#d2bb9a", textile="#9fb0b8", accent="#d9a441",
        treatment="plain", furnish=_bright_window, eye=0.37, boards=1.8, floor="#c7ab88",
        rug="#e6e2d8",
    ),
    Room(
        wall="#e8dcc4", lower="#b98a5a", wood="#855a38", textile="#70806a", accent="#a8503c",
        treatment="two-tone", furnish=_gallery_wall, eye=0.35, boards=3.6, floor="#9c7048",
        rug="#8b5a48",
    ),
    Room(
        wall="#5f7163", lower="#51635a", wood="#5a3b27", textile="#a8683f", accent="#d7b98a",
        treatment="panelled", furnish=_dark_green, eye=0.36, boards=2.6, floor="#7a5436",
        rug="#cfc4ae",
    ),
)  # fmt: skip
