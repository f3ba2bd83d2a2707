"""What text is in a cell, once markup and invisible characters are taken out?"""

from __future__ import annotations

import html
import re

MARKUP_MAX_CHARS = 50_000
"""As much of a description is looked at; far more than a prompt takes."""

# C0 and C1 controls except tab and line ends, zero-width and bidi controls, lone surrogates, BOM.
# Joiners (U+200C, U+200D) stay: emoji and several scripts need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069"
    "\ud800-\udfff\ufeff]"
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_BLOCK = re.compile(
    r"<(?:br|/?(?:p|div|li|ul|ol|tr|table|h[1-6]|section|article))\b[^<>]*>", re.IGNORECASE
)
_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>")
_HIDDEN = (("<!--", "-->"), ("<script", "</script"), ("<style", "</style"))


def one_line(value: str) -> str:
    """Give the text on one line, entities resolved, blanks collapsed."""
    if not value:
        return value
    return " ".join(visible(_resolved(value)).split())


def visible(value: str) -> str:
    """Take out characters that nobody sees and that only do harm."""
    if value.isascii() and value.isprintable():
        return value
    return _INVISIBLE.sub("", value)


def plain(markup: str) -> str:
    """Turn HTML into text: one line per block, blanks collapsed."""
    text = markup[:MARKUP_MAX_CHARS]
    if "<" in text:
        for start, end in _HIDDEN:
            text = _without(text, start, end)
        text = _TAG.sub("", _BLOCK.sub("\n", text))
    lines = (" ".join(line.split()) for line in visible(_resolved(text)).splitlines())
    return "\n".join(line for line in lines if line)


def _resolved(text: str) -> str:
    # Only complete entities: html.unescape alone would turn "R&notes" into "R¬es".
    if "&" not in text:
        return text
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


def _without(text: str, start: str, end: str) -> str:
    """Cut everything from each ``start`` to its ``end``, in one pass over the text."""
    folded = text.lower()
    if start not in folded or len(folded) != len(text):
        return text
    kept, at = [], 0
    while (opened := folded.find(start, at)) >= 0:
        kept.append(text[at:opened])
        closed = folded.find(end, opened)
        if closed < 0:
            return "".join(kept)
        at = closed + len(end)
        if not end.endswith(">"):
            at = folded.find(">", at) + 1 or len(text)
    return "".join(kept) + text[at:]
