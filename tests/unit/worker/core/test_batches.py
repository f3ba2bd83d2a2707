"""Is every render of a batch bought once, whatever the platform does and whoever dies?"""

from __future__ import annotations

from collections import Counter

import pytest

from catalog.epoch import Recovery
from catalog.leases import ORDERED
from catalog.orders import Step, orders_of
from tests.support.desk import Died, Wanted, Workplace, wanted
from worker.batch_model import BatchResult, BatchState
from worker.batches import look_after_batches
from worker.errors import PromptBlocked, TryLater
from worker.reconciler import recover


def _shard(*names: str) -> list[Wanted]:
    return [wanted(name, "kitchen") for name in names]


def _look(place: Workplace, times: int = 3) -> None:
    for _ in range(times):
        place.clock.sleep(16.0)
        place.desk.calls.beat()  # as every process does all the time
        try:
            look_after_batches(place.desk)
        except Died:
            place.deaths += 1
            place.clock.sleep(place.desk.limits.lease_s + 1.0)


def _ordered(place: Workplace, *names: str) -> Workplace:
    place.order("monday", _shard(*(names or ("mug", "bowl", "cup"))), lane="batch")
    place.run()
    _look(place)
    return place


def _ended(place: Workplace, state: BatchState = BatchState.SUCCEEDED, *, share: float = 1) -> None:
    place.batches.end_all(state, share=share)
    _look(place)
    place.run()


def _recovered(place: Workplace) -> None:
    while place.desk.state.recovery() is not Recovery.DONE:
        place.clock.sleep(recover(place.desk) or 1.0)


def _steps(place: Workplace) -> list[str]:
    return [order.step.value for order in orders_of(place.store, "monday")]


def test_a_shards_renders_are_one_batch_and_end_as_pictures_at_half_price() -> None:
    place = _ordered(Workplace())
    assert _steps(place) == ["placed"]
    assert place.sold.total() == 0

    _ended(place)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 3}
    assert place.sold.total() == 3
    assert _steps(place) == ["done"]
    lines = [line for line in place.ledger.lines if line.outcome == "picture"]
    assert {line.lane for line in lines} == {"batch"}
    place.assert_manifests_hold()


def test_while_a_batch_is_open_its_renders_are_held_by_its_order() -> None:
    place = _ordered(Workplace())

    (order,) = orders_of(place.store, "monday")
    holders = {place.memory.lease_holder(render.render_id) for render in order.renders}

    assert holders == {f"{ORDERED}{order.order_id}"}
    assert len(place.memory.open_calls()) == 3


def test_a_batch_that_gives_some_answers_is_ordered_again_for_the_rest() -> None:
    place = _ordered(Workplace(), "mug", "bowl", "cup", "jug")

    _ended(place, BatchState.PARTIAL, share=0.5)
    _look(place)
    assert sorted(_steps(place)) == ["done", "placed"]
    _ended(place)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 4}
    assert place.sold.total() == 4


def test_an_expired_batch_costs_no_attempt() -> None:
    place = _ordered(Workplace())

    for _ in range(place.desk.limits.max_attempts + 1):
        _ended(place, BatchState.EXPIRED, share=0)
        _look(place)
    _ended(place)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 3}
    assert place.sold.total() == 3


def test_a_create_whose_reply_is_lost_is_found_and_not_asked_for_again() -> None:
    place = Workplace()
    place.batches.loses_reply = 1
    _ordered(place)

    assert len(place.batches.running) == 1
    assert _steps(place) == ["placed"]


def test_a_refusal_in_a_batch_ends_its_render_alone() -> None:
    place = Workplace()
    place.model.script = [PromptBlocked("prompt.blocked", "no", "PROHIBITED_CONTENT")]
    _ordered(place)

    _ended(place)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 2, "blocked": 1}


def test_a_fault_in_a_batch_is_an_attempt() -> None:
    place = Workplace()
    place.model.script = [TryLater("model.unavailable", "500")]
    _ordered(place)

    _ended(place)
    _look(place)
    _ended(place)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 3}
    assert place.sold.total() == 3


