"""Does a retry run what it was asked for, keep everything else, and survive a death anywhere?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from catalog import claims, keys
from catalog.claims import ImportClaim, ShardClaim
from catalog.connection import open_redis
from catalog.imports import Control, Retry
from catalog.results import CatalogPointer
from catalog.revisions import open_revision, unpublished
from catalog.store.port import sha256_hex
from producers import control, reporting, retrying
from producers.control import ControlRefused
from producers.reporting import UnknownImport
from producers.retrying import RetryRefused, Selection
from producers.services import Services
from tests.support.desk import ESTIMATE, PRICE, STORE_ID, USAGE, Died, Workplace, address, wanted
from worker.commit import commit
from worker.errors import NoPicture, PromptBlocked, TryLater
from worker.ports import Inspected
from worker.publish import publish
from worker.reconciler import recover

BLOCKED = PromptBlocked("prompt.blocked", "no", "SAFETY")
AWAY = TryLater("model.unavailable", "503")


def _services(place: Workplace) -> Services:
    state: Any = place.desk.state
    queue: Any = place.queue
    return Services(store=place.desk.store, store_id=STORE_ID, state=state, queue=queue)


def _published() -> Workplace:
    """Two shards: the first has a failed and a blocked row, the second is whole."""
    place = Workplace(max_attempts=1)
    place.shop.photos[address("bad")] = b"no picture"
    place.model.script = [BLOCKED]
    place.order(
        "monday",
        [wanted("knife", "kitchen"), wanted("bad", "kitchen"), wanted("mug", "kitchen")],
        [wanted("lamp", "kitchen")],
    )
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 2, "failed": 1, "blocked": 1}
    assert place.line("monday", "knife", "kitchen").status == "blocked"
    return place


def _mend(place: Workplace) -> None:
    """The shop has a real photo by now."""
    place.shop.photos[address("bad")] = b"photo of the bad one"


def _snapshot(place: Workplace) -> dict[str, bytes]:
    return {key: place.store.content(key) for key in place.store.keys}


def _retry(place: Workplace, **selection: Any) -> Retry:
    return retrying.retry(_services(place), "monday", Selection(**selection))


# -- what is run, and what is kept -------------------------------------------------------------


def test_failed_rows_are_run_again_and_all_others_keep_their_line() -> None:
    place = _published()
    before = {line.sku: line for line in place.lines("monday")}
    files = _snapshot(place)
    first = place.manifest("monday")
    _mend(place)

    asked = _retry(place)
    place.settle_down()

    assert (asked.revision, asked.parts, asked.renders) == (2, (0,), 1)
    after = {line.sku: line for line in place.lines("monday")}
    assert after["bad"].status == "succeeded"
    assert {sku: line for sku, line in after.items() if sku != "bad"} == {
        sku: line for sku, line in before.items() if sku != "bad"
    }
    second = place.manifest("monday")
    assert (second.revision, second.state) == (2, "complete")
    assert second.parts[1] == first.parts[1]
    assert second.parts[0].key == keys.results_part("monday", 0, 2)
    assert place.sold.total() == 3
    assert second.cost_usd.spent == PRICE * 3
    changed = {key for key, content in files.items() if place.store.content(key) != content}
    assert changed <= {
        *(keys.manifest("monday"), keys.current("autumn"), keys.control("monday")),
        *(key for key in files if "/gallery/" in key or key.startswith("sources/")),
    }
    place.assert_manifests_hold()
    assert place.desk.state.running() == ()


def test_a_refusal_that_is_remembered_does_not_stop_what_a_person_asks_for() -> None:
    place = _published()
    _mend(place)

    _retry(place, statuses=("blocked",))
    place.settle_down()

    assert place.line("monday", "knife", "kitchen").status == "succeeded"
    assert place.line("monday", "bad", "kitchen").status == "failed"
    assert place.sold["knife in the kitchen"] == 1
    place.assert_manifests_hold()


def test_a_refusal_stands_for_rows_that_nobody_asked_to_unblock() -> None:
    place = _published()
    _retry(place, statuses=("failed",))
    place.settle_down()
    calls = len(place.model.asked)

    place.order("tuesday", [wanted("knife", "kitchen")])
    place.settle_down()

    assert place.statuses("tuesday") == {"blocked": 1}
    assert len(place.model.asked) == calls


def test_a_second_refusal_is_remembered_for_every_slot_of_the_render() -> None:
    place = Workplace()
    twin = {"kitchen": "knife in the kitchen"}
    place.model.script = [BLOCKED, BLOCKED]
    place.order(
        "monday",
        [wanted("knife", "kitchen"), wanted("twin", prompts=twin, photos=[address("knife")])],
    )
    place.settle_down()
    assert place.statuses("monday") == {"blocked": 2}
    assert len(place.model.asked) == 1

    _retry(place, statuses=("blocked",))
    place.settle_down()

    assert place.statuses("monday") == {"blocked": 2}
    assert len(place.model.asked) == 2


@pytest.mark.parametrize(
    ("began_days_ago", "status"), [(30, "succeeded"), (-30, "blocked")], ids=["before", "after"]
)
def test_another_imports_refusal_stands_only_if_it_came_after_the_persons_word(
    began_days_ago: int, status: str
) -> None:
    place = Workplace()
    place.clock.now = datetime.now(UTC) - timedelta(days=began_days_ago)
    place.model.script = [BLOCKED]
    for import_id in ("sunday", "monday"):
        place.order(import_id, [wanted("knife", "kitchen")])
        place.settle_down()
    assert (len(place.model.asked), place.statuses("monday")) == (1, {"blocked": 1})

    _retry(place, statuses=("blocked",))
    place.settle_down()

    assert place.statuses("monday") == {status: 1}


def test_attempts_start_anew_and_the_line_keeps_what_all_of_them_cost() -> None:
    place = Workplace(max_attempts=2)
    nothing = NoPicture("model.no_picture", "text only", "STOP", USAGE)
    place.model.script = [nothing, nothing]
    place.order("monday", [wanted("mug", "kitchen")])
    place.settle_down()
    wasted = place.line("monday", "mug", "kitchen").cost_usd
    assert wasted.micro > 0

    place.model.script = [nothing]
    _retry(place, reason="model.no_picture")
    place.settle_down()

    line = place.line("monday", "mug", "kitchen")
    assert line.status == "succeeded"
    assert line.cost_usd.micro == wasted.micro * 3 // 2 + PRICE.micro
    assert place.manifest("monday").cost_usd.spent == line.cost_usd
    booked = sum(one.cost_usd.micro for one in place.ledger.lines)
    assert booked == line.cost_usd.micro
    assert [one.revision for one in place.ledger.lines] == [1, 1, 2, 2]


def test_a_picture_that_was_paid_before_is_not_paid_again() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [b"\xff\xd8\xff garbage"]
    place.order("monday", [wanted("mug", "kitchen")])
    place.settle_down()
    assert place.line("monday", "mug", "kitchen").cost_usd == PRICE

    _retry(place)
    place.settle_down()

    line = place.line("monday", "mug", "kitchen")
    assert (line.status, line.cost_usd) == ("failed", PRICE)
    assert place.sold.total() == 1


def test_a_picture_that_an_earlier_revision_paid_and_could_not_finish_is_counted_once() -> None:
    place = Workplace(max_attempts=1)
    inspect = place.imaging.inspect
    place.imaging.inspect = _breaks  # type: ignore[method-assign]
    place.order("monday", [wanted("mug", "kitchen")])
    place.settle_down()
    assert place.line("monday", "mug", "kitchen").cost_usd == PRICE
    place.imaging.inspect = inspect  # type: ignore[method-assign]

    _retry(place)
    place.settle_down()

    line = place.line("monday", "mug", "kitchen")
    assert (line.status, line.cost_usd) == ("succeeded", PRICE)
    assert place.sold.total() == 1


def _breaks(master: bytes, *, asked_width_px: int, asked_height_px: int) -> Inspected:
    msg = "a bug of ours"
    raise ZeroDivisionError(msg)


def test_the_budget_counts_for_all_revisions() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [b"\xff\xd8\xff picture", AWAY]
    place.order(
        "monday", [wanted("mug", "kitchen"), wanted("lamp", "kitchen")], budget_usd=ESTIMATE * 2
    )
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 1, "failed": 1}
    told = Control.from_json(place.store.content(keys.control("monday")))
    place.store.damage(keys.control("monday"), told.changed(budget_usd=PRICE).to_json())

    _retry(place)
    place.run()

    assert place.sold.total() == 1
    stands = Control.from_json(place.store.content(keys.control("monday")))
    assert (stands.intent, stands.reason, stands.revision) == ("pause", "budget", 2)


def test_a_third_revision_follows_from_the_second() -> None:
    place = _published()
    _retry(place)
    place.settle_down()
    assert place.line("monday", "bad", "kitchen").status == "failed"
    _mend(place)

    assert _retry(place, statuses=("failed", "blocked")).revision == 3
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 4}
    manifest = place.manifest("monday")
    assert [part.key for part in manifest.parts] == [
        keys.results_part("monday", 0, 3),
        keys.results_part("monday", 1, 1),
    ]
    pointer = CatalogPointer.from_json(place.store.content(keys.current("autumn")))
    assert (pointer.revision, pointer.manifest) == (3, keys.manifest_revision("monday", 3))
    place.assert_manifests_hold()


def test_only_as_many_shards_are_opened_again_as_the_window_allows() -> None:
    place = Workplace(max_attempts=1, window=2)
    place.model.script = [AWAY] * 5
    place.order("monday", *[[wanted(f"sku-{at}", "kitchen")] for at in range(5)])
    place.settle_down()
    assert place.statuses("monday") == {"failed": 5}

    _retry(place)
    widest = 0

    def look() -> bool:
        nonlocal widest
        widest = max(widest, len(place.memory.open_parts("monday")))
        return False

    place.run(until=look)

    assert widest == 2
    assert place.statuses("monday") == {"succeeded": 5}


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"statuses": ("cancelled",)}, "no row that is cancelled"),
        ({"reason": "picture.unreadable"}, "for picture.unreadable"),
        ({"skus": ("mug",)}, "belongs to mug"),
        ({"skus": ("nobody",)}, r"1 blocked, 1 failed; see --status"),
    ],
)
def test_no_row_that_fits_is_refused_and_nothing_is_written(
    selection: dict[str, Any], said: str
) -> None:
    place = _published()
    before = _snapshot(place)

    with pytest.raises(RetryRefused, match=said):
        _retry(place, **selection)

    assert _snapshot(place) == before
    assert place.desk.state.running() == ()


def test_a_second_retry_is_refused_while_the_first_runs_and_is_named() -> None:
    place = _published()
    _mend(place)
    _retry(place)

    with pytest.raises(RetryRefused, match="revision 2 of import monday, asked for by "):
        _retry(place, statuses=("blocked",))

    place.settle_down()
    assert place.manifest("monday").revision == 2
    assert place.line("monday", "knife", "kitchen").status == "blocked"


def test_of_two_retries_at_once_one_is_refused() -> None:
    place = _published()
    _mend(place)
    place.effects.when(f"create {keys.retry('monday', 2)}", lambda: _ignored(_retry(place)))

    with pytest.raises(RetryRefused, match="revision 2"):
        _retry(place, statuses=("blocked",))

    place.settle_down()
    assert place.line("monday", "bad", "kitchen").status == "succeeded"
    assert place.line("monday", "knife", "kitchen").status == "blocked"


def _ignored(_retry: Retry) -> None:
    """What the other one got."""


def test_an_import_that_still_runs_is_not_retried() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])

    with pytest.raises(RetryRefused, match="revision 1 of import monday is running"):
        _retry(place)

    with pytest.raises(UnknownImport, match="tuesday"):
        retrying.retry(_services(place), "tuesday", Selection())


def test_a_damaged_part_or_manifest_is_refused_with_the_way_out() -> None:
    place = _published()
    place.store.damage(keys.results_part("monday", 1, 1), b"damaged")

    with pytest.raises(RetryRefused, match="skuscene verify monday"):
        _retry(place)

    place.store.damage(keys.manifest_revision("monday", 1), b"{}")
    with pytest.raises(RetryRefused, match="skuscene verify monday"):
        _retry(place)


# -- intent ------------------------------------------------------------------------------------


def test_a_cancelled_import_goes_on_where_it_was_left() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")], [wanted("lamp", "kitchen")])
    place.tell("monday", "cancel")
    place.settle_down()
    assert place.statuses("monday") == {"cancelled": 2}
    assert keys.current("autumn") not in place.store.keys

    _retry(place, statuses=("cancelled",))
    assert reporting.import_status(place.store, _state(place), "monday").state == "running"
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 2}
    assert place.manifest("monday").state == "complete"
    assert keys.current("autumn") in place.store.keys


def test_a_cancelled_import_stays_one_while_rows_of_it_are() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen"), wanted("lamp", "kitchen")])
    place.tell("monday", "cancel")
    place.settle_down()

    _retry(place, statuses=("cancelled",), skus=("mug",))
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 1, "cancelled": 1}
    assert place.manifest("monday").state == "cancelled"
    assert keys.current("autumn") not in place.store.keys


def test_the_word_that_cancelled_an_import_does_not_stop_a_retry_whose_command_died() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.tell("monday", "cancel")
    place.settle_down()
    place.effects.when(f"replace {keys.control('monday')}", _die)

    with pytest.raises(Died):
        _retry(place, statuses=("cancelled",))
    _ask_once_more(place)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 1}
    assert place.manifest("monday").state == "complete"


def _die() -> None:
    raise Died


def test_a_retry_can_be_paused_and_cancelled_and_leaves_the_catalog_as_it_was() -> None:
    place = _published()
    _mend(place)
    _retry(place, statuses=("failed", "blocked"))
    services = _services(place)

    control.pause(services, "monday")
    place.run()
    assert reporting.import_status(place.store, _state(place), "monday").state == "paused"
    assert place.sold.total() == 2
    control.cancel(services, "monday")
    with pytest.raises(ControlRefused, match="--status cancelled"):
        control.resume(services, "monday")
    place.settle_down()

    assert place.manifest("monday").revision == 2
    assert place.manifest("monday").state == "cancelled"
    assert place.statuses("monday") == {"succeeded": 2, "cancelled": 2}
    pointer = CatalogPointer.from_json(place.store.content(keys.current("autumn")))
    assert pointer.revision == 1
    with pytest.raises(ControlRefused, match="published"):
        control.pause(services, "monday")


def test_status_shows_an_import_that_is_retried_as_running() -> None:
    place = _published()
    assert reporting.import_status(place.store, _state(place), "monday").state == "complete"
    _mend(place)
    _retry(place)
    place.run(until=lambda: bool(place.memory.open_parts("monday")))

    status = reporting.import_status(place.store, _state(place), "monday")

    assert status.state == "running"
    assert (status.renders.expected, status.renders.open) == (4, 1)
    assert (status.renders.succeeded, status.renders.blocked) == (2, 1)
    assert status.cost_usd.spent == PRICE * 2
    assert (status.shards.total, status.shards.committed) == (2, 1)


def _state(place: Workplace) -> Any:
    return cast("Any", place.memory)


# -- Redis is lost, messages are late ----------------------------------------------------------


def test_the_store_alone_tells_that_a_revision_is_being_made() -> None:
    place = _published()
    assert (open_revision(place.store, "monday"), unpublished(place.store)) == (None, ())

    _retry(place)
    assert (open_revision(place.store, "monday"), unpublished(place.store)) == (2, ("monday",))

    place.settle_down()
    assert (open_revision(place.store, "monday"), unpublished(place.store)) == (None, ())


@pytest.mark.parametrize("after", ["prepare", "generate", "finish", "commit", "publish"])
def test_redis_that_is_lost_during_a_retry_costs_nothing(after: str) -> None:
    place = _published()
    _mend(place)
    _retry(place, statuses=("failed", "blocked"))
    place.run(until=lambda: any(one.task.endswith(after) for one in place.queue.waiting))
    assert place.queue.waiting

    place.memory.clear()
    place.queue.waiting.clear()
    place._reconcile()
    place.clock.sleep(60)
    place.settle_down(rounds=12)

    assert place.statuses("monday") == {"succeeded": 4}
    assert place.manifest("monday").revision == 2
    assert place.sold.total() == 4
    assert place.manifest("monday").cost_usd.spent == PRICE * 4
    place.assert_manifests_hold()


def test_attempts_of_the_first_revision_do_not_count_after_redis_was_lost() -> None:
    place = Workplace(max_attempts=2)
    nothing = NoPicture("model.no_picture", "text only", "STOP", USAGE)
    place.model.script = [nothing, nothing]
    place.order("monday", [wanted("mug", "kitchen")])
    place.settle_down()
    wasted = place.line("monday", "mug", "kitchen").cost_usd.micro // 2
    place.model.script = [nothing]
    _retry(place)
    place.run(until=lambda: len(place.ledger.lines) == 3)

    place.memory.clear()
    place.queue.waiting.clear()
    place._reconcile()
    place.clock.sleep(60)
    place.settle_down(rounds=12)

    line = place.line("monday", "mug", "kitchen")
    assert line.status == "succeeded"
    assert line.cost_usd.micro == 3 * wasted + PRICE.micro
    assert place.manifest("monday").cost_usd.spent == line.cost_usd


def test_a_file_of_the_first_revision_that_redis_reads_again_does_not_hide_the_second() -> None:
    place = _published()
    _mend(place)
    _retry(place)
    place.memory.forget("monday")
    place.memory.register("monday", shards=2, renders=4)  # as the file of an hour ago has it
    place.memory.run += 1
    place.queue.waiting.clear()

    place._reconcile()
    place.clock.sleep(60)
    place.settle_down(rounds=12)

    assert place.manifest("monday").revision == 2
    assert place.line("monday", "bad", "kitchen").status == "succeeded"
    assert place.sold.total() == 3


def test_a_committer_and_a_publisher_of_the_first_revision_that_are_late_change_nothing() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [AWAY]
    place.order("monday", [wanted("mug", "kitchen")])
    place.run(until=lambda: bool(place.queue.of(claims.COMMIT)))
    shard = ShardClaim(store=STORE_ID, import_id="monday", part=0)
    retried: list[Retry] = []

    def overtake() -> None:
        place.settle_down()
        retried.append(_retry(place))
        place.run(until=lambda: bool(place.memory.open_parts("monday")))

    place.effects.when("state.commit", overtake)
    commit(place.desk, shard)

    assert retried
    assert place.memory.open_slots("monday", 0) == (0,)
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 1}


def test_a_publisher_that_is_late_does_not_take_manifest_json_back() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [AWAY]
    place.order("monday", [wanted("mug", "kitchen")])
    place.run(until=lambda: bool(place.queue.of(claims.PUBLISH)))

    def overtake() -> None:
        place.settle_down()
        _retry(place)
        place.settle_down()
        assert place.manifest("monday").revision == 2

    place.effects.when(f"replace {keys.manifest('monday')}", overtake)
    publish(place.desk, ImportClaim(store=STORE_ID, import_id="monday"))

    assert place.manifest("monday").revision == 2
    stands = place.store.content(keys.manifest_revision("monday", 2))
    pointer = CatalogPointer.from_json(place.store.content(keys.current("autumn")))
    assert (pointer.revision, pointer.sha256) == (2, sha256_hex(stands))


def test_a_publisher_that_is_late_does_not_forget_the_revision_that_runs() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [AWAY]
    place.order("monday", [wanted("mug", "kitchen")])
    place.run(until=lambda: bool(place.queue.of(claims.PUBLISH)))

    def overtake() -> None:
        place.settle_down()
        _retry(place)

    place.effects.when("state.forget", overtake)
    publish(place.desk, ImportClaim(store=STORE_ID, import_id="monday"))

    assert place.desk.state.running() == ("monday",)
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 1}


def test_a_retry_that_comes_before_the_publisher_has_forgotten_is_not_forgotten_with_it() -> None:
    place = Workplace(max_attempts=1)
    place.model.script = [AWAY]
    place.order("monday", [wanted("mug", "kitchen")])
    place.run(until=lambda: bool(place.queue.of(claims.PUBLISH)))
    place.effects.when("state.forget", lambda: _ignored(_retry(place)))

    publish(place.desk, ImportClaim(store=STORE_ID, import_id="monday"))

    assert place.desk.state.revision("monday") == 2
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 1}


def test_a_retry_holds_on_a_real_redis(redis_url: str) -> None:
    place = Workplace(client=open_redis(redis_url), max_attempts=1)
    recover(place.desk)  # while there is no import nothing has to be waited for
    place.shop.photos[address("bad")] = b"no picture"
    place.order("monday", [wanted("mug", "kitchen"), wanted("bad", "kitchen")])
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 1, "failed": 1}
    _mend(place)

    _retry(place)
    assert place.desk.state.revision("monday") == 2
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 2}
    assert place.manifest("monday").cost_usd.spent == PRICE * 2
    assert place.sold.total() == 2
    assert place.desk.state.running() == ()
    place.assert_manifests_hold()


# -- a death before any effect -----------------------------------------------------------------


def _ready() -> Workplace:
    place = _published()
    _mend(place)
    place.effects.seen.clear()
    return place


def _dry_run() -> list[str]:
    place = _ready()
    _retry(place, statuses=("failed", "blocked"))
    place.settle_down()
    return place.effects.seen


EFFECTS = _dry_run()


@pytest.mark.parametrize(
    "number", range(len(EFFECTS)), ids=[f"{at}-{name[:40]}" for at, name in enumerate(EFFECTS)]
)
def test_a_death_before_any_effect_of_a_retry_loses_nothing(number: int) -> None:
    place = _ready()
    r1 = {key: content for key, content in _snapshot(place).items() if ".r1." in key}
    place.effects.die_before = number

    try:
        _retry(place, statuses=("failed", "blocked"))
    except Died:
        place.deaths += 1
        place.clock.sleep(60)
    place.run(until=lambda: place.deaths > 0)
    place.assert_manifests_hold()
    if keys.retry("monday", 2) not in place.store.keys:
        _retry(place, statuses=("failed", "blocked"))  # nobody knows of it: asked for again
    elif not place.desk.state.is_registered("monday") and not place.queue.waiting:
        _ask_once_more(place)
    place.settle_down()

    assert place.deaths == 1
    assert place.manifest("monday").revision == 2
    assert place.statuses("monday") == {"succeeded": 4}
    place.assert_manifests_hold()
    at_sale = EFFECTS[number].startswith("create renders/") and "/take-" in EFFECTS[number]
    assert place.sold.total() == 4 + at_sale
    assert place.manifest("monday").cost_usd.spent == PRICE * 4
    assert {key: place.store.content(key) for key in r1} == r1
    assert place.desk.state.running() == ()
    assert open_revision(place.store, "monday") is None


def _ask_once_more(place: Workplace) -> None:
    """The person whose command died calls it again: it goes on with what was asked for."""
    if open_revision(place.store, "monday") is not None:
        with pytest.raises(RetryRefused, match="revision 2"):
            _retry(place)


def test_the_table_of_a_retry_has_every_kind_of_effect() -> None:
    kinds = {name.split()[0] for name in EFFECTS}

    assert kinds >= {"create", "replace", "ask", "enqueue", "state.register", "state.commit"}
    assert f"create {keys.retry('monday', 2)}" in EFFECTS
