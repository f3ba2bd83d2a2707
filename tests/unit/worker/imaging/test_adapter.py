"""Tests of the core's way to Pillow."""

from __future__ import annotations

import pytest

from tests.support import pictures
from worker.errors import ReferenceUnusable, Refused
from worker.imaging.adapter import PillowImaging
from worker.imaging.normalise import ReferenceLimits
from worker.ports import Imaging, Marking

MARKING = Marking(
    digital_source_type="trainedAlgorithmicMedia", system="Example", system_version="1"
)


@pytest.fixture
def imaging() -> Imaging:
    return PillowImaging()


def test_a_photo_is_normalised(imaging: Imaging) -> None:
    made = imaging.normalise(pictures.product_photo(2))

    assert (made.width_px, made.height_px, made.ext) == (800, 1000, "jpg")


def test_the_limits_are_the_callers() -> None:
    imaging = PillowImaging(reference_limits=ReferenceLimits(max_pixels=1000))

    with pytest.raises(ReferenceUnusable):
        imaging.normalise(pictures.product_photo(2))


def test_a_master_is_inspected(imaging: Imaging) -> None:
    found = imaging.inspect(pictures.png(800, 1000), asked_width_px=800, asked_height_px=1000)

    assert (found.verdict, found.rule, found.media_type) == ("pass", None, "image/png")


def test_a_master_that_is_no_picture_is_refused(imaging: Imaging) -> None:
    with pytest.raises(Refused):
        imaging.inspect(b"", asked_width_px=800, asked_height_px=1000)


def test_file_names_are_known_before_anything_is_made(imaging: Imaging) -> None:
    assert imaging.file_names(["web", "merchant", "web"]) == (
        "web-1024.webp",
        "web-512.webp",
        "merchant-1500.jpg",
    )


def test_an_unknown_rendition_is_named_with_those_that_exist(imaging: Imaging) -> None:
    with pytest.raises(ValueError, match=r"'poster'.*merchant, web"):
        imaging.file_names(["poster"])


def test_only_the_files_that_are_asked_for_are_made(imaging: Imaging) -> None:
    files = list(imaging.render(pictures.png(600, 600), ["web-512.webp"], MARKING))

    assert [(file.name, file.width_px) for file in files] == [("web-512.webp", 512)]
