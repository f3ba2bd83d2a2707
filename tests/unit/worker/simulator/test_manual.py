"""The manual's table of outcomes is the code's list."""

from __future__ import annotations

import re
from pathlib import Path

from worker.simulator.outcomes import OUTCOMES

MANUAL = Path(__file__).parents[4] / "docs" / "simulator.md"


def test_the_manual_lists_every_outcome_with_its_meaning_and_its_price() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9_]+)` \| (.+?) \| (yes|no) \|$", MANUAL.read_text(), re.MULTILINE
    )

    assert rows == [
        (name, outcome.about, "yes" if outcome.sells else "no")
        for name, outcome in OUTCOMES.items()
    ]
