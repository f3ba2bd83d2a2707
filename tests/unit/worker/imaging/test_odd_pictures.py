"""Tests over real files that made picture libraries stumble."""

from __future__ import annotations

import pytest

from catalog.reasons import Failure
from tests.support.pictures import ODD_PICTURES, is_near, opened
from worker.errors import ReferenceUnusable
from worker.imaging.normalise import ReferenceLimits, normalise_reference

# PngSuite's pictures have 32 px.
LIMITS = ReferenceLimits(min_short_edge_px=1)

SIZES = {
    "pillow/hopper_16bit_qtables.jpg": (128, 128),
    "pillow/hopper_orientation_6.jpg": (128, 128),
    "pillow/hopper_orientation_6.webp": (128, 128),
    "pillow/invalid-exif.jpg": (200, 200),
    "pillow/l_trns.png": (64, 64),
    "pillow/mode_16bit.png": (128, 64),
    "pillow/p_16.png": (128, 128),
    "pillow/pil_sample_cmyk.jpg": (100, 100),
    "pillow/transparency.avif": (64, 64),
    "pillow/transparent.webp": (200, 150),
    "pillow/xmp_tags_orientation.avif": (326, 268),
    "pillow/xmp_tags_orientation_exiftool.png": (10, 10),
    "pngsuite/basi3p04.png": (32, 32),
    "pngsuite/basn0g16.png": (32, 32),
    "pngsuite/basn6a16.png": (32, 32),
    "pngsuite/exif2c08.png": (32, 32),
    "pngsuite/tbwn0g16.png": (32, 32),
    "pngsuite/tm3n3p02.png": (32, 32),
    # Its pixels are whole; only the checksum over them is wrong.
    "pngsuite/xcsn0g01.png": (32, 32),
}
REFUSED = (
    "heif/L_8__128x128.heif",
    "heif/empty.heic",
    "pillow/broken.png",
    "pillow/decompression_bomb.gif",
    "pillow/lab.tif",
    "pillow/png_decompression_dos.png",
    "pillow/transparent.gif",
    "pillow/truncated_image.png",
    "pillow/truncated_jpeg.jpg",
    "pngsuite/xd9n2c08.png",
    "pngsuite/xhdn0g08.png",
)
NO_PICTURES = {".md", ""}


@pytest.mark.parametrize("name", SIZES)
def test_an_odd_but_whole_picture_is_normalised(name: str) -> None:
    made = normalise_reference((ODD_PICTURES / name).read_bytes(), limits=LIMITS)

    sent = opened(made.content)
    assert sent.size == (made.width_px, made.height_px) == SIZES[name]
    assert sent.mode == "RGB"


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_or_foreign_file_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(ReferenceUnusable) as caught:
        normalise_reference((ODD_PICTURES / name).read_bytes(), limits=LIMITS)

    assert caught.value.reason == Failure.REFERENCE_NOT_AN_IMAGE


def test_every_odd_picture_is_spoken_for() -> None:
    found = {
        str(path.relative_to(ODD_PICTURES))
        for path in ODD_PICTURES.rglob("*")
        if path.is_file() and path.suffix not in NO_PICTURES
    }

    assert found == {*SIZES, *REFUSED}


def test_transparency_by_colour_key_is_laid_on_white_in_sixteen_bit_grey() -> None:
    content = (ODD_PICTURES / "pngsuite" / "tbwn0g16.png").read_bytes()

    made = normalise_reference(content, limits=LIMITS)

    assert is_near(opened(made.content).getpixel((0, 0)), (255, 255, 255))
    assert made.notes == ("transparency laid on white",)


def test_an_orientation_that_stands_in_xmp_alone_is_followed() -> None:
    content = (ODD_PICTURES / "pillow" / "xmp_tags_orientation_exiftool.png").read_bytes()

    made = normalise_reference(content, limits=LIMITS)

    assert made.notes[0] == "turned upright from EXIF orientation 3"
