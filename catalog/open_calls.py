"""Which calls to a model are open, what has each slot cost, and may another call leave?

The gate that every purchase passes: one script looks at the epoch, the lease, the slot and the
budget, and writes the call down with the money that is set aside for it. So whoever comes next
knows that a call was open when its process died, what it may have cost, and how often a slot was
tried, whatever became of the messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from catalog.connection import translated
from catalog.renders import LedgerLine, Refusal
from catalog.wire import ImportId, RenderId, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

_PULSE = """
local function pulse(key, calls, after_key, now, gap, settle)
  local last = tonumber(redis.call('GET', key) or '0')
  redis.call('SET', key, string.format('%.3f', now))
  if last > 0 and now - last > gap and redis.call('HLEN', calls) > 0 then
    local after = now + settle
    if tonumber(redis.call('GET', after_key) or '0') < after then
      redis.call('SET', after_key, string.format('%.3f', after))
    end
  end
end
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
"""
"""Leases lapse while nobody reaches Redis. Whoever notices such a pause lets the living say first
what they hold: nothing is bought for a moment."""

_BEAT = (
    _PULSE
    + """
pulse(KEYS[1], KEYS[2], KEYS[3], now, tonumber(ARGV[1]), tonumber(ARGV[2]))
return 1
"""
)

_RESERVE = (
    _PULSE
    + """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[5])
if not epoch or string.sub(epoch, 1, #run) ~= run then return {'recovering', '0'} end
if redis.call('GET', KEYS[6]) ~= 'done' then return {'recovering', '0'} end
pulse(KEYS[8], KEYS[4], KEYS[7], now, tonumber(ARGV[8]), tonumber(ARGV[9]))
local after = tonumber(redis.call('GET', KEYS[7]) or '0')
if after > now then return {'wait', string.format('%.3f', after - now)} end
local status = redis.call('HGET', KEYS[2], 'status')
local at = tonumber(ARGV[3]) + 1
if not status or string.sub(status, at, at) ~= '.' then return {'settled', '0'} end
if redis.call('GET', KEYS[3]) ~= ARGV[2] then return {'lease_lost', '0'} end
if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1 then return {'pending', '0'} end
local estimate = tonumber(ARGV[5])
local budget = tonumber(ARGV[6])
if budget >= 0 then
  local money = redis.call('HMGET', KEYS[1], 'spent_micro', 'doubtful_micro', 'reserved_micro')
  local spent = tonumber(money[1] or '0') + tonumber(money[2] or '0')
  if spent + estimate > budget then return {'budget', tostring(spent)} end
  if spent + tonumber(money[3] or '0') + estimate > budget then return {'in_flight', '0'} end
end
local day = string.format('%d', math.floor(now / 86400))
local most = tonumber(ARGV[10])
if most >= 0 then
  local gone = redis.call('HMGET', KEYS[10], 'spent:' .. day, 'reserved:' .. day)
  local spent = tonumber(gone[1] or '0')
  if spent + estimate > most then return {'day_budget', tostring(spent)} end
  if spent + tonumber(gone[2] or '0') + estimate > most then return {'in_flight', '0'} end
end
if redis.call('HGET', KEYS[10], 'day') ~= day then
  for _, name in ipairs(redis.call('HKEYS', KEYS[10])) do
    local of = string.match(name, ':(%d+)$')
    if of and tonumber(of) < tonumber(day) - 1 then redis.call('HDEL', KEYS[10], name) end
  end
  redis.call('HSET', KEYS[10], 'day', day)
end
redis.call('HINCRBY', KEYS[10], 'reserved:' .. day, estimate)
redis.call('HSET', KEYS[10], 'of/' .. ARGV[11], day)
redis.call('HSET', KEYS[4], ARGV[1], ARGV[7])
redis.call('HINCRBY', KEYS[1], 'reserved_micro', estimate)
redis.call('HSET', KEYS[9], 'o:' .. ARGV[4], 1)
return {'go', '0'}
"""
)

_END = """
local found = redis.call('HGET', KEYS[2], ARGV[1])
local known = found and cjson.decode(found)
local ours = known and known['call'] == ARGV[2]
if ARGV[3] == '0' and (not ours or known['state'] ~= 'open') then return 0 end
local slot, outcome, micro = ARGV[4], ARGV[5], tonumber(ARGV[6])
local day = redis.call('HGET', KEYS[4], 'of/' .. ARGV[2])
if day then
  redis.call('HINCRBY', KEYS[4], 'reserved:' .. day, -tonumber(ARGV[10]))
  redis.call('HDEL', KEYS[4], 'of/' .. ARGV[2])
else
  day = string.format('%d', math.floor(tonumber(redis.call('TIME')[1]) / 86400))
end
if micro ~= 0 then redis.call('HINCRBY', KEYS[4], 'spent:' .. day, micro) end
if redis.call('HEXISTS', KEYS[1], 'shards') == 1 then
  -- What an earlier revision had set aside was forgotten with it.
  local of_this = (redis.call('HGET', KEYS[1], 'revision') or '1') == ARGV[11]
  if ours and known['state'] == 'open' and of_this then
    redis.call('HINCRBY', KEYS[1], 'reserved_micro', -tonumber(known['micro_usd']))
    redis.call('HDEL', KEYS[3], 'o:' .. slot)
  end
  if outcome == 'doubtful' then
    redis.call('HINCRBY', KEYS[1], 'doubtful_micro', micro)
  elseif micro ~= 0 then
    redis.call('HINCRBY', KEYS[1], 'spent_micro', micro)
    redis.call('HINCRBY', KEYS[3], 'm:' .. slot, micro)
    if outcome ~= 'picture' then redis.call('HINCRBY', KEYS[3], 'w:' .. slot, micro) end
  end
  if ARGV[7] ~= '' then
    redis.call('HINCRBY', KEYS[3], ARGV[7] .. ':' .. slot, 1)
    redis.call('HSET', KEYS[3], 'r:' .. slot, ARGV[8])
  end
end
if ours and ARGV[9] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[9])
elseif ours then
  redis.call('HDEL', KEYS[2], ARGV[1])
