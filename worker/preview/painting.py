"""How do a set's far part and its surface come together?

What is far away is drawn on a half-size canvas, out of focus; the surface at full size over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worker.preview import surfaces
from worker.preview.canvas import Canvas, Colour, resized, rgb, smooth

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.preview.canvas import Pixels
    from worker.preview.surfaces import Plane

WARM: Colour = (1.0, 0.93, 0.82)
COOL: Colour = (0.84, 0.91, 1.0)


def half(canvas: Canvas) -> Canvas:
    """Start the far part of a set: half the size, the same generator."""
    return Canvas(
        width_px=max(4, canvas.width_px // 2),
        height_px=max(4, canvas.height_px // 2),
        rng=canvas.rng,
    )


def onto(far: Canvas, canvas: Canvas) -> None:
    """Enlarge the far part over the whole canvas."""
    canvas.pixels[:] = resized(far.pixels.clip(0, 1.2), (canvas.width_px, canvas.height_px))


def finish_surface(
    canvas: Canvas,
    floor: Plane,
    colours: Pixels,
    *,
    left: bool,
    sheen: Colour,
    strength: float = 0.3,
    edge: float = 0.012,
    mirror: float = 0.24,
) -> None:
    """Light a surface from the side, mirror the far part in its back, and lay it."""
    away = canvas.x if left else 1 - canvas.x
    rows = len(colours)
    behind = canvas.pixels[max(0, floor.top_row - rows) : floor.top_row][::-1]
    fade = (floor.far[: len(behind)].clip(0, 1) ** 2 * mirror)[..., None]
    lit = colours * (1.1 - 0.36 * smooth(away, 0.05, 1.1))[..., None]
    lit *= (0.84 + 0.2 * floor.far)[..., None]
    small = surfaces.softened(behind, canvas.unit_px * 0.03)
    lit[: len(behind)] = lit[: len(behind)] * (1 - fade) + small * fade
    middle = 0.18 if left else 0.82
    patch = canvas.spot((middle, 0.72), (0.42, 0.16))[floor.top_row :] * strength
    lit += patch[..., None] * (
        np.asarray(sheen, np.float32) * lit + 0.1 * (np.asarray(sheen, np.float32) - lit).clip(0)
    )
    surfaces.lay_surface(canvas, floor, lit, edge_px=canvas.unit_px * edge)


def sided(*, left: bool) -> Callable[[float], float]:
    """Mirror places across the frame when the light comes from the right."""
    return (lambda x: x) if left else (lambda x: 1 - x)


def paired(variant: int, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[Colour, Colour]:
    """Choose two colours (``#rrggbb``) of a set's own."""
    return rgb(first[variant % len(first)]), rgb(second[(variant // 2) % len(second)])
