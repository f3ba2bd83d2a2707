"""Which door of Gemini do we use, and with what credentials?"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping


class GeminiSettings(BaseModel):
    """The developer API with a key, or Vertex AI with a project.

    Vertex AI takes Google's application default credentials. One exception, so that real worker
    processes can be run against a simulator: **if ``base_url`` points to this machine (localhost or
    a loopback address), Vertex AI is asked with a fixed, meaningless Bearer token, and no
    credentials are looked for.**

    ``max_connections`` bounds the calls in flight; more wait for a connection, within their
    deadline. ``connect_timeout_s`` is for reaching the host alone: nothing has been sent by then.
    Without a ``location`` Vertex AI is asked at its global one. ``traffic`` is its header for
    bought throughput: ``dedicated`` uses that alone, ``shared`` leaves it alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    platform: Literal["developer", "vertex"] = "developer"
    api_key: SecretStr | None = None
    base_url: str | None = None
    project: str | None = None
    location: str | None = None
    traffic: Literal["dedicated", "shared"] | None = None
    max_connections: int = Field(default=512, gt=0)
    connect_timeout_s: float = Field(default=15.0, gt=0)

    @field_validator("api_key")
    @classmethod
    def _key_fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None:
            return None
        stripped = key.get_secret_value().strip()
        if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
            raise ValueError("GEMINI_API_KEY holds characters that no key has")
        return SecretStr(stripped) if stripped else None

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("the base URL is no http or https address")
        return url

    @model_validator(mode="after")
    def _has_what_its_platform_needs(self) -> Self:
        if self.platform == "developer" and self.api_key is None:
            raise ValueError("the Gemini API needs a key: set GEMINI_API_KEY")
        if self.platform == "vertex" and not self.project:
            raise ValueError("Vertex AI needs a project: set GOOGLE_CLOUD_PROJECT")
        return self

    @property
    def is_simulated(self) -> bool:
        """Whether ``base_url`` points to this machine."""
        host = urlsplit(self.base_url or "").hostname or ""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def read_settings(environ: Mapping[str, str]) -> GeminiSettings:
    """Read Google's own variables, in the SDK's order of precedence.

    Raises:
        pydantic.ValidationError: what the platform needs is not set.
    """
    switch = environ.get("GOOGLE_GENAI_USE_ENTERPRISE") or environ.get("GOOGLE_GENAI_USE_VERTEXAI")
    if (switch or "").lower() in {"true", "1"}:
        return GeminiSettings(
            platform="vertex",
            base_url=environ.get("GOOGLE_VERTEX_BASE_URL"),
            project=environ.get("GOOGLE_CLOUD_PROJECT"),
            location=environ.get("GOOGLE_CLOUD_LOCATION"),
        )
    key = environ.get("GOOGLE_API_KEY") or environ.get("GEMINI_API_KEY")
    return GeminiSettings(
        platform="developer",
        api_key=SecretStr(key) if key else None,
        base_url=environ.get("GOOGLE_GEMINI_BASE_URL"),
    )