@pytest.mark.parametrize("effect", range(40))
def test_a_death_before_any_effect_of_an_order_buys_nothing_twice(effect: int) -> None:
    place = Workplace()
    place.order("monday", _shard("mug", "bowl"), lane="batch")
    place.run()
    place.effects.die_before = len(place.effects.seen) + effect
    for _ in range(6):
        _look(place, times=15)  # in all longer than a create may stay unseen
        place.batches.end_all()
        place.run()
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 2}
    assert place.sold == Counter(dict.fromkeys(place.sold, 1))
    assert place.sold.total() == 2
    place.assert_manifests_hold()
    assert set(_steps(place)) == {Step.DONE.value}


def test_a_cancelled_import_drops_what_was_not_asked_for_and_pays_what_was_bought() -> None:
    place = Workplace()
    place.order("monday", _shard("mug", "bowl"), lane="batch")
    place.run()
    place.effects.when("batch upload", lambda: place.tell("monday", "cancel"))
    _look(place)
    _ended(place)
    place.settle_down()

    assert place.statuses("monday").keys() <= {"succeeded", "cancelled"}
    assert place.memory.open_calls() == ()
    assert set(_steps(place)) == {"done"}
    assert place.manifest("monday").state == "cancelled"


def test_a_cancelled_imports_batch_is_cancelled_and_what_it_made_is_kept() -> None:
    place = _ordered(Workplace())
    place.tell("monday", "cancel")

    _look(place)
    place.settle_down()

    assert place.statuses("monday") == {"cancelled": 3}
    assert set(_steps(place)) == {"done"}
    assert place.memory.open_calls() == ()


def test_a_batch_that_is_stuck_is_cancelled_and_ordered_again() -> None:
    place = _ordered(Workplace(batch_pending_s=3_600.0))
    place.clock.sleep(3_700.0)

    _look(place, times=6)
    place.run()
    _look(place)
    _ended(place)
    place.settle_down()

    (first, _) = orders_of(place.store, "monday")
    assert "pending" in first.cancelled_because
    assert place.statuses("monday") == {"succeeded": 3}
    assert place.sold.total() == 3


def test_what_was_not_asked_for_is_reported_and_changes_nothing() -> None:
    place = _ordered(Workplace())
    (name,) = place.batches.running
    place.batches.end(name)
    results = place.batches.running[name].results
    results += [results[0], BatchResult(key="tuesday/0/1"), BatchResult(key="")]

    _look(place)
    place.settle_down()

    (order,) = orders_of(place.store, "monday")
    assert len(order.reports) == 3
    assert place.statuses("monday") == {"succeeded": 3}
    assert place.sold.total() == 3


@pytest.mark.parametrize("moment", ["gathered", "placed", "over"])
def test_an_emptied_redis_learns_of_open_batches_from_the_store(moment: str) -> None:
    place = Workplace()
    place.order("monday", _shard("mug", "bowl", "cup"), lane="batch")
    place.run()
    if moment != "gathered":
        _look(place)
    if moment == "over":
        place.batches.end_all()
    place.memory.clear()
    place.gathering.clear()
    place.queue.waiting.clear()

    _recovered(place)
    for _ in range(4):
        place.settle_down(rounds=2)
        _look(place)
        place.batches.end_all()
        _look(place)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 3}
    assert place.sold.total() == 3
    assert len(place.batches.running) == 1
    assert place.memory.open_calls() == ()


def test_while_redis_is_new_an_open_batchs_money_is_set_aside_again() -> None:
    place = _ordered(Workplace())
    (order,) = orders_of(place.store, "monday")
    before = place.memory.reserved("monday")
    place.memory.clear()
    place.gathering.clear()

    _recovered(place)

    assert place.memory.reserved("monday") == before > 0
    holders = {place.memory.lease_holder(render.render_id) for render in order.renders}
    assert holders == {f"{ORDERED}{order.order_id}"}


def test_what_is_part_of_an_open_batch_is_bought_by_no_other_import() -> None:
    place = _ordered(Workplace())
    place.order("tuesday", _shard("mug", "bowl", "cup"))
    place.run()
    assert place.sold.total() == 0

    _ended(place)
    place.clock.sleep(1_000.0)
    place.settle_down()

    assert place.statuses("tuesday") == {"reused": 3}
    assert place.sold.total() == 3
