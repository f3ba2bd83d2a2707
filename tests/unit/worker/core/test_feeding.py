"""Are shards opened as the window allows, and does nothing stay lying when messages are lost?"""

from __future__ import annotations

from collections import Counter

import pytest

from catalog import claims, keys
from catalog.claims import ImportClaim
from catalog.connection import StateUnavailable, open_redis
from catalog.epoch import ensure_epoch
from catalog.imports import Control
from catalog.money import Usd
from tests.support.desk import ESTIMATE, PRICE, STORE_ID, Wanted, Workplace, address, wanted
from worker import plans
from worker.feeder import feed
from worker.reconciler import reconcile, recover, recover_all


def _shard(number: int, *, products: int = 2) -> list[Wanted]:
    return [wanted(f"sku-{number}-{at}", "kitchen", "beach") for at in range(products)]


def _feed(place: Workplace, import_id: str = "monday", *, refeed: bool = False) -> None:
    feed(place.desk, ImportClaim(store=STORE_ID, import_id=import_id, refeed=refeed))


# -- the window --------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "opened"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (100, 3)])
def test_whole_shards_are_opened_while_fewer_than_window_renders_are_open(
    window: int, opened: int
) -> None:
    place = Workplace(window=window)
    place.order("monday", _shard(0), _shard(1), _shard(2), send=False)

    _feed(place)

    assert place.memory.open_parts("monday") == tuple(range(opened))
    assert len(place.queue.of(claims.PREPARE)) == 2 * opened


def test_the_window_is_never_passed_by_more_than_a_shard_and_the_import_still_ends() -> None:
    place = Workplace(window=5)
    place.order("monday", *[_shard(number) for number in range(5)])
    most = 0

    def look() -> bool:
        nonlocal most
        parts = place.memory.open_parts("monday")
        most = max(most, sum(len(place.memory.open_slots("monday", part)) for part in parts))
        return False

    place.run(until=look)

    assert 5 <= most <= 5 + 4 - 1
    assert place.statuses("monday") == {"succeeded": 20}
    place.assert_manifests_hold()
    assert place.sold.total() == 20


def test_feeding_twice_opens_nothing_twice() -> None:
    place = Workplace()
    place.order("monday", _shard(0), send=False)

    _feed(place)
    _feed(place)

    assert len(place.queue.of(claims.PREPARE)) == 2


def test_only_one_feeder_works_at_a_time() -> None:
    place = Workplace()
    place.order("monday", _shard(0), send=False)
    place.effects.when("state.open_shard", lambda: _feed(place))

    _feed(place)

    assert len(place.queue.of(claims.PREPARE)) == 2


def test_a_second_feeder_sends_nothing_again_while_the_first_works() -> None:
    place = Workplace()
    place.order("monday", _shard(0), _shard(1), send=False)
    place.effects.when("state.open_shard", lambda: None)
    place.effects.when("state.open_shard", lambda: _feed(place, refeed=True))

    _feed(place)

    assert len(place.queue.of(claims.PREPARE)) == 4


def test_a_feeder_whose_token_has_gone_opens_nothing() -> None:
    place = Workplace()
    place.order("monday", _shard(0), _shard(1), send=False)

    def lose_the_token() -> None:
        place.clock.sleep(61)
        with place.memory.feeder("monday", "another", ttl_s=60):
            pass

    place.effects.when("state.open_shard", lose_the_token)
    _feed(place)

    assert place.memory.open_parts("monday") == ()
    assert place.queue.of(claims.PREPARE) == ()


# -- lost messages -----------------------------------------------------------------------------


@pytest.mark.parametrize("task", sorted(set(claims.QUEUE_OF) - {claims.REPAIR}))
def test_a_message_that_the_broker_loses_is_made_up_for(task: str) -> None:
    place = Workplace()
    place.order("monday", _shard(0), _shard(1))
    place.run(until=lambda: any(one.task == task for one in place.queue.waiting))
    lost = place.queue.take(task)
    assert lost is not None

    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 8}
    place.assert_manifests_hold()
    assert place.sold.total() == 8


def test_feeding_again_sends_only_products_with_open_slots() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.run(until=lambda: 0 < len(place.memory.open_slots("monday", 0)) < 3)
    sent = len(place.queue.of(claims.PREPARE))
    still = place.memory.open_slots("monday", 0)
    place.queue.waiting.clear()

    _feed(place, refeed=True)

    products = {claim.product for claim in place.queue.of(claims.PREPARE)[sent:]}
    assert products == {slot // 2 for slot in still}
    place.settle_down()
    assert place.sold.total() == 4


def test_reconciling_a_busy_import_sends_nothing_again() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.run(until=lambda: bool(place.queue.of(claims.GENERATE)))
    sent = len(place.queue.sent)

    reconcile(place.desk)

    assert len(place.queue.sent) == sent


def test_what_a_dead_worker_held_goes_before_what_waits_and_a_lost_message_does_not() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.run(until=lambda: len(place.queue.of(claims.GENERATE)) == 4)
    place.memory.begin_work("monday", 0, (1,), "gone", stage="generate", within_s=0.0)
    place.memory.expect("monday", 0, {2}, within_s=0.0)
    place.queue.waiting.clear()
    sent = len(place.queue.of(claims.PREPARE))

    reconcile(place.desk)

    again = place.queue.of(claims.PREPARE)[sent:]
    assert [(claim.product, claim.urgent) for claim in again] == [(0, True), (1, False)]
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 4}
    assert place.sold.total() == 4


