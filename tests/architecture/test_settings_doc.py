"""Does docs/settings.md list the settings that there are?"""

from __future__ import annotations

from pathlib import Path

from catalog.settings import Settings, variables
from catalog.settings_table import markdown

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_the_one_that_the_code_would_write() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")

    assert page == markdown(), "write it anew: python -m catalog.settings_table > docs/settings.md"


def test_every_setting_is_explained() -> None:
    silent = [field for field, info in Settings.model_fields.items() if not info.description]

    assert silent == []


def test_every_variable_stands_on_the_page() -> None:
    page = markdown()

    missing = [
        name for field in Settings.model_fields for name in variables(field) if name not in page
    ]

    assert missing == []
