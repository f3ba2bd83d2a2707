"""How is one call to the model made, so that whatever happens it is known and booked once?

1. See whether there is an attempt left; counts stand in Redis, not in messages.
2. Pass the gate: it writes the call down and sets its money aside (:mod:`catalog.open_calls`).
3. Call. The answer's bytes are put as the take before anything else touches them; while the store
   does not take them they wait in the spool.
4. Note what it came to, in Redis first: a store that is away must not make the call forgotten.
   A picture's line in the ledger can wait, its take carries the purchase; any other line is in the
   store before this returns.

Dying between 2 and 3 books a doubtful call that never left: better than one that nobody knows of.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from catalog.connection import StateUnavailable
from catalog.money import ZERO, Usd
from catalog.open_calls import Gate, OpenCall, Reserved
from catalog.renders import LedgerLine, Purchase, Refusal, RenderSpec, Tokens, seed
from catalog.store.port import StoreError, sha256_hex
from worker import plans
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
from worker.ports import Ask
from worker.prepare import spec_of
from worker.refusals import SOFTENED, wording_to_ask
from worker.spool import Kept, PaidAnswer

if TYPE_CHECKING:
    from catalog.claims import RenderClaim
    from catalog.imports import PlannedSlot
    from worker.ports import Desk, Turn

log = structlog.get_logger(__name__)

_LONGEST_ID = 100
"""Characters of a model's own words in a take's metadata, which S3 bounds to 2 KB in all."""


def buy(desk: Desk, claim: RenderClaim, lease: str) -> Kept | None:
    """Buy a render's picture under its lease; ``None`` if its slot is settled by now.

    Costs at most one call to the model.

    Raises:
        Snooze: a call may not leave now.
        TryLater, NoPicture, OutcomeUnknown: another attempt may succeed.
        Refused: no attempt will help.
        LaneStopped: no render can be bought until somebody mends a setting.
    """
    _, slot = plans.planned(desk.store, claim)
    attempts = _attempts(desk, claim)
    spec = spec_of(slot, claim.references)
    softened = wording_to_ask(desk, claim, slot)
    request = _request(desk, claim, slot, spec, softened)
    wish = _Wish(claim=claim, slot=slot, spec=spec, request=request)
    desk.ready(slot.model)
    desk.holds.leave_entrance()
    with contextlib.closing(desk.turns.take(_ask(desk, claim, slot))) as turn:
        call = _call(desk, wish, lease, softened, turn).changed(attempts=attempts)
        if not _may_leave(desk, call):
            return None
        return _bought(desk, wish, call, turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What one call is for."""

    claim: RenderClaim
    slot: PlannedSlot
    spec: RenderSpec
    request: TakeRequest


def _bought(desk: Desk, wish: _Wish, call: OpenCall, turn: Turn) -> Kept:
    slot, started = wish.slot, time.monotonic()
    try:
        answer = desk.ask(replace(wish.request, pool=turn.pool))
        purchase = _purchase(desk, call, slot, wish.spec, answer)
        line = sold(call, purchase).changed(run_s=round(time.monotonic() - started, 3))
        kept = _keep(desk, wish.claim, answer, purchase, line)
    except RenderError as exc:
        fault = _end_turn(desk, turn, slot, exc)
        _book_failure(desk, call, slot, fault, run_s=time.monotonic() - started)
        if fault is exc:
            raise
        raise fault from exc
    except Exception as exc:
        # A fault of ours, and it does not say whether it came before the sale or after it.
        unknown = OutcomeUnknown("internal", str(exc))
        _book_failure(desk, call, slot, unknown, run_s=time.monotonic() - started)
        raise
    # Not before the picture is safe: the limiter's Redis may be slow, or away.
    turn.answered(tokens=answer.usage.total, micro_usd=purchase.micro_usd)
    _book_sale(desk, call, line, kept)
    return kept


def _end_turn(desk: Desk, turn: Turn, slot: PlannedSlot, fault: RenderError) -> RenderError:
    """Tell the limiter how a call ended without a picture; it may know better what that means."""
    if not isinstance(fault, PromptBlocked | NoPicture):
        return turn.failed(fault, spent=isinstance(fault, OutcomeUnknown))
    usage = fault.usage or Usage()
    turn.answered(tokens=usage.total, micro_usd=_price(desk, slot, usage, size=None).micro)
    return fault


def _attempts(desk: Desk, claim: RenderClaim) -> int:
    """Which call of its slot this is; a fed-again message does not begin to count anew."""
    tries = desk.calls.tries(claim.import_id, claim.part, claim.slot)
    why = why_used_up(tries, desk.limits)
    if why is not None:
        raise Refused(tries.reason, why)
    return tries.attempts + tries.doubtful + 1


