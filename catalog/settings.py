"""What can be set, in which unit, and which settings contradict each other?

Read from the environment, then from ``skuscene.toml``; secrets only from the environment. One
class for producers and workers, because the deadlines of one bound those of the other. In the file
a setting goes by its field's name: ``window = 500``.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

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


def _standard(*names: str, description: str, default: Any = None) -> Any:
    """Declare a setting that has a name of its own; of several names the first one set wins."""
    return Field(default=default, validation_alias=AliasChoices(*names), description=description)


class Settings(BaseSettings):
    """Every setting of Skuscene."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        # compose passes ${VAR:-} as an empty string.
        env_ignore_empty=True,
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
    models_file: Path | None = Field(
        default=None,
        description="Your own models, prices and dates: a TOML file that is laid over the shipped "
        "table (docs/models.md); the same for producers and workers",
    )
    confirm_above_usd: Decimal = Field(
        default=Decimal(20), ge=0, description="Ask (or want --yes) above this estimate"
    )

    budget_per_day_usd: Decimal | None = Field(
        default=None, gt=0, description="What all imports may cost in one UTC day; none if not set"
    )
    urgent_below_renders: NonNegativeInt = Field(
        default=50, description="An import of fewer renders goes before larger ones"
    )

    pools_file: Path | None = Field(
        default=None,
        description="Several projects, keys or platforms that serve the models: a TOML file "
        "(docs/pools.md); the same for producers and workers. The limits, the key and the platform "
        "of the other settings then count for nothing",
    )
    quota_limiter: bool = Field(
        default=True,
        description="One limiter for all workers; false where a gateway before the model limits",
    )
    quota_project: str = Field(
        default="default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of the project whose limits are shared: the same for all its keys",
    )
    quota_requests_per_minute: PositiveInt | None = Field(
        default=None, description="Calls per minute and model; found by trying if not set"
    )
    quota_images_per_minute: PositiveInt | None = Field(
        default=None, description="Pictures per minute and model; found by trying if not set"
    )
    quota_tokens_per_minute: PositiveInt | None = Field(
        default=None, description="Tokens, sent and answered, per minute and model"
    )
    quota_spend_per_10_minutes_usd: Decimal | None = Field(
        default=None, gt=0, description="Most that may be spent on a model in any 10 minutes"
    )
    quota_requests_per_day: PositiveInt | None = Field(
        default=None, description="Calls per model and day (US Pacific time)"
    )
    quota_calls_in_flight: PositiveInt | None = Field(
        default=None, description="Calls of all workers open at once, per model"
    )
    quota_wait_s: PositiveFloat = Field(
        default=20.0,
        description="A worker waits so long for its turn to call; beyond that, the message waits",
    )

    window: PositiveInt = Field(
        default=2_000, description="Renders kept open per import, whole shards at a time"
    )
    batch_window: PositiveInt = Field(
        default=20_000, description="The same for an import that is bought in batches"
    )
    batch_requests: PositiveInt = Field(default=500, description="Renders per batch at most")
    batch_gather_s: PositiveFloat = Field(
        default=60.0,
        description="A shard's renders wait so long for one another",
    )
    batch_look_every_s: PositiveFloat = Field(
        default=60.0, description="How often the platform is asked how a batch stands"
    )
    batch_pending_s: PositiveFloat = Field(
        default=43_200.0, description="A batch that waits longer is cancelled and ordered again"
    )
    batch_running_s: PositiveFloat = Field(
        default=86_400.0,
        description="One that runs longer is cancelled, and its rest ordered again",
    )
    shard_products: PositiveInt = Field(default=200, description="Products per shard")
    max_attempts: PositiveInt = Field(default=3, description="Real attempts before a render fails")
    max_doubtful: PositiveInt = Field(
        default=2,
        description="How often a call that nobody answered is made again before its render fails",
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
    spool_dir: Path | None = Field(
        default=None,
        description="Where paid pictures wait for the store: a folder on this machine's disk that "
        "outlives the worker; skuscene/spool in the user's state folder if not set",
    )
    spool_max_age_s: PositiveFloat = Field(
        default=86_400.0,
        description="A picture that waited this long for the store is bought again",
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
        default=10.0,
        description="Oldest ledger line that is not yet in the store; at most half of LEASE_S",
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
        default=64,
        description="Model calls in flight per worker, an eighth of them for urgent renders only",
    )
    finish_concurrency: PositiveInt = Field(
        default_factory=lambda: os.cpu_count() or 1, description="Encoder processes"
    )
    control_concurrency: PositiveInt = Field(default=2, description="Control tasks at once")
    redis_server: str | None = Field(
        default=None, description="Redis-compatible server binary for demo and tests"
    )

    gemini_api_key: SecretStr | None = _standard(
        "GOOGLE_API_KEY", "GEMINI_API_KEY", description="Key of the Gemini Developer API"
    )
    gemini_base_url: str | None = _standard(
        "GOOGLE_GEMINI_BASE_URL",
        description="Where the Developer API is asked instead, such as a simulator",
    )
    vertex_base_url: str | None = _standard(
        "GOOGLE_VERTEX_BASE_URL",
        description="Where Vertex AI is asked instead, such as a simulator",
    )
    use_vertex: bool = _standard(
        "GOOGLE_GENAI_USE_ENTERPRISE",
        "GOOGLE_GENAI_USE_VERTEXAI",
        default=False,
        description="Ask Vertex AI, by project, instead of the Developer API, by key",
    )
    google_cloud_project: str | None = _standard(
        "GOOGLE_CLOUD_PROJECT", description="Project that Vertex AI bills"
    )
    google_cloud_location: str = _standard(
        "GOOGLE_CLOUD_LOCATION", default="global", description="Region that Vertex AI is asked in"
    )

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
        return None if value == "" else value

    @field_validator("fetch_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _deadlines_nest(self) -> Self:
        if self.lease_renew_s * 3 > self.lease_s:
            msg = (
                "lease_renew_s must be at most a third of lease_s: otherwise one late renewal, or "
                "a restarted Redis, lets a second worker buy beside a live one"
            )
            raise ValueError(msg)
        if self.visibility_timeout_s < 2 * self.model_deadline_s:
            msg = (
                "visibility_timeout_s must be at least twice model_deadline_s: otherwise a "
                "message is delivered again while its call is still open"
            )
            raise ValueError(msg)
        if self.visibility_timeout_s <= self.stop_grace_s:
            msg = (
                "visibility_timeout_s must be longer than model_deadline_s and put_deadline_s "
                "together: otherwise a message is delivered again while its picture is being put"
            )
            raise ValueError(msg)
        if self.retry_backoff_max_s >= self.visibility_timeout_s:
            msg = "retry_backoff_max_s must stay below visibility_timeout_s"
            raise ValueError(msg)
        if self.spool_max_age_s <= self.put_deadline_s:
            msg = (
                "spool_max_age_s must be longer than put_deadline_s: otherwise a picture is "
                "bought again while the store is still being asked to take it"
            )
            raise ValueError(msg)
        return self

    @property
    def platform(self) -> Literal["developer", "vertex"]:
        """``developer`` (by key) or ``vertex`` (by project)."""
        return "vertex" if self.use_vertex else "developer"

    @property
    def spool_folder(self) -> Path:
        """Where paid pictures wait for the store.

        Raises:
            SettingsError: it is not set, and this user has no home.
        """
        if self.spool_dir is not None:
            return self.spool_dir
        try:
            state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        except RuntimeError as exc:
            raise SettingsError("SKUSCENE_SPOOL_DIR is not set: name a folder") from exc
        return Path(state) / "skuscene" / "spool"

    @property
    def stop_grace_s(self) -> float:
        """How long a worker may take to finish what is in flight."""
        return self.model_deadline_s + self.put_deadline_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Settings as far as they can be right, and what is wrong with the others.

    Settings at fault stand at their defaults.
    """

    settings: Settings
    faults: tuple[str, ...]


def read_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a setting can't be right.
    """
    faults = file_faults(_in_file())
    if not faults:
        try:
            return Settings(**overrides)
        except ValidationError as exc:
            faults = _faults(exc)
    raise SettingsError("; ".join(faults))


def examine_settings() -> Reading:
    """Read what can be read, and say what can't: for those who report instead of stopping."""
    try:
        faults = list(file_faults(_in_file()))
    except SettingsError as exc:
        return _examine(_WithoutFile, [str(exc)])
    return _examine(Settings, faults)


def variables(field: str) -> tuple[str, ...]:
    """Every environment variable that sets a field, the strongest first."""
    info = Settings.model_fields.get(field)
    alias = info.validation_alias if info else None
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (variable(field),)


def variable(field: str) -> str:
    """The environment variable of a field (standard names are their own)."""
    return field if field.isupper() else f"{PREFIX}{field.upper()}"


def origin(field: str) -> str:
    """Where a field's value comes from: ``environment``, ``skuscene.toml`` or ``default``."""
    if _given(field):
        return "environment"
    return FILE if field in _in_file() else "default"


def unknown_variables() -> tuple[str, ...]:
    """Say of every ``SKUSCENE_...`` variable that sets nothing what was perhaps meant."""
    known = [name for field in Settings.model_fields for name in variables(field)]
    strangers = sorted(
        name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known
    )
    return tuple(f"{name} is no setting{_meant(name.upper(), known)}" for name in strangers)


def file_faults(given: dict[str, Any]) -> tuple[str, ...]:
    """Say what must not stand in ``skuscene.toml``."""
    return tuple(fault for key, value in given.items() if (fault := _file_fault(key, value)))


class _WithoutFile(Settings):
    """For when the file can't be read at all."""

    model_config = SettingsConfigDict(toml_file=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings


def _examine(kind: type[Settings], faults: list[str]) -> Reading:
    defaults: dict[str, Any] = {}
    while True:
        try:
            return Reading(settings=kind(**defaults), faults=tuple(faults))
        except ValidationError as exc:
            faults += _faults(exc)
            wrong = _fields_at_fault(exc) - defaults.keys()
            if not wrong:
                raise
        # Every turn takes a field away: the last one stands on defaults alone.
        fields = {field: Settings.model_fields[field] for field in wrong}
        defaults |= {
            field: info.get_default(call_default_factory=True, validated_data={})
            for field, info in fields.items()
        }


def _fields_at_fault(exc: ValidationError) -> set[str]:
    found: set[str] = set()
    for error in exc.errors(include_input=False):
        name = str(error["loc"][0]) if error["loc"] else ""
        found |= {_field_of(name)} if name else _DEADLINES
    return found


_DEADLINES = {
    "lease_s",
    "lease_renew_s",
    "model_deadline_s",
    "put_deadline_s",
    "retry_backoff_max_s",
    "spool_max_age_s",
    "visibility_timeout_s",
}


def _in_file() -> dict[str, Any]:
    path = Path(FILE)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as exc:
        msg = f"{path.resolve()} can't be read: {exc}"
        raise SettingsError(msg) from exc


def _file_fault(key: str, value: object) -> str | None:
    if key.lower() in _SECRETS:
        return f"{FILE}: {key}: secrets are read from the environment only; take it out"
    if key == "redis_url" and isinstance(value, str) and _has_password(value):
        return (
            f"{FILE}: redis_url holds a password, and secrets are read from the environment "
            "only: set SKUSCENE_REDIS_URL there"
        )
    if key in Settings.model_fields:
        return None
    field = _field_of(key.upper())
    if field in Settings.model_fields:
        return f"{FILE}: {key} is written {field} here"
    return f"{FILE}: {key} is no setting{_meant(key, list(Settings.model_fields))}"


def _has_password(url: str) -> bool:
    return re.search(r":[^/@]*@|password=", url.partition("://")[2]) is not None


def _meant(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else "; `skuscene settings` lists them all"


_SECRETS = {
    "gemini_api_key",
    "google_api_key",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
}


def _faults(exc: ValidationError) -> tuple[str, ...]:
    return tuple(_fault(error) for error in exc.errors(include_input=False))


def _fault(error: Any) -> str:
    what = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return what
    field = _field_of(str(error["loc"][0]))
    where = _given(field) or (f"{FILE}: {field}" if origin(field) == FILE else variables(field)[0])
    return f"{where}: {what}"


def _given(field: str) -> str | None:
    """The variable that a field is set by, if one is."""
    given = {name.upper() for name, value in os.environ.items() if value}
    return next((name for name in variables(field) if name in given), None)


def _field_of(name: str) -> str:
    """The field that an environment variable sets; a field's name stands for itself."""
    of_name = {name: field for field in Settings.model_fields for name in variables(field)}
    return of_name.get(name, name)


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
