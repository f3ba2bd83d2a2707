"""How are a feed's bytes written: compressed, in which encoding, and are they text at all?"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from producers.feeds.errors import FeedError

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 1 << 18
GZIP = b"\x1f\x8b"
GZIP_MAX_RATIO = 300
"""A feed that unpacks to more than this many times its size (and 100 MiB) is an attack."""
GZIP_FREE_BYTES = 100 << 20

_BINARY = (
    (b"PK\x03\x04", "an XLSX workbook or a ZIP archive", "save the sheet as CSV (UTF-8)"),
    (b"PK\x05\x06", "an empty ZIP archive", "give the file itself, as CSV"),
    (b"\xd0\xcf\x11\xe0", "an XLS workbook", "save the sheet as CSV (UTF-8)"),
    (b"PAR1", "a Parquet file", "export it as CSV or JSON Lines"),
    (b"\x89PNG", "a PNG picture", "give the catalog's export, and the pictures by --images DIR"),
    (b"\xff\xd8\xff", "a JPEG picture", "give the catalog's export, and the pictures by --images"),
    (b"GIF8", "a GIF picture", "give the catalog's export, and the pictures by --images DIR"),
    (b"RIFF", "a WebP picture or a sound", "give the catalog's export"),
    (b"%PDF", "a PDF document", "export the catalog as CSV"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"BZh", "a bzip2 file", "unpack it first, or compress it with gzip"),
    (b"\xfd7zXZ", "an xz file", "unpack it first, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first, or compress it with gzip"),
    (GZIP, "a gzip file inside a gzip file", "unpack it once"),
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Characters of western European text; a decoding that yields more of them is the likelier one.
# Small letters count double: wrong code pages tend to put capitals inside words.
_SMALL = frozenset("äöüßéèêëàâçñóíáúôîïûùãõøåæœ")
_LETTERS = _SMALL | frozenset("ÄÖÜÉÈÀÇÑÓÍÁÚÅØÆ€£\u2013\u2019\u201c\u201d")
_ASCII_END = 0x80
_LEGACY = ("cp1252", "cp850", "mac-roman")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was found in one pass over the whole file.

    ``sha256`` and ``size_bytes`` are the file's as given; ``text_bytes`` its size unpacked.
    """

    path: Path
    sha256: str
    size_bytes: int
    text_bytes: int
    is_gzip: bool
    encoding: str
    head: str
    warnings: tuple[str, ...] = ()

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """Open the feed as text, line ends untouched, the BOM taken off.

        Raises:
            FeedError: the file can't be opened or read any more.
        """
        with _translated(self.path), closing(_unpacked(self.path, is_gzip=self.is_gzip)) as content:
            stream = io.TextIOWrapper(content, encoding=self.encoding, errors="replace", newline="")
            yield stream


def survey(path: Path) -> Survey:
    """Read the whole file once: its hash, its encoding, and whether it is text.

    Raises:
        FeedError: the file is missing, empty, binary, damaged or no regular file.
    """
    with _translated(path):
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no regular file"
            raise FeedError(
                f"{path}: {what if path.exists() else 'no such file'}; name a feed file"
            )
        sha256, size_bytes, start = _hashed(path)
        is_gzip = start.startswith(GZIP)
        pass_ = _Pass(path, is_gzip=is_gzip, size_bytes=size_bytes)
        encoding, warnings = _encoding(pass_)
    head = _decoded(pass_.head, encoding, is_whole=pass_.size_bytes == len(pass_.head))
    if not head.strip():
        raise FeedError(f"{path.name}: the file is empty ({size_bytes} bytes); export it again")
    return Survey(
        path=path,
        sha256=sha256,
        size_bytes=size_bytes,
        text_bytes=pass_.size_bytes,
        is_gzip=is_gzip,
        encoding=encoding,
        head=head,
        warnings=warnings,
    )


