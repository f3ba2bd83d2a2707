"""What does a scene book's file say, and where is it wrong?"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from catalog.scenes import (
    MAX_SCENES,
    PERS,
    RATIOS,
    RENDITIONS,
    SIZES,
    LocaleText,
    ReferencesRule,
    Scene,
    SceneBook,
    When,
)
from producers.prompts import TemplateError, check_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

MAX_BOOK_BYTES: Final = 1_000_000
MAX_NODES: Final = 50_000
"""Bounds what aliases can unfold to."""
MAX_DEPTH: Final = 10

_TOP_KEYS: Final = ("version", "defaults", "scenes")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "ratio": RATIOS,
    "size": SIZES,
    "per": PERS,
    "renditions": RENDITIONS,
}
_MODELS: Final[dict[str, type[BaseModel]]] = {"when": When, "references": ReferencesRule}

_Loc = tuple[str | int, ...]


class SceneBookError(Exception):
    """A scene book can't be used: ``FILE:LINE: what is wrong and what is allowed``."""

    def __init__(self, file: str, line: int | None, message: str) -> None:
        super().__init__(file, line, message)
        self.file = file
        self.line = line
        self.message = message

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


def read_scene_book(path: Path) -> SceneBook:
    """Read a file of scenes, each merged with the file's defaults.

    A scene named like a built-in one may leave out its prompt; it then takes over whatever
    neither it nor the file's defaults say.

    Raises:
        SceneBookError: the file can't be read, or any key or template in it can't be used.
    """
    return _book(_document(str(path), _content(path)), inherit=_built_in_scenes())


def built_in_book(names: Sequence[str] | None = None) -> SceneBook:
    """The scenes that come with Skuscene: those named, in that order, or all of them.

    Raises:
        SceneBookError: there is no built-in scene of such a name.
    """
    scenes = _built_in_scenes()
    chosen = tuple(scenes) if names is None else tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in scenes:
            msg = f"there is no scene {name!r}{_advice(name, scenes)}"
            raise SceneBookError("built-in scenes", None, msg)
    if not chosen:
        raise SceneBookError("built-in scenes", None, f"no scene is named{_advice('', scenes)}")
    return SceneBook(scenes=tuple(scenes[name] for name in chosen))


@cache
def _built_in_scenes() -> dict[str, Scene]:
    content = files("producers").joinpath("data", "scenes.yaml").read_text(encoding="utf-8")
    book = _book(_document("scenes.yaml (built in)", content), inherit={})
    return {scene.name: scene for scene in book.scenes}


# ---- the file ----


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A file as plain mappings, lists and strings, and the line that each of them stands on."""

    file: str
    data: Any
    lines: dict[_Loc, int]

    def error(self, loc: _Loc, message: str) -> SceneBookError:
        """Place a complaint at ``loc``, or at the nearest thing around it that has a line."""
        return SceneBookError(self.file, self.line(loc), message)

    def line(self, loc: _Loc) -> int:
        while loc not in self.lines:
            loc = loc[:-1]
        return self.lines[loc]


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BOOK_BYTES + 1)
    except OSError as exc:
        msg = f"the scene book can't be read: {exc.strerror or exc}"
        raise SceneBookError(str(path), None, msg) from exc
    if len(content) > MAX_BOOK_BYTES:
        msg = f"the scene book has more than {MAX_BOOK_BYTES} bytes"
        raise SceneBookError(str(path), None, msg)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise SceneBookError(str(path), line, "the scene book is not UTF-8 text") from exc


def _document(file: str, content: str) -> _Document:
    """Compose the YAML without letting it guess types: ``4:5``, ``no`` and ``007`` stay text."""
    try:
        node = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as exc:
        line = content.count("\n", 0, exc.position) + 1
        raise SceneBookError(file, line, f"no YAML: {exc.reason}") from exc
    except yaml.MarkedYAMLError as exc:
        raise SceneBookError(file, _marked_line(exc), f"no YAML: {_problem(exc)}") from exc
    except RecursionError as exc:
        raise SceneBookError(file, 1, "the scene book is nested too deeply") from exc
    if node is None:
        msg = f"the scene book is empty; it needs {', '.join(map(repr, _TOP_KEYS))}"
        raise SceneBookError(file, 1, msg)
    reader = _Reader(file=file)
    return _Document(file=file, data=reader.plain(node, ()), lines=reader.lines)


def _marked_line(exc: yaml.MarkedYAMLError) -> int:
    mark = exc.problem_mark or exc.context_mark
    return mark.line + 1 if mark else 1


def _problem(exc: yaml.MarkedYAMLError) -> str:
    problem = str(exc.problem or exc.context or "it can't be parsed")
    if "'\\t'" in problem:
        return f"{problem}; indent with spaces, not with tabs"
    if "mapping values are not allowed" in problem:
        return f"{problem}; put a text with ': ' in it in quotes"
    return problem


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Turns nodes into plain data and notes where each stood."""

    file: str
    lines: dict[_Loc, int] = field(default_factory=dict)

    def plain(self, node: yaml.Node, loc: _Loc, line: int | None = None) -> Any:
        """A mapping, a list, a string, or ``None`` for nothing."""
        self.lines[loc] = line or node.start_mark.line + 1
        self._check_bounds(node, loc)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*loc, place)) for place, item in enumerate(node.value)]
        return None if node.tag == "tag:yaml.org,2002:null" else node.value

    def _mapping(self, node: yaml.MappingNode, loc: _Loc) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            key_line = key_node.start_mark.line + 1
            if key in mapping:
                first = self.lines[*loc, key]
                msg = f"key {key!r} stands twice; the first one is on line {first}"
                raise SceneBookError(self.file, key_line, msg)
            mapping[key] = self.plain(value_node, (*loc, key), key_line)
        return mapping

    def _key(self, node: yaml.Node) -> str:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            msg = "a key must be a word; text with braces or brackets in it needs quotes"
            raise SceneBookError(self.file, line, msg)
        if node.tag == "tag:yaml.org,2002:merge":
            msg = "merge keys ('<<') are not read; put what scenes share under 'defaults'"
            raise SceneBookError(self.file, line, msg)
        return str(node.value)

    def _check_bounds(self, node: yaml.Node, loc: _Loc) -> None:
        line = node.start_mark.line + 1
        if not str(node.tag).startswith("tag:yaml.org,2002:") or ":python/" in node.tag:
            raise SceneBookError(self.file, line, f"tags such as {node.tag!r} are not read")
        if len(loc) > MAX_DEPTH:
            raise SceneBookError(self.file, line, "the scene book is nested too deeply")
        if len(self.lines) > MAX_NODES:
            msg = f"the scene book unfolds to more than {MAX_NODES} keys and values"
            raise SceneBookError(self.file, line, msg)


