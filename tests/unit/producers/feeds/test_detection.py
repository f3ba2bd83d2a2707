"""What is a feed taken for, and why?"""

from __future__ import annotations

import gzip
import hashlib

import pytest

from catalog.product import Product
from producers.feeds.errors import FeedError
from producers.feeds.feed import Feed
from tests.unit.producers.feeds.conftest import Open

CLASSIC = (
    "Handle,Title,Body (HTML),Vendor,Option1 Name,Option1 Value,Variant SKU,Variant Price,"
    "Image Src,Image Position\nlamp,Lamp,,Acme,Title,Default Title,L-1,9.00,https://s.test/a.jpg,1\n"
)
NEW = (
    "Title,URL handle,Description,Vendor,SKU,Option1 name,Option1 value,Price,Product image URL,"
    "Image position\nLamp,lamp,,Acme,L-1,Title,Default Title,9.00,https://s.test/a.jpg,1\n"
)
PLAIN = "sku,title,image\nÄ-1,Lampe für Tische,ä.jpg\n"


def only(feed: Feed) -> Product:
    (product,) = feed.products()
    assert isinstance(product, Product)
    return product


def test_both_shopify_headings_are_one_format(opened: Open) -> None:
    classic, new = opened(CLASSIC), opened(NEW, name="new.csv")

    assert classic.facts.format == new.facts.format == "shopify-csv"
    assert only(classic).changed(row=2) == only(new)


def test_the_facts_say_what_the_file_is_and_why(opened: Open) -> None:
    facts = opened(CLASSIC).facts

    assert facts.name == "feed.csv"
    assert facts.bytes == len(CLASSIC)
    assert facts.sha256 == hashlib.sha256(CLASSIC.encode()).hexdigest()
    assert facts.columns[:3] == ("Handle", "Title", "Body (HTML)")
    assert "Shopify product CSV" in facts.why
    assert "'Handle', 'Image Src'" in facts.why


def test_a_format_asked_for_wins_over_the_detection(opened: Open) -> None:
    feed = opened(CLASSIC, format="csv")

    assert feed.facts.format == "csv"
    assert "as asked" in feed.facts.why
    assert only(feed).product_id == "lamp"


def test_a_format_asked_for_that_lacks_its_key_is_refused(opened: Open) -> None:
    with pytest.raises(FeedError, match="no column for id"):
        opened(PLAIN, format="shopify-csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(opened: Open, delimiter: str) -> None:
    rows = [["sku", "title", "image"], ["A", "Lamp; round", "a.jpg"]]
    content = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)

    feed = opened(content)

    assert feed.facts.delimiter == delimiter
    assert only(feed).title == "Lamp; round"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind_are_read(opened: Open, ends: str) -> None:
    assert only(opened(PLAIN.replace("\n", ends))).title == "Lampe für Tische"


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
        ("cp850", "cp850"),
    ],
)
def test_the_encoding_is_found(opened: Open, encoding: str, named: str) -> None:
    feed = opened(PLAIN.encode(encoding))

    product = only(feed)

    assert feed.facts.encoding == named
    assert (product.sku, product.title) == ("Ä-1", "Lampe für Tische")
    assert bool(feed.warnings) == (named.startswith("cp"))


def test_a_stray_byte_does_not_make_utf8_another_encoding(opened: Open) -> None:
    good = "".join(f"K-{n},Lampe für Tische,ä.jpg\n" for n in range(20)).encode()

    feed = opened(PLAIN.encode() + good + b"Z,L\xff,z.jpg\n")

    assert feed.facts.encoding == "utf-8"
    assert "line 23" in feed.warnings[0]


def test_a_compressed_feed_is_read_by_its_content_not_its_name(opened: Open) -> None:
    packed = gzip.compress(PLAIN.encode())

    feed = opened(packed, name="feed.csv")

    assert only(feed).title == "Lampe für Tische"
    assert feed.facts.sha256 == hashlib.sha256(packed).hexdigest()
    assert feed.facts.bytes == len(packed)


def test_excels_own_first_line_names_the_delimiter(opened: Open) -> None:
    product = only(opened("sep=;\nsku;title;image\nA;Lamp, round, red, big;a.jpg\n"))

    assert (product.row, product.title) == (2, "Lamp, round, red, big")


def test_headings_are_compared_without_case_blanks_and_underscores(opened: Open) -> None:
    product = only(opened(" SKU , Product_Title ,IMAGE URL\nA,Lamp,a.jpg\n"))

    assert (product.sku, product.title, len(product.photos)) == ("A", "Lamp", 1)


def test_doubled_headings_are_pointed_out(opened: Open) -> None:
    feed = opened("sku,title,image,Title\nA,Lamp,a.jpg,Other\n")

    assert only(feed).title == "Lamp"
    assert "headings stand more than once: 'Title'" in feed.warnings[0]


@pytest.mark.parametrize(
    ("content", "format_name"),
    [
        ('{"sku":"A","title":"Lamp","image":"a.jpg"}\n', "jsonl"),
        ('[{"sku":"A","title":"Lamp","image":"a.jpg"}]', "json"),
        ('{"products":[{"sku":"A","title":"Lamp","image":"a.jpg"}]}', "json"),
        (
            '{\n "shop": "s",\n "lamps": [\n  {"sku":"A","title":"Lamp","image":"a.jpg"}\n ]\n}',
            "json",
        ),
    ],
)
def test_json_is_told_apart_by_how_it_is_written(
    opened: Open, content: str, format_name: str
) -> None:
    feed = opened(content, name="feed.json")

    assert feed.facts.format == format_name
    assert feed.facts.delimiter is None
    assert only(feed).title == "Lamp"


def test_a_feed_can_be_read_twice(opened: Open) -> None:
    feed = opened(PLAIN)

    first, second = list(feed.products()), list(feed.products())

    assert first == second
    assert feed.rows_read == 1
