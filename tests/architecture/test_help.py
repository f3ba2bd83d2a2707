"""Is every verb there, does its help say what it does, and do exit codes mean what they should?"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.results import Costs, ImportStatus, RenderCounts, RowCounts, ShardCounts
from catalog.settings import SettingsError
from catalog.store.opening import StoreUrlError
from catalog.store.port import StoreRefuses, StoreUnavailable
from producers import cli, exits
from producers.exits import Exit
from producers.failures import exit_code
from tests.support.shapes import EXAMPLES, ID

ROOT = Path(__file__).parents[2]
SKUSCENE = Path(sys.executable).with_name("skuscene")

# Verb, and a word that its help can't do without.
BUILT = {
    "demo": "offline renderer",
    "import": "catalog export",
    "status": "stands",
    "pause": "stop sending",
    "resume": "go on",
    "cancel": "publish",
    "verify": "manifest",
    "retry": "failed",
    "recover": "Redis",
    "gallery": "contact sheet",
    "costs": "money",
    "parked": "replay",
    "quota": "limits",
    "models": "prices",
    "settings": "every setting",
    "doctor": "Redis",
    "worker": "queue",
    "simulator": "Gemini",
}
LATER = {
    "rerender": "note",
    "approve": "review",
    "reject": "review",
    "watch": "feed",
    "export": "shop",
}
OPTIONS = {
    "demo": ("FEED", "--scenes", "--out"),
    "import": (
        *("FEED", "--scenes", "--format", "--map", "--images", "--id", "--catalog", "--model"),
        *("--budget", "--lane", "--rebuy", "--pilot", "--limit", "--dry-run", "--yes", "--wait"),
        "--json",
    ),
    "status": ("ID", "--watch", "--json"),
    "pause": ("ID",),
    "resume": ("ID",),
    "cancel": ("ID",),
    "verify": ("ID", "--revision", "--repair", "--wait", "--json"),
    "retry": ("ID", "--status", "--reason", "--sku", "--wait", "--json"),
    "recover": ("ID",),
    "gallery": ("ID",),
    "costs": ("ID", "--by", "--since", "--json"),
    "parked": ("list", "show", "replay"),
    "quota": ("--json",),
    "doctor": ("--live",),
    "worker": ("--queues", "--concurrency"),
    "simulator": ("--port",),
}


def verbs() -> dict[str, argparse.ArgumentParser]:
    parser = cli.build_parser()
    (found,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return dict(found.choices)


def skuscene(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SKUSCENE), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_is_installed_and_helps() -> None:
    done = skuscene("--help")

    assert done.returncode == 0
    assert done.stderr == ""
    assert all(verb in done.stdout for verb in verbs())
    assert all(str(int(code)) in done.stdout for code in Exit)


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "producers", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout == skuscene("--help").stdout


def test_every_verb_of_the_contract_is_there_and_no_other() -> None:
    assert set(verbs()) == {*BUILT, *LATER}


@pytest.mark.parametrize(("verb", "said"), [*BUILT.items(), *LATER.items()])
def test_the_help_of_a_verb_says_what_it_does(
    verb: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])

    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert said.lower() in told.lower()
    assert ("not built yet" in told) == (verb in LATER)


@pytest.mark.parametrize(("verb", "options"), OPTIONS.items())
def test_a_verb_has_the_options_of_the_contract(verb: str, options: tuple[str, ...]) -> None:
    told = verbs()[verb].format_help().upper()

    assert [option for option in options if option.upper() not in told] == []


@pytest.mark.parametrize(
    "arguments",
    [
        *([verb] for verb in LATER),
        ["rerender", ID, "--sku", "A-1"],
        ["watch", "s3://bucket/in"],
        ["export", ID, "--to", "merchant"],
        ["approve", "--sku", "A-1", ID],
    ],
    ids=" ".join,
)
def test_a_verb_that_is_not_built_says_so_and_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(arguments)

    said = capsys.readouterr()
    assert code == Exit.USAGE
    assert said.out == ""
    assert said.err == f"skuscene {arguments[0]}: not built yet\n"


@pytest.mark.parametrize(
    "arguments", [[], ["bogus"], ["import"], ["pause"], ["import", "f.csv", "--lane", "fast"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == Exit.USAGE
    assert capsys.readouterr().out == ""


def status(state: str = "complete", *, rejected: int = 0, **renders: int) -> ImportStatus:
    made = ImportStatus(
        import_id=ID,
        state="complete",
        reason=None,
        products=1,
        rows=RowCounts(read=9, rejected=rejected),
        renders=RenderCounts(expected=sum(renders.values()), **renders),
        cost_usd=Costs(),
        shards=ShardCounts(total=1, committed=1),
        started_at=None,
        finished_at=None,
        eta_s=None,
    )
    return made.changed(state=state)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (status(succeeded=3), 0),
        (status(reused=3), 0),
        (status(review=1), 0),
        (status(), 0),
        (status(succeeded=3, rejected=1), 3),
        (status(review=1, rejected=1), 3),
        (status(succeeded=2, failed=1), 1),
        (status(succeeded=2, blocked=1), 1),
        (status(failed=1, rejected=1), 1),
        (status("cancelled", cancelled=3), 1),
        (status("paused", open=3), 1),
        (status("paused", open=3, rejected=1), 1),
    ],
)
def test_an_import_that_was_waited_for_ends_with(ended: ImportStatus, code: int) -> None:
    assert exits.of_status(ended) == code


def test_the_codes_are_those_of_the_contract() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "REJECTED_ROWS": 3,
        "SERVICE": 4,
    }


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (StoreUnavailable("x"), 4),
        (StoreRefuses("x"), 4),
        (StateUnavailable("x"), 4),
        (QueueUnavailable("x"), 4),
        (SettingsError("x"), 2),
        (StoreUrlError("x"), 2),
        (ZeroDivisionError("x"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_ends_a_command_with(failure: Exception, code: int | None) -> None:
    assert exit_code(failure) == code


def test_the_example_of_a_status_can_be_judged() -> None:
    example = EXAMPLES["status"]
    assert isinstance(example, ImportStatus)

    assert exits.of_status(example) == Exit.REJECTED_ROWS
