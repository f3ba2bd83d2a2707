"""How are workers asked to make damaged files again, and when are they done?

Producers have no picture library, so they ask: a message per damaged result line, results part and
import. Nothing is bought. Each answer is an object in the store.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from catalog import claims
from catalog.claims import RepairClaim
from producers.verifying import last_repair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from catalog.repairs import Repair
    from producers.services import Services
    from producers.verifying import Verification

_EVERY_S = 0.5


class NobodyRepairs(Exception):
    """No worker answered in time; what was asked for waits in the queue."""


def ask_for_repairs(services: Services, report: Verification) -> tuple[RepairClaim, ...]:
    """Enqueue what may be made again; returns what was asked for."""
    request = uuid.uuid4().hex
    places = {(found.part, found.row) for found in report.problems if found.mendable}
    asked = tuple(
        RepairClaim(
            store=services.store_id,
            import_id=report.import_id,
            revision=report.revision,
            part=part,
            row=row,
            request=request,
        )
        for part, row in sorted(places, key=_parts_first)
    )
    for claim in asked:
        services.queue.enqueue(claims.REPAIR, claim)
    return asked


def _parts_first(place: tuple[int | None, int | None]) -> tuple[bool, bool, int, int]:
    """Contact sheets need their parts."""
    part, row = place
    return part is None, row is not None, part or 0, row or 0


def wait_for_repairs(
    services: Services,
    asked: Sequence[RepairClaim],
    *,
    patience_s: float = 60.0,
    seen: Callable[[int], None] = lambda _done: None,
) -> tuple[Repair, ...]:
    """Wait until every repair has been answered; ``seen`` gets how many were.

    Raises:
        NobodyRepairs: none was answered for ``patience_s``.
    """
    waiting = {(claim.part, claim.row): claim for claim in asked}
    answers: list[Repair] = []
    until = time.monotonic() + patience_s
    while waiting:
        for place, claim in list(waiting.items()):
            said = last_repair(services.store, claim.import_id, claim.part, claim.row)
            if said is not None and said.request == claim.request:
                del waiting[place]
                answers.append(said)
                until = time.monotonic() + patience_s
                seen(len(answers))
        if not waiting:
            break
        if time.monotonic() > until:
            msg = (
                f"{len(waiting)} repairs wait and no worker took one for {patience_s:.0f} s: "
                "start one with `skuscene worker --queues finish`, then verify again"
            )
            raise NobodyRepairs(msg)
        time.sleep(_EVERY_S)
    return tuple(answers)
