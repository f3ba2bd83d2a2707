"""Is a key safe whatever a shop wrote, and does every object stand where the design says?"""

from __future__ import annotations

import re
import string
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from catalog import keys
from catalog.keys import slug

RENDER = "ab12" + "0" * 28
IMPORT = "20261122-101500-0a1b2c3d"
SHA = "c" * 64
SAFE = re.compile(r"[A-Za-z0-9._-]{1,180}")

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
# Near the limit, and of letters that collide if anything does.
long_texts = st.text("ab._-Hü0 ", min_size=150, max_size=400)
nasty_texts = st.text("._H2E-a", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("sku", "slugged"),
    [
        ("../../etc/passwd", "_2E_2E_2F._2E_2Fetc_2Fpasswd"),
        ("50%", "50_25"),
        ("A_B", "A__B"),
        ("Größe", "Gr_C3_B6_C3_9Fe"),
        ("%2e%2e", "_252e_252e"),
        ("ABC-123", "ABC-123"),
        ("v1.2", "v1.2"),
        (".hidden", "_2Ehidden"),
        ("end.", "end_2E"),
        (".", "_2E"),
        ("..", "_2E_2E"),
        ("a..b", "a._2Eb"),
        (" ", "_20"),
        ("\n", "_0A"),
        ("\x00", "_00"),
        ("😀", "_F0_9F_98_80"),
    ],
)
def test_a_sku_is_escaped_as_agreed(sku: str, slugged: str) -> None:
    assert slug(sku) == slugged


@given(texts | long_texts | nasty_texts)
@example("." * 200)
@example("ü" * 100)
def test_a_slug_is_a_safe_segment_of_a_key(text: str) -> None:
    found = slug(text)

    assert SAFE.fullmatch(found)
    assert ".." not in found
    assert not found.startswith(".")
    assert not found.endswith(".")


@given(texts | nasty_texts, texts | nasty_texts)
def test_two_texts_never_share_a_slug(one: str, other: str) -> None:
    assume(one != other)

    assert slug(one) != slug(other)


@given(long_texts, long_texts)
def test_two_long_texts_never_share_a_slug(one: str, other: str) -> None:
    assume(one != other)

    assert slug(one) != slug(other)


@given(long_texts)
@example("ab" * 100)
def test_no_text_is_written_so_that_it_gets_anothers_cut_slug(text: str) -> None:
    cut = slug(text)
    assume(re.search(r"_H[0-9a-f]{32}$", cut))

    assert slug(cut) != cut
    assert slug(cut.replace("__", "_")) != cut


@given(texts | nasty_texts)
def test_a_slug_up_to_180_characters_can_be_read_back(text: str) -> None:
    found = slug(text)
    assume(not re.search(r"_H[0-9a-f]{32}$", found))

    assert unescaped(found) == text


def unescaped(slugged: str) -> str:
    read = bytearray()
    for token in re.findall(r"__|_[0-9A-F]{2}|.", slugged):
        if token == "__":
            read += b"_"
        else:
            read += bytes.fromhex(token[1:]) if token.startswith("_") else token.encode()
    return read.decode()


def test_a_long_slug_is_cut_between_escapes_and_ends_in_a_hash() -> None:
    found = slug("ü" * 60)

    assert re.fullmatch(r"(_C3_BC){24}_H[0-9a-f]{32}", found)
    assert slug("a" * 180) == "a" * 180
    assert re.fullmatch(r"a{146}_H[0-9a-f]{32}", slug("a" * 181))


def test_a_long_text_is_escaped_in_time_linear_in_its_length() -> None:
    began = time.process_time()

    slug("ü" * 100_000)

    assert time.process_time() - began < 1


def test_an_empty_text_has_no_slug() -> None:
    with pytest.raises(ValueError, match="empty"):
        slug("")


@pytest.mark.parametrize("char", string.ascii_letters + string.digits + "-")
def test_what_is_safe_stays_as_it_is(char: str) -> None:
    assert slug(char) == char


@pytest.mark.parametrize(
    ("key", "written"),
    [
        (keys.reference(SHA, "jpg"), f"references/{SHA}.jpg"),
        (
            keys.source("https://a.example/1.jpg"),
            "sources/db0dc31eb89c42b28677939b988e51d4c82a2828130d32d48cdaaf2a842c613b.json",
        ),
        (keys.take(RENDER, 1, "png"), f"renders/ab/{RENDER}/take-1.png"),
        (keys.take(RENDER, 12, "jpg"), f"renders/ab/{RENDER}/take-12.jpg"),
        (keys.takes(RENDER), f"renders/ab/{RENDER}/take-"),
        (keys.rendition(RENDER, "web-1024.webp"), f"renders/ab/{RENDER}/web-1024.webp"),
        (keys.record(RENDER), f"renders/ab/{RENDER}/record.json"),
        (keys.refused(RENDER), f"renders/ab/{RENDER}/refused.json"),
        (keys.import_(IMPORT), f"imports/{IMPORT}/import.json"),
        (keys.plan_part(IMPORT, 0), f"imports/{IMPORT}/plan/part-00000.jsonl.gz"),
        (keys.rejected(IMPORT), f"imports/{IMPORT}/rejected.jsonl"),
        (keys.results_part(IMPORT, 0, 1), f"imports/{IMPORT}/results/part-00000.r1.jsonl.gz"),
        (keys.results_part(IMPORT, 12, 3), f"imports/{IMPORT}/results/part-00012.r3.jsonl.gz"),
        (keys.manifest_revision(IMPORT, 1), f"imports/{IMPORT}/manifest.r1.json"),
        (keys.manifest(IMPORT), f"imports/{IMPORT}/manifest.json"),
        (keys.control(IMPORT), f"imports/{IMPORT}/control.json"),
        (keys.gallery(IMPORT), f"imports/{IMPORT}/gallery/index.html"),
        (keys.upload(SHA), f"uploads/{SHA}"),
        (keys.ledger("2026-11-22", "host-1-ab", 7), "ledger/2026-11-22/host-1-ab/000007.jsonl"),
        (keys.current("spree"), "catalogs/spree/current.json"),
        (keys.current("Größe/1"), "catalogs/Gr_C3_B6_C3_9Fe_2F1/current.json"),
        (keys.schema("record"), "record.schema.json"),
        (keys.STORE_IDENTITY, "store.json"),
    ],
)
def test_an_object_stands_where_the_design_says(key: str, written: str) -> None:
    assert key == written


@given(st.integers(min_value=1, max_value=10_000), st.sampled_from(["png", "jpg", "webp"]))
def test_the_number_of_a_take_is_read_from_its_key(number: int, ext: str) -> None:
    assert keys.take_no(keys.take(RENDER, number, ext)) == number


@given(texts)
def test_a_photos_address_never_shows_in_its_key(address: str) -> None:
    assert re.fullmatch(r"sources/[0-9a-f]{64}\.json", keys.source(address))
