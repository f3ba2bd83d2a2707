"""What a person sees when something is wrong: a clear word, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.deaths import process_of
from tests.support.running import House, house
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

FEED = Path(__file__).parent.parent / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    """A directory store, a queue and a model, without workers."""
    with house(tmp_path) as made:
        yield made


def order(*more: str, limit: int = 4) -> tuple[str, ...]:
    """An import of a few products."""
    return (
        *("import", str(FEED), "--images", str(PHOTOS), "--limit", str(limit)),
        *("--wait", "--json", *more),
    )


def lines(shop: House, import_id: str) -> list[dict[str, Any]]:
    """The result lines that the manifest names."""
    import gzip

    store = shop.folder / "store"
    manifest = json.loads((store / f"imports/{import_id}/manifest.json").read_bytes())
    return [
        json.loads(line)
        for part in manifest["parts"]
        for line in gzip.decompress((store / part["key"]).read_bytes()).splitlines()
    ]


def test_a_refusal_ends_blocked_with_the_models_word_and_is_remembered(shop: House) -> None:
    shop.script({"outcome": "prohibited", "match": "2-Slice", "times": 0})
    with shop.workers():
        first = shop.skuscene(*order("--id", "one"))
        second = shop.skuscene(*order("--id", "two"))

    assert first.code == second.code == 1
    assert first.json()["renders"]["blocked"] == 1
    (blocked,) = [line for line in lines(shop, "one") if line["status"] == "blocked"]
    assert blocked["reason"] == "prompt.blocked"
    assert "PROHIBITED" in blocked["message"]
    assert second.json()["renders"] == {
        **first.json()["renders"],
        "succeeded": 0,
        "reused": 3,
    }
    assert shop.books()["sold"] == 3
    assert shop.books()["calls"] == 4  # the refusal was asked for once, not again on the next day


def test_an_overloaded_model_is_asked_again_and_sells_once(shop: House) -> None:
    shop.script({"outcome": "503", "times": 2}, {"outcome": "429_retryinfo", "times": 1})
    with shop.workers():
        ran = shop.skuscene(*order())

    assert ran.json()["renders"]["succeeded"] == 4, ran.err
    assert shop.books()["sold"] == 4
    assert shop.books()["doubles"] == 0


def test_an_answer_without_a_picture_fails_after_three_attempts_with_its_price(
    shop: House,
) -> None:
    shop.script({"outcome": "no_image", "match": "2-Slice", "times": 0})
    with shop.workers():
        ran = shop.skuscene(*order())

    status = ran.json()
    assert ran.code == 1
    assert (status["renders"]["failed"], status["renders"]["succeeded"]) == (1, 3)
    (failed,) = [line for line in lines(shop, status["import_id"]) if line["status"] == "failed"]
    assert failed["reason"] == "model.no_picture"
    assert failed["attempts"] == 3
    assert shop.books()["by_outcome"]["no_image"] == 3
    assert shop.books()["sold"] == 3


def test_a_bad_key_pauses_the_import_at_once_and_resume_finishes_it(shop: House) -> None:
    with shop.workers(GEMINI_API_KEY="bad-key"):
        paused = shop.skuscene(*order("--id", "one"))
    with shop.workers():
        resumed = shop.skuscene("resume", "one")
        finished = shop.skuscene("status", "one", "--watch", "--json")

    assert paused.code == 1
    assert paused.json()["state"] == "paused"
    assert paused.json()["reason"] == "model.key_invalid"
    assert "model.key_invalid" in paused.err
    assert resumed.code == 0
    assert finished.json()["renders"]["succeeded"] == 4
    assert shop.books()["sold"] == 4


def test_a_call_that_was_never_answered_is_booked_as_doubtful(shop: House) -> None:
    shop.script({"outcome": "cut", "match": "2-Slice", "times": 1})
    with shop.workers():
        ran = shop.skuscene(*order())

    status = ran.json()
    assert status["renders"]["succeeded"] == 4
    assert status["cost_usd"]["doubtful"] > 0
    assert shop.books()["sold"] == 5
    assert shop.books()["cut"] == 1


def test_workers_killed_in_mid_import_leave_nothing_behind(shop: House) -> None:
    shop.latency(1.0)
    with shop.workers(SKUSCENE_LEASE_S="3", SKUSCENE_LEASE_RENEW_S="1") as first:
        started = shop.skuscene(*[word for word in order("--id", "one") if word != "--wait"])
        wait_for(lambda: shop.books()["open"] > 0, timeout_s=30, what="a call in flight")
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
        open_at_kill = shop.books()["calls"]
    shop.latency(0.0)
    with shop.workers(wait_ready=False, SKUSCENE_LEASE_S="3", SKUSCENE_LEASE_RENEW_S="1"):
        finished = shop.skuscene("status", "one", "--watch", "--json", timeout_s=110)

    assert started.code == 3
    assert finished.json()["state"] == "complete"
    assert finished.json()["renders"]["succeeded"] == 4
    assert shop.skuscene("verify", "one").code == 0
    assert shop.books()["sold"] <= 4 + open_at_kill


def test_a_killed_generate_process_is_noticed_and_its_renders_are_open_again(
    shop: House,
) -> None:
    shop.latency(3.0)
    with shop.workers(SKUSCENE_LEASE_S="3", SKUSCENE_LEASE_RENEW_S="1") as supervisor:
        shop.skuscene(*[word for word in order("--id", "one") if word != "--wait"])
        wait_for(lambda: shop.books()["open"] == 4, timeout_s=30, what="four calls in flight")
        os.kill(process_of(supervisor.pid, "generate"), signal.SIGKILL)
        shop.latency(0.0)
        # The broker would give the messages back after half an hour.
        finished = shop.skuscene("status", "one", "--watch", "--json", timeout_s=60)

    assert finished.json()["state"] == "complete"
    assert finished.json()["renders"]["succeeded"] == 4
    assert shop.books()["sold"] <= 8  # four calls died with their process


def test_cancelling_publishes_what_was_bought(shop: House) -> None:
    shop.latency(2.0)
    with shop.workers(SKUSCENE_GENERATE_CONCURRENCY="1"):
        shop.skuscene(*[word for word in order("--id", "one") if word != "--wait"])
        wait_for(lambda: shop.books()["open"] > 0, timeout_s=30, what="a call in flight")
        told = shop.skuscene("cancel", "one")
        finished = shop.skuscene("status", "one", "--watch", "--json")

    assert told.code == 0
    assert finished.code == 1
    status = finished.json()
    assert status["state"] == "cancelled"
    renders = status["renders"]
    assert renders["cancelled"] >= 2
    assert sum(renders[name] for name in renders if name != "expected") == renders["expected"] == 4
    assert shop.books()["sold"] <= 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 64, "products.csv"),
        (b"a,b\n1,2\n", "--map"),
    ],
)
def test_a_feed_that_is_none_is_exit_2_with_a_cure(
    shop: House, tmp_path: Path, content: bytes, said: str
) -> None:
    feed = tmp_path / "products.csv"
    feed.write_bytes(content)

    ran = shop.skuscene("import", str(feed))

    assert ran.code == 2
    assert said in ran.err
    assert not (shop.folder / "store" / "imports").exists()


def test_an_unknown_scene_key_is_exit_2_with_its_line(shop: House, tmp_path: Path) -> None:
    book = tmp_path / "scenes.yaml"
    book.write_text("version: 1\nscenes:\n  living-room:\n    promptt: A {product.title}\n")

    ran = shop.skuscene("import", str(FEED), "--scenes", str(book))

    assert ran.code == 2
    assert "scenes.yaml:4" in ran.err
    assert "prompt" in ran.err


def test_a_missing_setting_is_exit_2_and_an_unreachable_service_exit_4(shop: House) -> None:
    unset = {**shop.variables, "SKUSCENE_REDIS_URL": ""}
    away = {**shop.variables, "SKUSCENE_REDIS_URL": "redis://127.0.0.1:1/0"}

    first = House(folder=shop.folder, variables=unset).skuscene(*order())
    second = House(folder=shop.folder, variables=away).skuscene(*order())

    assert first.code == 2
    assert "SKUSCENE_REDIS_URL" in first.err
    assert second.code == 4
    assert "SKUSCENE_REDIS_URL" in second.err


def test_the_same_id_goes_on_and_another_content_is_refused(shop: House) -> None:
    with shop.workers():
        first = shop.skuscene(*order("--id", "one"))
        again = shop.skuscene(*order("--id", "one"))
        other = shop.skuscene(*order("--id", "one", "--scenes", "sunny-beach"))

    assert first.json()["renders"] == again.json()["renders"]
    assert other.code == 2
    assert "another --id" in other.err
    assert shop.books()["sold"] == 4


def test_a_price_above_the_limit_needs_consent_without_a_terminal(shop: House) -> None:
    shop.variables["SKUSCENE_CONFIRM_ABOVE_USD"] = "0.01"

    refused = shop.skuscene(*order("--id", "one"))
    known = shop.skuscene("status", "--json")

    assert refused.code == 2
    assert "--yes" in refused.err
    assert known.json() == []
    assert shop.books()["calls"] == 0


def test_a_budget_pauses_the_import_and_fails_nothing(shop: House) -> None:
    with shop.workers(SKUSCENE_GENERATE_CONCURRENCY="1"):
        ran = shop.skuscene(*order("--id", "one", "--budget", "0.10"))
        sold_at_pause = shop.books()["sold"]
        shop.skuscene("resume", "one", "--budget", "1")
        finished = shop.skuscene("status", "one", "--watch", "--json")

    status = ran.json()
    assert (ran.code, status["state"], status["reason"]) == (1, "paused", "budget")
    assert status["renders"]["failed"] == 0
    assert 0 < status["cost_usd"]["spent"] <= 0.10
    assert sold_at_pause == 2
    assert finished.json()["renders"]["succeeded"] == 4
    assert shop.books()["sold"] == 4
