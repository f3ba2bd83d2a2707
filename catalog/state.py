"""What does Redis know of the imports that run, and how is it changed without races?

Only open shards have state here: a byte per render, and its outcome until the shard is
committed. Every change that several workers could make at once is one script. What is lost with
Redis is rebuilt from the store (``worker.reconciler``).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.connection import StateUnavailable, translated
from catalog.epoch import Epochs
from catalog.results import ManifestPart, RenderCounts, ResultLine, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPEN = "."
LETTERS = {
    Status.SUCCEEDED: "s",
    Status.REUSED: "u",
    Status.REVIEW: "r",
    Status.BLOCKED: "b",
    Status.FAILED: "f",
    Status.CANCELLED: "c",
}

_REGISTER = """
redis.call('SADD', KEYS[2], ARGV[1])
if redis.call('HEXISTS', KEYS[1], 'shards') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'shards', ARGV[2], 'renders', ARGV[3], 'revision', ARGV[4])
for i = 5, #ARGV, 2 do
  local have = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '0')
  if have < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
return 1
"""

_FORGET = """
if ARGV[2] ~= '' and (redis.call('HGET', KEYS[1], 'revision') or '1') ~= ARGV[2] then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
"""

_OPEN_SHARD = """
if redis.call('HGET', KEYS[1], 'feeder') ~= ARGV[1] then return -1 end
if redis.call('HEXISTS', KEYS[4], ARGV[2]) == 1 then return 0 end
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local _, left = string.gsub(ARGV[3], '%.', '')
redis.call('HSET', KEYS[3], 'status', ARGV[3], 'left', left, 'micro', ARGV[5])
redis.call('SADD', KEYS[2], ARGV[2])
local t = redis.call('TIME')
local due = tonumber(t[1]) + tonumber(t[2]) / 1000000 + tonumber(ARGV[4])
for slot = 0, #ARGV[3] - 1 do
  local letter = string.sub(ARGV[3], slot + 1, slot + 1)
  if letter == '.' then
    redis.call('ZADD', KEYS[5], due, ARGV[2] .. ':' .. slot)
  else
    redis.call('HINCRBY', KEYS[3], 'n:' .. letter, 1)
  end
end
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  redis.call('HSET', KEYS[6], ARGV[at], ARGV[at + 1])
  at = at + 2
end
while at < #ARGV do
  for _, kind in ipairs({'m:', 'w:'}) do
    local name = kind .. ARGV[2] .. ':' .. ARGV[at]
    local have = tonumber(redis.call('HGET', KEYS[7], name) or '0')
    if have < tonumber(ARGV[at + 1]) then redis.call('HSET', KEYS[7], name, ARGV[at + 1]) end
  end
  at = at + 2
end
return 1
"""

_SETTLE = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[6])
if not epoch or string.sub(epoch, 1, #run) ~= run then return {-2, -1} end
if redis.call('GET', KEYS[7]) ~= 'done' then return {-2, -1} end
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return {-1, -1} end
local at = tonumber(ARGV[1]) + 1
if string.sub(status, at, at) ~= '.' then
  return {0, tonumber(redis.call('HGET', KEYS[1], 'left'))}
end
local known = redis.call('HMGET', KEYS[5], 'o:' .. ARGV[5], 'm:' .. ARGV[5])
local cost, paid = tonumber(ARGV[3]), tonumber(known[2] or '0')
if ARGV[6] == '1' and (known[1] or paid > cost) then
  return {0, tonumber(redis.call('HGET', KEYS[1], 'left'))}
end
if cost > paid then
  redis.call('HINCRBY', KEYS[4], 'spent_micro', cost - paid)
  redis.call('HSET', KEYS[5], 'm:' .. ARGV[5], cost)
end
redis.call('HSET', KEYS[1], 'status',
  string.sub(status, 1, at - 1) .. ARGV[2] .. string.sub(status, at + 1))
redis.call('HINCRBY', KEYS[1], 'n:' .. ARGV[2], 1)
redis.call('HINCRBY', KEYS[1], 'micro', ARGV[3])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
redis.call('ZREM', KEYS[3], ARGV[5])
return {1, redis.call('HINCRBY', KEYS[1], 'left', -1)}
"""

