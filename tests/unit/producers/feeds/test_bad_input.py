"""What is said about a feed that can't be used, or about a row that can't?"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from catalog.product import Product, RejectedRow
from producers.feeds.errors import FeedError
from producers.feeds.feed import Feed, open_feed
from tests.unit.producers.feeds.conftest import Open

GOOD = "sku,title,image\nA-1,Lamp,a.jpg\n"


def split(feed: Feed) -> tuple[list[Product], list[RejectedRow]]:
    outcomes = list(feed.products())
    products = [outcome for outcome in outcomes if isinstance(outcome, Product)]
    return products, [outcome for outcome in outcomes if isinstance(outcome, RejectedRow)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"feed\.csv: the file is empty \(0 bytes\)"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"sku,title,image\n", "heading of 3 columns and no row below it"),
        (b",,\n,,\n", "blank lines only"),
        (b"PK\x03\x04rest", "XLSX workbook or a ZIP archive.*save the sheet as CSV"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"%PDF-1.7", "a PDF document"),
        (b"sku,title,image\nA,\x00,c.jpg\n", "line 2 holds NUL bytes"),
        (b"<?xml version='1.0'?><rss></rss>", "XML or a web page"),
        (b"<!DOCTYPE html><p>Not found", "XML or a web page"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-12], "the gzip file is damaged"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b'{"a": }\n', "no JSON object stands in it"),
        (b"[]", "no JSON object stands in it"),
        (b'[{"a":1', "no JSON document"),
        (b'{"x": 1}', "no column for id or sku or title"),
        (b'{"id": "gid://1", "title": "T", "__parentId": "gid://0"}', "linked by __parentId"),
    ],
)
def test_a_file_that_is_no_catalog_is_named_with_what_to_do(
    opened: Open, content: bytes, says: str
) -> None:
    with pytest.raises(FeedError, match=says):
        opened(content)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="no such file"):
        open_feed(tmp_path / "none.csv", format=None, mapping={})
    with pytest.raises(FeedError, match="a folder"):
        open_feed(tmp_path, format=None, mapping={})


def test_unknown_columns_are_listed_with_the_map_that_cures_it(opened: Open) -> None:
    content = "Nummer;Text;Ansicht\n17;Eine Lampe;lampe.jpg\n18;Ein Stuhl;stuhl.jpg\n"

    with pytest.raises(FeedError, match="'Nummer', 'Text', 'Ansicht'") as refused:
        opened(content)

    assert "--map 'sku=Nummer,title=Text,image=Ansicht'" in str(refused.value)


def test_the_suggested_map_is_taken(opened: Open) -> None:
    content = "Nummer;Text;Ansicht\n17;Eine Lampe;lampe.jpg\n"

    feed = opened(content, mapping={"sku": "Nummer", "title": "text", "image": " Ansicht "})
    products, rejected = split(feed)

    assert not rejected
    assert (products[0].sku, products[0].title) == ("17", "Eine Lampe")
    assert products[0].photos[0].address == "lampe.jpg"


def test_a_mapped_column_that_is_not_there_is_named_with_its_like(opened: Open) -> None:
    with pytest.raises(FeedError, match=r"--map image=imaeg .*Did you mean 'image'"):
        opened(GOOD, mapping={"image": "imaeg"})


def test_an_unknown_field_is_answered_with_those_there_are(opened: Open) -> None:
    with pytest.raises(FeedError, match=r"no field 'picture'.*'additional_images'"):
        opened(GOOD, mapping={"picture": "image"})


def test_an_unknown_format_is_answered_with_those_there_are(opened: Open) -> None:
    with pytest.raises(FeedError, match=r"'amazon'.*csv, json, jsonl, shopify-csv"):
        opened(GOOD, format="amazon")


def test_a_file_without_a_heading_is_recognised_as_such(opened: Open) -> None:
    with pytest.raises(FeedError, match="looks like data, not like a heading"):
        opened("17,Lamp,https://shop.test/a.jpg\n18,Chair,https://shop.test/b.jpg\n")


def test_a_cell_without_end_is_refused_with_its_line(opened: Open) -> None:
    row = '"never closed ' + "x" * 99 + "\n"
    content = GOOD + row + ("y" * 99 + "\n") * 110_000

    feed = opened(content)

    with pytest.raises(FeedError, match=r"feed\.csv: record 3, which begins in line 3"):
        list(feed.products())


def test_a_quotation_open_at_the_end_rejects_its_row_only(opened: Open) -> None:
    products, rejected = split(opened(GOOD + 'B-2,"Chair,b.jpg\nC-3,Table,c.jpg\n'))

    assert [product.sku for product in products] == ["A-1"]
    assert [(row.row, row.reason) for row in rejected] == [(3, "row.unreadable")]
    assert "line 3 or below is never closed" in rejected[0].message


def test_a_row_with_too_many_cells_is_rejected_with_the_count(opened: Open) -> None:
    products, rejected = split(opened(GOOD + "B-2,Chair, red,b.jpg\nC-3,Table,c.jpg,,\n"))

    assert [product.sku for product in products] == ["A-1", "C-3"]
    assert rejected[0].row == 3
    assert rejected[0].reason == "row.unreadable"
    assert "4 cells under 3 headings" in rejected[0].message


def test_a_short_row_is_read_as_if_its_cells_were_empty(opened: Open) -> None:
    products, rejected = split(opened(GOOD + "B-2,Chair\n"))

    assert not rejected
    assert products[1].photos == ()


def test_a_row_that_names_nothing_is_rejected(opened: Open) -> None:
    products, rejected = split(opened(GOOD + ",,b.jpg\n"))

    assert len(products) == 1
    assert (rejected[0].row, rejected[0].reason) == (3, "row.no_identity")
    assert rejected[0].column == "sku" or rejected[0].column is None
    assert "--map" in rejected[0].message


def test_a_product_without_a_title_goes_by_its_sku_and_warns(opened: Open) -> None:
    feed = opened(GOOD + "B-2,,b.jpg\n")

    products, rejected = split(feed)

    assert not rejected
    assert products[1].title == "B-2"
    assert feed.warnings == ["1 products without a title (the first in row 3): the SKU stands in"]


def test_blank_lines_and_blank_records_are_not_rows_read(opened: Open) -> None:
    feed = opened(GOOD + "\n,,\nB-2,Chair,b.jpg\n,,\n")

    products, rejected = split(feed)

    assert not rejected
    assert feed.rows_read == 2
    assert [product.row for product in products] == [2, 4]


def test_the_heading_is_the_first_record_that_says_anything(opened: Open) -> None:
    products, _ = split(opened("\n,,\n" + GOOD))

    assert [product.row for product in products] == [2]


def test_an_identity_too_long_to_keep_is_rejected_not_cut(opened: Open) -> None:
    products, rejected = split(opened(GOOD + f"{'B' * 1_001},Chair,b.jpg\n"))

    assert len(products) == 1
    assert (rejected[0].row, rejected[0].column, rejected[0].reason) == (3, "sku", "row.unreadable")


def test_long_texts_are_cut_with_one_warning(opened: Open) -> None:
    feed = opened(GOOD + f"B-2,{'t' * 6_000},b.jpg\nC-3,{'u' * 6_000},c.jpg\n")

    products, _ = split(feed)

    assert [len(product.title) for product in products] == [4, 5_000, 5_000]
    assert feed.warnings == ["2 texts longer than 5000 characters: cut"]


def test_a_feed_read_as_asked_without_photos_says_so(opened: Open) -> None:
    feed = opened("sku,title\nA-1,Lamp\n", format="csv")

    products, _ = split(feed)

    assert products[0].photos == ()
    assert "--map image=COLUMN" in feed.warnings[0]


@pytest.mark.parametrize("sku", ["../../etc/passwd", "A/B", "Ünï-7 ✓", "s" * 500, "=1+1"])
def test_a_strange_sku_is_kept_as_it_is(opened: Open, sku: str) -> None:
    products, _ = split(opened(f"sku,title,image\n{sku},Lamp,a.jpg\n"))

    assert products[0].sku == sku


def test_a_bad_line_of_json_is_rejected_by_its_number(opened: Open) -> None:
    content = (
        '{"sku":"A","title":"Lamp","image":"a.jpg"}\n\n{"sku":\n[1]\n{"sku":"B","image":"b"}\n'
    )
    feed = opened(content, name="feed.jsonl")

    products, rejected = split(feed)

    assert [(product.row, product.sku) for product in products] == [(1, "A"), (5, "B")]
    assert [(row.row, row.reason) for row in rejected] == [
        (3, "row.unreadable"),
        (4, "row.unreadable"),
    ]
    assert feed.rows_read == 4


@pytest.mark.parametrize("line", ["[" * 100_000, '{"sku":' + "9" * 5_000 + "}", "{" * 9_999])
def test_a_hostile_line_of_json_is_only_a_rejected_row(opened: Open, line: str) -> None:
    feed = opened('{"sku":"A","title":"Lamp","image":"a.jpg"}\n' + line + "\n", name="f.jsonl")

    products, rejected = split(feed)

    assert len(products) == 1
    assert [row.row for row in rejected] == [2]


def test_a_gzip_bomb_is_refused(opened: Open) -> None:
    bomb = gzip.compress(b" " * (120 << 20), compresslevel=9)

    with pytest.raises(FeedError, match="unpack to more than 300 times"):
        opened(bomb, name="feed.csv.gz")
