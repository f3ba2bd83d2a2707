"""Which revision of an import is the newest, and is one being made?

The store says it by names alone: a retry is written before anything of its revision, the
revision's manifest after all of it, and ``manifest.json`` last.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pydantic import ValidationError

from catalog import keys
from catalog.results import CatalogPointer, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from catalog.store.port import Store, Stored


class ManifestUnreadable(Exception):
    """An import was published, and no object that holds its newest manifest is readable."""


def open_revision(store: Store, import_id: str) -> int | None:
    """The revision of a planned import that is being made; ``None`` if all are published.

    Costs a listing and one more request; for an import that was retried, two more.
    """
    asked = _newest(store, keys.retries(import_id))
    if asked is None:
        return None if store.has(keys.manifest(import_id)) else 1
    if not store.has(keys.manifest_revision(import_id, asked)):
        return asked
    return None if _points_to(store, import_id) >= asked else asked


def unpublished(store: Store) -> tuple[str, ...]:
    """Imports with a revision that is being made, oldest id first.

    Costs one listing of ``imports/``, and a read of each manifest whose import was retried.
    """
    return tuple(
        import_id for import_id, names in _imports(store) if _is_open(store, import_id, names)
    )


def newest_manifest(store: Store, import_id: str) -> tuple[Manifest, Stored] | None:
    """The newest published manifest and the object that it was read from, if there is one.

    The revision's own object counts. Where that is damaged, or the catalog's pointer says that it
    is not what was published, ``manifest.json`` does.

    Raises:
        ManifestUnreadable: no readable object is left of it.
    """
    newest = _newest(store, keys.manifest_revisions(import_id))
    latest = store.read(keys.manifest(import_id))
    if newest is None and latest is None:
        return None
    told = manifest_in(latest)
    number = newest or (told.revision if told else 1)
    found = [store.read(keys.manifest_revision(import_id, number)), latest]
    readable = [
        (manifest, stored)
        for stored in found
        if stored
        and (manifest := manifest_in(stored))
        and (manifest.import_id, manifest.revision) == (import_id, number)
    ]
    if not readable:
        msg = (
            f"neither {keys.manifest_revision(import_id, number)} nor {keys.manifest(import_id)} "
            "can be read: restore one of them from a backup"
        )
        raise ManifestUnreadable(msg)
    published = [
        (manifest, stored)
        for manifest, stored in readable
        if stored.sha256 == _pointed(store, manifest)
    ]
    return (published or readable)[0]


def manifest_in(stored: Stored | None) -> Manifest | None:
    """The manifest in an object, if it is one."""
    if stored is None:
        return None
    try:
        return Manifest.from_json(stored.content)
    except ValidationError:
        return None


def pointer_in(stored: Stored | None) -> CatalogPointer | None:
    """The catalog's pointer in an object, if it is one."""
    if stored is None:
        return None
    try:
        return CatalogPointer.from_json(stored.content)
    except ValidationError:
        return None


def _pointed(store: Store, manifest: Manifest) -> str | None:
    pointer = pointer_in(store.read(keys.current(manifest.catalog)))
    ours = pointer and (pointer.import_id, pointer.revision)
    return pointer.sha256 if pointer and ours == (manifest.import_id, manifest.revision) else None


def _newest(store: Store, prefix: str) -> int | None:
    return _highest(entry.key for entry in store.list(prefix))


def _highest(names: Iterable[str]) -> int | None:
    return max(filter(None, map(keys.revision_no, names)), default=None)


def _points_to(store: Store, import_id: str) -> int:
    manifest = manifest_in(store.read(keys.manifest(import_id)))
    return manifest.revision if manifest else 0


def _imports(store: Store) -> Iterator[tuple[str, set[str]]]:
    """Every import and the names of what stands directly in its folder."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for entry in store.list("imports/"):
        _, import_id, *rest = entry.key.split("/")
        if len(rest) == 1:
            found[import_id].add(rest[0])
    yield from sorted(found.items())


def _is_open(store: Store, import_id: str, names: set[str]) -> bool:
    if "import.json" not in names:
        return False
    asked = _highest(name for name in names if name.startswith("retry.r"))
    if asked is None or "manifest.json" not in names:
        return "manifest.json" not in names
    return f"manifest.r{asked}.json" not in names or _points_to(store, import_id) < asked
