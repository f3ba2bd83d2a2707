"""How is one render's picture bought, once?

1. Look: a settled slot, a record, a remembered refusal or a master end the matter without a call.
2. Ask what people want: a cancelled import's render ends, a paused one's stays open.
3. Take the render's lease; somebody else's lease means: not now.
4. Look again: the last holder may have bought it between our look and our lease.
5. Buy. The answer's bytes are put as the take before anything else touches them; while the store
   does not take them they wait in the spool, and this process buys nothing.
6. Hand on to finish.

Dying before 5 costs nothing; during 5 at most this one call, booked as doubtful by the next buyer;
after 5 nothing, because step 1 finds the master.
"""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from catalog import claims, keys
from catalog.money import ZERO, Usd
from catalog.renders import LedgerLine, Purchase, Refusal, RenderRecord, RenderSpec, Tokens, seed
from catalog.results import Status
from catalog.store.port import Conflict, StoreError, StoreRefuses, StoreUnavailable
from worker import plans
from worker.errors import (
    LaneStopped,
    NoPicture,
    OutcomeUnknown,
    PromptBlocked,
    ReferenceUnusable,
    RenderError,
    Snooze,
)
from worker.imaging.sniff import sniff_media_type
from worker.model import Answer, ReferencePhoto, TakeRequest, Usage
from worker.prepare import spec_of
from worker.settling import delivered, line_of, settle
from worker.spool import Kept, PaidAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalog.claims import RenderClaim
    from catalog.imports import PlannedProduct, PlannedSlot
    from worker.ports import Desk

log = structlog.get_logger(__name__)
T = TypeVar("T")

JSON = "application/json"
_LONGEST_ID = 100
"""Characters of a model's own words in a take's metadata, which S3 bounds to 2 KB in all."""


def generate(desk: Desk, claim: RenderClaim) -> None:
    """Buy a render's picture unless it is there, and hand it on.

    Costs at most one call to the model.

    Raises:
        Snooze: somebody else is buying it, or buying is not allowed yet.
        TryLater, NoPicture, OutcomeUnknown: another attempt may succeed.
        Refused: no attempt will help.
        LaneStopped: no render can be bought until somebody mends a setting.
    """
    if not desk.state.is_open(claim.import_id, claim.part, claim.slot):
        return
    if _found(desk, claim) or _unwanted(desk, claim):
        return
    if desk.spool.blocked():
        raise Snooze(
            "spool.blocked", "the store does not take what was bought", desk.limits.lease_s / 6
        )
    wait_s = desk.state.buy_not_before()
    if wait_s > 0:
        raise Snooze("epoch", "Redis was emptied: calls of before may still be open", wait_s)
    with desk.leases.held(claim.render_id) as ours:
        if not ours:
            raise Snooze("leased", "another worker is buying this render", desk.limits.lease_s / 6)
        if _found(desk, claim):
            return
        kept = _buy(desk, claim)
    if kept is Kept.SPOOL:
        raise Snooze("spooled", "its picture waits on disk for the store", desk.limits.lease_s / 6)
    desk.queue.enqueue(claims.FINISH, claim)


def _found(desk: Desk, claim: RenderClaim) -> bool:
    product, slot = plans.planned(desk.store, claim)
    recorded = desk.store.read(keys.record(claim.render_id))
    if recorded is not None:
        record = RenderRecord.from_json(recorded.content)
        if _has_all(desk, record, slot):
            line = delivered(desk, claim, product, slot, record)
            settle(desk, line, part=claim.part, slot=claim.slot)
        else:
            desk.queue.enqueue(claims.FINISH, claim)
        return True
    if any(True for _ in desk.store.list(keys.takes(claim.render_id))):
        desk.queue.enqueue(claims.FINISH, claim)
        return True
    return _refused_before(desk, claim, product, slot)


def _has_all(desk: Desk, record: RenderRecord, slot: PlannedSlot) -> bool:
    there = {image.name for image in record.images}
    return there.issuperset(desk.imaging.file_names(slot.renditions))


