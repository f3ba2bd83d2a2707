"""Who may buy a render: does somebody do so now, or does its paid answer wait on a disk?

A lease is one key that ends by itself. It carries its buyer's token, or the host on whose disk the
answer waits, which keeps every buyer away.
"""

from __future__ import annotations

from catalog.connection import Part, translated

_DROP_SPOOLED = """
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, #ARGV[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

SPOOLED_ON = "spooled on "
"""How a lease begins whose paid answer waits on the disk of the host that it goes on to name."""


ORDERED = "ordered in "
"""How a lease begins whose render is part of an open batch, whose order it goes on to name. It has
no end of its own: the order in the store says how long it stands."""

_ORDER = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class Leases(Part):
    """The leases of all renders."""

    def acquire_lease(self, render_id: str, token: str, *, ttl_s: float) -> bool:
        """Become the render's one buyer, if there is none."""
        with translated():
            key = self._keys.lease(render_id)
            return bool(self._redis.set(key, token, nx=True, px=int(ttl_s * 1000)))

    def renew_lease(self, render_id: str, token: str, *, ttl_s: float) -> bool:
        """Stay the buyer; ``False`` says that we are not any more."""
        with translated():
            return self._renew(self._keys.lease(render_id), token, ttl_s=ttl_s)

    def release_lease(self, render_id: str, token: str) -> None:
        """Stop being the buyer."""
        with translated():
            self._release(self._keys.lease(render_id), token)

    def mark_spooled(self, render_id: str, host: str, *, ttl_s: float) -> None:
        """Make the lease read ``spooled on <host>``, whoever has it: its picture is paid for.

        A buyer who loses it so finds out when he renews; what he gets becomes a later take.
        """
        with translated():
            self._redis.set(
                self._keys.lease(render_id), f"{SPOOLED_ON}{host}", px=max(1, int(ttl_s * 1000))
            )

    def drop_spooled(self, render_id: str) -> None:
        """End a lease that reads ``spooled on ...``, of any host; a buyer's stays."""
        with translated():
            self._run(_DROP_SPOOLED, [self._keys.lease(render_id)], [SPOOLED_ON])

    def order(self, render_id: str, order_id: str) -> bool:
        """Hold a render for an order, if nobody else has it; may be repeated."""
        with translated():
            token = f"{ORDERED}{order_id}"
            return bool(self._run(_ORDER, [self._keys.lease(render_id)], [token]))

    def spooled_renders(self) -> tuple[str, ...]:
        """The renders whose lease reads ``spooled on ...``; walks over every key of Redis."""
        with translated():
            first = self._keys.lease("")
            names = list(self._redis.scan_iter(match=f"{first}*", count=1_000))
            holders = self._redis.mget(names) if names else []
        return tuple(
            name.removeprefix(first)
            for name, holder in zip(names, holders, strict=True)
            if holder and holder.startswith(SPOOLED_ON)
        )
