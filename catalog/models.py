"""Which image models are there, what can each do, and what does a picture cost?

The table is data, ``catalog/data/models.toml``, and what a user's own file lays over it
(:mod:`catalog.models_file`): no model's id stands in code. Its prices serve estimates and bills
alike; the tokens on a bill are those that the model reported.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, Self

from pydantic import Field, ValidationError, model_validator

from catalog.models_file import ModelsFileError, lay_over
from catalog.money import Usd
from catalog.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

Platform = Literal["developer", "vertex"]
Lane = Literal["standard", "batch"]

# What is reserved for a prompt: scene, product text and our rules; 1 200 letters.
PROMPT_TOKENS = 300
# Of the thinking that is reserved for, what is expected where nobody says or has seen better.
_EXPECTED_OF_ALLOWANCE = 3
# A shutdown nearer than this is worth a warning, even if nobody calls the model deprecated.
NOTICE_DAYS = 90

_EDGE_PX = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
_CODEC_STEP_PX = 8
_VERSION = re.compile(r"[-@]\d{3}")

Count = Annotated[int, Field(ge=0)]
Dollars = Annotated[Decimal, Field(ge=0)]
PixelSize = tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
"""Width and height, in pixels."""
PixelTable = dict[str, dict[str, PixelSize]]
"""Ratio, then size, to pixels."""


class UnknownModel(LookupError):
    """No model goes by this name; the message names those that nearly do."""


class TokenCounts(Protocol):
    """Tokens as a model reported them; zero where it reported nothing."""

    @property
    def input_tokens(self) -> int:
        """Prompt and references."""
        ...

    @property
    def output_image_tokens(self) -> int:
        """Pictures."""
        ...

    @property
    def output_text_tokens(self) -> int:
        """Words in the answer."""
        ...

    @property
    def thought_tokens(self) -> int:
        """Thinking, drafts included."""
        ...


class Prices(Wire):
    """US dollars per million tokens, which are micro-dollars per token; where and when read.

    ``text_output`` is the price of thoughts as well. ``batch_factor`` is what the batch lane leaves
    of all three. ``as_of`` is ``None`` where a user's file does not say.
    """

    input: Dollars
    text_output: Dollars
    image_output: Dollars
    batch_factor: Annotated[Decimal, Field(gt=0, le=1)]
    source: str
    as_of: date | None


class Shutdown(Wire):
    """What one source says of a model's end; without ``on`` it says that no date is set."""

    on: date | None = None
    source: str
    read: date


class Offer(Wire):
    """A model's life on one platform."""

    available_from: date | None = None
    deprecated_on: date | None = None
    successor: str | None = None
    shutdown: tuple[Shutdown, ...] = ()


class Retired(Wire):
    """A model that is gone from every platform."""

    id: str
    ended_on: date
    successor: str
    source: str
    read: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """May a model be asked on a day? ``refusal`` is the reason why not, else ``None``."""

    warnings: tuple[str, ...] = ()
    refusal: str | None = None


