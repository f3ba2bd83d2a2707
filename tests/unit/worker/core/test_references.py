"""Which photo is sent, and when is a shop asked for it again?"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from catalog import claims, keys
from catalog.claims import ProductClaim
from catalog.product import UPLOAD_SCHEME, Photo
from catalog.renders import SourceEntry
from catalog.results import ReferenceUsed
from catalog.store.port import sha256_hex
from tests.support.desk import (
    PRICE,
    STORE_ID,
    Downloaded,
    Workplace,
    address,
    host_is_away,
    wanted,
)
from worker import jobs, references
from worker.errors import ReferenceUnusable, TryLater
from worker.prepare import prepare
from worker.tasks import WORK

MUG = address("mug")
HOUR_S = 3_600.0


def _photo(link: str = MUG) -> Photo:
    return Photo(address=link, link=link)


def _resolve(place: Workplace, link: str = MUG) -> ReferenceUsed:
    return references.resolve(place.desk, _photo(link), import_started_at=place.clock())


def _entry(place: Workplace, link: str = MUG) -> SourceEntry:
    return SourceEntry.from_json(place.store.content(keys.source(link)))


def test_a_photo_checked_within_its_age_is_not_asked_for_again() -> None:
    place = Workplace(source_max_age_s=HOUR_S)
    place.shop.photos[MUG] = b"a mug"
    first = _resolve(place)
    place.clock.sleep(HOUR_S - 1)

    second = _resolve(place)

    assert second == first
    assert len(place.shop.asked) == 1
    assert place.sold.total() == 0


def test_an_older_photo_is_asked_for_with_its_etag_and_not_stored_again() -> None:
    place = Workplace(source_max_age_s=HOUR_S)
    place.shop.photos[MUG] = b"a mug"
    first = _resolve(place)
    etag = _entry(place).versions[0].etag
    place.clock.sleep(HOUR_S + 1)

    second = _resolve(place)

    assert second == first
    assert place.shop.asked == [(MUG, None), (MUG, etag)]
    assert len(_entry(place).versions) == 1
    assert _entry(place).versions[0].checked_at == place.clock()


def test_a_host_without_etags_sends_the_same_bytes_and_nothing_changes() -> None:
    place = Workplace(source_max_age_s=HOUR_S)
    place.shop.validates = False
    place.shop.photos[MUG] = b"a mug"
    first = _resolve(place)
    place.clock.sleep(HOUR_S + 1)

    assert _resolve(place) == first
    assert len(_entry(place).versions) == 1


def test_a_photo_changed_behind_its_address_is_another_render_and_is_bought() -> None:
    place = Workplace(source_max_age_s=HOUR_S)
    place.order("monday", [wanted("mug", "kitchen")])
    place.run()
    place.clock.sleep(HOUR_S + 1)
    place.shop.photos[MUG] = b"a new mug"

    place.order("tuesday", [wanted("mug", "kitchen")])
    place.run()

    monday, tuesday = (place.lines(name)[0] for name in ("monday", "tuesday"))
    assert monday.render_id != tuesday.render_id
    assert tuesday.status == "succeeded"
    assert place.sold.total() == 2


def test_an_import_keeps_the_photo_that_was_current_at_its_start() -> None:
    place = Workplace(source_max_age_s=HOUR_S)
    place.shop.photos[MUG] = b"a mug"
    old = _resolve(place)
    started_at = place.clock()
    place.clock.sleep(2 * HOUR_S)
    place.shop.photos[MUG] = b"a new mug"
    new = _resolve(place)

    recovered = references.resolve(place.desk, _photo(), import_started_at=started_at)

    assert new != old
    assert recovered == old
    assert len(place.shop.asked) == 2


def test_without_a_current_photo_every_recovery_uses_the_first_one_fetched_after_the_start() -> (
    None
):
    place = Workplace(source_max_age_s=HOUR_S)
    started_at = place.clock()
    place.clock.sleep(60)
    place.shop.photos[MUG] = b"a mug"
    first = references.resolve(place.desk, _photo(), import_started_at=started_at)
    place.clock.sleep(2 * HOUR_S)
    place.shop.photos[MUG] = b"a new mug"
    _resolve(place)

    assert references.resolve(place.desk, _photo(), import_started_at=started_at) == first


def test_an_uploaded_photo_never_ages() -> None:
    place = Workplace(source_max_age_s=0.0)
    sha256 = sha256_hex(b"from the producer's disk")
    place.store.create(keys.upload(sha256), b"from the producer's disk", media_type="image/jpeg")
    first = _resolve(place, UPLOAD_SCHEME + sha256)
    place.clock.sleep(365 * 86_400)

    assert _resolve(place, UPLOAD_SCHEME + sha256) == first
    assert place.shop.asked == []
    reads = [key for method, key in place.store.calls if method == "read"]
    assert reads.count(keys.upload(sha256)) == 1


@pytest.mark.parametrize("found", [None, b"other bytes than its name says"])
def test_an_upload_that_is_gone_or_damaged_is_unusable(found: bytes | None) -> None:
    place = Workplace()
    sha256 = sha256_hex(b"a mug")
    if found is not None:
        place.store.create(keys.upload(sha256), found, media_type="image/jpeg")

    with pytest.raises(ReferenceUnusable, match="import it again") as refused:
        _resolve(place, UPLOAD_SCHEME + sha256)

    assert refused.value.reason == "reference.lost"


def test_two_workers_that_resolve_a_photo_at_once_agree_on_its_first_version() -> None:
    place = Workplace()
    place.shop.photos[MUG] = b"a mug"
    others: list[ReferenceUsed] = []

    def be_faster() -> None:
        place.shop.photos[MUG] = b"the mug as another worker saw it"
        others.append(_resolve(place))

    place.effects.when("replace sources/", be_faster)

    assert _resolve(place) == others[0]
    assert len(_entry(place).versions) == 1


def test_threads_that_resolve_one_photo_at_once_all_send_the_same() -> None:
    place = Workplace()
    place.shop.photos[MUG] = b"a mug"
    found: list[ReferenceUsed] = []
    barrier = threading.Barrier(4)

    def resolve() -> None:
        barrier.wait()
        found.append(_resolve(place))

    threads = [threading.Thread(target=resolve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_reference_that_is_gone_from_the_store_is_fetched_anew() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.run()
    for key in place.store.keys:
        if key.startswith("references/"):
            place.store.damage(key, None)  # a lifecycle rule of the bucket

    place.order("tuesday", [wanted("mug", "beach")])
    place.run()

    assert place.statuses("tuesday") == {"succeeded": 1}
    assert place.sold.total() == 2
    sent = place.model.asked[1].references
    assert [photo.content for photo in sent] == [b"normalised photo " + MUG.encode()]


def test_a_lost_reference_whose_photo_has_changed_is_replaced_by_the_new_one() -> None:
    place = Workplace()
    place.shop.photos[MUG] = b"a mug"
    lost = _resolve(place)
    place.store.damage(lost.key, None)
    place.shop.photos[MUG] = b"a new mug"

    found = _resolve(place)

    assert found.original_sha256 == sha256_hex(b"a new mug")
    assert place.store.has(found.key)


def test_a_bad_photo_among_good_ones_is_left_out() -> None:
    place = Workplace()
    bad, good = address("bad"), address("good")
    place.shop.photos[bad] = b"no picture at all"

    place.order("monday", [wanted("mug", "kitchen", photos=[bad, good])])
    place.run()

    assert place.statuses("monday") == {"succeeded": 1}
    assert [photo.content for photo in place.model.asked[0].references] == [
        b"normalised photo " + good.encode()
    ]
    provenance = place.lines("monday")[0].provenance
    assert provenance is not None
    assert [used.address for used in provenance.references] == [good]
    assert place.sold.total() == 1


def test_the_same_photo_under_two_links_is_sent_once() -> None:
    place = Workplace()
    one, two = address("one"), address("two")
    place.shop.photos |= {one: b"a mug", two: b"a mug"}

    place.order("monday", [wanted("mug", "kitchen", photos=[one, two])])
    place.run()

    assert len(place.model.asked[0].references) == 1
    assert place.sold.total() == 1


def test_renders_without_any_usable_photo_fail_with_the_first_ones_reason() -> None:
    place = Workplace()
    bad = [address("bad"), address("worse")]
    place.shop.photos |= {
        bad[0]: b"no picture",
        bad[1]: ReferenceUnusable("reference.forbidden_address", "that address is private"),
    }

    place.order(
        "monday", [wanted("mug", "kitchen", "beach", photos=bad), wanted("lamp", "kitchen")]
    )
    place.run()

    assert place.statuses("monday") == {"failed": 2, "succeeded": 1}
    line = place.line("monday", "mug", "beach")
    assert (line.reason, line.cost_usd.micro) == ("reference.not_an_image", 0)
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_a_host_that_comes_back_costs_attempts_and_no_picture() -> None:
    place = Workplace(max_attempts=3)
    place.order("monday", [wanted("mug", "kitchen")])
    photo = place.shop.photos[MUG]
    place.shop.photos[MUG] = host_is_away(MUG)
    place.run(until=lambda: len(place.shop.asked) == 2)
    place.shop.photos[MUG] = photo
    place.run()

    assert place.statuses("monday") == {"succeeded": 1}
    assert place.sold.total() == 1


def test_a_host_that_stays_away_fails_the_product_after_its_attempts() -> None:
    place = Workplace(max_attempts=3)
    place.shop.photos[MUG] = host_is_away(MUG)

    place.order("monday", [wanted("mug", "kitchen", "beach")])
    place.run()

    assert place.statuses("monday") == {"failed": 2}
    assert {line.reason for line in place.lines("monday")} == {"reference.unreachable"}
    assert len(place.shop.asked) == 3
    assert place.sold.total() == 0


def test_a_not_modified_that_nobody_asked_for_is_tried_later() -> None:
    place = Workplace()
    desk = replace(place.desk, fetch=lambda *_, **__: Downloaded(content=None))

    with pytest.raises(TryLater, match="without a question"):
        references.resolve(desk, _photo(), import_started_at=place.clock())


# -- a copy of a message that comes to another end -----------------------------------------------


def _copy_without_a_photo(place: Workplace) -> None:
    """What a second copy of the message does when the shop does not give the photo any more."""
    place.shop.photos.clear()
    place.store.delete(keys.source(MUG))
    claim = ProductClaim(store=STORE_ID, import_id="monday", part=0, product=0)
    prepare(place.desk, claim)


def _copy_of_no_shop(place: Workplace) -> None:
    """What the copy's last attempt does when nobody reaches the shop."""
    place.shop.photos[MUG] = host_is_away(MUG)
    place.store.delete(keys.source(MUG))
    claim = ProductClaim(
        store=STORE_ID,
        import_id="monday",
        part=0,
        product=0,
        attempt=place.desk.limits.max_attempts,
    )
    jobs.run(claims.PREPARE, json.loads(claim.to_json()), WORK[claims.PREPARE], place.desk)


@pytest.mark.parametrize("copy", [_copy_without_a_photo, _copy_of_no_shop])
@pytest.mark.parametrize(
    ("moment", "status"),
    [("ask kitchen", "succeeded"), ("enqueue skuscene.finish", "failed")],
    ids=["being bought", "paid"],
)
def test_a_copy_that_finds_no_photo_loses_no_money(
    copy: Callable[[Workplace], None], moment: str, status: str
) -> None:
    place = Workplace()
    place.shop.photos[MUG] = b"a mug"
    place.order("monday", [wanted("mug", "kitchen")])
    place.effects.when(moment, lambda: copy(place))
    place.run()

    assert place.statuses("monday") == {status: 1}
    assert place.manifest("monday").cost_usd.spent == PRICE
    assert place.sold.total() == 1
    place.assert_manifests_hold()
