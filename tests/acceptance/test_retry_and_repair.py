"""What failed is run again and what was damaged is made again, by real workers, all counted."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.support.photo_host import PhotoHost, photo_host
from tests.support.running import House, house
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
NAMES = ("alpha", "beta", "gamma", "delta")


@pytest.fixture(scope="module")
def host() -> Iterator[PhotoHost]:
    """A web server with a photo per product; beta's is none."""
    photos = dict(
        zip(NAMES, (path.read_bytes() for path in sorted(PHOTOS.iterdir())), strict=False)
    )
    served = {f"{name}.webp": content for name, content in photos.items()}
    with photo_host({**served, "beta.webp": b"<html>not a picture</html>"}) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A directory store, a queue, a model and workers that may fetch from this machine."""
    made = house(
        tmp_path_factory.mktemp("shop"),
        SKUSCENE_FETCH_ALLOW="127.0.0.1",
        SKUSCENE_MODEL_DEADLINE_S="12",
        SKUSCENE_SHARD_PRODUCTS="2",
    )
    with made as shop, shop.workers():
        yield shop


def feed(folder: Path, host: PhotoHost) -> Path:
    """A shop's own sheet."""
    rows = [f"{name},The {name},{host.url}/{name}.webp" for name in NAMES]
    path = folder / "products.csv"
    path.write_text("sku,title,image\n" + "\n".join(rows) + "\n")
    return path


def read(shop: House, key: str) -> bytes:
    """An object of the store."""
    return (shop.folder / "store" / key).read_bytes()


def manifest(shop: House, name: str) -> dict[str, Any]:
    """A manifest: ``one/manifest.json`` is import one's newest."""
    return dict(json.loads(read(shop, f"imports/{name}")))


def lines(shop: House, name: str) -> dict[str, dict[str, Any]]:
    """A manifest's result lines by SKU."""
    found = [
        json.loads(line)
        for part in manifest(shop, name)["parts"]
        for line in gzip.decompress(read(shop, part["key"])).splitlines()
    ]
    return {line["sku"]: line for line in found}


def named(shop: House) -> dict[str, str]:
    """Every file that revision 1 names, itself among them, with its hash now."""
    first = manifest(shop, "one/manifest.r1.json")
    keys = [part["key"] for part in first["parts"]] + ["imports/one/manifest.r1.json"]
    for line in lines(shop, "one/manifest.r1.json").values():
        keys += [image["key"] for image in line["images"]]
    return {key: hashlib.sha256(read(shop, key)).hexdigest() for key in keys}


def test_what_failed_is_retried_and_a_lost_redis_costs_nothing(
    shop: House, host: PhotoHost, tmp_path: Path
) -> None:
    sold = shop.books()["sold"]
    shop.script({"outcome": "503", "match": "The gamma", "times": 3})
    first = shop.skuscene(
        "import", str(feed(tmp_path, host)), *("--id", "one", "--catalog", "greek"), "--wait"
    )
    assert first.code == 1, first.err
    assert {sku: line["status"] for sku, line in lines(shop, "one/manifest.json").items()} == {
        "alpha": "succeeded",
        "beta": "failed",
        "gamma": "failed",
        "delta": "succeeded",
    }
    before, files = lines(shop, "one/manifest.json"), named(shop)
    nothing = shop.skuscene("retry", "one", "--sku", "alpha")
    assert nothing.code == 1
    assert "nothing is run again" in nothing.err
    assert not list((shop.folder / "store/imports/one").glob("retry*"))

    host.photos["beta.webp"] = host.photos["alpha.webp"][:-1] + b"\0"
    second = shop.skuscene("retry", "one", "--sku", "beta", "--wait", "--json")

    assert second.code == 1, second.err  # gamma still stands failed
    assert second.json()["renders"]["succeeded"] == 3
    assert manifest(shop, "one/manifest.json")["revision"] == 2
    assert lines(shop, "one/manifest.json")["beta"]["status"] == "succeeded"
    assert {sku: lines(shop, "one/manifest.json")[sku] for sku in ("alpha", "gamma", "delta")} == {
        sku: before[sku] for sku in ("alpha", "gamma", "delta")
    }
    assert shop.books()["sold"] == sold + 3

    shop.latency(9.0)
    shop.skuscene("retry", "one", "--reason", "model.unavailable")
    wait_for(lambda: shop.books()["open"] > 0, timeout_s=20, what="gamma's call in flight")
    again = shop.skuscene("retry", "one")
    assert again.code == 1
    assert "revision 3 of import one" in again.err
    assert shop.skuscene("status", "one", "--json").json()["state"] == "running"
    with redis.Redis.from_url(shop.variables["SKUSCENE_REDIS_URL"]) as client:
        client.flushall()
    shop.latency(0.0)
    third = shop.skuscene("status", "one", "--watch", "--json")

    assert third.code == 0, third.err
    assert third.json()["renders"]["succeeded"] == 4
    assert manifest(shop, "one/manifest.json")["revision"] == 3
    assert (shop.books()["sold"], shop.books()["doubles"]) == (sold + 4, 0)
    assert named(shop) == files
    assert shop.skuscene("verify", "one", "--json").json()["ok"]