end
return ours and 1 or 0
"""

_RESTORE = """
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'reserved_micro', ARGV[4])
redis.call('HSET', KEYS[3], 'o:' .. ARGV[3], 1)
local day = string.format('%d', math.floor(tonumber(redis.call('TIME')[1]) / 86400))
redis.call('HINCRBY', KEYS[4], 'reserved:' .. day, ARGV[4])
redis.call('HSET', KEYS[4], 'of/' .. ARGV[5], day)
return 1
"""

_CLOSE = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found and cjson.decode(found)['call'] == ARGV[2] then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
"""

_AT_LEAST = """
if tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0') < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return 1
"""

_FIRST_DAY = date(1970, 1, 1)

_REBUILD = """
for i = 1, #ARGV, 3 do
  local key = KEYS[tonumber(ARGV[i])]
  local have = tonumber(redis.call('HGET', key, ARGV[i + 1]) or '0')
  if have < tonumber(ARGV[i + 2]) then redis.call('HSET', key, ARGV[i + 1], ARGV[i + 2]) end
end
redis.call('HSET', KEYS[1], 'rebuilt', 1)
return 1
"""


class OpenCall(Wire):
    """A call that left, or is about to: who buys what, and what is set aside for it.

    ``line`` is its line in the ledger: while the call is ``open``, the one that is right if its
    process dies; once it has ``ended``, the one that has to be written, with the ``refusal``. The
    picture of a ``spooled`` one waits on a disk; that of a ``sold`` one is in the store, and its
    line waits in its process for others.
    """

    call: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    import_id: ImportId
    part: int
    slot: int
    render_id: RenderId
    micro_usd: int
    lease: str
    attempts: int = 1
    state: Literal["open", "ended", "spooled", "sold"] = "open"
    line: LedgerLine
    refusal: Refusal | None = None


