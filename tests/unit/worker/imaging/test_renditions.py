"""Tests of the delivery files and of what they say about their origin."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from catalog.reasons import Failure
from tests.support import pictures
from worker.errors import Refused
from worker.imaging.colour import srgb_profile
from worker.imaging.encode import Encoding, MediaType, encode
from worker.imaging.provenance import COMPOSITE, TRAINED, Provenance, xmp_packet
from worker.imaging.renditions import RECIPES, RenditionFile, make_renditions

PROVENANCE = Provenance(
    digital_source_type=TRAINED, system="Example & <Model>", system_version='pro "2"'
)
TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
ALL = (*RECIPES["web"], *RECIPES["merchant"])
FORMATS: tuple[MediaType, ...] = ("image/jpeg", "image/png", "image/webp", "image/avif")


def made(master: bytes) -> dict[str, RenditionFile]:
    return {file.name: file for file in make_renditions(master, ALL, provenance=PROVENANCE)}


def told(content: bytes) -> dict[str, str]:
    """What a file's XMP says in IPTC's words."""
    info = pictures.opened(content).info
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp")
    assert packet is not None
    text = packet.decode() if isinstance(packet, bytes) else packet
    tree = ET.fromstring(text)  # noqa: S314 - our own words
    found = next(element for element in tree.iter() if element.tag.endswith("Description"))
    return {name.removeprefix(IPTC): value for name, value in found.attrib.items() if IPTC in name}


def test_the_files_have_their_names_types_and_bounds() -> None:
    files = made(pictures.jpeg(2048, 1536))

    facts = {name: (f.media_type, f.width_px, f.height_px) for name, f in files.items()}
    assert facts == {
        "merchant-1500.jpg": ("image/jpeg", 1500, 1125),
        "web-1024.webp": ("image/webp", 1024, 768),
        "web-512.webp": ("image/webp", 512, 384),
    }


def test_the_facts_are_those_of_the_bytes() -> None:
    for file in made(pictures.png(1300, 1625)).values():
        picture = pictures.opened(file.content)
        assert picture.size == (file.width_px, file.height_px)
        assert picture.get_format_mimetype() == file.media_type  # type: ignore[attr-defined]


def test_a_small_master_is_not_enlarged() -> None:
    files = made(pictures.png(700, 900))

    assert {(f.width_px, f.height_px) for f in files.values()} == {(700, 900), (398, 512)}


def test_the_same_master_gives_the_same_bytes() -> None:
    master = pictures.product_photo(3, width_px=1200, height_px=1500)

    assert made(master) == made(master)


def test_a_file_shows_what_the_master_shows() -> None:
    for file in made(pictures.jpeg(2000, 1600)).values():
        picture = pictures.opened(file.content).convert("RGB")
        right, low = picture.width - 10, picture.height - 10
        assert pictures.is_near(picture.getpixel((10, 10)), pictures.RED)
        assert pictures.is_near(picture.getpixel((right, 10)), pictures.GREEN)
        assert pictures.is_near(picture.getpixel((10, low)), pictures.BLUE)
        assert pictures.is_near(picture.getpixel((right, low)), pictures.YELLOW)


def test_a_transparent_master_is_laid_on_white() -> None:
    for file in made(pictures.png(600, 600, colour=(9, 9, 9, 0), mode="RGBA")).values():
        pixel = pictures.opened(file.content).convert("RGB").getpixel((300, 300 * 512 // 600))
        assert pictures.is_near(pixel, (255, 255, 255))


def test_the_merchants_file_is_a_progressive_jpeg() -> None:
    picture = pictures.opened(made(pictures.png(800, 800))["merchant-1500.jpg"].content)

    assert picture.info.get("progressive")


def test_an_unreadable_master_is_refused_and_yields_nothing() -> None:
    with pytest.raises(Refused) as caught:
        list(make_renditions(b"Sorry!", ALL, provenance=PROVENANCE))

    assert caught.value.reason == Failure.PICTURE_UNREADABLE


def test_no_recipes_make_no_files_and_do_not_open_the_master() -> None:
    assert list(make_renditions(b"Sorry!", (), provenance=PROVENANCE)) == []


def test_recipes_have_names_of_their_own() -> None:
    assert len({recipe.name for recipe in ALL}) == len(ALL)


@pytest.mark.parametrize("media_type", FORMATS)
def test_every_format_carries_origin_and_profile(media_type: MediaType) -> None:
    content = encode(
        pictures.quarters(128, 128), Encoding(media_type=media_type), provenance=PROVENANCE
    )

    assert told(content) == {
        "DigitalSourceType": TERM,
        "AISystemUsed": "Example & <Model>",
        "AISystemVersionUsed": 'pro "2"',
    }
    assert pictures.opened(content).info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize("media_type", FORMATS)
def test_a_file_without_provenance_is_bare(media_type: MediaType) -> None:
    picture = pictures.opened(
        pictures.jpeg(128, 128, comment=b"internal", profile=srgb_profile(), orientation=3)
    )

    content = encode(picture, Encoding(media_type=media_type))

    found = pictures.opened(content).info
    assert {"xmp", "exif", "icc_profile", "comment", "XML:com.adobe.xmp"}.isdisjoint(found)
    assert b"internal" not in content


def test_every_rendition_says_that_a_model_made_it() -> None:
    for file in made(pictures.png(600, 600)).values():
        assert told(file.content)["DigitalSourceType"] == TERM


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("media_type", FORMATS)
def test_a_tool_of_others_reads_the_origin(media_type: MediaType, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{media_type.removeprefix('image/')}"
    path.write_bytes(
        encode(pictures.quarters(128, 128), Encoding(media_type=media_type), provenance=PROVENANCE)
    )

    done = subprocess.run(
        ["exiftool", "-json", "-n", "-DigitalSourceType", "-ProfileDescription", str(path)],
        check=True,
        capture_output=True,
    )

    (read,) = json.loads(done.stdout)
    assert read["DigitalSourceType"] == TERM
    assert "sRGB" in read["ProfileDescription"]


def test_what_is_not_known_of_the_system_is_not_written() -> None:
    packet = xmp_packet(Provenance(digital_source_type=COMPOSITE)).decode()

    assert "compositeWithTrainedAlgorithmicMedia" in packet
    assert "AISystem" not in packet


@pytest.mark.parametrize("term", ["", TERM, 'x" y="', "Trained Algorithmic"])
def test_a_term_in_the_wrong_form_is_refused(term: str) -> None:
    with pytest.raises(ValueError, match="short one"):
        Provenance(digital_source_type=term)


def test_the_profile_is_the_same_in_every_process() -> None:
    assert srgb_profile()[24:36].hex() == "07d000010001000000000000"