# ---- the book ----


def _book(document: _Document, *, inherit: Mapping[str, Scene]) -> SceneBook:
    top = _mapping_at(document, (), document.data)
    _refuse_unknown(document, (), top, _TOP_KEYS, "the scene book")
    _check_version(document, top)
    defaults = _mapping_at(document, ("defaults",), top.get("defaults"))
    _check_defaults(document, defaults)
    named = _named_scenes(document, top)
    return SceneBook(
        scenes=tuple(
            _scene(document, name, _mapping_at(document, ("scenes", name), own), defaults, inherit)
            for name, own in named.items()
        )
    )


def _check_version(document: _Document, top: Mapping[str, Any]) -> None:
    if "version" not in top:
        raise document.error((), "key 'version' is missing; write 'version: 1'")
    if top["version"] != "1":
        msg = f"'version' can't be {top['version']!r}; this release reads 'version: 1'"
        raise document.error(("version",), msg)


def _check_defaults(document: _Document, defaults: dict[str, Any]) -> None:
    allowed = [key for key in Scene.model_fields if key not in ("name", "prompt")]
    _refuse_unknown(document, ("defaults",), defaults, allowed, "'defaults'")
    stand_in = {"name": "defaults", "prompt": "-"}
    _validated(document, [("defaults",)], {**defaults, **stand_in}, "'defaults'")


def _named_scenes(document: _Document, top: Mapping[str, Any]) -> dict[str, Any]:
    named = _mapping_at(document, ("scenes",), top.get("scenes"))
    if not named:
        msg = "no scene stands under 'scenes'; write one, as in 'scenes: {living-room: {}}'"
        raise document.error(("scenes",), msg)
    if len(named) > MAX_SCENES:
        msg = f"{len(named)} scenes are more than the {MAX_SCENES} that a book may have"
        raise document.error(("scenes",), msg)
    return named


def _scene(
    document: _Document,
    name: str,
    own: dict[str, Any],
    defaults: dict[str, Any],
    inherit: Mapping[str, Scene],
) -> Scene:
    at: _Loc = ("scenes", name)
    what = f"scene {name!r}"
    allowed = [key for key in Scene.model_fields if key != "name"]
    _refuse_unknown(document, at, own, allowed, what)
    inherited: dict[str, Any] = {}
    if "prompt" not in own:
        inherited = _inherited(document, name, inherit)
    data = _merged(inherited, _merged(defaults, own))
    scene = _validated(document, [at, ("defaults",)], {**data, "name": name}, what)
    _check_prompts(document, scene, at if "softer" in own else ("defaults",), what)
    return scene


def _check_prompts(document: _Document, scene: Scene, softer_at: _Loc, what: str) -> None:
    """Check every prompt of a scene; its softer ones stand under ``softer_at``."""
    at: _Loc = ("scenes", scene.name, "prompt")
    whose = what
    try:
        check_template(scene)
        # Also those beyond ``soften``: they are asked when somebody raises it.
        for number, prompt in enumerate(scene.softer):
            at = _place(document, [softer_at], ("softer", number))
            whose = f"{what}: 'softer' {number + 1}"
            check_template(scene.model_copy(update={"prompt": prompt}))
    except TemplateError as exc:
        raise document.error(at, f"{whose}: {exc}") from exc