def _refused_before(
    desk: Desk, claim: RenderClaim, product: PlannedProduct, slot: PlannedSlot
) -> bool:
    found = desk.store.read(keys.refused(claim.render_id))
    if found is None:
        return False
    refusal = Refusal.from_json(found.content)
    if desk.clock() - refusal.refused_at > timedelta(seconds=desk.limits.refusal_max_age_s):
        return False
    line = line_of(claim.import_id, product, slot, Status.BLOCKED).changed(
        reason=refusal.reason, message=refusal.message, render_id=claim.render_id
    )
    settle(desk, line, part=claim.part, slot=claim.slot)
    return True


def _unwanted(desk: Desk, claim: RenderClaim) -> bool:
    wanted = plans.intent(desk, claim.import_id)
    if wanted == "run":
        return False
    if wanted == "cancel":
        product, slot = plans.planned(desk.store, claim)
        line = line_of(claim.import_id, product, slot, Status.CANCELLED).changed(
            reason="import.cancelled", render_id=claim.render_id
        )
        settle(desk, line, part=claim.part, slot=claim.slot)
    return True


def _buy(desk: Desk, claim: RenderClaim) -> Kept:
    _, slot = plans.planned(desk.store, claim)
    _check_budget(desk, claim, slot)
    spec = spec_of(slot, claim.references)
    request = _request(desk, claim, slot, spec)
    started = time.monotonic()
    try:
        answer = desk.ask(request)
        purchase = _purchase(desk, claim, slot, spec, answer)
        line = _sold(desk, claim, slot, purchase, run_s=time.monotonic() - started)
        kept = _keep(desk, claim, answer, purchase, line)
    except RenderError as exc:
        _book_failure(desk, claim, slot, exc, run_s=time.monotonic() - started)
        raise
    except Exception as exc:
        # A fault of ours, and it does not say whether it came before the sale or after it.
        unknown = OutcomeUnknown("internal", str(exc))
        _book_failure(desk, claim, slot, unknown, run_s=time.monotonic() - started)
        raise
    if kept is Kept.STORE:  # the take itself carries the purchase: the line can be rebuilt from it
        desk.ledger.book(line, at_once=False)
    desk.state.add_spent(claim.import_id, purchase.micro_usd)
    return kept


def _check_budget(desk: Desk, claim: RenderClaim, slot: PlannedSlot) -> None:
    # Also without a budget: what has no price here must fail before it is asked for, not after.
    estimate = _estimate(desk, claim, slot)
    budget = plans.budget(desk, claim.import_id)
    if budget is None:
        return
    spent = Usd(desk.state.spent(claim.import_id))
    if spent + estimate > budget:
        raise LaneStopped("budget", f"{spent} of {budget} USD are spent: the next call is too much")


def _estimate(desk: Desk, claim: RenderClaim, slot: PlannedSlot) -> Usd:
    model = desk.models.resolve(slot.model, platform=desk.platform)
    return model.estimate(references=len(claim.references), size=slot.size, lane="standard")


def _request(desk: Desk, claim: RenderClaim, slot: PlannedSlot, spec: RenderSpec) -> TakeRequest:
    return TakeRequest(
        model_id=slot.model,
        prompt=slot.prompt,
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
    desk: Desk, claim: RenderClaim, slot: PlannedSlot, spec: RenderSpec, answer: Answer
) -> Purchase:
    return Purchase(
        take=1,
        import_id=claim.import_id,
        claim=claim.name,
        fingerprint=spec.fingerprint,
        model_asked=slot.model,
        model_answered=answer.model_answered[:_LONGEST_ID],
        response_id=answer.response_id[:_LONGEST_ID],
        tokens=_tokens(answer.usage),
        micro_usd=_price(desk, slot, answer.usage, size=slot.size).micro,
        sent_at=answer.sent_at,
        answered_at=answer.answered_at,
        attempts=claim.attempt,
    )