def test_commits_do_not_multiply_while_many_shards_wait_for_one() -> None:
    """Each commit asks for a feed; if each feed asked for all waiting commits, they would grow."""
    place = Workplace()
    shards = 24
    place.order("monday", *[[wanted(f"sku-{at}", "kitchen")] for at in range(shards)])
    place.run(until=lambda: len(place.queue.of(claims.FINISH)) == shards)
    # Finish and control are two queues: while one shard is committed, two more are finished.
    for _ in range(3_000):
        finishing = [one for one in place.queue.waiting if one.task == claims.FINISH][:2]
        control = [one for one in place.queue.waiting if one.task != claims.FINISH][:1]
        if not finishing and not control:
            break
        for message in (*finishing, *control):
            place.queue.waiting.remove(message)
            place.work(message)

    sent = Counter(message.task for message in place.queue.sent)
    assert place.statuses("monday") == {"succeeded": shards}
    assert sent[claims.COMMIT] == shards
    assert sent[claims.FEED] <= shards + 1
    assert place.sold.total() == shards


def test_an_import_that_cannot_be_read_does_not_keep_the_others_waiting() -> None:
    place = Workplace()
    place.order("a-broken", _shard(0), send=False)
    place.order("monday", _shard(1), send=False)
    place.store.damage(keys.import_("a-broken"), b"{}")

    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 4}
    assert place.sold.total() == 4


def test_a_broken_import_does_not_keep_the_others_from_being_recovered() -> None:
    place = Workplace()
    place.order("a-broken", _shard(0), send=False)
    place.order("monday", _shard(1), send=False)
    place.store.damage(keys.import_("a-broken"), b"{}")
    place.memory.clear()

    assert recover_all(place.desk) == 1
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 4}
    assert place.sold.total() == 4


def test_an_outage_ends_the_round_so_that_it_is_taken_up_again() -> None:
    place = Workplace()
    place.order("monday", _shard(0), send=False)
    place.store.fail(1)

    with pytest.raises(Exception, match="told to fail"):
        reconcile(place.desk)
    place.memory.away = True
    with pytest.raises(StateUnavailable):
        reconcile(place.desk)
    place.memory.away = False

    place.settle_down()
    assert place.sold.total() == 4


# -- cancelling --------------------------------------------------------------------------------


def test_cancelling_settles_all_that_is_unsent_and_publishes() -> None:
    place = Workplace(window=4)
    place.order("monday", _shard(0), _shard(1), _shard(2))
    place.run(until=lambda: place.sold.total() == 1)
    place.tell("monday", "cancel")

    _feed(place)
    place.settle_down()

    statuses = place.statuses("monday")
    assert sum(statuses.values()) == 12
    assert statuses["cancelled"] >= 8
    assert place.manifest("monday").state == "cancelled"
    assert keys.current("autumn") not in place.store.keys
    place.assert_manifests_hold()
    assert place.sold.total() == 1


def test_what_a_cancelled_import_bought_is_reused_by_the_next() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.run(until=lambda: place.sold.total() == 2)
    place.tell("monday", "cancel")
    _feed(place)
    place.settle_down()
    place.order("tuesday", _shard(0))
    place.settle_down()

    assert place.statuses("tuesday") == {"reused": 2, "succeeded": 2}
    assert place.sold.total() == 4


def test_a_word_that_a_slow_worker_cached_over_is_heard_again() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    # Between its look at the store and its note in Redis, somebody cancels.
    place.effects.when("state.cache_intent", lambda: place.tell("monday", "cancel"))

    assert plans.intent(place.desk, "monday") == "run"
    assert place.memory.intent("monday") == "run"  # the stale word stands in Redis
    place.settle_down()

    assert place.manifest("monday").state == "cancelled"
    assert place.sold.total() == 0


def test_a_pause_survives_an_emptied_redis() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.tell("monday", "pause")
    place.memory.clear()

    recover_all(place.desk)
    place.run()

    assert place.memory.intent("monday") == "pause"
    assert place.sold.total() == 0


def test_pausing_for_a_reason_does_not_overrule_a_cancel() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.tell("monday", "cancel")

    plans.pause(place.desk, "monday", reason="budget", message="spent")

    control = Control.from_json(place.store.content(keys.control("monday")))
    assert control.intent == "cancel"


def test_pausing_repeats_when_somebody_else_changed_the_word() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.effects.when("replace imports/monday/control.json", lambda: _raise_budget(place))

    plans.pause(place.desk, "monday", reason="budget", message="spent")

    control = Control.from_json(place.store.content(keys.control("monday")))
    assert (control.intent, control.reason, control.budget_usd) == ("pause", "budget", Usd(9))


