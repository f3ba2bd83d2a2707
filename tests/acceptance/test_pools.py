"""Do several pools serve one import, and does a dead one stop nothing?"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_money_and_limits import RENDERS, ledger, order
from tests.support.running import House, house, simulator_process

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

POOLS = """
[[pools]]
name = "studio"
platform = "developer"
api_key_variable = "KEY_OF_STUDIO"
base_url = "{studio}"
calls_in_flight = 2

[[pools]]
name = "cloud"
platform = "vertex"
cloud_project = "shop-prod"
base_url = "{cloud}"
"""


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[tuple[House, House]]:
    """One shop, seen with each of its two model servers."""
    with contextlib.ExitStack() as stack:
        shop = stack.enter_context(house(tmp_path / "shop", simulator=False))
        urls = []
        for name in ("studio", "cloud"):
            (tmp_path / name).mkdir()
            urls.append(stack.enter_context(simulator_process(tmp_path / name)))
        file = tmp_path / "pools.toml"
        file.write_text(POOLS.format(studio=urls[0], cloud=urls[1]), encoding="utf-8")
        del shop.variables["GEMINI_API_KEY"]
        shop.variables |= {
            "SKUSCENE_POOLS_FILE": str(file),
            "KEY_OF_STUDIO": "test-key",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        studio, cloud = (
            House(folder=shop.folder, variables=shop.variables, simulator_url=url) for url in urls
        )
        yield studio, cloud


def test_what_the_first_pool_has_no_room_for_goes_to_the_next(shops: tuple[House, House]) -> None:
    studio, cloud = shops
    studio.latency(0.5)

    with studio.workers():
        ran = studio.skuscene(*order("one"))
        quota = studio.skuscene("quota", "--json").json()

    assert ran.json()["renders"]["succeeded"] == RENDERS
    sold = {"studio": studio.books()["sold"], "cloud": cloud.books()["sold"]}
    assert min(sold.values()) > 0
    assert sum(sold.values()) == RENDERS
    assert Counter(line["pool"] for line in ledger(studio)) == sold
    assert {line["pool"]: line["platform"] for line in ledger(studio)} == {
        "studio": "developer",
        "cloud": "vertex",
    }
    lanes = {lane["pool"]: lane for lane in quota["lanes"]}
    assert lanes["studio"]["set"]["calls_in_flight"] == 2
    assert lanes["cloud"]["set"]["calls_in_flight"] is None
    assert studio.books()["doubles"] == cloud.books()["doubles"] == 0


def test_a_pool_whose_key_is_dead_stops_nothing(shops: tuple[House, House]) -> None:
    studio, cloud = shops
    studio.script({"outcome": "key_invalid", "times": 100})

    with studio.workers():
        ran = studio.skuscene(*order("one"))

    assert ran.json()["renders"]["succeeded"] == RENDERS
    assert (studio.books()["sold"], cloud.books()["sold"]) == (0, RENDERS)
    refused = [line for line in ledger(studio) if line["outcome"] == "not_sold"]
    assert refused
    assert not [line for line in refused if line["attempt"]]
