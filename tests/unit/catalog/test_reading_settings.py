from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from catalog.settings import (
    SettingsError,
    examine_settings,
    origin,
    read_settings,
    unknown_variables,
    variables,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start from a clean environment, in a folder without a file."""
    for name in list(os.environ):
        if name.startswith(("SKUSCENE_", "GEMINI_", "GOOGLE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "skuscene.toml").write_text(text, encoding="utf-8")


def test_the_environment_wins_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, 'window = 7\nmodel = "preview"')
    monkeypatch.setenv("SKUSCENE_WINDOW", "9")

    settings = read_settings()

    assert (settings.window, settings.model) == (9, "preview")
    assert [origin(field) for field in ("window", "model", "store")] == [
        "environment",
        "skuscene.toml",
        "default",
    ]


def test_a_setting_with_a_standard_name_may_stand_in_the_file(folder: Path) -> None:
    write(folder, 'gemini_base_url = "http://127.0.0.1:8090"\nuse_vertex = true')

    settings = read_settings()

    assert settings.gemini_base_url == "http://127.0.0.1:8090"
    assert settings.platform == "vertex"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "")
    monkeypatch.setenv("GEMINI_API_KEY", "the-key")
    monkeypatch.setenv("SKUSCENE_WINDOW", "")

    settings = read_settings()

    assert settings.gemini_api_key is not None
    assert settings.gemini_api_key.get_secret_value() == "the-key"
    assert settings.window == 2_000


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("windw = 7", "windw is no setting; did you mean window?"),
        ('SKUSCENE_STORE = "s3://b"', "SKUSCENE_STORE is written store here"),
        ('gemini_api_key = "k"', "secrets are read from the environment only"),
        ('GEMINI_API_KEY = "k"', "secrets are read from the environment only"),
        ('AWS_SECRET_ACCESS_KEY = "k"', "secrets are read from the environment only"),
        ('redis_url = "redis://:hunter2@h:6379/0"', "redis_url holds a password"),
        ('redis_url = "redis://h:6379/0?password=hunter2"', "redis_url holds a password"),
        ("window =", "can't be read"),
        ('window = "many"', "skuscene.toml: window: Input should be a valid integer"),
    ],
)
def test_what_must_not_stand_in_the_file_is_refused(folder: Path, line: str, words: str) -> None:
    write(folder, line)

    with pytest.raises(SettingsError) as caught:
        read_settings()

    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_fault_names_the_variable_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "perhaps")

    with pytest.raises(SettingsError, match=r"^GOOGLE_GENAI_USE_VERTEXAI: "):
        read_settings()


def test_an_examination_names_every_fault_and_keeps_what_is_right(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 'store = "file:///pictures"\nwindw = 1')
    monkeypatch.setenv("SKUSCENE_MODEL", "preview")
    monkeypatch.setenv("SKUSCENE_WINDOW", "many")
    monkeypatch.setenv("SKUSCENE_LEASE_S", "11")

    reading = examine_settings()

    assert [fault.split(":")[0] for fault in reading.faults][:2] == [
        "skuscene.toml",
        "SKUSCENE_WINDOW",
    ]
    assert "lease_renew_s must be at most a third of lease_s" in reading.faults[2]
    settings = reading.settings
    assert (settings.store, settings.model) == ("file:///pictures", "preview")
    assert (settings.window, settings.lease_s) == (2_000, 30.0)


def test_a_file_that_can_not_be_read_does_not_hide_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "window =")
    monkeypatch.setenv("SKUSCENE_MODEL", "preview")

    reading = examine_settings()

    assert len(reading.faults) == 1
    assert reading.settings.model == "preview"


def test_a_variable_that_sets_nothing_is_named_with_what_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SKUSCENE_WINODW", "7")
    monkeypatch.setenv("SKUSCENE_STORE", "file:///x")

    assert unknown_variables() == ("SKUSCENE_WINODW is no setting; did you mean SKUSCENE_WINDOW?",)


def test_the_strongest_variable_of_a_setting_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = variables("gemini_api_key")
    monkeypatch.setenv(first, "first")
    monkeypatch.setenv(second, "second")

    key = read_settings().gemini_api_key

    assert key is not None
    assert key.get_secret_value() == "first"
