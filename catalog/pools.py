"""Which pools of quota serve the models, in which order?

A pool is what one project may use of one platform: the Developer API by a key, Vertex AI, bought
throughput on it. Without a file there is one pool, made of the settings. With
``SKUSCENE_POOLS_FILE`` there are those of its ``[[pools]]``, the first one preferred. Keys stand in
the environment, and the file names their variables.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)

from catalog.money import Usd
from catalog.quota_limits import QuotaLimits, limits_of
from catalog.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from catalog.models import Platform

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""As it stands in Redis, in the store, and in what ``skuscene quota`` prints."""

Traffic = Literal["dedicated", "shared"]
"""Vertex AI's word for bought throughput, and for what is shared by all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool: who is asked, with what, and how much.

    ``quota_project`` names whose limits are shared; ``models`` are the ids that it serves, all if
    there are none.
    """

    name: str
    platform: Platform
    quota_project: str
    limits: QuotaLimits
    models: frozenset[str] = frozenset()
    api_key: SecretStr | None = field(default=None, repr=False)
    base_url: str | None = None
    cloud_project: str | None = None
    location: str = "global"
    traffic: Traffic | None = None

    def serves(self, model_id: str) -> bool:
        """Whether it may be asked for pictures of a model."""
        return not self.models or model_id in self.models


def read_pools(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, with_keys: bool = True
) -> tuple[Pool, ...]:
    """The pools in the order in which they are asked; never none.

    ``with_keys`` is for who asks a model: producers need not have the keys.

    Raises:
        SettingsError: the file can't be right, or a key is not set.
    """
    if settings.pools_file is None:
        return (_of_settings(settings),)
    file = settings.pools_file
    try:
        written = _File.model_validate(_read(file))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        msg = f"{file} (SKUSCENE_POOLS_FILE): {where}: {first['msg']}"
        raise SettingsError(msg) from exc
    keys = environ if with_keys else None
    return tuple(_of_entry(entry, file, keys) for entry in written.pools)


def first_platform(settings: Settings) -> Platform:
    """The platform that planning goes by: that of the pool that is preferred.

    Raises:
        SettingsError: the file of pools can't be right.
    """
    return read_pools(settings, with_keys=False)[0].platform


def limits_together(pools: Sequence[Pool], model_id: str) -> QuotaLimits:
    """What all pools that serve a model let through; ``None`` where one of them says nothing."""
    limits = [pool.limits for pool in pools if pool.serves(model_id)]
    return QuotaLimits(
        requests_per_minute=_sum([one.requests_per_minute for one in limits]),
        tokens_per_minute=_sum([one.tokens_per_minute for one in limits]),
        spend_micro_per_10_minutes=_sum([one.spend_micro_per_10_minutes for one in limits]),
        requests_per_day=_sum([one.requests_per_day for one in limits]),
        calls_in_flight=_sum([one.calls_in_flight for one in limits]),
    )


def _sum(amounts: Sequence[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known and len(known) == len(amounts) else None


def _of_settings(settings: Settings) -> Pool:
    vertex = settings.platform == "vertex"
    return Pool(
        name=settings.platform,
        platform=settings.platform,
        quota_project=settings.quota_project,
        limits=limits_of(settings),
        api_key=None if vertex else settings.gemini_api_key,
        base_url=settings.vertex_base_url if vertex else settings.gemini_base_url,
        cloud_project=settings.google_cloud_project,
        location=settings.google_cloud_location,
    )


class _Entry(BaseModel):
    """A pool as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    platform: Literal["developer", "vertex"]
    quota_project: Name = "default"
    models: tuple[str, ...] = ()
    api_key_variable: str | None = None
    base_url: str | None = None
    cloud_project: str | None = None
    location: str = "global"
    traffic: Traffic | None = None
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    spend_per_10_minutes_usd: Annotated[Decimal, Field(gt=0)] | None = None
    requests_per_day: PositiveInt | None = None
    calls_in_flight: PositiveInt | None = None

    @model_validator(mode="after")
    def _fits_its_platform(self) -> Self:
        if self.platform == "developer" and not self.api_key_variable:
            raise ValueError("the Developer API needs api_key_variable: what names its key")
        if self.platform == "vertex" and not self.cloud_project:
            raise ValueError("Vertex AI needs cloud_project: the project that it bills")
        if self.platform == "developer" and self.traffic is not None:
            raise ValueError("traffic is Vertex AI's alone")
        return self


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pools: tuple[_Entry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [entry.name for entry in self.pools]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            msg = f"{', '.join(doubled)} stands twice; give each pool a name of its own"
            raise ValueError(msg)
        return self


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as exc:
        msg = f"{file} (SKUSCENE_POOLS_FILE) can't be read: {exc.strerror or exc}"
        raise SettingsError(msg) from exc
    except ValueError as exc:
        msg = f"{file} (SKUSCENE_POOLS_FILE) is no TOML: {exc}"
        raise SettingsError(msg) from exc


def _of_entry(entry: _Entry, file: Path, keys: Mapping[str, str] | None) -> Pool:
    key = (keys or {}).get(entry.api_key_variable or "", "").strip()
    if keys is not None and entry.api_key_variable and not key:
        msg = (
            f"{file} (SKUSCENE_POOLS_FILE): pool {entry.name} takes its key from "
            f"{entry.api_key_variable}, which is not set"
        )
        raise SettingsError(msg)
    spend = entry.spend_per_10_minutes_usd
    return Pool(
        name=entry.name,
        platform=entry.platform,
        quota_project=entry.quota_project,
        limits=QuotaLimits(
            requests_per_minute=entry.requests_per_minute,
            tokens_per_minute=entry.tokens_per_minute,
            spend_micro_per_10_minutes=None if spend is None else Usd.parse(spend).micro,
            requests_per_day=entry.requests_per_day,
            calls_in_flight=entry.calls_in_flight,
        ),
        models=frozenset(entry.models),
        api_key=SecretStr(key) if key else None,
        base_url=entry.base_url,
        cloud_project=entry.cloud_project,
        location=entry.location,
        traffic=entry.traffic,
    )
