"""Which promises does the core break, and why is that known?

A gap is closed by removing its line: from then on every seed that shows it fails.
"""

from __future__ import annotations

from typing import Final

KNOWN_GAPS: Final[dict[str, str]] = {}
