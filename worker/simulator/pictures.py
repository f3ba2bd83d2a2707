"""What does a sold picture look like, and how is it made in a millisecond?

A picture is four horizontal bands: wall, stage, floor and a caption. The upper three come from a
small stock of variants per pixel size, chosen by the request's digest, each encoded once; only the
caption is drawn and encoded per sale. JPEG restart markers after every row of blocks make the
encoded bands independent of each other, so that a picture is put together from encoded bytes.
"""

from __future__ import annotations

import io
import re
from colorsys import hls_to_rgb
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

Colour = tuple[int, int, int]

VARIANTS: Final = 8
QUALITY: Final = 85
NOISE_SIGMA: Final = 14.0
_NOISE_TILE_PX: Final = 256
# Chroma at half size makes a block row 16 pixels high.
_BLOCK_PX: Final = 16
_CAPTION_SHARE: Final = 0.13
_WALL_SHARE: Final = 0.38
_STAGE_SHARE: Final = 0.34
# 24 bands per pixel size: four sizes; at 4K about 120 MB.
_STOCKED_BANDS: Final = 96
_START_OF_FRAME: Final = b"\xff\xc0"
_START_OF_SCAN: Final = b"\xff\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A picture to be made; ``digest`` (hex) decides its look, ``caption`` is written on it."""

    width_px: int
    height_px: int
    digest: str
    caption: tuple[str, ...]
    media_type: str = "image/jpeg"


def make_picture(order: Order) -> bytes:
    """Draw an order: the same order gives the same bytes, another one gives others."""
    jpeg = _make_jpeg(order)
    return _to_png(jpeg) if order.media_type == "image/png" else jpeg


