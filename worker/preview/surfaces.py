"""What does the product stand on? Planes in perspective: wood, stone, sand, cloth, tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worker.preview.canvas import Colour, noise, resized, smooth

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.preview.canvas import Canvas, Pixels

    Texture = Callable[[np.random.Generator, "Plane"], Pixels]

_TILE = 1024
_ACROSS = 2.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A surface's points, pixel by pixel: ``across`` and ``deep`` in units of the frame's width.

    ``far`` is 0 at the front and 1 at the back edge.
    """

    across: Pixels
    deep: Pixels
    far: Pixels
    top_row: int


def plane(canvas: Canvas, *, back: float, eye: float) -> Plane:
    """Lay a plane from the frame's bottom to ``back``, seen with the horizon at ``eye``."""
    rows = np.arange(round(back * canvas.height_px), canvas.height_px, dtype=np.float32)
    drop = (rows / canvas.height_px - eye)[:, None]
    near = 1 - eye
    scale = near / drop
    columns = np.arange(canvas.width_px, dtype=np.float32)[None, :] - canvas.width_px / 2
    across = columns / canvas.unit_px * scale
    deep = scale * 1.5 * np.ones_like(across)
    far = ((drop - near) / ((back - eye) - near)) * np.ones_like(across)
    return Plane(across=across, deep=deep, far=far.astype(np.float32), top_row=int(rows[0]))


def lay_surface(
    canvas: Canvas, floor: Plane, colours: Pixels, *, edge_px: float, sharp: float = 0.45
) -> None:
    """Paint a surface, out of focus towards its back and its front edge softened."""
    soft = softened(colours, max(2.0, canvas.unit_px * 0.012))
    blur = smooth(floor.far, sharp, 1.0)[..., None]
    front = smooth(-floor.far, -0.14, 0.02)[..., None] * 0.7
    share = np.maximum(blur, front)
    painted = colours * (1 - share) + soft * share
    rows = np.arange(len(painted), dtype=np.float32)[:, None, None]
    cover = smooth(rows, 0, max(edge_px, 1))
    into = canvas.pixels[floor.top_row :]
    into *= 1 - cover
    into += painted * cover


def softened(colours: Pixels, radius_px: float) -> Pixels:
    """Blur by shrinking and enlarging; cheap for wide radii."""
    high, wide = colours.shape[:2]
    small = max(2, round(wide / radius_px)), max(2, round(high / radius_px))
    return resized(resized(colours, small), (wide, high))


def sample(tile: Pixels, across: Pixels, deep: Pixels) -> Pixels:
    """Look a repeating texture up, smoothly."""
    high, wide = tile.shape[:2]
    x, y = across * wide, deep * high
    left, upper = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    dx, dy = x - left, y - upper
    left, upper = left % wide, upper % high
    right, lower = (left + 1) % wide, (upper + 1) % high
    top = tile[upper, left] * (1 - dx) + tile[upper, right] * dx
    bottom = tile[lower, left] * (1 - dx) + tile[lower, right] * dx
    found: Pixels = top * (1 - dy) + bottom * dy
    return found


def wood(
    rng: np.random.Generator,
    floor: Plane,
    colour: Colour,
    *,
    boards: float = 5.0,
    lengthwise: bool = False,
    seams: float = 0.5,
) -> Pixels:
    """Planks; ``boards`` of them per unit, along the viewer's eye if ``lengthwise``."""
    over, along = (floor.across, floor.deep) if lengthwise else (floor.deep, floor.across)
    tile = _grain(rng)
    place = over * boards + 0.37
    board = np.floor(place)
    within = place - board
    which = board.astype(np.int32) % 64
    tone = rng.normal(0, 1, 64).astype(np.float32)[which]
    shift = rng.random(64).astype(np.float32)[which]
    grain = sample(tile, along * 0.42 + shift * 7.3, over * boards * 0.19 + shift * 3.1)
    gap = np.minimum(within, 1 - within)
    width = 0.012 + 0.02 * floor.far
    seam = 1 - seams * np.exp(-((gap / width) ** 2)) * (1 - 0.6 * floor.far)
    level = (1 + 0.055 * tone + 0.105 * grain) * seam
    tint = np.stack([level, level**1.12, level**1.3], axis=-1)
    painted: Pixels = (np.asarray(colour, np.float32) * tint).astype(np.float32)
    return painted


