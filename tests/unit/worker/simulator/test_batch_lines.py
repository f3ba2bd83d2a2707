"""What a batch's input holds, and which lines of it can be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from worker.simulator.batch_lines import read_line, survey_lines

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_are_counted_with_their_tokens_and_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    parts = [{"text": "eight le"}, {"inline_data": {}}, {"fileData": {"fileUri": "x"}}]
    first = {"key": "a", "request": {"contents": [{"parts": parts}]}}
    second = {"metadata": {"key": "b"}, "request": {}}
    path.write_text(f"{json.dumps(first)}\n\n{json.dumps(second)}")

    survey = survey_lines(path)

    assert (len(survey.offsets), survey.tokens, survey.problem) == (2, 2 + 2 * 1120, "")
    assert read_line(path, survey.offsets[1]).label == {"metadata": {"key": "b"}}
    assert read_line(path, survey.offsets[0]).request == first["request"]


@pytest.mark.parametrize(
    "text", ['{"key": "torn', "[]", '{"key": "a"}', '{"key": "a", "request": "a lamp"}', "\xff"]
)
def test_a_line_that_asks_for_nothing_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"key": "a", "request": {}}\n' + text + "\n", encoding="latin-1")

    assert survey_lines(path).problem.startswith("line 2: ")


@pytest.mark.parametrize("request_", [{"contents": 1}, {"contents": [1, {"parts": [1, {}]}]}])
def test_what_is_no_request_has_no_tokens(tmp_path: Path, request_: object) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps({"request": request_}))

    assert survey_lines(path).tokens == 0