_RECOVERING = -2

_COMMIT = """
if redis.call('HEXISTS', KEYS[1], 'shards') == 0 then return 0 end
if (redis.call('HGET', KEYS[1], 'revision') or '1') ~= ARGV[3] then return 0 end
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
redis.call('SREM', KEYS[2], ARGV[1])
local slots = #(redis.call('HGET', KEYS[4], 'status') or '')
for slot = 0, slots - 1 do
  local at = ':' .. ARGV[1] .. ':' .. slot
  redis.call('HDEL', KEYS[6],
    'a' .. at, 'd' .. at, 'm' .. at, 'w' .. at, 'r' .. at, 'o' .. at,
    'prepare' .. at, 'generate' .. at, 'finish' .. at, 'repair' .. at)
end
redis.call('DEL', KEYS[4], KEYS[5])
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""

_TAKE_FEEDER = """
local holder = redis.call('HGET', KEYS[1], 'feeder')
local until_ms = tonumber(redis.call('HGET', KEYS[1], 'feeder_until_ms') or '0')
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
if holder and holder ~= ARGV[1] and until_ms > now_ms then return 0 end
redis.call('HSET', KEYS[1], 'feeder', ARGV[1], 'feeder_until_ms', now_ms + tonumber(ARGV[2]))
return 1
"""

_DROP_FEEDER = """
if redis.call('HGET', KEYS[1], 'feeder') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'feeder', 'feeder_until_ms')
end
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What settling a render did: whether this call did it, and how many are left in the shard.

    ``left`` is -1 when the shard has no state: it is committed, or Redis was emptied.
    """

    changed: bool
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Counts of one import as Redis knows them.

    ``to_commit`` are shards that have state and no open render.
    """

    counts: RenderCounts
    micro_usd: int
    doubtful_micro_usd: int
    committed: int
    open_parts: int
    to_commit: tuple[int, ...] = ()


