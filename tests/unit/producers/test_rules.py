"""Does a scene apply to the products that its ``when`` describes, and to no others?"""

from __future__ import annotations

from typing import Any

import pytest

from catalog.product import Product, Variant
from catalog.scenes import Scene, When
from producers.rules import applies


def product(**fields: Any) -> Product:
    return Product.model_validate({"row": 2, "product_id": "p1", "sku": "LAMP-1", **fields})


def matches(when: dict[str, Any], **fields: Any) -> bool:
    scene = Scene(name="loft", prompt="In a loft.", when=When.model_validate(when))
    return applies(scene, product(**fields))


def test_a_scene_without_rules_is_for_every_product() -> None:
    assert matches({})
    assert matches({}, category="Home", tags=("spare-part",))


@pytest.mark.parametrize(
    "category",
    [
        "Home & Garden",
        "home & garden > Lighting > Lamps",
        "HOME & GARDEN/Lighting",
        "Shop -> Home & Garden -> Lamps",
        "Sale;Home & Garden",
        "All > Home & Garden",
    ],
)
def test_a_category_matches_as_a_whole_or_by_one_level(category: str) -> None:
    assert matches({"category": ["Home*"]}, category=category)


@pytest.mark.parametrize("category", ["", "Mobile Homes", "Garden > Mobile Home", "Hom"])
def test_a_glob_matches_whole_levels_only(category: str) -> None:
    assert not matches({"category": ["Home*"]}, category=category)


@pytest.mark.parametrize("feed", ["Home > Lamps", "Home/Lamps", "Home->Lamps", "Toys; Home>Lamps"])
@pytest.mark.parametrize("glob", ["Home > Lamps", "home/lamps", "Home -> L*"])
def test_a_path_matches_however_feed_and_scene_book_write_it(feed: str, glob: str) -> None:
    assert matches({"category": [glob]}, category=feed)


def test_upper_case_accents_and_spaces_make_no_difference() -> None:
    assert matches({"brand": ["Café  Noir"]}, brand="CAFE\u0301 noir ")


def test_one_glob_of_a_key_is_enough() -> None:
    assert matches({"type": ["Chair", "Lamp"]}, product_type="lamp")


def test_every_key_must_hold() -> None:
    when = {"type": ["Lamp"], "brand": ["Acme"]}

    assert matches(when, product_type="Lamp", brand="Acme")
    assert not matches(when, product_type="Lamp", brand="Other")
    assert not matches(when, product_type="Lamp")


def test_one_match_of_an_exclusion_rules_a_product_out() -> None:
    when = {"category": ["Home*"], "exclude_tags": ["spare-*"]}

    assert matches(when, category="Home", tags=("new",))
    assert not matches(when, category="Home", tags=("new", "Spare-Part"))


@pytest.mark.parametrize(
    ("key", "glob", "fields"),
    [
        ("category", "Home*", {"category": "Shop > Home"}),
        ("type", "Lamp", {"product_type": "Lamp"}),
        ("tags", "new", {"tags": ("sale", "New")}),
        ("title", "*lamp*", {"title": "Walnut Lamp, small"}),
        ("sku", "LAMP-?", {}),
        ("brand", "acme", {"brand": "Acme"}),
    ],
)
def test_each_key_reads_its_own_field_for_and_against(
    key: str, glob: str, fields: dict[str, Any]
) -> None:
    assert matches({key: [glob]}, **fields)
    assert not matches({f"exclude_{key}": [glob]}, **fields)
    assert not matches({key: ["something else"]}, **fields)
    assert matches({f"exclude_{key}": ["something else"]}, **fields)


def test_the_sku_of_any_variant_counts() -> None:
    variants = (Variant(row=2, sku="LAMP-1"), Variant(row=3, sku="LAMP-1-RED"))

    assert matches({"sku": ["*-red"]}, variants=variants)


def test_every_key_of_when_is_read() -> None:
    for key in When.model_fields:
        facts = {
            "category": "x",
            "product_type": "x",
            "tags": ("x",),
            "title": "x",
            "sku": "x",
            "brand": "x",
        }
        assert matches({key: ["x"]}, **facts) is not key.startswith("exclude_"), key
