"""Which files make an import's contact sheet?

One page and the data beside it, in scripts: ``fetch`` is blocked where a page is opened from disk.
The same import, manifest and lines give the same bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.gallery.entries import in_products, product_entry
from worker.gallery.page import Shown, page
from worker.gallery.sample import MAX_RENDERS, sample
from worker.gallery.script import json_in_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalog.imports import Import
    from catalog.results import Manifest, ResultLine

HTML: Final = "text/html; charset=utf-8"
JAVASCRIPT: Final = "text/javascript; charset=utf-8"

_CHUNK_RENDERS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryFile:
    """A file of the contact sheet; ``name`` is relative to the gallery's folder."""

    name: str
    content: bytes
    media_type: str


def build_gallery(
    imported: Import,
    manifest: Manifest,
    lines: Iterator[ResultLine],
    *,
    max_renders: int = MAX_RENDERS,
) -> Iterator[GalleryFile]:
    """Make the files of the contact sheet, the page last.

    ``lines`` are all of the manifest's, a product's next to each other. Of more than
    ``max_renders`` a sample is shown, and the page says so. What is shown is held in memory, some
    2 kB a render; the other lines are not.
    """
    statuses: Counter[str] = Counter()
    scenes: Counter[str] = Counter()
    names: list[str] = []
    for chunk in _chunks(sample(lines, manifest.counts, max_renders=max_renders)):
        statuses.update(line.status.value for product in chunk for line in product)
        scenes.update(line.scene for product in chunk for line in product)
        names.append(f"data-{len(names):03}.js")
        yield GalleryFile(
            name=names[-1], content=_data(len(names) - 1, chunk), media_type=JAVASCRIPT
        )
    shown = Shown(statuses=statuses, scenes=scenes, data_files=tuple(names))
    yield GalleryFile(name="index.html", content=page(imported, manifest, shown), media_type=HTML)


def _chunks(lines: Iterator[ResultLine]) -> Iterator[list[list[ResultLine]]]:
    """Whole products, until a chunk has its renders: the page appends chunks as they come."""
    chunk: list[list[ResultLine]] = []
    for product in in_products(lines):
        chunk.append(product)
        if sum(map(len, chunk)) >= _CHUNK_RENDERS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _data(number: int, chunk: Sequence[Sequence[ResultLine]]) -> bytes:
    products = ",\n".join(json_in_script(product_entry(product)) for product in chunk)
    return f"window.skuscene.chunk({number}, [\n{products}\n]);\n".encode()
