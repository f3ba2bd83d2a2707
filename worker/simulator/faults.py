"""What goes wrong with a request about files and batches?

Either instead of what was asked for (a refusal, a page of HTML, silence), or when it is done: then
the client does not learn what it has got. Ordered like everything else, by script or by rates:
``create:lost``, ``download:cut``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from worker.simulator import batch_refusals, refusals
from worker.simulator.connection import Delivery, Reply
from worker.simulator.orders import Fault
from worker.simulator.outcomes import HTML

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from worker.simulator.orders import Scope
    from worker.simulator.refusals import Refusal
    from worker.simulator.state import State


_REFUSALS: Final[Mapping[Fault, Callable[[float], Refusal]]] = MappingProxyType(
    {
        Fault.WRONG: lambda _delay: refusals.invalid_argument(
            "Request contains an invalid argument."
        ),
        Fault.UNAUTHENTICATED: lambda _delay: refusals.key_missing(),
        Fault.FORBIDDEN: lambda _delay: refusals.permission_denied(),
        Fault.MISSING: lambda _delay: batch_refusals.not_found(),
        Fault.EXHAUSTED: lambda _delay: batch_refusals.exhausted(None),
        Fault.EXHAUSTED_FOR_A_WHILE: batch_refusals.exhausted,
        Fault.INTERNAL: lambda _delay: refusals.internal(),
        Fault.UNAVAILABLE: lambda _delay: refusals.overloaded(),
        Fault.TOO_SLOW: lambda _delay: refusals.deadline_exceeded(),
    }
)
_DELIVERIES: Final[Mapping[Fault, Delivery]] = MappingProxyType(
    {Fault.SILENT: Delivery.HANG, Fault.LOST: Delivery.LOST, Fault.CUT: Delivery.CUT}
)


async def with_faults(
    state: State, scope: Scope, subject: str, act: Callable[[], Awaitable[Reply]]
) -> Reply:
    """Do what was asked for, unless an order has it go wrong; ``subject`` is what that matches.

    Raises:
        Refusal: by order, or because ``act`` refuses.
    """
    line, _ = state.director.order(scope, subject)
    if line is None:
        return await act()
    await asyncio.sleep(line.latency_s or 0)
    fault = Fault(line.outcome.partition(":")[2])
    if fault in _REFUSALS:
        raise _REFUSALS[fault](line.delay_s)
    if fault is Fault.HANG:
        return Reply(status=200, delivery=Delivery.HANG)
    if fault is Fault.INTERNAL_HTML:
        return Reply(status=500, body=HTML, content_type="text/html; charset=UTF-8")
    delivery = _DELIVERIES[fault]
    resets = delivery is Delivery.CUT and line.reset
    return replace(await act(), delivery=Delivery.RESET if resets else delivery)
