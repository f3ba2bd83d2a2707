"""How is a running simulator told what to do, and asked what it did?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from worker.simulator.connection import Reply
from worker.simulator.rules import parse_limits
from worker.simulator.script import Latency, ScriptError, parse_script

if TYPE_CHECKING:
    from worker.simulator.connection import Request
    from worker.simulator.routes import Route
    from worker.simulator.state import State


async def answer_books(state: State, _request: Request, _route: Route) -> Reply:
    """The books as they stand."""
    return _json(state.books.page())


async def answer_script_left(state: State, _request: Request, _route: Route) -> Reply:
    """The script's lines that still wait."""
    return _json(state.director.left())


async def add_to_script(state: State, request: Request, _route: Route) -> Reply:
    """Put lines at the script's end.

    Raises:
        ScriptError: a line can't be followed; none was added.
    """
    state.director.add(parse_script(request.body.decode(errors="replace")))
    return _json(state.director.left())


async def change_latency(state: State, request: Request, _route: Route) -> Reply:
    """Let the model think for another while, from the next call on.

    Raises:
        ScriptError: the body isn't ``{"latency_s": 0.2}`` or ``{"latency_s": "10-40"}``.
    """
    latency = Latency.parse(_read_latency(request.body))
    state.latency = latency
    skew = {"skew": True} if latency.is_skewed else {}
    return _json({"latency_s": [latency.low_s, latency.high_s], **skew})


async def answer_limits(state: State, _request: Request, _route: Route) -> Reply:
    """The rules that hold now, and the time on the clock that they go by."""
    return _json(
        {"limits": [str(rule) for rule in state.quota.rules], "now_s": round(state.now_s(), 6)}
    )


async def change_limits(state: State, request: Request, route: Route) -> Reply:
    """Go by other rules from now on; accounts of a kind that stays keep their history.

    Raises:
        ScriptError: the body is no list of rules, or one can't be followed; none was changed.
    """
    state.quota.change(parse_limits(_read_limits(request.body)))
    return await answer_limits(state, request, route)


async def answer_batches(state: State, _request: Request, _route: Route) -> Reply:
    """Every batch since the start or the last reset, in the order of their creation."""
    return _json([batch.told() for batch in state.batches.all()])


async def reset(state: State, _request: Request, _route: Route) -> Reply:
    """Empty script, books, accounts, batches and files; limits and latency of the start."""
    state.reset()
    return _json(state.books.page())


def _read_latency(body: bytes) -> str | float:
    try:
        latency: str | float = json.loads(body)["latency_s"]
    except (ValueError, KeyError, TypeError) as exc:
        message = 'wanted {"latency_s": 0.2} or {"latency_s": "10-40"}'
        raise ScriptError(message) from exc
    return latency


def _read_limits(body: bytes) -> list[str]:
    try:
        texts = json.loads(body)
    except ValueError:
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        message = 'wanted a list of rules, e.g. ["sliding:600/60s", "day:5000"]; [] is no limit'
        raise ScriptError(message)
    return texts


def _json(document: object) -> Reply:
    return Reply(status=200, body=json.dumps(document).encode())
