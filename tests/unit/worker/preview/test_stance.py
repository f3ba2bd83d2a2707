"""Tests of how a product stands."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from worker.preview.stance import is_on_floor, laid_flat

SQUARE = (400, 400)


@pytest.mark.parametrize(
    "title", ["Cordless Stick Vacuum 18V", "Grey Fabric Sofa", "Bar Stools, set of 2", "Arc Lamp"]
)
def test_furniture_and_what_is_large_stands_on_the_floor(title: str) -> None:
    assert is_on_floor(f'"{title}" in a room', SQUARE)


@pytest.mark.parametrize(
    "title", ["2-Slice Toaster", "Table Lamp", "Desk Lamp", "Vacuum Flask", "Chair Cushion"]
)
def test_what_is_small_stands_on_the_tabletop(title: str) -> None:
    assert not is_on_floor(f'"{title}" in a room', SQUARE)


def test_the_scenes_own_words_do_not_count() -> None:
    assert not is_on_floor('"Toaster" beside a sofa, "with a chair"', SQUARE)


def test_a_very_slim_thing_stands_on_the_floor_unless_it_is_held() -> None:
    assert is_on_floor('"Coat Stand" in a hall', (80, 400))
    assert not is_on_floor('"Beard Trimmer" in a hall', (80, 400))


def test_a_long_diagonal_thing_is_laid_flat() -> None:
    stick = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    ImageDraw.Draw(stick).line((20, 20, 380, 380), fill=(9, 9, 9, 255), width=40)

    flat = laid_flat(stick)

    assert flat is not None
    assert flat.height < 0.6 * flat.width


def test_what_has_a_foot_is_not_laid_flat() -> None:
    broom = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    draw = ImageDraw.Draw(broom)
    draw.line((40, 20, 300, 360), fill=(9, 9, 9, 255), width=24)
    draw.rectangle((180, 350, 399, 399), fill=(9, 9, 9, 255))

    assert laid_flat(broom) is None
