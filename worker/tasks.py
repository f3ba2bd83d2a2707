"""Which Celery tasks are there?

Each is a door: payload in, one call of the core, an outage turned into Celery's way to give a
message back. Names and queues stand in :mod:`catalog.claims`, decisions in :mod:`worker.jobs`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery.exceptions import Reject

from catalog import claims
from catalog.claims import Claim, ImportClaim, ProductClaim, RenderClaim, ShardClaim
from catalog.state import StateUnavailable
from catalog.store.port import StoreError
from worker import jobs
from worker.commit import commit
from worker.feeder import feed
from worker.finish import finish
from worker.generate import generate
from worker.prepare import prepare
from worker.publish import publish

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from worker.ports import Desk

_OUTAGE_WAIT_S = 3.0


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
    # Nothing of Celery's own retrying is used: attempts are counted in worker.jobs.
    @app.task(name=name, shared=False, typing=False)
    def door(payload: object) -> None:
        try:
            jobs.run(name, payload, shape, work, desk())
        except (jobs.Outage, StateUnavailable, StoreError) as exc:
            # A task that fails is acknowledged, and on Redis that means gone; a retry needs the
            # very Redis that may be away. Waiting here also keeps the thread from the next claim.
            time.sleep(_OUTAGE_WAIT_S)
            raise Reject(str(exc), requeue=True) from exc
