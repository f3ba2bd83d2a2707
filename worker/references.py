"""Which photo do we send, and where did its bytes come from?

A photo is fetched once, normalised once and stored by content; ``sources/...`` remembers what an
address gave us and when, so that every recovery of an import sees the same photo.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from catalog import keys
from catalog.renders import SourceEntry, SourceVersion
from catalog.results import ReferenceUsed
from catalog.store.port import Conflict, Stored, sha256_hex
from worker.errors import ReferenceUnusable, TryLater

if TYPE_CHECKING:
    from datetime import datetime

    from catalog.product import Photo
    from worker.ports import Desk, Download

JSON = "application/json"
_TRIES = 5


def resolve(desk: Desk, photo: Photo, *, import_started_at: datetime) -> ReferenceUsed:
    """The reference that an import uses for a photo; fetches it only when it must.

    Raises:
        ReferenceUnusable: the photo can't be used.
        TryLater: its host can't be reached now.
    """
    for _ in range(_TRIES):
        found = desk.store.read(keys.source(photo.address))
        entry = SourceEntry.from_json(found.content) if found else None
        version = _usable(desk, photo, entry, import_started_at)
        if version is not None and desk.store.has(version.reference.key):
            return version.reference
        if entry is not None and version is not None:
            entry = _without(entry, version)  # its picture is gone from the store: fetched anew
        looked = _look(desk, photo, entry)
        try:
            _remember(desk, photo, found, looked)
        except Conflict:
            continue  # another worker looked at the same photo: its word counts
    raise TryLater("reference.unreachable", f"{photo.link} is being fetched by many at once")


def known(desk: Desk, photo: Photo, import_started_at: datetime) -> ReferenceUsed | None:
    """The reference that an import used for a photo, if the store still knows; fetches nothing."""
    found = desk.store.read(keys.source(photo.address))
    entry = SourceEntry.from_json(found.content) if found else None
    version = _usable(desk, photo, entry, import_started_at)
    return version.reference if version else None


def _usable(
    desk: Desk, photo: Photo, entry: SourceEntry | None, started_at: datetime
) -> SourceVersion | None:
    if entry is None:
        return None
    if photo.upload_sha256 is not None:
        return entry.versions[-1]  # an upload is its content: it can't change
    before = [version for version in entry.versions if version.fetched_at <= started_at]
    oldest = started_at - timedelta(seconds=desk.limits.source_max_age_s)
    if before and before[-1].checked_at >= oldest:
        return before[-1]
    after = [version for version in entry.versions if version.fetched_at > started_at]
    return after[0] if after else None


def _without(entry: SourceEntry, lost: SourceVersion) -> SourceEntry | None:
    kept = tuple(version for version in entry.versions if version is not lost)
    return SourceEntry(address=entry.address, versions=kept) if kept else None


def _look(desk: Desk, photo: Photo, entry: SourceEntry | None) -> SourceEntry:
    last = entry.versions[-1] if entry else None
    download = _download(desk, photo, last)
    now = desk.clock()
    versions = entry.versions if entry else ()
    if last is not None and (
        download.content is None or sha256_hex(download.content) == last.original_sha256
    ):
        return SourceEntry(
            address=photo.address, versions=(*versions[:-1], last.changed(checked_at=now))
        )
    if download.content is None:
        raise TryLater("reference.unreachable", f"{photo.link}: 'not modified' without a question")
    fresh = SourceVersion(
        fetched_at=now,
        checked_at=now,
        etag=download.etag,
        last_modified=download.last_modified,
        original_sha256=sha256_hex(download.content),
        original_bytes=len(download.content),
        reference=_keep(desk, photo, download.content),
    )
    return SourceEntry(address=photo.address, versions=(*versions, fresh))


def _download(desk: Desk, photo: Photo, last: SourceVersion | None) -> Download:
    if photo.upload_sha256 is None:
        return desk.fetch(
            photo.address,
            etag=last.etag if last else None,
            last_modified=last.last_modified if last else None,
        )
    found = desk.store.read(keys.upload(photo.upload_sha256))
    if found is None or found.sha256 != photo.upload_sha256:
        raise ReferenceUnusable(
            "reference.lost", f"the upload of {photo.link} is not in the store: import it again"
        )
    return _Upload(found)


class _Upload:
    """An original from the store, in the shape of a download."""

    def __init__(self, stored: Stored) -> None:
        self.content: bytes | None = stored.content
        self.etag: str | None = None
        self.last_modified: str | None = None


def _keep(desk: Desk, photo: Photo, content: bytes) -> ReferenceUsed:
    normalised = desk.imaging.normalise(content)
    key = keys.reference(normalised.sha256, normalised.ext)
    desk.store.create(
        keys.reference_thumb(normalised.sha256), normalised.thumb, media_type="image/webp"
    )
    desk.store.create(key, normalised.content, media_type=normalised.media_type)
    return ReferenceUsed(
        address=photo.address,
        original_sha256=sha256_hex(content),
        key=key,
        media_type=normalised.media_type,
        width_px=normalised.width_px,
        height_px=normalised.height_px,
    )


def _remember(desk: Desk, photo: Photo, found: Stored | None, entry: SourceEntry) -> None:
    desk.store.replace(
        keys.source(photo.address),
        entry.to_json(),
        media_type=JSON,
        etag=found.etag if found else None,
    )
