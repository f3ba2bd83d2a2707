"""Which rows make a product, and what is in it?"""

from __future__ import annotations

from catalog.product import PhotoRole, Product
from producers.feeds.feed import Feed
from tests.unit.producers.feeds.conftest import Open

SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Option1 Name,Option1 Value,Variant SKU,Variant Price,"
    "Image Src,Image Position,Variant Image,Status\n"
)


def products_of(feed: Feed) -> list[Product]:
    return [outcome for outcome in feed.products() if isinstance(outcome, Product)]


def addresses(product: Product) -> list[str]:
    return [photo.address for photo in product.photos]


def test_shopify_rows_with_one_handle_are_one_product(opened: Open) -> None:
    feed = opened(
        SHOPIFY
        + "shoe,Shoe,,Acme,Color,Red,S-R,10,https://s.test/2.jpg,2,https://s.test/1.jpg,draft\n"
        "shoe,,,,,Blue,S-B,11,https://s.test/1.jpg,1,https://s.test/3.jpg,\n"
        "shoe,,,,,,,,https://s.test/3.jpg,3,,\n"
    )

    (shoe,) = products_of(feed)

    assert (shoe.row, shoe.sku, shoe.title, shoe.brand) == (2, "S-R", "Shoe", "Acme")
    assert [(v.row, v.sku, v.options, v.price) for v in shoe.variants] == [
        (2, "S-R", {"Color": "Red"}, "10"),
        (3, "S-B", {"Color": "Blue"}, "11"),
    ]
    assert [(p.address[-5:], p.role, p.variant_skus) for p in shoe.photos] == [
        ("1.jpg", PhotoRole.MAIN, ("S-R",)),
        ("2.jpg", PhotoRole.ADDITIONAL, ()),
        ("3.jpg", PhotoRole.VARIANT, ("S-B",)),
    ]


def test_photos_without_a_position_stand_behind_those_with_one(opened: Open) -> None:
    feed = opened(
        SHOPIFY + "shoe,Shoe,,,,,S,1,https://s.test/x.jpg,,,\n"
        "shoe,,,,,,,,https://s.test/2.jpg,2,,\n"
        "shoe,,,,,,,,https://s.test/1.jpg,1,,\n"
        "shoe,,,,,,,,https://s.test/1.jpg,3,,\n"
    )

    (shoe,) = products_of(feed)

    assert [address[-5] for address in addresses(shoe)] == ["1", "2", "x"]
    assert len(shoe.variants) == 1


def test_a_handle_that_comes_back_later_is_folded_all_the_same(opened: Open) -> None:
    feed = opened(
        SHOPIFY + "shoe,Shoe,,,Color,Red,S-R,1,https://s.test/1.jpg,1,,\n"
        "lamp,Lamp,,,,,L,1,https://s.test/l.jpg,1,,\n"
        "shoe,,,,,Blue,S-B,1,https://s.test/2.jpg,2,,\n"
        "rug,Rug,,,,,R,1,https://s.test/r.jpg,1,,\n"
        "shoe,,,,,,,,https://s.test/3.jpg,3,,\n"
    )

    folded = list(feed.folded())

    assert [fold.rows for fold in folded] == [(3,), (5,), (2, 4, 6)]
    shoe = folded[2].outcome
    assert isinstance(shoe, Product)
    assert shoe.skus == ("S-R", "S-B")
    assert len(shoe.photos) == 3


def test_a_product_whose_last_row_is_rejected_is_not_lost(opened: Open) -> None:
    feed = opened(
        SHOPIFY + "shoe,Shoe,,,Color,Red,S-R,1,1.jpg,1,,\n"
        "lamp,Lamp,,,,,L,1,l.jpg,1,,\n"
        f"shoe,,,,,Blue,{'S' * 1_001},1,2.jpg,2,,\n"
    )

    assert sorted(fold.rows for fold in feed.folded()) == [(2,), (3,), (4,)]
    assert feed.rows_read == 3