def _call(desk: Desk, wish: _Wish, lease: str, softened: int, turn: Turn) -> OpenCall:
    claim, slot = wish.claim, wish.slot
    # Also without a budget: what has no price here must fail before it is asked for, not after.
    estimate = _estimate(desk, claim, slot)
    call = uuid.uuid4().hex
    return OpenCall(
        call=call,
        import_id=claim.import_id,
        part=claim.part,
        slot=claim.slot,
        render_id=claim.render_id,
        micro_usd=estimate.micro,
        lease=lease,
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
            platform=turn.platform or desk.platform,
            pool=turn.pool,
            cost_usd=estimate,
            run_s=0.0,
            worker=desk.worker,
            call=call,
            revision=desk.state.revision(claim.import_id) or 1,
            softened=softened,
        ),
    )


def _may_leave(desk: Desk, call: OpenCall) -> bool:
    budget = plans.budget(desk, call.import_id)
    try:
        said = desk.calls.reserve(
            call,
            budget_micro=None if budget is None else budget.micro,
            day_budget_micro=desk.limits.budget_per_day_micro,
        )
    except StateUnavailable:
        _withdraw(desk, call)
        raise
    if said.gate is Gate.GO:
        return True
    if said.gate is Gate.SETTLED:
        return False
    if said.gate is Gate.BUDGET:
        msg = f"{Usd(said.spent_micro)} of {budget} USD are spent: the next call is too much"
        raise LaneStopped("budget", msg)
    if said.gate is Gate.DAY_BUDGET:
        msg = (
            f"{Usd(said.spent_micro)} USD of all imports' SKUSCENE_BUDGET_PER_DAY_USD are spent "
            "today (UTC): the next call is too much"
        )
        raise LaneStopped("budget", msg)
    raise _not_now(desk, said)


def _withdraw(desk: Desk, call: OpenCall) -> None:
    """Only the reply was lost, perhaps: it must not count as a call that nobody answered."""
    with contextlib.suppress(StateUnavailable):
        desk.calls.bury(call, call.line.changed(outcome="not_sold", cost_usd=ZERO, attempt=False))


def _not_now(desk: Desk, said: Reserved) -> Snooze:
    soon_s = desk.limits.lease_s / 6
    messages = {
        Gate.WAIT: "Redis was away or emptied: calls of before may still be open",
        Gate.RECOVERING: "Redis was restarted: what it knew is being rebuilt",
        Gate.LEASE_LOST: "the lease was lost while the call was made ready",
        Gate.PENDING: "an earlier call of this render is being booked",
        Gate.IN_FLIGHT: "the budget would be passed if every call that is open were paid",
    }
    # Short naps: a claim that waits long waits in a worker's memory, and dies with it.
    return Snooze(f"gate.{said.gate}", messages[said.gate], min(max(said.wait_s, 1.0), soon_s))


def _ask(desk: Desk, claim: RenderClaim, slot: PlannedSlot) -> Ask:
    model = desk.models.resolve(slot.model, platform=desk.platform)
    references = len(claim.references)
    return Ask(
        model=slot.model,
        tokens=model.tokens(references=references, size=slot.size),
        micro_usd=_estimate(desk, claim, slot).micro,
        urgent=claim.urgent,
    )


def _estimate(desk: Desk, claim: RenderClaim, slot: PlannedSlot) -> Usd:
    model = desk.models.resolve(slot.model, platform=desk.platform)
    return model.reserve(references=len(claim.references), size=slot.size, lane="standard")


def _request(
    desk: Desk, claim: RenderClaim, slot: PlannedSlot, spec: RenderSpec, softened: int
) -> TakeRequest:
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
        micro_usd=_price(desk, slot, answer.usage, size=slot.size).micro,
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


def _keep(
    desk: Desk, claim: RenderClaim, answer: Answer, purchase: Purchase, line: LedgerLine
) -> Kept:
    media_type, ext = sniff_media_type(answer.content)
    paid = PaidAnswer(
        render_id=claim.render_id, media_type=media_type, ext=ext, purchase=purchase, line=line
    )
    return desk.spool.keep(paid, answer.content)


def _book_sale(desk: Desk, call: OpenCall, line: LedgerLine, kept: Kept) -> None:
    try:
        if kept is Kept.SPOOL:
            desk.calls.spooled(call, line)
            return
        desk.calls.end(call, line)
    except StateUnavailable:
        _put_anyway(desk, line)
        raise
    desk.ledger.book(line)


def _book_failure(
    desk: Desk, call: OpenCall, slot: PlannedSlot, exc: RenderError, *, run_s: float
) -> None:
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
            cost_usd=_price(desk, slot, usage, size=None),
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


def _price(desk: Desk, slot: PlannedSlot, usage: Usage, *, size: str | None) -> Usd:
    model = desk.models.resolve(slot.model, platform=desk.platform)
    return model.cost(usage, size=size, lane="standard")
