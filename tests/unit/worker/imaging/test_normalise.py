"""Tests of what becomes of a shop's photo before a model sees it."""

from __future__ import annotations

import hashlib

import pytest
from PIL import Image

from tests.support import pictures
from tests.support.pictures import BLUE, GREEN, RED, YELLOW
from worker.imaging.normalise import NormalisedReference, ReferenceLimits, normalise_reference

LIMITS = ReferenceLimits()


def normalised(content: bytes) -> NormalisedReference:
    return normalise_reference(content, limits=LIMITS)


def corners(content: bytes) -> tuple[tuple[int, ...], ...]:
    """The colours of a picture's corners: upper left, upper right, lower left, lower right."""
    picture = pictures.opened(content).convert("RGB")
    right, low = picture.width - 10, picture.height - 10
    places = ((10, 10), (right, 10), (10, low), (right, low))
    colours = (RED, GREEN, BLUE, YELLOW)
    seen = [picture.getpixel(place) for place in places]
    return tuple(next(c for c in colours if pictures.is_near(pixel, c)) for pixel in seen)


def test_the_result_is_measured_and_hashed_from_what_is_sent() -> None:
    made = normalised(pictures.png(300, 200))

    sent = pictures.opened(made.content)
    assert (made.media_type, made.ext, sent.format) == ("image/jpeg", "jpg", "JPEG")
    assert sent.size == (made.width_px, made.height_px) == (300, 200)
    assert made.sha256 == hashlib.sha256(made.content).hexdigest()


def test_the_same_photo_gives_the_same_bytes() -> None:
    content = pictures.product_photo(7)

    first, second = normalised(content), normalised(content)

    assert first == second


@pytest.mark.parametrize(
    ("orientation", "seen"),
    [
        (1, (RED, GREEN, BLUE, YELLOW)),
        (2, (GREEN, RED, YELLOW, BLUE)),
        (3, (YELLOW, BLUE, GREEN, RED)),
        (4, (BLUE, YELLOW, RED, GREEN)),
        (5, (RED, BLUE, GREEN, YELLOW)),
        (6, (BLUE, RED, YELLOW, GREEN)),
        (7, (YELLOW, GREEN, BLUE, RED)),
        (8, (GREEN, YELLOW, RED, BLUE)),
    ],
)
def test_a_photo_is_turned_the_way_its_camera_says(
    orientation: int, seen: tuple[tuple[int, ...], ...]
) -> None:
    made = normalised(pictures.jpeg(300, 200, orientation=orientation))

    size = (300, 200) if orientation < 5 else (200, 300)
    assert (made.width_px, made.height_px) == size
    assert (made.original_width_px, made.original_height_px) == size
    assert corners(made.content) == seen


def test_a_large_photo_is_bounded_and_a_small_one_is_not_enlarged() -> None:
    large, small = normalised(pictures.jpeg(4000, 3000)), normalised(pictures.jpeg(100, 80))

    assert (large.width_px, large.height_px) == (2048, 1536)
    assert (large.original_width_px, large.original_height_px) == (4000, 3000)
    assert large.notes == ("scaled from 4000 x 3000 px to 2048 x 1536 px",)
    assert (small.width_px, small.height_px) == (100, 80)


def test_the_thumbnail_is_a_small_webp() -> None:
    thumb = pictures.opened(normalised(pictures.jpeg(800, 1000)).thumb)

    assert thumb.format == "WEBP"
    assert thumb.size == (205, 256)


def test_nothing_that_the_shop_wrote_into_the_file_travels_on() -> None:
    content = pictures.jpeg(
        200, 200, orientation=1, comment=b"internal", profile=pictures.swapped_profile()
    )

    made = normalised(content)

    sent = pictures.opened(made.content)
    assert b"internal" not in made.content
    assert b"own words" not in made.content
    assert {"exif", "comment", "icc_profile", "xmp"}.isdisjoint(sent.info)


