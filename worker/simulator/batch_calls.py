"""What becomes of one line of a batch?

The same as of a call by itself, by the same script and rates, as far as it makes sense without a
connection: what would have gone wrong on the way (cut, dripped, torn) arrives, silence is a
deadline that has passed. What the model answered is sold at the batch lane's price when it is made,
whatever becomes of the batch.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from worker.simulator import refusals
from worker.simulator.answers import build_answer
from worker.simulator.batch_lines import read_line
from worker.simulator.books import CallLine
from worker.simulator.connection import Delivery, Fate
from worker.simulator.generation import tell_call
from worker.simulator.models import MODELS
from worker.simulator.outcomes import PICTURE, find_outcome
from worker.simulator.prices import list_price
from worker.simulator.refusals import Refusal
from worker.simulator.routes import Platform
from worker.simulator.tokens import Usage, count_usage
from worker.simulator.wire import read_call

if TYPE_CHECKING:
    from pathlib import Path

    from worker.simulator.batch_lines import AskedLine
    from worker.simulator.batches import Batch
    from worker.simulator.outcomes import Outcome
    from worker.simulator.state import State
    from worker.simulator.wire import Call

_SERVER_ERRORS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a line is answered: a response or an error, as JSON."""

    asked: AskedLine
    is_error: bool
    body: bytes
    is_sold: bool = False


async def answer_line(
    state: State, batch: Batch, source: Path, offset: int, *, spoiled: bool
) -> Answered:
    """Answer one line, and book it; a ``spoiled`` one fails by order, whatever it asks for."""
    entry = _Entry(state, batch)
    asked, call = await asyncio.to_thread(_read, source, offset, batch.model)
    try:
        if isinstance(call, Refusal):
            raise call
        entry.call = call
        if spoiled:
            raise refusals.internal()
        return await _ask(state, asked, call, entry)
    except Refusal as refusal:
        entry.settle(refusal.outcome, refusal.status)
        body = json.dumps(refusal.rpc_status()).encode()
        return Answered(asked=asked, is_error=True, body=body)


async def _ask(state: State, asked: AskedLine, call: Call, entry: _Entry) -> Answered:
    line, dice = state.director.direct(call.prompt, call.digest, "batch")
    outcome = find_outcome(line.outcome, wants_picture=call.wants_picture)
    if outcome.refuse:
        raise outcome.refuse(call.model.name, line.delay_s)
    if outcome.delivery is Delivery.HANG:
        raise refusals.deadline_exceeded()
    if outcome.fixed:
        status = outcome.fixed[0]
        if status >= _SERVER_ERRORS:
            raise refusals.internal()
        entry.settle(outcome.name, status)
        return Answered(asked=asked, is_error=False, body=b"{}")
    drawn = _arrived(outcome)
    usage = count_usage(call, drawn, state.setup.tokens.draw(dice))
    sale_no = state.number_sale(call.digest) if drawn.sells else 0
    body = await asyncio.to_thread(build_answer, call, drawn, line, usage, sale_no)
    entry.settle(outcome.name, 200, usage, is_sold=drawn.sells)
    return Answered(asked=asked, is_error=False, body=body, is_sold=drawn.sells)


def _arrived(outcome: Outcome) -> Outcome:
    on_the_way = outcome.truncated or outcome.delivery is not Delivery.WHOLE
    return PICTURE if on_the_way else outcome


def _read(source: Path, offset: int, model: str) -> tuple[AskedLine, Call | Refusal]:
    asked = read_line(source, offset)
    try:
        return asked, read_call(asked.request, MODELS[model], Platform.DEVELOPER)
    except Refusal as refusal:
        return asked, refusal


class _Entry:
    """A line's line in the books."""

    def __init__(self, state: State, batch: Batch) -> None:
        self.call: Call | None = None
        self._state = state
        self._batch = batch
        self._begun_at = datetime.now(UTC)
        self._begun_s = state.now_s()

    def settle(
        self,
        outcome: str,
        status: int,
        usage: Usage = Usage(),  # noqa: B008 - frozen
        *,
        is_sold: bool = False,
    ) -> None:
        """Write it."""
        call = self.call
        line = CallLine(
            at=self._begun_at.isoformat(timespec="microseconds"),
            at_s=round(self._begun_s, 6),
            model=self._batch.model,
            request=call.digest if call else "",
            prompt=call.prompt if call else "",
            caller=self._batch.caller,
            outcome=outcome,
            status=status,
            sold=is_sold,
            fate=Fate.KEPT,
            run_s=round(self._state.now_s() - self._begun_s, 6),
            tokens=usage.booked(),
            cost_usd=list_price(self._batch.model, usage, "batch"),
            lane="batch",
            batch=self._batch.name,
        )
        self._state.books.book_batched(line)
        if not self._state.setup.quiet:
            tell_call(line, call)
