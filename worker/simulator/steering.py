"""How is a running simulator told what to do, and asked what it did?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from worker.simulator.connection import Reply
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
    state.latency = Latency.parse(_read_latency(request.body))
    return _json({"latency_s": [state.latency.low_s, state.latency.high_s]})


async def reset(state: State, _request: Request, _route: Route) -> Reply:
    """Empty script and books."""
    state.reset()
    return _json(state.books.page())


def _read_latency(body: bytes) -> str | float:
    try:
        latency: str | float = json.loads(body)["latency_s"]
    except (ValueError, KeyError, TypeError) as exc:
        message = 'wanted {"latency_s": 0.2} or {"latency_s": "10-40"}'
        raise ScriptError(message) from exc
    return latency


def _json(document: object) -> Reply:
    return Reply(status=200, body=json.dumps(document).encode())
