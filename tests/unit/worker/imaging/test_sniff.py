"""Tests of what a file's first bytes say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import pictures
from worker.imaging.sniff import UNKNOWN, sniff_media_type


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (pictures.jpeg(8, 8), ("image/jpeg", "jpg")),
        (pictures.png(8, 8), ("image/png", "png")),
        (pictures.webp(8, 8), ("image/webp", "webp")),
        (pictures.avif(16, 16), ("image/avif", "avif")),
        (b"GIF89a" + bytes(20), ("image/gif", "gif")),
        (b"II*\x00" + bytes(20), ("image/tiff", "tif")),
        (b"%PDF-1.7\n", ("application/pdf", "pdf")),
    ],
)
def test_a_format_is_named_by_its_first_bytes(content: bytes, named: tuple[str, str]) -> None:
    assert sniff_media_type(content) == named


def test_avif_that_leads_with_a_container_brand_is_not_taken_for_heic() -> None:
    content = b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf" + bytes(20)

    assert sniff_media_type(content) == ("image/avif", "avif")


def test_heic_is_told_from_avif() -> None:
    content = (pictures.ODD_PICTURES / "heif" / "L_8__128x128.heif").read_bytes()

    assert sniff_media_type(content) == ("image/heic", "heic")


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"<html>", b"<svg/>", b"RIFF1234WAVE", b"....ftyp", b"{}"]
)
def test_bytes_of_no_known_format_are_unknown(content: bytes) -> None:
    assert sniff_media_type(content) == UNKNOWN


def test_sniffing_does_not_load_pillow() -> None:
    script = "import sys, worker.imaging.sniff; sys.exit('PIL' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], check=False)

    assert done.returncode == 0