class Model(Wire):
    """One image model: what it is called, what it can do and what it costs.

    ``is_preview`` marks what is drawn on this machine and sold by nobody.
    ``thinking_level`` is what we send; ``None`` sends nothing. ``sends_size`` is false for a model
    that has no setting for its only size. ``thinking_allowance_tokens`` are reserved for a call and
    rarely passed; ``thinking_expected_tokens`` is the mean, a third of that where nobody says.
    """

    id: str
    nickname: str
    platforms: dict[Platform, Offer]
    sizes: tuple[str, ...]
    ratios: tuple[str, ...]
    is_preview: bool = False
    any_ratio: bool = False
    sends_size: bool = True
    pixel_sizes: PixelTable
    max_references: Count
    output_image_tokens: dict[str, Count]
    input_image_tokens: Count
    thinking_level: str | None = None
    thinking_allowance_tokens: Count
    thinking_expected_tokens: Count | None = None
    output_media_types: tuple[str, ...]
    prices: Prices

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for size in self.sizes:
            if size not in self.output_image_tokens:
                raise ValueError(f"{self.id}: no output_image_tokens for size {size}")
            for ratio in self.ratios:
                if size not in self.pixel_sizes.get(ratio, {}):
                    raise ValueError(f"{self.id}: no pixels for ratio {ratio} at size {size}")
        return self

    def objections(self, *, ratio: str, size: str, references: int) -> tuple[str, ...]:
        """Say why the model can't be asked for such a picture; empty if it can."""
        found = []
        if size not in self.sizes:
            found.append(f"{self.id} has no size {size!r}; it has {', '.join(self.sizes)}")
        if not self._has_ratio(ratio):
            found.append(f"{self.id} has no ratio {ratio!r}; it has {', '.join(self.ratios)}")
        if references > self.max_references:
            found.append(
                f"{self.id} takes at most {self.max_references} reference photos, not {references}"
            )
        return tuple(found)

    def pixels(self, ratio: str, size: str) -> PixelSize:
        """Say how wide and how high a picture comes, in pixels.

        The documented size; models have been seen to return others, so a picture is measured.

        Raises:
            ValueError: the model has no such ratio or size.
        """
        if objections := self.objections(ratio=ratio, size=size, references=0):
            raise ValueError("; ".join(objections))
        listed = self.pixel_sizes.get(ratio, {}).get(size)
        return listed or _scaled(_ratio(ratio), _EDGE_PX[size])

    @property
    def expected_thought_tokens(self) -> int:
        """What a picture's thinking is expected to come to."""
        if self.thinking_expected_tokens is not None:
            return self.thinking_expected_tokens
        return self.thinking_allowance_tokens // _EXPECTED_OF_ALLOWANCE

    def reserve(self, *, references: int, size: str, lane: Lane) -> Usd:
        """Say what to set aside for one picture: a bound that a call rarely passes.

        Prompt, references and all the thinking that is allowed for are in it, so that it is more
        than what most calls cost; what they are expected to cost is ``producers.pricing``.

        Raises:
            ValueError: the model has no such size.
        """
        if size not in self.output_image_tokens:
            raise ValueError(f"{self.id} has no size {size!r}; it has {', '.join(self.sizes)}")
        return self.price(
            input_tokens=PROMPT_TOKENS + references * self.input_image_tokens,
            text_tokens=self.thinking_allowance_tokens,
            image_tokens=self.output_image_tokens[size],
            lane=lane,
        )

    def tokens(self, *, references: int, size: str) -> int:
        """Say how many tokens one picture is expected to take from a limit, answer included."""
        return (
            PROMPT_TOKENS
            + references * self.input_image_tokens
            + self.thinking_allowance_tokens
            + self.output_image_tokens.get(size, 0)
        )

    def cost(self, counts: TokenCounts, *, size: str | None, lane: Lane) -> Usd:
        """Say what a call cost, from the tokens that the model reported, rounded up.

        ``size`` is that of the picture which came, or ``None`` if none came; a picture whose tokens
        went unreported is counted by the table.
        """
        image_tokens = counts.output_image_tokens
        if not image_tokens and size is not None:
            image_tokens = self.output_image_tokens.get(size, 0)
        return self.price(
            input_tokens=counts.input_tokens,
            text_tokens=counts.output_text_tokens + counts.thought_tokens,
            image_tokens=image_tokens,
            lane=lane,
        )

    def _has_ratio(self, ratio: str) -> bool:
        if ratio in self.ratios:
            return True
        return self.any_ratio and _ratio(ratio) > 0

    def price(self, *, input_tokens: int, text_tokens: int, image_tokens: int, lane: Lane) -> Usd:
        """Say what so many tokens cost, rounded up to a millionth."""
        micro = (
            input_tokens * self.prices.input
            + text_tokens * self.prices.text_output
            + image_tokens * self.prices.image_output
        )
        if lane == "batch":
            micro *= self.prices.batch_factor
        return Usd(int(micro.to_integral_value(ROUND_CEILING)))


class ModelTable(Wire):
    """Every model that we know, and the names it goes by.

    ``given`` are the fields that the user's ``file`` said, by model, as in ``prices.input``.
    """

    aliases: dict[str, dict[Platform, str]]
    retired: tuple[Retired, ...]
    models: tuple[Model, ...]
    file: str | None = None
    given: dict[str, tuple[str, ...]] = Field(default={})

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> Self:
        ids = {model.id for model in self.models}
        named = {target for alias in self.aliases.values() for target in alias.values()}
        named |= {
            offer.successor
            for model in self.models
            for offer in model.platforms.values()
            if offer.successor
        }
        if lost := named - ids:
            raise ValueError(f"named, but not in the table: {', '.join(sorted(lost))}")
        return self

    def find(self, model_id: str) -> Model | None:
        """Look a model up by its exact id."""
        return next((model for model in self.models if model.id == model_id), None)

    def is_preview(self, model_id: str) -> bool:
        """Say whether a model is drawn on this machine, by its exact id."""
        found = self.find(model_id)
        return found is not None and found.is_preview

    def resolve(self, name: str, *, platform: Platform) -> Model:
        """Say which model a person means on a platform, by alias or by id.

        Raises:
            UnknownModel: nothing goes by that name, or it is gone for good.
        """
        wanted = name.strip().lower()
        model = self.find(self.aliases.get(wanted, {}).get(platform, wanted))
        if model is None:
            raise UnknownModel(self._unknown(wanted, platform))
        return model

    def aliases_of(self, model: Model, platform: Platform) -> tuple[str, ...]:
        """List the names that lead to a model on a platform."""
        return tuple(alias for alias, ids in self.aliases.items() if ids.get(platform) == model.id)

    def lifecycle(self, model: Model, platform: Platform, on: date) -> Lifecycle:
        """Judge whether a model can be used on a day: the day on which an import would end.

        Refused is only what every source calls ended by then; sources that disagree make a warning.
        """
        offer = model.platforms.get(platform)
        if offer is None:
            others = ", ".join(model.platforms)
            return Lifecycle(refusal=f"{model.id} is not offered on {platform}, only on {others}")
        instead = f"; use {offer.successor}" if offer.successor else ""
        ended = [report for report in offer.shutdown if report.on and report.on <= on]
        if ended and len(ended) == len(offer.shutdown):
            last = max(report.on for report in ended if report.on)
            return Lifecycle(
                refusal=f"{model.id} ends on {platform} on {last} ({ended[0].source}){instead}"
            )
        return Lifecycle(warnings=tuple(_warnings(model.id, offer, on, instead)))

    def _unknown(self, name: str, platform: Platform) -> str:
        for gone in self.retired:
            if gone.id == name:
                return f"{name} ended on {gone.ended_on} ({gone.source}); use {gone.successor}"
        known = [*self.aliases, *(model.id for model in self.models)]
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        meant = f"; did you mean {', '.join(close)}?" if close else ";"
        return f"{name!r} is no model known on {platform}{meant} `skuscene models` lists them"