def test_bytes_behind_the_picture_do_not_travel_on() -> None:
    made = normalised(pictures.jpeg(200, 200) + b"<script>alert(1)</script>")

    assert b"script" not in made.content


def test_a_small_plain_jpeg_is_encoded_anew_as_well() -> None:
    content = pictures.jpeg(200, 200)

    assert normalised(content).content != content


def test_colours_go_through_the_photos_own_profile() -> None:
    content = pictures.jpeg(100, 100, colour=(250, 10, 10), profile=pictures.swapped_profile())

    made = normalised(content)

    red, green, _ = pictures.opened(made.content).getpixel((50, 50))  # type: ignore[misc]
    assert green > red
    assert any(note.startswith("converted to sRGB from") for note in made.notes)


def test_a_damaged_profile_is_ignored_and_noted() -> None:
    made = normalised(pictures.jpeg(100, 100, colour=RED, profile=b"no profile at all"))

    assert pictures.is_near(pictures.opened(made.content).getpixel((50, 50)), RED)
    assert made.notes == ("its colour profile is damaged and was ignored",)


def test_a_grey_photo_with_a_profile_for_colour_keeps_its_grey() -> None:
    content = pictures.jpeg(100, 100, colour=(90,), mode="L", profile=pictures.swapped_profile())

    made = normalised(content)

    assert pictures.is_near(pictures.opened(made.content).getpixel((50, 50)), (90, 90, 90))


def test_a_cmyk_photo_becomes_rgb() -> None:
    made = normalised(pictures.jpeg(100, 100, colour=(0, 255, 255, 0), mode="CMYK"))

    sent = pictures.opened(made.content)
    assert sent.mode == "RGB"
    assert pictures.is_near(sent.getpixel((50, 50)), (255, 0, 0))
    assert made.notes == ("CMYK without a profile; colours are approximate",)


def test_transparency_becomes_white_and_hides_the_colour_under_it() -> None:
    content = pictures.png(100, 100, colour=(255, 0, 0, 0), mode="RGBA")

    made = normalised(content)

    assert pictures.is_near(pictures.opened(made.content).getpixel((50, 50)), (255, 255, 255))
    assert made.notes == ("transparency laid on white",)


@pytest.mark.parametrize("mode", ["P", "L", "LA", "1", "RGBA"])
def test_every_kind_of_pixel_becomes_rgb(mode: str) -> None:
    made = normalised(pictures.png(100, 100, mode=mode))

    assert pictures.opened(made.content).mode == "RGB"


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped() -> None:
    grey = Image.new("I;16", (100, 100), 0x6000)

    made = normalised(pictures.written(grey, "PNG"))

    assert pictures.is_near(pictures.opened(made.content).getpixel((50, 50)), (0x60, 0x60, 0x60))


def test_a_transparent_level_of_sixteen_bit_grey_becomes_white() -> None:
    grey = Image.new("I;16", (100, 100), 0x6000)

    made = normalised(pictures.written(grey, "PNG", transparency=0x6000))

    assert pictures.is_near(pictures.opened(made.content).getpixel((50, 50)), (255, 255, 255))


def test_a_transparent_grey_photo_keeps_its_grey_profile() -> None:
    profile = pictures.grey_profile()
    content = pictures.written(Image.new("LA", (100, 100), (128, 255)), "PNG", icc_profile=profile)

    made = normalised(content)

    # Light doubles where sRGB's curve is replaced by a straight line.
    assert pictures.is_near(pictures.opened(made.content).getpixel((50, 50)), (188, 188, 188))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    made = normalised(pictures.animated_webp(100, 100, colours=(BLUE, RED, GREEN)))

    assert pictures.is_near(pictures.opened(made.content).getpixel((50, 50)), BLUE)
    assert made.notes == ("first of 3 frames",)


def test_a_sliver_does_not_shrink_to_nothing() -> None:
    made = normalise_reference(pictures.png(6000, 1), limits=ReferenceLimits(min_short_edge_px=1))

    assert (made.width_px, made.height_px) == (2048, 1)