def _raise_budget(place: Workplace) -> None:
    key = keys.control("monday")
    found = place.store.read(key)
    assert found is not None
    told = Control.from_json(found.content).changed(budget_usd=Usd(9))
    place.store.replace(key, told.to_json(), media_type="application/json", etag=found.etag)


# -- Redis is lost -----------------------------------------------------------------------------


def _emptied(place: Workplace) -> None:
    place.memory.clear()
    place.queue.waiting.clear()


@pytest.mark.parametrize("steps", range(0, 40, 3))
def test_an_emptied_redis_is_rebuilt_from_the_store_at_any_step(steps: int) -> None:
    place = Workplace()
    place.order("monday", _shard(0, products=1), _shard(1, products=1))
    for _ in range(steps):
        if not place.queue.waiting:
            break
        place.work(place.queue.waiting.pop(0))
    sold = place.sold.total()
    published = place.is_published("monday")
    _emptied(place)

    assert recover_all(place.desk) == (not published)
    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 4}
    assert place.manifest("monday").cost_usd.spent == PRICE * 4
    place.assert_manifests_hold()
    assert sold <= place.sold.total() == 4


def test_what_was_bought_stays_succeeded_with_its_cost_after_redis_is_lost() -> None:
    place = Workplace()
    shared = {"kitchen": "the same words"}
    photos = [address("mug")]
    place.order("monday", [wanted(sku, prompts=shared, photos=photos) for sku in ("mug", "twin")])
    place.run(until=lambda: place.memory.left("monday", 0) == 0)
    before = place.memory.outcomes("monday", 0)
    _emptied(place)

    recover_all(place.desk)
    place.settle_down()

    after = dict(enumerate(place.lines("monday")))
    assert {at: (line.status, line.cost_usd) for at, line in after.items()} == {
        at: (line.status, line.cost_usd) for at, line in before.items()
    }
    assert place.sold.total() == 1


def test_committed_parts_are_read_back_and_not_fed_again() -> None:
    place = Workplace(window=4)
    place.order("monday", _shard(0), _shard(1))
    place.run(until=lambda: len(place.memory.committed("monday")) == 1)
    committed = place.memory.committed("monday")[0]
    _emptied(place)
    prepared = len(place.queue.of(claims.PREPARE))

    recover_all(place.desk)

    assert place.memory.committed("monday") == {0: committed}
    assert {claim.part for claim in place.queue.of(claims.PREPARE)[prepared:]} == {1}
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 8}
    assert place.sold.total() == 8


def test_the_budget_remembers_what_committed_parts_cost_after_redis_is_lost() -> None:
    place = Workplace(window=2)
    place.order(
        "monday",
        _shard(0, products=1),
        _shard(1, products=1),
        budget_usd=PRICE + ESTIMATE,  # two pictures, not three
    )
    place.run(until=lambda: len(place.memory.committed("monday")) == 1)
    _emptied(place)

    recover_all(place.desk)
    place.run()

    assert place.memory.intent("monday") == "pause"
    assert place.sold.total() == 2


def test_recovering_knows_only_what_is_planned_and_unpublished() -> None:
    place = Workplace()
    place.order("monday", _shard(0))
    place.run()
    place.order("tuesday", _shard(1), send=False)
    place.store.damage(keys.import_("tuesday"), None)  # its planning never ended
    _emptied(place)

    assert recover_all(place.desk) == 0
    assert place.memory.running() == ()


def test_a_lease_of_a_picture_that_was_put_long_ago_is_taken_back() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.settle_down()
    (bought,) = [line.render_id for line in place.lines("monday") if line.render_id]
    waits = "ab" * 16
    place.memory.clear()
    for render_id in (bought, waits):  # an older file knows both
        place.memory.mark_spooled(render_id, "host-1", ttl_s=3_600)

    assert recover(place.desk) == 0

    assert place.memory.spooled_renders() == (waits,)


def test_a_new_epoch_waits_for_open_calls_only_if_an_import_is_unpublished() -> None:
    place = Workplace()
    ensure_epoch(place.memory, place.store, model_deadline_s=300, lease_s=30)
    assert place.memory.buy_not_before() == 0
    place.order("monday", _shard(0))
    place.memory.clear()

    ensure_epoch(place.memory, place.store, model_deadline_s=300, lease_s=30)

    assert place.memory.buy_not_before() == pytest.approx(300)


def test_a_late_message_of_a_published_import_leaves_nothing_in_redis(redis_url: str) -> None:
    client = open_redis(redis_url)
    place = Workplace(client=client)
    place.order("monday", _shard(0))
    place.tell("monday", "cancel")
    place.run()
    assert place.manifest("monday").state == "cancelled"
    left = set(client.keys())

    _feed(place)
    place.run()

    assert set(client.keys()) == left
    assert not [key for key in left if "monday" in str(key)]


def test_the_whole_road_holds_on_a_real_redis(redis_url: str) -> None:
    place = Workplace(client=open_redis(redis_url), window=4)
    place.order("monday", _shard(0), _shard(1), _shard(2))

    place.settle_down()

    assert place.statuses("monday") == {"succeeded": 12}
    place.assert_manifests_hold()
    assert place.sold.total() == 12
