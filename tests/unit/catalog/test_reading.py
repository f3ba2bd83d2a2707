"""What can this version read, and what does it say of the rest?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import claims, reading
from catalog.claims import Claim, ProductClaim
from catalog.reading import Unreadable, read_body, read_claim, sent_by_newer
from worker.tasks import WORK

CLAIM = ProductClaim(store="0123456789abcdef", import_id="one", part=0, product=7)
SENT = CLAIM.model_dump(mode="json")


def test_every_task_that_is_worked_has_a_shape() -> None:
    assert set(WORK) == set(reading.SHAPES) == set(claims.QUEUE_OF)


def test_a_claim_comes_out_as_it_went_in() -> None:
    assert read_claim(claims.PREPARE, SENT) == CLAIM


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (None, "payload"),
        (7, "payload"),
        ([], "payload"),
        ({}, "store: Field required"),
        ({**SENT, "part": -1}, "part: "),
        ({**SENT, "surprise": 1}, "surprise: "),
        ({**SENT, "import_id": "../x"}, "import_id: "),
        ({str(at): at for at in range(50)}, "more"),
        (b"bytes", "no JSON"),
        ({**SENT, "store": "\ud800"}, "can't be read"),
    ],
)
def test_what_is_no_claim_is_unreadable_and_the_field_is_named(payload: Any, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        read_claim(claims.PREPARE, payload)


@pytest.mark.parametrize("task", ["", "celery.map", "skuscene.prepar", "x" * 10_000])
def test_an_unknown_task_is_named_in_bounds(task: str) -> None:
    with pytest.raises(Unreadable, match="there is no task") as told:
        read_claim(task, SENT)

    assert len(str(told.value)) < 500


def test_what_a_newer_version_sent_says_what_to_do() -> None:
    with pytest.raises(Unreadable) as told:
        read_claim(claims.PREPARE, {**SENT, "v": 2, "colour": "blue"})

    assert "newer version" in str(told.value)
    assert "upgrade this worker, then `skuscene parked replay`" in str(told.value)


@pytest.mark.parametrize("payload", [SENT, None, [], {"v": "2"}, {"v": 1}, {"v": None}, {"v": 0.5}])
def test_only_a_higher_version_is_a_newer_one(payload: object) -> None:
    assert sent_by_newer(payload) is None


def test_the_newest_version_is_the_one_that_claims_carry() -> None:
    assert Claim.model_fields["v"].default == reading.NEWEST


def test_the_payload_is_found_in_a_body_as_celery_writes_it() -> None:
    body = json.dumps([[SENT], {}, {"callbacks": None, "chain": None, "chord": None}])

    assert read_body(body.encode()) == SENT


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"{}", "its body is not"),
        (b"[[1], {}]", "its body is not"),
        (b"[[], {}, {}]", "one payload"),
        (b"[[1, 2], {}, {}]", "one payload"),
        (b'["a", {}, {}]', "one payload"),
        (b'[[1], {"a": 1}, {}]', "one payload"),
        (b"[[1], [], {}]", "one payload"),
        (b'[[1], {}, {"chain": [1]}]', "chain"),
        (b"[[1], {}, 7]", "chain"),
    ],
)
def test_another_body_is_unreadable(body: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        read_body(body)


@given(body=st.binary())
def test_no_body_raises_anything_else(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_claim(claims.PREPARE, read_body(body))
