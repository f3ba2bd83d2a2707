"""Which records do JSON Lines, or a JSON list of objects, hold?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

from producers.feeds.errors import FeedError
from producers.feeds.formats import (
    IMAGE_FIELDS,
    OPTION_PREFIX,
    Format,
    Kind,
    check_field,
    folded,
)
from producers.feeds.mapping import unknown_column
from producers.feeds.records import Record
from producers.feeds.survey import Survey

LINE_MAX_CHARS = 64_000_000
LIST_MAX_BYTES = 256 << 20
SAMPLE_RECORDS = 100
PATHS_MAX = 200
DEPTH_MAX = 4
_LINK_KEYS = ("url", "src", "href", "imageUrl", "image_url", "originalSrc", "image", "link", "path")
_TEXT_KEYS = ("value", "amount", "price", "name", "title", "label", "text", "en", "en-US", "en_US")
_LIST_KEYS = ("products", "items", "data", "results", "nodes", "entries", "catalog")


class DocumentSource:
    """Records of JSON objects, their fields found by dotted paths."""

    def __init__(self, found: Survey, layout: Format, mapping: Mapping[str, str]) -> None:
        self.format = layout
        self._survey = found
        self._paths = {
            field: tuple(_path(alias) for alias in aliases)
            for field, aliases in layout.columns.items()
        }
        sample = [record.content for record in islice(self.records(), SAMPLE_RECORDS)]
        self._sample = [content for content in sample if content is not None]
        self.columns = _seen_paths(self._sample)
        for field, wanted in mapping.items():
            self._paths[field] = (self._asked(field, wanted),)
        self._fields = frozenset(self._paths)
        self._options = tuple(field for field in self._paths if field.startswith(OPTION_PREFIX))

    def records(self) -> Iterator[Record]:
        """Read the objects from the start."""
        with self._survey.text() as stream:
            read = _lines if self.format.kind is Kind.LINES else _listed
            yield from read(stream, self._survey)

    def values(self, content: Any, field: str) -> list[str]:
        """Give the texts that the field's paths lead to; for a photo, the links."""
        paths = self._paths.get(field, ())
        return [text for path in paths for text in _found(content, path, field)]

    def first(self, content: Any, field: str) -> list[str]:
        """Give what the first path leads to that leads anywhere."""
        paths = self._paths.get(field, ())
        return next((texts for path in paths if (texts := _found(content, path, field))), [])

    def slots(self, content: Any, field: str) -> list[str]:
        """Give the field's values: a list has no empty places."""
        return self.values(content, field)

    def column(self, field: str) -> str | None:
        """Name the first of the field's paths that the first records have."""
        paths = self._paths.get(field, ())
        leading = (path for path in paths if any(_found(c, path, field) for c in self._sample))
        return next((".".join(path) for path in leading), None)

    def fields(self) -> frozenset[str]:
        """Name the fields that have a path, found in this feed or not."""
        return self._fields

    def options(self) -> tuple[str, ...]:
        """Name the ``option:`` fields that have a path."""
        return self._options

    def children(self, content: Any) -> list[Any]:
        """Give the variants inside the record."""
        for path in self._paths.get("variants", ()):
            inside = [one for value in _at(content, path) for one in _flat(value)]
            if objects := [one for one in inside if isinstance(one, dict)]:
                return objects
        return []

    def _asked(self, field: str, wanted: str) -> tuple[str, ...]:
        check_field(field)
        path = _path(wanted)
        if not any(_at(content, path) for content in self._sample):
            raise unknown_column(self._survey.path.name, field, wanted, self.columns)
        return path


def _lines(stream: IO[str], found: Survey) -> Iterator[Record]:
    row = 0
    while line := stream.readline(LINE_MAX_CHARS + 1):
        row += 1
        if len(line) > LINE_MAX_CHARS:
            raise FeedError(
                f"{found.path.name}: line {row} is longer than {LINE_MAX_CHARS} characters; "
                "JSON Lines hold one object per line"
            )
        if line.strip():
            yield _record(row, line)


