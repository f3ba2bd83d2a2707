"""``skuscene models`` and ``skuscene settings``: what is there, and what does it cost?"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from catalog.models import Lane, Model, ModelTable, Platform, UnknownModel, load_models
from catalog.pools import first_platform
from catalog.settings import read_settings
from catalog.settings_table import Setting, list_settings
from producers import display
from producers.exits import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from datetime import date

    from rich.console import RenderableType

_REFERENCES = 3
_LANES: tuple[Lane, ...] = ("standard", "batch")


def run_models(options: argparse.Namespace) -> int:
    """List image models, their prices and their dates."""
    settings = read_settings()
    shelf = Shelf(
        table=load_models(settings.models_file),
        platform=first_platform(settings),
        chosen=settings.model,
        today=datetime.now(UTC).date(),
    )
    if options.json:
        _print_json(shelf.to_dict())
    else:
        _print(shelf.as_table())
        for line in shelf.notes():
            _print(Text(line))
    return Exit.DONE


def run_settings(options: argparse.Namespace) -> int:
    """List every setting and its value."""
    listed = list_settings(read_settings())
    if options.json:
        _print_json({"settings": [setting.to_dict() for setting in listed]})
    else:
        _print(_settings_table(listed))
    return Exit.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The models as one platform offers them on one day; ``chosen`` is the name that is set."""

    table: ModelTable
    platform: Platform
    chosen: str
    today: date

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it; prices are US dollars for one picture."""
        default, objection = self._default()
        return {
            "platform": self.platform,
            "default": {
                "name": self.chosen,
                "id": default.id if default else None,
                "objection": objection,
            },
            "models_file": self.table.file,
            "models": [self._facts(model) for model in self.table.models],
            "retired": [gone.model_dump(mode="json") for gone in self.table.retired],
        }

    def as_table(self) -> Table:
        """As a person reads it: a block per model, a line per size."""
        default, _ = self._default()
        table = Table(box=None, pad_edge=False, padding=(0, 3, 1, 0))
        for name in ("model", "state", "refs", "size", "USD now", "in a batch"):
            table.add_column(name, justify="right" if "USD" in name or "batch" in name else "left")
        for model in self.table.models:
            mark = " (default)" if default and model.id == default.id else ""
            names = ", ".join(self.table.aliases_of(model, self.platform))
            prices = [model_prices(model, size) for size in model.sizes]
            table.add_row(
                "\n".join(filter(None, (f"{model.id}{mark}", model.nickname, names))),
                "\n".join(self._states(model)),
                str(model.max_references),
                "\n".join(model.sizes),
                "\n".join(f"{price['standard']:.4f}" for price in prices),
                "\n".join(f"{price['batch']:.4f}" for price in prices),
            )
        return table

    def notes(self) -> list[str]:
        """What stands beneath the table."""
        _, objection = self._default()
        basis = (
            f"platform: {self.platform}; a price is one picture with {_REFERENCES} references, "
            "thinking counted; a batch ends within 24 hours"
        )
        notes = [basis]
        if self.table.file:
            notes.append(f"laid over by {self.table.file} (SKUSCENE_MODELS_FILE):")
        notes += [f"  {name}: {', '.join(fields)}" for name, fields in self.table.given.items()]
        for model in self.table.models:
            notes += _told(model)
        if objection:
            notes.append(f"warning: SKUSCENE_MODEL: {objection}")
        for model in self.table.models:
            life = self.table.lifecycle(model, self.platform, self.today)
            told = (*life.warnings, life.refusal) if life.refusal else life.warnings
            notes += [f"warning: {line}" for line in told]
        notes += [
            f"gone: {gone.id} since {gone.ended_on}; use {gone.successor}"
            for gone in self.table.retired
        ]
        return notes

    def _default(self) -> tuple[Model | None, str | None]:
        try:
            return self.table.resolve(self.chosen, platform=self.platform), None
        except UnknownModel as exc:
            return None, str(exc.args[0])

    def _facts(self, model: Model) -> dict[str, Any]:
        default, _ = self._default()
        offer = model.platforms.get(self.platform)
        life = self.table.lifecycle(model, self.platform, self.today)
        return {
            "id": model.id,
            "nickname": model.nickname,
            "aliases": list(self.table.aliases_of(model, self.platform)),
            "is_default": default is not None and model.id == default.id,
            "state": self._state(model),
            "deprecated_on": _day(offer.deprecated_on) if offer else None,
            "successor": offer.successor if offer else None,
            "ends": [
                {"on": _day(report.on), "source": report.source}
                for report in (offer.shutdown if offer else ())
            ],
            "warnings": list(life.warnings),
            "refusal": life.refusal,
            "sizes": list(model.sizes),
            "max_references": model.max_references,
            "price_usd": {size: model_prices(model, size) for size in model.sizes},
            "price_references": _counted(model),
            "price_source": model.prices.source,
            "price_as_of": _day(model.prices.as_of),
            "prices_usd_per_million_tokens": {
                "input": float(model.prices.input),
                "text_output": float(model.prices.text_output),
                "image_output": float(model.prices.image_output),
                "batch_factor": float(model.prices.batch_factor),
            },
            "ratios": list(model.ratios),
            "tokens": {
                "input_image": model.input_image_tokens,
                "output_image": {size: model.output_image_tokens[size] for size in model.sizes},
                "thinking_allowance": model.thinking_allowance_tokens,
            },
            "platforms": {
                name: replace(self, platform=name).life(model) for name in model.platforms
            },
            "from_file": list(self.table.given.get(model.id, ())),
        }

    def life(self, model: Model) -> dict[str, Any]:
        """A model's life on this platform, with the sources of its dates."""
        offer = model.platforms[self.platform]
        return {
            "state": self._state(model),
            "aliases": list(self.table.aliases_of(model, self.platform)),
            "available_from": _day(offer.available_from),
            "deprecated_on": _day(offer.deprecated_on),
            "successor": offer.successor,
            "ends": [
                {"on": _day(report.on), "source": report.source, "read": _day(report.read)}
                for report in offer.shutdown
            ],
        }

    def _state(self, model: Model) -> str:
        offer = model.platforms.get(self.platform)
        if offer is None:
            return "not offered"
        if self.table.lifecycle(model, self.platform, self.today).refusal:
            return "ended"
        if offer.available_from and offer.available_from > self.today:
            return "announced"
        if offer.deprecated_on and offer.deprecated_on <= self.today:
            return "deprecated"
        return "current"

    def _states(self, model: Model) -> list[str]:
        offer = model.platforms.get(self.platform)
        state = self._state(model)
        if offer is None:
            return [state]
        if state == "deprecated":
            state = f"deprecated since {offer.deprecated_on}"
        if state == "announced":
            state = f"available from {offer.available_from}"
        days = sorted({report.on for report in offer.shutdown if report.on})
        # A source that names no date, or another one, leaves a doubt; the warnings tell it whole.
        doubt = "?" if len({report.on for report in offer.shutdown}) > 1 else ""
        return [state, *(f"ends {day}{doubt}" for day in days[:1])]


