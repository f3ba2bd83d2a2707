"""How is a local directory an object store?

An object is a file; ``create`` is a whole file linked into place, so it appears at once or not at
all; ``replace`` compares under a lock. Media type and metadata stand in a sidecar, linked before
the object, under ``.skuscene/``. For one machine: network file systems keep neither promise.
"""

from __future__ import annotations

import contextlib
import errno
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
_LONGEST_KEY = 1_024
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,255}")
# What asking again does not mend.
_LASTING = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
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
            if not path.exists():
                self._write_sidecar(key, sha256, media_type, metadata)
                if self._link(path, content):
                    return Created(key=key, sha256=sha256, won=True)
            stored = sha256_hex(path.read_bytes())
        return Created(key=key, sha256=stored, won=stored == sha256)

    def replace(self, key: str, content: bytes, *, media_type: str, etag: str | None) -> str:
        """Rename a whole file into place while nobody else may."""
        path = self._path(key)
        sha256 = sha256_hex(content)
        with _translated(key), self._locked(key):
            found = sha256_hex(path.read_bytes()) if path.exists() else None
            if found == sha256:
                return sha256
            if found != etag or not self._put(path, key, content, media_type, is_new=etag is None):
                msg = f"{key} was changed by somebody else"
                raise Conflict(msg)
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
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self._root
        with _translated(prefix):
            found = sorted(self._files(start, prefix))
        for key, size_bytes in found:
            yield Listed(key=key, size_bytes=size_bytes)

    def delete(self, key: str) -> None:
        """Remove the file, then what describes it."""
        with _translated(key):
            self._path(key).unlink(missing_ok=True)
            described = self._sidecar(key, "")
            for sidecar in described.parent.glob(f"{described.name.split('.')[0]}.*"):
                sidecar.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        # Keys are made by catalog.keys; this is the second lock on the same door.
        segments = key.split("/")
        if len(key) > _LONGEST_KEY or segments[0] == _OWN or not all(map(_is_plain, segments)):
            msg = f"{key!r} is no key of this store"
            raise StoreRefuses(msg)
        return self._root / key

    def _files(self, start: Path, prefix: str) -> Iterator[tuple[str, int]]:
        for folder, folders, names in os.walk(start, onerror=_raise_unless_absent):
            if folder == str(self._root):
                folders.remove(_OWN)
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._root).as_posix()
                # Somebody may delete a file between its listing and this look at it.
                with contextlib.suppress(FileNotFoundError):
                    if key.startswith(prefix):
                        yield key, path.stat().st_size

    def _put(self, path: Path, key: str, content: bytes, media_type: str, *, is_new: bool) -> bool:
        self._write_sidecar(key, sha256_hex(content), media_type, {})
        if is_new:  # linked, because ``create`` does not wait for our lock
            return self._link(path, content)
        self._temporary(content).replace(path)
        _sync_folder(path.parent)
        return True

    def _link(self, path: Path, content: bytes) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._temporary(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def _temporary(self, content: bytes) -> Path:
        path = self._own / "tmp" / uuid.uuid4().hex
        try:
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:  # a full disk must not be filled further by every attempt
            path.unlink(missing_ok=True)
            raise
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
        path.parent.mkdir(exist_ok=True)
        described = {"key": key, "media_type": media_type, "metadata": dict(metadata)}
        # Over what a writer left who died before its object was there.
        self._temporary(json.dumps(described).encode()).replace(path)

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


def _is_plain(segment: str) -> bool:
    return segment not in {".", ".."} and _SEGMENT.fullmatch(segment) is not None


def _raise_unless_absent(exc: OSError) -> None:
    if not isinstance(exc, FileNotFoundError | NotADirectoryError):
        raise exc


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
    except OSError as exc:
        if exc.errno in _LASTING:
            msg = f"the store's directory does not let us at {key}: {exc.strerror}"
            raise StoreRefuses(msg) from exc
        msg = f"the store's directory failed at {key}: {exc.strerror or exc}"
        raise StoreUnavailable(msg) from exc
