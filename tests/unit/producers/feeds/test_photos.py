"""Which links are in a cell?"""

from __future__ import annotations

import time

import pytest

from catalog.product import PhotoRole
from producers.feeds.photos import PHOTOS_MAX, Link, product_photos, split_links


@pytest.mark.parametrize(
    ("cell", "links"),
    [
        ("", []),
        (" a.jpg ", ["a.jpg"]),
        ("a.jpg|b.jpg | c.jpg", ["a.jpg", "b.jpg", "c.jpg"]),
        ("a.jpg\nb.jpg", ["a.jpg", "b.jpg"]),
        ("a.jpg, b.png", ["a.jpg", "b.png"]),
        ("Table, round.jpg", ["Table, round.jpg"]),
        ("https://s.test/a.jpg,https://s.test/b.jpg", ["https://s.test/a.jpg", "https://s.test/b.jpg"]),
        ("https://s.test/a.jpg https://s.test/b.jpg", ["https://s.test/a.jpg", "https://s.test/b.jpg"]),
        ("https://s.test/w_1,h_2/a.jpg", ["https://s.test/w_1,h_2/a.jpg"]),
        ("https://s.test/a?crop=1,2,3.jpg", ["https://s.test/a?crop=1,2,3.jpg"]),
        ("https://s.test/my lamp.png", ["https://s.test/my lamp.png"]),
        ("my lamp.png", ["my lamp.png"]),
        ('"https://s.test/a,b.jpg","https://s.test/c.jpg"', ["https://s.test/a,b.jpg", "https://s.test/c.jpg"]),
        ('["a.jpg", "https://s.test/b.jpg"]', ["a.jpg", "https://s.test/b.jpg"]),
        ("[draft] a.jpg", ["[draft] a.jpg"]),
        ("no_selection", []),
        ("NULL", []),
        ("a.jpg|null", ["a.jpg"]),
        ("C:\\pictures\\a.jpg", ["C:\\pictures\\a.jpg"]),
        ("a\u202egpj.jpg", ["agpj.jpg"]),
    ],
)  # fmt: skip
def test_links_are_split_only_where_a_link_can_begin(cell: str, links: list[str]) -> None:
    assert split_links(cell, ("|", ",")) == links


def test_a_format_without_separators_keeps_bars_and_commas() -> None:
    assert split_links("https://s.test/a|b.jpg", ()) == ["https://s.test/a|b.jpg"]


@pytest.mark.parametrize("cell", [" " * 2_000_000, "," * 500_000, "[" * 500_000, "a, " * 300_000])
def test_a_hostile_cell_takes_no_more_than_linear_time(cell: str) -> None:
    began = time.perf_counter()

    split_links(cell, ("|", ","))

    assert time.perf_counter() - began < 5


def test_a_photo_that_is_linked_twice_keeps_its_strongest_role() -> None:
    photos = product_photos(
        [
            Link("b.jpg", PhotoRole.VARIANT, ("B",)),
            Link("a.jpg", PhotoRole.MAIN, (), 1),
            Link("c.jpg", PhotoRole.ADDITIONAL, (), 2),
            Link("c.jpg", PhotoRole.VARIANT, ("C",)),
            Link("a.jpg", PhotoRole.VARIANT, ("A",)),
        ]
    )

    assert [(p.address, p.role, p.variant_skus) for p in photos] == [
        ("a.jpg", PhotoRole.MAIN, ("A",)),
        ("c.jpg", PhotoRole.VARIANT, ("C",)),
        ("b.jpg", PhotoRole.VARIANT, ("B",)),
    ]


def test_the_first_photo_is_the_main_one_where_no_column_says_so() -> None:
    photos = product_photos(
        [Link("x.jpg", PhotoRole.VARIANT, ("X",)), Link("y.jpg", PhotoRole.ADDITIONAL)]
    )

    assert [photo.role for photo in photos] == [PhotoRole.MAIN, PhotoRole.ADDITIONAL]


def test_a_products_photos_are_bounded() -> None:
    photos = product_photos(Link(f"{n}.jpg", PhotoRole.ADDITIONAL) for n in range(PHOTOS_MAX + 9))

    assert len(photos) == PHOTOS_MAX
