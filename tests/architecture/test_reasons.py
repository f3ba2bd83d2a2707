"""Are the lists of reasons closed, and told in docs/reasons.md?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.reasons import Failure, PauseReason, Reason, Rejection

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reasons.md").read_text(encoding="utf-8")
SOURCES = [
    path for package in ("worker", "producers") for path in sorted((ROOT / package).rglob("*.py"))
]
LISTS: tuple[type[Reason], ...] = (Rejection, Failure, PauseReason)
REASONS = [reason for words in LISTS for reason in words]
# Errors whose first argument is a reason, and the list that it is from.
RAISED = {
    "TryLater": Failure,
    "OutcomeUnknown": Failure,
    "Refused": Failure,
    "ReferenceUnusable": Failure,
    "PromptBlocked": Failure,
    "NoPicture": Failure,
    "LaneStopped": PauseReason,
}


def words(allowed: type[Reason]) -> set[str]:
    return {str(reason) for reason in allowed}


def calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def raised() -> Iterator[tuple[str, str, str]]:
    for path in SOURCES:
        for call in calls(path):
            error = call.func.id if isinstance(call.func, ast.Name) else ""
            reason = constant(call.args[0]) if call.args else None
            if error in RAISED and reason is not None:
                yield f"{path.relative_to(ROOT)}:{call.lineno}", error, reason


def named() -> Iterator[tuple[str, str]]:
    """Every ``reason="..."`` of the code."""
    for path in SOURCES:
        for call in calls(path):
            for keyword in call.keywords:
                reason = constant(keyword.value)
                if keyword.arg == "reason" and reason is not None:
                    yield f"{path.relative_to(ROOT)}:{call.lineno}", reason


RAISED_THERE = list(raised())
NAMED_THERE = list(named())


@pytest.mark.parametrize(("where", "error", "reason"), RAISED_THERE)
def test_an_error_carries_a_reason_of_its_list(where: str, error: str, reason: str) -> None:
    assert reason in words(RAISED[error]), where


@pytest.mark.parametrize(("where", "reason"), NAMED_THERE)
def test_a_reason_that_is_named_is_one_of_the_lists(where: str, reason: str) -> None:
    assert reason in {str(known) for known in REASONS}, where


def test_the_code_was_looked_through() -> None:
    assert len(RAISED_THERE) > 20
    assert len(NAMED_THERE) > 2


def test_a_bad_photo_has_a_reason_that_says_so() -> None:
    photos = [reason for _, error, reason in RAISED_THERE if error == "ReferenceUnusable"]

    assert photos
    assert all(reason.startswith("reference.") for reason in photos)


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_told_with_its_meaning_and_its_cure(reason: Reason) -> None:
    assert f"| `{reason}` | {reason.meaning} | {reason.cure} |" in PAGE
    for sentence in (reason.meaning, reason.cure):
        assert sentence.endswith(".")
        assert "|" not in sentence


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_a_word_for_programs(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", reason)


def test_no_word_is_in_two_lists() -> None:
    assert len({str(reason) for reason in REASONS}) == len(REASONS)


def test_the_page_tells_of_no_other_reason() -> None:
    assert set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)) == {
        str(reason) for reason in REASONS
    }
