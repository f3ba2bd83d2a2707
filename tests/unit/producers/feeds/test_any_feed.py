"""Whatever stands in a file: products, rejected rows or a FeedError, and no row is lost."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.product import Product, RejectedRow
from producers.feeds.errors import FeedError
from producers.feeds.feed import Feed, Folded, open_feed
from tests.unit.producers.feeds.conftest import FEEDS

SHIPPED = ["spree/products.csv", "vendure/products.csv", "shopify-packt/Product-data.csv"]
HEADINGS = {
    "csv": ["id", "item_group_id", "sku", "title", "image", "additional images", "size", "tags"],
    "shopify-csv": [
        "Handle", "Title", "Option1 Name", "Option1 Value", "Variant SKU", "Image Src",
        "Image Position", "Variant Image",
    ],
    "spree-csv": [
        "slug", "sku", "name", "price", "currency", "option1_name", "option1_value", "image1_src",
    ],
    "vendure-csv": [
        "name", "slug", "assets", "facets", "optionGroups", "optionValues", "sku", "variantAssets",
    ],
}  # fmt: skip
CELLS = st.sampled_from(
    [
        "",
        "",
        "a",
        "b",
        "A-1",
        "A-2",
        "a.jpg|b.jpg",
        "https://s.test/a.jpg",
        "Default Title",
        "1",
        " ",
    ]
) | st.text(max_size=8)
few = settings(max_examples=60, deadline=None)


Answer = tuple[Feed, list[Folded]]


def read(content: bytes, *, format_name: str | None = None) -> Answer | str:
    """Read a feed to its end; the text is that of a FeedError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed"
        path.write_bytes(content)
        try:
            feed = open_feed(path, format=format_name, mapping={})
            return feed, list(feed.folded())
        except FeedError as exc:
            return str(exc)


def checked_rows(answer: Answer | str) -> list[int]:
    """Check that every row is in one outcome, and a rejection about its own; give the rows."""
    if isinstance(answer, str):
        assert answer
        return []
    feed, folded = answer
    rows = [row for fold in folded for row in fold.rows]
    assert len(rows) == len(set(rows)) == feed.rows_read
    for fold in folded:
        assert isinstance(fold.outcome, Product | RejectedRow)
        assert fold.outcome.row == fold.rows[0]
        assert type(fold.outcome).from_json(fold.outcome.to_json()) == fold.outcome
        if isinstance(fold.outcome, RejectedRow):
            assert len(fold.rows) == 1
            assert fold.outcome.message
        else:
            assert fold.outcome.variants
            assert {variant.row for variant in fold.outcome.variants} <= set(fold.rows)
    return sorted(rows)


@few
@given(content=st.binary(max_size=300), packed=st.booleans())
def test_random_bytes_end_in_an_answer(content: bytes, *, packed: bool) -> None:
    for format_name in (None, "csv", "jsonl", "json"):
        checked_rows(read(gzip.compress(content) if packed else content, format_name=format_name))


@few
@given(tail=st.binary(max_size=200), encoding=st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_random_bytes_below_a_heading_end_in_an_answer(tail: bytes, encoding: str) -> None:
    heading = "sku,title,image\nA,Lamp,a.jpg\n".encode(encoding)

    checked_rows(read(heading + tail))


@pytest.mark.parametrize("format_name", sorted(HEADINGS))
@few
@given(data=st.data())
def test_every_row_of_a_random_table_is_in_one_outcome(
    format_name: str, data: st.DataObject
) -> None:
    heading = HEADINGS[format_name]
    widths = st.integers(min_value=1, max_value=len(heading) + 1)
    rows = data.draw(
        st.lists(
            widths.flatmap(lambda n: st.lists(CELLS, min_size=n, max_size=n)),
            min_size=1,
            max_size=12,
        )
    )
    written = io.StringIO()
    csv.writer(written).writerows([heading, *rows])
    content = written.getvalue().encode("utf-8", "surrogatepass")
    if b"\0" in content:
        return

    answer = read(content, format_name=format_name)

    filled = [at for at, row in enumerate(rows, start=2) if any(cell.strip() for cell in row)]
    assert checked_rows(answer) == filled or (not filled and isinstance(answer, str))


@few
@given(
    lines=st.lists(
        st.one_of(
            st.dictionaries(
                st.sampled_from(["id", "sku", "title", "image", "images", "variants", "price"]),
                st.recursive(
                    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
                    lambda inner: (
                        st.lists(inner, max_size=3)
                        | st.dictionaries(st.sampled_from(["sku", "src", "url", "title"]), inner)
                    ),
                    max_leaves=6,
                ),
            ),
            st.integers(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_line_of_random_json_is_in_one_outcome(lines: list[Any]) -> None:
    content = "\n".join(json.dumps(line) for line in lines).encode()

    answer = read(content, format_name="jsonl")

    assert isinstance(answer, str) or checked_rows(answer) == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_mangled_real_feed_ends_in_an_answer(name: str, data: st.DataObject) -> None:
    content = bytearray((FEEDS / name).read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 50))
        content[at : at + cut] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"\n", b","])
        )

    checked_rows(read(bytes(content)))
