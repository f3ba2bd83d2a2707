"""Tests of the verdict on what the model sold."""

from __future__ import annotations

import pytest

from catalog.reasons import Failure
from tests.support import pictures
from worker.errors import Refused
from worker.imaging.checks import CheckReport, Thresholds, check_master, judge


def checked(content: bytes, width_px: int = 800, height_px: int = 1000) -> CheckReport:
    return check_master(content, asked_width_px=width_px, asked_height_px=height_px)


def test_a_picture_as_asked_passes_with_its_measured_facts() -> None:
    report = checked(pictures.product_photo(1))

    assert (report.verdict, report.rule) == ("pass", "")
    assert report.facts.media_type == "image/jpeg"
    assert (report.facts.width_px, report.facts.height_px) == (800, 1000)
    assert report.scores["ratio_off"] == 0


@pytest.mark.parametrize("seed", range(12))
def test_no_packshot_is_taken_for_a_blank_picture(seed: int) -> None:
    assert checked(pictures.product_photo(seed)).verdict == "pass"


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (120, 90, 200)])
def test_a_blank_picture_fails(colour: tuple[int, int, int]) -> None:
    report = checked(pictures.jpeg(800, 1000, colour=colour))

    assert (report.verdict, report.rule) == ("fail", "not_blank")
    assert report.scores["spread"] < 6


def test_a_ratio_within_two_percent_passes() -> None:
    assert checked(pictures.jpeg(790, 1000)).verdict == "pass"


@pytest.mark.parametrize("size", [(1000, 1000), (770, 1000), (1000, 800)])
def test_a_ratio_further_off_goes_to_review(size: tuple[int, int]) -> None:
    report = checked(pictures.jpeg(*size))

    assert (report.verdict, report.rule) == ("review", "ratio")


def test_a_picture_much_smaller_than_asked_goes_to_review() -> None:
    report = checked(pictures.jpeg(400, 500))

    assert (report.verdict, report.rule) == ("review", "size")
    assert report.scores["size_share"] == 0.5


def test_a_picture_lying_on_its_side_is_measured_upright() -> None:
    report = checked(pictures.jpeg(1000, 800, orientation=6))

    assert report.verdict == "pass"
    assert (report.facts.width_px, report.facts.height_px) == (800, 1000)


def test_the_type_is_read_from_the_bytes() -> None:
    assert checked(pictures.png(800, 1000)).facts.media_type == "image/png"


@pytest.mark.parametrize("content", [b"", b"As a language model", pictures.jpeg(800, 1000)[:-50]])
def test_what_can_not_be_decoded_is_refused(content: bytes) -> None:
    with pytest.raises(Refused) as caught:
        checked(content)

    assert caught.value.reason == Failure.PICTURE_UNREADABLE


def test_stored_scores_are_judged_again_without_the_picture() -> None:
    scores = checked(pictures.jpeg(770, 1000)).scores

    assert judge(scores, Thresholds()).verdict == "review"
    assert judge(scores, Thresholds(max_ratio_off=0.1)).verdict == "pass"


def test_a_score_that_was_never_measured_is_not_judged() -> None:
    assert judge({}, Thresholds()).verdict == "pass"