@pytest.fixture(scope="module")
def delivered(shop: House, host: PhotoHost, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An import of two products that is whole; who damages it mends it."""
    path = tmp_path_factory.mktemp("feed") / "two.csv"
    rows = [f"{name},The {name},{host.url}/{name}.webp" for name in ("alpha", "delta")]
    path.write_text("sku,title,image\n" + "\n".join(rows) + "\n")
    names = ("--scenes", "sunny-beach", "--id", "two", "--catalog", "two")
    ran = shop.skuscene("import", str(path), *names, "--wait")
    assert ran.code == 0, ran.err
    return "two"


def test_damage_is_found_and_mended_without_buying(shop: House, delivered: str) -> None:
    name = delivered
    store, sold = shop.folder / "store", shop.books()["sold"]
    newest = manifest(shop, f"{name}/manifest.json")
    images = {
        (sku, image["name"]): store / image["key"]
        for sku, line in lines(shop, f"{name}/manifest.json").items()
        for image in line["images"]
    }
    folders = {sku: path.parent for (sku, _), path in images.items()}
    whole = {path: path.read_bytes() for path in images.values()}
    part = store / newest["parts"][0]["key"]
    whole[part] = part.read_bytes()
    part.unlink()
    lost = shop.skuscene("verify", name, "--repair", "--wait", "--json")
    assert lost.code == 0, lost.out + lost.err
    images["alpha", "web-1024.webp"].unlink()
    images["alpha", "web-512.webp"].write_bytes(whole[images["alpha", "web-512.webp"]][:-9])
    images["delta", "web-512.webp"].write_bytes(whole[images["alpha", "web-512.webp"]])
    images["delta", "merchant-1500.jpg"].write_bytes(b"\xff\xd8\xff" * 99_000)
    (folders["delta"] / "record.json").write_bytes((folders["alpha"] / "record.json").read_bytes())
    (folders["alpha"] / "record.json").write_bytes(b"{")
    (store / newest["gallery"]).unlink()
    (store / f"imports/{name}/manifest.json").write_bytes(b"{}")
    (store / f"catalogs/{name}/current.json").unlink()

    found = shop.skuscene("verify", name, "--json")
    mended = shop.skuscene("verify", name, "--repair", "--wait", "--json")

    assert found.code == 1
    kinds = [problem["kind"] for problem in found.json()["problems"]]
    assert sorted(kinds) == sorted(
        [
            *("missing", "truncated", "swapped", "differs"),  # pictures
            *("unreadable", "foreign"),  # records
            *("missing", "differs", "missing"),  # contact sheet, manifest, pointer
        ]
    )
    assert mended.code == 0, mended.out + mended.err
    assert mended.json()["problems"] == []
    assert {path: path.read_bytes() for path in whole} == whole
    assert shop.books()["sold"] == sold


def test_a_master_that_is_lost_is_said_to_be_and_never_bought_again(
    shop: House, delivered: str
) -> None:
    sold = shop.books()["sold"]
    (image, *_) = lines(shop, f"{delivered}/manifest.json")["alpha"]["images"]
    master = shop.folder / "store" / image["key"]
    whole = master.read_bytes()
    master.write_bytes(b"lost")

    ran = shop.skuscene("verify", delivered, "--repair", "--wait")
    master.write_bytes(whole)

    assert ran.code == 1
    assert "restore it from a backup" in ran.out
    assert "none of 1 problems can be repaired" in ran.err
    assert shop.books()["sold"] == sold


def test_a_repair_without_a_worker_says_that_one_is_needed(
    shop: House, delivered: str, tmp_path: Path
) -> None:
    with house(tmp_path / "idle", simulator=False) as idle:
        shutil.copytree(shop.folder / "store", idle.folder / "store", dirs_exist_ok=True)
        (idle.folder / "store" / f"imports/{delivered}/gallery/index.html").unlink()

        ran = idle.skuscene("verify", delivered, "--repair", "--wait")

    assert ran.code == 1
    assert "no worker took one" in ran.err
    assert "skuscene worker --queues finish" in ran.err
