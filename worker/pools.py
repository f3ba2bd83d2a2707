"""Which pool does a call leave through, when several serve its model?

The first one that has room soon, in the order of the file; if none has, the one whose turn comes
first. A pool that refuses its key, its bill or its day is left alone for a while: only when all of
them do is the lane stopped.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import LaneStopped, RenderError, Snooze

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from catalog.pools import Pool
    from worker.ports import Ask, Turn
    from worker.turns import TurnKeeper

log = structlog.get_logger(__name__)

SPILL_AFTER_S: Final = 0.5
"""A pool whose turn comes later than this is passed over while another one has room."""
LEFT_ALONE_S: Final = 300.0
"""So long is a pool not asked whose key, bill or day was refused; calls then try it again."""


class PooledTurns:
    """The limiters of several pools as one."""

    def __init__(
        self,
        keepers: Sequence[tuple[Pool, TurnKeeper]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keepers = tuple(keepers)
        self._monotonic = monotonic
        self._out_until: dict[str, float] = {}
        self._guard = threading.Lock()

    def take(self, ask: Ask) -> Turn:
        """Wait until a call may leave through one of the pools.

        Raises:
            Snooze: none of them lets it leave soon enough.
            LaneStopped: no pool serves the model, or none that does can be asked any more.
        """
        serving = [(pool, keeper) for pool, keeper in self._keepers if pool.serves(ask.model)]
        if not serving:
            msg = f"no pool of SKUSCENE_POOLS_FILE serves {ask.model}"
            raise LaneStopped("model.permission", msg)
        open_ = [one for one in serving if not self._is_out(one[0].name)] or serving
        later: list[tuple[float, int]] = []
        stops: list[LaneStopped] = []
        for at, (pool, keeper) in enumerate(open_):
            try:
                return self._turn(pool, keeper, ask, most_s=SPILL_AFTER_S)
            except Snooze as exc:
                if exc.reason != "quota.wait":
                    raise
                later.append((exc.retry_after_s, at))
            except LaneStopped as exc:
                self._leave_alone(pool.name, exc)
                stops.append(exc)
        if later:
            pool, keeper = open_[min(later)[1]]
            return self._turn(pool, keeper, ask, most_s=None)
        raise stops[0]

    def stop(self) -> None:
        """Let nobody wait any longer: the process is told to end."""
        for _, keeper in self._keepers:
            keeper.stop()

    def close(self) -> None:
        """Stop saying what is open."""
        for _, keeper in self._keepers:
            keeper.close()

    def _turn(self, pool: Pool, keeper: TurnKeeper, ask: Ask, *, most_s: float | None) -> Turn:
        return _PooledTurn(self, keeper.take(ask, most_s=most_s), pool, ask.model)

    def _is_out(self, name: str) -> bool:
        with self._guard:
            return self._out_until.get(name, 0.0) > self._monotonic()

    def _leave_alone(self, name: str, fault: LaneStopped) -> None:
        with self._guard:
            self._out_until[name] = self._monotonic() + LEFT_ALONE_S
        log.error("pool_left_alone", pool=name, reason=fault.reason, message=fault.message)

    def spill(self, name: str, model: str, fault: LaneStopped) -> RenderError:
        """A call was refused for its pool's sake: another one may take it, if there is one."""
        self._leave_alone(name, fault)
        if all(self._is_out(pool.name) for pool, _ in self._keepers if pool.serves(model)):
            return fault
        return Snooze(fault.reason, f"pool {name}: {fault.message}", 0.0)


class _PooledTurn:
    """A turn that knows its pool."""

    def __init__(self, pools: PooledTurns, turn: Turn, pool: Pool, model: str) -> None:
        self._pools = pools
        self._turn = turn
        self._model = model
        self.pool = pool.name
        self.platform = pool.platform

    def answered(self, *, tokens: int, micro_usd: int) -> None:
        """Pass it on."""
        self._turn.answered(tokens=tokens, micro_usd=micro_usd)

    def failed(self, fault: RenderError, *, spent: bool) -> RenderError:
        """Pass it on; what stops this pool alone is a wait for another one's turn."""
        meant = self._turn.failed(fault, spent=spent)
        if not isinstance(meant, LaneStopped):
            return meant
        return self._pools.spill(self.pool, self._model, meant)

    def close(self) -> None:
        """Pass it on."""
        self._turn.close()
