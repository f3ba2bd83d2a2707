"""What does a model's answer look like as JSON?"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from worker.simulator.books import Tokens
from worker.simulator.models import DEFAULT_SIZE, INPUT_IMAGE_TOKENS
from worker.simulator.outcomes import FINALS, Piece
from worker.simulator.pictures import Order, make_picture

if TYPE_CHECKING:
    from worker.simulator.outcomes import Outcome
    from worker.simulator.script import ScriptLine
    from worker.simulator.wire import Call

_LETTERS_PER_TOKEN: Final = 4
_TEXT_TOKENS: Final = 12
_THOUGHT_TOKENS: Final = {"": 0, "minimal": 90, "low": 150, "medium": 310, "high": 1000}
_DRAFT_SHRINK: Final = 2
_CAPTION_LETTERS: Final = 64


def count_tokens(call: Call, outcome: Outcome) -> Tokens:
    """What ``usageMetadata`` will say: documented figures for pictures, a guess for text."""
    return Tokens(
        prompt=_prompt_tokens(call) + call.images * INPUT_IMAGE_TOKENS,
        candidates=_image_tokens(call, outcome) + _text_tokens(call, outcome),
        thoughts=0 if outcome.block_reason else _THOUGHT_TOKENS[call.thinking_level],
    )


def build_answer(call: Call, outcome: Outcome, line: ScriptLine, sale_no: int) -> bytes:
    """The body of a 200; ``sale_no`` is 1 for the first picture of this request.

    A model draws something else each time: pictures of one request differ by their number.
    """
    answer: dict[str, Any] = {}
    if outcome.block_reason:
        answer["promptFeedback"] = {"blockReason": line.block_reason or outcome.block_reason}
    else:
        answer["candidates"] = [_candidate(call, outcome, line, sale_no)]
    answer["usageMetadata"] = _usage(call, outcome)
    answer["modelVersion"] = call.model.name
    answer["responseId"] = f"{call.digest[:16]}-{sale_no}-{line.outcome}"
    body = json.dumps(answer).encode()
    # Pictures are far longer than what follows them: two thirds end inside the last one.
    return body[: len(body) * 2 // 3] if outcome.truncated else body


def _candidate(call: Call, outcome: Outcome, line: ScriptLine, sale_no: int) -> dict[str, Any]:
    finish_reason = line.finish_reason or outcome.finish_reason
    candidate: dict[str, Any] = {"index": 0, "finishReason": finish_reason}
    pieces = _pieces(call, outcome)
    if pieces:
        parts = [_part(piece, call, outcome, sale_no) for piece in pieces]
        candidate["content"] = {"role": "model", "parts": parts}
    else:
        candidate["finishMessage"] = f"No image was generated: {finish_reason}."
        candidate["safetyRatings"] = _safety_ratings(blocked="SAFETY" in finish_reason)
    if finish_reason == "CONTINUATION":
        candidate["continuationToken"] = _opaque(f"continue {call.digest} {sale_no}")
    return candidate


def _pieces(call: Call, outcome: Outcome) -> tuple[Piece, ...]:
    if not outcome.pieces or outcome.pieces == (Piece.TEXT,):
        return outcome.pieces
    return (Piece.TEXT, *outcome.pieces) if call.wants_text else outcome.pieces


def _part(piece: Piece, call: Call, outcome: Outcome, sale_no: int) -> dict[str, Any]:
    match piece:
        case Piece.TEXT:
            return {"text": "Here is the scene you asked for."}
        case Piece.DRAFT:
            order = _order(call, outcome, f"draft {sale_no}", shrink=_DRAFT_SHRINK)
            return {"inlineData": _blob(order), "thought": True}
        case Piece.FINAL:
            order = _order(call, outcome, f"sale {sale_no}")
            signature = _opaque(f"thought {call.digest} {sale_no}")
            return {"inlineData": _blob(order), "thoughtSignature": signature}
        case Piece.FINAL_AS_THOUGHT:
            order = _order(call, outcome, f"sale {sale_no}")
            return {"inlineData": _blob(order), "thought": True}


def _order(call: Call, outcome: Outcome, number: str, *, shrink: int = 1) -> Order:
    width_px, height_px = call.width_px, call.height_px
    if outcome.wrong_size:
        other = "3:2" if call.ratio == "1:1" else "1:1"
        width_px, height_px = call.model.pixels[other][DEFAULT_SIZE]
    width_px, height_px = width_px // shrink, height_px // shrink
    prompt = " ".join(call.prompt.split())
    about = f"{call.ratio}  {call.size}  {width_px}x{height_px}  {call.images} input images"
    return Order(
        width_px=width_px,
        height_px=height_px,
        digest=call.digest,
        media_type=call.media_type,
        caption=(
            prompt[:_CAPTION_LETTERS],
            about,
            f"SIMULATED  {call.digest[:8]}  {number}  {call.model.name}",
        ),
    )


def _blob(order: Order) -> dict[str, str]:
    content = make_picture(order)
    return {"mimeType": order.media_type, "data": base64.b64encode(content).decode()}


def _opaque(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _safety_ratings(*, blocked: bool) -> list[dict[str, Any]]:
    if not blocked:
        return []
    return [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]


def _prompt_tokens(call: Call) -> int:
    return -(-len(call.prompt) // _LETTERS_PER_TOKEN)


def _image_tokens(call: Call, outcome: Outcome) -> int:
    size = DEFAULT_SIZE if outcome.wrong_size else call.size
    finals = sum(1 for piece in outcome.pieces if piece in FINALS)
    return finals * call.model.output_tokens[size]


def _text_tokens(call: Call, outcome: Outcome) -> int:
    return _TEXT_TOKENS if Piece.TEXT in _pieces(call, outcome) else 0


def _usage(call: Call, outcome: Outcome) -> dict[str, Any]:
    tokens = count_tokens(call, outcome)
    usage: dict[str, Any] = {
        "promptTokenCount": tokens.prompt,
        "totalTokenCount": tokens.prompt + tokens.candidates + tokens.thoughts,
        "promptTokensDetails": _details(
            TEXT=_prompt_tokens(call), IMAGE=call.images * INPUT_IMAGE_TOKENS
        ),
        "serviceTier": call.service_tier,
    }
    if tokens.thoughts:
        usage["thoughtsTokenCount"] = tokens.thoughts
    if tokens.candidates:
        usage["candidatesTokenCount"] = tokens.candidates
        usage["candidatesTokensDetails"] = _details(
            TEXT=_text_tokens(call, outcome), IMAGE=_image_tokens(call, outcome)
        )
    return usage


def _details(**counts: int) -> list[dict[str, Any]]:
    return [
        {"modality": modality, "tokenCount": count} for modality, count in counts.items() if count
    ]
