"""What becomes of a message: worked, sent again, its render ended, or parked as it came?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import claims
from catalog.claims import Claim, ImportClaim, ProductClaim, RenderClaim, ShardClaim
from catalog.store.port import StoreRefuses, StoreUnavailable, sha256_hex
from tests.support.desk import LIMITS, STORE_ID, Workplace, wanted
from worker import jobs
from worker.commit import commit
from worker.errors import LaneStopped, NoPicture, OutcomeUnknown, Refused, Snooze, TryLater
from worker.feeder import feed
from worker.finish import finish
from worker.generate import generate
from worker.ports import Desk
from worker.prepare import prepare


def _place(**limits: Any) -> Workplace:
    place = Workplace(**limits)
    place.order("monday", [wanted("mug", "kitchen", "beach")], send=False)
    feed(place.desk, ImportClaim(store=STORE_ID, import_id="monday"))
    place.queue.waiting.clear()
    return place


def _claim(**fields: Any) -> RenderClaim:
    whole: dict[str, Any] = {
        "store": STORE_ID,
        "import_id": "monday",
        "part": 0,
        "product": 0,
        "slot": 0,
        "render_id": sha256_hex(b"a render")[:32],
        "references": (),
    }
    return RenderClaim(**(whole | fields))


def _run(place: Workplace, claim: Claim, error: Exception, task: str = claims.GENERATE) -> None:
    def work(_desk: Desk, _claim: Claim) -> None:
        raise error

    jobs.run(task, claim.model_dump(mode="json"), work, place.desk)


# -- parked ------------------------------------------------------------------------------------

GOOD = {"v": 1, "store": STORE_ID, "import_id": "monday", "part": 0, "product": 0}


@pytest.mark.parametrize(
    "payload",
    [
        None,
        7,
        "monday",
        [],
        {},
        {**GOOD, "v": 2},
        {**GOOD, "part": -1},
        {**GOOD, "part": "zero"},
        {**GOOD, "import_id": "../../etc"},
        {**GOOD, "import_id": "x" * 101},
        {**GOOD, "attempt": 0},
        {**GOOD, "new_field": True},
        {**GOOD, "store": "another-store"},
        {**GOOD, "store": "\ud800"},
        {**GOOD, "when": object()},
        b"bytes",
        float("nan"),
        {**GOOD, "note": "x" * 5_000_000},
    ],
    ids=lambda payload: str(type(payload).__name__),
)
def test_a_message_that_cannot_be_worked_is_parked_as_it_came(payload: object) -> None:
    place = Workplace()

    jobs.run(claims.PREPARE, payload, prepare, place.desk)

    parked = place.parked()[0]
    assert parked["schema"] == "skuscene.parked/1"
    assert parked["task"] == claims.PREPARE
    assert parked["why"]
    assert len(parked["why"]) <= 2_000
    if isinstance(payload, dict) and "when" not in payload:
        assert parked["payload"] == payload
    assert place.queue.sent == []
    assert place.sold.total() == 0


@pytest.mark.parametrize(
    ("changed", "part"),
    [({"part": 7}, 7), ({"product": 9}, 0), ({"import_id": "never-planned"}, 0)],
)
def test_a_claim_that_the_plan_does_not_know_is_parked_and_not_dropped(
    changed: dict[str, object], part: int
) -> None:
    place = _place(max_attempts=1)

    jobs.run(claims.PREPARE, GOOD | changed, prepare, place.desk)

    assert [one["payload"]["part"] for one in place.parked()] == [part]
    assert place.queue.sent[2:] == []
    assert place.sold.total() == 0


def test_parking_waits_for_a_store_that_is_away() -> None:
    place = Workplace()
    place.store.fail(1)

    with pytest.raises(jobs.Outage):
        jobs.run(claims.PREPARE, {"v": 2}, prepare, place.desk)
    jobs.run(claims.PREPARE, {"v": 2}, prepare, place.desk)

    assert len(place.parked()) == 1
    assert place.sold.total() == 0


# -- outages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["store", "store-refuses", "state", "queue"])
def test_a_service_that_is_away_leaves_the_message_where_it_is(away: str) -> None:
    place = _place()
    fault = StoreRefuses("no credentials") if away == "store-refuses" else StoreUnavailable("away")
    if away.startswith("store"):
        place.store.fail(1, fault)
    place.memory.away = away == "state"
    place.queue.away = away == "queue"
    claim = ProductClaim(store=STORE_ID, import_id="monday", part=0, product=0)

    with pytest.raises(jobs.Outage):
        jobs.run(claims.PREPARE, claim.model_dump(mode="json"), prepare, place.desk)

    place.memory.away = place.queue.away = False
    assert place.memory.open_slots("monday", 0) == (0, 1)
    assert place.sold.total() == 0


@pytest.mark.parametrize(
    "error",
    [Snooze("leased", "x", 1.0), TryLater("internal", "x"), OutcomeUnknown("outcome_unknown", "x")],
)
def test_a_claim_that_cannot_be_sent_again_stays_where_it_is(error: Exception) -> None:
    place = _place()
    place.queue.away = True

    with pytest.raises(jobs.Outage):
        _run(place, _claim(), error)

    assert 0 in place.memory.open_slots("monday", 0)
    assert place.sold.total() == 0


# -- outcomes ----------------------------------------------------------------------------------


def test_a_snooze_costs_no_attempt() -> None:
    place = _place()

    _run(place, _claim(attempt=3), Snooze("leased", "another buys it", 5.0))

    sent = place.queue.sent[-1]
    assert sent.claim.attempt == 3
    assert 5.0 <= sent.countdown_s <= 1.25 * 5.0
    assert place.sold.total() == 0


@pytest.mark.parametrize("error", [TryLater("model.unavailable", "x"), NoPicture("m", "x", "STOP")])
def test_attempts_are_counted_and_end(error: Exception) -> None:
    place = _place(max_attempts=3)

    _run(place, _claim(attempt=2), error, claims.FINISH)
    assert place.queue.sent[-1].claim.attempt == 3
    _run(place, _claim(attempt=3), error, claims.FINISH)

    assert place.memory.outcomes("monday", 0)[0].status == "failed"
    assert 1 in place.memory.open_slots("monday", 0)
    assert place.sold.total() == 0


def test_a_bug_ends_the_render_with_its_place_in_the_code() -> None:
    place = _place()

    _run(place, _claim(), ZeroDivisionError("by zero"))

    line = place.memory.outcomes("monday", 0)[0]
    assert (line.status, line.reason) == ("failed", "internal")
    assert "ZeroDivisionError: by zero (work, line" in str(line.message)
    assert place.sold.total() == 0


def test_a_product_that_ends_takes_only_its_open_slots_with_it() -> None:
    place = _place()
    _run(place, _claim(slot=1), Refused("check.failed", "blank"))
    claim = ProductClaim(store=STORE_ID, import_id="monday", part=0, product=0)

    _run(place, claim, Refused("internal", "no"), claims.PREPARE)

    reasons = {at: line.reason for at, line in place.memory.outcomes("monday", 0).items()}
    assert reasons == {0: "internal", 1: "check.failed"}
    assert place.memory.left("monday", 0) == 0
    assert len(place.queue.of(claims.COMMIT)) == 1
    assert place.sold.total() == 0


def test_a_stopped_lane_sends_nothing_again() -> None:
    place = _place()
    sent = len(place.queue.sent)

    _run(place, _claim(), LaneStopped("model.billing", "the credit is used up"))

    assert place.memory.intent("monday") == "pause"
    assert len(place.queue.sent) == sent
    assert 0 in place.memory.open_slots("monday", 0)
    assert place.sold.total() == 0


@pytest.mark.parametrize("task", [claims.FEED, claims.COMMIT, claims.PUBLISH])
def test_a_control_claim_that_fails_is_left_to_the_reconciler(task: str) -> None:
    """Sent again from here, it would meet the one that the reconciler sends, and both live on."""
    place = _place()
    sent = len(place.queue.sent)
    claim: Claim = ImportClaim(store=STORE_ID, import_id="monday")
    if task == claims.COMMIT:
        claim = ShardClaim(store=STORE_ID, import_id="monday", part=0)

    _run(place, claim, TryLater("internal", "not readable yet"), task)

    assert len(place.queue.sent) == sent
    assert place.parked() == []
    assert place.sold.total() == 0


def test_a_settled_or_unknown_slot_needs_no_work() -> None:
    place = _place()
    _run(place, _claim(), Refused("check.failed", "blank"))
    sent = len(place.queue.sent)

    for claim in (_claim(), _claim(slot=99), _claim(import_id="never-planned")):
        for task, work in ((claims.GENERATE, generate), (claims.FINISH, finish)):
            jobs.run(task, claim.model_dump(mode="json"), work, place.desk)

    assert len(place.queue.sent) == sent
    assert place.sold.total() == 0


def test_a_commit_of_a_shard_without_state_only_asks_what_comes_next() -> None:
    place = _place()
    place.memory.clear()

    commit(place.desk, ShardClaim(store=STORE_ID, import_id="monday", part=0))

    assert [one.task for one in place.queue.waiting] == [claims.FEED]
    assert place.sold.total() == 0


# -- waiting times -----------------------------------------------------------------------------


@given(
    attempt=st.integers(1, 1_000_000),
    first_s=st.floats(0.001, 3_600),
    longest_s=st.floats(0.001, 3_600),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_backoff_lies_between_zero_and_its_ceiling(
    attempt: int, first_s: float, longest_s: float, chance: float
) -> None:
    limits = replace(LIMITS, retry_backoff_s=first_s, retry_backoff_max_s=longest_s)

    delay_s = jobs.backoff_s(attempt, None, limits, chance)

    assert 0 <= delay_s <= min(longest_s, first_s * 2.0 ** min(attempt - 1, 60))


@given(told_s=st.floats(-1e9, 1e9), attempt=st.integers(1, 50), chance=st.floats(0, 1))
def test_a_told_delay_is_kept_within_what_the_queue_can_hold(
    told_s: float, attempt: int, chance: float
) -> None:
    delay_s = jobs.backoff_s(attempt, told_s, LIMITS, chance)

    assert 0 <= delay_s <= LIMITS.retry_backoff_max_s
    if 0 <= told_s <= LIMITS.retry_backoff_max_s:
        assert delay_s == told_s


@given(attempt=st.integers(1, 20))
def test_the_ceiling_doubles_until_the_longest(attempt: int) -> None:
    limits = replace(LIMITS, retry_backoff_s=1.0, retry_backoff_max_s=60.0)

    assert jobs.backoff_s(attempt, None, limits, 1.0) == min(2.0 ** (attempt - 1), 60.0)


@given(payload=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_no_payload_at_all_makes_a_message_vanish(payload: object) -> None:
    place = Workplace()

    jobs.run(claims.PREPARE, payload, prepare, place.desk)

    assert [one["payload"] for one in place.parked()] == [json.loads(json.dumps(payload))]
    assert place.sold.total() == 0
