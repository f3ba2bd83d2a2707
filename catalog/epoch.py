"""Was Redis emptied or restarted, and what follows from it?

Redis carries an epoch, with the run of Redis that it began in. Whoever finds none, or one of an
earlier run, begins a new one. Calls of before may still be open: where Redis knows nothing, none
is bought until they must have ended; where it read a file, until the living have said what they
hold. What it had forgotten is rebuilt from the store before anything is bought.
"""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from catalog.connection import Part, translated
from catalog.revisions import unpublished

if TYPE_CHECKING:
    from catalog.store.port import Store

_BEGIN_EPOCH = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[1])
if epoch and string.sub(epoch, 1, #run) == run then return 0 end
if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[2], ARGV[2])
end
redis.call('DEL', KEYS[3])
redis.call('SET', KEYS[1], run .. ':' .. ARGV[1])
return 1
"""

_RECOVERY = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[1])
if not epoch or string.sub(epoch, 1, #run) ~= run then return 'needed' end
return redis.call('GET', KEYS[2]) or 'needed'
"""

_ADVANCE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class Epoch(StrEnum):
    """What Redis says of itself; it carries a new run id after every start."""

    NONE = "none"
    """It is new, or was emptied."""
    OLD = "old"
    """It was restarted: the file that it read may lack seconds, or days."""
    CURRENT = "current"


class Recovery(StrEnum):
    """How far an epoch's recovery has come."""

    NEEDED = "needed"
    BEGUN = "begun"
    REBUILT = "rebuilt"
    """What the store knows, Redis knows: renders may be worked, and none is bought yet."""
    DONE = "done"


class EpochState(Protocol):
    """What is needed of :class:`Epochs`."""

    def epoch(self) -> Epoch: ...
    def now(self) -> float: ...
    def begin_epoch(self, epoch: str, *, buy_not_before: float) -> None: ...


def ensure_epoch(
    state: EpochState, store: Store, *, model_deadline_s: float, lease_s: float
) -> None:
    """Begin an epoch if Redis needs one; costs one listing of ``imports/`` then, else nothing."""
    standing = state.epoch()
    if standing is Epoch.CURRENT:
        return
    wait_s = 0.0
    if standing is Epoch.OLD:
        wait_s = lease_s / 2  # whoever lives renews his lease within a third of it
    elif unpublished(store):
        wait_s = model_deadline_s
    state.begin_epoch(uuid.uuid4().hex, buy_not_before=state.now() + wait_s)


class Epochs(Part):
    """The epoch that Redis is in, and how far its recovery has come."""

    def epoch(self) -> Epoch:
        """Whether Redis carries an epoch, and whether it was restarted since that began."""
        with translated():
            carried = self._redis.get(self._keys.epoch)
            run = str(self._redis.info("server")["run_id"])
        if carried is None:
            return Epoch.NONE
        return Epoch.CURRENT if str(carried).startswith(run) else Epoch.OLD

    def begin_epoch(self, epoch: str, *, buy_not_before: float) -> None:
        """Begin an epoch unless somebody else was faster; its recovery is then to be done.

        ``buy_not_before`` (Redis's clock, seconds since 1970) stands before the epoch does: a call
        that was open when the old state was lost may still be running until then.
        """
        with translated():
            self._run(
                _BEGIN_EPOCH,
                [
                    self._keys.epoch,
                    self._keys.buy_not_before,
                    self._keys.recovered,
                ],
                [epoch, f"{buy_not_before:.3f}"],
            )

    def recovery(self) -> Recovery:
        """How far this epoch's recovery from the store has come."""
        with translated():
            names = [self._keys.epoch, self._keys.recovered]
            return Recovery(str(self._run(_RECOVERY, names, [])).partition(":")[0])

    def claim_recovery(self, token: str, *, ttl_s: float = 20.0) -> bool:
        """Whether this epoch's recovery is still to be begun, and now is ours.

        Ours for ``ttl_s``: if we die over it, somebody else does it. ``end_rebuilding`` ends it.
        """
        with translated():
            begun = f"{Recovery.BEGUN}:{token}"
            return bool(self._redis.set(self._keys.recovered, begun, nx=True, px=int(ttl_s * 1000)))

    def keep_rebuilding(self, token: str, *, ttl_s: float = 20.0) -> None:
        """Say that the recovery that we have begun goes on."""
        with translated():
            self._renew(self._keys.recovered, f"{Recovery.BEGUN}:{token}", ttl_s=ttl_s)

    def end_rebuilding(self, token: str) -> None:
        """Remember that Redis knows again what the store does.

        Only while the claim stands: where Redis was emptied meanwhile, what was rebuilt is lost
        again, and the new epoch's recovery is still to be done.
        """
        with translated():
            names = [self._keys.recovered]
            self._run(_ADVANCE, names, [f"{Recovery.BEGUN}:{token}", Recovery.REBUILT.value])

    def give_up_rebuilding(self, token: str) -> None:
        """Let somebody else, or ourselves, begin it again at once."""
        with translated():
            self._release(self._keys.recovered, f"{Recovery.BEGUN}:{token}")

    def finish_recovery(self) -> None:
        """Remember that nothing of before is open any more, and all of it is known."""
        with translated():
            names = [self._keys.recovered]
            self._run(_ADVANCE, names, [Recovery.REBUILT.value, Recovery.DONE.value])

    def buy_not_before(self) -> float:
        """Seconds until buying is allowed again; 0 if it is."""
        with translated():
            at = float(self._redis.get(self._keys.buy_not_before) or 0)
            return max(0.0, at - self.now())

    def now(self) -> float:
        """Redis's clock, in seconds since 1970."""
        with translated():
            seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6
