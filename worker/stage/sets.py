"""Which drawn set belongs to a scene, and how is it drawn?"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from worker.stage.canvas import Canvas, as_picture, resized
from worker.stage.names import set_named
from worker.stage.rooms import DRAWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.stage.light import Mood

_CACHED: Final = 8
_VARIANTS: Final = 40


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
    mood = DRAWN[name](canvas, variant)
    dither = rng.random((size_px[1], size_px[0], 1), np.float32) - 0.5
    pixels = (canvas.pixels.clip(0, 1) * 255 + 0.5 + dither).clip(0, 255).astype(np.uint8)
    return Backdrop(pixels=pixels, mood=mood)
