"""Tests of the door through which strangers' bytes come in."""

from __future__ import annotations

import time

import pytest

from catalog.reasons import Failure
from tests.support import pictures
from worker.errors import ReferenceUnusable, Refused
from worker.imaging.decode import (
    DecodeLimits,
    fit,
    open_bounded,
    read_facts,
    unreadable_master,
)

LIMITS = DecodeLimits(min_short_edge_px=64)


def refused(content: bytes, limits: DecodeLimits = LIMITS) -> ReferenceUnusable:
    with pytest.raises(ReferenceUnusable) as caught:
        open_bounded(content, limits=limits)
    return caught.value


@pytest.mark.parametrize("make", [pictures.jpeg, pictures.png, pictures.webp, pictures.avif])
def test_every_accepted_format_is_decoded(make: object) -> None:
    assert callable(make)
    decoded = open_bounded(make(120, 80), limits=LIMITS)

    assert (decoded.width_px, decoded.height_px) == (120, 80)
    assert pictures.is_near(decoded.picture.getpixel((5, 5)), pictures.RED)


def test_more_pixels_than_the_limit_are_refused_before_a_pixel_is_decoded() -> None:
    content = pictures.bomb_png(12_000, 12_000)
    started_s = time.process_time()

    refusal = refused(content)

    assert refusal.reason == Failure.REFERENCE_TOO_LARGE
    assert "12000 x 12000" in refusal.message
    assert "40000000" in refusal.message
    assert time.process_time() - started_s < 0.2


def test_more_pixels_than_pillow_itself_allows_are_refused_as_too_large() -> None:
    assert refused(pictures.bomb_png(60_000, 60_000)).reason == Failure.REFERENCE_TOO_LARGE


def test_a_jpeg_with_hundreds_of_scans_is_refused_before_it_is_decoded() -> None:
    content = pictures.scan_bomb_jpeg(2000, 2000, scans=310)
    started_s = time.process_time()

    refusal = refused(content)

    assert refusal.reason == Failure.REFERENCE_TOO_LARGE
    assert "64 scans" in refusal.message
    assert time.process_time() - started_s < 0.2


def test_a_jpeg_with_as_many_scans_as_allowed_is_decoded() -> None:
    content = pictures.scan_bomb_jpeg(100, 100, scans=64)

    assert open_bounded(content, limits=LIMITS).width_px == 100


def test_what_a_phone_hangs_behind_a_jpeg_is_not_counted_as_scans() -> None:
    content = pictures.jpeg(100, 100) + b"\xff\xda\x00\x02" * 50_000

    assert open_bounded(content, limits=LIMITS).width_px == 100


def test_a_jpeg_of_endless_segments_is_refused_in_little_time() -> None:
    content = pictures.jpeg(100, 100)
    empty_comments = b"\xff\xfe\x00\x02" * 1_000_000
    started_s = time.process_time()

    refusal = refused(content[:2] + empty_comments + content[2:])

    assert refusal.reason == Failure.REFERENCE_TOO_LARGE
    assert time.process_time() - started_s < 0.5


def test_a_short_edge_below_the_limit_is_refused_with_both_numbers() -> None:
    refusal = refused(pictures.png(500, 63))

    assert refusal.reason == Failure.REFERENCE_TOO_SMALL
    assert "500 x 63" in refusal.message
    assert "64 px" in refusal.message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><title>404</title>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"GIF89a" + bytes(50),
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_is_no_accepted_picture_is_refused_with_the_formats_that_are(content: bytes) -> None:
    refusal = refused(content)

    assert refusal.reason == Failure.REFERENCE_NOT_AN_IMAGE
    assert "JPEG, PNG, WebP or AVIF" in refusal.message


@pytest.mark.parametrize("make", [pictures.jpeg, pictures.png, pictures.webp, pictures.avif])
def test_a_picture_that_was_cut_off_is_refused(make: object) -> None:
    assert callable(make)
    content = make(300, 200)

    assert refused(content[: len(content) * 6 // 10]).reason == Failure.REFERENCE_NOT_AN_IMAGE


def test_a_jpeg_that_lost_its_last_two_bytes_is_refused() -> None:
    assert refused(pictures.jpeg(300, 200)[:-2]).reason == Failure.REFERENCE_NOT_AN_IMAGE


def test_the_same_bad_bytes_are_refused_in_the_same_words() -> None:
    content = b"\x89PNG\r\n\x1a\n" + bytes(80)

    assert refused(content).message == refused(content).message


def test_a_master_is_refused_as_an_unreadable_picture() -> None:
    with pytest.raises(Refused) as caught:
        open_bounded(b"I can't draw that.", limits=LIMITS, refusal=unreadable_master)

    assert caught.value.reason == Failure.PICTURE_UNREADABLE
    assert "kept as the master" in caught.value.message


def test_a_reduced_decoding_keeps_the_size_that_was_asked_for_and_tells_the_files_own() -> None:
    decoded = open_bounded(pictures.jpeg(4000, 2000), limits=LIMITS, enough_px=900)

    assert decoded.picture.size == (1000, 500)
    assert (decoded.width_px, decoded.height_px) == (4000, 2000)


def test_facts_are_read_from_the_bytes() -> None:
    facts = read_facts(pictures.webp(90, 70))

    assert (facts.media_type, facts.width_px, facts.height_px) == ("image/webp", 90, 70)


@pytest.mark.parametrize(
    ("size", "bound", "fitted"),
    [
        ((4096, 2304), 1024, (1024, 576)),
        ((2304, 4096), 1024, (576, 1024)),
        ((800, 600), 1024, (800, 600)),
        ((10_000, 3), 100, (100, 1)),
    ],
)
def test_a_size_is_bounded_by_its_long_edge_and_never_enlarged(
    size: tuple[int, int], bound: int, fitted: tuple[int, int]
) -> None:
    assert fit(*size, bound) == fitted
