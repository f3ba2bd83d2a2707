"""A real catalog in; staged pictures, manifests and a contact sheet out; every picture counted."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.support.running import BUCKET, House, house

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

FEEDS = Path(__file__).parent.parent / "data" / "feeds"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
# feed -> products with a photo at hand, rejected rows
CATALOGS = {
    "spree/products.csv": (12, 25),
    "vendure/products.csv": (31, 23),
    "shopify-packt/Product-data.csv": (20, 0),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A bucket, a queue, a model and workers, for the tests of this module."""
    with house(tmp_path_factory.mktemp("shop"), store="s3") as made, made.workers():
        yield made


def photos_for(feed: str, folder: Path) -> Path:
    """The folder with a feed's photos; shopify-packt's can't be had, so others lie there instead.

    Its rows link to 21 photos of 20 products: each gets a photo of its own.
    """
    if not feed.startswith("shopify-packt"):
        return PHOTOS
    others = sorted(PHOTOS.iterdir())
    rows = (FEEDS / feed).read_text(encoding="utf-8").split("https://cdn.shopify.com/")[1:]
    names = [row.split("?")[0].split("/")[-1] for row in rows]
    folder.mkdir()
    for name, other in zip(names, others, strict=False):
        shutil.copy(other, folder / name)
    return folder


@pytest.mark.parametrize("feed", CATALOGS)
def test_a_catalog_is_bought_once_and_reused_the_next_day(
    shop: House, feed: str, tmp_path: Path
) -> None:
    with_photo, rejected = CATALOGS[feed]
    before = shop.books()["sold"]
    photos = photos_for(feed, tmp_path / "photos")
    order = (
        *("import", str(FEEDS / feed), "--images", str(photos)),
        *("--catalog", feed.split("/", maxsplit=1)[0], "--wait", "--json"),
    )

    monday = shop.skuscene(*order)
    sold = shop.books()["sold"] - before
    tuesday = shop.skuscene(*order)

    expected_code = 3 if rejected else 0
    assert monday.code == expected_code, monday.err
    first = monday.json()
    assert first["state"] == "complete"
    assert first["rows"]["rejected"] == rejected
    assert first["renders"]["succeeded"] == with_photo == sold
    assert tuesday.code == expected_code, tuesday.err
    second = tuesday.json()
    assert second["state"] == "complete"
    assert second["renders"]["reused"] == second["renders"]["expected"] == with_photo
    assert second["cost_usd"]["spent"] == 0
    assert shop.books()["sold"] - before == with_photo
    assert shop.books()["doubles"] == 0
    for status in (first, second):
        assert shop.skuscene("verify", status["import_id"]).code == 0


def test_what_the_manifest_names_is_in_the_bucket_byte_for_byte(shop: House) -> None:
    ran = shop.skuscene(
        *("import", str(FEEDS / "spree/products.csv"), "--images", str(PHOTOS)),
        *("--scenes", "sunny-beach", "--limit", "3", "--wait", "--json"),
    )
    status = ran.json()

    manifest = json.loads(read(shop, f"imports/{status['import_id']}/manifest.json"))
    part = read(shop, manifest["parts"][0]["key"])
    lines = [json.loads(line) for line in gzip.decompress(part).splitlines()]

    assert manifest["schema"] == "skuscene.manifest/1"
    assert manifest == json.loads(read(shop, f"imports/{status['import_id']}/manifest.r1.json"))
    assert hashlib.sha256(part).hexdigest() == manifest["parts"][0]["sha256"]
    assert len(lines) == manifest["counts"]["expected"] == 3
    for line in lines:
        names = {image["name"] for image in line["images"]}
        assert names == {"master", "web-1024.webp", "web-512.webp", "merchant-1500.jpg"}
        for image in line["images"]:
            content = read(shop, image["key"])
            assert hashlib.sha256(content).hexdigest() == image["sha256"]
            assert len(content) == image["bytes"]
    assert shop.books()["doubles"] == 0


def test_rows_without_a_photo_stand_in_rejected_jsonl_with_row_and_cure(shop: House) -> None:
    ran = shop.skuscene(
        *("import", str(FEEDS / "vendure/products.csv"), "--images", str(PHOTOS)),
        # Another scene than the other tests': they run in any order, and share what was bought.
        *("--scenes", "bedroom", "--wait", "--json", "--catalog", "vendure"),
    )

    import_id = ran.json()["import_id"]
    rows = [
        json.loads(line) for line in read(shop, f"imports/{import_id}/rejected.jsonl").splitlines()
    ]

    assert len(rows) == 23
    assert {row["reason"] for row in rows} == {"reference.missing"}
    assert all(row["row"] >= 2 and row["title"] and "--images" in row["message"] for row in rows)
    assert shop.books()["doubles"] == 0


def read(shop: House, key: str) -> bytes:
    """An object of the shop's prefix, read as any S3 client would."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=shop.variables["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    return bytes(client.get_object(Bucket=BUCKET, Key=f"shop/{key}")["Body"].read())