class _Pass:
    """One pass over the unpacked bytes."""

    def __init__(self, path: Path, *, is_gzip: bool, size_bytes: int) -> None:
        self.path = path
        self.head = b""
        self.size_bytes = 0
        self.bad_at: int | None = None
        self.bad_line = 0
        self.around_bad = b""
        self.nul_line = 0
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        lines = 1
        with closing(_unpacked(path, is_gzip=is_gzip)) as content:
            while chunk := content.read(CHUNK_BYTES):
                self._keep_head(chunk)
                if self.bad_at is None:
                    self._check_utf8(decoder, chunk, lines)
                if not self.nul_line and b"\0" in chunk:
                    self.nul_line = lines + chunk.count(b"\n", 0, chunk.index(b"\0"))
                lines += chunk.count(b"\n")
                self.size_bytes += len(chunk)
                self._check_ratio(size_bytes)
        if self.bad_at is None:
            self._check_utf8(decoder, b"", lines, final=True)

    def _keep_head(self, chunk: bytes) -> None:
        if len(self.head) < HEAD_BYTES:
            if not self.head:
                _refuse_binary(self.path, chunk)
            self.head += chunk[: HEAD_BYTES - len(self.head)]

    def _check_utf8(
        self, decoder: codecs.IncrementalDecoder, chunk: bytes, lines: int, *, final: bool = False
    ) -> None:
        try:
            decoder.decode(chunk, final)
        except UnicodeDecodeError as exc:
            self.bad_at = self.size_bytes + exc.start
            self.bad_line = lines + chunk.count(b"\n", 0, exc.start)
            self.around_bad = chunk[max(0, exc.start - HEAD_BYTES) : exc.start + HEAD_BYTES]

    def _check_ratio(self, packed_bytes: int) -> None:
        if self.size_bytes > max(GZIP_FREE_BYTES, packed_bytes * GZIP_MAX_RATIO):
            raise FeedError(
                f"{self.path.name}: {packed_bytes} bytes of gzip unpack to more than "
                f"{GZIP_MAX_RATIO} times as much; unpack it yourself if that is right"
            )


def _encoding(found: _Pass) -> tuple[str, tuple[str, ...]]:
    """Decide on an encoding; a file that is not UTF-8 gets a warning that says so.

    Raises:
        FeedError: there are NUL bytes in what is no UTF-16.
    """
    for bom, encoding in _BOMS:
        if found.head.startswith(bom):
            return encoding, ()
    if wide := _wide(found.head):
        return wide, ()
    if found.nul_line:
        raise FeedError(
            f"{found.path.name}: line {found.nul_line} holds NUL bytes, so the file is damaged or "
            "no text; export it again as CSV (UTF-8) or JSON Lines"
        )
    if found.bad_at is None:
        return "utf-8", ()
    return _legacy(found)


def _legacy(found: _Pass) -> tuple[str, tuple[str, ...]]:
    sample = found.head + found.around_bad
    lenient = sample.decode("utf-8", "replace")
    wrong = lenient.count("\ufffd")
    right = sum(ord(char) >= _ASCII_END for char in lenient) - wrong
    if right > 4 * wrong:
        return "utf-8", (f"line {found.bad_line} holds bytes that are no UTF-8: read as \ufffd",)
    scored = [(_letters(sample, encoding), -at, encoding) for at, encoding in enumerate(_LEGACY)]
    encoding = max(scored)[2]
    warning = (
        f"the file is not UTF-8 (line {found.bad_line}), so it is read as {encoding}; "
        "if letters look wrong, save it as UTF-8"
    )
    return encoding, (warning,)


def _letters(sample: bytes, encoding: str) -> int:
    text = [char for char in sample.decode(encoding, "replace") if ord(char) >= _ASCII_END]
    return sum((char in _LETTERS) + (char in _SMALL) - (char == "\ufffd") for char in text)


def _wide(head: bytes) -> str:
    """Recognise UTF-16 without a BOM by its zeros; empty if it is none."""
    sample = head[: 4_096 & ~1]
    half = len(sample) // 2
    if half < 2:  # noqa: PLR2004
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > half * 0.6 and even < half * 0.05:
        return "utf-16-le"
    if even > half * 0.6 and odd < half * 0.05:
        return "utf-16-be"
    return ""


def _decoded(head: bytes, encoding: str, *, is_whole: bool) -> str:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return decoder.decode(head, is_whole)


def _hashed(path: Path) -> tuple[str, int, bytes]:
    digest, size_bytes, start = hashlib.sha256(), 0, b""
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            start = start or chunk[:16]
            digest.update(chunk)
            size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes, start


def _refuse_binary(path: Path, start: bytes) -> None:
    for magic, what, cure in _BINARY:
        if start.startswith(magic):
            raise FeedError(f"{path.name}: this is {what}, which is not read; {cure}")


def _unpacked(path: Path, *, is_gzip: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if is_gzip else path.open("rb")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what reading a file can raise into a FeedError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise FeedError(f"{path.name}: the gzip file is damaged ({exc}); copy it again") from exc
    except OSError as exc:
        reason = exc.strerror or exc
        raise FeedError(f"{path}: the file can't be read: {reason}") from exc
