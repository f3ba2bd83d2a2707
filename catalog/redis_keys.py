"""Under which keys does Redis hold what we know?

One of an import's keys is written by several modules, so they stand together here; what only
:mod:`catalog.open_calls` uses stands there.
"""

from __future__ import annotations


class RedisKeys:
    """The keys of one store: two stores on one Redis do not meet."""

    def __init__(self, store_id: str) -> None:
        self._prefix = f"skuscene:{store_id}"

    @property
    def epoch(self) -> str:
        """The run of Redis that the epoch began in, and the epoch's name."""
        return f"{self._prefix}:epoch"

    @property
    def recovered(self) -> str:
        """How far the epoch's recovery has come."""
        return f"{self._prefix}:recovered"

    @property
    def buy_not_before(self) -> str:
        """When buying is allowed again."""
        return f"{self._prefix}:buy_not_before"

    @property
    def imports(self) -> str:
        """Every import that runs."""
        return f"{self._prefix}:imports"

    def import_(self, import_id: str) -> str:
        """An import's size, intent, feeder and money, and the counts of its committed shards."""
        return f"{self._prefix}:import:{import_id}"

    def open_parts(self, import_id: str) -> str:
        """Its shards that have state."""
        return f"{self._prefix}:open:{import_id}"

    def committed(self, import_id: str) -> str:
        """Its committed shards."""
        return f"{self._prefix}:committed:{import_id}"

    def due(self, import_id: str) -> str:
        """Its open slots, by when somebody must have taken care of each."""
        return f"{self._prefix}:due:{import_id}"

    def work(self, import_id: str) -> str:
        """Who works on which of its slots, and at which stage."""
        return f"{self._prefix}:work:{import_id}"

    def tries(self, import_id: str) -> str:
        """What its slots have cost and gone through: calls, attempts and deaths."""
        return f"{self._prefix}:tries:{import_id}"

    def shard(self, import_id: str, part: int) -> str:
        """A byte per render of an open shard, and its counts."""
        return f"{self._prefix}:shard:{import_id}:{part}"

    def outcomes(self, import_id: str, part: int) -> str:
        """The outcomes of an open shard, by slot."""
        return f"{self._prefix}:outcomes:{import_id}:{part}"

    def gathered(self, import_id: str) -> str:
        """Claims that wait to be ordered together."""
        return f"{self._prefix}:gathered:{import_id}"

    def lease(self, render_id: str) -> str:
        """The token of a render's buyer, or where its paid answer waits."""
        return f"{self._prefix}:lease:{render_id}"
