"""How does any decoded picture become a plain one: upright, opaque, 8-bit sRGB?

Every step takes a picture and returns one, with a note where it changed what a viewer would see.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Final

from PIL import Image, ImageCms

WHITE: Final = 255

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MODE_OF_SPACE: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_PROFILE_DATE: Final = slice(24, 36)
_PROFILE_ERRORS: Final = (ImageCms.PyCMSError, OSError, ValueError, TypeError)

Step = tuple[Image.Image, str | None]


def upright(picture: Image.Image, orientation: int) -> Step:
    """Turn a picture the way EXIF says it is to be looked at."""
    if orientation not in _TURNS:
        return picture, None
    note = f"turned upright from EXIF orientation {orientation}"
    return picture.transpose(_TURNS[orientation]), note


def opaque(picture: Image.Image) -> Step:
    """Lay transparency on white; the result's mode is ``L``, ``RGB`` or ``CMYK``.

    Dropping the alpha instead would uncover whatever colour the designer left under it.
    """
    picture = _with_eight_bits(picture)
    if not picture.has_transparency_data:
        return _without_palette(picture), None
    grey = picture.mode in {"1", "L", "LA"}
    layer = picture.convert("RGBA")
    if layer.getchannel("A").getextrema() == (WHITE, WHITE):
        note = None
    else:
        note = "transparency laid on white"
    ground = Image.new("RGBA", layer.size, (WHITE,) * 4)
    flat = Image.alpha_composite(ground, layer).convert("L" if grey else "RGB")
    flat.info = {"icc_profile": picture.info.get("icc_profile")}
    return flat, note


def srgb(picture: Image.Image) -> Step:
    """Convert an opaque picture to sRGB, through its own colour profile if it has a sound one.

    No profile means sRGB, as on the web. 48 ms at 2048 x 2048, so shrink first.
    """
    profile = picture.info.get("icc_profile")
    if not profile or profile == srgb_profile():
        note = "CMYK without a profile; colours are approximate" if picture.mode == "CMYK" else None
        return picture.convert("RGB"), note
    try:
        return _through_profile(picture, profile)
    except _PROFILE_ERRORS:
        return picture.convert("RGB"), "its colour profile is damaged and was ignored"


@cache
def srgb_profile() -> bytes:
    """Make the small sRGB profile (588 bytes) that our files carry; the same bytes every time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # The library writes the time of day here. 2000-01-01 00:00:00.
    profile[_PROFILE_DATE] = bytes.fromhex("07d0 0001 0001 0000 0000 0000")
    return bytes(profile)


def _without_palette(picture: Image.Image) -> Image.Image:
    if picture.mode in _MODE_OF_SPACE.values():
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _with_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit grey; ``convert("L")`` would clip everything above 255 to white."""
    if not picture.mode.startswith("I"):
        return picture
    grey = picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    key = picture.info.get("transparency")
    grey.info = dict(picture.info)
    if isinstance(key, int):
        grey.info["transparency"] = key // 257
    return grey


def _through_profile(picture: Image.Image, profile: bytes) -> Step:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if _MODE_OF_SPACE.get(source.profile.xcolor_space.strip()) != picture.mode:
        return picture.convert("RGB"), "its colour profile is of another colour space, and ignored"
    # Relative colorimetric with black point compensation is what photo editors preset.
    transform = ImageCms.buildTransform(
        source,
        ImageCms.ImageCmsProfile(BytesIO(srgb_profile())),
        picture.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    converted = ImageCms.applyTransform(picture, transform)
    if converted is None:
        raise ValueError("the transform was applied in place")
    return converted, f"converted to sRGB from {_described(source)}"


def _described(profile: ImageCms.ImageCmsProfile) -> str:
    """Quote a profile's name, which is a stranger's text: bounded, printable."""
    name = profile.profile.profile_description or ""
    printable = "".join(letter for letter in name if letter.isprintable()).strip()
    return f"'{printable[:60]}'" if printable else "an unnamed profile"
