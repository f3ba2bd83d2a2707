"""What do a file's first bytes say it is?

Pillow is not loaded, so that a stage which only stores bytes can ask.
"""

from __future__ import annotations

UNKNOWN = ("application/octet-stream", "bin")

_JPEG = ("image/jpeg", "jpg")
_PNG = ("image/png", "png")
_GIF = ("image/gif", "gif")
_TIFF = ("image/tiff", "tif")
_AVIF = ("image/avif", "avif")
_HEIC = ("image/heic", "heic")
_WEBP = ("image/webp", "webp")

_OPENINGS = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"II+\x00", _TIFF),
    (b"BM", ("image/bmp", "bmp")),
    (b"8BPS", ("image/vnd.adobe.photoshop", "psd")),
    (b"\x00\x00\x00\x0cjP  ", ("image/jp2", "jp2")),
    (b"\x00\x00\x01\x00", ("image/x-icon", "ico")),
    (b"%PDF-", ("application/pdf", "pdf")),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
# Real files name fewer than ten; a box that claims more is not read to its end.
_MAX_BRANDS_BYTES = 256


def sniff_media_type(content: bytes) -> tuple[str, str]:
    """Name a file's media type and ending; :data:`UNKNOWN` if the first bytes say nothing.

    A name is no promise that the file can be decoded.
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _WEBP
    if content[4:8] == b"ftyp":
        return _by_brand(content)
    for opening, kind in _OPENINGS:
        if content.startswith(opening):
            return kind
    return UNKNOWN


def _by_brand(content: bytes) -> tuple[str, str]:
    """Tell AVIF from HEIC: both are ISO media files, and both may lead with ``mif1``."""
    end = min(int.from_bytes(content[:4], "big"), _MAX_BRANDS_BYTES)
    brands = {content[8:12]} | {content[at : at + 4] for at in range(16, end, 4)}
    if brands & _AVIF_BRANDS:
        return _AVIF
    return _HEIC if brands & _HEIC_BRANDS else UNKNOWN