def test_a_row_without_a_handle_is_a_product_of_its_own(opened: Open) -> None:
    feed = opened(
        SHOPIFY + "shoe,Shoe,,,,,S,1,a.jpg,1,,\n,,,,,,T,1,b.jpg,1,,\n,Lamp,,,,,,,c.jpg,1,,\n"
    )

    assert [(p.product_id, p.row) for p in products_of(feed)] == [
        ("shoe", 2),
        ("T", 3),
        ("Lamp", 4),
    ]


def test_items_of_one_group_are_variants_with_their_own_photos(opened: Open) -> None:
    feed = opened(
        "id\titem_group_id\ttitle\timage_link\tadditional_image_link\tlifestyle_image_link\tcolor\tsize\n"
        "1\tG\tShirt red\thttps://s.test/r.jpg\thttps://s.test/r2.jpg,https://s.test/r3.jpg\thttps://s.test/l.jpg\tred\tM\n"
        "2\tG\tShirt blue\thttps://s.test/b.jpg\t\t\tblue\tM\n"
        "3\t\tHat\thttps://s.test/h.jpg\t\t\tred\t\n"
    )

    shirt, hat = products_of(feed)

    assert (shirt.product_id, shirt.title, shirt.skus) == ("G", "Shirt red", ("1", "2"))
    assert shirt.variants[1].title == "Shirt blue"
    assert shirt.variants[1].options == {"size": "M", "color": "blue"}
    assert [(p.address[15:], p.role, p.variant_skus) for p in shirt.photos] == [
        ("r.jpg", PhotoRole.MAIN, ("1",)),
        ("r2.jpg", PhotoRole.ADDITIONAL, ("1",)),
        ("r3.jpg", PhotoRole.ADDITIONAL, ("1",)),
        ("l.jpg", PhotoRole.LIFESTYLE, ("1",)),
        ("b.jpg", PhotoRole.VARIANT, ("2",)),
    ]
    assert (hat.product_id, hat.sku, hat.color) == ("3", "3", "red")


def test_variants_that_name_their_parents_sku_follow_it(opened: Open) -> None:
    feed = opened(
        "id,sku,parent_sku,name,images\n7,P,,Shirt,p.jpg\n8,P-1,P,Shirt S,\n9,P-2,P,Shirt M,m.jpg\n"
    )

    (shirt,) = products_of(feed)

    assert (shirt.product_id, shirt.sku) == ("P", "P")
    assert [variant.sku for variant in shirt.variants] == ["P-1", "P-2"]
    assert [(p.address, p.role) for p in shirt.photos] == [
        ("p.jpg", PhotoRole.MAIN),
        ("m.jpg", PhotoRole.VARIANT),
    ]


def test_rows_that_repeat_a_sku_bring_further_photos(opened: Open) -> None:
    (lamp,) = products_of(opened("sku,title,image\nA,Lamp,1.jpg\nA,Lamp,2.jpg\nA,,1.jpg\n"))

    assert len(lamp.variants) == 1
    assert [(p.address, p.role) for p in lamp.photos] == [
        ("1.jpg", PhotoRole.MAIN),
        ("2.jpg", PhotoRole.ADDITIONAL),
    ]


def test_options_may_be_mapped_by_name(opened: Open) -> None:
    feed = opened(
        "nr,group id,title,image,Stoff\n1,G,Sofa,a.jpg,Leder\n2,G,Sofa,b.jpg,Wolle\n",
        mapping={"sku": "nr", "option:fabric": "Stoff"},
    )

    (sofa,) = products_of(feed)

    assert [variant.options for variant in sofa.variants] == [
        {"fabric": "Leder"},
        {"fabric": "Wolle"},
    ]


def test_several_mapped_columns_are_joined_by_a_bar(opened: Open) -> None:
    feed = opened(
        "sku,title,Bild A,Bild B\n1,Sofa,a.jpg,b.jpg\n", mapping={"image": "Bild A|Bild B"}
    )

    (sofa,) = products_of(feed)

    assert addresses(sofa) == ["a.jpg", "b.jpg"]


