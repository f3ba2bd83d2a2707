"""What stands in for the store, for Redis and for the queue where a test needs none of them?

Dictionaries behind the same protocols, held to them by the contract suites that the real ones
pass (tests/integration/test_store_contract.py, test_state.py, test_queue.py).
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from catalog.claims import QUEUE_OF, QUEUES, Claim
from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.epoch import Epoch, Recovery
from catalog.leases import ORDERED, SPOOLED_ON
from catalog.open_calls import Gate, OpenCall, Reserved, Tries, count_of
from catalog.renders import LedgerLine, Refusal
from catalog.results import ManifestPart, RenderCounts, ResultLine, Status
from catalog.state import Progress, Settled
from catalog.store.port import (
    Conflict,
    Created,
    Listed,
    Stored,
    StoreRefuses,
    StoreUnavailable,
    sha256_hex,
)
from catalog.work import WAITING, Begun


class MemoryStore:
    """A store in memory that fails to order.

    ``fail(n)`` makes the next calls fail before they do anything; ``lose_reply(n)`` lets the next
    writes happen and then fail; ``before`` is called with method and key before anything happens
    (count there, block there, die there). ``calls`` lists what was asked.
    """

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.url = "memory://store"
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = _nothing
        self._objects: dict[str, Stored] = {}
        self._order: list[str] = []
        """Its keys, in order: listings are many, and most find nothing."""
        self._guard = threading.Lock()
        self._failures: list[Exception] = []
        self._replies_to_lose = 0
        for key, content in (objects or {}).items():
            self.create(key, content, media_type="application/octet-stream")

    # -- faults ------------------------------------------------------------------------------

    def fail(self, times: int = 1, exc: Exception | None = None) -> None:
        """Let the next calls fail before anything happens."""
        self._failures += [exc or StoreUnavailable("told to fail")] * times

    def lose_reply(self, times: int = 1) -> None:
        """Let the next writes happen, and say that they did not."""
        self._replies_to_lose += times

    # -- the store ---------------------------------------------------------------------------

    def create(
        self, key: str, content: bytes, *, media_type: str, metadata: Mapping[str, str] = {}
    ) -> Created:
        self._begin("create", key)
        with self._guard:
            stored = self._objects.get(key)
            if stored is None:
                stored = self._keep(_stored(key, content, media_type, metadata))
        self._reply()
        return Created(key=key, sha256=stored.etag, won=stored.content == content)

    def replace(self, key: str, content: bytes, *, media_type: str, etag: str | None) -> str:
        self._begin("replace", key)
        with self._guard:
            found = self._objects.get(key)
            if found is None or found.content != content:
                if (found.etag if found else None) != etag:
                    msg = f"{key} was changed by somebody else"
                    raise Conflict(msg)
                found = self._keep(_stored(key, content, media_type, {}))
        self._reply()
        return found.etag

    def read(self, key: str) -> Stored | None:
        self._begin("read", key)
        return self._objects.get(key)

    def has(self, key: str) -> bool:
        self._begin("has", key)
        return key in self._objects

    def list(self, prefix: str) -> Iterator[Listed]:
        self._begin("list", prefix)
        with self._guard:
            found = [self._objects[key] for key in self._from(prefix)]
        for stored in found:
            yield Listed(key=stored.key, size_bytes=len(stored.content))

    def delete(self, key: str) -> None:
        self._begin("delete", key)
        with self._guard:
            self._drop(key)

    # -- for tests ---------------------------------------------------------------------------

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key there is, in order."""
        return tuple(self._order)

    def content(self, key: str) -> bytes:
        """The bytes under a key that must be there; counts as no call."""
        return self._objects[key].content

    def damage(self, key: str, content: bytes | None) -> None:
        """Change an object behind everybody's back; ``None`` removes it."""
        with self._guard:
            old = self._objects[key]
            self._drop(key)
            if content is not None:
                self._keep(_stored(key, content, old.media_type, old.metadata))

    def _keep(self, stored: Stored) -> Stored:
        if stored.key not in self._objects:
            insort(self._order, stored.key)
        self._objects[stored.key] = stored
        return stored

    def _drop(self, key: str) -> None:
        if self._objects.pop(key, None) is not None:
            self._order.remove(key)

    def _from(self, prefix: str) -> Iterator[str]:
        order = self._order
        for at in range(bisect_left(order, prefix), len(order)):
            if not order[at].startswith(prefix):
                return
            yield order[at]

    def _begin(self, method: str, key: str) -> None:
        _check_key(key, whole=method != "list")
        self.calls.append((method, key))
        if self.before is not _nothing:
            self.before(method, key)
        if self._failures:
            with self._guard:
                failure = self._failures.pop(0) if self._failures else None
            if failure is not None:
                raise failure

    def _reply(self) -> None:
        if self._replies_to_lose == 0:
            return
        with self._guard:
            lost = self._replies_to_lose > 0
            self._replies_to_lose -= lost
        if lost:
            msg = "told to lose this reply"
            raise StoreUnavailable(msg)


