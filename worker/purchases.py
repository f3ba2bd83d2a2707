"""How is a call to a model written down, and booked once it is known what it came to?

For both lanes: a call of its own, or a line of a batch. What it came to is noted in Redis first: a
store that is away must not make the call forgotten. A picture's line in the ledger can wait, its
take carries the purchase; any other line is in the store before :func:`book_failure` returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from catalog.connection import StateUnavailable
from catalog.money import ZERO, Usd
from catalog.open_calls import OpenCall
from catalog.renders import LedgerLine, Purchase, Refusal, Tokens, seed
from catalog.store.port import StoreError, sha256_hex
from worker.attempts import why_used_up
from worker.concluding import conclude_call, sold
from worker.errors import (
    LaneStopped,
    NoPicture,
    OutcomeUnknown,
    PromptBlocked,
    ReferenceUnusable,
    Refused,
    RenderError,
    Snooze,
)
from worker.imaging.sniff import sniff_media_type
from worker.model import Answer, ReferencePhoto, TakeRequest, Usage
from worker.refusals import SOFTENED
from worker.spool import Kept, PaidAnswer

if TYPE_CHECKING:
    from catalog.claims import RenderClaim
    from catalog.imports import PlannedSlot
    from catalog.models import Lane
    from catalog.renders import RenderSpec
    from worker.ports import Desk

log = structlog.get_logger(__name__)

_LONGEST_ID = 100
"""Characters of a model's own words in a take's metadata, which S3 bounds to 2 KB in all."""


def attempts_of(desk: Desk, claim: RenderClaim) -> int:
    """Which call of its slot this is; a fed-again message does not begin to count anew.

    Raises:
        Refused: no more may be made.
    """
    tries = desk.calls.tries(claim.import_id, claim.part, claim.slot)
    why = why_used_up(tries, desk.limits)
    if why is not None:
        raise Refused(tries.reason, why)
    return tries.attempts + tries.doubtful + 1


def written_call(
    desk: Desk,
    claim: RenderClaim,
    slot: PlannedSlot,
    *,
    call: str,
    lease: str,
    softened: int,
    attempts: int,
    lane: Lane = "standard",
    platform: str = "",
    pool: str = "",
) -> OpenCall:
    """A call as it is written down before it leaves: its line is right if nobody hears of it."""
    # Also without a budget: what has no price here must fail before it is asked for, not after.
    expected = estimate(desk, slot, references=len(claim.references), lane=lane)
    return OpenCall(
        call=call,
        import_id=claim.import_id,
        part=claim.part,
        slot=claim.slot,
        render_id=claim.render_id,
        micro_usd=expected.micro,
        lease=lease,
        attempts=attempts,
        line=LedgerLine(
            at=desk.clock(),
            import_id=claim.import_id,
            claim=claim.name,
            render_id=claim.render_id,
            scene=slot.scene,
            sku=slot.sku,
            take=1,
            outcome="doubtful",
            reason="worker_lost",
            model_asked=slot.model,
            platform=platform or desk.platform,
            lane=lane,
            pool=pool,
            cost_usd=expected,
            run_s=0.0,
            worker=desk.worker,
            call=call,
            revision=desk.state.revision(claim.import_id) or 1,
            softened=softened,
        ),
    )


def estimate(desk: Desk, slot: PlannedSlot, *, references: int, lane: Lane = "standard") -> Usd:
    """What is set aside for one picture."""
    model = desk.models.resolve(slot.model, platform=desk.platform)
    return model.reserve(references=references, size=slot.size, lane=lane)


def request_of(
    desk: Desk, claim: RenderClaim, slot: PlannedSlot, spec: RenderSpec, softened: int
) -> TakeRequest:
    """What the model is asked for; reads the photos from the store.

    Raises:
        ReferenceUnusable: one is gone.
    """
    return TakeRequest(
        model_id=slot.model,
        prompt=slot.wordings[softened],
        references=tuple(_photo(desk, used.key, used.media_type) for used in claim.references),
        ratio=slot.ratio,
        size=slot.size,
        seed=seed(spec.fingerprint, 1),
        scene=slot.scene,
        deadline_s=desk.limits.model_deadline_s,
    )


def _photo(desk: Desk, key: str, media_type: str) -> ReferencePhoto:
    found = desk.store.read(key)
    if found is None:
        raise ReferenceUnusable(
            "reference.lost", f"{key} is no longer in the store: import the product again"
        )
    return ReferencePhoto(content=found.content, media_type=media_type)


def keep_picture(
    desk: Desk, call: OpenCall, slot: PlannedSlot, spec: RenderSpec, answer: Answer, *, run_s: float
) -> tuple[Kept, LedgerLine]:
    """Put a paid picture where it is safe; returns its line, which is to be booked then."""
    purchase = _purchase(desk, call, slot, spec, answer)
    line = sold(call, purchase).changed(run_s=round(run_s, 3))
    return _keep(desk, call, answer, purchase, line), line


def _purchase(
    desk: Desk, call: OpenCall, slot: PlannedSlot, spec: RenderSpec, answer: Answer
) -> Purchase:
    return Purchase(
        take=1,
        import_id=call.import_id,
        claim=call.line.claim,
        fingerprint=spec.fingerprint,
        model_asked=slot.model,
        model_answered=answer.model_answered[:_LONGEST_ID],
        response_id=answer.response_id[:_LONGEST_ID],
        tokens=_tokens(answer.usage),
        micro_usd=price(desk, slot, answer.usage, size=slot.size, lane=call.line.lane).micro,
        sent_at=answer.sent_at,
        answered_at=answer.answered_at,
        attempts=call.attempts,
        revision=call.line.revision,
        call=call.call,
        softened=call.line.softened,
        prompt_sha256=_softer_sha256(slot, call.line.softened),
    )


def _softer_sha256(slot: PlannedSlot, softened: int) -> str | None:
    """Which softer prompt was sent; its place alone says that only beside the plan."""
    return sha256_hex(slot.wordings[softened].encode()) if softened else None


def _keep(desk: Desk, call: OpenCall, answer: Answer, purchase: Purchase, line: LedgerLine) -> Kept:
    media_type, ext = sniff_media_type(answer.content)
    paid = PaidAnswer(
        render_id=call.render_id, media_type=media_type, ext=ext, purchase=purchase, line=line
    )
    return desk.spool.keep(paid, answer.content)


def book_sale(desk: Desk, call: OpenCall, line: LedgerLine, kept: Kept) -> None:
    """Note that a call brought a picture, and where it is kept."""
    try:
        if kept is Kept.SPOOL:
            desk.calls.spooled(call, line)
            return
        desk.calls.end(call, line)
    except StateUnavailable:
        _put_anyway(desk, line)
        raise
    desk.ledger.book(line)


def book_failure(
    desk: Desk, call: OpenCall, slot: PlannedSlot, exc: RenderError, *, run_s: float
) -> None:
    """Note what a call came to that brought no picture; its line is in the store afterwards."""
    line = _failed(desk, call, slot, exc).changed(reason=exc.reason, run_s=round(run_s, 3))
    refusal = _refusal(desk, call, slot, exc, line) if isinstance(exc, PromptBlocked) else None
    try:
        desk.calls.end(call, line, refusal=refusal)
    except StateUnavailable:
        _put_anyway(desk, line)
        raise
    conclude_call(desk, call.changed(state="ended", line=line, refusal=refusal))


def _put_anyway(desk: Desk, line: LedgerLine) -> None:
    """Tell it to whoever finds the call open later, though Redis does not hear it now."""
    try:
        desk.ledger.put(line)
    except StoreError as away:
        log.warning("call_not_booked", render_id=line.render_id, error=str(away))


def _failed(desk: Desk, call: OpenCall, slot: PlannedSlot, exc: RenderError) -> LedgerLine:
    if isinstance(exc, OutcomeUnknown):
        return call.line
    if isinstance(exc, PromptBlocked | NoPicture):
        usage = exc.usage or Usage()
        return call.line.changed(
            outcome="blocked" if isinstance(exc, PromptBlocked) else "no_picture",
            tokens=_tokens(usage),
            cost_usd=price(desk, slot, usage, size=None, lane=call.line.lane),
        )
    counts = not isinstance(exc, Snooze | LaneStopped)
    return call.line.changed(outcome="not_sold", cost_usd=ZERO, attempt=counts)


def _refusal(
    desk: Desk, call: OpenCall, slot: PlannedSlot, exc: PromptBlocked, line: LedgerLine
) -> Refusal:
    return Refusal(
        render_id=call.render_id,
        reason=exc.reason,
        message=exc.message,
        finish_reason=exc.finish_reason,
        prompts=(slot.wordings[line.softened],),
        cost_usd=line.cost_usd,
        refused_at=desk.clock(),
        import_id=call.import_id,
        revision=line.revision,
        final=exc.finish_reason not in SOFTENED or line.softened == len(slot.softer),
    )


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        input=usage.input_tokens,
        output_image=usage.output_image_tokens,
        output_text=usage.output_text_tokens,
        thought=usage.thought_tokens,
    )


def price(
    desk: Desk, slot: PlannedSlot, usage: Usage, *, size: str | None, lane: Lane = "standard"
) -> Usd:
    """What an answer costs by the model's table; ``size`` is the picture's, if there is one."""
    model = desk.models.resolve(slot.model, platform=desk.platform)
    return model.cost(usage, size=size, lane=lane)
