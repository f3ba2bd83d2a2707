"""Can these bytes be decoded without harm, and what picture do they hold?

The one door through which bytes of somebody else's making become pixels. What a header announces
is judged before a pixel is decoded, only accepted formats are tried, and whatever Pillow raises
leaves here as a refusal. C code can't be interrupted from Python: a process that decodes strangers'
files needs a hard time limit of its own besides.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Final

from PIL import ExifTags, Image, UnidentifiedImageError

from catalog.reasons import Failure
from worker.errors import ReferenceUnusable, Refused
from worker.imaging.sniff import UNKNOWN, sniff_media_type

# MPO is a JPEG with more JPEGs behind it; Pillow finds out by itself.
_PILLOW_FORMATS: Final = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}
ACCEPTED_MEDIA_TYPES: Final = tuple(_PILLOW_FORMATS)

# What Pillow 13 and its plug-ins were seen to raise, or are documented to raise, on damaged files.
# MemoryError is told apart below. Nothing of ours is inside the try, so a bug of ours still shows.
_PILLOW_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    RuntimeError,
    struct.error,
)
# A JPEG with more segments than this is no photo; walking them costs time.
_MAX_JPEG_SEGMENTS: Final = 5_000
_JPEG_MARKER: Final = re.compile(rb"\xff([^\x00\xff])")
_JPEG_SCAN: Final = 0xDA
_JPEG_END: Final = 0xD9
_JPEG_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_UPRIGHT: Final = 1
_LAST_ORIENTATION: Final = 8
_LYING_ORIENTATIONS: Final = frozenset({5, 6, 7, 8})


class Fault(StrEnum):
    """What is wrong with the bytes."""

    NOT_AN_IMAGE = "not_an_image"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"


Refusal = Callable[[Fault, str], Refused]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What a file may ask of us.

    40 megapixels are 160 MB decoded. A baseline JPEG has one scan, a progressive one about ten;
    each costs a pass over all pixels, so 216 kB with 310 scans took 7 s of CPU (measured 2026-11).
    """

    max_pixels: int = 40_000_000
    max_jpeg_scans: int = 64
    min_short_edge_px: int = 1


MASTER_LIMITS: Final = DecodeLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A picture with what its file said of it.

    ``width_px`` and ``height_px`` are the file's own, turned upright; ``picture`` is as stored, and
    smaller where a reduced decoding was asked for. ``orientation`` is EXIF's 1 to 8; ``frames`` is
    more than 1 for an animation, of which ``picture`` is the first.
    """

    picture: Image.Image
    media_type: str
    width_px: int
    height_px: int
    orientation: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """What a picture file's bytes say of themselves; sizes as stored, before any orientation."""

    media_type: str
    width_px: int
    height_px: int


def unusable_reference(fault: Fault, message: str) -> Refused:
    """Refuse a product photo, and say which one would do."""
    reason, cure = {
        Fault.NOT_AN_IMAGE: (
            Failure.REFERENCE_NOT_AN_IMAGE,
            "offer an intact JPEG, PNG, WebP or AVIF file",
        ),
        Fault.TOO_LARGE: (
            Failure.REFERENCE_TOO_LARGE,
            "offer a smaller photo, or raise the limit in the settings",
        ),
        Fault.TOO_SMALL: (Failure.REFERENCE_TOO_SMALL, "offer a larger photo"),
    }[fault]
    return ReferenceUnusable(reason, f"the photo can't be used: {message}; {cure}")


def unreadable_master(_fault: Fault, message: str) -> Refused:
    """Refuse what the model sold."""
    return Refused(
        Failure.PICTURE_UNREADABLE,
        f"the model's picture can't be read: {message}; "
        "its bytes are kept as the master, and a retry buys a new take",
    )


def open_bounded(
    content: bytes,
    *,
    limits: DecodeLimits,
    refusal: Refusal = unusable_reference,
    enough_px: int | None = None,
) -> Decoded:
    """Decode a JPEG, PNG, WebP or AVIF file, pixels and all.

    Of an animation the first frame is decoded: shops animate a turning product, and its first
    frame is a photo as good as any, while refusing it would lose the product. With ``enough_px`` a
    JPEG may come out at a half, a quarter or an eighth, its long edge never shorter than that.

    Raises:
        Refused: of the kind that ``refusal`` makes.
    """
    media_type = _accepted_media_type(content, refusal)
    _check_scans(content, media_type, limits, refusal)
    with _translated(refusal):
        picture = _open(content, media_type)
    width_px, height_px = picture.size
    _check_size(width_px, height_px, limits, refusal)
    with _translated(refusal):
        frames = getattr(picture, "n_frames", 1)
        if enough_px is not None:
            picture.draft(None, fit(width_px, height_px, enough_px))
        picture.load()
    orientation = _read_orientation(picture)
    if orientation in _LYING_ORIENTATIONS:
        width_px, height_px = height_px, width_px
    return Decoded(
        picture=picture,
        media_type=media_type,
        width_px=width_px,
        height_px=height_px,
        orientation=orientation,
        frames=frames,
    )


