"""Photos from the shop's own web server: fetched once, asked about again, never from inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.photo_host import PhotoHost, photo_host
from tests.support.running import House, house

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A directory store, a queue, a model and workers that may fetch from this machine."""
    made = house(
        tmp_path_factory.mktemp("shop"),
        SKUSCENE_FETCH_ALLOW="127.0.0.1",
        SKUSCENE_SOURCE_MAX_AGE_S="0",
    )
    with made as shop, shop.workers():
        yield shop


@pytest.fixture
def host() -> Iterator[PhotoHost]:
    """A web server with three photos, and a file that is none."""
    photos = {path.name: path.read_bytes() for path in sorted(PHOTOS.iterdir())[:3]}
    with photo_host({**photos, "page.jpg": b"<html>not a picture</html>"}) as running:
        yield running


def feed(folder: Path, links: dict[str, str]) -> Path:
    """A shop's own sheet: a product per link."""
    rows = [f"{sku},The {sku},{link}" for sku, link in links.items()]
    path = folder / "products.csv"
    path.write_text("sku,title,image\n" + "\n".join(rows) + "\n")
    return path


def imported(shop: House, path: Path, import_id: str) -> dict[str, Any]:
    """Import a feed and wait for its end."""
    ran = shop.skuscene(
        "import", str(path), "--id", import_id, "--catalog", "photos", "--wait", "--json"
    )
    return dict(ran.json())


def lines(shop: House, import_id: str) -> dict[str, dict[str, Any]]:
    """The result lines by SKU."""
    import gzip

    store = shop.folder / "store"
    manifest = json.loads((store / f"imports/{import_id}/manifest.json").read_bytes())
    found = [
        json.loads(line)
        for part in manifest["parts"]
        for line in gzip.decompress((store / part["key"]).read_bytes()).splitlines()
    ]
    return {line["sku"]: line for line in found}


def test_photos_are_fetched_once_and_only_a_changed_one_is_bought_again(
    shop: House, host: PhotoHost, tmp_path: Path
) -> None:
    names = [name for name in host.photos if name != "page.jpg"]
    path = feed(tmp_path, {f"SKU-{at}": f"{host.url}/{name}" for at, name in enumerate(names)})
    before = shop.books()["sold"]

    monday = imported(shop, path, "monday")
    fetched = host.count(200)
    tuesday = imported(shop, path, "tuesday")
    asked = host.count(304)
    host.photos[names[0]] = sorted(PHOTOS.iterdir())[3].read_bytes()
    wednesday = imported(shop, path, "wednesday")

    assert monday["renders"]["succeeded"] == fetched == 3
    assert tuesday["renders"]["reused"] == asked == 3
    assert (wednesday["renders"]["succeeded"], wednesday["renders"]["reused"]) == (1, 2)
    assert shop.books()["sold"] - before == 4


def test_a_link_that_leads_inside_is_refused_with_the_way_out(
    shop: House, host: PhotoHost, tmp_path: Path
) -> None:
    good = next(iter(host.photos))
    path = feed(
        tmp_path,
        {
            "GOOD": f"{host.url}/{good}?v=2",
            "INSIDE": "http://169.254.169.254/latest/meta-data/photo.jpg",
            "GONE": f"{host.url}/gone.jpg",
            "PAGE": f"{host.url}/page.jpg",
        },
    )
    before = shop.books()["sold"]

    status = imported(shop, path, "links")
    found = lines(shop, "links")

    assert (status["renders"]["succeeded"], status["renders"]["failed"]) == (1, 3)
    assert found["INSIDE"]["reason"] == "reference.forbidden_address"
    assert "SKUSCENE_FETCH_ALLOW" in found["INSIDE"]["message"]
    assert found["GONE"]["reason"] == "reference.not_found"
    assert found["PAGE"]["reason"] == "reference.not_an_image"
    assert shop.books()["sold"] - before == 1


def test_vertex_sells_the_same_pictures(tmp_path: Path) -> None:
    with house(tmp_path) as shop:
        shop.variables |= {
            "GOOGLE_GENAI_USE_VERTEXAI": "true",
            "GOOGLE_CLOUD_PROJECT": "shop",
            "GOOGLE_VERTEX_BASE_URL": str(shop.simulator_url),
        }
        path = tmp_path / "products.csv"
        path.write_text("sku,title,image\nA,Toaster,2-slice-toaster.webp\n")
        with shop.workers():
            ran = shop.skuscene("import", str(path), "--images", str(PHOTOS), "--wait", "--json")

        assert ran.json()["renders"]["succeeded"] == 1, ran.err
        assert shop.books()["sold"] == 1