def _record(row: int, line: str) -> Record:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as exc:
        return Record(row, None, f"the line is no JSON object ({_reason(exc)})")
    if not isinstance(content, dict):
        return Record(row, None, f"the line holds no JSON object but {_kind(content)}")
    return Record(row, content)


def _listed(stream: IO[str], found: Survey) -> Iterator[Record]:
    if found.text_bytes > LIST_MAX_BYTES:
        raise FeedError(
            f"{found.path.name}: a JSON list of {found.text_bytes} bytes is too large to read at "
            "once; write it as JSON Lines, one object per line"
        )
    try:
        content = json.load(stream)
    except (ValueError, RecursionError) as exc:
        raise FeedError(
            f"{found.path.name}: this is no JSON document ({_reason(exc)}); export it again"
        ) from exc
    for row, item in enumerate(_list_in(content, found.path.name), start=1):
        if isinstance(item, dict):
            yield Record(row, item)
        else:
            yield Record(row, None, f"the entry is no JSON object but {_kind(item)}")


def _list_in(content: Any, name: str) -> list[Any]:
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise FeedError(f"{name}: the JSON document holds {_kind(content)}, no list of products")
    named_lists = [content[key] for key in _LIST_KEYS if isinstance(content.get(key), list)]
    lists = named_lists or [value for value in content.values() if _is_objects(value)]
    return lists[0] if lists else [content]


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _path(written: str) -> tuple[str, ...]:
    return tuple(written.strip().split("."))


def _at(content: Any, path: Sequence[str]) -> list[Any]:
    """Walk a path; a list on the way is walked through, a number picks from it."""
    if not path:
        return [] if content is None else [content]
    if isinstance(content, list):
        if path[0].isdecimal():
            # isdecimal takes digits of every script, and so does int.
            return [
                found for one in content[int(path[0][:9]) :][:1] for found in _at(one, path[1:])
            ]
        rest = path[1:] if path[0] == "*" else path
        return [found for one in content for found in _at(one, rest)]
    if not isinstance(content, dict):
        return []
    whole = ".".join(path)
    if whole in content:
        return _at(content[whole], ())
    key = path[0] if path[0] in content else _alike(content, path[0])
    return _at(content[key], path[1:]) if key is not None else []


def _alike(content: Mapping[str, Any], wanted: str) -> str | None:
    plain = folded(wanted)
    return next((key for key in content if len(key) == len(wanted) and folded(key) == plain), None)


def _found(content: Any, path: Sequence[str], field: str) -> list[str]:
    as_texts = _links if field in IMAGE_FIELDS else _texts
    texts = (text.strip() for value in _at(content, path) for text in as_texts(value))
    return [text for text in texts if text]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        inside = [value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str | int | float)]
        return _texts(inside[0]) if inside else []
    if isinstance(value, list):
        return [text for one in value[:PATHS_MAX] for text in _texts(one)]
    return [_scalar(value)]


def _links(value: Any) -> list[str]:
    return [text for one in _flat(value) for text in _link(one)]


def _link(value: Any, depth: int = 0) -> list[str]:
    if not isinstance(value, dict):
        return [_scalar(value)] if isinstance(value, str) else []
    if depth >= DEPTH_MAX:
        return []
    inside = next((value[key] for key in _LINK_KEYS if value.get(key)), None)
    return [text for one in _flat(inside) for text in _link(one, depth + 1)]


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [inner for one in value for inner in (one if isinstance(one, list) else [one])]


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool | dict | list):
        return ""
    if isinstance(value, int) and value.bit_length() > 256:  # noqa: PLR2004  str() refuses huge ones
        return hex(value)[:80]
    return str(value)


def _seen_paths(sample: Sequence[Any]) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for content in sample:
        for path in _paths_in(content):
            if len(seen) >= PATHS_MAX:
                break
            seen[path] = None
    return tuple(seen)


def _paths_in(content: Any, depth: int = 0) -> Iterator[str]:
    if not isinstance(content, dict) or depth >= DEPTH_MAX:
        return
    for key, value in content.items():
        yield key
        first = value[0] if isinstance(value, list) and value else value
        for inner in islice(_paths_in(first, depth + 1), PATHS_MAX):
            yield f"{key}.{inner}"


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")


def _reason(exc: Exception) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)[:200]
