"""What does a 200 of Gemini's hold: a picture, a refusal, or neither?

Reads the reply's JSON as it came, for a call and for a line of a batch's output alike. The SDK's
own classes are passed by: they drop ``finishMessage``, and a field that they don't know must not
cost us a picture that is paid for. For the same reason no field is trusted to have its type.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from worker.errors import LaneStopped, NoPicture, OutcomeUnknown, PromptBlocked, Refused
from worker.model import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BLOCKED = frozenset(
    {
        "SAFETY",
        "IMAGE_SAFETY",
        "RECITATION",
        "IMAGE_RECITATION",
        "PROHIBITED_CONTENT",
        "IMAGE_PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "MODEL_ARMOR",
        "JAILBREAK",
    }
)
"""The safety system's words, of a prompt and of a picture."""

RESTRICTED = frozenset({"PUP_LIMITED_DISABLED", "ESCALATION"})
"""The account is restricted: every further call makes it worse."""

MALFORMED = frozenset(
    {
        "LANGUAGE",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
    }
)
"""The request is wrong in itself, and will be again."""

# A draft stands for the picture only if the model believes that it is done.
_DONE = frozenset({"", "STOP", "FINISH_REASON_UNSPECIFIED"})
_UNSPECIFIED = frozenset({"", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"})
_WORDS_SHOWN = 200

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """A picture, and what the reply says of it. ``media_type`` is that of the bytes, if known."""

    content: bytes
    media_type: str
    model_answered: str
    response_id: str
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    content: bytes
    media_type: str
    is_draft: bool


def parse_answer(body: str | bytes) -> Mapping[str, object]:
    """Read a 200's body; an empty one is an empty answer.

    Raises:
        OutcomeUnknown: the body is cut off or is no JSON object; a picture may have been sold.
    """
    if not body.strip():
        return {}
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise OutcomeUnknown(
            "outcome_unknown", f"the model's answer of {len(body)} characters can't be read"
        )
    return reply


def read_answer(reply: Mapping[str, object]) -> Sold:
    """Find the picture in a reply.

    It is the last inline picture that is no thought, or else the last inline picture: models send
    drafts first, and have been seen to call the final one a thought.

    Raises:
        PromptBlocked: the safety system refused, with its word in ``finish_reason``.
        Refused: the request can never be answered with a picture.
        NoPicture: none of this, and no picture; perhaps billed, see ``usage``.
        LaneStopped: the account is restricted.
        OutcomeUnknown: the only picture can't be decoded from the JSON.
    """
    candidates = [_mapping(candidate) for candidate in _sequence(reply.get("candidates"))]
    finish = _text(_get(candidates[0], "finishReason")) if candidates else ""
    final = _final_picture(list(_pictures(candidates)), finish)
    if final is None:
        _refuse(reply, candidates, finish)
    return Sold(
        content=final.content,
        media_type=final.media_type,
        model_answered=_text(_get(reply, "modelVersion")),
        response_id=_text(_get(reply, "responseId")),
        usage=read_usage(reply, has_picture=True) or Usage(),
    )


def read_usage(reply: Mapping[str, object], *, has_picture: bool) -> Usage | None:
    """Read the tokens that a reply reports; ``None`` if it reports none at all.

    Without details by modality the answer's tokens count as the picture's, if there is one.
    """
    usage = _mapping(_get(reply, "usageMetadata"))
    if not usage:
        return None
    answered = _count(_get(usage, "candidatesTokenCount"))
    details = _sequence(_get(usage, "candidatesTokensDetails"))
    if details:
        image = sum(_modality(detail, "IMAGE") for detail in details)
    else:
        image = answered if has_picture else 0
    return Usage(
        input_tokens=_count(_get(usage, "promptTokenCount"))
        + _count(_get(usage, "toolUsePromptTokenCount")),
        output_image_tokens=image,
        output_text_tokens=max(0, answered - image),
        thought_tokens=_count(_get(usage, "thoughtsTokenCount")),
    )


def _final_picture(pictures: Sequence[_Picture], finish: str) -> _Picture | None:
    kept = [picture for picture in pictures if not picture.is_draft]
    if not kept and finish in _DONE:
        kept = list(pictures)
    return kept[-1] if kept else None


def _pictures(candidates: Sequence[Mapping[str, object]]) -> Iterator[_Picture]:
    for candidate in candidates:
        for part in _parts(candidate):
            inline = _mapping(_get(part, "inlineData"))
            encoded = _text(_get(inline, "data"))
            declared = _text(_get(inline, "mimeType"))
            if encoded and (declared.startswith("image/") or not declared):
                content = _decode(encoded)
                yield _Picture(
                    content=content,
                    media_type=_media_type(content) or declared,
                    is_draft=_get(part, "thought") is True,
                )


def _refuse(
    reply: Mapping[str, object], candidates: Sequence[Mapping[str, object]], finish: str
) -> NoReturn:
    usage = read_usage(reply, has_picture=False)
    block = _text(_get(_mapping(_get(reply, "promptFeedback")), "blockReason"))
    word = finish if block in _UNSPECIFIED else block
    said = _words(candidates)
    if word in RESTRICTED:
        raise LaneStopped(
            "model.permission", f"the platform restricts this account ({word}){said}; ask Google"
        )
    if word in BLOCKED or block not in _UNSPECIFIED:
        raise PromptBlocked(
            "prompt.blocked", f"the safety system refused ({word}){said}", word, usage
        )
    if word in MALFORMED:
        raise Refused("model.rejected", f"the model can't answer this request ({word}){said}")
    raise NoPicture(
        "model.no_picture",
        f"the model answered without a picture ({word or 'no finish reason'}){said}",
        word,
        usage,
    )


def _words(candidates: Sequence[Mapping[str, object]]) -> str:
    """Quote the beginning of what the model says in place of a picture."""
    texts = [
        _text(_get(part, "text"))
        for candidate in candidates
        for part in _parts(candidate)
        if _get(part, "thought") is not True
    ]
    texts += [_text(_get(candidate, "finishMessage")) for candidate in candidates]
    said = " ".join(" ".join(texts).split())
    return f": {said[:_WORDS_SHOWN]}" if said else ""


def _parts(candidate: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    content = _mapping(_get(candidate, "content"))
    return (_mapping(part) for part in _sequence(_get(content, "parts")))


def _decode(encoded: str) -> bytes:
    standard = encoded.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise OutcomeUnknown(
            "outcome_unknown", "the picture in the model's answer is no base64"
        ) from exc


def _media_type(content: bytes) -> str:
    """Tell the type from the bytes: the declared one has been seen to be wrong."""
    for signature, media_type in _SIGNATURES:
        if content.startswith(signature):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return ""


def _modality(detail: object, modality: str) -> int:
    entry = _mapping(detail)
    return _count(_get(entry, "tokenCount")) if _get(entry, "modality") == modality else 0


def _get(reply: Mapping[str, object], name: str) -> object:
    """Look a field up by its camelCase name, or as gateways spell it: in snake_case."""
    if name in reply:
        return reply[name]
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return reply.get(snake)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0
