"""Tests of the pictures that are drawn without a model."""

from __future__ import annotations

import asyncio
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw, ImageFilter

from catalog.models import load_models
from tests.support import pictures
from worker.imaging.colour import srgb_profile
from worker.model import ReferencePhoto, TakeRequest, Usage
from worker.preview import light, sets
from worker.preview.compose import compose
from worker.preview.cutout import cut_out
from worker.preview.label import DESCRIPTION, SOFTWARE
from worker.preview.model import PreviewModel
from worker.preview.names import FALLBACK, SETS, set_named


def drawn(*references: bytes, scene: str = "studio", prompt: str = "", seed: int = 1) -> bytes:
    return compose(references, prompt=prompt, scene=scene, width_px=232, height_px=288, seed=seed)


def white_on_white() -> Image.Image:
    """A white box with a grey outline and a dark knob, on white."""
    photo = Image.new("RGB", (480, 480), (255, 255, 255))
    draw = ImageDraw.Draw(photo)
    draw.rectangle((140, 120, 340, 400), fill=(253, 253, 253), outline=(206, 206, 206), width=3)
    draw.ellipse((220, 240, 260, 280), fill=(40, 40, 40))
    return photo


def shadowed() -> Image.Image:
    """A red box on grey, with a soft shadow beside it."""
    photo = Image.new("RGB", (480, 480), (214, 208, 200))
    ImageDraw.Draw(photo).ellipse((260, 330, 440, 400), fill=(150, 145, 140))
    photo = photo.filter(ImageFilter.GaussianBlur(22))
    ImageDraw.Draw(photo).rectangle((140, 120, 300, 380), fill=(190, 40, 36))
    return photo


def busy() -> Image.Image:
    """Noise in colours: nothing here is a background."""
    rng = np.random.default_rng(3)
    cells = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8))
    return cells.resize((640, 480), Image.Resampling.BICUBIC)


def saved(photo: Image.Image, form: str = "PNG") -> bytes:
    out = BytesIO()
    photo.save(out, form)
    return out.getvalue()


def test_the_same_arguments_give_the_same_bytes() -> None:
    photo = pictures.product_photo(3)

    assert drawn(photo, scene="living-room") == drawn(photo, scene="living-room")


def test_another_seed_gives_another_picture() -> None:
    photo = pictures.product_photo(3)

    assert drawn(photo, seed=1) != drawn(photo, seed=2)


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_drawn_in_many_colours(name: str) -> None:
    picture = pictures.opened(drawn(scene=name, seed=4))

    assert picture.size == (232, 288)
    assert float(np.asarray(picture.convert("L"), np.float32).std()) > 6


@pytest.mark.parametrize(("ratio", "size"), [("1:1", "512"), ("8:1", "512"), ("9:16", "512")])
def test_the_models_picture_has_the_size_that_is_listed(ratio: str, size: str) -> None:
    request = TakeRequest(
        model_id="preview",
        prompt="A vase on a table",
        references=(ReferencePhoto(content=pictures.product_photo(1), media_type="image/jpeg"),),
        ratio=ratio,
        size=size,
        seed=5,
        scene="golden-hour-kitchen",
        deadline_s=30,
    )

    answer = asyncio.run(PreviewModel().render(request))

    listed = load_models().resolve("preview", platform="developer").pixels(ratio, size)
    assert pictures.opened(answer.content).size == listed
    assert (answer.media_type, answer.usage) == ("image/jpeg", Usage())


def test_the_picture_says_that_it_is_a_preview() -> None:
    picture = pictures.opened(drawn(pictures.product_photo(2)))

    told = picture.getexif()
    assert told[ExifTags.Base.Software] == SOFTWARE
    assert told[ExifTags.Base.ImageDescription] == DESCRIPTION
    assert picture.info["icc_profile"] == srgb_profile()


def test_a_white_product_on_white_keeps_its_inside() -> None:
    found = cut_out(white_on_white())

    assert found is not None
    alpha = np.asarray(found.picture.getchannel("A"))
    assert abs(found.picture.width - 201) < 10
    assert abs(found.picture.height - 281) < 10
    assert alpha[20:-20, 20:-20].min() == 255


def test_a_soft_shadow_is_no_part_of_the_product() -> None:
    found = cut_out(shadowed())

    assert found is not None
    assert abs(found.picture.width - 161) < 14
    assert abs(found.picture.height - 261) < 14


def test_a_transparent_photo_is_cut_by_its_own_alpha() -> None:
    photo = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    ImageDraw.Draw(photo).ellipse((100, 50, 199, 249), fill=(20, 90, 160, 255))

    found = cut_out(photo)

    assert found is not None
    assert found.picture.size == (100, 200)
    assert found.confidence == 1


def test_a_busy_photo_is_not_cut() -> None:
    assert cut_out(busy()) is None


def test_a_busy_photo_is_shown_whole_in_a_frame() -> None:
    photo = Image.new("RGB", (640, 480), (200, 30, 160))
    photo.paste(busy().crop((0, 0, 640, 240)), (0, 240))

    shown = np.asarray(pictures.opened(drawn(saved(photo))).convert("RGB"), np.float32)

    magenta = (shown[..., 0] > 120) & (shown[..., 1] < 90) & (shown[..., 2] > 80)
    assert 0.02 < magenta.mean() < 0.5


