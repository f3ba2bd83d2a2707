"""Which pictures do tests need, and how are they made in code?

Everything here is made from its arguments alone: the same call gives the same bytes.
"""

from __future__ import annotations

import random
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import ExifTags, Image, ImageCms, ImageDraw, ImageFilter

ODD_PICTURES: Final = Path(__file__).parent / "odd_pictures"

RED: Final = (200, 30, 30)
GREEN: Final = (30, 160, 60)
BLUE: Final = (30, 60, 200)
YELLOW: Final = (230, 200, 40)

Colour = tuple[int, ...]


def png(width_px: int, height_px: int, *, colour: Colour | None = None, mode: str = "RGB") -> bytes:
    """A PNG of four quarters, or of one colour."""
    return written(_picture(width_px, height_px, colour, mode), "PNG")


def jpeg(
    width_px: int,
    height_px: int,
    *,
    colour: Colour | None = None,
    mode: str = "RGB",
    orientation: int | None = None,
    comment: bytes | None = None,
    profile: bytes | None = None,
) -> bytes:
    """A JPEG of four quarters, or of one colour, with the metadata asked for."""
    told: dict[str, Any] = {"quality": 95, "subsampling": "4:4:4"}
    if orientation is not None:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        exif[ExifTags.Base.ImageDescription] = "the shop's own words"
        told["exif"] = exif
    if comment is not None:
        told["comment"] = comment
    if profile is not None:
        told["icc_profile"] = profile
    return written(_picture(width_px, height_px, colour, mode), "JPEG", **told)


def webp(width_px: int, height_px: int, *, colour: Colour | None = None) -> bytes:
    """A WebP of four quarters, or of one colour."""
    return written(_picture(width_px, height_px, colour, "RGB"), "WEBP", quality=90)


def avif(width_px: int, height_px: int, *, colour: Colour | None = None) -> bytes:
    """An AVIF of four quarters, or of one colour."""
    return written(
        _picture(width_px, height_px, colour, "RGB"), "AVIF", quality=90, speed=9, max_threads=1
    )


def animated_webp(width_px: int, height_px: int, *, colours: tuple[Colour, ...]) -> bytes:
    """A WebP with one frame for each colour."""
    frames = [Image.new("RGB", (width_px, height_px), colour) for colour in colours]
    return written(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


def product_photo(seed: int, *, width_px: int = 800, height_px: int = 1000) -> bytes:
    """A plausible JPEG packshot: a vase, mug, box or lamp in a seeded colour, on a pale ground."""
    return written(product_picture(seed, width_px, height_px), "JPEG", quality=92)


def product_picture(seed: int, width_px: int, height_px: int) -> Image.Image:
    """As :func:`product_photo`, before it is encoded."""
    chance = random.Random(seed)
    picture = _ground(width_px, height_px, level=chance.randint(228, 248))
    unit = min(width_px, height_px) / 100
    middle = (width_px / 2, height_px / 2)
    _shadow(picture, middle, unit)
    body = tuple(chance.randint(30, 200) for _ in range(3))
    shape = chance.choice((_vase, _mug, _box, _lamp))
    shape(ImageDraw.Draw(picture), middle, unit, body)
    return picture


def bomb_png(width_px: int, height_px: int) -> bytes:
    """A PNG of a few hundred bytes whose header announces the size asked for."""
    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000), 9)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def scan_bomb_jpeg(width_px: int, height_px: int, *, scans: int) -> bytes:
    """A progressive JPEG that repeats its last scan until it has as many as asked."""
    whole = written(_picture(width_px, height_px, None, "RGB"), "JPEG", progressive=True)
    start = whole.rindex(b"\xff\xda")
    last = whole[start:-2]
    return whole[:-2] + last * (scans - whole.count(b"\xff\xda")) + whole[-2:]


def swapped_profile() -> bytes:
    """An RGB profile in which red is green and green is red, so that its use can't be missed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def grey_profile() -> bytes:
    """A grey profile whose curve is a straight line, so that 128 means half of the light."""
    white = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    line = struct.pack(">4s4xI", b"curv", 0)
    first = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2)
    tags += struct.pack(">4sII", b"wtpt", first, len(white))
    tags += struct.pack(">4sII", b"kTRC", first + len(white), len(line))
    size = first + len(white) + len(line)
    header = struct.pack(">I4xI4s4s4s", size, 0x02100000, b"mntr", b"GRAY", b"XYZ ")
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + tags + white + line


def opened(content: bytes) -> Image.Image:
    """Decode a file that we trust."""
    picture = Image.open(BytesIO(content))
    picture.load()
    return picture


def written(picture: Image.Image, form: str, **told: Any) -> bytes:
    """Encode a picture in one of Pillow's formats."""
    target = BytesIO()
    picture.save(target, form, **told)
    return target.getvalue()


