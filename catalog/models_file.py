"""Which models did a user add or change?

A file of the shape of ``catalog/data/models.toml``, with as little in it as somebody wants to say.
Entries of the same id are laid over the shipped ones field by field, in tables too; lists are
replaced as a whole. New ids and aliases are added.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Raw = dict[str, Any]

_TABLES = ("aliases", "pixel_tables")
_ENTRIES = ("retired", "models")


class ModelsFileError(ValueError):
    """The user's file of models can't be right; the message says file, entry and what is wrong."""


def lay_over(shipped: Raw, file: Path) -> tuple[Raw, dict[str, tuple[str, ...]]]:
    """Lay a user's file over the shipped table; says as well which fields of which model it gave.

    Raises:
        ModelsFileError: the file can't be read, or has not the shape.
    """
    own = _read(file)
    if unknown := set(own) - {*_TABLES, *_ENTRIES}:
        msg = (
            f"{file}: {', '.join(sorted(unknown))}: nothing of that name belongs here; there are "
            f"{', '.join((*_TABLES, *_ENTRIES))}"
        )
        raise ModelsFileError(msg)
    merged = dict(shipped)
    for name in _TABLES:
        given = own.get(name, {})
        if not _is_table_of_tables(given):
            msg = f"{file}: {name}: write tables, as in [{name}.some-name]"
            raise ModelsFileError(msg)
        merged[name] = _over(shipped[name], given)
    for name in _ENTRIES:
        merged[name] = _entries(shipped[name], own.get(name, []), f"{file}: {name}")
    given = {entry["id"]: tuple(_fields(entry)) for entry in own.get("models", ())}
    for entry in merged["models"]:
        _say_source(entry, given.get(entry["id"], ()), file)
    return merged, given


def _read(file: Path) -> Raw:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as exc:
        msg = f"{file} (SKUSCENE_MODELS_FILE) can't be read: {exc.strerror or exc}"
        raise ModelsFileError(msg) from exc
    except ValueError as exc:
        msg = f"{file} (SKUSCENE_MODELS_FILE) is no TOML: {exc}"
        raise ModelsFileError(msg) from exc


def _is_table_of_tables(given: object) -> bool:
    return isinstance(given, dict) and all(isinstance(table, dict) for table in given.values())


def _entries(shipped: list[Raw], given: object, where: str) -> list[Raw]:
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        msg = f"{where}: write entries, as in [[{where.rpartition(' ')[2]}]]"
        raise ModelsFileError(msg)
    entries = {entry["id"]: entry for entry in shipped}
    seen: set[str] = set()
    for number, entry in enumerate(given, start=1):
        name = entry.get("id")
        if not isinstance(name, str) or not name.strip():
            msg = f"{where}: entry {number} has no id"
            raise ModelsFileError(msg)
        if name in seen:
            msg = f"{where}: {name!r} stands twice"
            raise ModelsFileError(msg)
        seen.add(name)
        entries[name] = _over(entries.get(name, {}), entry)
    return list(entries.values())


def _over(under: Raw, over: Raw) -> Raw:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _over(below, value)
        else:
            merged[key] = value
    return merged


def _fields(entry: Raw, prefix: str = "") -> Iterator[str]:
    for key, value in entry.items():
        if isinstance(value, dict) and value:
            yield from _fields(value, f"{prefix}{key}.")
        elif prefix or key != "id":
            yield f"{prefix}{key}"


def _say_source(entry: Raw, given: tuple[str, ...], file: Path) -> None:
    """Never let a price of the user's go by the shipped one's source and date."""
    prices = entry.get("prices")
    if isinstance(prices, dict) and any(field.startswith("prices.") for field in given):
        untold = {"prices.source", "prices.as_of"} - set(given)
        said = {"source": str(file), "as_of": None}
        entry["prices"] = prices | {
            key: value for key, value in said.items() if f"prices.{key}" in untold
        }