def _keep(
    desk: Desk, claim: RenderClaim, answer: Answer, purchase: Purchase, line: LedgerLine
) -> Kept:
    media_type, ext = sniff_media_type(answer.content)
    paid = PaidAnswer(
        render_id=claim.render_id, media_type=media_type, ext=ext, purchase=purchase, line=line
    )
    return desk.spool.keep(paid, answer.content)


def _put(desk: Desk, write: Callable[[], T]) -> T:
    """Write what a call came to; a store that is away or refuses us is asked until the deadline."""
    until = time.monotonic() + desk.limits.put_deadline_s
    delay_s = 0.2
    while True:
        try:
            return write()
        except (StoreUnavailable, StoreRefuses):
            if time.monotonic() + delay_s > until:
                raise
        desk.sleep(delay_s)
        delay_s = min(delay_s * 2, 5.0)


def _sold(
    desk: Desk, claim: RenderClaim, slot: PlannedSlot, purchase: Purchase, *, run_s: float
) -> LedgerLine:
    return _line(desk, claim, slot, run_s=run_s).changed(
        outcome="picture",
        model_answered=purchase.model_answered,
        response_id=purchase.response_id,
        tokens=purchase.tokens,
        cost_usd=purchase.cost_usd,
    )


def _book_failure(
    desk: Desk, claim: RenderClaim, slot: PlannedSlot, exc: RenderError, *, run_s: float
) -> None:
    line = _line(desk, claim, slot, run_s=run_s).changed(reason=exc.reason)
    spend = desk.state.add_spent
    if isinstance(exc, OutcomeUnknown):
        line = line.changed(outcome="doubtful", cost_usd=_estimate(desk, claim, slot))
        spend = desk.state.add_doubtful
    elif isinstance(exc, PromptBlocked | NoPicture):
        usage = exc.usage or Usage()
        line = line.changed(
            outcome="blocked" if isinstance(exc, PromptBlocked) else "no_picture",
            tokens=_tokens(usage),
            cost_usd=_price(desk, slot, usage, size=None),
        )
    # A store that can't be written must not hide what the call came to: the attempt would not be
    # counted, and the call be made again and again. The ledger keeps the line and tries again.
    try:
        desk.ledger.book(line, at_once=True)
        if isinstance(exc, PromptBlocked):
            _put(desk, partial(_remember_refusal, desk, claim, slot, exc, line.cost_usd))
    except StoreError as away:
        log.warning("call_not_in_ledger_yet", render_id=claim.render_id, error=str(away))
    if line.cost_usd:
        spend(claim.import_id, line.cost_usd.micro)


def _remember_refusal(
    desk: Desk, claim: RenderClaim, slot: PlannedSlot, exc: PromptBlocked, cost: Usd
) -> None:
    refusal = Refusal(
        render_id=claim.render_id,
        reason=exc.reason,
        message=exc.message,
        finish_reason=exc.finish_reason,
        prompts=(slot.prompt,),
        cost_usd=cost,
        refused_at=desk.clock(),
        import_id=claim.import_id,
    )
    key = keys.refused(claim.render_id)
    found = desk.store.read(key)
    with contextlib.suppress(Conflict):  # somebody else was refused just now: that will do
        desk.store.replace(
            key, refusal.to_json(indent=2), media_type=JSON, etag=found.etag if found else None
        )


def _line(desk: Desk, claim: RenderClaim, slot: PlannedSlot, *, run_s: float) -> LedgerLine:
    return LedgerLine(
        at=desk.clock(),
        import_id=claim.import_id,
        claim=claim.name,
        render_id=claim.render_id,
        scene=slot.scene,
        sku=slot.sku,
        take=1,
        outcome="not_sold",
        model_asked=slot.model,
        platform=desk.platform,
        cost_usd=ZERO,
        run_s=round(run_s, 3),
        worker=desk.worker,
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
