"""Does a manifest appear whole, once, and for the right import?"""

from __future__ import annotations

import gzip
from datetime import timedelta

import pytest

from catalog import claims, keys
from catalog.claims import ImportClaim, ShardClaim
from catalog.results import CatalogPointer, ResultLine
from catalog.store.port import sha256_hex
from tests.support.desk import PRICE, STORE_ID, Workplace, address, wanted
from worker.commit import commit
from worker.errors import PromptBlocked, TryLater
from worker.publish import point, publish


def _settled() -> Workplace:
    """An import of two shards whose renders are settled and whose commits wait."""
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen", "beach")], [wanted("lamp", "kitchen")])
    place.run(until=lambda: len(place.queue.of(claims.COMMIT)) == 2)
    return place


def _committed() -> Workplace:
    """The same, with both parts committed and the publication waiting."""
    place = _settled()
    place.run(until=lambda: bool(place.queue.of(claims.PUBLISH)))
    return place


def _import(import_id: str = "monday") -> ImportClaim:
    return ImportClaim(store=STORE_ID, import_id=import_id)


def _shard(part: int) -> ShardClaim:
    return ShardClaim(store=STORE_ID, import_id="monday", part=part)


def _pointer(place: Workplace) -> CatalogPointer:
    return CatalogPointer.from_json(place.store.content(keys.current("autumn")))


# -- commit ------------------------------------------------------------------------------------


def test_two_committers_write_the_same_bytes() -> None:
    place = _settled()
    key = keys.results_part("monday", 0, 1)
    written: list[bytes] = []

    def be_faster() -> None:
        commit(place.desk, _shard(0))
        written.append(place.store.content(key))

    place.effects.when(f"create {key}", be_faster)
    commit(place.desk, _shard(0))
    place.run()

    assert place.store.content(key) == written[0]
    assert gzip.decompress(written[0])
    assert written[0][4:8] == b"\0\0\0\0"  # no time of writing
    place.assert_manifests_hold()
    assert place.sold.total() == 3


def test_a_part_lists_its_slots_in_plan_order_whoever_settled_first() -> None:
    place = Workplace()
    place.order("monday", [wanted(sku, "kitchen") for sku in ("a", "b", "c")])
    place.run(until=lambda: len(place.queue.of(claims.FINISH)) == 3)
    place.queue.waiting.reverse()
    place.run()

    content = place.store.content(place.manifest("monday").parts[0].key)
    lines = [ResultLine.from_json(line) for line in gzip.decompress(content).splitlines()]
    assert [line.sku for line in lines] == ["a", "b", "c"]
    assert place.sold.total() == 3


def test_a_shard_with_an_open_render_is_not_committed() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen", "beach")])
    place.run(until=lambda: place.memory.left("monday", 0) == 1)

    sent = len(place.queue.sent)

    commit(place.desk, _shard(0))

    assert keys.results_part("monday", 0, 1) not in place.store.keys
    assert len(place.queue.sent) == sent
    place.run()
    assert place.sold.total() == 2


def test_a_redis_that_is_emptied_between_two_looks_leaves_no_short_part() -> None:
    place = _settled()
    place.effects.when("state.outcomes", place.memory.clear)

    with pytest.raises(TryLater, match="0 of 2 outcomes"):
        commit(place.desk, _shard(0))

    assert keys.results_part("monday", 0, 1) not in place.store.keys
    assert place.sold.total() == 3


def test_a_part_that_was_written_before_is_the_one_that_counts() -> None:
    place = _settled()
    key = keys.results_part("monday", 0, 1)
    commit(place.desk, _shard(0))
    stored = place.store.content(key)
    place.memory.clear()
    place.imaging.encoder = "2"

    place.send(claims.FEED, _import())
    place.settle_down()

    assert place.store.content(key) == stored
    place.assert_manifests_hold()
    assert place.sold.total() == 3


# -- publish -----------------------------------------------------------------------------------


def test_an_import_with_an_uncommitted_shard_is_not_published() -> None:
    place = _settled()
    commit(place.desk, _shard(0))

    publish(place.desk, _import())

    assert not place.is_published("monday")
    place.run()
    assert place.is_published("monday")
    assert place.sold.total() == 3


def test_the_contact_sheet_and_the_parts_are_there_before_the_manifest() -> None:
    place = _committed()

    def look() -> None:
        assert keys.gallery("monday") in place.store.keys
        assert keys.results_part("monday", 1, 1) in place.store.keys
        assert not place.is_published("monday")
        assert keys.current("autumn") not in place.store.keys

    place.effects.when("create imports/monday/manifest.r1", look)
    place.run()

    order = [name for name in place.effects.seen if name.startswith(("create", "replace"))]
    tail = [name.split(" ")[1] for name in order][-3:]
    assert tail == [
        keys.manifest_revision("monday", 1),
        keys.manifest("monday"),
        keys.current("autumn"),
    ]
    assert place.sold.total() == 3


