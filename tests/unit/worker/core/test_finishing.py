"""What does a shop get for a bought picture, also when it asks for more later?"""

from __future__ import annotations

import pytest

from catalog import claims, keys
from catalog.claims import RenderClaim
from catalog.store.port import sha256_hex
from tests.support import pictures
from tests.support.desk import PRICE, Workplace, address, wanted
from worker.finish import finish
from worker.imaging.adapter import PillowImaging

ALL = ("web", "merchant")
ALL_FILES = {"master", "web-1024.webp", "web-512.webp", "merchant-1500.jpg"}


def _bought(*, renditions: tuple[str, ...] = ("web",)) -> Workplace:
    """An import whose one picture is bought and waits for finish."""
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen", renditions=renditions)])
    place.run(until=lambda: any(one.task == claims.FINISH for one in place.queue.waiting))
    return place


def _claim(place: Workplace) -> RenderClaim:
    waiting = (one.claim for one in place.queue.waiting if one.task == claims.FINISH)
    claim = next(waiting)
    assert isinstance(claim, RenderClaim)
    return claim


def test_a_channel_asked_for_later_is_made_from_the_master_and_buys_nothing() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.run()
    before = place.record(place.lines("monday")[0].render_id)

    place.order("tuesday", [wanted("mug", "kitchen", renditions=ALL)])
    place.run()

    line = place.lines("tuesday")[0]
    after = place.record(line.render_id)
    assert (line.status, line.cost_usd.micro) == ("reused", 0)
    assert {image.name for image in line.images} == ALL_FILES
    assert after.images[: len(before.images)] == before.images
    assert after.takes == before.takes
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_a_later_import_that_wants_fewer_files_names_only_those() -> None:
    place = Workplace()
    for name, recipes in (("monday", ALL), ("tuesday", ("merchant",))):
        place.order(name, [wanted("mug", "kitchen", renditions=recipes)])
        place.run()

    named = {image.name for image in place.lines("tuesday")[0].images}
    assert named == {"master", "merchant-1500.jpg"}
    assert place.sold.total() == 1


def test_an_existing_rendition_is_adopted_with_its_own_hash() -> None:
    place = _bought()
    render_id = _claim(place).render_id
    place.store.create(
        keys.rendition(render_id, "web-1024.webp"),
        b"made before the encoder was upgraded",
        media_type="image/webp",
    )

    place.run()

    image = next(one for one in place.lines("monday")[0].images if one.name == "web-1024.webp")
    assert image.sha256 == sha256_hex(b"made before the encoder was upgraded")
    assert image.bytes == len(b"made before the encoder was upgraded")
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_an_upgraded_encoder_changes_no_file_of_a_finished_render() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.run()
    place.imaging.encoder = "2"
    place.order("tuesday", [wanted("mug", "kitchen", renditions=ALL)])
    place.run()

    monday = {image.name: image for image in place.lines("monday")[0].images}
    tuesday = {image.name: image for image in place.lines("tuesday")[0].images}
    assert monday.items() <= tuesday.items()
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_two_slots_that_finish_one_render_at_once_each_get_their_own_files() -> None:
    place = Workplace()
    shared = {"kitchen": "the same words"}
    mug = [address("mug")]
    place.order(
        "monday",
        [
            wanted("mug", prompts=shared, photos=mug, renditions=("web",)),
            wanted("twin", prompts=shared, photos=mug, renditions=("merchant",)),
        ],
    )
    place.run(until=lambda: len(place.queue.of(claims.FINISH)) == 2)
    mugs, twins = place.queue.of(claims.FINISH)
    record = f"create {keys.record(mugs.render_id)}"
    place.effects.when(record, lambda: finish(place.desk, mugs))

    finish(place.desk, twins)
    place.run()

    named = {image.name for image in place.line("monday", "twin", "kitchen").images}
    assert named == {"master", "merchant-1500.jpg"}
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_a_record_that_somebody_else_extends_meanwhile_loses_no_file() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen", renditions=())])
    place.run()
    place.order("tuesday", [wanted("mug", "kitchen", renditions=("web",))])
    place.order("wednesday", [wanted("mug", "kitchen", renditions=("merchant",))])
    place.run(until=lambda: len(place.queue.of(claims.FINISH)) == 3)
    _, tuesday, wednesday = place.queue.of(claims.FINISH)
    record = f"replace {keys.record(tuesday.render_id)}"
    place.effects.when(record, lambda: finish(place.desk, wednesday))

    place.run()

    assert {image.name for image in place.record(tuesday.render_id).images} == ALL_FILES
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_a_take_that_comes_late_does_not_change_what_the_files_were_made_from() -> None:
    place = _bought()
    claim = _claim(place)
    first = place.store.read(place.takes()[0])
    assert first is not None
    place.effects.when(f"create {keys.record(claim.render_id)}", lambda: place.store.fail(1))
    place.work(place.queue.waiting.pop(0))  # the renditions are there, the record is not
    place.store.create(
        keys.take(claim.render_id, 2, "jpg"),
        b"\xff\xd8\xff a late answer",
        media_type="image/jpeg",
        metadata={"purchase": first.metadata["purchase"].replace('"take": 1', '"take": 2')},
    )

    place.run()

    record = place.record(claim.render_id)
    assert record.chosen_take == 1
    assert len(record.takes) == 2
    for image in record.images:
        if image.role == "rendition":
            assert place.store.content(image.key).endswith(first.content)
    assert place.lines("monday")[0].cost_usd == PRICE * 2
    assert place.sold.total() == 1


