"""Do batches run as they are ordered, and is each way in which they can't told apart?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.pictures import png
from tests.support.stores import free_port
from tests.support.waiting import wait_for
from worker.batch_model import Batch, BatchLine, BatchResult, BatchState
from worker.errors import LaneStopped, Limited, OutcomeUnknown, PromptBlocked, Refused, TryLater
from worker.gemini.batches import GeminiBatches
from worker.gemini.settings import GeminiSettings
from worker.model import ReferencePhoto, TakeRequest
from worker.simulator.batches import BatchLimits
from worker.simulator.server import Simulator

MODEL = "gemini-nano-banana-2.1"
NAMES = ("lamp", "sofa", "rug", "vase")
PHOTO = png(8, 8)
SENT_AT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@contextmanager
def simulating(**options: Any) -> Iterator[tuple[Simulator, GeminiBatches]]:
    """An hour takes a second, and a batch 20 ms."""
    with Simulator(**{"hour_s": 1, "batch_hours": 0.02, **options}) as simulator:
        settings = GeminiSettings(api_key=SecretStr("k"), base_url=simulator.url)
        with closing(GeminiBatches(settings)) as batches:
            yield simulator, batches


def lines(*names: str) -> Iterator[BatchLine]:
    for name in names or NAMES:
        yield BatchLine(
            key=f"monday/0/{name}",
            request=TakeRequest(
                model_id=MODEL,
                prompt=f"a {name}",
                references=(ReferencePhoto(content=PHOTO, media_type="image/png"),),
                ratio="4:5",
                size="1K",
                seed=7,
                scene="kitchen",
                deadline_s=60,
            ),
        )


def ordered(batches: GeminiBatches, name: str = "monday.0.1.1", *names: str) -> Batch:
    return batches.create(MODEL, name, batches.upload(name, lines(*names)))


def ended(batches: GeminiBatches, batch: Batch) -> Batch:
    seen: list[Batch] = []

    def is_over() -> bool:
        found = batches.get(batch.name)
        assert found is not None
        seen.append(found)
        return found.is_over

    wait_for(is_over, 20, f"{batch.name} is over")
    return seen[-1]


def results(batches: GeminiBatches, batch: Batch) -> dict[str, BatchResult]:
    return {one.key: one for one in batches.results(batch, sent_at=SENT_AT)}


def test_every_line_is_answered_once_under_its_key_at_half_the_price() -> None:
    with simulating() as (simulator, batches):
        batch = ended(batches, ordered(batches))
        found = results(batches, batch)
        books = simulator.books()

    assert (batch.state, batch.requests, batch.answered) == (BatchState.SUCCEEDED, 4, 4)
    assert found.keys() == {f"monday/0/{name}" for name in NAMES}
    answers = [one.answer for one in found.values()]
    assert all(answer is not None and answer.content and answer.usage.total for answer in answers)
    assert books["sold"] == 4
    assert books["sold_by_prompt"] == {f"a {name}": 1 for name in NAMES}


def test_a_create_without_an_answer_is_a_doubt_and_is_found_by_its_name() -> None:
    with simulating(script=[{"outcome": "create:lost"}]) as (_, batches):
        place = batches.upload("monday.0.1.1", lines())
        with pytest.raises(OutcomeUnknown):
            batches.create(MODEL, "monday.0.1.1", place)
        ordered(batches, "another")

        (batch,) = batches.find("monday.0.1.1")

        assert results(batches, ended(batches, batch)).keys() == {
            f"monday/0/{name}" for name in NAMES
        }


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        ("create:503", TryLater),
        ("create:429_retryinfo", Limited),
        ("create:401", LaneStopped),
        ("create:400", Refused),
        ("upload:503", TryLater),
        ("upload:lost", TryLater),
    ],
)
def test_what_is_refused_was_not_ordered(outcome: str, fault: type[Exception]) -> None:
    with simulating(script=[{"outcome": outcome}]) as (_, batches):
        with pytest.raises(fault):
            ordered(batches)

        assert batches.find("monday.0.1.1") == ()


def test_more_batches_than_may_be_open_are_limited() -> None:
    limits = BatchLimits(open_batches=1)
    with simulating(batches=limits, batch_hours=100) as (_, batches):
        ordered(batches)

        with pytest.raises(Limited):
            ordered(batches, "another")


def test_a_cancelled_batch_keeps_what_was_done() -> None:
    with simulating(batch_hours=1_000, script=[{"outcome": "batch:stuck_running"}]) as (_, batches):
        batch = ordered(batches)
        batches.cancel(batch.name)

        batch = ended(batches, batch)

        assert batch.state is BatchState.CANCELLED
        assert len(results(batches, batch)) == batch.answered


def test_an_expired_batch_has_no_answers() -> None:
    with simulating(hour_s=0.01, script=[{"outcome": "batch:expired"}]) as (_, batches):
        batch = ended(batches, ordered(batches))

        assert batch.state is BatchState.EXPIRED
        assert batch.fault
        assert results(batches, batch) == {}


@pytest.mark.parametrize("outcome", ["dropped", "doubled", "unknown", "torn"])
def test_lines_that_are_missing_doubled_strange_or_torn_come_as_they_are(outcome: str) -> None:
    with simulating(script=[{"outcome": f"result:{outcome}"}]) as (_, batches):
        batch = ended(batches, ordered(batches))

        keys = [one.key for one in batches.results(batch, sent_at=SENT_AT)]

    ours = [key for key in keys if key.startswith("monday/0/")]
    assert {
        "dropped": len(ours) == len(set(ours)) < 4,
        "doubled": len(ours) > len(set(ours)) == 4,
        "unknown": len(ours) <= 4 and any(key and key not in ours for key in keys),
        "torn": "" in keys,
    }[outcome]


def test_a_refused_line_says_why_and_the_others_are_answered() -> None:
    script = [{"outcome": "image_safety", "match": "lamp", "lane": "batch"}]
    with simulating(script=script) as (_, batches):
        found = results(batches, ended(batches, ordered(batches)))

    assert isinstance(found["monday/0/lamp"].fault, PromptBlocked)
    assert sum(one.answer is not None for one in found.values()) == 3


def test_results_that_break_off_are_read_again() -> None:
    with simulating(script=[{"outcome": "download:cut"}]) as (_, batches):
        batch = ended(batches, ordered(batches))
        with pytest.raises(TryLater):
            results(batches, batch)

        assert len(results(batches, batch)) == 4


def test_results_that_are_gone_are_none_and_stop_no_lane() -> None:
    with simulating() as (_, batches):
        batch = ended(batches, ordered(batches))
        batches.forget(batch.results)
        batches.forget(batch.results)

        assert results(batches, batch) == {}


def test_a_batch_that_nobody_knows_is_none() -> None:
    with simulating() as (_, batches):
        assert batches.get("batches/nobodys") is None


def test_a_platform_that_is_not_there_was_sent_nothing() -> None:
    settings = GeminiSettings(api_key=SecretStr("k"), base_url=f"http://127.0.0.1:{free_port()}")
    with closing(GeminiBatches(settings)) as batches, pytest.raises(TryLater):
        batches.create(MODEL, "monday.0.1.1", "files/1")
