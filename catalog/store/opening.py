"""Which store does a URL name, which one is it, and does it keep its promises?"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AwareDatetime, Field, ValidationError

from catalog import keys
from catalog.store.port import Conflict, Store, StoreRefuses
from catalog.wire import Wire

if TYPE_CHECKING:
    from catalog.store.s3 import S3Options

JSON = "application/json"


class StoreUrlError(ValueError):
    """The store's URL names no store."""


class StoreIdentity(Wire):
    """``store.json``: which store this is, whatever URL leads to it."""

    schema_: Annotated[Literal["skuscene.store/1"], Field(alias="schema")] = "skuscene.store/1"
    id: str
    created_at: AwareDatetime


def open_store(url: str, options: S3Options | None = None) -> Store:
    """Open the store that a URL names; reaches nothing yet.

    Raises:
        StoreUrlError: neither ``s3://bucket/prefix`` nor ``file:///directory``.
        StoreRefuses: the directory can't be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        from catalog.store.directory import DirectoryStore

        return DirectoryStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        # boto3 takes 0.4 s and 50 MB to load: only who uses a bucket pays for it.
        from catalog.store.s3 import S3Options, S3Store

        return S3Store(parts.netloc, parts.path, options or S3Options())
    msg = f"{url!r} names no store: use s3://bucket/prefix or file:///directory (SKUSCENE_STORE)"
    raise StoreUrlError(msg)


def identify(store: Store) -> str:
    """The store's own id; made when the store is new.

    Raises:
        StoreUnavailable, StoreRefuses: the store can't be used.
    """
    found = store.read(keys.STORE_IDENTITY)
    if found is None:
        made = StoreIdentity(id=uuid.uuid4().hex[:16], created_at=datetime.now(UTC))
        store.create(keys.STORE_IDENTITY, made.to_json(), media_type=JSON)
        found = store.read(keys.STORE_IDENTITY)
    if found is None:
        msg = f"{store.url} does not give back what was just written to it"
        raise StoreRefuses(msg)
    try:
        return StoreIdentity.from_json(found.content).id
    except ValidationError as exc:
        msg = (
            f"{store.url} holds a {keys.STORE_IDENTITY} that is not Skuscene's: "
            "use another bucket, prefix or directory (SKUSCENE_STORE)"
        )
        raise StoreRefuses(msg) from exc


def probe(store: Store) -> None:
    """Try both conditional writes on a throw-away key.

    Raises:
        StoreRefuses: the store ignores a condition, so two writers could overwrite each other.
    """
    key = f"probe/{uuid.uuid4().hex}.json"
    store.create(key, b"1", media_type=JSON)
    try:
        if store.create(key, b"2", media_type=JSON).won or _content(store, key) != b"1":
            _refuse(store, "If-None-Match")
        _probe_replace(store, key)
    finally:
        store.delete(key)


def _probe_replace(store: Store, key: str) -> None:
    found = store.read(key)
    store.replace(key, b"3", media_type=JSON, etag=found.etag if found else None)
    try:
        store.replace(key, b"4", media_type=JSON, etag=found.etag if found else None)
    except Conflict:
        return
    _refuse(store, "If-Match")


def _content(store: Store, key: str) -> bytes | None:
    found = store.read(key)
    return found.content if found else None


def _refuse(store: Store, header: str) -> None:
    msg = (
        f"{store.url} ignores {header}: two workers could overwrite each other's pictures. "
        "Use a store that enforces conditional writes."
    )
    raise StoreRefuses(msg)
