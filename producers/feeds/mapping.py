"""Which column does each field come from?"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from producers.feeds.errors import FeedError, named
from producers.feeds.formats import IMAGE_FIELDS, Format, alias_columns, check_field, folded
from producers.feeds.photos import looks_like_link

IDENTITY_FIELDS = frozenset({"id", "group", "parent_sku", "sku", "title"})
SEVERAL = "|"
TITLE_LIKE_CHARS = 60


def column_map(
    name: str, layout: Format, columns: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    """Find each field's columns, the asked ones first.

    What identifies a product comes from one column for all rows: a second best would tear
    products apart or join strangers.

    Raises:
        FeedError: a field or a column of ``mapping`` does not exist.
    """
    plain = [folded(column) for column in columns]
    found = {field: _places(aliases, plain) for field, aliases in layout.columns.items()}
    for field, wanted in mapping.items():
        check_field(field)
        found[field] = tuple(_asked(name, field, one, columns) for one in _several(wanted, columns))
    if "image" in mapping:
        # The first column asked for holds the main photo, the others further ones.
        found["additional_images"] = (*found["image"][1:], *found.get("additional_images", ()))
    return {
        field: places[:1] if field in IDENTITY_FIELDS else places
        for field, places in found.items()
        if places
    }


def cure(
    columns: Sequence[str], samples: Sequence[Sequence[str]], known: Mapping[str, Sequence[int]]
) -> str:
    """Write the ``--map`` that would make sense of these columns, by what stands in them."""
    free = set(range(len(columns))) - {at for places in known.values() for at in places}
    links = [at for at in sorted(free) if _holds_links(samples, at)]
    words = sorted(free - set(links), key=lambda at: -_length(samples, at))
    codes = [at for at in sorted(free - set(links)) if _is_unique(samples, at)]
    wanted = {
        "sku": codes if not {"id", "sku"} & set(known) else None,
        "title": [at for at in words if at not in codes[:1]] if "title" not in known else None,
        "image": links if not set(IMAGE_FIELDS) & set(known) else None,
    }
    pairs = [
        f"{field}={columns[places[0]] if places else 'COLUMN'}"
        for field, places in wanted.items()
        if places is not None
    ]
    return f"--map '{','.join(pairs)}'"


def missing_fields(layout: Format, known: Mapping[str, object], *, asked: bool) -> str:
    """Say which field a format misses; empty if none."""
    needs = layout.needs if asked else (*layout.needs, *layout.needs_unasked)
    for either in needs:
        if not any(field in known for field in either):
            what = "a photo link" if either[0] in IMAGE_FIELDS else " or ".join(either)
            return f"no column for {what}"
    return ""


def _places(aliases: Sequence[str], plain: Sequence[str]) -> tuple[int, ...]:
    places = [at for alias in aliases for at in alias_columns(alias, plain)]
    return tuple(dict.fromkeys(places))


def _several(wanted: str, columns: Sequence[str]) -> list[str]:
    if wanted in columns or SEVERAL not in wanted:
        return [wanted]
    return [one.strip() for one in wanted.split(SEVERAL)]


def _asked(name: str, field: str, wanted: str, columns: Sequence[str]) -> int:
    stripped = [column.strip() for column in columns]
    if wanted.strip() in stripped:
        return stripped.index(wanted.strip())
    plain = [folded(column) for column in columns]
    if folded(wanted) in plain:
        return plain.index(folded(wanted))
    raise unknown_column(name, field, wanted, stripped)


def unknown_column(name: str, field: str, wanted: str, columns: Sequence[str]) -> FeedError:
    """Say that ``--map`` names a column that is not there, and which it may have meant."""
    close = difflib.get_close_matches(wanted, columns, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return FeedError(
        f"{name}: --map {field}={wanted} names a column that the file does not have.{hint} "
        f"Columns seen: {named(columns)}"
    )


def _holds_links(samples: Sequence[Sequence[str]], at: int) -> bool:
    cells = _cells(samples, at)
    return bool(cells) and sum(looks_like_link(cell) for cell in cells) * 2 > len(cells)


def _cells(samples: Sequence[Sequence[str]], at: int) -> list[str]:
    return [cell for row in samples if at < len(row) and (cell := row[at].strip())]


def _is_unique(samples: Sequence[Sequence[str]], at: int) -> bool:
    cells = _cells(samples, at)
    return len(cells) == len(samples) == len(set(cells)) and not any(" " in cell for cell in cells)


def _length(samples: Sequence[Sequence[str]], at: int) -> int:
    return sum(min(len(cell), TITLE_LIKE_CHARS) for cell in _cells(samples, at))
