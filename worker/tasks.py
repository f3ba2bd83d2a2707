"""Which Celery tasks are there?

Each is a door: payload in, one call of the core, an outage turned into Celery's retry. Names and
queues stand in :mod:`catalog.queue`, decisions in :mod:`worker.jobs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog import claims
from catalog.claims import Claim, ImportClaim, ProductClaim, RenderClaim, ShardClaim
from worker import jobs
from worker.commit import commit
from worker.feeder import feed
from worker.finish import finish
from worker.generate import generate
from worker.prepare import prepare
from worker.publish import publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery, Task

    from worker.ports import Desk

_OUTAGE_COUNTDOWN_S = 5


def register(app: Celery, desk: Callable[[], Desk]) -> None:
    """Register every task of :mod:`catalog.queue` with the app."""
    doors: tuple[tuple[str, type[Claim], Callable[[Desk, Any], None]], ...] = (
        (claims.PREPARE, ProductClaim, prepare),
        (claims.GENERATE, RenderClaim, generate),
        (claims.FINISH, RenderClaim, finish),
        (claims.FEED, ImportClaim, feed),
        (claims.COMMIT, ShardClaim, commit),
        (claims.PUBLISH, ImportClaim, publish),
    )
    for name, shape, work in doors:
        _door(app, desk, name, shape, work)


def _door(
    app: Celery,
    desk: Callable[[], Desk],
    name: str,
    shape: type[Claim],
    work: Callable[[Desk, Any], None],
) -> None:
    # shared=False: a second app in the same process must get tasks of its own.
    # max_retries=None: outages end when they end; attempts are counted in worker.jobs.
    @app.task(name=name, bind=True, shared=False, max_retries=None, typing=False)
    def door(self: Task, payload: object) -> None:
        try:
            jobs.run(name, payload, shape, work, desk())
        except jobs.Outage as exc:
            raise self.retry(exc=exc, countdown=_OUTAGE_COUNTDOWN_S) from exc
