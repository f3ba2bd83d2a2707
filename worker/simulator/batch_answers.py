"""What is answered about batches?

1. credentials, model and body are checked, and whether one more batch may be open
2. the input is gone through: a file on its own, requests that came along once they are on disk
3. the batch exists from here on, and runs by itself

A batch has its own link to its input: who deletes the file doesn't stop it. Nor does who deletes
the batch: it runs on, unseen, and is paid for.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Final

from worker.simulator import batch_refusals, refusals
from worker.simulator.batch_lines import survey_lines
from worker.simulator.batch_plans import draw_plan
from worker.simulator.batch_runs import BatchRun, book_batch
from worker.simulator.batch_wire import describe_batch, operation_parts, parse_create
from worker.simulator.batches import EXPIRES_HOURS, Batch
from worker.simulator.connection import Fate, Reply
from worker.simulator.credentials import check_credentials, label_of
from worker.simulator.faults import with_faults
from worker.simulator.models import MODELS
from worker.simulator.orders import Scope
from worker.simulator.paging import take_page

if TYPE_CHECKING:
    from pathlib import Path

    from worker.simulator.batch_lines import Survey
    from worker.simulator.batch_wire import AskedBatch
    from worker.simulator.connection import Request
    from worker.simulator.routes import Route
    from worker.simulator.state import State

_USUAL_PAGE: Final = 50
_LARGEST_PAGE: Final = 1000


async def create_batch(state: State, request: Request, route: Route) -> Reply:
    """Make a batch and let it run.

    Raises:
        Refusal: no credential, an unknown model or file, a wrong request, or no room.
    """
    check_credentials(request, route.platform)
    if route.model not in MODELS:
        raise refusals.model_not_found(route.model)
    asked = parse_create(request.body)
    state.batches.check_room(route.model)

    async def act() -> Reply:
        batch = await _make(state, asked, model=route.model, caller=label_of(request))
        body, parts = operation_parts(batch)
        return Reply(status=200, body=body, parts=parts)

    return await with_faults(state, Scope.CREATE, asked.display_name, act)


async def answer_batch(state: State, request: Request, route: Route) -> Reply:
    """One batch; inline answers, once it has ended.

    Raises:
        Refusal: no credential, or no such batch.
    """
    check_credentials(request, route.platform)
    batch = state.batches.find(route.id)

    def settle(fate: Fate) -> None:
        batch.downloads += fate is Fate.DELIVERED and batch.inline is not None

    async def act() -> Reply:
        body, parts = operation_parts(batch)
        return Reply(status=200, body=body, parts=parts, settle=settle)

    return await with_faults(state, Scope.GET, batch.display_name, act)


async def answer_batches(state: State, request: Request, route: Route) -> Reply:
    """A page of all batches, the newest first, without inline answers.

    Raises:
        Refusal: no credential, or no such page.
    """
    check_credentials(request, route.platform)
    batches = [batch for batch in state.batches.all() if not batch.is_deleted]
    page, token = take_page(batches, request.query, usual=_USUAL_PAGE, most=_LARGEST_PAGE)
    listed = {"operations": [describe_batch(batch) for batch in page]} if page else {}

    async def act() -> Reply:
        return _json({**listed, "nextPageToken": token} if token else listed)

    return await with_faults(state, Scope.LIST, "", act)


async def cancel_batch(state: State, request: Request, route: Route) -> Reply:
    """Let a batch end before its time: not at once, and with what it has by then.

    Raises:
        Refusal: no credential, no such batch, or it has ended.
    """
    check_credentials(request, route.platform)
    batch = state.batches.find(route.id)

    async def act() -> Reply:
        if batch.state.is_terminal:
            raise batch_refusals.batch_is_over(batch.id)
        if not batch.is_cancelled:
            batch.cancel(state.now_s() + batch.cancel_s)
        return _json({})

    return await with_faults(state, Scope.CANCEL, batch.display_name, act)


async def delete_batch(state: State, request: Request, route: Route) -> Reply:
    """Show a batch to nobody any more; one that runs goes on.

    Raises:
        Refusal: no credential, or no such batch.
    """
    check_credentials(request, route.platform)
    batch = state.batches.find(route.id)

    async def act() -> Reply:
        batch.is_deleted = True
        return _json({})

    return await with_faults(state, Scope.DELETE, batch.display_name, act)


async def _make(state: State, asked: AskedBatch, *, model: str, caller: str) -> Batch:
    source = state.files.new_path()
    try:
        survey = await _survey(state, asked, source)
        # Again: others may have come while the input was read.
        state.batches.check_room(model, survey.tokens)
    except FileNotFoundError as exc:  # a reset has removed it
        raise batch_refusals.file_not_found(asked.file_id) from exc
    except refusals.Refusal:
        source.unlink(missing_ok=True)
        raise
    plan = draw_plan(state.director, asked.display_name, state.setup.batch_hours)
    now_s = state.now_s()
    batch = Batch(
        number=state.batches.next_number(),
        model=model,
        display_name=asked.display_name,
        caller=caller,
        input_file=f"files/{asked.file_id}" if asked.file_id else "",
        tokens=survey.tokens,
        requests=len(survey.offsets),
        created_s=now_s,
        halts_s=now_s + EXPIRES_HOURS * state.setup.hour_s,
        cancel_s=plan.cancel_hours * state.setup.hour_s,
    )
    book_batch(state, batch)
    state.batches.add(batch, BatchRun(state, batch, plan, source, survey).run())
    return batch


async def _survey(state: State, asked: AskedBatch, source: Path) -> Survey:
    if asked.file_id:
        os.link(state.files.find(asked.file_id).content.path, source)
    else:
        lines = [request.model_dump_json(exclude_none=True) for request in asked.inline]
        await asyncio.to_thread(source.write_text, "\n".join(lines), encoding="utf-8")
    survey = await asyncio.to_thread(survey_lines, source)
    if not survey.offsets and not survey.problem:
        raise refusals.invalid_argument("The input has no requests.", "batch.input_config")
    return survey


def _json(document: object) -> Reply:
    return Reply(status=200, body=json.dumps(document).encode())
