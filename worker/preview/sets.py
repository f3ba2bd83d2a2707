"""Which drawn set belongs to a scene, and how is it drawn?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from worker.preview.canvas import Canvas
from worker.preview.homes import bathroom_shelf, bedroom, home_office
from worker.preview.kept import Kept
from worker.preview.kitchen import golden_hour_kitchen
from worker.preview.living import living_room, living_room_floor
from worker.preview.names import set_named
from worker.preview.outdoors import forest_clearing, garden_patio, sunny_beach
from worker.preview.seasons import festive_table, winter_window
from worker.preview.studios import dark_studio, marble_studio, studio
from worker.preview.town import cafe_table, loft

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from worker.preview.light import Mood

# Few enough that a gallery of dozens mostly finds its sets drawn; each is also seen mirrored.
_VARIANTS: Final = 8
_DRAWN_LONG_PX: Final = 1536
_DRAWN: Final[dict[str, Callable[[Canvas, int], Mood]]] = {
    "bathroom-shelf": bathroom_shelf,
    "bedroom": bedroom,
    "cafe-table": cafe_table,
    "dark-studio": dark_studio,
    "festive-table": festive_table,
    "forest-clearing": forest_clearing,
    "garden-patio": garden_patio,
    "golden-hour-kitchen": golden_hour_kitchen,
    "home-office": home_office,
    "living-room": living_room,
    "loft": loft,
    "marble-studio": marble_studio,
    "studio": studio,
    "sunny-beach": sunny_beach,
    "winter-window": winter_window,
}
_FLOORS: Final = {"living-room": living_room_floor}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """An empty set, ready for the product: 8-bit pixels and the light in it."""

    pixels: NDArray[np.uint8]
    mood: Mood


KEPT: Final[Kept[Backdrop]] = Kept(
    max_entries=24, max_bytes=96 * 2**20, size_bytes=lambda backdrop: backdrop.pixels.nbytes
)


def backdrop(
    scene: str, *, prompt: str, size_px: tuple[int, int], seed: int, on_floor: bool = False
) -> Backdrop:
    """Draw a scene's set, or take it from those in memory: a quarter of a second, or nothing.

    Its long edge is ``1536`` px at most; larger frames get it in that size. ``on_floor`` asks for
    a set with a floor, where there is one.
    """
    name = set_named(scene, prompt)
    paint = _FLOORS.get(name, _DRAWN[name]) if on_floor else _DRAWN[name]
    scale = min(1.0, _DRAWN_LONG_PX / max(size_px))
    drawn_px = max(8, round(size_px[0] * scale)), max(8, round(size_px[1] * scale))
    variant = seed % _VARIANTS
    key = (paint.__name__, drawn_px, variant)
    found = KEPT.get(key, lambda: _drawn(paint, drawn_px, variant))
    return _mirrored(found) if seed // _VARIANTS % 2 else found


def _drawn(
    paint: Callable[[Canvas, int], Mood], size_px: tuple[int, int], variant: int
) -> Backdrop:
    word = hashlib.sha256(f"{paint.__name__}/{variant}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(word[:8]))
    canvas = Canvas(width_px=size_px[0], height_px=size_px[1], rng=rng)
    mood = paint(canvas, variant)
    dither = rng.random((size_px[1], size_px[0], 1), np.float32) - 0.5
    pixels = (canvas.pixels.clip(0, 1) * 255 + 0.5 + dither).clip(0, 255).astype(np.uint8)
    return Backdrop(pixels=pixels, mood=mood)


def _mirrored(found: Backdrop) -> Backdrop:
    mood = replace(found.mood, from_left=not found.mood.from_left)
    return Backdrop(pixels=found.pixels[:, ::-1], mood=mood)
