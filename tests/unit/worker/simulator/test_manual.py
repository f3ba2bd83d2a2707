"""The manual's tables are the code's lists."""

from __future__ import annotations

import re
from pathlib import Path

from worker.simulator.__main__ import _parser
from worker.simulator.batches import ToldBatch
from worker.simulator.books import BatchLine, BooksPage, CallLine
from worker.simulator.orders import FAULTS, ORDERS, REQUESTS, Fault
from worker.simulator.outcomes import OUTCOMES
from worker.simulator.routes import _ROUTES, Platform
from worker.simulator.rules import SHAPES

MANUAL = Path(__file__).parents[4] / "docs" / "simulator.md"


def test_the_manual_lists_every_outcome_with_its_meaning_and_its_price() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9_]+)` \| (.+?) \| (yes|no) \|$", MANUAL.read_text(), re.MULTILINE
    )

    assert rows == [
        (name, outcome.about, "yes" if outcome.sells else "no")
        for name, outcome in OUTCOMES.items()
    ]


def test_the_manual_lists_every_order_for_batches() -> None:
    rows = re.findall(r"^\| `([a-z]+:[a-z_]+)` \| (.+?) \|$", MANUAL.read_text(), re.MULTILINE)

    assert dict(rows) == dict(ORDERS)


def test_the_manual_lists_every_request_and_what_goes_wrong_with_it() -> None:
    text = MANUAL.read_text()
    _, _, requests = text.partition("| before the colon |")
    requests, _, faults = requests.partition("| after the colon |")
    faults, _, _ = faults.partition("\n\n")

    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", requests, re.MULTILINE) == list(REQUESTS.items())
    assert re.findall(r"^\| `(\w+)` \| (.+) \|$", faults, re.MULTILINE) == list(FAULTS.items())
    assert list(FAULTS) == list(Fault)


def test_the_manual_names_every_field_of_a_batch() -> None:
    text = MANUAL.read_text()

    row = re.search(r"^\| `GET /_sim/batches` \| (.+?) \|$", text, re.MULTILINE)
    line = re.search(r'\{"event": "batch", ([^}]+)\}', text)

    assert row
    assert line
    assert _ticked(row[1]) == list(ToldBatch.__annotations__)
    assert ["event", *re.findall(r'"(\w+)"', line[1])] == list(BatchLine.model_fields)


def test_the_manual_shows_every_limit_with_an_example() -> None:
    rows = re.findall(r"^\| `([a-z0-9]+:\S+)` \| `(\S+)` \|", MANUAL.read_text(), re.MULTILINE)

    assert dict(rows) == dict(SHAPES)


def test_the_manual_lists_every_option_and_every_order() -> None:
    options = {
        option
        for action in _parser()._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    orders = {
        f"{method} {pattern.pattern}"
        for method, pattern, _, platform in _ROUTES
        if platform is Platform.SIMULATOR
    }

    assert set(re.findall(r"^\| `(--[a-z-]+)", MANUAL.read_text(), re.MULTILINE)) == options
    assert set(re.findall(r"`((?:GET|POST) /_sim/[a-z]+)`", MANUAL.read_text())) == orders


def test_the_manual_names_every_field_of_the_books() -> None:
    text = MANUAL.read_text()
    _, _, books = text.partition("## Read the books")

    page = [
        key for row in re.findall(r"^\| (`.+?) \|", books, re.MULTILINE) for key in _ticked(row)
    ]
    line = re.search(r'\{"event": "call", ([^}]+)\}', books)

    assert set(page) >= set(BooksPage.__annotations__)
    assert line
    assert ["event", *re.findall(r'"(\w+)"', line[1])] == list(CallLine.model_fields)


def _ticked(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)
