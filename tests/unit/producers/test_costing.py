"""Is every call counted once, is doubtful money apart, and does nothing get lost between files?"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from catalog import keys
from catalog.imports import Import
from catalog.money import Usd
from catalog.renders import LedgerLine, RenderRecord, Tokens
from catalog.results import Manifest, ResultLine, Status
from catalog.store.directory import DirectoryStore
from producers.cli import main
from producers.costing import read_costs
from producers.reporting import UnknownImport
from tests.support.shapes import BLOCKED, EXAMPLES, ID, NOW, PURCHASE, RENDER, RESULT

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "gemini-nano-banana-2.1"
PICTURE = Usd(36_000)
NDJSON = "application/x-ndjson"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def line(call: str = "", outcome: str = "picture", **changes: Any) -> LedgerLine:
    """One call; a picture for 0.036 USD unless told otherwise."""
    given = {
        "at": NOW,
        "import_id": ID,
        "claim": f"{ID}/0/0",
        "render_id": RENDER,
        "scene": "sunny-beach",
        "sku": "A-1",
        "take": 1,
        "outcome": outcome,
        "model_asked": MODEL,
        "model_answered": MODEL if outcome == "picture" else "",
        "platform": "developer",
        "tokens": Tokens(input=1_000, output_image=1_120, thought=90),
        "cost_usd": PICTURE,
        "run_s": 1.0,
        "worker": "host-1",
        "call": call,
    }
    return LedgerLine.model_validate(given | changes)


def write(store: DirectoryStore, *lines: LedgerLine, seq: int = 0, worker: str = "host-1") -> None:
    """A segment of the ledger, by the day of its first line."""
    key = keys.ledger(lines[0].at.strftime("%Y-%m-%d"), worker, seq)
    store.create(key, b"".join(one.to_json() + b"\n" for one in lines), media_type=NDJSON)


def write_call(store: DirectoryStore, one: LedgerLine) -> None:
    """The segment of its own that a call has when somebody else booked it."""
    key = keys.ledger_call(one.at.strftime("%Y-%m-%d"), one.worker, one.call)
    store.create(key, one.to_json() + b"\n", media_type=NDJSON)


def write_results(
    store: DirectoryStore, *lines: ResultLine, part: int = 0, revision: int = 1
) -> None:
    imported = EXAMPLES["import"]
    assert isinstance(imported, Import)
    store.create(keys.import_(ID), imported.to_json(), media_type="application/json")
    body = gzip.compress(b"".join(one.to_json() + b"\n" for one in lines), mtime=0)
    store.create(keys.results_part(ID, part, revision), body, media_type="application/gzip")


def plain(rows: Any) -> dict[str, tuple[int, int]]:
    """Name to what was spent and what is doubtful, in micro-USD."""
    return {row.name: (row.spent_usd.micro, row.doubtful_usd.micro) for row in rows}


def test_a_store_without_a_ledger_has_spent_nothing(store: DirectoryStore) -> None:
    report = read_costs(store)

    assert (report.total.calls, report.total.spent_usd, report.total.usd_per_accepted) == (
        0,
        Usd(0),
        None,
    )
    assert all(rows == () for rows in report.by.values())
    assert report.bill == ()


def test_a_call_whose_line_stands_twice_is_counted_once(store: DirectoryStore) -> None:
    write(store, line("a"), line("b"))
    write_call(store, line("b"))
    write(store, line("a"), line("c"), seq=1, worker="host-2")

    report = read_costs(store)

    assert (report.total.calls, report.total.pictures) == (3, 3)
    assert report.total.spent_usd == PICTURE * 3


def test_lines_of_before_calls_had_ids_are_all_counted(store: DirectoryStore) -> None:
    write(store, line(), line())

    assert read_costs(store).total.calls == 2


def test_doubtful_money_is_shown_and_never_spent(store: DirectoryStore) -> None:
    write(store, line("a"))
    write_call(store, line("b", "doubtful", cost_usd=Usd(40_000), tokens=Tokens()))

    report = read_costs(store)

    assert report.total.spent_usd == PICTURE
    assert report.total.doubtful_usd == Usd(40_000)
    assert report.without_picture.doubtful.calls == 1
    (row,) = report.bill
    assert (row.calls, row.usd, row.doubtful_calls, row.doubtful_usd) == (
        2,
        PICTURE,
        1,
        Usd(40_000),
    )
    assert plain(report.by["model"]) == {MODEL: (36_000, 40_000)}


@pytest.mark.parametrize("order", [("doubtful", "picture"), ("picture", "doubtful")])
def test_a_call_that_was_given_up_and_answered_after_all_was_sold(
    store: DirectoryStore, order: tuple[str, str]
) -> None:
    for seq, outcome in enumerate(order):
        write(store, line("a", outcome), seq=seq)

    report = read_costs(store)

    assert (report.total.calls, report.total.pictures, report.total.doubtful_calls) == (1, 1, 0)
    assert report.total.spent_usd == PICTURE


def test_money_without_a_picture_is_a_part_of_what_was_spent(store: DirectoryStore) -> None:
    write(store, line("a"))
    write_call(store, line("b", "no_picture", cost_usd=Usd(2_000)))
    write_call(store, line("c", "blocked", cost_usd=Usd(1_000)))
    write_call(store, line("d", "not_sold", cost_usd=Usd(0), tokens=Tokens()))

    report = read_costs(store)

    assert report.total.spent_usd == Usd(39_000)
    assert report.total.without_picture_usd == Usd(3_000)
    assert report.without_picture.no_picture.usd == Usd(2_000)
    assert report.without_picture.blocked.usd == Usd(1_000)
    assert report.without_picture.not_sold.calls == 1
    (row,) = report.bill
    assert row.calls == 3, "what was not sold is on no bill"


def test_sums_stand_by_import_model_scene_and_day(store: DirectoryStore) -> None:
    later = NOW + timedelta(days=1)
    write(store, line("a"), line("b", scene="bedroom"))
    write(store, line("c", at=later, import_id="other", claim="other/0/0", model_asked="m-2"))

    report = read_costs(store)

    assert plain(report.by["import"]) == {ID: (72_000, 0), "other": (36_000, 0)}
    assert plain(report.by["model"]) == {MODEL: (72_000, 0), "m-2": (36_000, 0)}
    assert plain(report.by["scene"]) == {"sunny-beach": (72_000, 0), "bedroom": (36_000, 0)}
    assert plain(report.by["day"]) == {"2026-11-22": (72_000, 0), "2026-11-23": (36_000, 0)}


def test_a_line_belongs_to_the_utc_day_on_which_its_call_was_sent(store: DirectoryStore) -> None:
    before = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
    after = datetime(2026, 11, 23, 0, 1, tzinfo=UTC)
    write(store, line("a", at=before), line("b", at=after))

    report = read_costs(store, since=date(2026, 11, 23))

    assert plain(report.by["day"]) == {"2026-11-23": (36_000, 0)}
    assert [row.day for row in report.bill] == [date(2026, 11, 23)]


def test_the_bill_adds_up_tokens_by_kind(store: DirectoryStore) -> None:
    write(store, line("a"), line("b", tokens=Tokens(input=500, output_image=1_120, output_text=7)))

    (row,) = read_costs(store).bill

    assert row.tokens == Tokens(input=1_500, output_image=2_240, output_text=7, thought=90)
    assert (row.model, row.platform, row.pictures, row.usd) == (MODEL, "developer", 2, PICTURE * 2)


def test_what_nobody_sells_is_on_no_bill(store: DirectoryStore) -> None:
    write(store, line("a", model_asked="preview", model_answered="preview", cost_usd=Usd(0)))

    report = read_costs(store, is_free=lambda model: model == "preview")

    assert report.bill == ()
    assert report.total.pictures == 1


def test_the_status_is_that_in_which_the_render_ended(store: DirectoryStore) -> None:
    write(
        store,
        line("a", claim=f"{ID}/0/0"),
        line("b", "blocked", claim=f"{ID}/0/1", cost_usd=Usd(1_000)),
        line("c", claim=f"{ID}/1/0"),
    )
    write_results(store, RESULT, BLOCKED)

    report = read_costs(store)

    assert plain(report.by["status"]) == {
        "succeeded": (36_000, 0),
        "blocked": (1_000, 0),
        "open": (36_000, 0),
    }


def test_the_price_of_an_accepted_picture_carries_what_brought_none(store: DirectoryStore) -> None:
    write(store, line("a"), line("b", "no_picture", cost_usd=Usd(2_001)))
    write(store, line("c", claim=f"{ID}/0/1"), seq=1)
    failed = RESULT.changed(status=Status.FAILED, reason="picture.unreadable", provenance=None)
    write_results(store, RESULT, failed)

    total = read_costs(store).total

    assert (total.pictures, total.accepted) == (2, 1)
    assert total.usd_per_accepted == Usd(74_001)


def test_a_retry_has_the_last_word_on_a_status(store: DirectoryStore) -> None:
    write(store, line("a"))
    write_results(store, BLOCKED)
    write_results(store, RESULT, revision=2)

    assert plain(read_costs(store).by["status"]) == {"succeeded": (36_000, 0)}


def test_a_picture_whose_line_was_lost_is_counted_from_its_record(store: DirectoryStore) -> None:
    bought = PURCHASE.changed(claim=f"{ID}/0/0", call="lost", micro_usd=36_500)
    record = EXAMPLES["record"]
    assert isinstance(record, RenderRecord)
    take = record.takes[0].changed(purchase=bought)
    store.create(
        keys.record(RENDER),
        record.changed(takes=(take,)).to_json(),
        media_type="application/json",
    )
    write_results(store, RESULT)

    report = read_costs(store, ID)

    assert report.outside_ledger == 1
    assert report.total.spent_usd == Usd(36_500)
    assert report.bill[0].platform == "developer"
    assert "1 pictures are counted from their records" in report.warnings[0]


def test_one_import_is_told_apart_from_all_others(store: DirectoryStore) -> None:
    write_results(store, RESULT)
    write(store, line("a"), line("b", import_id="other", claim="other/0/0"))

    report = read_costs(store, ID)

    assert report.total.calls == 1
    assert plain(report.by["import"]) == {ID: (36_000, 0)}


def test_a_published_import_needs_no_later_day(store: DirectoryStore) -> None:
    write_results(store, RESULT)
    manifest = EXAMPLES["manifest"]
    assert isinstance(manifest, Manifest)
    store.create(keys.manifest(ID), manifest.to_json(), media_type="application/json")
    write(store, line("a"))
    write(store, line("b", at=NOW + timedelta(days=2)))

    assert read_costs(store, ID).total.calls == 1


def test_an_import_that_is_not_there_is_an_error(store: DirectoryStore) -> None:
    with pytest.raises(UnknownImport, match="no-such"):
        read_costs(store, "no-such")


def test_a_damaged_line_is_told_and_the_others_count(store: DirectoryStore) -> None:
    key = keys.ledger("2026-11-22", "host-1", 0)
    store.create(key, b"{\n" + line("a").to_json() + b"\n", media_type=NDJSON)

    report = read_costs(store)

    assert (report.total.calls, report.unreadable_lines) == (1, 1)
    assert report.warnings == ("1 ledger lines can't be read and are not counted",)


def test_a_model_that_answered_for_another_is_named(store: DirectoryStore) -> None:
    write(
        store,
        line("a", model_answered=f"{MODEL}-001"),
        line("b", model_answered="gemini-9-image"),
    )

    report = read_costs(store)

    assert [(pair.answered, pair.is_same) for pair in report.models_answered] == [
        ("gemini-9-image", False),
        (f"{MODEL}-001", True),
    ]
    (warning,) = report.warnings
    assert f"1 calls asked {MODEL} and were answered by gemini-9-image" in warning


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def shop(store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    for name in list(os.environ):
        if name.startswith("SKUSCENE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKUSCENE_STORE", (tmp_path / "store").as_uri())
    return store


def test_the_command_prints_json_with_all_tables(
    shop: DirectoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    write(shop, line("a", cost_usd=Usd(35_977)))

    assert main(["costs", "--json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["total"]["spent_usd"] == 0.035977
    assert list(printed["by"]) == ["import", "model", "scene", "day", "status"]


def test_the_command_prints_the_tables_that_were_asked_for(
    shop: DirectoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    write(shop, line("a"), line("b", "doubtful"))

    assert main(["costs", "--by", "scene,day", "--since", "2026-11-22"]) == 0

    out = capsys.readouterr().out
    assert "0.036000 USD spent in 2 calls" in out
    assert "doubtful  1 calls, 0.036000 USD at most: part of no sum" in out
    assert "sunny-beach" in out
    assert f"{MODEL} -> {MODEL}  1 calls" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "colour"], "--by colour: there are import, model, scene, day, status"),
        (["--since", "yesterday"], "--since 'yesterday': write a UTC day"),
        (["no-such"], "no import 'no-such'"),
    ],
)
def test_wrong_words_end_with_2(
    shop: DirectoryStore, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["costs", *arguments]) == 2

    assert said in capsys.readouterr().err


_PEAK = """
import resource, sys
from pathlib import Path
from catalog.store.directory import DirectoryStore
from producers.costing import read_costs
for folder in sys.argv[1:]:
    report = read_costs(DirectoryStore(Path(folder)))
    print(report.total.calls, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    stores = [DirectoryStore(tmp_path / name) for name in ("short", "long")]
    template = line("C" * 32).to_json()
    for made, segments in zip(stores, (4, 24), strict=True):
        for seq in range(segments):
            body = b"".join(
                template.replace(b"C" * 32, b"%032d" % (seq * 500 + at)) + b"\n"
                for at in range(500)
            )
            made.create(keys.ledger("2026-11-22", "host-1", seq), body, media_type=NDJSON)

    done = subprocess.run(
        [sys.executable, "-c", _PEAK, *(str(made.root) for made in stores)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    (few, before_kib), (many, after_kib) = (
        map(int, row.split()) for row in done.stdout.splitlines()
    )
    assert (few, many) == (2_000, 12_000)
    # Ten thousand lines as objects are 30 MB; the segments that are read ahead are 7 MB.
    assert after_kib - before_kib < 16_000
