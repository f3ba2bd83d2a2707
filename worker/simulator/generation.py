"""How is one generateContent call answered?

1. credentials, model and body are checked as the API documents it: a refusal costs no time
2. the limits let it in, or refuse it: that costs no time either
3. the script or the rates choose an outcome
4. the model thinks: the latency passes (not for refusals)
5. the answer is written as its outcome says, and the call is booked with its fate; what it used
   counts against the limits from here on

A picture is sold as soon as the model has drawn it, whether or not its buyer waited for it.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.simulator import refusals
from worker.simulator.accounts import Spent
from worker.simulator.answers import build_answer
from worker.simulator.books import CallLine
from worker.simulator.connection import Delivery, Fate, Reply
from worker.simulator.credentials import check_credentials, label_of
from worker.simulator.models import MODELS
from worker.simulator.outcomes import find_outcome
from worker.simulator.prices import list_price
from worker.simulator.refusals import Refusal
from worker.simulator.tokens import TokenRate, Usage, count_usage
from worker.simulator.wire import Call, parse_call

if TYPE_CHECKING:
    from worker.simulator.connection import Request
    from worker.simulator.outcomes import Outcome
    from worker.simulator.routes import Route
    from worker.simulator.script import ScriptLine
    from worker.simulator.state import State


async def answer_generation(state: State, request: Request, route: Route) -> Reply:
    """Answer one call; the reply books it once it is delivered."""
    state.books.open_call()
    entry = _Entry(state, route.model, label_of(request))
    try:
        entry.call = call = _read(request, route)
        entry.admitted_at_s = state.quota.take(call.model.name)
        return await _answer(state, call, entry)
    except Refusal as refusal:
        return entry.refuse(refusal)


def _read(request: Request, route: Route) -> Call:
    check_credentials(request, route.platform)
    model = MODELS.get(route.model)
    if model is None:
        raise refusals.model_not_found(route.model)
    return parse_call(request.body, model, route.platform)


async def _answer(state: State, call: Call, entry: _Entry) -> Reply:
    line, dice = state.director.direct(call.prompt, call.digest)
    outcome = find_outcome(line.outcome, wants_picture=call.wants_picture)
    if outcome.refuse:
        raise outcome.refuse(call.model.name, line.delay_s)
    entry.token_rate = state.setup.tokens.draw(dice)
    latency_s = state.latency.draw(dice) if line.latency_s is None else line.latency_s
    if outcome.delivery is not Delivery.HANG:
        await asyncio.sleep(latency_s)
    if outcome.fixed:
        status, content_type, body = outcome.fixed
        return entry.reply(outcome, status, body, content_type=content_type)
    sale_no = state.number_sale(call.digest) if outcome.sells else 0
    usage = count_usage(call, outcome, entry.token_rate)
    body = await asyncio.to_thread(build_answer, call, outcome, line, usage, sale_no)
    return entry.reply(outcome, 200, body, line=line)


class _Entry:
    """A call's line in the books, written when its fate is known."""

    def __init__(self, state: State, model: str, caller: str) -> None:
        self.call: Call | None = None
        self.admitted_at_s: float | None = None
        self.token_rate = TokenRate()
        self._state = state
        self._model = model
        self._caller = caller
        self._begun_at = datetime.now(UTC)
        self._begun_s = state.now_s()

    def refuse(self, refusal: Refusal) -> Reply:
        """An error, booked under its outcome's name."""

        def settle(fate: Fate) -> None:
            self._settle(refusal.outcome, refusal.status, fate, limit=refusal.limit)

        return Reply(status=refusal.status, body=refusal.body(), settle=settle)

    def reply(
        self,
        outcome: Outcome,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json; charset=UTF-8",
        line: ScriptLine | None = None,
    ) -> Reply:
        """An answer that is no refusal."""
        resets = outcome.delivery is Delivery.CUT and line is not None and line.reset

        def settle(fate: Fate) -> None:
            torn = outcome.truncated and fate is Fate.DELIVERED
            self._settle(outcome.name, status, Fate.CUT if torn else fate, outcome)

        return Reply(
            status=status,
            body=body,
            content_type=content_type,
            delivery=Delivery.RESET if resets else outcome.delivery,
            drip_s=line.drip_s if line else 0.0,
            settle=settle,
        )

    def _settle(
        self,
        name: str,
        status: int,
        fate: Fate,
        outcome: Outcome | None = None,
        *,
        limit: str = "",
    ) -> None:
        call = self.call
        usage = self._usage(outcome)
        cost = list_price(self._model, usage)
        if self.admitted_at_s is not None:
            self._state.quota.end(self._model, Spent(tokens=usage.total_tokens, micro=cost.micro))
        line = CallLine(
            at=self._begun_at.isoformat(timespec="microseconds"),
            at_s=round(self._begun_s, 6),
            admitted_at_s=None if self.admitted_at_s is None else round(self.admitted_at_s, 6),
            model=self._model,
            request=call.digest if call else "",
            prompt=call.prompt if call else "",
            caller=self._caller,
            outcome=name,
            status=status,
            limit=limit,
            sold=outcome is not None and outcome.sells,
            fate=fate,
            run_s=round(self._state.now_s() - self._begun_s, 6),
            tokens=usage.booked(),
            cost_usd=cost,
        )
        self._state.books.settle(line)
        if not self._state.setup.quiet:
            tell_call(line, call)

    def _usage(self, outcome: Outcome | None) -> Usage:
        """What the answer reported; nothing if it was no answer of the model."""
        if not self.call or not outcome or outcome.fixed or outcome.delivery is Delivery.HANG:
            return Usage()
        return count_usage(self.call, outcome, self.token_rate)


def tell_call(line: CallLine, call: Call | None) -> None:
    """Write a call's line on standard error."""
    asked = f"{call.ratio} {call.size} {call.digest[:8]}" if call else "-"
    ended = f"{line.status} {line.outcome} {line.fate}"
    sys.stderr.write(f"{line.at} {ended} {line.model} {asked} {line.run_s:.3f}s\n")