def _nothing(_method: str, _key: str) -> None:
    """What happens before a call, unless a test says otherwise."""


def _stored(key: str, content: bytes, media_type: str, metadata: Mapping[str, str]) -> Stored:
    return Stored(
        key=key,
        content=content,
        etag=sha256_hex(content),
        media_type=media_type,
        metadata=dict(metadata),
    )


_STATUSES = tuple(status.value for status in Status)
_NO_SEGMENTS = frozenset(("", ".", ".."))


@lru_cache(maxsize=4_096)
def _check_key(key: str, *, whole: bool) -> None:
    # The strictest of the real ones (a directory) decides what a key is.
    segments = key.split("/") if whole else key.split("/")[:-1]
    if len(key) > 1_024 or not _NO_SEGMENTS.isdisjoint(segments):
        msg = f"{key!r} is no key of this store"
        raise StoreRefuses(msg)


@dataclass(slots=True)
class _Shard:
    status: list[Status | None]
    outcomes: dict[int, ResultLine] = field(default_factory=dict)

    @property
    def left(self) -> int:
        return self.status.count(None)


@dataclass(slots=True)
class _Import:
    shards: int
    renders: int
    revision: int = 1
    intent: str | None = None
    feeder: tuple[str, float] | None = None
    open: dict[int, _Shard] = field(default_factory=dict)
    committed: dict[int, ManifestPart] = field(default_factory=dict)
    due: dict[tuple[int, int], float] = field(default_factory=dict)
    work: dict[tuple[int, int], tuple[str, float, str]] = field(default_factory=dict)


