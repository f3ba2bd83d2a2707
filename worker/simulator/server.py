"""How does the simulator run inside a test?"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Final, Self, TypeVar

from worker.simulator.batches import BatchLimits
from worker.simulator.files import StorageLimits
from worker.simulator.limit_refusals import Telling
from worker.simulator.rules import parse_limits
from worker.simulator.script import BatchHours, Latency, parse_script
from worker.simulator.service import Service
from worker.simulator.state import Setup
from worker.simulator.tokens import Count, TokenRates

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from worker.simulator.batches import ToldBatch
    from worker.simulator.books import BooksPage

Result = TypeVar("Result")

_START_S: Final = 10.0


class Simulator:
    """A simulator in a thread of its own, for tests.

    ``with Simulator(latency_s=0) as sim: ...``; every method may be called from any thread.
    ``script`` takes the same lines as a script file, as dictionaries; ``limits`` takes rules as
    ``--limit`` does, ``thoughts`` and ``input_image_tokens`` what the options of that name take.
    ``hour_s`` is how many seconds an hour of files and batches takes; ``batch_hours`` is what the
    option takes.
    """

    def __init__(
        self,
        *,
        latency_s: float | str = 0.0,
        rates: Mapping[str, float] | None = None,
        script: Sequence[Mapping[str, object]] = (),
        books_path: Path | None = None,
        seed: int = 0,
        rpm: int | None = None,
        limits: Sequence[str] = (),
        telling: Telling = Telling(),  # noqa: B008 - frozen
        thoughts: str | int | None = None,
        input_image_tokens: str | int | None = None,
        hour_s: float = 3600.0,
        batch_hours: str | float = "1-6",
        batches: BatchLimits = BatchLimits(),  # noqa: B008 - frozen
        storage: StorageLimits = StorageLimits(),  # noqa: B008 - frozen
        port: int = 0,
    ) -> None:
        self._setup = Setup(
            port=port,
            latency=Latency.parse(latency_s),
            rates=rates or {},
            script=tuple(parse_script(json.dumps(list(script)))),
            books_path=books_path,
            seed=seed,
            limits=parse_limits(limits, rpm=rpm),
            telling=telling,
            tokens=TokenRates(
                thoughts=None if thoughts is None else Count.parse(thoughts),
                input_image=None if input_image_tokens is None else Count.parse(input_image_tokens),
            ),
            hour_s=hour_s,
            batch_hours=BatchHours.parse(batch_hours),
            batches=batches,
            storage=storage,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._service: Service | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._service = self._call(self._start)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._call(self._running.stop)
        self._end()

    @property
    def url(self) -> str:
        """Where it listens, e.g. ``http://127.0.0.1:40001``."""
        return self._running.url

    def books(self) -> BooksPage:
        """What ``GET /_sim/books`` answers."""

        async def read() -> BooksPage:
            return self._running.state.books.page()

        return self._call(read)

    def batches(self) -> list[ToldBatch]:
        """What ``GET /_sim/batches`` answers."""

        async def read() -> list[ToldBatch]:
            return [batch.told() for batch in self._running.state.batches.all()]

        return self._call(read)

    def script(self, lines: Sequence[Mapping[str, object]]) -> None:
        """Put lines at the script's end.

        Raises:
            ScriptError: a line can't be followed; none was added.
        """
        parsed = parse_script(json.dumps(list(lines)))

        async def add() -> None:
            self._running.state.director.add(parsed)

        self._call(add)

    def latency(self, latency_s: float | str) -> None:
        """Let the model think for another while, from the next call on."""
        latency = Latency.parse(latency_s)

        async def change() -> None:
            self._running.state.latency = latency

        self._call(change)

    def limits(self, texts: Sequence[str]) -> None:
        """Go by other rules from now on; accounts of a kind that stays keep their history.

        Raises:
            ScriptError: a rule can't be followed; none was changed.
        """
        rules = parse_limits(texts)

        async def change() -> None:
            self._running.state.quota.change(rules)

        self._call(change)

    def reset(self) -> None:
        """Empty script, books, accounts, batches and files; limits and latency of the start."""

        async def clear() -> None:
            self._running.state.reset()

        self._call(clear)

    @property
    def _running(self) -> Service:
        if self._service is None:
            message = "the simulator isn't running: use it in a with statement"
            raise RuntimeError(message)
        return self._service

    async def _start(self) -> Service:
        service = Service(self._setup)
        await service.start()
        return service

    def _call(self, step: Callable[[], Awaitable[Result]]) -> Result:
        async def run() -> Result:
            return await step()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_START_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
