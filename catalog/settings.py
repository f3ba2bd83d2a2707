"""What can be set, in which unit, and which settings contradict each other?

Read from the environment, then from ``skuscene.toml``; secrets only from the environment. One
class for producers and workers, because the deadlines of one bound those of the other.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AliasChoices,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "SKUSCENE_"
FILE = "skuscene.toml"


class SettingsError(ValueError):
    """A setting is missing or can't be right; the message says which and what now."""


def _standard(*names: str, default: Any = None) -> Any:
    return Field(default=default, validation_alias=AliasChoices(*names))


class Settings(BaseSettings):
    """Every setting of Skuscene."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        # A failing cross-field check would print the raw input, keys included.
        hide_input_in_errors=True,
        toml_file=FILE,
        populate_by_name=True,
    )

    redis_url: str | None = Field(
        default=None,
        description="Redis: redis://host:6379/0, rediss://... or unix:///path/to.sock?db=0",
    )
    store: str | None = Field(
        default=None, description="Where pictures go: s3://bucket/prefix or file:///directory"
    )
    public_base_url: str | None = Field(
        default=None, description="Public address of the store's prefix; gives images a url"
    )
    store_cache_control: str | None = Field(
        default=None, description="Cache-Control of every object"
    )
    store_sse: str | None = Field(
        default=None, description="Server-side encryption of every object: AES256 or aws:kms"
    )
    store_sse_kms_key_id: str | None = Field(default=None, description="Key id for aws:kms")

    model: str = Field(
        default="nano-banana", description="Alias or id of the image model; preview is offline"
    )
    confirm_above_usd: Decimal = Field(
        default=Decimal(20), ge=0, description="Ask (or want --yes) above this estimate"
    )

    window: PositiveInt = Field(
        default=2_000, description="Renders kept open per import, whole shards at a time"
    )
    shard_products: PositiveInt = Field(default=200, description="Products per shard")
    max_attempts: PositiveInt = Field(default=3, description="Real attempts before a render fails")
    max_doubtful: PositiveInt = Field(
        default=2, description="Calls without an answer before a render fails"
    )
    retry_backoff_s: PositiveFloat = Field(
        default=5.0, description="First delay between attempts; doubles, with full jitter"
    )
    retry_backoff_max_s: PositiveFloat = Field(
        default=120.0, description="Longest delay between attempts"
    )

    model_deadline_s: PositiveFloat = Field(
        default=300.0, description="Longest wait for one model call, all in all"
    )
    put_deadline_s: PositiveFloat = Field(
        default=60.0, description="Longest wait for the store to take a paid picture"
    )
    lease_s: PositiveFloat = Field(
        default=30.0, description="A buyer that does not renew its lease this long is dead"
    )
    lease_renew_s: PositiveFloat = Field(default=10.0, description="How often a lease is renewed")
    visibility_timeout_s: PositiveFloat = Field(
        default=1_800.0, description="An unacknowledged message is delivered again after this"
    )
    reconcile_every_s: PositiveFloat = Field(
        default=15.0, description="How often control workers look for renders nobody holds"
    )
    source_max_age_s: float = Field(
        default=3_600.0, ge=0, description="A photo checked this recently is not asked for again"
    )
    refusal_max_age_days: float = Field(
        default=90.0, ge=0, description="A remembered refusal is tried again after this"
    )
    ledger_flush_s: PositiveFloat = Field(
        default=10.0, description="Oldest ledger line that is not yet in the store"
    )

    fetch_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Private hosts or networks that photos may come from"
    )
    fetch_max_bytes: PositiveInt = Field(default=25_000_000, description="Largest photo")
    fetch_deadline_s: PositiveFloat = Field(default=20.0, description="Longest wait for a photo")
    reference_max_pixels: PositiveInt = Field(
        default=40_000_000, description="Most pixels of a photo"
    )
    reference_max_edge_px: PositiveInt = Field(
        default=2_048, description="Longest edge of a photo as it is sent"
    )
    reference_min_edge_px: NonNegativeInt = Field(
        default=64, description="Shortest edge of a photo that can be used"
    )

    prepare_concurrency: PositiveInt = Field(default=8, description="Photos fetched at once")
    generate_concurrency: PositiveInt = Field(
        default=64, description="Model calls in flight per worker"
    )
    finish_concurrency: PositiveInt = Field(
        default=os.cpu_count() or 1, description="Encoder processes"
    )
    control_concurrency: PositiveInt = Field(default=2, description="Control tasks at once")
    redis_server: str | None = Field(
        default=None, description="Redis-compatible server binary for demo and tests"
    )

    gemini_api_key: SecretStr | None = _standard("GOOGLE_API_KEY", "GEMINI_API_KEY")
    gemini_base_url: str | None = _standard("GOOGLE_GEMINI_BASE_URL")
    vertex_base_url: str | None = _standard("GOOGLE_VERTEX_BASE_URL")
    use_vertex: bool = _standard(
        "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE", default=False
    )
    google_cloud_project: str | None = _standard("GOOGLE_CLOUD_PROJECT")
    google_cloud_location: str = _standard("GOOGLE_CLOUD_LOCATION", default="global")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic-settings' signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("redis_url", "store", "gemini_api_key", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        # compose passes ${VAR:-} as an empty string.
        return None if value == "" else value

    @field_validator("fetch_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _deadlines_nest(self) -> Self:
        if self.lease_renew_s * 2 > self.lease_s:
            msg = (
                "lease_renew_s must be at most half of lease_s: otherwise one late renewal "
                "lets a second worker buy beside a live one"
            )
            raise ValueError(msg)
        if self.visibility_timeout_s < 2 * self.model_deadline_s:
            msg = (
                "visibility_timeout_s must be at least twice model_deadline_s: otherwise a "
                "message is delivered again while its call is still open"
            )
            raise ValueError(msg)
        if self.retry_backoff_max_s >= self.visibility_timeout_s:
            msg = "retry_backoff_max_s must stay below visibility_timeout_s"
            raise ValueError(msg)
        return self

    @property
    def platform(self) -> str:
        """``developer`` (by key) or ``vertex`` (by project)."""
        return "vertex" if self.use_vertex else "developer"

    @property
    def stop_grace_s(self) -> float:
        """How long a worker may take to finish what is in flight."""
        return self.model_deadline_s + self.put_deadline_s


def read_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a setting can't be right.
    """
    try:
        return Settings(**overrides)
    except ValidationError as exc:
        faults = "; ".join(_fault(error) for error in exc.errors(include_input=False))
        raise SettingsError(faults) from None
    except (OSError, ValueError) as exc:
        msg = f"{Path(FILE).resolve()} can't be read: {exc}"
        raise SettingsError(msg) from exc


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{variable(where)}: {what}" if where else what


def variable(field: str) -> str:
    """The environment variable of a field (standard names are their own)."""
    return field if field.isupper() else f"{PREFIX}{field.upper()}"


def need(value: str | None, name: str, ways: str) -> str:
    """A setting that a command can't do without.

    Raises:
        SettingsError: it is not set; the message names the ways out.
    """
    if not value:
        msg = f"{name} is not set: {ways}"
        raise SettingsError(msg)
    return value


REDIS_WAYS = (
    "start a Redis and name it (SKUSCENE_REDIS_URL=redis://127.0.0.1:6379/0), "
    "or `docker compose up`, or try `skuscene demo`, which brings its own"
)
STORE_WAYS = (
    "name a bucket (SKUSCENE_STORE=s3://bucket/prefix) or a directory "
    "(SKUSCENE_STORE=file:///path), or try `skuscene demo`, which brings its own"
)