class State(Epochs):
    """What Redis knows of the imports that run, and the epoch: only in it are they believed."""

    # -- imports -----------------------------------------------------------------------------

    def register(
        self,
        import_id: str,
        *,
        shards: int,
        renders: int,
        revision: int = 1,
        spent_micro: int = 0,
        doubtful_micro: int = 0,
    ) -> None:
        """Make a revision of an import known, and what earlier ones cost; again changes nothing.

        An earlier one is published by now, though its publisher may not have come to forget it.
        """
        known = self.revision(import_id)
        if known is not None and known < revision:
            self.forget(import_id, revision=known)
        cost = ["spent_micro", spent_micro, "doubtful_micro", doubtful_micro]
        with translated():
            self._run(
                _REGISTER,
                [self._keys.import_(import_id), self._keys.imports],
                [import_id, shards, renders, revision, *cost],
            )

    def revision(self, import_id: str) -> int | None:
        """Which revision of an import is being made, as far as Redis knows."""
        with translated():
            shards, found = self._redis.hmget(self._keys.import_(import_id), ["shards", "revision"])
        return None if shards is None else int(found or 1)

    def is_registered(self, import_id: str) -> bool:
        """Whether Redis knows the import."""
        with translated():
            return bool(self._redis.hexists(self._keys.import_(import_id), "shards"))

    def running(self) -> tuple[str, ...]:
        """Every registered import that is not yet published."""
        with translated():
            return tuple(sorted(self._redis.smembers(self._keys.imports)))

    def forget(self, import_id: str, *, revision: int | None = None) -> None:
        """Drop an import's state: it is published, the store knows all.

        With ``revision`` only that one's: somebody who is late must not drop the next one's.
        """
        parts = self.open_parts(import_id)
        names = [
            *(self._keys.import_(import_id), self._keys.imports, self._keys.open_parts(import_id)),
            *(self._keys.committed(import_id), self._keys.due(import_id)),
            *(self._keys.tries(import_id), self._keys.work(import_id)),
            self._keys.gathered(import_id),
            *(self._keys.shard(import_id, part) for part in parts),
            *(self._keys.outcomes(import_id, part) for part in parts),
        ]
        with translated():
            self._run(_FORGET, names, [import_id, "" if revision is None else revision])

    def progress(self, import_id: str) -> Progress | None:
        """Counts of committed and open shards together; ``None`` if Redis knows nothing."""
        with translated():
            fields = self._redis.hgetall(self._keys.import_(import_id))
            if "shards" not in fields:
                return None
            parts = sorted(map(int, self._redis.smembers(self._keys.open_parts(import_id))))
            with self._redis.pipeline(transaction=False) as pipe:
                for part in parts:
                    pipe.hgetall(self._keys.shard(import_id, part))
                shards = pipe.execute()
            committed = int(self._redis.hlen(self._keys.committed(import_id)))
        tallies = [fields, *(shard for shard in shards if shard)]
        return Progress(
            counts=_counts(tallies, expected=int(fields["renders"])),
            micro_usd=sum(int(tally.get("micro", 0)) for tally in tallies),
            doubtful_micro_usd=int(fields.get("doubtful_micro", 0)),
            committed=committed,
            open_parts=len(parts),
            to_commit=tuple(
                part for part, shard in zip(parts, shards, strict=True) if shard.get("left") == "0"
            ),
        )

    def intent(self, import_id: str) -> str | None:
        """The cached intent of ``control.json``: run, pause or cancel; ``None`` if not cached."""
        with translated():
            found = self._redis.hget(self._keys.import_(import_id), "intent")
        return None if found is None else str(found)

    def cache_intent(self, import_id: str, intent: str) -> None:
        """Remember what ``control.json`` says; only of an import that is registered."""
        with translated():
            if self._redis.hexists(self._keys.import_(import_id), "shards"):
                self._redis.hset(self._keys.import_(import_id), "intent", intent)

    def add_spent(self, import_id: str, micro_usd: int) -> None:
        """Book money that a call of this import cost, settled or not."""
        with translated():
            self._redis.hincrby(self._keys.import_(import_id), "spent_micro", micro_usd)

    def spent(self, import_id: str) -> int:
        """Micro-dollars that this import's calls cost so far, doubtful ones included."""
        with translated():
            found = self._redis.hmget(
                self._keys.import_(import_id), ["spent_micro", "doubtful_micro"]
            )
        return sum(int(amount or 0) for amount in found)

    def add_doubtful(self, import_id: str, micro_usd: int) -> None:
        """Book a call that was never answered."""
        with translated():
            self._redis.hincrby(self._keys.import_(import_id), "doubtful_micro", micro_usd)

    # -- the feeder --------------------------------------------------------------------------

    @contextlib.contextmanager
    def feeder(self, import_id: str, token: str, *, ttl_s: float) -> Iterator[bool]:
        """Be the import's one feeder, if nobody else is; yields whether we are."""
        key = self._keys.import_(import_id)
        with translated():
            ours = bool(self._run(_TAKE_FEEDER, [key], [token, int(ttl_s * 1000)]))
        try:
            yield ours
        finally:
            if ours:
                with translated():
                    self._run(_DROP_FEEDER, [key], [token])

    def open_shard(
        self,
        import_id: str,
        token: str,
        *,
        part: int,
        slots: int,
        within_s: float = 60.0,
        kept: Mapping[int, ResultLine] | None = None,
        paid_micro: Mapping[int, int] | None = None,
    ) -> bool:
        """Give a shard state, unless it has some or is committed; only the feeder may.

        Slots that are ``kept`` have their outcome at once; each other one is expected to be taken
        up within ``within_s`` (see :mod:`catalog.work`), and may have cost something before.
        """
        lines = kept or {}
        status = "".join(LETTERS[lines[at].status] if at in lines else OPEN for at in range(slots))
        written = [fact for at, line in lines.items() for fact in (at, line.model_dump_json())]
        paid = [fact for pair in (paid_micro or {}).items() for fact in pair]
        micro = sum(line.cost_usd.micro for line in lines.values())
        with translated():
            done = self._run(
                _OPEN_SHARD,
                [
                    self._keys.import_(import_id),
                    self._keys.open_parts(import_id),
                    self._keys.shard(import_id, part),
                    self._keys.committed(import_id),
                    self._keys.due(import_id),
                    self._keys.outcomes(import_id, part),
                    self._keys.tries(import_id),
                ],
                [token, part, status, within_s, micro, len(lines), *written, *paid],
            )
        return int(done) == 1

    def open_parts(self, import_id: str) -> tuple[int, ...]:
        """Shards that have state."""
        with translated():
            return tuple(
                sorted(int(part) for part in self._redis.smembers(self._keys.open_parts(import_id)))
            )

    def open_slots(self, import_id: str, part: int) -> tuple[int, ...]:
        """Slots of a shard that are not settled."""
        with translated():
            status = self._redis.hget(self._keys.shard(import_id, part), "status") or ""
        return tuple(at for at, letter in enumerate(status) if letter == OPEN)

    # -- shards ------------------------------------------------------------------------------

    def settle(
        self, line: ResultLine, *, part: int, slot: int, unless_bought: bool = False
    ) -> Settled:
        """Write a slot's outcome; the first one stands.

        With ``unless_bought`` it is not written while a call for it is open, or where more was
        paid for it than the line says. What the line cost beyond what was known to be spent counts
        as spent.

        Raises:
            StateUnavailable: also while what Redis knew before it was started again is rebuilt: the
                line may not have all that its slot cost.
        """
        with translated():
            changed, left = self._run(
                _SETTLE,
                [
                    self._keys.shard(line.import_id, part),
                    self._keys.outcomes(line.import_id, part),
                    self._keys.due(line.import_id),
                    self._keys.import_(line.import_id),
                    self._keys.tries(line.import_id),
                    self._keys.epoch,
                    self._keys.recovered,
                ],
                [
                    slot,
                    LETTERS[line.status],
                    line.cost_usd.micro,
                    line.model_dump_json(),
                    f"{part}:{slot}",
                    int(unless_bought),
                ],
            )
        if int(changed) == _RECOVERING:
            msg = "what Redis knows is being rebuilt: no outcome is written before that"
            raise StateUnavailable(msg)
        return Settled(changed=int(changed) == 1, left=int(left))

    def left(self, import_id: str, part: int) -> int:
        """Open renders of a shard; -1 if it has no state."""
        with translated():
            left = self._redis.hget(self._keys.shard(import_id, part), "left")
        return -1 if left is None else int(left)

    def outcomes(self, import_id: str, part: int) -> dict[int, ResultLine]:
        """Every outcome of a shard, by slot index."""
        with translated():
            found = self._redis.hgetall(self._keys.outcomes(import_id, part))
        return {int(at): ResultLine.from_json(line) for at, line in found.items()}

    def commit(self, import_id: str, committed: ManifestPart, *, revision: int = 1) -> bool:
        """Mark a shard of a revision committed, add its counts, drop its state; once.

        Somebody who is late, at an import that is forgotten or at its next revision, marks nothing.
        """
        counts = committed.counts
        tally: list[str | int] = ["micro", committed.cost_usd.micro]
        for status, letter in LETTERS.items():
            tally += [f"n:{letter}", getattr(counts, status.value)]
        with translated():
            done = self._run(
                _COMMIT,
                [
                    self._keys.import_(import_id),
                    self._keys.open_parts(import_id),
                    self._keys.committed(import_id),
                    self._keys.shard(import_id, committed.part),
                    self._keys.outcomes(import_id, committed.part),
                    self._keys.tries(import_id),
                ],
                [committed.part, committed.model_dump_json(), revision, *tally],
            )
        return int(done) == 1

    def committed(self, import_id: str) -> dict[int, ManifestPart]:
        """Committed shards."""
        with translated():
            found = self._redis.hgetall(self._keys.committed(import_id))
        return {int(part): ManifestPart.from_json(line) for part, line in found.items()}


def _counts(tallies: list[Mapping[str, Any]], *, expected: int) -> RenderCounts:
    by_status = {
        status.value: sum(int(tally.get(f"n:{letter}", 0)) for tally in tallies)
        for status, letter in LETTERS.items()
    }
    return RenderCounts(
        expected=expected, open=max(0, expected - sum(by_status.values())), **by_status
    )
