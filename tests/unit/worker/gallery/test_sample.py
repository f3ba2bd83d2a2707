"""Tests of the choice of renders when there are too many to look at."""

from __future__ import annotations

from collections import Counter

import pytest

from catalog.results import ResultLine, Status
from tests.support import finished_import as shapes
from worker.gallery.sample import Spread, sample


def sampled(lines: list[ResultLine], max_renders: int) -> list[ResultLine]:
    counts = shapes.manifest(lines).counts
    return list(sample(iter(lines), counts, max_renders=max_renders))


def lines_of(*statuses: Status) -> list[ResultLine]:
    return [shapes.line(no, status=status) for no, status in enumerate(statuses)]


def test_what_fits_is_shown_whole() -> None:
    lines = lines_of(*Status, *Status)

    assert sampled(lines, len(lines)) == lines


def test_every_render_that_wants_eyes_is_shown_before_the_others() -> None:
    lines = lines_of(*([*Status, Status.SUCCEEDED] * 20))

    shown = Counter(line.status for line in sampled(lines, 80))

    assert shown == {
        Status.FAILED: 20,
        Status.BLOCKED: 20,
        Status.REVIEW: 20,
        Status.SUCCEEDED: shown[Status.SUCCEEDED],
        Status.REUSED: 20 - shown[Status.SUCCEEDED],
    }


def test_pictures_are_shown_before_what_was_cancelled() -> None:
    lines = lines_of(*[Status.CANCELLED] * 50, *[Status.SUCCEEDED] * 5)

    shown = Counter(line.status for line in sampled(lines, 10))

    assert shown == {Status.SUCCEEDED: 5, Status.CANCELLED: 5}


def test_even_failures_are_thinned_out_when_they_do_not_fit() -> None:
    lines = lines_of(*[Status.FAILED] * 100, *[Status.SUCCEEDED] * 100)

    shown = sampled(lines, 30)

    assert [line.status for line in shown] == [Status.FAILED] * 30


def test_the_feed_s_order_stays() -> None:
    lines = lines_of(*(list(Status) * 50))

    rows = [line.row for line in sampled(lines, 120)]

    assert rows == sorted(rows)


@pytest.mark.parametrize(("wanted", "of"), [(0, 0), (0, 5), (1, 1), (1, 9), (7, 9), (9, 9), (3, 7)])
def test_exactly_as_many_as_wanted_are_picked(wanted: int, of: int) -> None:
    spread = Spread(wanted=wanted, of=of)

    assert sum(spread.takes_next() for _ in range(of)) == wanted


def test_the_picked_come_from_all_over() -> None:
    spread = Spread(wanted=10, of=1_000)

    picked = [at for at in range(1_000) if spread.takes_next()]

    assert [at // 100 for at in picked] == list(range(10))


def test_no_scene_is_favoured_where_every_product_has_two() -> None:
    spread = Spread(wanted=500, of=1_000)

    even = sum(at % 2 == 0 for at in range(1_000) if spread.takes_next())

    assert 200 < even < 300
