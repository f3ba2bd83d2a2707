"""Which files are kept, where, and for how long?

What was uploaded, and what batches have answered: bytes in a private temporary folder, facts in
memory. A file ends 48 simulated hours after it was made. Nothing outlives the simulator, except
bytes that a kill leaves in the folder.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from worker.simulator import batch_refusals

if TYPE_CHECKING:
    from collections.abc import Callable

GIB: Final = 1024**3
KEPT_HOURS: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimits:
    """What one file and all files together may hold, in bytes; the documented figures."""

    file_bytes: int = 2 * GIB
    total_bytes: int = 20 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes on disk, and what is known of them; ``sha256`` in hex."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file; ``is_result`` for what a batch has answered: only that can be downloaded."""

    id: str
    number: int
    display_name: str
    media_type: str
    content: Content
    created_at: datetime
    expires_at: datetime
    ends_s: float
    is_result: bool = False

    @property
    def name(self) -> str:
        """Its name on the wire."""
        return f"files/{self.id}"


class FileStore:
    """All files; belongs to one event loop.

    ``clock`` tells the seconds since the simulator's start, ``hour_s`` how many of them make an
    hour. The folder is made when it is needed.
    """

    def __init__(self, limits: StorageLimits, clock: Callable[[], float], *, hour_s: float) -> None:
        self._limits = limits
        self._clock = clock
        self._kept_s = KEPT_HOURS * hour_s
        self._files: dict[str, StoredFile] = {}
        self._expected: dict[str, int] = {}
        self._folder: Path | None = None
        self._made = 0

    def new_path(self) -> Path:
        """A place in the folder that nothing has taken; whoever asks for it cleans it up."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="skuscene-simulator-"))
        return self._folder / uuid4().hex

    def expect(self, file_id: str, size_bytes: int) -> None:
        """Keep room, and the name, for a file on its way in; again with another size.

        Raises:
            Refusal: it is too large, there is no room left, or its name is taken.
        """
        if size_bytes > self._limits.file_bytes:
            raise batch_refusals.file_too_large(size_bytes, self._limits.file_bytes)
        if file_id in self.current():
            raise batch_refusals.file_exists(file_id)
        others = sum(size for name, size in self._expected.items() if name != file_id)
        if self._used_bytes() + others + size_bytes > self._limits.total_bytes:
            raise batch_refusals.storage_full(self._limits.total_bytes)
        self._expected[file_id] = size_bytes

    def give_up(self, file_id: str) -> None:
        """That file will not come; safe to call twice."""
        self._expected.pop(file_id, None)

    def add(
        self,
        content: Content,
        *,
        file_id: str,
        display_name: str,
        media_type: str,
        is_result: bool = False,
    ) -> StoredFile:
        """Keep a file from now on; ``content.path``, from :meth:`new_path`, is the store's now.

        Results are let in whatever room there is: nobody says that a batch fails for want of it.
        """
        self.give_up(file_id)
        self._made += 1
        now = datetime.now(UTC)
        self._files[file_id] = file = StoredFile(
            id=file_id,
            number=self._made,
            display_name=display_name,
            media_type=media_type,
            content=content,
            created_at=now,
            expires_at=now + timedelta(seconds=self._kept_s),
            ends_s=self._clock() + self._kept_s,
            is_result=is_result,
        )
        return file

    def current(self) -> dict[str, StoredFile]:
        """The files that are there, by id; those whose time is over go first."""
        now_s = self._clock()
        for file in [file for file in self._files.values() if file.ends_s <= now_s]:
            self.delete(file.id)
        return self._files

    def find(self, file_id: str) -> StoredFile:
        """One file.

        Raises:
            Refusal: there is none of that name any more, or never was.
        """
        file = self.current().get(file_id)
        if file is None:
            raise batch_refusals.file_not_found(file_id)
        return file

    def delete(self, file_id: str) -> None:
        """Forget a file and free its bytes.

        Raises:
            Refusal: there is none of that name.
        """
        file = self._files.pop(file_id, None)
        if file is None:
            raise batch_refusals.file_not_found(file_id)
        file.content.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget every file, and remove the folder; safe to call twice."""
        self._files.clear()
        self._expected.clear()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _used_bytes(self) -> int:
        return sum(file.content.size_bytes for file in self.current().values())