def _told(model: Model) -> Iterator[str]:
    prices = model.prices
    read = f", {prices.as_of}" if prices.as_of else ""
    pictures = ", ".join(f"{size} {model.output_image_tokens[size]}" for size in model.sizes)
    yield (
        f"{model.id}: USD per million tokens: {prices.input} in, {prices.text_output} text and "
        f"thoughts, {prices.image_output} pictures ({prices.source}{read})"
    )
    yield f"  tokens: {model.input_image_tokens} a reference, pictures {pictures}"
    yield f"  ratios: {', '.join(model.ratios)}{' and any other' if model.any_ratio else ''}"
    for platform, offer in model.platforms.items():
        life = [
            f"from {offer.available_from}" if offer.available_from else "",
            f"deprecated on {offer.deprecated_on}" if offer.deprecated_on else "",
            f"successor {offer.successor}" if offer.successor else "",
            *(f"ends {end.on or 'on no set date'} ({end.source})" for end in offer.shutdown),
        ]
        yield f"  {platform}: {'; '.join(filter(None, life)) or 'no dates known'}"


def model_prices(model: Model, size: str) -> dict[str, float]:
    """What one picture costs in each lane, in US dollars."""
    return {
        lane: float(model.reserve(references=_counted(model), size=size, lane=lane))
        for lane in _LANES
    }


def _counted(model: Model) -> int:
    return min(_REFERENCES, model.max_references)


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _settings_table(listed: Sequence[Setting]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("setting", "value", "from", "meaning"):
        table.add_column(name, overflow="fold")
    for setting in listed:
        unit = f" ({setting.unit})" if setting.unit else ""
        table.add_row(
            Text(" or ".join(setting.variables)),
            Text(setting.value or "-", style="" if setting.origin == "default" else "bold"),
            setting.origin,
            Text(f"{setting.description}{unit}"),
        )
    return table


def _print(shown: RenderableType) -> None:
    console = display.out()
    if not console.is_terminal and isinstance(shown, Table):
        # A file or a pipe has no width; a line that is broken can't be searched.
        console.width = _WIDE
    console.print(shown)


_WIDE = 240


def _print_json(shape: Any) -> None:
    sys.stdout.write(json.dumps(shape, ensure_ascii=False, indent=2) + "\n")
