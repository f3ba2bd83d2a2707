"""Who takes care of an open slot?

Messages can be doubled or lost, and a process can die at its work. So each open slot carries a
time by which somebody must have spoken for it, and whoever works on it says so; who fell silent
without an end has died at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.connection import Part, translated
from catalog.epoch import Recovery

if TYPE_CHECKING:
    from collections.abc import Collection

WAITING = "waiting"
"""The stage of what a process has taken and not begun: dying then is no death at work."""

_EXPECT = """
local t = redis.call('TIME')
local due = tonumber(t[1]) + tonumber(t[2]) / 1000000 + tonumber(ARGV[1])
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then redis.call('ZADD', KEYS[1], due, ARGV[i]) end
end
return 1
"""

_OVERDUE = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
"""

_WORK = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local function at_work(member)
  local found = redis.call('HGET', KEYS[2], member) or ''
  local stage, ends, worker = string.match(found, '^([^|]*)|([^|]*)|(.*)$')
  return stage, tonumber(ends or '0'), worker
end
local function count_death(stage, member)
  if stage ~= 'waiting' then redis.call('HINCRBY', KEYS[3], stage .. ':' .. member, 1) end
end
"""

_BEGIN_WORK = (
    _WORK
    + """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[4])
local believed = epoch and string.sub(epoch, 1, #run) == run and redis.call('GET', KEYS[5])
local recovery = string.match(believed or 'needed', '^[^:]*')
if recovery ~= 'rebuilt' and recovery ~= 'done' then return {recovery, 0, 0, 0} end
for i = 4, #ARGV do
  local stage, ends, worker = at_work(ARGV[i])
  if stage == ARGV[2] and worker ~= ARGV[3] and ends > now then return {recovery, 0, 1, 1} end
end
local due = now + tonumber(ARGV[1])
local deaths, open = 0, 0
for i = 4, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    open = open + 1
    local stage, ends = at_work(ARGV[i])
    if stage and ends <= now then count_death(stage, ARGV[i]) end
    redis.call('ZADD', KEYS[1], due, ARGV[i])
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[2] .. '|' .. due .. '|' .. ARGV[3])
    local died = redis.call('HGET', KEYS[3], ARGV[2] .. ':' .. ARGV[i])
    deaths = math.max(deaths, tonumber(died or '0'))
  end
end
return {recovery, deaths, 0, open}
"""
)

_GO_ON = (
    _WORK
    + """
local due = now + tonumber(ARGV[1])
for i = 3, #ARGV do
  local stage, _, worker = at_work(ARGV[i])
  if worker == ARGV[2] then
    redis.call('HSET', KEYS[2], ARGV[i], stage .. '|' .. due .. '|' .. worker)
  end
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then redis.call('ZADD', KEYS[1], due, ARGV[i]) end
end
return 1
"""
)

_END_WORK = (
    _WORK
    + """
for i = 2, #ARGV do
  local _, _, worker = at_work(ARGV[i])
  if worker == ARGV[1] then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
return 1
"""
)

_BURY_WORK = (
    _WORK
    + """
local died = {}
for i = 1, #ARGV do
  local stage, ends = at_work(ARGV[i])
  if stage and ends <= now then
    redis.call('HDEL', KEYS[2], ARGV[i])
    if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
      count_death(stage, ARGV[i])
      died[#died + 1] = ARGV[i]
    end
  end
end
return died
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was found when somebody began to work on slots.

    ``deaths`` is how many processes have died at this stage's work on one of them. Nothing was
    begun where somebody else ``is_busy`` with the same, where none of the slots ``is_open`` any
    more, or while what Redis knew is being rebuilt.
    """

    recovery: Recovery = Recovery.DONE
    deaths: int = 0
    is_busy: bool = False
    is_open: bool = True


class Work(Part):
    """The work of all processes on open slots."""

    def expect(self, import_id: str, part: int, slots: Collection[int], *, within_s: float) -> None:
        """Say that open slots are taken care of for so long: waiting, worked on, or put off."""
        if slots:
            with translated():
                self._run(
                    _EXPECT,
                    [self._keys.due(import_id)],
                    [within_s, *(f"{part}:{slot}" for slot in slots)],
                )

    def overdue(self, import_id: str) -> tuple[tuple[int, int], ...]:
        """Open slots, as part and slot, that nobody has taken care of in time; oldest first.

        They wait in a queue longer than expected, or their message or its worker was lost.
        """
        with translated():
            found = self._run(_OVERDUE, [self._keys.due(import_id)], [])
        pairs = (str(member).split(":") for member in found)
        return tuple((int(part), int(slot)) for part, slot in pairs)

    def begin_work(
        self,
        import_id: str,
        part: int,
        slots: Collection[int],
        worker: str,
        *,
        stage: str,
        within_s: float,
    ) -> Begun:
        """Say who works on open slots, and at which stage.

        Where the last one to say that he works on a slot fell silent, and did not end, that was a
        death. Costs one request, and says with it all that must be known before the work.
        """
        with translated():
            names = [
                self._keys.due(import_id),
                self._keys.work(import_id),
                self._keys.tries(import_id),
                self._keys.epoch,
                self._keys.recovered,
            ]
            members = [f"{part}:{slot}" for slot in slots]
            recovery, deaths, busy, still_open = self._run(
                _BEGIN_WORK, names, [within_s, stage, worker, *members]
            )
        return Begun(
            recovery=Recovery(str(recovery)),
            deaths=int(deaths),
            is_busy=bool(busy),
            is_open=int(still_open) > 0,
        )

    def go_on_working(
        self, import_id: str, part: int, slots: Collection[int], worker: str, *, within_s: float
    ) -> None:
        """Say that the work on some slots goes on."""
        with translated():
            names = [self._keys.due(import_id), self._keys.work(import_id)]
            members = [f"{part}:{slot}" for slot in slots]
            self._run(_GO_ON, names, [within_s, worker, *members])

    def end_work(self, import_id: str, part: int, slots: Collection[int], worker: str) -> None:
        """Say that the work on some slots has ended, however."""
        with translated():
            members = [f"{part}:{slot}" for slot in slots]
            names = [self._keys.due(import_id), self._keys.work(import_id)]
            self._run(_END_WORK, names, [worker, *members])

    def bury_work(self, import_id: str) -> tuple[tuple[int, int], ...]:
        """Open slots whose worker fell silent at work on them, told once; each is a death."""
        with translated():
            members = list(self._redis.hkeys(self._keys.work(import_id)))
            if not members:
                return ()
            names = [
                self._keys.due(import_id),
                self._keys.work(import_id),
                self._keys.tries(import_id),
            ]
            found = self._run(_BURY_WORK, names, members)
        pairs = (str(member).split(":") for member in found)
        return tuple((int(part), int(slot)) for part, slot in pairs)
