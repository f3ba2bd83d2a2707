"""What the books count, and what outlives a kill."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from catalog.money import Usd
from worker.simulator.books import Books, BooksPage, CallLine, Tokens
from worker.simulator.connection import Fate

if TYPE_CHECKING:
    from pathlib import Path


def _line(outcome: str, request: str, fate: Fate, *, sold: bool) -> CallLine:
    return CallLine(
        at="2026-11-22T10:00:00.000+00:00",
        model="m",
        request=request,
        prompt=f"prompt of {request}",
        outcome=outcome,
        status=200,
        sold=sold,
        fate=fate,
        run_s=0.1,
        tokens=Tokens(prompt=10, candidates=1120 if sold else 0),
    )


def _book(books: Books, *lines: CallLine) -> None:
    for line in lines:
        books.open_call()
        books.settle(line)


def test_a_picture_is_sold_however_it_travelled() -> None:
    books = Books()

    _book(
        books,
        _line("picture", "a", Fate.DELIVERED, sold=True),
        _line("cut", "a", Fate.CUT, sold=True),
        _line("picture", "b", Fate.CLIENT_GONE, sold=True),
        _line("hang", "c", Fate.HUNG, sold=False),
        _line("no_image", "d", Fate.DELIVERED, sold=False),
    )

    page = books.page()
    assert (page["calls"], page["sold"], page["doubles"]) == (5, 3, 1)
    assert [page["delivered"], page["cut"], page["client_gone"], page["hung"]] == [1, 1, 1, 1]
    assert page["sold_by_request"] == {"a": 2, "b": 1}
    assert page["sold_by_prompt"] == {"prompt of a": 2, "prompt of b": 1}
    assert page["by_outcome"] == {"cut": 1, "hang": 1, "no_image": 1, "picture": 2}
    assert page["tokens"] == {"prompt": 50, "candidates": 3360, "thoughts": 0}


def test_a_batch_sells_into_the_same_books() -> None:
    books = Books()
    batched = _line("picture", "a", Fate.KEPT, sold=True).model_copy(
        update={"lane": "batch", "batch": "batches/1"}
    )
    _book(books, _line("picture", "a", Fate.DELIVERED, sold=True))

    books.book_batched(batched)

    page = books.page()
    assert (page["sold"], page["delivered"], page["doubles"], page["open"]) == (2, 1, 1, 0)
    assert page["sold_by_lane"] == {"standard": 1, "batch": 1}


def test_what_the_limits_let_in_and_what_they_refused_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    came_in = _line("picture", "a", Fate.DELIVERED, sold=True).model_copy(
        update={"admitted_at_s": 0.0, "cost_usd": Usd(35_000)}
    )
    refused = _line("429_tokens", "b", Fate.DELIVERED, sold=False).model_copy(
        update={"limit": "tokens:100/60s"}
    )
    unread = _line("400", "", Fate.DELIVERED, sold=False)

    with closing(Books(path)) as books:
        _book(books, came_in, came_in, refused, unread)

    page = _read(path)
    assert (page["calls"], page["admitted"]) == (4, 2)
    assert page["by_limit"] == {"tokens:100/60s": 1}
    assert page["cost_usd"] == 0.07


def test_open_calls_are_counted_with_their_peak() -> None:
    books = Books()
    books.open_call()
    books.open_call()

    books.settle(_line("picture", "a", Fate.DELIVERED, sold=True))

    assert (books.page()["open"], books.page()["peak_open"]) == (1, 2)


def test_books_go_on_where_a_killed_simulator_left_them(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    with closing(Books(path)) as books:
        _book(books, _line("picture", "a", Fate.DELIVERED, sold=True))
    path.write_text(path.read_text() + '{"event": "call", "at": "2026-1')

    with closing(Books(path)) as again:
        _book(again, _line("picture", "a", Fate.DELIVERED, sold=True))

    assert (again.page()["sold"], again.page()["doubles"]) == (2, 1)
    assert _read(path) == {**again.page(), "peak_open": 0}


def test_a_reset_outlives_a_kill_too(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    with closing(Books(path)) as books:
        _book(books, _line("picture", "a", Fate.DELIVERED, sold=True))

        books.reset()

    assert books.page()["calls"] == 0
    assert _read(path)["calls"] == 0


def _read(path: Path) -> BooksPage:
    with closing(Books(path)) as books:
        return books.page()
