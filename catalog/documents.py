"""Which documents are generated from the code? ``python -m catalog.documents`` writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.reasons import Failure, PauseReason, Reason, Rejection
from catalog.schemas import SHAPES, schema_of
from catalog.settings_table import markdown as settings_table

if TYPE_CHECKING:
    from collections.abc import Sequence

_REASONS: tuple[tuple[str, str, type[Reason]], ...] = (
    (
        "Rejected rows",
        "In `rejected.jsonl`: the row's product has no renders, and the others go on.",
        Rejection,
    ),
    (
        "Renders",
        "In result lines whose status is `failed`, `blocked`, `review` or `cancelled`.",
        Failure,
    ),
    (
        "Pauses",
        "In `skuscene status`: nothing is sent and nothing fails until the import is resumed.",
        PauseReason,
    ),
)


def documents() -> dict[str, bytes]:
    """Every generated document by its name in ``docs/``."""
    schemas = {f"{name}.schema.json": schema_of(name) for name in SHAPES}
    pages = {"reasons.md": _reasons(), "settings.md": settings_table()}
    return {**schemas, **{name: page.encode() for name, page in pages.items()}}


def write(folder: Path) -> list[Path]:
    """Write the documents that have changed; returns those."""
    changed = []
    for name, content in documents().items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            changed.append(path)
    return changed


def _reasons() -> str:
    chapters = "\n".join(
        f"## {title}\n\n{told}\n\n{_table(reasons)}" for title, told, reasons in _REASONS
    )
    return (
        "# Reasons\n\n"
        "Why a row, a render or an import ended where it ended. The lists are closed: a `reason` "
        "is one of these words.\nGenerated from `catalog/reasons.py` by `./dev docs`.\n\n"
        f"{chapters}"
    )


def _table(reasons: type[Reason]) -> str:
    rows = "".join(f"| `{reason}` | {reason.meaning} | {reason.cure} |\n" for reason in reasons)
    return f"| reason | what it means | what to do |\n|---|---|---|\n{rows}"


def main(arguments: Sequence[str]) -> int:
    """Write the documents into a folder, ``docs`` unless one is named."""
    folder = Path(arguments[0] if arguments else "docs")
    for path in write(folder):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