class Gate(StrEnum):
    """What the gate says to a call that wants to leave."""

    GO = "go"
    SETTLED = "settled"
    """The slot has an outcome, or no state any more."""
    LEASE_LOST = "lease_lost"
    PENDING = "pending"
    """An earlier call of this render is not booked yet."""
    WAIT = "wait"
    """Calls of a lost Redis, or of workers that could not reach it, may still be open."""
    RECOVERING = "recovering"
    """Redis was restarted, and what it knew is not rebuilt yet."""
    BUDGET = "budget"
    DAY_BUDGET = "day_budget"
    """What all imports may cost in one UTC day."""
    IN_FLIGHT = "in_flight"
    """The budget would do if the calls that are open cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """The gate's answer; ``wait_s`` with WAIT, ``spent_micro`` with a budget's end."""

    gate: Gate
    wait_s: float = 0.0
    spent_micro: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """What a slot has gone through, over all its messages.

    ``attempts`` ended without a sale or without a picture, ``doubtful`` ones were never answered,
    though their process lived. ``paid_micro`` was paid for all answers, ``wasted_micro`` of it for
    those without a picture. ``reason`` is the last one's.
    """

    attempts: int = 0
    doubtful: int = 0
    wasted_micro: int = 0
    paid_micro: int = 0
    reason: str = ""


def count_of(line: LedgerLine) -> str:
    """Which of a slot's counts a call raises: ``a`` attempts, ``d`` doubtful ones, or none.

    A process's death is nobody's attempt, and neither is what stops the whole lane.
    """
    if line.outcome == "doubtful":
        return "" if line.reason == "worker_lost" else "d"
    return "a" if line.outcome in {"no_picture", "not_sold"} and line.attempt else ""


class OpenCalls:
    """The calls of all workers, in Redis. ``lease_s`` is how long a lease lasts."""

    def __init__(self, client: redis.Redis, store_id: str, *, lease_s: float = 30.0) -> None:
        self._redis: Any = client
        self._prefix = f"skuscene:{store_id}"
        # A lease was renewed a third of its time before the pause at the latest.
        self._gap_s = lease_s * 2 / 3
        self._settle_s = lease_s / 2
        self._scripts: dict[str, Any] = {}

    def reserve(
        self, call: OpenCall, *, budget_micro: int | None, day_budget_micro: int | None = None
    ) -> Reserved:
        """Ask whether a call may leave now; GO writes it down and sets its money aside.

        ``budget_micro`` is the import's, ``day_budget_micro`` that of all imports in one UTC day.
        """
        with translated():
            gate, number = self._run(
                _RESERVE,
                [
                    self._import(call.import_id),
                    f"{self._prefix}:shard:{call.import_id}:{call.part}",
                    f"{self._prefix}:lease:{call.render_id}",
                    self._calls,
                    f"{self._prefix}:epoch",
                    f"{self._prefix}:recovered",
                    f"{self._prefix}:buy_not_before",
                    f"{self._prefix}:pulse",
                    self._tries(call.import_id),
                    self._days,
                ],
                [
                    call.render_id,
                    call.lease,
                    call.slot,
                    f"{call.part}:{call.slot}",
                    call.micro_usd,
                    -1 if budget_micro is None else budget_micro,
                    call.model_dump_json(),
                    self._gap_s,
                    self._settle_s,
                    -1 if day_budget_micro is None else day_budget_micro,
                    call.call,
                ],
            )
        if gate in {Gate.BUDGET, Gate.DAY_BUDGET}:
            return Reserved(gate=Gate(gate), spent_micro=int(number))
        return Reserved(gate=Gate(gate), wait_s=float(number))

    def restore(self, call: OpenCall) -> bool:
        """Write down a call that is open, whatever the gate would say: Redis had forgotten it.

        ``False`` if its render has one.
        """
        with translated():
            return bool(
                self._run(
                    _RESTORE,
                    [
                        self._import(call.import_id),
                        self._calls,
                        self._tries(call.import_id),
                        self._days,
                    ],
                    [
                        call.render_id,
                        call.model_dump_json(),
                        f"{call.part}:{call.slot}",
                        call.micro_usd,
                        call.call,
                    ],
                )
            )

    def beat(self) -> None:
        """Say that somebody reaches Redis."""
        with translated():
            names = [f"{self._prefix}:pulse", self._calls, f"{self._prefix}:buy_not_before"]
            self._run(_BEAT, names, [self._gap_s, self._settle_s])

    def end(self, call: OpenCall, line: LedgerLine, *, refusal: Refusal | None = None) -> None:
        """Note what a call of ours came to.

        It stays here until :meth:`close`, because the ledger has to have its line. Also right when
        Redis was emptied, or somebody took us for dead, meanwhile.
        """
        kept = "sold" if line.outcome == "picture" else "ended"
        self._end(call, line, kept=kept, refusal=refusal, late=True)

    def spooled(self, call: OpenCall, line: LedgerLine) -> None:
        """Note that a call of ours brought a picture that waits on a disk."""
        self._end(call, line, kept="spooled", refusal=None, late=True)

    def bury(self, call: OpenCall, line: LedgerLine) -> None:
        """End an open call whose process died; does nothing where it, or somebody else, did."""
        self._end(call, line, kept="", refusal=None, late=False)

    def close(self, call: OpenCall) -> None:
        """Forget a call that is in the store with all that belongs to it."""
        with translated():
            self._run(_CLOSE, [self._calls], [call.render_id, call.call])

    def booked(self, lines: Sequence[LedgerLine]) -> None:
        """Forget calls whose pictures and lines are in the store."""
        with translated():
            for line in lines:
                self._run(_CLOSE, [self._calls], [line.render_id, line.call])

    def open_call(self, render_id: str) -> OpenCall | None:
        """The last call of a render, while it is open or not yet in the store."""
        with translated():
            found = self._redis.hget(self._calls, render_id)
        return None if found is None else OpenCall.from_json(found)

    def open_calls(self) -> tuple[OpenCall, ...]:
        """Every such call."""
        with translated():
            found = self._redis.hvals(self._calls)
        return tuple(OpenCall.from_json(one) for one in found)

    def lease_holder(self, render_id: str) -> str | None:
        """The token of the render's buyer, or ``spooled on <host>``; ``None`` if it has none."""
        with translated():
            found = self._redis.get(f"{self._prefix}:lease:{render_id}")
        return None if found is None else str(found)

    def tries(self, import_id: str, part: int, slot: int) -> Tries:
        """What a slot has gone through."""
        with translated():
            found = self._redis.hmget(
                self._tries(import_id), [f"{kind}:{part}:{slot}" for kind in "adwmr"]
            )
        return Tries(
            attempts=int(found[0] or 0),
            doubtful=int(found[1] or 0),
            wasted_micro=int(found[2] or 0),
            paid_micro=int(found[3] or 0),
            reason=str(found[4] or ""),
        )

    def rebuild(
        self,
        import_id: str,
        *,
        spent: int,
        doubtful: int,
        slots: Mapping[str, int],
        reasons: Mapping[str, str],
    ) -> None:
        """Take over what the ledger knows, where it is more than Redis does.

        ``slots`` has fields of ``<kind>:<part>:<slot>``, as they stand in Redis: ``m`` micro-USD
        spent, ``w`` of it without a picture, ``a`` attempts, ``d`` doubtful calls. ``reasons`` has
        the last one of each slot.
        """
        facts: list[str | int] = [1, "spent_micro", spent, 1, "doubtful_micro", doubtful]
        for field, value in slots.items():
            facts += [2, field, value]
        with translated():
            self._run(_REBUILD, [self._import(import_id), self._tries(import_id)], facts)
            for at, reason in reasons.items():
                self._redis.hsetnx(self._tries(import_id), f"r:{at}", reason)

    def rebuild_day(self, day: date, micro_usd: int) -> None:
        """Take over what the ledger knows of a UTC day, where it is more than Redis does."""
        number = (day - _FIRST_DAY).days
        with translated():
            self._run(_AT_LEAST, [self._days], [f"spent:{number}", micro_usd])

    def spent_on(self, day: date) -> int:
        """What was spent, and may have been, on a UTC day, micro-USD."""
        number = (day - _FIRST_DAY).days
        with translated():
            return int(self._redis.hget(self._days, f"spent:{number}") or 0)

    def was_rebuilt(self, import_id: str) -> bool:
        """Whether what Redis knows of an import's money was once rebuilt from the ledger."""
        with translated():
            return bool(self._redis.hexists(self._import(import_id), "rebuilt"))

    def _end(
        self,
        call: OpenCall,
        line: LedgerLine,
        *,
        kept: str,
        refusal: Refusal | None,
        late: bool,
    ) -> None:
        keep = (
            call.changed(state=kept, line=line, refusal=refusal).model_dump_json() if kept else ""
        )
        with translated():
            self._run(
                _END,
                [
                    self._import(call.import_id),
                    self._calls,
                    self._tries(call.import_id),
                    self._days,
                ],
                [
                    call.render_id,
                    call.call,
                    int(late),
                    f"{call.part}:{call.slot}",
                    line.outcome,
                    line.cost_usd.micro,
                    count_of(line),
                    line.reason or "",
                    keep,
                    call.micro_usd,
                    call.line.revision,
                ],
            )

    @property
    def _calls(self) -> str:
        return f"{self._prefix}:calls"

    @property
    def _days(self) -> str:
        return f"{self._prefix}:days"

    def _import(self, import_id: str) -> str:
        return f"{self._prefix}:import:{import_id}"

    def _tries(self, import_id: str) -> str:
        return f"{self._prefix}:tries:{import_id}"

    def _run(self, script: str, names: list[str], args: list[Any]) -> Any:
        if script not in self._scripts:
            self._scripts[script] = self._redis.register_script(script)
        return self._scripts[script](keys=names, args=args)
