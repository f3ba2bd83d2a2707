"""How does a picture say, to people and to programs, that it is only a preview?"""

from __future__ import annotations

from typing import Final

from PIL import ExifTags, Image, ImageDraw, ImageFont

SOFTWARE: Final = "Skuscene preview renderer"
DESCRIPTION: Final = (
    "A preview composed on this machine from the product's photo and a drawn scene;"
    " not a picture from an image model."
)
_WORD: Final = "PREVIEW"


def exif() -> Image.Exif:
    """Say in EXIF what made the picture and what it is."""
    told = Image.Exif()
    told[ExifTags.Base.Software] = SOFTWARE
    told[ExifTags.Base.ImageDescription] = DESCRIPTION
    return told


def tagged(picture: Image.Image) -> Image.Image:
    """Write a small translucent tag into the lower right corner."""
    side_px = min(picture.size)
    type_px = max(6, round(side_px * 0.0165))
    font = ImageFont.load_default(type_px)
    left, top, right, bottom = font.getbbox(_WORD)
    wide, high = right - left + 1.5 * type_px, bottom - top + type_px
    margin = side_px * 0.022
    x, y = picture.width - margin - wide, picture.height - margin - high
    corner = max(0, int(x) - 1), max(0, int(y) - 1)
    sheet = picture.convert("RGB").crop((*corner, *picture.size)).convert("RGBA")
    over = Image.new("RGBA", sheet.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(over)
    x, y = x - corner[0], y - corner[1]
    draw.rounded_rectangle((x, y, x + wide, y + high), high / 2, fill=(16, 16, 18, 92))
    draw.text(
        (x + 0.75 * type_px - left, y + 0.5 * type_px - top),
        _WORD,
        font=font,
        fill=(255, 255, 255, 205),
    )
    out = picture.convert("RGB")
    out.paste(Image.alpha_composite(sheet, over).convert("RGB"), corner)
    return out
