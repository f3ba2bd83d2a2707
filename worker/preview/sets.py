"""Which drawn set belongs to a scene, and how is it drawn?"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from worker.preview.canvas import Canvas
from worker.preview.names import set_named
from worker.preview.outdoors import forest_clearing, garden_patio, sunny_beach
from worker.preview.places import (
    bathroom_shelf,
    bedroom,
    cafe_table,
    dark_studio,
    festive_table,
    home_office,
    loft,
    marble_studio,
    winter_window,
)
from worker.preview.rooms import golden_hour_kitchen, living_room, studio

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from worker.preview.light import Mood

_CACHED: Final = 8
_VARIANTS: Final = 40
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """An empty set, ready for the product: 8-bit pixels and the light in it."""

    pixels: NDArray[np.uint8]
    mood: Mood


_made: OrderedDict[tuple[str, tuple[int, int], int], Backdrop] = OrderedDict()
_guard = Lock()


def backdrop(scene: str, *, prompt: str, size_px: tuple[int, int], seed: int) -> Backdrop:
    """Draw a scene's set, or take it from the few kept in memory (5 MB each at most)."""
    key = (set_named(scene, prompt), size_px, seed % _VARIANTS)
    with _guard:
        if key in _made:
            _made.move_to_end(key)
            return _made[key]
    drawn = _drawn(*key)
    with _guard:
        _made[key] = drawn
        while len(_made) > _CACHED:
            _made.popitem(last=False)
    return drawn


def _drawn(name: str, size_px: tuple[int, int], variant: int) -> Backdrop:
    word = hashlib.sha256(f"{name}/{variant}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(word[:8]))
    canvas = Canvas(width_px=size_px[0], height_px=size_px[1], rng=rng)
    mood = _DRAWN[name](canvas, variant)
    dither = rng.random((size_px[1], size_px[0], 1), np.float32) - 0.5
    pixels = (canvas.pixels.clip(0, 1) * 255 + 0.5 + dither).clip(0, 255).astype(np.uint8)
    return Backdrop(pixels=pixels, mood=mood)