@functools.cache
def load_models(file: Path | None = None) -> ModelTable:
    """Read the table that ships with the program, with a user's file over it; once per process.

    Raises:
        ModelsFileError: the file can't be right.
    """
    text = resources.files("catalog").joinpath("data/models.toml").read_text(encoding="utf-8")
    if file is None:
        return parse_models(text)
    shipped = tomllib.loads(text, parse_float=Decimal)
    raw, given = lay_over(shipped, file)
    return _table_of(raw, file, given)


def parse_models(text: str) -> ModelTable:
    """Read a table from TOML.

    Raises:
        pydantic.ValidationError: the table is incomplete, or says something unknown.
    """
    raw = tomllib.loads(text, parse_float=Decimal)
    tables = raw.pop("pixel_tables")
    for model in raw["models"]:
        model["pixel_sizes"] = tables[model.pop("pixel_table")]
    return ModelTable.model_validate(raw)


def _table_of(raw: dict[str, Any], file: Path, given: dict[str, tuple[str, ...]]) -> ModelTable:
    """Validate entry by entry, so that a fault says where it is."""
    tables = raw.pop("pixel_tables")
    models = [_entry(Model, _with_pixels(entry, tables, file), file) for entry in raw["models"]]
    retired = [_entry(Retired, entry, file) for entry in raw["retired"]]
    try:
        return ModelTable.model_validate(
            {**raw, "models": models, "retired": retired, "file": str(file), "given": given}
        )
    except ValidationError as exc:
        raise ModelsFileError(f"{file}: {_words(exc)}") from exc


def _with_pixels(
    entry: dict[str, Any], tables: dict[str, PixelTable], file: Path
) -> dict[str, Any]:
    named = entry.get("pixel_table")
    if named not in tables:
        msg = f"{file}: {entry['id']}: pixel_table {named!r}: there are {', '.join(tables)}"
        raise ModelsFileError(msg)
    rest = {key: value for key, value in entry.items() if key != "pixel_table"}
    return {**rest, "pixel_sizes": tables[named]}


def _entry(kind: type[Wire], entry: dict[str, Any], file: Path) -> Wire:
    try:
        return kind.model_validate(entry)
    except ValidationError as exc:
        raise ModelsFileError(f"{file}: {entry['id']}: {_words(exc)}") from exc


def _words(exc: ValidationError) -> str:
    return "; ".join(_fault(error) for error in exc.errors(include_url=False, include_input=False))


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def is_answer_of(asked: str, answered: str) -> bool:
    """Whether an answer's model is the one that was asked, as far as its name tells.

    Providers name a version (``-001``, ``@002``) or a path (``models/...``) where we name a model;
    any other name is another model's. An answer without a name is believed.
    """
    name = answered.rpartition("/")[2]
    return name in {"", asked} or _VERSION.fullmatch(name.removeprefix(asked)) is not None


def _warnings(model_id: str, offer: Offer, on: date, instead: str) -> list[str]:
    found = []
    if offer.available_from and on < offer.available_from:
        found.append(f"{model_id} is available from {offer.available_from} on")
    if offer.deprecated_on and offer.deprecated_on <= on:
        found.append(f"{model_id} is deprecated since {offer.deprecated_on}{instead}")
    soon = on + timedelta(days=NOTICE_DAYS)
    if any(report.on and report.on <= soon for report in offer.shutdown):
        told = "; ".join(f"{report.on or 'no date'} ({report.source})" for report in offer.shutdown)
        found.append(f"the end of {model_id}: {told}")
    return found


def _ratio(ratio: str) -> Fraction:
    """Read ``"4:5"``; zero if it is no ratio."""
    width, _, height = ratio.partition(":")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        return Fraction(0)
    return Fraction(int(width), int(height)) if int(height) else Fraction(0)


def _scaled(ratio: Fraction, edge_px: int) -> PixelSize:
    width = edge_px * math.sqrt(ratio)
    height = edge_px / math.sqrt(ratio)
    return _stepped(width), _stepped(height)


def _stepped(edge: float) -> int:
    return max(_CODEC_STEP_PX, round(edge / _CODEC_STEP_PX) * _CODEC_STEP_PX)
