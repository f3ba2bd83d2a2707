"""How does the simulator listen, and who answers what?"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from worker.simulator import (
    batch_answers,
    file_answers,
    generation,
    listing,
    refusals,
    steering,
    uploads,
)
from worker.simulator.bodies import ClientLeftError, MalformedBodyError
from worker.simulator.connection import (
    READ_AHEAD_BYTES,
    Connection,
    Delivery,
    Fate,
    MalformedRequestError,
    Reply,
)
from worker.simulator.refusals import Refusal
from worker.simulator.routes import Endpoint, find_route
from worker.simulator.script import ScriptError
from worker.simulator.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from worker.simulator.connection import Request
    from worker.simulator.routes import Route
    from worker.simulator.state import Setup

_BACKLOG: Final = 1024

_ANSWER: Final[Mapping[Endpoint, Callable[[State, Request, Route], Awaitable[Reply]]]] = {
    Endpoint.GENERATE: generation.answer_generation,
    Endpoint.MODEL: listing.answer_model,
    Endpoint.MODELS: listing.answer_models,
    Endpoint.UPLOAD: uploads.answer_upload,
    Endpoint.FILE: file_answers.answer_file,
    Endpoint.FILES: file_answers.answer_files,
    Endpoint.DELETE_FILE: file_answers.delete_file,
    Endpoint.DOWNLOAD: file_answers.download,
    Endpoint.CREATE_BATCH: batch_answers.create_batch,
    Endpoint.BATCH: batch_answers.answer_batch,
    Endpoint.BATCHES: batch_answers.answer_batches,
    Endpoint.CANCEL_BATCH: batch_answers.cancel_batch,
    Endpoint.DELETE_BATCH: batch_answers.delete_batch,
    Endpoint.BOOKS: steering.answer_books,
    Endpoint.SCRIPT: steering.add_to_script,
    Endpoint.SCRIPT_LEFT: steering.answer_script_left,
    Endpoint.LATENCY: steering.change_latency,
    Endpoint.LIMITS: steering.change_limits,
    Endpoint.LIMITS_NOW: steering.answer_limits,
    Endpoint.BATCHES_NOW: steering.answer_batches,
    Endpoint.RESET: steering.reset,
}


class Service:
    """A listening simulator inside a running event loop."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()
        self.state = State(setup)
        self.url = ""

    async def start(self) -> None:
        """Listen; ``url`` is known from here on.

        Raises:
            OSError: the port is taken, or not ours to listen on.
        """
        self._server = await asyncio.start_server(
            self._visit,
            self._setup.host,
            self._setup.port,
            backlog=_BACKLOG,
            limit=READ_AHEAD_BYTES,
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{self._setup.host}:{port}"

    async def stop(self) -> None:
        """Close every connection, calls in flight included; safe to call twice."""
        if self._server:
            self._server.close()
        for visit in tuple(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        await self.state.close()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        if visit:
            self._visits.add(visit)
            visit.add_done_callback(self._visits.discard)
        connection = Connection(reader, writer)
        try:
            await self._serve(connection)
            await connection.close()
        except asyncio.CancelledError:
            # The server stops. Not raised again: asyncio's streams would report it as an error.
            connection.abort()

    async def _serve(self, connection: Connection) -> None:
        while True:
            try:
                request = await connection.read_request(_is_streamed)
                if request is None:
                    return
                reply = await self._answer(request)
                if request.incoming:
                    await request.incoming.skip()
            except ClientLeftError:
                return
            except (MalformedRequestError, MalformedBodyError) as exc:
                await connection.deliver(_refused(refusals.invalid_argument(str(exc))))
                return
            fate = await connection.deliver(reply)
            reply.settle(fate)
            if fate is not Fate.DELIVERED:
                return

    async def _answer(self, request: Request) -> Reply:
        route = find_route(request.method, request.path)
        if route is None:
            return _refused(refusals.no_such_path(request.method, request.path))
        try:
            return await _ANSWER[route.endpoint](self.state, request, route)
        except Refusal as refusal:
            return _refused(refusal)
        except ScriptError as exc:
            return Reply(status=400, body=json.dumps({"error": str(exc)}).encode())


def _is_streamed(method: str, path: str) -> bool:
    route = find_route(method, path)
    return route is not None and route.endpoint is Endpoint.UPLOAD


def _refused(refusal: Refusal) -> Reply:
    return Reply(status=refusal.status, body=refusal.body(), delivery=Delivery.WHOLE)