def _inherited(document: _Document, name: str, inherit: Mapping[str, Scene]) -> dict[str, Any]:
    if name in inherit:
        return inherit[name].model_dump(mode="json", exclude={"name"}, exclude_unset=True)
    close = get_close_matches(name, inherit, n=1)
    hint = f"; did you mean the built-in scene {close[0]!r}?" if close else ""
    listed = ", ".join(inherit)
    msg = (
        f"scene {name!r} has no 'prompt'{hint or '.'} "
        f"Only a scene with a built-in's name may leave it out: {listed}"
    )
    raise document.error(("scenes", name), msg)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` wins key by key, in mappings too; an empty mapping takes nothing over."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict) and value:
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _mapping_at(document: _Document, loc: _Loc, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        what = repr(loc[-1]) if loc else "the scene book"
        raise document.error(loc, f"{what} must hold keys, each with its value")
    return value


def _refuse_unknown(
    document: _Document, loc: _Loc, mapping: Iterable[str], allowed: Sequence[str], what: str
) -> None:
    for key in mapping:
        if key not in allowed:
            msg = f"{what} has an unknown key {key!r}{_advice(key, allowed)}"
            raise document.error((*loc, key), msg)


# ---- complaints ----


def _validated(document: _Document, places: Sequence[_Loc], data: Any, what: str) -> Scene:
    """Check a scene's data; ``places`` are where its keys may stand, the nearest first.

    Raises:
        SceneBookError: the first complaint, by line.
    """
    try:
        return Scene.model_validate(data)
    except ValidationError as exc:
        complaints = [
            (_place(document, places, error["loc"]), error)
            for error in exc.errors(include_url=False)
        ]
        place, error = min(complaints, key=lambda found: document.line(found[0]))
        raise document.error(place, f"{what}: {_complaint(error)}") from exc


def _place(document: _Document, places: Sequence[_Loc], loc: _Loc) -> _Loc:
    """The deepest place in the file that ``loc`` leads to."""
    for length in range(len(loc), 0, -1):
        for place in places:
            if (*place, *loc[:length]) in document.lines:
                return (*place, *loc[:length])
    return places[0]


def _complaint(error: ErrorDetails) -> str:
    loc = tuple(part for part in error["loc"] if part != "[key]")
    key = ".".join(str(part) for part in loc if isinstance(part, str))
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_advice(str(loc[-1]), _allowed_in(loc))}"
    choices = _CHOICES.get(str(loc[0])) if loc else None
    if choices and error["type"] == "literal_error":
        return f"{key!r} can't be {value!r}{_advice(str(value), choices)}"
    if value is None:
        return f"{key!r} has no value"
    return f"{key!r} {_fault(error, value)}" if key else _fault(error, value)


def _fault(error: ErrorDetails, value: Any) -> str:
    reason = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"can't be used: {reason}"
    if error["loc"][:1] == ("name",):
        return f"can't be {value!r}; allowed are a-z, 0-9 and '-', at most 64 of them"
    if error["loc"][:1] == ("locales",) and "[key]" in error["loc"]:
        return f"is no locale{_locale_hint(str(value))}; write one as in 'de-DE' or 'fr'"
    shown = (
        repr(value) if len(repr(value)) <= _SHOWN_CHARS else f"a value of {type(value).__name__}"
    )
    return f"can't be {shown}: {reason[:1].lower()}{reason[1:]}"


_SHOWN_CHARS: Final = 80


def _locale_hint(value: str) -> str:
    meant = value.replace("_", "-")
    return f"; did you mean {meant!r}?" if meant != value else ""


def _allowed_in(loc: Sequence[str | int]) -> list[str]:
    model = LocaleText if loc[0] == "locales" else _MODELS.get(str(loc[0]), Scene)
    return list(model.model_fields)


def _advice(written: str, allowed: Iterable[str]) -> str:
    choices = list(allowed)
    meant = _meant(written, choices)
    hint = f"; did you mean {meant!r}?" if meant else "."
    return f"{hint} Allowed: {', '.join(choices)}"


def _meant(written: str, choices: Sequence[str]) -> str | None:
    """The choice that somebody who wrote ``written`` had in mind, if one is close."""
    folded = {choice.casefold(): choice for choice in choices}
    wanted = written.strip().casefold()
    for spelling in (wanted, wanted.replace("_", "-"), wanted.replace("-", "_")):
        if spelling in folded:
            return folded[spelling]
    for sign in "x/\u00d7":
        if wanted.replace(sign, ":").replace(" ", "") in folded:
            return wanted.replace(sign, ":").replace(" ", "")
    close = get_close_matches(wanted, folded, n=1)
    return folded[close[0]] if close else None
