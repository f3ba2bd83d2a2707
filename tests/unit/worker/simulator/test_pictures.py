"""What is sold is a real picture, of the right size, and tells requests apart."""

from __future__ import annotations

import hashlib
import io

import pytest
from PIL import Image, ImageFilter, ImageStat

from worker.simulator.models import MODELS
from worker.simulator.pictures import Order, make_picture

FLASH = MODELS["gemini-3.1-flash-image"]


def _order(
    name: str, width_px: int = 464, height_px: int = 576, media_type: str = "image/jpeg"
) -> Order:
    return Order(
        width_px=width_px,
        height_px=height_px,
        digest=hashlib.sha256(name.encode()).hexdigest(),
        caption=(name, "4:5  512", "SIMULATED"),
        media_type=media_type,
    )


def _open(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


@pytest.mark.parametrize("ratio", FLASH.ratios(vertex=True))
@pytest.mark.parametrize("size", ["512", "1K"])
def test_every_ratio_decodes_at_its_pixel_size(ratio: str, size: str) -> None:
    width_px, height_px = FLASH.pixels[ratio][size]

    picture = _open(make_picture(_order("lamp", width_px, height_px)))

    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (width_px, height_px))


def test_a_picture_decodes_without_a_complaint_to_its_last_row() -> None:
    picture = _open(make_picture(_order("lamp", 448, 600)))

    caption = picture.crop((0, 560, 448, 600))

    assert max(ImageStat.Stat(caption).mean) < 120, "the dark caption is at the bottom"
    assert max(caption.getchannel(0).tobytes()) > 150, "with something written on it"


def test_the_same_order_gives_the_same_bytes_and_another_one_others() -> None:
    orders = [_order(f"product {number}") for number in range(300)]

    contents = {make_picture(order) for order in orders}

    assert make_picture(orders[0]) == make_picture(_order("product 0"))
    assert len(contents) == 300


def test_requests_look_different_in_their_picture_and_not_only_in_the_caption() -> None:
    small = {
        _open(make_picture(_order(f"product {number}")))
        .crop((0, 0, 464, 480))
        .resize((24, 24))
        .tobytes()
        for number in range(100)
    }

    assert len(small) > 60


def test_a_picture_is_neither_blank_nor_blurred() -> None:
    grey = _open(make_picture(_order("lamp", 928, 1152))).convert("L")

    spread = ImageStat.Stat(grey).stddev[0]
    edges = ImageStat.Stat(
        grey.filter(ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128))
    ).stddev[0]

    assert spread > 25
    assert edges > 5


def test_a_png_is_a_png() -> None:
    picture = _open(make_picture(_order("lamp", media_type="image/png")))

    assert (picture.format, picture.size) == ("PNG", (464, 576))
