"""How does a batch run?

1. it is pending for a part of its time
2. it runs: its lines are answered one after another, spread over the rest, in an order of its own
3. it ends when its last line is answered, when its order says so, some time after it was cancelled,
   or 48 hours after it was created, whichever comes first; the books hear of every state

Answers are sold when they are made. Succeeded, cancelled and half succeeded batches keep theirs; a
batch that failed or expired has none to give, sold or not.
"""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from worker.simulator.batch_calls import answer_line
from worker.simulator.batch_results import Results
from worker.simulator.batch_states import BatchState
from worker.simulator.books import BatchLine
from worker.simulator.orders import BatchOrder

if TYPE_CHECKING:
    from pathlib import Path

    from worker.simulator.batch_lines import Survey
    from worker.simulator.batch_plans import Plan
    from worker.simulator.batches import Batch
    from worker.simulator.files import Content
    from worker.simulator.state import State

_CANCELLED: Final = (1, "The batch was cancelled.")
_UNREADABLE: Final = 3
_EXPIRED: Final = (4, "The batch did not end within 48 hours.")
_FAILED: Final = (13, "An internal error has occurred. Please retry.")
_RESULTS_MEDIA_TYPE: Final = "application/jsonl"
_PARTLY: Final = frozenset({BatchOrder.PARTLY_MISSING, BatchOrder.PARTLY_FAILED})


class BatchRun:
    """One batch on its way from pending to its end; ``source`` is its own copy of the input."""

    def __init__(
        self, state: State, batch: Batch, plan: Plan, source: Path, survey: Survey
    ) -> None:
        self._state = state
        self._batch = batch
        self._plan = plan
        self._source = source
        self._survey = survey

    async def run(self) -> None:
        """Play it to its end; whoever stops it before leaves no results."""
        try:
            await self._play()
        finally:
            self._source.unlink(missing_ok=True)

    async def _play(self) -> None:
        batch, plan = self._batch, self._plan
        is_stuck = plan.order is BatchOrder.STUCK_PENDING
        if not await self._wait_until(math.inf if is_stuck else self._at(plan.pending_hours)):
            await self._halt()
            return
        batch.move(BatchState.RUNNING)
        book_batch(self._state, batch)
        if self._survey.problem:
            await self._end(BatchState.FAILED, error=(_UNREADABLE, self._survey.problem))
        elif plan.order in {BatchOrder.FAILED, BatchOrder.EXPIRED}:
            await self._make_nothing()
        else:
            await self._answer_lines()

    async def _make_nothing(self) -> None:
        if not await self._wait_until(self._at(self._plan.hours)):
            await self._halt()
        elif self._plan.order is BatchOrder.FAILED:
            await self._end(BatchState.FAILED, error=_FAILED)
        else:
            await self._end(BatchState.EXPIRED, error=_EXPIRED)

    async def _answer_lines(self) -> None:
        plan, lines = self._plan, len(self._survey.offsets)
        marked = {order: plan.mark(share, lines) for order, share in plan.results.items()}
        path = self._state.files.new_path()
        with Results(path, is_inline=not self._batch.input_file, marked=marked) as results:
            if not await self._fill(results):
                await self._halt(results)
            elif plan.order is BatchOrder.CANCELLED:
                await self._end(BatchState.CANCELLED, results, error=_CANCELLED)
            elif plan.order in _PARTLY:
                await self._end(BatchState.PARTIALLY_SUCCEEDED, results)
            else:
                await self._end(BatchState.SUCCEEDED, results)
        if not self._batch.has_results:
            path.unlink(missing_ok=True)

    async def _fill(self, results: Results) -> bool:
        """Answer the lines; whether it came through before it was halted."""
        plan, numbers = self._plan, self._order()
        begun_s = self._state.now_s()
        spread_s = max(0.0, self._at(plan.hours) - begun_s)
        spoiled = plan.mark(plan.share, len(numbers)) if plan.order in _PARTLY else frozenset[int]()
        stops_early = plan.order in {BatchOrder.STUCK_RUNNING, BatchOrder.CANCELLED}
        last = plan.count(plan.share, len(numbers)) if stops_early else len(numbers)
        for place, number in enumerate(numbers[:last], start=1):
            if not await self._wait_until(begun_s + spread_s * place / len(numbers)):
                return False
            if number in spoiled and plan.order is BatchOrder.PARTLY_MISSING:
                self._batch.failed += 1
                continue
            await self._answer(number, results, spoiled=number in spoiled)
        return plan.order is not BatchOrder.STUCK_RUNNING or await self._wait_until(math.inf)

    async def _answer(self, number: int, results: Results, *, spoiled: bool) -> None:
        batch, offset = self._batch, self._survey.offsets[number]
        answered = await answer_line(self._state, batch, self._source, offset, spoiled=spoiled)
        kind = "error" if answered.is_error else "response"
        await asyncio.to_thread(results.write, number, answered.asked.label, kind, answered.body)
        batch.succeeded += not answered.is_error
        batch.failed += answered.is_error
        batch.sold += answered.is_sold

    def _order(self) -> list[int]:
        """Inline answers stand in the order of their requests; lines in none."""
        numbers = list(range(len(self._survey.offsets)))
        if self._batch.input_file:
            self._plan.dice.shuffle(numbers)
        return numbers

    async def _wait_until(self, at_s: float) -> bool:
        """Wait for a time, on the simulator's clock; whether the batch was not halted before."""
        batch = self._batch
        while True:
            now_s = self._state.now_s()
            if now_s >= batch.halts_s:
                return False
            if now_s >= at_s:
                return True
            batch.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(at_s, batch.halts_s) - now_s):
                    await batch.changed.wait()

    def _at(self, hours: float) -> float:
        return self._batch.created_s + hours * self._state.setup.hour_s

    async def _halt(self, results: Results | None = None) -> None:
        if self._batch.is_cancelled:
            await self._end(BatchState.CANCELLED, results, error=_CANCELLED)
        else:
            await self._end(BatchState.EXPIRED, error=_EXPIRED)

    async def _end(
        self,
        state: BatchState,
        results: Results | None = None,
        *,
        error: tuple[int, str] | None = None,
    ) -> None:
        batch = self._batch
        if results and batch.succeeded + batch.failed:
            self._keep(await asyncio.to_thread(results.finish))
        batch.error = error
        batch.move(state)
        book_batch(self._state, batch)

    def _keep(self, content: Content) -> None:
        batch = self._batch
        if not batch.input_file:
            batch.inline = content
            return
        file = self._state.files.add(
            content,
            file_id=f"batch-{batch.id}",
            display_name=batch.display_name,
            media_type=_RESULTS_MEDIA_TYPE,
            is_result=True,
        )
        batch.result_file = file.name


def book_batch(state: State, batch: Batch) -> None:
    """Write a batch's line into the books, and on standard error."""
    line = BatchLine(
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        at_s=round(state.now_s(), 6),
        batch=batch.name,
        state=batch.state,
        display_name=batch.display_name,
        model=batch.model,
        caller=batch.caller,
        requests=batch.requests,
        succeeded=batch.succeeded,
        failed=batch.failed,
        sold=batch.sold,
        results=batch.result_file,
    )
    state.books.book_batch(line)
    if not state.setup.quiet:
        counts = f"{batch.succeeded}+{batch.failed} of {batch.requests}"
        sys.stderr.write(f"{line.at} {line.state} {line.batch} {counts} {line.model}\n")
