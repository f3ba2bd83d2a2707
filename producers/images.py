"""Which files of a folder are a product's photos?

With ``--images DIR`` a feed's links are matched by their last path segment, query dropped. Only
plain files inside the folder count; symbolic links are not followed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from catalog import keys
from catalog.product import UPLOAD_SCHEME, Photo

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from catalog.product import Product
    from catalog.store.port import Store


class ImagesError(Exception):
    """The folder can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The photos of a folder by file name; of two files of one name the first by path counts."""

    files: Mapping[str, Path]

    @classmethod
    def open(cls, folder: Path) -> ImageFolder:
        """List a folder and the folders below it.

        Raises:
            ImagesError: it is no folder, or can't be read.
        """
        if not folder.is_dir():
            msg = f"--images {folder}: there is no such folder"
            raise ImagesError(msg)
        try:
            found = sorted(
                (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()),
                key=lambda path: (len(path.parts), path),
                reverse=True,
            )
        except OSError as exc:
            msg = f"--images {folder}: {exc.strerror}"
            raise ImagesError(msg) from exc
        root = folder.resolve()
        return cls({path.name: path for path in found if path.resolve().is_relative_to(root)})

    def find(self, link: str) -> Path | None:
        """The file that a link names, if it is here."""
        name = file_name(link)
        return self.files.get(name) or self.files.get(unquote(name))


def file_name(link: str) -> str:
    """A link's last path segment, query dropped."""
    path = urlsplit(link).path if "://" in link else link.split("?", 1)[0].split("#", 1)[0]
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


class Uploads:
    """Puts originals into the store, each once; without a store it only hashes."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._known: dict[Path, str] = {}

    def address(self, path: Path) -> str:
        """Upload a file and say where its photo is found from now on.

        Raises:
            ImagesError: the file can't be read.
            StoreError: the store does not take it.
        """
        if path not in self._known:
            self._known[path] = self._put(path)
        return f"{UPLOAD_SCHEME}{self._known[path]}"

    def _put(self, path: Path) -> str:
        try:
            content = path.read_bytes()
        except OSError as exc:
            msg = f"{path} can't be read: {exc.strerror}"
            raise ImagesError(msg) from exc
        sha256 = hashlib.sha256(content).hexdigest()
        key = keys.upload(sha256)
        if self._store is not None and not self._store.has(key):
            self._store.create(key, content, media_type="application/octet-stream")
        return sha256


def uploaded(product: Product, folder: ImageFolder, uploads: Uploads) -> Product:
    """The product with those of its photos that are in the folder, and no others."""
    found: list[Photo] = []
    for photo in product.photos:
        path = folder.find(photo.address)
        if path is not None:
            found.append(photo.changed(address=uploads.address(path)))
    return product.changed(photos=tuple(found))