def is_near(pixel: Any, colour: Colour, *, tolerance: int = 12) -> bool:
    """Whether a pixel is a colour, but for what a lossy encoder does."""
    return all(abs(is_ - was) <= tolerance for is_, was in zip(pixel, colour, strict=True))


def quarters(width_px: int, height_px: int) -> Image.Image:
    """Red and green above, blue and yellow below: every turn and mirroring shows."""
    picture = Image.new("RGB", (width_px, height_px), RED)
    x_px, y_px = width_px // 2, height_px // 2
    picture.paste(GREEN, (x_px, 0, width_px, y_px))
    picture.paste(BLUE, (0, y_px, x_px, height_px))
    picture.paste(YELLOW, (x_px, y_px, width_px, height_px))
    return picture


def _picture(width_px: int, height_px: int, colour: Colour | None, mode: str) -> Image.Image:
    if colour is not None:
        return Image.new(mode, (width_px, height_px), colour)
    return quarters(width_px, height_px).convert(mode)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _ground(width_px: int, height_px: int, *, level: int) -> Image.Image:
    """A backdrop that darkens a little downwards, as lit from above."""
    fall = Image.linear_gradient("L").resize((width_px, height_px))
    ground = fall.point([level - shade // 14 for shade in range(256)])
    return Image.merge("RGB", (ground, ground, ground))


def _shadow(picture: Image.Image, middle: tuple[float, float], unit: float) -> None:
    x_px, y_px = middle
    mask = Image.new("L", picture.size, 0)
    box = (x_px - 26 * unit, y_px + 24 * unit, x_px + 26 * unit, y_px + 34 * unit)
    ImageDraw.Draw(mask).ellipse(box, fill=110)
    picture.paste((60, 60, 66), mask=mask.filter(ImageFilter.GaussianBlur(2 * unit)))


def _vase(draw: ImageDraw.ImageDraw, middle: tuple[float, float], unit: float, body: Any) -> None:
    x_px, y_px = middle
    draw.rectangle((x_px - 6 * unit, y_px - 34 * unit, x_px + 6 * unit, y_px), fill=_dark(body))
    box = (x_px - 22 * unit, y_px - 16 * unit, x_px + 22 * unit, y_px + 30 * unit)
    draw.ellipse(box, fill=body)
    draw.arc(box, 150, 250, fill=_pale(body), width=max(1, round(2 * unit)))


def _mug(draw: ImageDraw.ImageDraw, middle: tuple[float, float], unit: float, body: Any) -> None:
    x_px, y_px = middle
    handle = (x_px + 12 * unit, y_px - 12 * unit, x_px + 32 * unit, y_px + 16 * unit)
    draw.arc(handle, -100, 100, fill=_dark(body), width=max(2, round(4 * unit)))
    sides = (x_px - 22 * unit, y_px - 22 * unit, x_px + 22 * unit, y_px + 29 * unit)
    draw.rounded_rectangle(sides, radius=4 * unit, fill=body)
    rim = (x_px - 22 * unit, y_px - 27 * unit, x_px + 22 * unit, y_px - 17 * unit)
    draw.ellipse(rim, fill=_dark(body))


def _box(draw: ImageDraw.ImageDraw, middle: tuple[float, float], unit: float, body: Any) -> None:
    x_px, y_px = middle
    left, top, right, low = x_px - 26 * unit, y_px - 14 * unit, x_px + 20 * unit, y_px + 29 * unit
    deep = 8 * unit
    draw.polygon(
        ((left, top), (left + deep, top - deep), (right + deep, top - deep), (right, top)),
        fill=_pale(body),
    )
    draw.polygon(
        ((right, top), (right + deep, top - deep), (right + deep, low - deep), (right, low)),
        fill=_dark(body),
    )
    draw.rectangle((left, top, right, low), fill=body)
    draw.rectangle((left + deep, top + deep, right - deep, top + 2 * deep), fill=_pale(body))


def _lamp(draw: ImageDraw.ImageDraw, middle: tuple[float, float], unit: float, body: Any) -> None:
    x_px, y_px = middle
    draw.rectangle(
        (x_px - 2 * unit, y_px - 10 * unit, x_px + 2 * unit, y_px + 28 * unit), fill=_dark(body)
    )
    foot = (x_px - 14 * unit, y_px + 25 * unit, x_px + 14 * unit, y_px + 31 * unit)
    draw.ellipse(foot, fill=_dark(body))
    shade = (
        (x_px - 12 * unit, y_px - 36 * unit),
        (x_px + 12 * unit, y_px - 36 * unit),
        (x_px + 24 * unit, y_px - 6 * unit),
        (x_px - 24 * unit, y_px - 6 * unit),
    )
    draw.polygon(shade, fill=body)


def _dark(colour: Colour) -> Colour:
    return tuple(part * 2 // 3 for part in colour)


def _pale(colour: Colour) -> Colour:
    return tuple((part + 255) // 2 for part in colour)
