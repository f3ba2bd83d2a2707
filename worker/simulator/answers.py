"""What does a model's answer look like as JSON?"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from worker.simulator.models import DEFAULT_SIZE
from worker.simulator.outcomes import Piece
from worker.simulator.pictures import Order, make_picture
from worker.simulator.tokens import pieces_of

if TYPE_CHECKING:
    from worker.simulator.outcomes import Outcome
    from worker.simulator.script import ScriptLine
    from worker.simulator.tokens import Usage
    from worker.simulator.wire import Call

_DRAFT_SHRINK: Final = 2
_CAPTION_LETTERS: Final = 64


def build_answer(
    call: Call, outcome: Outcome, line: ScriptLine, usage: Usage, sale_no: int
) -> bytes:
    """The body of a 200; ``sale_no`` is 1 for the first picture of this request.

    A model draws something else each time: pictures of one request differ by their number.
    """
    answer: dict[str, Any] = {}
    if outcome.block_reason:
        answer["promptFeedback"] = {"blockReason": line.block_reason or outcome.block_reason}
    else:
        answer["candidates"] = [_candidate(call, outcome, line, sale_no)]
    answer["usageMetadata"] = _usage(call, usage)
    answer["modelVersion"] = call.model.name
    answer["responseId"] = f"{call.digest[:16]}-{sale_no}-{line.outcome}"
    body = json.dumps(answer).encode()
    # Pictures are far longer than what follows them: two thirds end inside the last one.
    return body[: len(body) * 2 // 3] if outcome.truncated else body


def _candidate(call: Call, outcome: Outcome, line: ScriptLine, sale_no: int) -> dict[str, Any]:
    finish_reason = line.finish_reason or outcome.finish_reason
    candidate: dict[str, Any] = {"index": 0, "finishReason": finish_reason}
    pieces = pieces_of(call, outcome)
    if pieces:
        parts = [_part(piece, call, outcome, sale_no) for piece in pieces]
        candidate["content"] = {"role": "model", "parts": parts}
    else:
        candidate["finishMessage"] = f"No image was generated: {finish_reason}."
        candidate["safetyRatings"] = _safety_ratings(blocked="SAFETY" in finish_reason)
    if finish_reason == "CONTINUATION":
        candidate["continuationToken"] = _opaque(f"continue {call.digest} {sale_no}")
    return candidate


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


def _usage(call: Call, usage: Usage) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens,
        "totalTokenCount": usage.total_tokens,
        "promptTokensDetails": _details(
            TEXT=usage.prompt_text_tokens, IMAGE=usage.prompt_image_tokens
        ),
        "serviceTier": call.service_tier,
    }
    if usage.thought_tokens:
        metadata["thoughtsTokenCount"] = usage.thought_tokens
    if usage.candidates_tokens:
        metadata["candidatesTokenCount"] = usage.candidates_tokens
        metadata["candidatesTokensDetails"] = _details(
            TEXT=usage.output_text_tokens, IMAGE=usage.output_image_tokens
        )
    return metadata


def _details(**counts: int) -> list[dict[str, Any]]:
    return [
        {"modality": modality, "tokenCount": count} for modality, count in counts.items() if count
    ]