class MemoryState:
    """What Redis knows of running imports, in a dictionary.

    ``away`` set to true makes every call fail; ``clear()`` is Redis being emptied; ``clock`` tells
    seconds, for leases and the feeder's token.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.away = False
        self.run = 0
        """Counts starts: a restart by hand is ``run += 1``."""
        self.lease_s = 30.0
        self._clock = clock
        self._guard = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._guard:
            self._imports: dict[str, _Import] = {}
            self._spent: dict[str, int] = {}
            self._doubtful: dict[str, int] = {}
            self._leases: dict[str, tuple[str, float]] = {}
            self._calls: dict[str, OpenCall] = {}
            self._tries: dict[str, Counter[str]] = {}
            self._reasons: dict[tuple[str, str], str] = {}
            self._reserved: Counter[str] = Counter()
            self._day_spent: Counter[int] = Counter()
            self._day_reserved: Counter[int] = Counter()
            self._day_of: dict[str, int] = {}
            self._rebuilt: set[str] = set()
            self._epoch: int | None = None
            self._buy_not_before = 0.0
            self._beat_at = 0.0
            self.run += 1
            self._recovery = (Recovery.NEEDED, "", 0.0)

    # -- the epoch ---------------------------------------------------------------------------

    def epoch(self) -> Epoch:
        with self._there():
            if self._epoch is None:
                return Epoch.NONE
            return Epoch.CURRENT if self._epoch == self.run else Epoch.OLD

    def begin_epoch(self, epoch: str, *, buy_not_before: float) -> None:  # noqa: ARG002
        with self._there():
            if self._epoch != self.run:
                self._epoch = self.run
                self._buy_not_before = max(self._buy_not_before, buy_not_before)
                self._recovery = (Recovery.NEEDED, "", 0.0)

    def recovery(self) -> Recovery:
        with self._there():
            known, _, until = self._recovery
            lapsed = known is Recovery.BEGUN and until <= self._clock()
            return Recovery.NEEDED if self._epoch != self.run or lapsed else known

    def claim_recovery(self, token: str, *, ttl_s: float = 20.0) -> bool:
        with self._there():
            known, _, until = self._recovery
            begun = known is Recovery.BEGUN and until > self._clock()
            if begun or known in {Recovery.REBUILT, Recovery.DONE}:
                return False
            self._recovery = (Recovery.BEGUN, token, self._clock() + ttl_s)
            return True

    def keep_rebuilding(self, token: str, *, ttl_s: float = 20.0) -> None:
        with self._there():
            if self._recovery[:2] == (Recovery.BEGUN, token):
                self._recovery = (Recovery.BEGUN, token, self._clock() + ttl_s)

    def end_rebuilding(self, token: str) -> None:
        with self._there():
            if self._recovery[:2] == (Recovery.BEGUN, token):
                self._recovery = (Recovery.REBUILT, "", 0.0)

    def give_up_rebuilding(self, token: str) -> None:
        with self._there():
            if self._recovery[:2] == (Recovery.BEGUN, token):
                self._recovery = (Recovery.NEEDED, "", 0.0)

    def finish_recovery(self) -> None:
        with self._there():
            if self._recovery[0] is Recovery.REBUILT:
                self._recovery = (Recovery.DONE, "", 0.0)

    def buy_not_before(self) -> float:
        with self._there():
            return max(0.0, self._buy_not_before - self._clock())

    def now(self) -> float:
        with self._there():
            return self._clock()

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
        with self._there():
            stands = self._imports.get(import_id)
            if stands is not None and stands.revision < revision:
                self.forget(import_id, revision=stands.revision)
            elif stands is not None:
                return
            known = _Import(shards=shards, renders=renders, revision=revision)
            self._imports[import_id] = known
            self._spent[import_id] = max(self._spent.get(import_id, 0), spent_micro)
            self._doubtful[import_id] = max(self._doubtful.get(import_id, 0), doubtful_micro)

    def revision(self, import_id: str) -> int | None:
        with self._there():
            known = self._imports.get(import_id)
            return known.revision if known else None

    def is_registered(self, import_id: str) -> bool:
        with self._there():
            return import_id in self._imports

    def running(self) -> tuple[str, ...]:
        with self._there():
            return tuple(sorted(self._imports))

    def forget(self, import_id: str, *, revision: int | None = None) -> None:
        with self._there():
            stands = self._imports.get(import_id)
            if revision is not None and (stands.revision if stands else 1) != revision:
                return
            for known in (self._imports, self._spent, self._doubtful, self._tries):
                known.pop(import_id, None)
            self._rebuilt.discard(import_id)
            del self._reserved[import_id]

    def progress(self, import_id: str) -> Progress | None:
        with self._there():
            known = self._imports.get(import_id)
            if known is None:
                return None
            lines = [line for shard in known.open.values() for line in shard.outcomes.values()]
            parts = known.committed.values()
            settled = dict.fromkeys(_STATUSES, 0)
            for line in lines:
                settled[line.status.value] += 1
            for part in parts:
                for status in _STATUSES:
                    settled[status] += getattr(part.counts, status)
            return Progress(
                counts=RenderCounts(
                    expected=known.renders,
                    open=max(0, known.renders - sum(settled.values())),
                    **settled,
                ),
                micro_usd=sum(line.cost_usd.micro for line in lines)
                + sum(part.cost_usd.micro for part in parts),
                doubtful_micro_usd=self._doubtful.get(import_id, 0),
                committed=len(known.committed),
                open_parts=len(known.open),
                to_commit=tuple(part for part in sorted(known.open) if known.open[part].left == 0),
            )

    def intent(self, import_id: str) -> str | None:
        with self._there():
            known = self._imports.get(import_id)
            return known.intent if known else None

    def cache_intent(self, import_id: str, intent: str) -> None:
        with self._there():
            if import_id in self._imports:
                self._imports[import_id].intent = intent

    def add_spent(self, import_id: str, micro_usd: int) -> None:
        with self._there():
            self._spent[import_id] = self._spent.get(import_id, 0) + micro_usd

    def spent(self, import_id: str) -> int:
        with self._there():
            return self._spent.get(import_id, 0) + self._doubtful.get(import_id, 0)

    def add_doubtful(self, import_id: str, micro_usd: int) -> None:
        with self._there():
            self._doubtful[import_id] = self._doubtful.get(import_id, 0) + micro_usd

    # -- the feeder --------------------------------------------------------------------------

    @contextmanager
    def feeder(self, import_id: str, token: str, *, ttl_s: float) -> Iterator[bool]:
        with self._there():
            known = self._imports.get(import_id)
            ours = known is not None and _free(known.feeder, token, self._clock())
            if known is not None and ours:
                known.feeder = (token, self._clock() + ttl_s)
        try:
            yield ours
        finally:
            with self._there():
                known = self._imports.get(import_id)
                if known and known.feeder and known.feeder[0] == token:
                    known.feeder = None

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
        with self._there():
            known = self._imports.get(import_id)
            if known is None or known.feeder is None or known.feeder[0] != token:
                return False
            if part in known.committed or part in known.open:
                return False
            lines = dict(kept or {})
            status = [lines[at].status if at in lines else None for at in range(slots)]
            known.open[part] = _Shard(status=status, outcomes=lines)
            for slot in set(range(slots)) - set(lines):
                known.due[part, slot] = self._clock() + within_s
            tries = self._tries_of(import_id)
            for slot, micro in (paid_micro or {}).items():
                for name in (f"m:{part}:{slot}", f"w:{part}:{slot}"):
                    tries[name] = max(tries[name], micro)
            return True

    def open_parts(self, import_id: str) -> tuple[int, ...]:
        with self._there():
            known = self._imports.get(import_id)
            return tuple(sorted(known.open)) if known else ()

    def open_slots(self, import_id: str, part: int) -> tuple[int, ...]:
        with self._there():
            shard = self._shard(import_id, part)
            return tuple(at for at, was in enumerate(shard.status) if was is None) if shard else ()

    # -- shards ------------------------------------------------------------------------------

    def settle(
        self, line: ResultLine, *, part: int, slot: int, unless_bought: bool = False
    ) -> Settled:
        with self._there():
            if self._epoch != self.run or self._recovery[0] is not Recovery.DONE:
                raise StateUnavailable("what Redis knows is being rebuilt")
            shard = self._shard(line.import_id, part)
            if shard is None:
                return Settled(changed=False, left=-1)
            changed = slot < len(shard.status) and shard.status[slot] is None
            tries = self._tries_of(line.import_id)
            at = f"{part}:{slot}"
            if unless_bought and (tries[f"o:{at}"] or tries[f"m:{at}"] > line.cost_usd.micro):
                changed = False
            if changed:
                more = line.cost_usd.micro - tries[f"m:{at}"]
                if more > 0:
                    self._spent[line.import_id] = self._spent.get(line.import_id, 0) + more
                    tries[f"m:{at}"] += more
                shard.status[slot] = line.status
                shard.outcomes[slot] = line
                self._imports[line.import_id].due.pop((part, slot), None)
            return Settled(changed=changed, left=shard.left)

    def expect(self, import_id: str, part: int, slots: Collection[int], *, within_s: float) -> None:
        with self._there():
            known = self._imports.get(import_id)
            for slot in slots:
                if known is not None and (part, slot) in known.due:
                    known.due[part, slot] = self._clock() + within_s

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
        with self._there():
            known = self._imports.get(import_id)
            recovery = self.recovery()
            if known is None or recovery not in {Recovery.REBUILT, Recovery.DONE}:
                return Begun(recovery=recovery, is_open=False)
            now = self._clock()
            for slot in slots:
                was = known.work.get((part, slot), ("", 0.0, ""))
                if was[0] == stage and was[2] != worker and was[1] > now:
                    return Begun(recovery=recovery, is_busy=True)
            tries = self._tries_of(import_id)
            still_open = [slot for slot in slots if (part, slot) in known.due]
            for slot in still_open:
                was = known.work.get((part, slot), ("", now + 1, ""))
                if was[1] <= now and was[0] != WAITING:
                    tries[f"{was[0]}:{part}:{slot}"] += 1
                known.due[part, slot] = now + within_s
                known.work[part, slot] = (stage, now + within_s, worker)
            names = (f"{stage}:{part}:{slot}" for slot in still_open)
            deaths = max((tries.get(name, 0) for name in names), default=0)
            return Begun(recovery=recovery, deaths=deaths, is_open=bool(still_open))

    def go_on_working(
        self, import_id: str, part: int, slots: Collection[int], worker: str, *, within_s: float
    ) -> None:
        with self._there():
            known = self._imports.get(import_id)
            ends = self._clock() + within_s
            for slot in slots:
                if known is not None and known.work.get((part, slot), ("", 0.0, ""))[2] == worker:
                    known.work[part, slot] = (known.work[part, slot][0], ends, worker)
                if known is not None and (part, slot) in known.due:
                    known.due[part, slot] = ends

    def end_work(self, import_id: str, part: int, slots: Collection[int], worker: str) -> None:
        with self._there():
            known = self._imports.get(import_id)
            for slot in slots:
                if known is not None and known.work.get((part, slot), ("", 0.0, ""))[2] == worker:
                    del known.work[part, slot]

    def bury_work(self, import_id: str) -> tuple[tuple[int, int], ...]:
        with self._there():
            known = self._imports.get(import_id)
            died = []
            for part, slot in sorted(known.work) if known else ():
                assert known is not None
                stage, ends, _ = known.work[part, slot]
                if ends > self._clock():
                    continue
                del known.work[part, slot]
                if (part, slot) in known.due:
                    if stage != WAITING:
                        self._tries_of(import_id)[f"{stage}:{part}:{slot}"] += 1
                    died.append((part, slot))
            return tuple(died)

    def overdue(self, import_id: str) -> tuple[tuple[int, int], ...]:
        with self._there():
            known = self._imports.get(import_id)
            due = known.due if known else {}
            late = sorted((at, slot) for slot, at in due.items() if at <= self._clock())
            return tuple(slot for _, slot in late)

    def left(self, import_id: str, part: int) -> int:
        with self._there():
            shard = self._shard(import_id, part)
            return -1 if shard is None else shard.left

    def outcomes(self, import_id: str, part: int) -> dict[int, ResultLine]:
        with self._there():
            shard = self._shard(import_id, part)
            return dict(shard.outcomes) if shard else {}

    def commit(self, import_id: str, committed: ManifestPart, *, revision: int = 1) -> bool:
        with self._there():
            known = self._imports.get(import_id)
            if known is None or known.revision != revision or committed.part in known.committed:
                return False
            known.committed[committed.part] = committed
            known.open.pop(committed.part, None)
            tries = self._tries.get(import_id, Counter())
            for name in [name for name in tries if name.split(":")[1] == str(committed.part)]:
                del tries[name]
            return True

    def committed(self, import_id: str) -> dict[int, ManifestPart]:
        with self._there():
            known = self._imports.get(import_id)
            return dict(known.committed) if known else {}

    # -- leases ------------------------------------------------------------------------------

    def acquire_lease(self, render_id: str, token: str, *, ttl_s: float) -> bool:
        with self._there():
            if not _free(self._leases.get(render_id), None, self._clock()):
                return False
            self._leases[render_id] = (token, self._clock() + ttl_s)
            return True

    def renew_lease(self, render_id: str, token: str, *, ttl_s: float) -> bool:
        with self._there():
            if not self._holds(render_id, token):
                return False
            self._leases[render_id] = (token, self._clock() + ttl_s)
            return True

    def release_lease(self, render_id: str, token: str) -> None:
        with self._there():
            if self._holds(render_id, token):
                del self._leases[render_id]

    def mark_spooled(self, render_id: str, host: str, *, ttl_s: float) -> None:
        with self._there():
            self._leases[render_id] = (f"{SPOOLED_ON}{host}", self._clock() + ttl_s)

    def drop_spooled(self, render_id: str) -> None:
        with self._there():
            if self._leases.get(render_id, ("", 0.0))[0].startswith(SPOOLED_ON):
                del self._leases[render_id]

    def order(self, render_id: str, order_id: str) -> bool:
        with self._there():
            token = f"{ORDERED}{order_id}"
            holder, until = self._leases.get(render_id, ("", 0.0))
            if holder != token and until > self._clock():
                return False
            self._leases[render_id] = (token, math.inf)
            return True

    def release_order(self, render_id: str, order_id: str) -> None:
        self.release_lease(render_id, f"{ORDERED}{order_id}")

    def spooled_renders(self) -> tuple[str, ...]:
        with self._there():
            return tuple(
                render_id
                for render_id, (holder, until) in self._leases.items()
                if holder.startswith(SPOOLED_ON) and until > self._clock()
            )

    @contextmanager
    def held(self, render_id: str) -> Iterator[str | None]:
        """Be the buyer while the block runs: ``worker.ports.Leases`` without a renewing thread."""
        token = f"token-{time.monotonic_ns()}"
        ours = self.acquire_lease(render_id, token, ttl_s=3_600)
        try:
            yield token if ours else None
        finally:
            self.release_lease(render_id, token)

    # -- open calls --------------------------------------------------------------------------

    def reserve(
        self, call: OpenCall, *, budget_micro: int | None, day_budget_micro: int | None = None
    ) -> Reserved:
        with self._there():
            if self._epoch != self.run or self._recovery[0] is not Recovery.DONE:
                return Reserved(gate=Gate.RECOVERING)
            self.beat()
            wait_s = self._buy_not_before - self._clock()
            if wait_s > 0:
                return Reserved(gate=Gate.WAIT, wait_s=wait_s)
            return self._reserved_for(call, budget_micro, day_budget_micro)

    def _reserved_for(
        self, call: OpenCall, budget_micro: int | None, day_budget_micro: int | None
    ) -> Reserved:
        with self._there():
            if call.slot not in self.open_slots(call.import_id, call.part):
                return Reserved(gate=Gate.SETTLED)
            if not self._holds(call.render_id, call.lease):
                return Reserved(gate=Gate.LEASE_LOST)
            if call.render_id in self._calls:
                return Reserved(gate=Gate.PENDING)
            return self._reserved_within(call, budget_micro, day_budget_micro)

    def _reserved_within(
        self, call: OpenCall, budget_micro: int | None, day_budget_micro: int | None
    ) -> Reserved:
        spent = self.spent(call.import_id)
        if budget_micro is not None:
            if spent + call.micro_usd > budget_micro:
                return Reserved(gate=Gate.BUDGET, spent_micro=spent)
            if spent + self._reserved[call.import_id] + call.micro_usd > budget_micro:
                return Reserved(gate=Gate.IN_FLIGHT)
        day = self._today()
        if day_budget_micro is not None:
            gone = self._day_spent[day]
            if gone + call.micro_usd > day_budget_micro:
                return Reserved(gate=Gate.DAY_BUDGET, spent_micro=gone)
            if gone + self._day_reserved[day] + call.micro_usd > day_budget_micro:
                return Reserved(gate=Gate.IN_FLIGHT)
        self._write_down(call)
        return Reserved(gate=Gate.GO)

    def reserved(self, import_id: str) -> int:
        """What is set aside for an import's open calls, micro-USD."""
        return self._reserved[import_id]

    def restore(self, call: OpenCall) -> bool:
        with self._there():
            if call.render_id in self._calls:
                return False
            self._write_down(call)
            return True

    def _write_down(self, call: OpenCall) -> None:
        day = self._today()
        self._day_reserved[day] += call.micro_usd
        self._day_of[call.call] = day
        self._calls[call.render_id] = call
        self._reserved[call.import_id] += call.micro_usd
        self._slots(call)[f"o:{call.part}:{call.slot}"] = 1

    def beat(self) -> None:
        with self._there():
            now = self._clock()
            if 0 < self._beat_at < now - self.lease_s * 2 / 3 and self._calls:
                self._buy_not_before = max(self._buy_not_before, now + self.lease_s / 2)
            self._beat_at = now

    def end(self, call: OpenCall, line: LedgerLine, *, refusal: Refusal | None = None) -> None:
        kept = "sold" if line.outcome == "picture" else "ended"
        self._end(call, line, kept=kept, refusal=refusal, late=True)

    def spooled(self, call: OpenCall, line: LedgerLine) -> None:
        self._end(call, line, kept="spooled", refusal=None, late=True)

    def bury(self, call: OpenCall, line: LedgerLine) -> None:
        self._end(call, line, kept=None, refusal=None, late=False)

    def close(self, call: OpenCall) -> None:
        with self._there():
            if self._is_current(call):
                del self._calls[call.render_id]

    def booked(self, lines: Sequence[LedgerLine]) -> None:
        with self._there():
            for line in lines:
                known = self._calls.get(line.render_id)
                if known is not None and known.call == line.call:
                    del self._calls[line.render_id]

    def open_call(self, render_id: str) -> OpenCall | None:
        with self._there():
            return self._calls.get(render_id)

    def open_calls(self) -> tuple[OpenCall, ...]:
        with self._there():
            return tuple(self._calls.values())

    def lease_holder(self, render_id: str) -> str | None:
        with self._there():
            token, until = self._leases.get(render_id, ("", 0.0))
            return token if until > self._clock() else None

    def tries(self, import_id: str, part: int, slot: int) -> Tries:
        with self._there():
            tries: Mapping[str, int] = self._tries.get(import_id, {})
            at = f"{part}:{slot}"
            return Tries(
                attempts=tries.get(f"a:{at}", 0),
                doubtful=tries.get(f"d:{at}", 0),
                wasted_micro=tries.get(f"w:{at}", 0),
                paid_micro=tries.get(f"m:{at}", 0),
                reason=self._reasons.get((import_id, at), ""),
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
        with self._there():
            self._spent[import_id] = max(self._spent.get(import_id, 0), spent)
            self._doubtful[import_id] = max(self._doubtful.get(import_id, 0), doubtful)
            tries = self._tries_of(import_id)
            for name, value in slots.items():
                tries[name] = max(tries[name], value)
            for at, reason in reasons.items():
                self._reasons.setdefault((import_id, at), reason)
            self._rebuilt.add(import_id)

    def was_rebuilt(self, import_id: str) -> bool:
        with self._there():
            return import_id in self._rebuilt

    def _end(
        self,
        call: OpenCall,
        line: LedgerLine,
        *,
        kept: str | None,
        refusal: Refusal | None,
        late: bool,
    ) -> None:
        with self._there():
            known = self._calls.get(call.render_id)
            ours = self._is_current(call)
            is_open = known is not None and known.state == "open"
            if not late and not (ours and is_open):
                return
            self._count_day(call, line.cost_usd.micro)
            if call.import_id in self._imports:
                self._count(call, line, was_open=ours and is_open)
            if ours and kept is not None:
                self._calls[call.render_id] = call.changed(state=kept, line=line, refusal=refusal)
            elif ours:
                del self._calls[call.render_id]

    def rebuild_day(self, day: date, micro_usd: int) -> None:
        number = (day - date(1970, 1, 1)).days
        with self._there():
            self._day_spent[number] = max(self._day_spent[number], micro_usd)

    def spent_on(self, day: date) -> int:
        with self._there():
            return self._day_spent[(day - date(1970, 1, 1)).days]

    def _today(self) -> int:
        return int(self._clock() // 86_400)

    def _count_day(self, call: OpenCall, micro_usd: int) -> None:
        day = self._day_of.pop(call.call, None)
        if day is not None:
            self._day_reserved[day] -= call.micro_usd
        self._day_spent[self._today() if day is None else day] += micro_usd

    def _count(self, call: OpenCall, line: LedgerLine, *, was_open: bool) -> None:
        at = f"{call.part}:{call.slot}"
        tries = self._slots(call)
        known = self._imports.get(call.import_id)
        if was_open and known is not None and known.revision == call.line.revision:
            self._reserved[call.import_id] -= call.micro_usd
            del tries[f"o:{at}"]
        micro = line.cost_usd.micro
        if line.outcome == "doubtful":
            self.add_doubtful(call.import_id, micro)
        else:
            self.add_spent(call.import_id, micro)
            tries[f"m:{at}"] += micro
            tries[f"w:{at}"] += micro if line.outcome != "picture" else 0
        if count_of(line):
            tries[f"{count_of(line)}:{at}"] += 1
            self._reasons[call.import_id, at] = line.reason or ""

    def _slots(self, call: OpenCall) -> Counter[str]:
        return self._tries_of(call.import_id)

    def _tries_of(self, import_id: str) -> Counter[str]:
        tries = self._tries.get(import_id)
        if tries is None:
            tries = self._tries[import_id] = Counter()
        return tries

    def _is_current(self, call: OpenCall) -> bool:
        known = self._calls.get(call.render_id)
        return known is not None and known.call == call.call

    def _holds(self, render_id: str, token: str) -> bool:
        held = self._leases.get(render_id)
        return held is not None and held[0] == token and held[1] > self._clock()

    def _shard(self, import_id: str, part: int) -> _Shard | None:
        known = self._imports.get(import_id)
        return known.open.get(part) if known else None

    def _there(self) -> threading.RLock:
        if self.away:
            msg = "told to be away"
            raise StateUnavailable(msg)
        return self._guard


def _free(held: tuple[str, float] | None, token: str | None, now: float) -> bool:
    return held is None or held[0] == token or held[1] <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A claim on the queue."""

    task: str
    claim: Any
    countdown_s: float


class MemoryQueue:
    """A queue that a test works off itself; ``away`` set to true makes every call fail."""

    def __init__(self) -> None:
        self.away = False
        self.waiting: list[Message] = []
        self.sent: list[Message] = []

    def enqueue(self, task: str, claim: Claim, *, countdown_s: float = 0.0) -> None:
        self._check()
        # As over the wire: what arrives is a copy, read from JSON.
        copy = type(claim).from_json(claim.to_json())
        message = Message(task=task, claim=copy, countdown_s=countdown_s)
        self.waiting.append(message)
        self.sent.append(message)

    def depths(self) -> dict[str, int]:
        self._check()
        found = dict.fromkeys(QUEUES, 0)
        for message in self.waiting:
            found[QUEUE_OF[message.task]] += 1
        return found

    def take(self, task: str | None = None) -> Message | None:
        """Take the oldest message off, of one task or of any."""
        for at, message in enumerate(self.waiting):
            if task in {None, message.task}:
                return self.waiting.pop(at)
        return None

    def of(self, task: str) -> tuple[Any, ...]:
        """Claims ever sent for a task."""
        return tuple(message.claim for message in self.sent if message.task == task)

    def _check(self) -> None:
        if self.away:
            msg = "told to be away"
            raise QueueUnavailable(msg)
