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
from catalog.claims import Claim, ImportClaim, ProductClaim, RenderClaim, RepairClaim, ShardClaim
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


WORK: Final[Mapping[str, tuple[type[Claim], Callable[[Desk, Any], None]]]] = {
    claims.PREPARE: (ProductClaim, prepare),
    claims.GENERATE: (RenderClaim, generate),
    claims.FINISH: (RenderClaim, finish),
    claims.FEED: (ImportClaim, feed),
    claims.COMMIT: (ShardClaim, commit),
    claims.PUBLISH: (ImportClaim, publish),
    claims.REPAIR: (RepairClaim, repair),
}
"""What each task's message looks like, and which function of the core works it."""


def register(app: Celery, desk: Callable[[], Desk], *, lease_s: float) -> None:
    """Register every task with the app."""
    for name, (shape, work) in WORK.items():
        _door(app, desk, name, shape, work, lease_s=lease_s)


def _door(
    app: Celery,
    desk: Callable[[], Desk],
    name: str,
    shape: type[Claim],
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
            jobs.run(name, payload, shape, work, desk())
        except (jobs.Outage, StateUnavailable, StoreError) as exc:
            # A task that fails is acknowledged, and on Redis that means gone; a retry needs the
            # very Redis that may be away. Waiting here also keeps the thread from the next claim.
            time.sleep(_OUTAGE_WAIT_S)
            raise Reject(str(exc), requeue=True) from exc