def test_two_publishers_agree_on_one_manifest() -> None:
    place = _committed()

    def be_faster() -> None:
        publish(place.desk, _import())
        place.clock.sleep(60)

    place.effects.when("create imports/monday/manifest.r1", be_faster)
    publish(place.desk, _import())

    revision = place.store.content(keys.manifest_revision("monday", 1))
    assert place.store.content(keys.manifest("monday")) == revision
    assert _pointer(place).sha256 == sha256_hex(revision)
    place.assert_manifests_hold()
    assert place.sold.total() == 3


def test_publishing_again_changes_nothing() -> None:
    place = _committed()
    place.run()
    before = {key: place.store.content(key) for key in place.store.keys}

    publish(place.desk, _import())

    assert {key: place.store.content(key) for key in place.store.keys} == before
    assert place.sold.total() == 3


def test_mondays_import_published_late_does_not_take_the_catalogs_pointer() -> None:
    place = _committed()
    place.queue.waiting.clear()
    place.clock.now += timedelta(days=1)
    place.order("tuesday", [wanted("mug", "kitchen")])
    place.run()

    publish(place.desk, _import("monday"))

    assert place.is_published("monday")
    assert _pointer(place).import_id == "tuesday"
    assert place.sold.total() == 3


def test_mondays_publisher_that_is_overtaken_at_the_pointer_gives_way() -> None:
    place = _committed()
    place.queue.waiting.clear()
    place.clock.now += timedelta(days=1)
    place.order("tuesday", [wanted("mug", "kitchen")])
    place.run(until=lambda: len(place.queue.of(claims.PUBLISH)) == 2)
    place.effects.when(
        f"replace {keys.current('autumn')}", lambda: publish(place.desk, _import("tuesday"))
    )

    publish(place.desk, _import("monday"))

    assert _pointer(place).import_id == "tuesday"
    assert place.sold.total() == 3


def test_tuesdays_import_takes_the_pointer_from_mondays() -> None:
    place = _committed()
    place.run()
    assert _pointer(place).import_id == "monday"
    place.clock.now += timedelta(days=1)
    place.order("tuesday", [wanted("mug", "kitchen")])
    place.run()

    assert _pointer(place).import_id == "tuesday"
    assert place.sold.total() == 3


def test_a_results_part_that_differs_from_its_hash_is_never_published_and_never_floods() -> None:
    place = _committed()
    place.store.damage(keys.results_part("monday", 0, 1), gzip.compress(b""))

    place.settle_down(rounds=8)

    assert not place.is_published("monday")
    assert place.queue.waiting == []
    assert len(place.queue.of(claims.PUBLISH)) <= 1 + 8
    assert place.sold.total() == 3


def test_an_object_that_others_keep_writing_is_tried_later() -> None:
    place = Workplace()
    others: list[str] = []

    def be_faster(method: str, _key: str) -> None:
        if method != "replace":
            return
        others.append(f"other {len(others)}")
        place.store.before = lambda *_: None
        point(place.store, "wanted", others[-1].encode())
        place.store.before = be_faster

    place.store.before = be_faster

    with pytest.raises(TryLater, match="by others"):
        point(place.store, "wanted", b"mine")

    assert place.store.content("wanted") == others[-1].encode()
    assert place.sold.total() == 0


# -- sums --------------------------------------------------------------------------------------


def test_counts_add_up_whatever_becomes_of_the_renders() -> None:
    place = Workplace(max_attempts=1, max_doubtful=1)
    shared = {"kitchen": "the same words"}
    mug = [address("mug")]
    place.shop.photos[address("bad")] = b"no picture"
    place.model.script = [PromptBlocked("prompt.blocked", "no", "SAFETY"), b"\xff\xd8\xff garbage"]
    place.order(
        "monday",
        [wanted("vase", "kitchen"), wanted("bowl", "kitchen"), wanted("bad", "kitchen", "beach")],
        [wanted(sku, prompts=shared, photos=mug) for sku in ("mug", "twin")],
    )
    place.run(until=lambda: place.sold.total() == 1)
    place.run()

    counts = place.manifest("monday").counts
    assert counts.expected == 6
    assert place.statuses("monday") == {
        "blocked": 1,
        "failed": 3,
        "succeeded": 1,
        "reused": 1,
    }
    place.assert_manifests_hold()
    assert place.manifest("monday").cost_usd.spent == PRICE * 2
    assert place.sold.total() == 2


def test_progress_adds_up_after_every_step() -> None:
    place = Workplace(window=3)
    place.model.script = [PromptBlocked("prompt.blocked", "no", "SAFETY")]
    place.order("monday", *[[wanted(f"sku-{at}", "kitchen", "beach")] for at in range(4)])

    def look() -> bool:
        progress = place.memory.progress("monday")
        if progress is not None:
            counts = progress.counts
            ended = counts.succeeded + counts.reused + counts.review + counts.blocked
            assert counts.expected == 8
            assert ended + counts.failed + counts.cancelled + counts.open == 8
        return False

    place.run(until=look)

    assert place.statuses("monday") == {"blocked": 1, "succeeded": 7}
    assert place.sold.total() == 7
