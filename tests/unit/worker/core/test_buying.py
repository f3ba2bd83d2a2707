"""Is each picture bought once, and is nothing lost that was paid for?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from catalog import claims, keys
from catalog.claims import RenderClaim
from catalog.money import Usd
from catalog.renders import Refusal
from catalog.store.port import StoreRefuses, StoreUnavailable
from tests.support.desk import ESTIMATE, MODEL, PRICE, USAGE, Workplace, address, wanted
from worker import jobs
from worker.errors import (
    LaneStopped,
    NoPicture,
    OutcomeUnknown,
    PromptBlocked,
    RenderError,
    Snooze,
    TryLater,
)
from worker.generate import generate
from worker.model import Answer, TakeRequest, Usage

TEXT_ONLY = Usage(input_tokens=2_000, output_text_tokens=100)
UNKNOWN = OutcomeUnknown("outcome_unknown", "no answer came")


def _blocked() -> PromptBlocked:
    return PromptBlocked("prompt.blocked", "the model says no", "SAFETY", TEXT_ONLY)


def _no_picture() -> NoPicture:
    return NoPicture("model.no_picture", "words, no picture", "STOP", TEXT_ONLY)


def _one(**limits: Any) -> Workplace:
    """An import of one slot, fed and prepared: its generate message waits."""
    place = Workplace(**limits)
    place.order("monday", [wanted("mug", "kitchen")])
    place.run(until=lambda: any(one.task == claims.GENERATE for one in place.queue.waiting))
    return place


def _claim(place: Workplace) -> RenderClaim:
    waiting = (one.claim for one in place.queue.waiting if one.task == claims.GENERATE)
    claim = next(waiting)
    assert isinstance(claim, RenderClaim)
    return claim


# -- one purchase ----------------------------------------------------------------------------


def test_slots_that_share_a_render_pay_once_and_reuse_for_nothing() -> None:
    place = Workplace()
    shared = {"kitchen": "the same words"}
    place.order(
        "monday",
        [wanted(sku, prompts=shared, photos=[address("mug")]) for sku in ("mug", "twin", "third")],
    )

    place.run()

    assert place.statuses("monday") == {"succeeded": 1, "reused": 2}
    costs = sorted(line.cost_usd.micro for line in place.lines("monday"))
    assert costs == [0, 0, PRICE.micro]
    assert place.manifest("monday").cost_usd.spent == PRICE
    place.assert_manifests_hold()
    assert place.sold == {"the same words": 1}


@pytest.mark.parametrize("task", [claims.PREPARE, claims.GENERATE, claims.FINISH, claims.COMMIT])
def test_a_doubled_message_changes_nothing(task: str) -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen", "beach")])
    for _ in range(100):
        if not place.queue.waiting:
            break
        message = place.queue.waiting.pop(0)
        place.work(message)
        if message.task == task:
            place.work(message)

    assert place.statuses("monday") == {"succeeded": 2}
    assert place.manifest("monday").cost_usd.spent == PRICE * 2
    place.assert_manifests_hold()
    assert place.sold == {"mug in the kitchen": 1, "mug in the beach": 1}


def test_a_second_import_reuses_and_buys_nothing() -> None:
    place = Workplace()
    for name in ("monday", "tuesday"):
        place.order(name, [wanted("mug", "kitchen", "beach")])
        place.run()

    assert place.statuses("tuesday") == {"reused": 2}
    assert place.manifest("tuesday").cost_usd.spent == Usd(0)
    assert place.sold.total() == 2


def test_two_imports_at_once_buy_a_shared_render_once() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.order("tuesday", [wanted("mug", "kitchen")])

    place.run()

    ended = [place.statuses(name) for name in ("monday", "tuesday")]
    assert sorted(ended, key=str) == [{"reused": 1}, {"succeeded": 1}]
    assert place.sold.total() == 1


def test_while_somebody_else_buys_the_message_waits_and_costs_no_attempt() -> None:
    place = _one()
    claim = _claim(place)
    place.memory.acquire_lease(claim.render_id, "another worker", ttl_s=20)

    with pytest.raises(Snooze, match="another worker"):
        generate(place.desk, claim)
    place.run()

    assert place.statuses("monday") == {"succeeded": 1}
    assert place.lines("monday")[0].attempts == 1
    assert place.sold.total() == 1


def test_what_the_last_holder_bought_between_look_and_lease_is_not_bought_again() -> None:
    place = _one()
    claim = _claim(place)
    place.effects.when("lease", lambda: generate(place.desk, claim))

    place.run()

    assert place.statuses("monday") == {"succeeded": 1}
    assert place.sold.total() == 1


def test_nothing_is_bought_while_calls_of_a_lost_redis_may_still_be_open() -> None:
    place = _one()
    place.memory.run += 1
    place.memory.begin_epoch("new", buy_not_before=place.clock.seconds() + 300)

    with pytest.raises(Snooze) as snoozed:
        generate(place.desk, _claim(place))

    assert snoozed.value.retry_after_s <= place.desk.limits.lease_s  # long naps die with workers
    assert place.sold.total() == 0
    place.run()
    assert place.sold.total() == 1


def test_a_late_second_answer_becomes_take_2_and_is_paid_for() -> None:
    place = _one()
    claim = _claim(place)
    late = place.desk.ask

    def lose_the_lease(request: TakeRequest) -> Answer:
        answer = late(request)
        place.memory._leases.clear()  # we stalled, and the lease ended
        generate(place.desk, claim)
        return answer

    generate(replace(place.desk, ask=lose_the_lease), claim)
    place.run()

    line = place.lines("monday")[0]
    record = place.record(line.render_id)
    assert [key.rsplit("/", 1)[1] for key in place.takes()] == ["take-1.jpg", "take-2.jpg"]
    assert [take.purchase.take for take in record.takes] == [1, 2]
    assert (line.status, line.cost_usd) == ("succeeded", PRICE * 2)
    # Whoever took us for dead has booked our call as one that nobody answered.
    assert place.ledger.outcomes == ["doubtful", "picture", "picture"]
    place.assert_manifests_hold()
    assert place.sold.total() == 2


# -- paid bytes and a store that is away -------------------------------------------------------


def test_a_put_is_tried_again_until_the_store_takes_the_paid_bytes() -> None:
    place = _one(put_deadline_s=60.0)
    place.effects.when("create renders/", lambda: place.store.fail(5))
    before = place.clock()

    generate(place.desk, _claim(place))

    assert (place.clock() - before).total_seconds() == pytest.approx(0.2 + 0.4 + 0.8 + 1.6 + 3.2)
    place.run()
    assert place.statuses("monday") == {"succeeded": 1}
    assert place.ledger.outcomes == ["picture"]
    assert place.sold.total() == 1


def test_a_put_whose_reply_is_lost_is_no_second_take() -> None:
    place = _one(put_deadline_s=60.0)
    place.effects.when("create renders/", place.store.lose_reply)

    place.run()

    assert len(place.takes()) == 1
    assert place.lines("monday")[0].cost_usd == PRICE
    assert place.sold.total() == 1


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), StoreRefuses("read-only")])
def test_a_paid_picture_that_the_store_does_not_take_is_spooled_and_put_later(
    fault: Exception,
) -> None:
    place = _one(put_deadline_s=0.05)
    place.store.before = _refusing(place, fault)
    claim = _claim(place)

    with pytest.raises(Snooze) as spooled:
        generate(place.desk, claim)
    with pytest.raises(Snooze) as blocked:
        generate(place.desk, claim)
    lease, _ = place.memory._leases[claim.render_id]
    place.store.before = place._before_store
    drained = place.spool.drain_once()
    place.run()

    assert (spooled.value.reason, blocked.value.reason) == ("spooled", "spool.blocked")
    assert lease == "spooled on host-1"
    assert drained == 1
    assert not place.spool.blocked()
    assert place.statuses("monday") == {"succeeded": 1}
    assert place.manifest("monday").cost_usd.spent == PRICE
    assert place.ledger.outcomes == ["picture"]
    assert place.sold.total() == 1


def test_a_picture_that_waited_too_long_is_bought_again_and_booked_doubtful() -> None:
    place = _one(put_deadline_s=0.05)
    place.store.before = _refusing(place, StoreUnavailable("away"))
    with pytest.raises(Snooze):
        generate(place.desk, _claim(place))

    place.clock.sleep(86_400)
    place.spool.drain_once()
    place.store.before = place._before_store
    place.run()
    place.spool.drain_once()

    assert place.statuses("monday") == {"succeeded": 1}
    assert place.sold.total() == 2
    assert [key.rsplit("/", 1)[1] for key in place.takes()] == ["take-1.jpg", "take-2.jpg"]
    assert place.ledger.outcomes == ["doubtful", "picture"]
    assert place.manifest("monday").cost_usd.doubtful == PRICE


def _refusing(place: Workplace, fault: Exception) -> Callable[[str, str], None]:
    def refuse(method: str, key: str) -> None:
        place.effects.look(f"{method} {key}")
        if method == "create" and "/take-" in key:
            raise fault

    return refuse


def test_a_fault_of_ours_after_the_sale_is_booked_as_doubtful() -> None:
    place = _one()
    ask = place.desk.ask

    def break_after_the_sale(request: TakeRequest) -> Answer:
        ask(request)
        raise KeyError("candidates")

    message = place.queue.take(claims.GENERATE)
    assert message is not None
    desk = replace(place.desk, ask=break_after_the_sale)
    jobs.run(claims.GENERATE, message.claim.model_dump(mode="json"), generate, desk)
    place.run()

    assert place.statuses("monday") == {"failed": 1}
    assert place.lines("monday")[0].reason == "internal"
    assert place.ledger.outcomes == ["doubtful"]
    assert place.manifest("monday").cost_usd.doubtful.micro > 0
    assert place.sold.total() == 1


def test_a_model_without_a_price_is_not_asked() -> None:
    place = _one()
    gone = place.desk.models.model_copy(
        update={"models": tuple(one for one in place.desk.models.models if one.id != MODEL)}
    )
    message = place.queue.take(claims.GENERATE)
    assert message is not None
    desk = replace(place.desk, models=gone)
    jobs.run(claims.GENERATE, message.claim.model_dump(mode="json"), generate, desk)

    assert place.sold.total() == 0
    assert place.memory.outcomes("monday", 0)[0].status == "failed"


def test_a_models_endless_answer_id_does_not_keep_the_picture_from_the_store() -> None:
    place = _one()
    ask = place.desk.ask
    long = replace(place.desk, ask=lambda request: replace(ask(request), response_id="x" * 10_000))

    generate(long, _claim(place))

    taken = place.store.read(place.takes()[0])
    assert taken is not None
    assert sum(len(name) + len(value) for name, value in taken.metadata.items()) < 2_048
    assert place.sold.total() == 1


@pytest.mark.parametrize("error", [_no_picture(), UNKNOWN, _blocked()])
def test_a_ledger_that_cannot_be_written_does_not_make_calls_endless(error: RenderError) -> None:
    place = _one(max_attempts=3, max_doubtful=2)
    place.model.script = [error] * 50

    def refuse_the_ledger(method: str, key: str) -> None:
        if method == "create" and key.startswith("ledger/"):
            raise StoreRefuses("the ledger's folder is read-only")

    watched, place.store.before = place.store.before, refuse_the_ledger
    place.run(until=lambda: place.outages > 50)
    assert len(place.model.asked) == 1  # it is known in Redis; nothing is acknowledged meanwhile

    place.store.before = watched
    place.settle_down()

    assert place.is_published("monday")
    assert len(place.model.asked) <= 3
    assert len(place.ledger.lines) == len(place.model.asked)
    assert place.sold.total() == 0


# -- answers without a picture -----------------------------------------------------------------


def test_a_refusal_is_remembered_and_the_next_import_does_not_ask() -> None:
    place = Workplace()
    place.model.script = [_blocked()]
    for name in ("monday", "tuesday"):
        place.order(name, [wanted("mug", "kitchen")])
        place.run()

    assert [place.statuses(name) for name in ("monday", "tuesday")] == [{"blocked": 1}] * 2
    assert [place.lines(name)[0].reason for name in ("monday", "tuesday")] == ["prompt.blocked"] * 2
    assert len(place.model.asked) == 1
    assert place.ledger.outcomes == ["blocked"]
    assert place.sold.total() == 0


def test_a_refusal_expires_and_is_remembered_anew() -> None:
    place = Workplace(refusal_max_age_s=86_400.0)
    place.model.script = [_blocked(), _blocked()]
    place.order("monday", [wanted("mug", "kitchen")])
    place.run()
    place.clock.sleep(86_401)
    for name in ("tuesday", "wednesday"):
        place.order(name, [wanted("mug", "kitchen")])
        place.run()

    refused = [key for key in place.store.keys if key.endswith("refused.json")]
    assert len(place.model.asked) == 2
    assert Refusal.from_json(place.store.content(refused[0])).import_id == "tuesday"
    assert place.statuses("wednesday") == {"blocked": 1}
    assert place.sold.total() == 0


def test_waiters_of_a_refused_render_end_blocked_without_a_call() -> None:
    place = Workplace()
    place.model.script = [_blocked()]
    shared = {"kitchen": "the same words"}
    place.order(
        "monday", [wanted(sku, prompts=shared, photos=[address("mug")]) for sku in ("mug", "twin")]
    )
    place.run()

    assert place.statuses("monday") == {"blocked": 2}
    assert len(place.model.asked) == 1
    assert place.sold.total() == 0


def test_two_refusals_at_once_leave_both_slots_blocked() -> None:
    place = _one()
    place.model.script = [_blocked()]
    other = Refusal(
        render_id=_claim(place).render_id,
        reason="prompt.blocked",
        message="no",
        finish_reason="SAFETY",
        prompts=("p",),
        cost_usd=Usd(0),
        refused_at=place.clock(),
        import_id="tuesday",
    )
    key = keys.refused(other.render_id)

    def be_faster() -> None:
        place.store.create(key, other.to_json(), media_type="application/json")

    place.effects.when(f"replace {key}", be_faster)

    place.run()

    assert place.statuses("monday") == {"blocked": 1}
    assert place.ledger.outcomes == ["blocked"]
    assert place.sold.total() == 0


def test_no_picture_is_tried_max_attempts_times_and_every_call_is_booked() -> None:
    place = Workplace(max_attempts=3)
    place.model.script = [_no_picture()] * 10

    place.order("monday", [wanted("mug", "kitchen")])
    place.run()

    line = place.lines("monday")[0]
    assert (line.status, line.reason, line.attempts) == ("failed", "model.no_picture", 3)
    assert place.ledger.outcomes == ["no_picture"] * 3
    assert len(place.model.asked) == 3
    assert place.sold.total() == 0


def test_a_picture_on_the_second_attempt_counts_both() -> None:
    place = Workplace()
    place.model.script = [_no_picture()]

    place.order("monday", [wanted("mug", "kitchen")])
    place.run()

    assert place.lines("monday")[0].attempts == 2
    assert place.ledger.outcomes == ["no_picture", "picture"]
    assert place.sold.total() == 1


@pytest.mark.parametrize("most", [1, 2, 3])
def test_unanswered_calls_end_the_render_after_max_doubtful(most: int) -> None:
    place = Workplace(max_doubtful=most, max_attempts=1)
    place.model.script = [UNKNOWN] * 10

    place.order("monday", [wanted("mug", "kitchen")])
    place.run()

    line = place.lines("monday")[0]
    assert (line.status, line.reason) == ("failed", "outcome_unknown")
    calls = 1 + most  # bought again at most so often
    assert place.ledger.outcomes == ["doubtful"] * calls
    assert place.manifest("monday").cost_usd.doubtful == place.ledger.lines[0].cost_usd * calls
    assert len(place.model.asked) == calls
    assert place.sold.total() == 0


def test_an_overloaded_model_is_tried_again_and_nothing_is_booked_as_cost() -> None:
    place = Workplace(max_attempts=3)
    place.model.script = [TryLater("model.unavailable", "503", 7.0)] * 2

    place.order("monday", [wanted("mug", "kitchen")])
    place.run()

    countdowns = [one.countdown_s for one in place.queue.sent if one.countdown_s]
    assert countdowns == [7.0, 7.0]
    assert place.ledger.outcomes == ["not_sold", "not_sold", "picture"]
    assert place.manifest("monday").cost_usd.spent == PRICE
    assert place.sold.total() == 1


# -- pauses ------------------------------------------------------------------------------------


def test_a_stopped_lane_pauses_the_import_and_fails_nothing() -> None:
    place = Workplace()
    place.model.script = [LaneStopped("model.key_invalid", "GEMINI_API_KEY is not accepted")]
    place.order("monday", [wanted("mug", "kitchen", "beach")])

    place.run()

    progress = place.memory.progress("monday")
    assert progress is not None
    assert (progress.counts.open, progress.counts.failed) == (2, 0)
    assert place.desk.state.intent("monday") == "pause"
    assert len(place.model.asked) == 1
    place.tell("monday", "run")
    place.settle_down()
    assert place.statuses("monday") == {"succeeded": 2}
    assert place.sold.total() == 2


def test_a_budget_pauses_before_the_call_that_would_pass_it() -> None:
    place = Workplace()
    place.order(
        "monday", [wanted("mug", "kitchen", "beach", "garden")], budget_usd=PRICE * 2 + ESTIMATE
    )
    place.order("tuesday", [wanted("lamp", "kitchen", "beach", "garden")], budget_usd=ESTIMATE)
    place.run()

    assert place.statuses("monday") == {"succeeded": 3}
    assert not place.is_published("tuesday")
    assert place.desk.state.intent("tuesday") == "pause"
    assert place.memory.spent("tuesday") <= ESTIMATE.micro
    assert place.sold.total() == 4


def test_a_call_in_flight_when_the_import_is_cancelled_ends_and_is_booked() -> None:
    place = _one()
    place.effects.when("ask", lambda: place.tell("monday", "cancel"))

    place.settle_down()

    assert place.ledger.outcomes == ["picture"]
    assert place.statuses("monday") == {"succeeded": 1}
    assert place.manifest("monday").state == "cancelled"
    assert place.sold.total() == 1


def test_a_paused_import_buys_nothing_and_a_cancelled_one_ends_its_renders() -> None:
    place = _one()
    place.tell("monday", "pause")
    place.run()
    assert 0 in place.memory.open_slots("monday", 0)

    place.tell("monday", "cancel")
    place.settle_down()

    assert place.statuses("monday") == {"cancelled": 1}
    assert place.lines("monday")[0].reason == "import.cancelled"
    assert place.sold.total() == 0


def test_the_price_is_worked_out_from_the_tokens_that_the_model_reported() -> None:
    place = Workplace()
    place.order("monday", [wanted("mug", "kitchen")])
    place.run()

    purchase = place.record(place.lines("monday")[0].render_id).chosen.purchase
    assert purchase.tokens.output_image == USAGE.output_image_tokens
    assert purchase.cost_usd == PRICE
    assert place.memory.spent("monday") == 0  # forgotten once published
    assert place.sold.total() == 1
