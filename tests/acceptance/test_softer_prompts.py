"""A model that refuses: softer prompts are asked where they may help, and nothing else is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.test_bad_days import lines
from tests.support.running import House, house

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

FEED = Path(__file__).parent.parent / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
BOOK = """\
version: 1
scenes:
  kitchen:
    prompt: "The {product.title} in a steaming kitchen."
    softer: ["The {product.title} on plain slate.", "The {product.title} on plain paper."]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    """A directory store, a queue and a model, without workers."""
    with house(tmp_path) as made:
        (tmp_path / "scenes.yaml").write_text(BOOK)
        yield made


def order(shop: House, import_id: str) -> tuple[str, ...]:
    """Four products in one scene."""
    return (
        *("import", str(FEED), "--images", str(PHOTOS), "--limit", "4", "--id", import_id),
        *("--scenes", str(shop.folder / "scenes.yaml"), "--wait", "--json"),
    )


def objects(shop: House, pattern: str) -> list[dict[str, Any]]:
    """JSON objects of the store, also where several stand in one file."""
    found = sorted((shop.folder / "store").glob(pattern))
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


def test_softer_prompts_bring_the_pictures_and_what_is_prohibited_is_asked_once(
    shop: House,
) -> None:
    shop.script(
        {"outcome": "prohibited", "match": "2-Slice", "times": 0},
        {"outcome": "safety", "match": "steaming", "times": 0},
        {"outcome": "recitation", "match": "on plain slate", "times": 1},
    )
    with shop.workers():
        first = shop.skuscene(*order(shop, "one"))
        second = shop.skuscene(*order(shop, "two"))
        verified = shop.skuscene("verify", "one")

    # Four as asked, three in the first softer words, one of those in the second ones.
    books = shop.books()
    assert books["calls"] == 8
    assert books["by_outcome"] == {"prohibited": 1, "safety": 3, "recitation": 1, "picture": 3}
    assert (books["sold"], books["doubles"]) == (3, 0)
    assert first.code == second.code == 1
    assert (first.json()["renders"]["succeeded"], first.json()["renders"]["blocked"]) == (3, 1)
    assert (second.json()["renders"]["reused"], second.json()["renders"]["blocked"]) == (3, 1)
    assert verified.code == 0, verified.err
    delivered = [line for line in lines(shop, "one") if line["status"] == "succeeded"]
    assert sorted(line["provenance"]["softened"] for line in delivered) == [1, 1, 2]
    for line in delivered:
        folder = shop.folder / "store" / "renders" / line["render_id"][:2] / line["render_id"]
        record = json.loads((folder / "record.json").read_bytes())
        refused = json.loads((folder / "refused.json").read_bytes())
        assert "on plain" in record["prompt_sent"]
        assert "steaming" in record["spec"]["prompt"]
        assert len(refused["prompts"]) == record["softened"] == line["provenance"]["softened"]
        assert refused["prompts"][0] == record["spec"]["prompt"]
        assert refused["final"] is False
    booked = {line["call"]: line for line in objects(shop, "ledger/*/*/*.jsonl")}.values()
    assert Counter((line["outcome"], line.get("softened", 0)) for line in booked) == {
        ("blocked", 0): 4,
        ("blocked", 1): 1,
        ("picture", 1): 2,
        ("picture", 2): 1,
    }
    (blocked,) = [line for line in lines(shop, "one") if line["status"] == "blocked"]
    assert blocked["reason"] == "prompt.blocked"
    assert "PROHIBITED" in blocked["message"]
