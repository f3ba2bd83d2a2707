from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from worker.gemini.settings import GeminiSettings, read_settings


def test_googles_own_variables_are_read() -> None:
    settings = read_settings(
        {"GEMINI_API_KEY": " key ", "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1"}
    )

    assert settings.platform == "developer"
    assert settings.api_key == SecretStr("key")
    assert settings.base_url == "http://127.0.0.1:1"


def test_the_google_key_wins_over_the_gemini_key_as_in_the_sdk() -> None:
    settings = read_settings({"GEMINI_API_KEY": "one", "GOOGLE_API_KEY": "two"})

    assert settings.api_key == SecretStr("two")


@pytest.mark.parametrize("switch", ["GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"])
def test_the_switch_leads_to_vertex(switch: str) -> None:
    settings = read_settings({switch: "True", "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_API_KEY": "k"})

    assert (settings.platform, settings.project, settings.location) == ("vertex", "p", None)


@pytest.mark.parametrize(
    ("environ", "setting"),
    [({}, "GEMINI_API_KEY"), ({"GOOGLE_GENAI_USE_VERTEXAI": "1"}, "GOOGLE_CLOUD_PROJECT")],
)
def test_what_is_missing_is_named(environ: dict[str, str], setting: str) -> None:
    with pytest.raises(ValidationError, match=setting):
        read_settings(environ)


def test_a_key_is_not_printed_with_an_error() -> None:
    with pytest.raises(ValidationError) as caught:
        read_settings({"GEMINI_API_KEY": "AIza-secret\nHost: elsewhere"})

    assert "AIza" not in str(caught.value)


def test_a_key_is_not_printed_with_the_settings() -> None:
    assert "AIza" not in repr(GeminiSettings(api_key=SecretStr("AIza-secret")))


@pytest.mark.parametrize("url", ["ftp://host", "host:80", "http://"])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="no http or https address"):
        read_settings({"GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": url})


@pytest.mark.parametrize(
    ("url", "is_simulated"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.9.9.9", True),
        ("http://localhost:8080/x", True),
        ("http://[::1]:8080", True),
        ("http://simulator:8080", False),
        ("http://127.0.0.1.example.com", False),
        ("https://aiplatform.googleapis.com", False),
        (None, False),
    ],
)
def test_only_this_machine_counts_as_simulated(url: str | None, *, is_simulated: bool) -> None:
    settings = GeminiSettings(platform="vertex", project="p", base_url=url)

    assert settings.is_simulated is is_simulated
