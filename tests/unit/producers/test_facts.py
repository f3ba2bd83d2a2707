from __future__ import annotations

import json
import os
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from catalog.models import load_models
from catalog.settings import Settings
from producers.cli import main
from producers.commands.facts import Shelf

if TYPE_CHECKING:
    from pathlib import Path

KEY = "AIza-fake-key-that-nobody-may-see"
PASSWORD = "hunter2-in-the-url"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SKUSCENE_", "GEMINI_", "GOOGLE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def shelf(**changes: Any) -> Shelf:
    given: dict[str, Any] = {
        "table": load_models(),
        "platform": "developer",
        "chosen": "nano-banana",
        "today": date(2026, 11, 22),
    }
    return Shelf(**(given | changes))


def model(shown: Shelf, model_id: str) -> dict[str, Any]:
    models: list[dict[str, Any]] = shown.to_dict()["models"]
    return next(one for one in models if one["id"] == model_id)


def test_models_lists_every_model_with_its_names_and_prices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models"]) == 0

    out = capsys.readouterr().out
    for known in load_models().models:
        assert known.id in out
        assert known.nickname in out
    assert "gemini-nano-banana-2.1 (default)" in out
    assert "warning: gemini-3.1-flash-image is deprecated since 2026-10-06" in out


def test_a_price_counts_three_references_and_thinking() -> None:
    known = load_models().find("gemini-nano-banana-2.1")
    assert known is not None

    prices = model(shelf(), known.id)["price_usd"]

    estimate = known.reserve(references=3, size="2K", lane="batch")
    assert prices["2K"]["batch"] == float(estimate)
    # 300 words and 3 photos in, 1120 tokens of picture and 300 of thinking out.
    assert prices["1K"]["standard"] == pytest.approx((3_660 * 1.50 + 1_120 * 30 + 300 * 7.50) / 1e6)


def test_the_json_of_models_says_where_a_model_stands_in_its_life() -> None:
    old = model(shelf(), "gemini-3.1-flash-image")

    assert old["state"] == "deprecated"
    assert old["deprecated_on"] == "2026-10-06"
    assert old["successor"] == "gemini-nano-banana-2.1"
    assert [end["on"] for end in old["ends"]] == ["2026-10-29", None]
    assert len(old["warnings"]) == 2


def test_a_model_is_ended_announced_or_current_by_the_day() -> None:
    states = {
        day: model(shelf(platform="vertex", today=day), "gemini-3-pro-image")["state"]
        for day in (date(2026, 5, 1), date(2026, 11, 22), date(2027, 6, 1))
    }

    assert list(states.values()) == ["announced", "current", "ended"]


def test_exactly_the_model_that_is_set_is_the_default() -> None:
    shown = shelf(chosen="nano-banana-pro").to_dict()

    assert [one["id"] for one in shown["models"] if one["is_default"]] == ["gemini-3-pro-image"]
    assert shown["default"] == {
        "name": "nano-banana-pro",
        "id": "gemini-3-pro-image",
        "objection": None,
    }


def test_a_model_that_nobody_knows_is_named_beneath_the_table() -> None:
    shown = shelf(chosen="nano-bananna")

    assert shown.to_dict()["default"]["id"] is None
    assert any("did you mean nano-banana" in note for note in shown.notes())


def test_settings_lists_every_setting_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "skuscene.toml").write_text("window = 7", encoding="utf-8")
    monkeypatch.setenv("SKUSCENE_LEASE_S", "40")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")

    assert main(["settings", "--json"]) == 0

    listed = {one["variables"][0]: one for one in json.loads(capsys.readouterr().out)["settings"]}
    assert len(listed) == len(Settings.model_fields) + 6
    seen = {
        name: (listed[name]["value"], listed[name]["origin"])
        for name in ("SKUSCENE_WINDOW", "SKUSCENE_LEASE_S", "SKUSCENE_MODEL", "AWS_DEFAULT_REGION")
    }
    assert seen == {
        "SKUSCENE_WINDOW": ("7", "skuscene.toml"),
        "SKUSCENE_LEASE_S": ("40", "environment"),
        "SKUSCENE_MODEL": ("nano-banana", "default"),
        "AWS_DEFAULT_REGION": ("eu-central-1", "environment"),
    }
    assert listed["SKUSCENE_LEASE_S"]["unit"] == "seconds"


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
@pytest.mark.parametrize(
    "url",
    [f"redis://:{PASSWORD}@h/0", f"redis://h/0?password={PASSWORD}", f"redis://:a/{PASSWORD}@h"],
)
def test_settings_shows_no_secret(
    arguments: list[str],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("GEMINI_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("SKUSCENE_REDIS_URL", url)

    assert main(arguments) == 0

    shown = "".join(capsys.readouterr())
    assert KEY not in shown
    assert PASSWORD not in shown
    assert "not set" in shown


def test_settings_that_can_not_be_right_are_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKUSCENE_WINDOW", "many")

    assert main(["settings"]) == 2

    assert "SKUSCENE_WINDOW" in capsys.readouterr().err


def test_models_shows_which_entries_came_from_the_users_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[[models]]\nid = "gemini-3-pro-image"\nprices = { input = 9 }\n')
    monkeypatch.setenv("SKUSCENE_MODELS_FILE", str(file))

    assert main(["models", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["models"]) == 0
    told = capsys.readouterr().out

    assert printed["models_file"] == str(file)
    (changed,) = (one for one in printed["models"] if one["from_file"])
    assert changed["from_file"] == ["prices.input"]
    assert changed["prices_usd_per_million_tokens"]["input"] == 9
    assert "gemini-3-pro-image: prices.input" in told


def test_a_wrong_models_file_is_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[[models]]\nid = "gemini-3-pro-image"\nprices = { input = "dear" }\n')
    monkeypatch.setenv("SKUSCENE_MODELS_FILE", str(file))

    assert main(["models"]) == 2

    assert f"{file}: gemini-3-pro-image: prices.input" in capsys.readouterr().err


def test_the_json_of_models_has_a_life_per_platform_with_its_sources() -> None:
    shown = model(shelf(), "gemini-3.1-flash-image")

    assert set(shown["platforms"]) == {"developer", "vertex"}
    assert shown["platforms"]["vertex"]["ends"] == [
        {
            "on": "2027-05-28",
            "source": "LiteLLM 1.109.1, model_prices_and_context_window.json",
            "read": "2026-11-22",
        }
    ]
    assert shown["ratios"][0] == "1:1"
    assert shown["tokens"]["output_image"]["1K"] == 1_120
