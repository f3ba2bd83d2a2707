"""The truths of three real catalogs, written down without any parser of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from catalog.product import PhotoRole, Product
from producers.feeds.errors import FeedError
from producers.feeds.feed import Feed

Shipped = Callable[[str], Feed]
SPREE_IMAGES = "https://raw.githubusercontent.com/spree/spree/main/docs/images/demo-images/"


def products_of(feed: Feed) -> list[Product]:
    outcomes = list(feed.products())
    assert all(isinstance(outcome, Product) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Product)]


def by_id(feed: Feed) -> dict[str, Product]:
    return {product.product_id: product for product in products_of(feed)}


@pytest.mark.parametrize(
    ("name", "format_name", "rows", "products", "variants", "with_photo", "links"),
    [
        ("spree/products.csv", "spree-csv", 211, 37, 87, 37, 124),
        ("spree/products_import.csv", "spree-csv", 17, 2, 15, 0, 0),
        ("vendure/products.csv", "vendure-csv", 88, 54, 88, 54, 54),
        ("shopify-packt/Product-data.csv", "shopify-csv", 21, 20, 21, 20, 21),
    ],
)
def test_a_real_catalog_folds_into_its_products(
    shipped: Shipped,
    *,
    name: str,
    format_name: str,
    rows: int,
    products: int,
    variants: int,
    with_photo: int,
    links: int,
) -> None:
    feed = shipped(name)

    folded = products_of(feed)

    assert feed.facts.format == format_name
    assert (feed.facts.encoding, feed.facts.delimiter) == ("utf-8", ",")
    assert feed.rows_read == rows
    assert len(folded) == products
    assert sum(len(product.variants) for product in folded) == variants
    assert sum(bool(product.photos) for product in folded) == with_photo
    assert sum(len(product.photos) for product in folded) == links
    assert len({photo.address for product in folded for photo in product.photos}) == links


@pytest.mark.parametrize(
    "name", ["spree/products.csv", "vendure/products.csv", "shopify-packt/Product-data.csv"]
)
def test_every_row_of_a_real_catalog_is_in_one_product(shipped: Shipped, name: str) -> None:
    feed = shipped(name)

    rows = [row for folded in feed.folded() for row in folded.rows]

    assert sorted(rows) == list(range(2, feed.rows_read + 2))


def test_spree_variants_bring_their_own_picture(shipped: Shipped) -> None:
    machine = by_id(shipped("spree/products.csv"))["automatic-espresso-machine"]

    assert machine.row == 2
    assert machine.sku == "AUTOMATIC-ESPRESSO-MACHINE"
    assert machine.title == "Automatic Espresso Machine"
    assert machine.category == "Kitchen -> Coffee Machines"
    assert machine.price == "879.99"
    assert [variant.options for variant in machine.variants] == [
        {"Color": "Matte Black"},
        {"Color": "Silver"},
        {"Color": "White"},
    ]
    assert [(photo.role, photo.variant_skus) for photo in machine.photos] == [
        (PhotoRole.MAIN, ()),
        (PhotoRole.VARIANT, ("AUTOMATIC-ESPRESSO-MACHINE-MATTE-BLACK",)),
        (PhotoRole.VARIANT, ("AUTOMATIC-ESPRESSO-MACHINE-SILVER",)),
        (PhotoRole.VARIANT, ("AUTOMATIC-ESPRESSO-MACHINE-WHITE",)),
    ]
    assert machine.photos[1].address == f"{SPREE_IMAGES}automatic-espresso-machine-matte-black.webp"


@pytest.mark.parametrize(
    ("product_id", "sku", "title", "image", "color"),
    [
        (
            "ionic-hair-dryer",
            "IONIC-HAIR-DRYER-ROSE-GOLD",
            "Ionic Hair Dryer 2000W",
            "ionic-hair-dryer-rose-gold.webp",
            "Rose Gold",
        ),
        (
            "rotary-shaver-9000",
            "ROTARY-SHAVER-9000-MATTE-BLACK",
            "Rotary Shaver 9000",
            "rotary-shaver-9000-matte-black.webp",
            "Matte Black",
        ),
    ],
)
def test_a_spree_variant_is_found_by_its_sku(
    shipped: Shipped, *, product_id: str, sku: str, title: str, image: str, color: str
) -> None:
    product = by_id(shipped("spree/products.csv"))[product_id]

    variant = next(variant for variant in product.variants if variant.sku == sku)
    photo = next(photo for photo in product.photos if sku in photo.variant_skus)

    assert product.title == title
    assert variant.options == {"Color": color}
    assert photo.address == SPREE_IMAGES + image


def test_spree_prices_in_a_second_currency_are_no_variants(shipped: Shipped) -> None:
    feed = shipped("spree/products.csv")

    skus = Counter(variant.sku for product in products_of(feed) for variant in product.variants)

    assert len(skus) == 87
    assert set(skus.values()) == {1}
    assert feed.warnings == ["87 rows that only repeat prices in another currency"]


def test_two_spree_products_that_share_a_sku_stay_two(shipped: Shipped) -> None:
    products = by_id(shipped("spree/products.csv"))

    vacuums = [product for product in products.values() if product.sku == "ROBOT-VACUUM"]

    assert [(vacuum.product_id, vacuum.row) for vacuum in vacuums] == [
        ("robot-vacuum", 93),
        ("robot-vacuum-pro", 96),
    ]


def test_a_spree_parent_without_a_sku_takes_its_first_variants(shipped: Shipped) -> None:
    shirt = by_id(shipped("spree/products_import.csv"))["denim-shirt"]

    assert shirt.row == 2
    assert shirt.sku == shirt.variants[0].sku == "DENIM-SHIRT-XS-BLUE"
    assert shirt.variants[0].row == 3
    assert shirt.variants[0].options == {"Color": "Blue", "Size": "XS"}


def test_spree_translations_are_refused_with_the_way_out(shipped: Shipped) -> None:
    with pytest.raises(FeedError, match=r"'slug', 'locale'.*--map 'image=COLUMN'"):
        shipped("spree/product_translations.csv")


def test_padded_vendure_cells_are_read_bare(shipped: Shipped) -> None:
    laptop = by_id(shipped("vendure/products.csv"))["laptop"]

    assert (laptop.row, laptop.sku, laptop.title) == (2, "L2201308", "Laptop")
    assert laptop.skus == ("L2201308", "L2201508", "L2201316", "L2201516")
    assert laptop.variants[3].options == {"screen size": "15 inch", "RAM": "16GB"}
    assert laptop.brand == "Apple"
    assert laptop.category == "Electronics > Computers"
    assert [photo.address for photo in laptop.photos] == ["derick-david-409858-unsplash.jpg"]
    assert laptop.photos[0].role is PhotoRole.MAIN
    assert laptop.photos[0].variant_skus == ()


@pytest.mark.parametrize(
    ("sku", "title", "image"),
    [
        ("B07D990021", "Compact Digital Camera", "patrick-brinksma-663044-unsplash.jpg"),
        ("F3633344", "RunX Running Shoe", "nikolai-chernichenko-1299748-unsplash.jpg"),
        ("404.038.96", "Modern Cafe Chair", "jean-philippe-delberghe-1400011-unsplash.jpg"),
    ],
)
def test_a_vendure_sku_leads_to_its_products_picture(
    shipped: Shipped, sku: str, title: str, image: str
) -> None:
    products = [p for p in products_of(shipped("vendure/products.csv")) if sku in p.skus]

    assert [(product.title, product.photos[0].address) for product in products] == [(title, image)]


def test_vendure_variants_that_share_a_sku_stay_apart(shipped: Shipped) -> None:
    chair = by_id(shipped("vendure/products.csv"))["modern-cafe-chair"]

    assert [(variant.row, variant.sku) for variant in chair.variants] == [
        (87, "404.038.96"),
        (88, "404.038.96"),
        (89, "404.038.96"),
    ]
    assert [variant.options["color"] for variant in chair.variants] == ["mustard", "mint", "pearl"]


@pytest.mark.parametrize(
    ("row", "handle", "title", "price", "image"),
    [
        (2, "floor-lamp", "Floor Lamp", "69.99", "photo-1494438639946-1ebd1d20bf85"),
        (3, "black-armchairs", "Black Armchairs", "69.99", "photo-1503174971373-b1f69850bded"),
        (12, "green-trowel", "Green Trowel", "40.99", "photo-1598132393741-dc8c8eb5a54d"),
    ],
)
def test_a_shopify_product_stands_where_the_file_says(
    shipped: Shipped, *, row: int, handle: str, title: str, price: str, image: str
) -> None:
    product = by_id(shipped("shopify-packt/Product-data.csv"))[handle]

    assert (product.row, product.title, product.price) == (row, title, price)
    assert image in product.photos[0].address
    assert product.variants[0].options == {}


def test_shopifys_second_row_is_a_variant_with_its_row(shipped: Shipped) -> None:
    gloves = by_id(shipped("shopify-packt/Product-data.csv"))["gardening-gloves"]

    assert gloves.row == 21
    assert [variant.row for variant in gloves.variants] == [21, 22]
    assert gloves.variants[1].options == {"Color": "Yellow"}
    assert "photo-1599778150914-88e98e0c3a3e" in gloves.photos[0].address


def test_a_catalog_without_skus_warns_once_and_uses_the_product_ids(shipped: Shipped) -> None:
    feed = shipped("shopify-packt/Product-data.csv")

    products = products_of(feed)

    assert all(product.sku == product.product_id for product in products)
    assert all(variant.sku for product in products for variant in product.variants)
    assert feed.warnings == [
        "21 variants without a SKU (the first in row 2): the product's id stands in"
    ]


def test_html_over_several_lines_becomes_text(shipped: Shipped) -> None:
    armchairs = by_id(shipped("shopify-packt/Product-data.csv"))["black-armchairs"]

    assert armchairs.description.startswith("Description\nLorem ipsum dolor sit amet")
    assert "<" not in armchairs.description
