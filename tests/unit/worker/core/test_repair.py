"""Is every kind of damage found, and is what can be made again made again, without buying?"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from catalog import claims, keys
from catalog.claims import RepairClaim
from catalog.imports import Control
from catalog.renders import RenderRecord
from catalog.results import CatalogPointer, ResultLine
from catalog.revisions import newest_manifest
from producers import repairing, retrying, verifying
from producers.repairing import NobodyRepairs
from producers.reporting import UnknownImport
from producers.retrying import Selection
from producers.services import Services
from producers.verifying import Problem, Verification
from tests.support.desk import STORE_ID, Workplace, wanted
from worker.errors import TryLater

Damage = Callable[["Workplace"], str]


def _published() -> Workplace:
    place = Workplace()
    place.order(
        "monday",
        [wanted("mug", "kitchen"), wanted("vase", "kitchen", renditions=("web", "merchant"))],
        [wanted("lamp", "kitchen")],
    )
    place.settle_down()
    return place


def _verify(place: Workplace, **options: Any) -> Verification:
    return verifying.verify(place.store, "monday", **options)


def _services(place: Workplace) -> Services:
    state: Any = place.desk.state
    queue: Any = place.queue
    return Services(store=place.store, store_id=STORE_ID, state=state, queue=queue)


def _repair(place: Workplace) -> Verification:
    asked = repairing.ask_for_repairs(_services(place), _verify(place))
    place.run()
    repairing.wait_for_repairs(_services(place), asked, patience_s=1.0)
    return _verify(place)


def _line(place: Workplace, sku: str) -> ResultLine:
    return place.line("monday", sku, "kitchen")


def _key(place: Workplace, sku: str, name: str) -> str:
    return next(image.key for image in _line(place, sku).images if image.name == name)


# -- what is whole -----------------------------------------------------------------------------


def test_a_whole_import_holds() -> None:
    place = _published()
    counted: list[int] = []

    report = _verify(place, progress=counted.append)

    assert report.problems == ()
    assert report.holds
    assert counted == list(range(1, report.objects + 1))
    named = {image.key for line in place.lines("monday") for image in line.images}
    assert report.objects > len(named) + 2
    assert _verify(place, revision=1).holds


def test_an_import_or_revision_that_is_not_there_is_unknown() -> None:
    place = _published()

    with pytest.raises(UnknownImport, match="no manifest"):
        verifying.verify(place.store, "tuesday")
    with pytest.raises(UnknownImport, match="no revision 2"):
        _verify(place, revision=2)


# -- every kind of damage ----------------------------------------------------------------------


def _rendition(place: Workplace) -> str:
    return _key(place, "mug", "web-1024.webp")


def _lose(what: Callable[[Workplace], str], content: bytes | None) -> Damage:
    def damage(place: Workplace) -> str:
        key = what(place)
        place.store.damage(key, content)
        return key

    return damage


def _cut(what: Callable[[Workplace], str]) -> Damage:
    def damage(place: Workplace) -> str:
        key = what(place)
        place.store.damage(key, place.store.content(key)[:-3])
        return key

    return damage


def _swap(place: Workplace) -> str:
    mine, other = _rendition(place), _key(place, "lamp", "web-1024.webp")
    place.store.damage(mine, place.store.content(other))
    return mine


def _other_record(place: Workplace) -> str:
    mine = keys.record(str(_line(place, "mug").render_id))
    place.store.damage(mine, place.store.content(keys.record(str(_line(place, "lamp").render_id))))
    return mine


def _lying_record(place: Workplace) -> str:
    key = keys.record(str(_line(place, "mug").render_id))
    record = RenderRecord.from_json(place.store.content(key))
    images = tuple(
        image.changed(sha256="0" * 64) if image.role == "rendition" else image
        for image in record.images
    )
    place.store.damage(key, record.changed(images=images).to_json())
    return key


def _wrong_pointer(place: Workplace) -> str:
    key = keys.current("autumn")
    pointer = CatalogPointer.from_json(place.store.content(key))
    place.store.damage(key, pointer.changed(sha256="0" * 64).to_json())
    return key


def _record_of(place: Workplace) -> str:
    return keys.record(str(_line(place, "mug").render_id))


def _always(key: str) -> Callable[[Workplace], str]:
    return lambda _place: key


MANIFEST = _always(keys.manifest("monday"))
REVISION = _always(keys.manifest_revision("monday", 1))
GALLERY = _always(keys.gallery("monday"))
DATA = _always(keys.gallery("monday", "data-000.js"))
SCHEMA = _always(keys.schema("result"))
POINTER = _always(keys.current("autumn"))
PART = _always(keys.results_part("monday", 1, 1))
PLAN = _always(keys.plan_part("monday", 0))

MENDABLE: dict[str, tuple[str, Damage]] = {
    "rendition missing": ("missing", _lose(_rendition, None)),
    "rendition truncated": ("truncated", _cut(_rendition)),
    "rendition empty": ("truncated", _lose(_rendition, b"")),
    "rendition foreign": ("differs", _lose(_rendition, b"foreign" * 99)),
    "rendition swapped": ("swapped", _swap),
    "record missing": ("missing", _lose(_record_of, None)),
    "record unreadable": ("unreadable", _lose(_record_of, b"{")),
    "record of another render": ("foreign", _other_record),
    "record that names other bytes": ("differs", _lying_record),
    "part missing": ("missing", _lose(PART, None)),
    "part truncated": ("truncated", _cut(PART)),
    "part foreign": ("differs", _lose(PART, gzip.compress(b"{}" * 9_000, 0))),
    "manifest.json missing": ("missing", _lose(MANIFEST, None)),
    "manifest.json differs": ("differs", _lose(MANIFEST, b"{}")),
    "revision missing": ("missing", _lose(REVISION, None)),
    "revision damaged": ("differs", _lose(REVISION, b"{}")),
    "contact sheet missing": ("missing", _lose(GALLERY, None)),
    "contact sheet foreign": ("foreign", _lose(GALLERY, b"<html>another</html>")),
    "contact sheet's data missing": ("missing", _lose(DATA, None)),
    "contact sheet's data cut": ("truncated", _cut(DATA)),
    "schema missing": ("missing", _lose(SCHEMA, None)),
    "schema foreign": ("unreadable", _lose(SCHEMA, b"[]")),
    "pointer missing": ("missing", _lose(POINTER, None)),
    "pointer unreadable": ("unreadable", _lose(POINTER, b"{}")),
    "pointer with a wrong hash": ("differs", _wrong_pointer),
}


@pytest.mark.parametrize(("kind", "damage"), MENDABLE.values(), ids=list(MENDABLE))
def test_damage_is_found_and_mended_from_what_is_left(kind: str, damage: Damage) -> None:
    place = _published()
    whole = {key: place.store.content(key) for key in place.store.keys}

    key = damage(place)
    report = _verify(place)

    assert (kind, key) in {(found.kind, found.key) for found in report.problems}
    assert all(found.mendable for found in report.problems if found.key == key)
    assert _repair(place).problems == ()
    assert place.sold.total() == 3
    mended = {at: place.store.content(at) for at in whole}
    may_differ = {key} if "record" in key or key == keys.current("autumn") else set()
    assert {at for at in whole if mended[at] != whole[at]} <= may_differ
    place.assert_manifests_hold()


def _master(place: Workplace) -> str:
    return _key(place, "mug", "master")


def _reference(place: Workplace) -> str:
    provenance = _line(place, "mug").provenance
    assert provenance is not None
    return provenance.references[0].key


LOST: dict[str, tuple[str, str, Damage]] = {
    "master missing": ("missing", "backup", _lose(_master, None)),
    "master truncated": ("truncated", "backup", _cut(_master)),
    "master foreign": ("differs", "not bought again", _lose(_master, b"\xff\xd8\xff" * 99)),
    "reference missing": ("missing", "fetched again", _lose(_reference, None)),
    "plan missing": ("missing", "backup", _lose(PLAN, None)),
    "plan unreadable": (
        "unreadable",
        "backup",
        _lose(_always(keys.import_("monday")), b"{}"),
    ),
    "control unreadable": (
        "unreadable",
        "retry",
        _lose(_always(keys.control("monday")), b"{}"),
    ),
}


@pytest.mark.parametrize(("kind", "cure", "damage"), LOST.values(), ids=list(LOST))
def test_what_nothing_can_make_again_is_found_and_says_so(
    kind: str, cure: str, damage: Damage
) -> None:
    place = _published()

    key = damage(place)
    (found,) = _verify(place).problems

    assert (found.kind, found.key) == (kind, key)
    assert cure in found.cure
    assert not found.mendable
    assert repairing.ask_for_repairs(_services(place), _verify(place)) == ()
    assert place.sold.total() == 3


def test_a_pointer_to_another_imports_manifest_is_whole() -> None:
    place = _published()
    place.clock.sleep(60)
    place.order("tuesday", [wanted("jug", "kitchen")])
    place.settle_down()
    assert _verify(place).holds

    key = keys.current("autumn")
    pointer = CatalogPointer.from_json(place.store.content(key))
    place.store.damage(key, pointer.changed(sha256="0" * 64).to_json())
    assert [found.kind for found in _verify(place).problems] == ["differs"]
    assert _repair(place).holds
    assert CatalogPointer.from_json(place.store.content(key)).import_id == "tuesday"


def test_manifests_that_both_are_damaged_are_a_finding_and_no_crash() -> None:
    place = _published()
    for key in (keys.manifest("monday"), keys.manifest_revision("monday", 1)):
        place.store.damage(key, b"{}")

    report = _verify(place)

    assert [found.kind for found in report.problems] == ["unreadable"]
    assert "backup" in report.problems[0].cure
    assert not report.holds


def test_the_pointer_decides_which_of_two_readable_manifests_was_published() -> None:
    place = _published()
    key = keys.manifest_revision("monday", 1)
    published = place.store.content(key)
    place.store.damage(key, place.manifest("monday").changed(products=99).to_json(indent=2))

    found = newest_manifest(place.store, "monday")

    assert found is not None
    assert found[1].content == published
    assert [one.key for one in _verify(place).problems] == [key]
    assert _repair(place).holds
    assert place.store.content(key) == published


# -- repair ------------------------------------------------------------------------------------


def test_a_rendition_of_a_damaged_master_waits_for_the_master() -> None:
    place = _published()
    damaged = _rendition(place)
    whole = place.store.content(_master(place))
    place.store.damage(_master(place), b"damaged")
    place.store.damage(damaged, None)

    by_key = {found.key: found for found in _verify(place).problems}
    assert "master first" in by_key[damaged].cure
    assert not by_key[damaged].mendable

    place.store.damage(_master(place), whole)
    assert _repair(place).holds
    assert place.sold.total() == 3


def test_an_encoder_that_makes_other_bytes_puts_nothing_back_and_says_why() -> None:
    place = _published()
    damaged = _rendition(place)
    place.store.damage(damaged, b"damaged")
    place.imaging.encoder = "2"

    report = _repair(place)

    assert place.store.content(damaged) == b"damaged"
    (found,) = report.problems
    assert "other bytes" in found.cure
    assert found.mendable  # with the version that made it
    place.imaging.encoder = "1"
    assert _repair(place).holds


def test_a_part_with_a_row_that_no_record_tells_of_is_left_and_said_to_be_lost() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [TryLater("model.unavailable", "503")]
    place.order("monday", [wanted("mug", "kitchen"), wanted("lamp", "kitchen")])
    place.settle_down()
    key = keys.results_part("monday", 0, 1)
    place.store.damage(key, b"damaged")

    report = _repair(place)

    assert place.store.content(key) == b"damaged"
    assert [found.key for found in report.problems] == [key]
    said = verifying.last_repair(place.store, "monday", 0, None)
    assert said is not None
    assert "backup" in said.left[0].why


def test_a_file_that_was_made_together_with_others_is_made_with_them_again() -> None:
    place = _published()
    for name in ("web-512.webp", "merchant-1500.jpg"):
        place.store.damage(_key(place, "vase", name), None)

    assert _repair(place).holds
    (claim,) = place.queue.of(claims.REPAIR)
    assert (claim.part, claim.row) == (0, 1)


def test_two_repairs_at_once_agree() -> None:
    place = _published()
    damaged = _rendition(place)
    whole = place.store.content(damaged)
    place.store.damage(damaged, None)
    services = _services(place)
    for _ in range(2):
        repairing.ask_for_repairs(services, _verify(place))

    def be_faster() -> None:
        place.store.create(damaged, b"somebody else's", media_type="image/webp")

    place.effects.when(f"replace {damaged}", be_faster)
    place.run()

    assert place.store.content(damaged) == whole
    assert _verify(place).holds


def test_a_repair_of_what_is_whole_changes_nothing() -> None:
    place = _published()
    before = {key: place.store.content(key) for key in place.store.keys}
    for part, row in ((0, 0), (1, None), (None, None)):
        claim = RepairClaim(
            store=STORE_ID, import_id="monday", revision=1, part=part, row=row, request="x"
        )
        place.send(claims.REPAIR, claim)

    place.run()

    after = {key: place.store.content(key) for key in place.store.keys}
    assert {key: after[key] for key in before} == before
    assert {key for key in after if key not in before} == {
        keys.repair("monday", 0, 0),
        keys.repair("monday", 1),
        keys.repair("monday"),
    }
    assert place.parked() == []


@pytest.mark.parametrize(
    ("part", "row", "revision"), [(7, 0, 1), (0, 99, 1), (0, 0, 9), (9, None, 1)]
)
def test_a_repair_of_what_is_not_there_answers_and_breaks_nothing(
    part: int, row: int | None, revision: int
) -> None:
    place = _published()
    claim = RepairClaim(
        store=STORE_ID, import_id="monday", revision=revision, part=part, row=row, request="x"
    )
    place.send(claims.REPAIR, claim)

    place.run()

    said = verifying.last_repair(place.store, "monday", part, row)
    assert said is not None
    assert (said.mended, len(said.left)) == ((), 1)
    assert place.parked() == []


def test_without_a_worker_the_wait_ends_and_says_which_one_is_needed() -> None:
    place = _published()
    place.store.damage(_rendition(place), None)
    asked = repairing.ask_for_repairs(_services(place), _verify(place))

    with pytest.raises(NobodyRepairs, match="--queues finish"):
        repairing.wait_for_repairs(_services(place), asked, patience_s=0.0)


# -- revisions ---------------------------------------------------------------------------------


def test_each_revision_is_verified_and_repaired_by_itself() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [TryLater("model.unavailable", "503")]
    place.order("monday", [wanted("mug", "kitchen")], [wanted("lamp", "kitchen")])
    place.settle_down()
    retrying.retry(_services(place), "monday", Selection())
    place.settle_down()
    assert place.manifest("monday").revision == 2

    assert _verify(place).holds
    assert _verify(place, revision=1).holds
    sku = next(line.sku for line in place.lines("monday") if line.cost_usd.micro)
    place.store.damage(_key(place, sku, "web-512.webp"), None)
    place.store.damage(keys.results_part("monday", 0, 1), b"damaged")

    assert {found.key for found in _verify(place, revision=1).problems} >= {
        keys.results_part("monday", 0, 1)
    }
    newest = _verify(place).problems
    assert [found.key for found in newest] == [_key(place, sku, "web-512.webp")]
    assert _repair(place).holds


def test_the_word_of_a_damaged_control_is_written_again_by_a_retry() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [TryLater("model.unavailable", "503")]
    place.order("monday", [wanted("mug", "kitchen")])
    place.settle_down()
    place.store.damage(keys.control("monday"), b"{}")

    retrying.retry(_services(place), "monday", Selection())
    place.settle_down()

    assert Control.from_json(place.store.content(keys.control("monday"))).revision == 2
    assert _verify(place).holds


# -- the report --------------------------------------------------------------------------------


def test_the_report_as_json_names_kind_key_and_cure() -> None:
    place = _published()
    place.store.damage(_rendition(place), None)

    told = _verify(place).to_dict()

    assert told["ok"] is False
    (found,) = told["problems"]
    assert found["kind"] == "missing"
    assert found["key"] == _rendition(place)
    assert "--repair" in found["cure"]
    assert found["expected"].startswith(f"{found['expected'].split()[0]} bytes, sha256 ")
    assert (found["part"], found["row"]) == (0, 0)


def test_a_store_that_is_read_by_many_at_once_gives_the_findings_in_order() -> None:
    place = Workplace()
    place.order("monday", [wanted(f"sku-{at:02}", "kitchen") for at in range(30)])
    place.settle_down()
    for line in place.lines("monday"):
        place.store.damage(line.images[1].key, None)

    problems = _verify(place).problems

    assert [found.row for found in problems] == list(range(30))
    assert all(isinstance(found, Problem) for found in problems)
