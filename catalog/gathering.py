"""Which renders wait to be ordered in a batch?

A claim that would be bought at once in the standard lane waits here, with the photos that were
found for it, until its shard's renders are ordered together. What is lost with Redis is fed, and
gathered, anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.claims import RenderClaim
from catalog.connection import Part, translated

if TYPE_CHECKING:
    from collections.abc import Collection

_GATHER = """
local status = redis.call('HGET', KEYS[1], 'status')
local at = tonumber(ARGV[2]) + 1
if not status or string.sub(status, at, at) ~= '.' then return 0 end
local field = ARGV[1] .. ':' .. ARGV[2]
redis.call('HSET', KEYS[2], field, ARGV[3])
local t = redis.call('TIME')
redis.call('HSET', KEYS[2], 'at:' .. ARGV[1], t[1])
return 1
"""


class Gathering(Part):
    """The gathered claims of all imports."""

    def gather(self, claim: RenderClaim) -> bool:
        """Let a claim wait for its shard's order; ``False`` if its slot is settled."""
        with translated():
            return bool(
                self._run(
                    _GATHER,
                    [
                        self._keys.shard(claim.import_id, claim.part),
                        self._keys.gathered(claim.import_id),
                    ],
                    [claim.part, claim.slot, claim.model_dump_json()],
                )
            )

    def gathered(self, import_id: str) -> dict[int, tuple[RenderClaim, ...]]:
        """What waits, by shard, in the order of slots."""
        with translated():
            found = self._redis.hgetall(self._keys.gathered(import_id))
        waiting: dict[int, list[RenderClaim]] = {}
        for field, value in found.items():
            part = field.split(":")[0]
            if part != "at":
                waiting.setdefault(int(part), []).append(RenderClaim.from_json(value))
        return {
            part: tuple(sorted(claims, key=lambda claim: claim.slot))
            for part, claims in sorted(waiting.items())
        }

    def quiet_s(self, import_id: str, part: int) -> float:
        """For how long nothing was gathered for a shard."""
        with translated():
            last = self._redis.hget(self._keys.gathered(import_id), f"at:{part}")
            return max(0.0, float(self._redis.time()[0]) - float(last)) if last else 0.0

    def drop(self, import_id: str, part: int, slots: Collection[int]) -> None:
        """Let some wait no longer: they are ordered, or settled."""
        if slots:
            with translated():
                fields = [f"{part}:{slot}" for slot in slots]
                self._redis.hdel(self._keys.gathered(import_id), *fields)