def test_a_vendure_row_continues_the_one_above(opened: Open) -> None:
    feed = opened(
        "name ,slug ,assets      ,optionGroups,optionValues,sku,variantAssets\n"
        "     ,     ,            ,            ,M           ,X-0,\n"
        "Shirt,shirt,a.jpg|b.jpg ,size|color  ,S|red       ,X-1,\n"
        "     ,     ,            ,            ,M|blue      ,X-2,blue.jpg\n"
    )

    orphan, shirt = list(feed.products())

    assert not isinstance(orphan, Product)
    assert (orphan.row, orphan.reason, orphan.column) == (2, "row.orphan", "name")
    assert isinstance(shirt, Product)
    assert shirt.variants[1].options == {"size": "M", "color": "blue"}
    assert [(p.address, p.role, p.variant_skus) for p in shirt.photos] == [
        ("a.jpg", PhotoRole.MAIN, ()),
        ("b.jpg", PhotoRole.ADDITIONAL, ()),
        ("blue.jpg", PhotoRole.VARIANT, ("X-2",)),
    ]


def test_a_row_that_continues_an_unreadable_one_joins_no_stranger(opened: Open) -> None:
    feed = opened(
        "name,slug,assets,optionGroups,optionValues,sku\n"
        "Hat,hat,h.jpg,,,H\n"
        "Shirt,shirt,a.jpg,size,S,X-1,too,many\n"
        ",,,,M,X-2\n"
    )

    folded = list(feed.folded())

    reasons = {
        fold.rows: fold.outcome.reason for fold in folded if not isinstance(fold.outcome, Product)
    }
    assert reasons == {(3,): "row.unreadable", (4,): "row.orphan"}


def test_a_spree_price_for_an_unknown_product_is_an_orphan(opened: Open) -> None:
    feed = opened(
        "slug,sku,name,price,currency,option1_name,option1_value,image1_src\n"
        "lamp,L,Lamp,1,USD,,,l.jpg\n"
        "gone,G,,2,EUR,,,\n"
        "lamp,L,,2,EUR,,,\n"
    )

    folded = list(feed.folded())

    outcomes = {fold.rows: fold.outcome for fold in folded}
    orphan = outcomes[3,]
    assert not isinstance(orphan, Product)
    assert (orphan.reason, orphan.sku) == ("row.orphan", "G")
    lamp = outcomes[2, 4]
    assert isinstance(lamp, Product)
    assert [variant.sku for variant in lamp.variants] == ["L"]


def test_json_lists_and_nested_variants_are_read(opened: Open) -> None:
    feed = opened(
        '{"id": 7, "title": "Shirt", "body_html": "<p>Soft &amp; warm</p>",'
        ' "images": [{"src": "//s.test/1.jpg"}, {"src": "https://s.test/2.jpg"}],'
        ' "variants": [{"sku": "S-1", "price": 9.5, "title": "S"}, {"sku": "S-2", "title": "M"}]}',
        name="feed.jsonl",
    )

    (shirt,) = products_of(feed)

    assert (shirt.product_id, shirt.sku, shirt.price) == ("7", "S-1", "9.5")
    assert shirt.description == "Soft & warm"
    assert [(v.sku, v.title) for v in shirt.variants] == [("S-1", "S"), ("S-2", "M")]
    assert addresses(shirt) == ["https://s.test/1.jpg", "https://s.test/2.jpg"]
    assert shirt.photos[0].link == "//s.test/1.jpg"


def test_dotted_paths_reach_into_json(opened: Open) -> None:
    feed = opened(
        '{"ref": {"no": "A"}, "texts": {"de": "Lampe"},'
        ' "pics": [{"f": {"u": "a.jpg"}}, {"f": {"u": "b.jpg"}}]}',
        name="feed.jsonl",
        mapping={"sku": "ref.no", "title": "texts.de", "image": "pics.1.f.u"},
    )

    (lamp,) = products_of(feed)

    assert (lamp.sku, lamp.title, addresses(lamp)) == ("A", "Lampe", ["b.jpg"])
