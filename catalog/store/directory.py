"""How is a local directory an object store?

An object is a file; ``create`` is a whole file linked into place, so it appears at once or not at
all; ``replace`` compares under a lock. Media type and metadata stand in a sidecar, linked before
the object, under ``.skuscene/``. For one machine: network file systems keep neither promise.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.store.port import (
    Conflict,
    Created,
    Listed,
    Stored,
    StoreRefuses,
    StoreUnavailable,
    sha256_hex,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OWN = ".skuscene"
_KEY = re.compile(r"^(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9._/-]{1,1024}$")
_MEDIA_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".avif": "image/avif",
}


class DirectoryStore:
    """A store in a directory of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._own = self._root / _OWN
        try:
            for folder in ("tmp", "meta", "locks"):
                (self._own / folder).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            msg = f"the directory {self._root} can't be used as a store: {exc.strerror}"
            raise StoreRefuses(msg) from exc

    @property
    def url(self) -> str:
        """The store as ``file://`` URL."""
        return self._root.as_uri()

    @property
    def root(self) -> Path:
        """The directory."""
        return self._root

    def create(
        self, key: str, content: bytes, *, media_type: str, metadata: Mapping[str, str] = {}
    ) -> Created:
        """Link a whole file into place, unless one is there."""
        path = self._path(key)
        sha256 = sha256_hex(content)
        with _translated(key):
            self._write_sidecar(key, sha256, media_type, metadata)
            if self._link(path, content):
                return Created(key=key, sha256=sha256, won=True)
            stored = sha256_hex(path.read_bytes())
        return Created(key=key, sha256=stored, won=stored == sha256)

    def replace(self, key: str, content: bytes, *, media_type: str, etag: str | None) -> str:
        """Rename a whole file into place while nobody else may."""
        path = self._path(key)
        with _translated(key), self._locked(key):
            found = sha256_hex(path.read_bytes()) if path.exists() else None
            if found != etag:
                msg = f"{key} was changed by somebody else"
                raise Conflict(msg)
            sha256 = sha256_hex(content)
            self._write_sidecar(key, sha256, media_type, {})
            temporary = self._temporary(content)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
            _sync_folder(path.parent)
        return sha256

    def read(self, key: str) -> Stored | None:
        """Read a file and its sidecar."""
        path = self._path(key)
        with _translated(key):
            try:
                content = path.read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None
            sha256 = sha256_hex(content)
            media_type, metadata = self._read_sidecar(key, sha256)
        return Stored(
            key=key, content=content, etag=sha256, media_type=media_type, metadata=metadata
        )

    def has(self, key: str) -> bool:
        """Say whether the file is there."""
        with _translated(key):
            return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[Listed]:
        """Walk the files below a prefix, in key order."""
        folder = self._root / prefix.rpartition("/")[0]
        with _translated(prefix):
            found = sorted(
                (path.relative_to(self._root).as_posix(), path.stat().st_size)
                for path in folder.rglob("*")
                if path.is_file() and self._own not in path.parents
            )
        for key, size_bytes in found:
            if key.startswith(prefix):
                yield Listed(key=key, size_bytes=size_bytes)

    def delete(self, key: str) -> None:
        """Remove the file."""
        with _translated(key):
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        # Keys are made by catalog.keys; this is the second lock on the same door.
        if not _KEY.match(key) or key.startswith(("/", _OWN)):
            msg = f"{key!r} is no key of this store"
            raise StoreRefuses(msg)
        return self._root / key

    def _link(self, path: Path, content: bytes) -> bool:
        if path.exists():
            return False
        temporary = self._temporary(content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def _temporary(self, content: bytes) -> Path:
        path = self._own / "tmp" / uuid.uuid4().hex
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _sidecar(self, key: str, sha256: str) -> Path:
        # The content's hash in the name keeps a loser's sidecar from describing the winner.
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._own / "meta" / name[:2] / f"{name}.{sha256[:16]}.json"

    def _write_sidecar(
        self, key: str, sha256: str, media_type: str, metadata: Mapping[str, str]
    ) -> None:
        if not metadata and media_type == _media_type(key):
            return
        path = self._sidecar(key, sha256)
        if path.exists():
            return
        described = {"key": key, "media_type": media_type, "metadata": dict(metadata)}
        self._link(path, json.dumps(described).encode())

    def _read_sidecar(self, key: str, sha256: str) -> tuple[str, dict[str, str]]:
        try:
            described = json.loads(self._sidecar(key, sha256).read_bytes())
        except FileNotFoundError:
            return _media_type(key), {}
        return str(described["media_type"]), dict(described["metadata"])

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        path = self._own / "locks" / hashlib.sha256(key.encode()).hexdigest()[:32]
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _media_type(key: str) -> str:
    return _MEDIA_TYPES.get(Path(key).suffix, "application/octet-stream")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as exc:
        msg = f"the store's directory does not let us at {key}: {exc.strerror}"
        raise StoreRefuses(msg) from exc
    except OSError as exc:
        msg = f"the store's directory failed at {key}: {exc.strerror or exc}"
        raise StoreUnavailable(msg) from exc
