"""Which Skuscene wrote this?"""

from __future__ import annotations

from importlib.metadata import version

MADE_BY = f"skuscene {version('skuscene')}"
