"""What does the contact sheet's page say before its data is there?

The page carries its style and its program inside, so that a policy can name them by hash and allow
nothing else. Whatever a shop wrote is escaped here or stays text in the program.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Final

from catalog import keys
from catalog.reasons import Failure
from catalog.results import Status
from worker.gallery.entries import href
from worker.gallery.script import json_in_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from catalog.imports import Import
    from catalog.money import Usd
    from catalog.results import Manifest

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_STATUSES: Final = tuple(status.value for status in Status)
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How many of the renders that the page shows have which status and scene."""

    statuses: Mapping[str, int]
    scenes: Mapping[str, int]
    data_files: tuple[str, ...]

    @property
    def renders(self) -> int:
        """How many renders the page shows."""
        return sum(self.statuses.values())


def page(imported: Import, manifest: Manifest, shown: Shown) -> bytes:
    """Fill the page's template."""
    style, program = _packaged("style.css"), _packaged("app.js")
    return (
        Template(_packaged("page.html"))
        .substitute(
            policy=escape(_policy(style, program)),
            style=style,
            program=program,
            meta=json_in_script(_meta(imported, manifest, shown)),
            title=escape(manifest.catalog),
            import_id=escape(manifest.import_id),
            state=escape(manifest.state),
            model=escape(manifest.model),
            feed=escape(imported.feed.name),
            preview="" if manifest.preview else "hidden",
            share_bar=_share_bar(manifest),
            figures="".join(_figures(imported, manifest)),
            notes="".join(_notes(imported, manifest, shown)),
            status_chips="".join(_status_chips(shown)),
            scene_chips="".join(_scene_chips(imported, shown)),
            data_scripts="\n".join(
                f'<script defer src="{escape(name)}"></script>' for name in shown.data_files
            ),
            made_by=escape(manifest.made_by),
        )
        .encode()
    )


def _packaged(name: str) -> str:
    return resources.files("worker.gallery").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, program: str) -> str:
    """Allow the page's own style and program, and data and pictures from where the page lies.

    Opened from disk, a page has no origin that ``'self'`` could name: hence ``file:``, which no
    page from the net may load anyway.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' file: '{_hash(program)}'",
            f"style-src '{_hash(style)}'",
            "img-src 'self' file: data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _meta(imported: Import, manifest: Manifest, shown: Shown) -> dict[str, object]:
    return {
        "import_id": manifest.import_id,
        "data_files": shown.data_files,
        "ratios": {scene.name: scene.ratio for scene in imported.scenes.scenes},
        "reasons": {word.value: [word.meaning, word.cure] for word in Failure},
    }


def _share_bar(manifest: Manifest) -> str:
    """A strip as long as all renders, in the colours of their statuses."""
    at = 0
    strips = []
    for status in _STATUSES:
        count = getattr(manifest.counts, status)
        if count:
            strips.append(f'<rect class="s-{status}" x="{at}" width="{count}" height="1"/>')
        at += count
    return f'<svg viewBox="0 0 {max(at, 1)} 1" preserveAspectRatio="none">{"".join(strips)}</svg>'


def _figures(imported: Import, manifest: Manifest) -> Iterator[str]:
    counts = manifest.counts
    good = counts.succeeded + counts.reused
    yield _figure("Renders", f"{counts.expected:,}", f"{good:,} delivered")
    scenes = len(imported.scenes.scenes)
    yield _figure("Products", f"{manifest.products:,}", _count(scenes, "scene"))
    yield _figure("Spent", _dollars(manifest.cost_usd.spent), _money_note(manifest))
    took_s = (manifest.published_at - manifest.started_at).total_seconds()
    yield _figure("Took", _duration(took_s), f"finished {_time(manifest.published_at)}")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _figure(name: str, value: str, note: str) -> str:
    return f'<div><dt>{name}</dt><dd>{value}</dd><dd class="note">{note}</dd></div>'


def _money_note(manifest: Manifest) -> str:
    doubtful = manifest.cost_usd.doubtful
    note = f"estimated {_dollars(manifest.cost_usd.estimated)}"
    return f"{note}, {_dollars(doubtful)} in doubt" if doubtful else note


def _dollars(amount: Usd) -> str:
    """Cents for what people call money, four decimals for what one picture may cost."""
    small = 0 < abs(float(amount)) < 1
    return f"${float(amount):,.4f}".rstrip("0") if small else f"${float(amount):,.2f}"


def _duration(exactly_s: float) -> str:
    took_s = round(exactly_s)
    if took_s < _MINUTE_S:
        return f"{took_s} s"
    if took_s < 10 * _MINUTE_S:
        return f"{took_s // _MINUTE_S} min {took_s % _MINUTE_S} s"
    if took_s < _HOUR_S:
        return f"{took_s / _MINUTE_S:.0f} min"
    hours, rest_s = divmod(took_s, _HOUR_S)
    return f"{hours:,} h {rest_s // _MINUTE_S} min"


def _time(at: datetime) -> str:
    """Words in English whatever the machine's locale is: the same bytes everywhere."""
    utc = at.astimezone(UTC)
    words = f"{utc.day} {_MONTHS[utc.month - 1]} {utc.year}, {utc:%H:%M} UTC"
    return f'<time datetime="{utc.isoformat(timespec="seconds")}">{words}</time>'


def _notes(imported: Import, manifest: Manifest, shown: Shown) -> Iterator[str]:
    if shown.renders < manifest.counts.expected:
        yield f"<li><strong>{_sample_note(manifest, shown)}</strong></li>"
    if manifest.rejected and manifest.rejected.rows:
        link = _link(manifest.rejected.key, _count(manifest.rejected.rows, "rejected row"))
        reasons = ", ".join(f"{escape(word)} {n:,}" for word, n in sorted(imported.reasons.items()))
        yield f"<li>{link}{f' ({reasons})' if reasons else ''}</li>"
    yield f"<li>{_link(keys.manifest(manifest.import_id), 'Manifest')}</li>"
    yield f"<li>started {_time(manifest.started_at)}</li>"


def _sample_note(manifest: Manifest, shown: Shown) -> str:
    counts = manifest.counts
    trouble = counts.failed + counts.blocked + counts.review
    shown_trouble = sum(shown.statuses.get(name, 0) for name in ("failed", "blocked", "review"))
    share = "every one" if shown_trouble == trouble else f"{shown_trouble:,} of {trouble:,}"
    return (
        f"A sample: {shown.renders:,} of {counts.expected:,} renders. Of those that failed, were "
        f"blocked or want a review: {share}; then pictures from all over the feed."
    )


def _link(key: str, words: str) -> str:
    return f'<a href="{escape(href(key))}">{escape(words)}</a>'


def _status_chips(shown: Shown) -> Iterator[str]:
    for status in _STATUSES:
        if shown.statuses.get(status):
            yield _chip("status", status, shown.statuses[status], dot=f"s-{status}")


def _scene_chips(imported: Import, shown: Shown) -> Iterator[str]:
    # A render may be of a scene that a later book names.
    for scene in dict.fromkeys((*imported.scenes.names, *sorted(shown.scenes))):
        if shown.scenes.get(scene):
            yield _chip("scene", scene, shown.scenes[scene])


def _chip(kind: str, word: str, count: int, *, dot: str = "") -> str:
    mark = f'<i class="dot {dot}"></i>' if dot else ""
    return (
        f'<button type="button" class="chip" data-{kind}="{escape(word)}" aria-pressed="false">'
        f"{mark}{escape(word)} <span>{count:,}</span></button>"
    )