@pytest.mark.parametrize(
    "photo",
    [
        Image.new("RGB", (1, 1), (9, 9, 9)),
        Image.new("RGB", (600, 600), (255, 255, 255)),
        Image.new("RGB", (3000, 4), (10, 200, 30)),
        Image.new("L", (400, 300), 128),
        Image.new("1", (64, 64)),
        Image.new("P", (64, 64)),
        Image.new("I;16", (80, 80)),
        Image.new("RGBA", (300, 300), (0, 0, 0, 0)),
        Image.new("RGB", (7000, 5000), (120, 90, 60)),
    ],
    ids=lambda photo: f"{photo.mode}-{photo.width}x{photo.height}",
)
def test_an_odd_photo_still_gives_a_picture(photo: Image.Image) -> None:
    assert pictures.opened(drawn(saved(photo))).size == (232, 288)


def test_a_cmyk_photo_gives_a_picture() -> None:
    photo = Image.new("CMYK", (300, 200), (10, 200, 30, 5))

    assert pictures.opened(drawn(saved(photo, "JPEG"))).size == (232, 288)


@pytest.mark.parametrize("content", [b"", b"no picture", pictures.product_photo(1)[:2000]])
def test_what_can_not_be_read_leaves_an_empty_set(content: bytes) -> None:
    assert drawn(content) == drawn()


@pytest.mark.parametrize("size_px", [(1, 1), (16, 400), (400, 16)])
def test_the_smallest_and_longest_frames_are_drawn(size_px: tuple[int, int]) -> None:
    made = compose(
        [pictures.product_photo(1)],
        prompt="",
        scene="sunny-beach",
        width_px=size_px[0],
        height_px=size_px[1],
        seed=1,
    )

    assert pictures.opened(made).size == size_px


@pytest.mark.parametrize(
    ("scene", "prompt", "meant"),
    [
        ("living-room", "", "living-room"),
        ("Sunny Beach", "", "sunny-beach"),
        ("our-summer-shore", "", "sunny-beach"),
        ("scene-7", "on a desk in a bright office", "home-office"),
        ("scene-7", "nothing we know", FALLBACK),
    ],
)
def test_a_set_is_chosen_by_name_then_by_words(scene: str, prompt: str, meant: str) -> None:
    assert set_named(scene, prompt) == meant


def test_a_flat_lay_of_many_things_is_not_cut() -> None:
    photo = Image.new("RGB", (480, 480), (214, 208, 200))
    draw = ImageDraw.Draw(photo)
    for x in (60, 200, 340):
        for y in (60, 200, 340):
            draw.ellipse((x, y, x + 80, y + 80), fill=(40, 120, 60))

    assert cut_out(photo) is None


def test_the_sets_in_memory_are_bounded() -> None:
    for name in SETS:
        for seed in (0, 1):
            drawn(scene=name, seed=seed)

    assert 0 < len(sets.KEPT) <= sets.KEPT.max_entries
    assert sets.KEPT.held_bytes <= sets.KEPT.max_bytes


def test_a_set_seen_mirrored_has_its_light_on_the_other_side() -> None:
    one, other = (
        sets.backdrop("studio", prompt="", size_px=(64, 80), seed=seed) for seed in (3, 11)
    )

    assert np.array_equal(one.pixels, other.pixels[:, ::-1])
    assert one.mood.from_left is not other.mood.from_left


def test_a_vacuum_stands_on_a_floor_and_a_vase_does_not() -> None:
    photo = pictures.product_photo(3)

    floor = drawn(photo, scene="living-room", prompt='"Upright Vacuum" in a living room')

    assert floor != drawn(photo, scene="living-room", prompt='"Stone Vase" in a living room')


def test_a_large_picture_is_staged_smaller_and_enlarged() -> None:
    made = compose([], prompt="", scene="studio", width_px=2900, height_px=80, seed=1)

    assert pictures.opened(made).size == (2900, 80)


def test_a_mirror_image_hangs_from_each_columns_lowest_pixel() -> None:
    step = Image.new("RGBA", (120, 200), (0, 0, 0, 0))
    ImageDraw.Draw(step).rectangle((0, 0, 59, 199), fill=(255, 255, 255, 255))
    ImageDraw.Draw(step).rectangle((60, 0, 119, 189), fill=(255, 255, 255, 255))
    mood = light.Mood(from_left=True, key=(1, 1, 1), ambient=(1, 1, 1), gloss=1.0)
    pixels = np.zeros((300, 200, 3), np.float32)

    light._mirror(pixels, step, (40, 20, 160, 220), mood)

    assert pixels[214, 130].min() > 0.5
    assert pixels[222, 70].min() > 0.5
    assert pixels[190:206, 70].max() < 0.1


def test_a_thing_that_fades_into_its_ground_is_shown_as_a_print() -> None:
    """What would be cut out there has an outline that nobody sees in the photo."""

    photo = Image.new("RGB", (600, 600), (236, 236, 236))
    ImageDraw.Draw(photo).ellipse((60, 200, 540, 420), fill=(180, 150, 150))
    photo = photo.filter(ImageFilter.GaussianBlur(60))
    ImageDraw.Draw(photo).rectangle((270, 240, 330, 360), fill=(20, 20, 20))

    assert cut_out(photo) is None