def _make_jpeg(order: Order) -> bytes:
    width_px = order.width_px
    rows = -(-order.height_px // _BLOCK_PX)
    caption_rows = max(2, round(rows * _CAPTION_SHARE))
    wall_rows = max(1, round(rows * _WALL_SHARE))
    stage_rows = max(1, round(rows * _STAGE_SHARE))
    floor_rows = rows - caption_rows - wall_rows - stage_rows
    choice = [int(order.digest[place], 16) % VARIANTS for place in range(3)]
    upper_px = (rows - caption_rows) * _BLOCK_PX
    head, caption = _encode(_draw_caption(order, order.height_px - upper_px))
    segments = (
        *_stocked_band("wall", width_px, wall_rows, choice[0]),
        *_stocked_band("stage", width_px, stage_rows, choice[1]),
        *_stocked_band("floor", width_px, floor_rows, choice[2]),
        *caption,
    )
    return _with_height(head, order.height_px) + _join(segments) + _END_OF_IMAGE


def _encode(picture: Image.Image) -> tuple[bytes, tuple[bytes, ...]]:
    """The JPEG's headers, and its scan cut at the restart markers."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=2, restart_marker_rows=1)
    jpeg = buffer.getvalue()
    scan_at = jpeg.index(_START_OF_SCAN)
    entropy_at = scan_at + 2 + int.from_bytes(jpeg[scan_at + 2 : scan_at + 4], "big")
    scan = jpeg[entropy_at : -len(_END_OF_IMAGE)]
    return jpeg[:entropy_at], tuple(_RESTART.split(scan))


def _with_height(head: bytes, height_px: int) -> bytes:
    at = head.index(_START_OF_FRAME) + 5
    return head[:at] + height_px.to_bytes(2, "big") + head[at + 2 :]


def _join(segments: tuple[bytes, ...]) -> bytes:
    pieces = [segments[0]]
    for number, segment in enumerate(segments[1:]):
        pieces += [bytes((0xFF, 0xD0 + number % 8)), segment]
    return b"".join(pieces)


@lru_cache(maxsize=_STOCKED_BANDS)
def _stocked_band(kind: str, width_px: int, rows: int, variant: int) -> tuple[bytes, ...]:
    if not rows:
        return ()
    picture = _DRAW[kind](width_px, rows * _BLOCK_PX, variant)
    return _encode(picture)[1]


def _draw_wall(width_px: int, height_px: int, variant: int) -> Image.Image:
    picture = _textured(width_px, height_px, _colour(variant, 0.62), _colour(variant, 0.86))
    draw = ImageDraw.Draw(picture)
    side = min(width_px, height_px)
    left = width_px * (1 + variant % 4) // 6
    frame = (left, height_px // 5, left + side // 2, height_px // 5 + side // 2)
    draw.rectangle(frame, fill=_colour(variant + 3, 0.75), outline="white", width=side // 40 + 1)
    draw.ellipse(_inset(frame, side // 8), fill=_colour(variant + 5, 0.5))
    return picture


def _draw_stage(width_px: int, height_px: int, variant: int) -> Image.Image:
    picture = _textured(width_px, height_px, _colour(variant, 0.8), _colour(variant, 0.58))
    draw = ImageDraw.Draw(picture)
    side = min(width_px, height_px)
    left = (width_px - side) // 2
    draw.ellipse(
        (left, height_px * 4 // 5, left + side, height_px - 1), fill=_colour(variant, 0.35)
    )
    body = (left + side // 6, height_px // 12, left + side * 5 // 6, height_px * 9 // 10)
    fill, edge = _colour(variant + 4, 0.45), _colour(variant + 4, 0.25)
    if variant % 2:
        draw.rounded_rectangle(body, side // 10, fill=fill, outline=edge, width=side // 50 + 1)
    else:
        draw.ellipse(body, fill=fill, outline=edge, width=side // 50 + 1)
    draw.ellipse(_inset(body, side // 5), fill=_colour(variant + 4, 0.7))
    return picture


def _draw_floor(width_px: int, height_px: int, variant: int) -> Image.Image:
    picture = _textured(width_px, height_px, _colour(variant, 0.5), _colour(variant, 0.3))
    draw = ImageDraw.Draw(picture)
    boards = 5 + variant
    for board in range(boards + 1):
        top = (width_px * board // boards, 0)
        bottom = (width_px * (board * 3 - boards) // boards, height_px)
        draw.line((top, bottom), fill=_colour(variant, 0.2), width=width_px // 400 + 1)
    return picture


_DRAW: Final[dict[str, Callable[[int, int, int], Image.Image]]] = {
    "wall": _draw_wall,
    "stage": _draw_stage,
    "floor": _draw_floor,
}


def _draw_caption(order: Order, height_px: int) -> Image.Image:
    picture = Image.new("RGB", (order.width_px, height_px), (24, 26, 30))
    draw = ImageDraw.Draw(picture)
    _draw_badge(draw, order.digest, height_px)
    line_px = height_px / (len(order.caption) + 0.6)
    font = ImageFont.load_default(size=max(6.0, line_px * 0.72))
    for number, line in enumerate(order.caption):
        place = (height_px * 1.15, line_px * (number + 0.3))
        draw.text(place, line, font=font, fill=(238, 238, 232) if not number else (168, 176, 186))
    return picture


def _draw_badge(draw: ImageDraw.ImageDraw, digest: str, height_px: int) -> None:
    """Five by five mirrored squares from the digest: two requests are told apart at a glance."""
    cell = height_px / 6
    bits = int(digest[8:16], 16)
    colour = _colour(int(digest[16:18], 16), 0.62)
    for place in range(15):
        column, row = divmod(place, 5)
        if not bits >> place & 1:
            continue
        for x in {column, 4 - column}:
            left, top = (x + 0.5) * cell, (row + 0.5) * cell
            draw.rectangle((left, top, left + cell, top + cell), fill=colour)


def _textured(width_px: int, height_px: int, top: Colour, bottom: Colour) -> Image.Image:
    gradient = Image.linear_gradient("L").resize((width_px, height_px))
    grey = ImageChops.add(gradient, _noise(width_px, height_px), offset=-128)
    return ImageOps.colorize(grey, top, bottom)


def _noise(width_px: int, height_px: int) -> Image.Image:
    noise = Image.new("L", (width_px, height_px))
    tile = _noise_tile()
    for x in range(0, width_px, _NOISE_TILE_PX):
        for y in range(0, height_px, _NOISE_TILE_PX):
            noise.paste(tile, (x, y))
    return noise


@lru_cache(maxsize=1)
def _noise_tile() -> Image.Image:
    # Not Image.effect_noise: it can't be seeded, and the same order has to give the same bytes.
    dice = Random(0)  # noqa: S311 - texture
    levels = bytes(
        max(0, min(255, round(dice.gauss(128, NOISE_SIGMA)))) for _ in range(_NOISE_TILE_PX**2)
    )
    return Image.frombytes("L", (_NOISE_TILE_PX, _NOISE_TILE_PX), levels)


def _colour(step: int, lightness: float) -> Colour:
    hue = step * 0.382 % 1
    red, green, blue = (round(part * 255) for part in hls_to_rgb(hue, lightness, 0.42))
    return red, green, blue


def _inset(box: tuple[int, int, int, int], by_px: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    by_px = max(0, min(by_px, (right - left) // 2 - 1, (bottom - top) // 2 - 1))
    return left + by_px, top + by_px, right - by_px, bottom - by_px


def _to_png(jpeg: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as picture:
        picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