def test_takes_of_two_formats_under_one_number_leave_a_record_that_agrees_with_itself() -> None:
    place = _bought()
    claim = _claim(place)
    first = place.store.read(place.takes()[0])
    assert first is not None
    place.store.create(
        keys.take(claim.render_id, 1, "png"),
        b"\x89PNG a late answer",
        media_type="image/png",
        metadata=first.metadata,
    )

    place.run()

    record = place.record(claim.render_id)
    master = next(image for image in record.images if image.role == "master")
    assert master.key == record.chosen.key
    assert master.sha256 == record.chosen.sha256
    assert place.sold.total() == 1


def test_a_picture_that_cannot_be_decoded_fails_its_render_and_keeps_its_price() -> None:
    place = Workplace()
    place.model.script = [b"\xff\xd8\xff garbage"]

    place.order("monday", [wanted("mug", "kitchen")])
    place.run()

    line = place.lines("monday")[0]
    assert (line.status, line.reason) == ("failed", "picture.unreadable")
    assert line.cost_usd == PRICE
    assert place.store.content(place.takes()[0]) == b"\xff\xd8\xff garbage"
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_a_take_without_its_purchase_ends_the_render_and_not_the_import() -> None:
    place = _bought()
    take = place.takes()[0]
    content = place.store.content(take)
    place.store.delete(take)
    place.store.create(take, content, media_type="image/jpeg")  # some tool dropped the metadata

    place.settle_down()

    assert place.statuses("monday") == {"failed": 1}
    assert place.lines("monday")[0].reason == "internal"
    assert place.parked() == []
    assert place.sold.total() == 1


def test_a_take_that_is_gone_is_looked_for_a_few_times_and_then_failed() -> None:
    place = _bought()
    place.store.damage(place.takes()[0], None)

    place.run()

    assert place.statuses("monday") == {"failed": 1}
    assert place.sold.total() == 1


def test_a_record_whose_master_is_gone_fails_the_later_channel_only() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.run()
    place.store.damage(place.takes()[0], None)

    place.order("tuesday", [wanted("mug", "kitchen", renditions=ALL)])
    place.run()

    assert place.statuses("tuesday") == {"failed": 1}
    assert place.is_published("monday")
    assert place.sold.total() == 1


@pytest.mark.parametrize("renditions", [(), ("web",), ALL])
def test_the_whole_road_holds_with_real_pictures(renditions: tuple[str, ...]) -> None:
    place = Workplace(imaging=PillowImaging())
    place.shop.photos[address("mug")] = pictures.product_photo(7)
    place.model.script = [pictures.jpeg(928, 1152)]

    place.order("monday", [wanted("mug", "kitchen", renditions=renditions)])
    place.run()

    line = place.lines("monday")[0]
    assert line.status == "succeeded"
    assert {image.name for image in line.images} == {
        "master",
        *PillowImaging().file_names(renditions),
    }
    place.assert_manifests_hold()
    assert place.sold.total() == 1
