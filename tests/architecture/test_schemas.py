"""Are the schemas in docs/ those of the shapes that we write?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from catalog.documents import documents, write
from catalog.schemas import SHAPES, STORE_SCHEMAS
from tests.support.shapes import BLOCKED, EXAMPLES, RESULT

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def schema(name: str) -> Any:
    return json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8"))


def validate(name: str, written: bytes) -> None:
    Draft202012Validator(schema(name)).validate(json.loads(written))


@pytest.mark.parametrize("name", documents())
def test_a_generated_document_is_the_one_that_the_code_would_write(name: str) -> None:
    assert (DOCS / name).read_bytes() == documents()[name], "write it anew: ./dev docs"


def test_no_schema_is_left_of_a_shape_that_is_gone() -> None:
    assert {path.name for path in DOCS.glob("*.schema.json")} == {
        f"{name}.schema.json" for name in SHAPES
    }


@pytest.mark.parametrize("name", SHAPES)
def test_a_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("name", SHAPES)
def test_what_we_write_is_what_the_schema_says(name: str) -> None:
    validate(name, EXAMPLES[name].to_json())


@pytest.mark.parametrize("line", [RESULT, BLOCKED], ids=["succeeded", "blocked"])
def test_a_result_line_is_what_the_schema_says(line: Any) -> None:
    validate("result", line.to_json())


@pytest.mark.parametrize("name", SHAPES)
def test_a_schema_refuses_a_field_that_it_does_not_know(name: str) -> None:
    surprising = {**json.loads(EXAMPLES[name].to_json()), "surprise": 1}

    with pytest.raises(ValidationError, match="surprise"):
        Draft202012Validator(schema(name)).validate(surprising)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("status", "sold"),
        ("schema", "skuscene.result/2"),
        ("cost_usd", "0.07"),
        ("render_id", "../x"),
        ("images", [{"role": "master"}]),
    ],
)
def test_a_schema_refuses_what_is_no_result_line(field: str, wrong: object) -> None:
    line = {**json.loads(RESULT.to_json()), field: wrong}

    with pytest.raises(ValidationError):
        Draft202012Validator(schema("result")).validate(line)


def test_the_stores_root_explains_what_others_read() -> None:
    assert set(STORE_SCHEMAS) == {"record", "result", "manifest"}


def test_the_documents_are_written_by_one_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "catalog.documents", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert {path.name for path in tmp_path.iterdir()} == set(documents())
    assert len(done.stdout.splitlines()) == len(documents())
    assert write(tmp_path) == [], "what has not changed is not written again"
