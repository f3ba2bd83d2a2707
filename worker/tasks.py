"""Which Celery tasks are there?

Each is a door: payload in, one call of the core, an outage turned into Celery's way to give a
message back. Names and queues stand in :mod:`catalog.claims`, decisions in :mod:`worker.jobs`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import Reject

from catalog import claims
from catalog.connection import StateUnavailable
from catalog.store.port import StoreError
from worker import jobs
from worker.commit import commit
from worker.feeder import feed
from worker.finish import finish
from worker.generate import generate
from worker.ports import Desk
from worker.prepare import prepare
from worker.publish import publish
from worker.repair import repair

if TYPE_CHECKING:
    from celery import Celery

_OUTAGE_WAIT_S = 3.0


WORK: Final[Mapping[str, Callable[[Desk, Any], None]]] = {
    claims.PREPARE: prepare,
    claims.GENERATE: generate,
    claims.FINISH: finish,
    claims.FEED: feed,
    claims.COMMIT: commit,
    claims.PUBLISH: publish,
    claims.REPAIR: repair,
}
"""Which function of the core works each task's claims."""


def register(app: Celery, desk: Callable[[], Desk], *, lease_s: float) -> None:
    """Register every task with the app."""
    for name, work in WORK.items():
        _door(app, desk, name, work, lease_s=lease_s)


def _door(
    app: Celery,
    desk: Callable[[], Desk],
    name: str,
    work: Callable[[Desk, Any], None],
    *,
    lease_s: float,
) -> None:
    # shared=False: a second app in the same process must get tasks of its own.
    # Nothing of Celery's own retrying is used: attempts are counted in worker.jobs.
    # A killed child's message is sent again by Celery with this delay: not before its hold has
    # lapsed, which is how its death is counted.
    delay_s = math.ceil(lease_s) + 1

    @app.task(name=name, shared=False, typing=False, default_retry_delay=delay_s)
    def door(payload: object) -> None:
        try:
            jobs.run(name, payload, work, desk())
        except (jobs.Outage, StateUnavailable, StoreError) as exc:
            # A task that fails is acknowledged, and on Redis that means gone; a retry needs the
            # very Redis that may be away. Waiting here also keeps the thread from the next claim.
            time.sleep(_OUTAGE_WAIT_S)
            raise Reject(str(exc), requeue=True) from exc
