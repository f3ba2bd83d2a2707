"""How is one call to the model made, so that whatever happens it is known and booked once?

1. See whether there is an attempt left; counts stand in Redis, not in messages.
2. Pass the gate: it writes the call down and sets its money aside (:mod:`worker.gate`).
3. Call. The answer's bytes are put as the take before anything else touches them; while the store
   does not take them they wait in the spool.
4. Note what it came to (:mod:`worker.purchases`).

Dying between 2 and 3 books a doubtful call that never left: better than one that nobody knows of.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker import plans
from worker.errors import NoPicture, OutcomeUnknown, PromptBlocked, RenderError
from worker.gate import may_leave
from worker.model import TakeRequest, Usage
from worker.ports import Ask
from worker.prepare import spec_of
from worker.purchases import (
    attempts_of,
    book_failure,
    book_sale,
    estimate,
    keep_picture,
    price,
    request_of,
    written_call,
)
from worker.refusals import wording_to_ask

if TYPE_CHECKING:
    from catalog.claims import RenderClaim
    from catalog.imports import PlannedSlot
    from catalog.open_calls import OpenCall
    from catalog.renders import RenderSpec
    from worker.ports import Desk, Turn
    from worker.spool import Kept


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
    attempts = attempts_of(desk, claim)
    spec = spec_of(slot, claim.references)
    softened = wording_to_ask(desk, claim, slot)
    request = request_of(desk, claim, slot, spec, softened)
    wish = _Wish(slot=slot, spec=spec, request=request)
    desk.ready(slot.model)
    desk.holds.leave_entrance()
    with contextlib.closing(desk.turns.take(_ask(desk, claim, slot))) as turn:
        call = written_call(
            desk,
            claim,
            slot,
            call=uuid.uuid4().hex,
            lease=lease,
            softened=softened,
            attempts=attempts,
            platform=turn.platform,
            pool=turn.pool,
        )
        if not may_leave(desk, call):
            return None
        return _bought(desk, wish, call, turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What one call is for."""

    slot: PlannedSlot
    spec: RenderSpec
    request: TakeRequest


def _bought(desk: Desk, wish: _Wish, call: OpenCall, turn: Turn) -> Kept:
    slot, started = wish.slot, time.monotonic()
    try:
        answer = desk.ask(replace(wish.request, pool=turn.pool))
        run_s = time.monotonic() - started
        kept, line = keep_picture(desk, call, slot, wish.spec, answer, run_s=run_s)
    except RenderError as exc:
        fault = _end_turn(desk, turn, slot, exc)
        book_failure(desk, call, slot, fault, run_s=time.monotonic() - started)
        if fault is exc:
            raise
        raise fault from exc
    except Exception as exc:
        # A fault of ours, and it does not say whether it came before the sale or after it.
        unknown = OutcomeUnknown("internal", str(exc))
        book_failure(desk, call, slot, unknown, run_s=time.monotonic() - started)
        raise
    # Not before the picture is safe: the limiter's Redis may be slow, or away.
    turn.answered(tokens=answer.usage.total, micro_usd=line.cost_usd.micro)
    book_sale(desk, call, line, kept)
    return kept


def _end_turn(desk: Desk, turn: Turn, slot: PlannedSlot, fault: RenderError) -> RenderError:
    """Tell the limiter how a call ended without a picture; it may know better what that means."""
    if not isinstance(fault, PromptBlocked | NoPicture):
        return turn.failed(fault, spent=isinstance(fault, OutcomeUnknown))
    usage = fault.usage or Usage()
    turn.answered(tokens=usage.total, micro_usd=price(desk, slot, usage, size=None).micro)
    return fault


def _ask(desk: Desk, claim: RenderClaim, slot: PlannedSlot) -> Ask:
    model = desk.models.resolve(slot.model, platform=desk.platform)
    references = len(claim.references)
    return Ask(
        model=slot.model,
        tokens=model.tokens(references=references, size=slot.size),
        micro_usd=estimate(desk, slot, references=references).micro,
        urgent=claim.urgent,
    )
