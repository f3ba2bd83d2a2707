"""How is a photo shown whose product can't be told from its background? As a framed print."""

# ruff: noqa: PLR2004 - measured by eye, each where it is used

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from worker.preview.light import Mood

_LONG_PX = 1200
_FRAMES = ((46, 36, 29), (28, 28, 30), (196, 160, 118), (238, 235, 229))


def framed(photo: Image.Image, mood: Mood, *, longest_px: int = _LONG_PX) -> Image.Image:
    """Put a photo behind a mat in a frame that leans back a little: ``RGBA``.

    ``longest_px`` bounds the print, for frames that are shown small anyway.
    """
    print_ = photo.convert("RGB")
    long_px = min(_LONG_PX, longest_px)
    print_.thumbnail((long_px, long_px), Image.Resampling.LANCZOS)
    print_ = _at_least(print_)
    measure = (print_.width * print_.height) ** 0.5
    mat_px, rim_px = round(measure * 0.085), max(3, round(measure * 0.024))
    edge = mat_px + rim_px
    board = Image.new("RGB", (print_.width + 2 * edge, print_.height + 2 * edge), (246, 243, 236))
    board.paste(print_, (edge, edge))
    _bevel(board, edge, mat_px)
    _rim(board, rim_px, _FRAMES[mood.variant % len(_FRAMES)], from_left=mood.from_left)
    return _leaning(_glazed(board, mood), mood)


def _at_least(print_: Image.Image, shortest_px: int = 240) -> Image.Image:
    """Enlarge tiny photos; keep extreme shapes within 1:4."""
    wide, high = print_.size
    if max(wide, high) > 4 * min(wide, high):
        shape = (wide, max(1, wide // 4)) if wide > high else (max(1, high // 4), high)
        print_ = print_.resize(shape)
    factor = shortest_px / min(print_.size)
    if factor <= 1:
        return print_
    return print_.resize((round(print_.width * factor), round(print_.height * factor)))


def _bevel(board: Image.Image, edge: int, mat_px: int) -> None:
    draw = ImageDraw.Draw(board)
    width_px = max(1, mat_px // 18)
    far = board.width - edge, board.height - edge
    for step in range(width_px):
        box = (edge - step - 1, edge - step - 1, far[0] + step, far[1] + step)
        draw.rectangle(box, outline=(214, 209, 199))


def _rim(board: Image.Image, rim_px: int, colour: tuple[int, int, int], *, from_left: bool) -> None:
    draw = ImageDraw.Draw(board)
    wide, high = board.size
    inner = (rim_px, rim_px, wide - rim_px, high - rim_px)
    sides = (
        (((0, 0), (wide, 0), (inner[2], inner[1]), (inner[0], inner[1])), 1.25),
        (((0, high), (wide, high), (inner[2], inner[3]), (inner[0], inner[3])), 0.78),
        (
            ((0, 0), (0, high), (inner[0], inner[3]), (inner[0], inner[1])),
            1.12 if from_left else 0.88,
        ),
        (
            ((wide, 0), (wide, high), (inner[2], inner[3]), (inner[2], inner[1])),
            0.88 if from_left else 1.12,
        ),
    )
    for corners, level in sides:
        draw.polygon(corners, fill=tuple(min(255, round(band * level)) for band in colour))
    shade = Image.new("L", board.size, 0)
    inset = ImageDraw.Draw(shade)
    inset.rectangle(inner, outline=150, width=max(2, rim_px // 2))
    shade = shade.filter(ImageFilter.GaussianBlur(rim_px * 0.7))
    keep = Image.new("L", board.size, 0)
    ImageDraw.Draw(keep).rectangle(inner, fill=255)
    dark = Image.new("RGB", board.size, (20, 16, 12))
    board.paste(dark, (0, 0), Image.composite(shade, Image.new("L", board.size, 0), keep))


def _glazed(board: Image.Image, mood: Mood) -> Image.Image:
    """Let light run across the glass."""
    wide, high = board.size
    across = np.linspace(0, 1, wide, dtype=np.float32)[None, :]
    down = np.linspace(0, 1, high, dtype=np.float32)[:, None]
    place = across if mood.from_left else 1 - across
    sheen = np.exp(-(((place + 0.6 * down - 0.45) / 0.22) ** 2)) * 0.07 * (1 - down)
    lit = 1.04 - 0.16 * place - 0.06 * down
    pixels = np.asarray(board, np.float32) / 255 * lit[..., None]
    pixels = pixels + sheen[..., None] * (1 - pixels)
    return Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).convert("RGBA")


def _leaning(board: Image.Image, mood: Mood) -> Image.Image:
    """Lean the frame back and turn it a few degrees from the viewer."""
    wide, high = board.size
    pad = round(0.04 * max(board.size))
    near, far = (0.0, 0.028) if mood.from_left else (0.028, 0.0)
    top = 0.012 * wide
    corners = (
        (pad + top, pad + near * high),
        (pad + wide * 0.965 - top, pad + far * high),
        (pad + wide * 0.965, pad + high - far * high * 0.55),
        (pad, pad + high - near * high * 0.55),
    )
    around = Image.new("RGBA", (wide + 2 * pad, high + 2 * pad), (0, 0, 0, 0))
    around.paste(board, (pad, pad))
    source = ((pad, pad), (pad + wide, pad), (pad + wide, pad + high), (pad, pad + high))
    turned = around.transform(
        around.size,
        Image.Transform.PERSPECTIVE,
        _perspective(corners, source),
        Image.Resampling.BICUBIC,
    )
    box = turned.getchannel("A").point(lambda value: 255 * (value > 24)).getbbox()
    return turned.crop(box) if box else turned


def _perspective(
    seen: tuple[tuple[float, float], ...], source: tuple[tuple[float, float], ...]
) -> list[float]:
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]
