"""What can become of a call?

Every outcome the simulator knows, by the name that ``--rate``, a script and the books use for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from worker.simulator import refusals
from worker.simulator.connection import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.simulator.refusals import Refusal


class Piece(StrEnum):
    """A part of a model's answer."""

    TEXT = "text"
    DRAFT = "draft"
    FINAL = "final"
    FINAL_AS_THOUGHT = "final_as_thought"


FINALS: Final = frozenset({Piece.FINAL, Piece.FINAL_AS_THOUGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One way for a call to end.

    Exactly one of ``refuse`` (an error, given model and retry delay), ``fixed`` (status, media
    type, body) and ``pieces`` or a bare ``finish_reason`` (a model's answer) describes the body.
    """

    name: str
    about: str
    refuse: Callable[[str, float], Refusal] | None = None
    fixed: tuple[int, str, bytes] | None = None
    pieces: tuple[Piece, ...] = ()
    finish_reason: str = "STOP"
    block_reason: str = ""
    wrong_size: bool = False
    truncated: bool = False
    delivery: Delivery = Delivery.WHOLE

    @property
    def sells(self) -> bool:
        """Whether a final picture is written, be it only in part."""
        return self.delivery is not Delivery.HANG and bool(FINALS.intersection(self.pieces))


_JSON: Final = "application/json; charset=UTF-8"
HTML: Final = (
    b"<!DOCTYPE html>\n<html lang=en>\n<title>Error 500 (Server Error)!!1</title>\n"
    b"<p><b>500.</b> <ins>That's an error.</ins>\n"
    b"<p>The server encountered an error and could not complete your request.\n</html>\n"
)

PICTURE: Final = Outcome(name="picture", about="one final picture", pieces=(Piece.FINAL,))
_TABLE: Final = (
    PICTURE,
    Outcome(
        name="draft",
        about="a thought draft (`thought: true`, a smaller picture), then the final picture",
        pieces=(Piece.DRAFT, Piece.FINAL),
    ),
    Outcome(
        name="draft_only",
        about="a thought draft and no final picture, finish reason `STOP`",
        pieces=(Piece.DRAFT,),
    ),
    Outcome(
        name="thought_final",
        about="the final picture itself is flagged `thought: true`",
        pieces=(Piece.FINAL_AS_THOUGHT,),
    ),
    Outcome(
        name="wrong_size",
        about="a final picture of another ratio than asked for, at 1K",
        pieces=(Piece.FINAL,),
        wrong_size=True,
    ),
    Outcome(
        name="continuation",
        about="a final picture, finish reason `CONTINUATION` and a token; the SDK asks again",
        pieces=(Piece.FINAL,),
        finish_reason="CONTINUATION",
    ),
    Outcome(name="text_only", about="text, no picture, finish reason `STOP`", pieces=(Piece.TEXT,)),
    Outcome(name="no_image", about="no content, `NO_IMAGE`", finish_reason="NO_IMAGE"),
    Outcome(name="image_safety", about="no content, `IMAGE_SAFETY`", finish_reason="IMAGE_SAFETY"),
    Outcome(name="safety", about="no content, `SAFETY`", finish_reason="SAFETY"),
    Outcome(
        name="recitation", about="no content, `IMAGE_RECITATION`", finish_reason="IMAGE_RECITATION"
    ),
    Outcome(
        name="prohibited",
        about="no content, `IMAGE_PROHIBITED_CONTENT`",
        finish_reason="IMAGE_PROHIBITED_CONTENT",
    ),
    Outcome(
        name="unknown_finish",
        about="no content, a finish reason that no SDK knows (`IMAGE_UNHEARD_OF`)",
        finish_reason="IMAGE_UNHEARD_OF",
    ),
    Outcome(
        name="blocked_prompt",
        about="no candidates, `promptFeedback.blockReason` `PROHIBITED_CONTENT`",
        block_reason="PROHIBITED_CONTENT",
    ),
    Outcome(
        name="400",
        about="INVALID_ARGUMENT",
        refuse=lambda _model, _delay: refusals.invalid_argument(
            "Request contains an invalid argument."
        ),
    ),
    Outcome(
        name="key_invalid",
        about="400 INVALID_ARGUMENT with ErrorInfo reason `API_KEY_INVALID`",
        refuse=lambda _model, _delay: refusals.key_invalid(),
    ),
    Outcome(
        name="billing",
        about="400 FAILED_PRECONDITION: billing is not enabled",
        refuse=lambda _model, _delay: refusals.billing(),
    ),
    Outcome(
        name="401",
        about="UNAUTHENTICATED: credential missing or expired",
        refuse=lambda _model, _delay: refusals.key_missing(),
    ),
    Outcome(
        name="402",
        about="FAILED_PRECONDITION: prepaid credit used up",
        refuse=lambda _model, _delay: refusals.prepay_empty(),
    ),
    Outcome(
        name="403",
        about="PERMISSION_DENIED: key without the right, or leaked",
        refuse=lambda _model, _delay: refusals.permission_denied(),
    ),
    Outcome(
        name="404",
        about="NOT_FOUND: model unknown or retired",
        refuse=lambda model, _delay: refusals.model_not_found(model),
    ),
    Outcome(
        name="429",
        about="RESOURCE_EXHAUSTED, quota per minute, without RetryInfo",
        refuse=lambda model, _delay: refusals.rate_limited(model),
    ),
    Outcome(
        name="429_retryinfo",
        about="RESOURCE_EXHAUSTED, quota per minute, RetryInfo of `delay_s`",
        refuse=lambda model, delay: refusals.rate_limited(model, delay_s=delay),
    ),
    Outcome(
        name="429_per_day",
        about="RESOURCE_EXHAUSTED, quota per day",
        refuse=lambda model, _delay: refusals.rate_limited(model, limit=250, per_day=True),
    ),
    Outcome(
        name="429_tokens",
        about="RESOURCE_EXHAUSTED, quota of tokens, RetryInfo of `delay_s`",
        refuse=refusals.tokens_used_up,
    ),
    Outcome(
        name="429_spend",
        about="RESOURCE_EXHAUSTED, what may be spent in 10 minutes, RetryInfo of `delay_s`",
        refuse=refusals.money_used_up,
    ),
    Outcome(
        name="429_capacity",
        about="RESOURCE_EXHAUSTED for want of capacity: no quota, no RetryInfo",
        refuse=lambda _model, _delay: refusals.exhausted(),
    ),
    Outcome(name="500", about="INTERNAL", refuse=lambda _model, _delay: refusals.internal()),
    Outcome(
        name="500_html",
        about="500 with an HTML page",
        fixed=(500, "text/html; charset=UTF-8", HTML),
    ),
    Outcome(
        name="503",
        about="UNAVAILABLE: the model is overloaded",
        refuse=lambda _model, _delay: refusals.overloaded(),
    ),
    Outcome(
        name="504",
        about="DEADLINE_EXCEEDED",
        refuse=lambda _model, _delay: refusals.deadline_exceeded(),
    ),
    Outcome(name="201", about="201 with `{}`", fixed=(201, _JSON, b"{}")),
    Outcome(name="empty_200", about="200 without a body", fixed=(200, _JSON, b"")),
    Outcome(name="empty_object", about="200 with `{}`", fixed=(200, _JSON, b"{}")),
    Outcome(
        name="truncated_json",
        about="200, whole on the wire, but the JSON stops inside the picture",
        pieces=(Piece.FINAL,),
        truncated=True,
    ),
    Outcome(
        name="cut",
        about="200, connection closed in the middle of the body (`reset: true`: with a TCP reset)",
        pieces=(Piece.FINAL,),
        delivery=Delivery.CUT,
    ),
    Outcome(
        name="drip",
        about="200, the body comes slowly, over `drip_s` seconds",
        pieces=(Piece.FINAL,),
        delivery=Delivery.DRIP,
    ),
    Outcome(
        name="hang",
        about="silence until the client leaves",
        pieces=(Piece.FINAL,),
        delivery=Delivery.HANG,
    ),
)

OUTCOMES: Final[Mapping[str, Outcome]] = MappingProxyType({each.name: each for each in _TABLE})


def find_outcome(name: str, *, wants_picture: bool) -> Outcome:
    """The outcome of that name; who wants no picture gets words where others get one."""
    outcome = OUTCOMES[name]
    return outcome if wants_picture or not outcome.sells else OUTCOMES["text_only"]
