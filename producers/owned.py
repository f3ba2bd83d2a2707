"""Which slots does the catalog own already, and why would one be bought again?

Planning compares what is wanted with the catalog's newest good manifest. Each slot that is not
owned unchanged has a cause, and only accepted causes are bought.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from catalog import keys
from catalog.renders import RenderRecord
from catalog.results import CatalogPointer, Manifest, ResultLine, Status
from catalog.store.port import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.renders import Spec
    from catalog.store.port import Store


class Cause(StrEnum):
    """Why a slot would be bought; ``unchanged`` is bought for none."""

    UNCHANGED = "unchanged"
    NEW = "new"
    PHOTO = "photo"
    PROMPT = "prompt"
    TITLE = "title"
    SIZE = "size"
    MODEL = "model"
    FAILED = "failed"
    ASKED = "asked"


DEFAULT_CAUSES = frozenset(
    {Cause.NEW, Cause.PHOTO, Cause.PROMPT, Cause.TITLE, Cause.SIZE, Cause.FAILED, Cause.ASKED}
)
"""What is bought unless somebody says more: never a mere change of the model."""

_GOOD = {Status.SUCCEEDED, Status.REUSED, Status.REVIEW}


class OwnedUnreadable(Exception):
    """The catalog's manifest can't be read; the message says which object, and what now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedSlot:
    """What the catalog has in a slot, as far as planning compares it."""

    render_id: str
    title: str
    prompt_sha256: str
    ratio: str
    size: str
    model: str
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """The slots of a catalog's newest good manifest; ``failed`` have no picture."""

    slots: dict[str, OwnedSlot] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()

    def cause(
        self,
        slot: str,
        *,
        title: str,
        prompt: str,
        ratio: str,
        size: str,
        model: str,
        addresses: Iterable[str],
    ) -> Cause:
        """Why a wanted slot is not simply owned.

        A photo that changed behind an unchanged link is found by its bytes when it is fetched,
        not here.
        """
        owned = self.slots.get(slot)
        if owned is None:
            return Cause.FAILED if slot in self.failed else Cause.NEW
        if owned.addresses != frozenset(addresses):
            return Cause.PHOTO
        if (owned.ratio, owned.size) != (ratio, size):
            return Cause.SIZE
        if owned.prompt_sha256 != sha256_hex(prompt.encode()):
            return Cause.TITLE if owned.title != title else Cause.PROMPT
        if owned.model != model:
            return Cause.MODEL
        return Cause.UNCHANGED


def read_owned(store: Store, catalog: str) -> Owned:
    """Read a catalog's newest good manifest; nothing at all for a new catalog.

    Raises:
        OwnedUnreadable: a manifest or part is missing or differs from its hash.
    """
    pointed = store.read(keys.current(catalog))
    if pointed is None:
        return Owned()
    pointer = CatalogPointer.from_json(pointed.content)
    found = store.read(pointer.manifest)
    if found is None or found.sha256 != pointer.sha256:
        msg = f"{pointer.manifest} is missing or was changed: `skuscene verify {pointer.import_id}`"
        raise OwnedUnreadable(msg)
    return _owned(store, Manifest.from_json(found.content))


def owned_spec(store: Store, render_id: str) -> Spec | None:
    """What was asked for a render that is owned, from its record."""
    found = store.read(keys.record(render_id))
    return RenderRecord.from_json(found.content).spec if found else None


def _owned(store: Store, manifest: Manifest) -> Owned:
    slots: dict[str, OwnedSlot] = {}
    failed: set[str] = set()
    for line in _lines(store, manifest):
        if line.status in _GOOD and line.provenance is not None and line.render_id is not None:
            slots[line.slot] = OwnedSlot(
                render_id=line.render_id,
                title=line.title,
                prompt_sha256=line.provenance.prompt_sha256,
                ratio=line.provenance.ratio,
                size=line.provenance.size,
                model=line.provenance.model_asked,
                addresses=frozenset(line.photos),
            )
        elif line.status is not Status.CANCELLED:
            failed.add(line.slot)
    return Owned(slots=slots, failed=frozenset(failed))


def _lines(store: Store, manifest: Manifest) -> Sequence[ResultLine]:
    lines: list[ResultLine] = []
    for part in manifest.parts:
        found = store.read(part.key)
        if found is None or found.sha256 != part.sha256:
            msg = f"{part.key} is missing or was changed: `skuscene verify {manifest.import_id}`"
            raise OwnedUnreadable(msg)
        lines += [
            ResultLine.from_json(line) for line in gzip.decompress(found.content).splitlines()
        ]
    return lines
