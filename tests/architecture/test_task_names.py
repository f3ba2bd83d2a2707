"""Do messages reach a task after every refactoring, and does no module stand between the names?"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from catalog import claims
from catalog.claims import QUEUE_OF, QUEUES

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for package in ("catalog", "worker", "producers")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "claims.py"
]


def test_tasks_go_by_the_names_that_queued_messages_carry() -> None:
    # Renaming one orphans what waits in a shop's Redis.
    assert QUEUE_OF == {
        "skuscene.prepare": "prepare",
        "skuscene.generate": "generate",
        "skuscene.finish": "finish",
        "skuscene.feed": "control",
        "skuscene.commit": "control",
        "skuscene.publish": "control",
        "skuscene.repair": "finish",
    }
    assert QUEUES == ("prepare", "generate", "finish", "control")


def test_every_name_stands_in_the_table() -> None:
    names = {
        value
        for name, value in vars(claims).items()
        if name.isupper() and isinstance(value, str) and value.startswith("skuscene.")
    }

    assert names == set(QUEUE_OF)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_tasks_name_is_written_in_one_place(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    written = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}

    assert not written & set(QUEUE_OF)