def _grain(rng: np.random.Generator) -> Pixels:
    """Long fibres with a few flowing rings, as a repeating tile near -2 to 2."""
    shape = (_TILE // 2, _TILE)
    warp = noise(rng, shape, 90, (3.0, 1.0))
    rows = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    rings = np.sin((rows * 34 + warp * 2.1) * 2 * np.pi * 0.55)
    fibre = noise(rng, shape, 2.2, (60.0, 1.0)) * 0.55 + noise(rng, shape, 1.2, (22.0, 1.0)) * 0.3
    broad = noise(rng, shape, 40, (7.0, 1.0)) * 0.6
    tile = rings * 0.5 + fibre + broad
    return _seamless(tile.astype(np.float32))


def _seamless(tile: Pixels) -> Pixels:
    """Blend a tile's right into its left, and its bottom into its top."""
    for axis in (0, 1):
        moved = np.moveaxis(tile, axis, 0)
        size = len(moved) // 8
        share = np.linspace(0, 1, size, dtype=np.float32)[:, None]
        moved[:size] = moved[:size] * share + moved[-size:] * (1 - share)
        moved = moved[:-size]
        tile = np.moveaxis(moved, 0, axis).copy()
    return tile


def marble(rng: np.random.Generator, floor: Plane, colour: Colour, vein: Colour) -> Pixels:
    """Polished stone with veins."""
    shape = (_TILE // 2, _TILE // 2)
    cloud = noise(rng, shape, 110) + 0.5 * noise(rng, shape, 45) + 0.22 * noise(rng, shape, 14)
    other = noise(rng, shape, 150) + 0.5 * noise(rng, shape, 50) + 0.2 * noise(rng, shape, 10)
    lines = np.exp(-np.abs(cloud) * 11) * 0.75 + np.exp(-np.abs(other) * 18) * 0.5
    strength = smooth(noise(rng, shape, 160), -1.2, 1.6)
    tile = _seamless((lines * strength + 0.05 * other).astype(np.float32))
    veins = sample(tile, floor.across * 0.62 + 0.1, floor.deep * 0.62 + 0.2).clip(0, 0.85)[
        ..., None
    ]
    painted: Pixels = np.asarray(colour, np.float32) * (1 - veins)
    painted += np.asarray(vein, np.float32) * veins
    return painted


def stone(rng: np.random.Generator, floor: Plane, colour: Colour, *, rough: float = 1.0) -> Pixels:
    """Concrete, slate or plaster: clouds and fine specks."""
    shape = (_TILE // 2, _TILE // 2)
    tile = 0.5 * noise(rng, shape, 60) + 0.35 * noise(rng, shape, 16) + 0.4 * noise(rng, shape, 2)
    found = sample(_seamless(tile.astype(np.float32)), floor.across * 0.9, floor.deep * 0.9)
    level = 1 + 0.055 * rough * found
    painted: Pixels = (level[..., None] * np.asarray(colour, np.float32)).astype(np.float32)
    return painted


def sand(rng: np.random.Generator, floor: Plane, colour: Colour, *, from_left: bool) -> Pixels:
    """Sand with ripples, dimples and glittering grains."""
    shape = (_TILE, _TILE)
    dunes = noise(rng, shape, 60, (2.2, 1.0)) + 0.55 * noise(rng, shape, 22, (1.6, 1.0))
    dunes = dunes + 0.3 * noise(rng, shape, 8)
    slope = np.gradient(dunes, axis=1) * (1 if from_left else -1) + 0.5 * np.gradient(dunes, axis=0)
    grains = noise(rng, shape, 1.0)
    tile = _seamless((slope * 2.2 + grains * 0.22).astype(np.float32))
    found = sample(tile, floor.across * 0.8, floor.deep * 0.8)
    level = 1 + 0.15 * found.clip(-2.5, 2.5)
    tint = np.stack([level, level**1.06, level**1.18], axis=-1)
    return (np.asarray(colour, np.float32) * tint).astype(np.float32)


def tiles(
    rng: np.random.Generator, floor: Plane, colour: Colour, joint: Colour, *, count: float = 3.0
) -> Pixels:
    """Square tiles with joints, each a shade of its own."""
    x, y = floor.across * count, floor.deep * count
    across, down = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    tone = rng.normal(0, 1, 4096).astype(np.float32)[(across * 37 + down * 101) % 4096]
    gap = np.minimum.reduce([x - across, across + 1 - x, y - down, down + 1 - y])
    line = np.exp(-((gap / (0.02 + 0.02 * floor.far)) ** 2))[..., None]
    body = stone(rng, floor, colour) * (1 + 0.03 * tone)[..., None]
    painted: Pixels = body * (1 - line) + np.asarray(joint, np.float32) * line
    return painted


def cloth(rng: np.random.Generator, floor: Plane, colour: Colour) -> Pixels:
    """Linen: a fine weave with slow folds."""
    shape = (_TILE // 2, _TILE // 2)
    weave = noise(rng, shape, 1.2, (9.0, 1.0)) + noise(rng, shape, 1.2, (1.0, 9.0))
    folds = noise(rng, shape, 90, (0.6, 2.4)) * 1.5
    tile = _seamless((weave * 0.33 + folds * 0.75).astype(np.float32))
    found = sample(tile, floor.across * 1.1, floor.deep * 1.1)
    level = 1 + 0.06 * found
    painted: Pixels = (level[..., None] * np.asarray(colour, np.float32)).astype(np.float32)
    return painted


def moss(rng: np.random.Generator, floor: Plane, colour: Colour, leaf: Colour) -> Pixels:
    """Grass, moss or fallen leaves: patches of two colours with rough grain."""
    shape = (_TILE, _TILE)
    patch = noise(rng, shape, 70) + 0.6 * noise(rng, shape, 20)
    rough = 0.7 * noise(rng, shape, 4, (0.6, 1.6)) + 0.5 * noise(rng, shape, 2, (0.6, 1.6))
    tile = _seamless(np.stack([patch, rough], axis=-1).astype(np.float32)[..., 0])
    fine = _seamless(rough.astype(np.float32))
    share = smooth(sample(tile, floor.across * 0.7, floor.deep * 0.7), -0.6, 1.2)[..., None]
    level = 1 + 0.15 * sample(fine, floor.across * 0.7, floor.deep * 0.7)
    ground = np.asarray(colour, np.float32) * (1 - share) + np.asarray(leaf, np.float32) * share
    return (ground * level[..., None]).clip(0, 1.3).astype(np.float32)
