"""What came of a repair? Written by whoever repaired, read by whoever asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from catalog.wire import ImportId, Wire


class Unmended(Wire):
    """An object that could not be made again, and why."""

    key: str
    why: str


class Repair(Wire):
    """``repairs/<what>.json``: the last repair of something. Nothing was bought for it.

    ``mended`` are the objects that are again what the manifest says; those that were whole are in
    neither list. ``part``, ``row`` and ``request`` are those of the claim.
    """

    schema_: Annotated[Literal["skuscene.repair/1"], Field(alias="schema")] = "skuscene.repair/1"
    import_id: ImportId
    revision: int
    part: int | None = None
    row: int | None = None
    request: str
    mended: tuple[str, ...] = ()
    left: tuple[Unmended, ...] = ()
    at: AwareDatetime
    worker: str
