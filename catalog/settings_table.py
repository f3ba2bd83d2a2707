"""Which settings are there, what are they now, and where does each value come from?

``skuscene settings`` and ``docs/settings.md`` show the same list;
``python -m catalog.settings_table > docs/settings.md`` writes the latter anew.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from catalog.settings import Settings, origin, variables

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_UNITS = {
    "_s": "seconds",
    "_days": "days",
    "_bytes": "bytes",
    "_px": "pixels",
    "_pixels": "pixels",
    "_usd": "US dollars",
}
# Read by boto3 itself; no field of ours.
_AWS = {
    "AWS_ENDPOINT_URL_S3": "Address of an S3 server other than Amazon's",
    "AWS_ACCESS_KEY_ID": "Who asks the S3 store",
    "AWS_SECRET_ACCESS_KEY": "The key that belongs to it",
    "AWS_SESSION_TOKEN": "The token of temporary credentials",
    "AWS_DEFAULT_REGION": "The bucket's region (boto3 does not read AWS_REGION)",
    "AWS_PROFILE": "Section of the credentials file to use instead",
}
_SECRET = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
_COMPUTED = {"finish_concurrency": "number of processors"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as it is shown; a secret's value is only ``set`` or ``not set``.

    ``key`` is its name in ``skuscene.toml``, ``None`` where it can't stand there. Of several
    ``variables`` the first one set wins. ``origin`` is ``environment``, ``skuscene.toml`` or
    ``default``.
    """

    key: str | None
    variables: tuple[str, ...]
    value: str
    default: str
    origin: str
    unit: str | None
    secret: bool
    description: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


def list_settings(settings: Settings) -> tuple[Setting, ...]:
    """Every setting with its value, ours first, boto3's last."""
    ours = [_ours(field, info, settings) for field, info in Settings.model_fields.items()]
    return (*ours, *(_aws(name, about) for name, about in _AWS.items()))


def markdown() -> str:
    """Write the page ``docs/settings.md``; holds no value of this machine's."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. All but the secrets may stand in a",
        "`skuscene.toml` in the working directory as well, under the name of the second column",
        "(`window = 500`); the environment wins. Unknown names in the file are refused.",
        "Of two variables for one setting the first that is set wins.",
        "`skuscene settings` shows this list with the values in use.",
        "",
        "This page is generated: `python -m catalog.settings_table > docs/settings.md`.",
        "",
        "| Variable | In `skuscene.toml` | Default | Meaning |",
        "| --- | --- | --- | --- |",
    ]
    ours = [_described(field, info) for field, info in Settings.model_fields.items()]
    aws = [_row((name,), None, "", about) for name, about in _AWS.items()]
    return "\n".join([*lines, *ours, *aws, ""])


def without_password(url: str) -> str:
    """Show a URL with stars for whoever it signs in, read or misread."""
    head, at, tail = url.rpartition("@")
    shown = f"{head.split('://')[0]}://***@{tail}" if at else url
    return re.sub(r"(password=)[^&#]*", r"\1***", shown)


def _ours(field: str, info: FieldInfo, settings: Settings) -> Setting:
    secret = _is_secret(info)
    return Setting(
        key=None if secret else field,
        variables=variables(field),
        value=_shown(getattr(settings, field), secret=secret),
        default=_default(field, info),
        origin=origin(field),
        unit=_unit(field),
        secret=secret,
        description=str(info.description),
    )


def _aws(name: str, about: str) -> Setting:
    value = os.environ.get(name) or None
    secret = name in _SECRET
    return Setting(
        key=None,
        variables=(name,),
        value=_shown(value, secret=secret),
        default="",
        origin="environment" if value else "default",
        unit=None,
        secret=secret,
        description=about,
    )


def _shown(value: object, *, secret: bool) -> str:
    if secret:
        return "set" if value else "not set"
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return without_password(str(value)) if "://" in str(value) else str(value)


def _default(field: str, info: FieldInfo) -> str:
    if field in _COMPUTED:
        return _COMPUTED[field]
    return "" if _is_secret(info) else _shown(info.default, secret=False)


def _is_secret(info: FieldInfo) -> bool:
    return info.annotation == SecretStr | None


def _unit(field: str) -> str | None:
    return next((unit for ending, unit in _UNITS.items() if field.endswith(ending)), None)


def _described(field: str, info: FieldInfo) -> str:
    unit = _unit(field)
    about = f"{info.description} ({unit})" if unit else str(info.description)
    key = None if _is_secret(info) else field
    return _row(variables(field), key, _default(field, info), about)


def _row(names: tuple[str, ...], key: str | None, default: str, about: str) -> str:
    named = " or ".join(f"`{name}`" for name in names)
    shown = f"`{default}`" if default else "-"
    return f"| {named} | {f'`{key}`' if key else '-'} | {shown} | {about} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
