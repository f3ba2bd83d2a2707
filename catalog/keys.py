"""Where does each object live, relative to the store's prefix?

Pure: identifiers in, keys out. Nothing that a shop wrote becomes a key unescaped.
"""

from __future__ import annotations

import hashlib
import re

ID_LENGTH = 32
"""A render's id is this many hex digits of its fingerprint."""

STORE_IDENTITY = "store.json"

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")
_LONGEST_SLUG = 180
_CUT_AT = 146
_TOKEN = re.compile(r"__|_[0-9A-F]{2}|.", re.DOTALL)
_REVISION = re.compile(r"(?:^|/)(?:manifest|retry)\.r([1-9][0-9]*)\.json$")


def slug(text: str) -> str:
    """Escape any text into ``A-Z a-z 0-9 - . _``, reversibly up to 180 characters.

    Two different texts never share a slug: letters, digits and ``-`` stay, ``_`` doubles, every
    other UTF-8 byte becomes ``_HH``; a longer slug is cut and ends in ``_H`` and a hash, which no
    escape can produce. A dot stays only between other characters, so ``..`` can't arise.

    Raises:
        ValueError: ``text`` is empty.
    """
    if not text:
        msg = "an empty text has no slug"
        raise ValueError(msg)
    encoded = text.encode()
    escaped = "".join(_escape(byte, encoded, at) for at, byte in enumerate(encoded))
    if len(escaped) <= _LONGEST_SLUG:
        return escaped
    return f"{_cut(escaped)}_H{hashlib.sha256(encoded).hexdigest()[:32]}"


def _escape(byte: int, text: bytes, at: int) -> str:
    if byte in _SAFE:
        return chr(byte)
    if byte == ord("_"):
        return "__"
    if byte == ord(".") and 0 < at < len(text) - 1 and text[at - 1] != ord("."):
        return "."
    return f"_{byte:02X}"


def _cut(escaped: str) -> str:
    kept = ""
    for token in _TOKEN.findall(escaped):
        if len(kept) + len(token) > _CUT_AT:
            break
        kept += token
    return kept


def reference(sha256: str, ext: str) -> str:
    """A normalised reference, by the hash of its own bytes."""
    return f"references/{sha256}.{ext}"


def reference_thumb(sha256: str) -> str:
    """A reference's thumbnail for the contact sheet."""
    return f"references/{sha256}.thumb.webp"


def source(address: str) -> str:
    """What is known of a photo's address."""
    return f"sources/{hashlib.sha256(address.encode()).hexdigest()}.json"


def upload(sha256: str) -> str:
    """An original from a producer's disk."""
    return f"uploads/{sha256}"


def render_folder(render_id: str) -> str:
    """Everything about one render, ending in a slash."""
    return f"renders/{render_id[:2]}/{render_id}/"


def take(render_id: str, take_no: int, ext: str) -> str:
    """A picture exactly as bought."""
    return f"{render_folder(render_id)}take-{take_no}.{ext}"


def takes(render_id: str) -> str:
    """The prefix of all takes of a render."""
    return f"{render_folder(render_id)}take-"


def take_no(key: str) -> int:
    """The number in a take's key."""
    return int(key.rsplit("/take-", 1)[1].split(".", 1)[0])


def rendition(render_id: str, name: str) -> str:
    """A delivery file; ``name`` is the recipe's file name."""
    return f"{render_folder(render_id)}{name}"


def record(render_id: str) -> str:
    """The render record, written last."""
    return f"{render_folder(render_id)}record.json"


def refused(render_id: str) -> str:
    """A terminal refusal."""
    return f"{render_folder(render_id)}refused.json"


def import_folder(import_id: str) -> str:
    """Everything about one import, ending in a slash."""
    return f"imports/{import_id}/"


def import_(import_id: str) -> str:
    """What was asked; its existence means that planning is finished."""
    return f"{import_folder(import_id)}import.json"


def control(import_id: str) -> str:
    """What people want of an import: paused, cancelled, budget, priority."""
    return f"{import_folder(import_id)}control.json"


def plan_part(import_id: str, part: int) -> str:
    """A shard."""
    return f"{import_folder(import_id)}plan/part-{part:05}.jsonl.gz"


def rejected(import_id: str) -> str:
    """Feed rows that can't be used."""
    return f"{import_folder(import_id)}rejected.jsonl"


def results_part(import_id: str, part: int, revision: int) -> str:
    """A shard's result lines."""
    return f"{import_folder(import_id)}results/part-{part:05}.r{revision}.jsonl.gz"


def manifest_revision(import_id: str, revision: int) -> str:
    """A manifest revision, created once."""
    return f"{import_folder(import_id)}manifest.r{revision}.json"


def manifest(import_id: str) -> str:
    """The newest manifest, replaced last."""
    return f"{import_folder(import_id)}manifest.json"


def manifest_revisions(import_id: str) -> str:
    """The prefix of all manifest revisions."""
    return f"{import_folder(import_id)}manifest.r"


def retry(import_id: str, revision: int) -> str:
    """Which rows are run again for a revision; created once: the revision is being made."""
    return f"{retries(import_id)}{revision}.json"


def retries(import_id: str) -> str:
    """The prefix of all retries."""
    return f"{import_folder(import_id)}retry.r"


def revision_no(name: str) -> int | None:
    """The revision in ``manifest.r<N>.json`` or ``retry.r<N>.json``; ``None`` in any other name."""
    found = _REVISION.search(name)
    return int(found[1]) if found else None


def repair(import_id: str, part: int | None = None, row: int | None = None) -> str:
    """What the last repair came to: of a line's files, of a results part, or of all beside them."""
    name = "import" if part is None else f"{part:05}" + ("" if row is None else f"-{row:05}")
    return f"{import_folder(import_id)}repairs/{name}.json"


def order(import_id: str, part: int, sequence: int, attempt: int) -> str:
    """What was ordered of a batch service."""
    return f"{orders(import_id, part)}{sequence}-{attempt}.json"


def orders(import_id: str, part: int | None = None) -> str:
    """The prefix of all orders of an import, or of one of its shards."""
    return f"{import_folder(import_id)}orders/" + ("" if part is None else f"{part:05}-")


def gallery(import_id: str, name: str = "index.html") -> str:
    """A file of the contact sheet."""
    return f"{import_folder(import_id)}gallery/{name}"


def current(catalog: str) -> str:
    """A catalog's newest good manifest."""
    return f"catalogs/{slug(catalog)}/current.json"


def ledger(day: str, worker: str, seq: int) -> str:
    """A segment of the ledger; ``day`` is ``YYYY-MM-DD`` in UTC."""
    return f"ledger/{day}/{slug(worker)}/{seq:06}.jsonl"


def ledger_root() -> str:
    """Where every day's segments are."""
    return "ledger/"


def ledger_day(day: str) -> str:
    """Where one day's segments are."""
    return f"ledger/{day}/"


def ledger_call(day: str, worker: str, call: str) -> str:
    """The line of one call, in a segment of its own: whoever writes it, it is there once."""
    return f"ledger/{day}/{slug(worker)}/call-{call}.jsonl"


def schema(name: str) -> str:
    """A JSON Schema at the store's root."""
    return f"{name}.schema.json"


def quota(pool: str, project: str, model: str) -> str:
    """What was learnt of a model's limits."""
    return f"quota/{slug(pool)}-{slug(project)}-{slug(model)}.json"


def parked(import_id: str, name: str) -> str:
    """A message that could not be read, as it came."""
    return f"parked/{slug(import_id)}/{slug(name)}.json"