def read_facts(content: bytes, *, refusal: Refusal = unreadable_master) -> PictureFacts:
    """Read type and size from a file's header; no pixel is decoded (under a millisecond).

    Raises:
        Refused: of the kind that ``refusal`` makes; the header is no picture's.
    """
    media_type = _accepted_media_type(content, refusal)
    with _translated(refusal):
        width_px, height_px = _open(content, media_type).size
    return PictureFacts(media_type=media_type, width_px=width_px, height_px=height_px)


def fit(width_px: int, height_px: int, long_edge_px: int) -> tuple[int, int]:
    """Bound the long edge, keeping the ratio; never enlarges, and no edge becomes zero."""
    long_px = max(width_px, height_px)
    if long_px <= long_edge_px:
        return width_px, height_px
    scale = long_edge_px / long_px
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def _accepted_media_type(content: bytes, refusal: Refusal) -> str:
    kind = sniff_media_type(content)
    media_type = kind[0]
    if media_type in _PILLOW_FORMATS:
        return media_type
    what = "no picture that we know" if kind == UNKNOWN else f"of type {media_type}"
    size = f"{len(content)} bytes" if content else "empty"
    raise refusal(Fault.NOT_AN_IMAGE, f"the file ({size}) is {what}")


def _check_scans(content: bytes, media_type: str, limits: DecodeLimits, refusal: Refusal) -> None:
    if media_type != "image/jpeg":
        return
    scans = 0
    for number, marker in enumerate(_walk_jpeg_markers(content)):
        scans += marker == _JPEG_SCAN
        if scans > limits.max_jpeg_scans or number > _MAX_JPEG_SEGMENTS:
            raise refusal(
                Fault.TOO_LARGE,
                f"the JPEG has more than {limits.max_jpeg_scans} scans or {_MAX_JPEG_SEGMENTS} "
                "segments, which no camera writes",
            )


def _walk_jpeg_markers(content: bytes) -> Iterator[int]:
    """Yield the first picture's markers as libjpeg meets them.

    Counting ``FF DA`` in the whole file would also count what phones hang behind the picture: a
    10 MB video holds a hundred of them by chance.
    """
    at = 2
    while found := _JPEG_MARKER.search(content, at):
        marker = found[1][0]
        if marker == _JPEG_END:
            return
        at = found.end()
        if marker in _JPEG_BARE_MARKERS:
            continue
        yield marker
        at += max(2, int.from_bytes(content[at : at + 2], "big"))


@contextmanager
def _translated(refusal: Refusal) -> Iterator[None]:
    # Warnings are about sizes, which are checked here, and about metadata, which is dropped.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (MemoryError, Image.DecompressionBombError) as exc:
            message = "decoding it needs more memory than is allowed"
            raise refusal(Fault.TOO_LARGE, message) from exc
        except _PILLOW_ERRORS as exc:
            message = f"it is damaged and can't be decoded ({_one_line(exc)})"
            raise refusal(Fault.NOT_AN_IMAGE, message) from exc


def _open(content: bytes, media_type: str) -> Image.Image:
    """Parse the header with the one plug-in that the first bytes call for."""
    return Image.open(BytesIO(content), formats=(_PILLOW_FORMATS[media_type],))


def _check_size(width_px: int, height_px: int, limits: DecodeLimits, refusal: Refusal) -> None:
    size = f"{width_px} x {height_px} px"
    if width_px * height_px > limits.max_pixels:
        raise refusal(
            Fault.TOO_LARGE,
            f"{size} is more than the limit of {limits.max_pixels} pixels",
        )
    if min(width_px, height_px) < limits.min_short_edge_px:
        raise refusal(
            Fault.TOO_SMALL,
            f"{size} is below the limit of {limits.min_short_edge_px} px for the short edge",
        )


def _read_orientation(picture: Image.Image) -> int:
    """Read EXIF's (or XMP's) orientation; damaged metadata is no reason to lose a photo."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            orientation = picture.getexif().get(ExifTags.Base.Orientation)
        except _PILLOW_ERRORS:
            return _UPRIGHT
    if isinstance(orientation, int) and _UPRIGHT <= orientation <= _LAST_ORIENTATION:
        return orientation
    return _UPRIGHT


def _one_line(exc: BaseException) -> str:
    if isinstance(exc, UnidentifiedImageError):
        # Pillow's own words hold an address in memory, different every time.
        return "its header makes no sense"
    return " ".join(str(exc).split())[:120] or type(exc).__name__
