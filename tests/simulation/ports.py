"""How does one simulated process reach the store, Redis, the model and the shop?

Every call is an effect: others may run before it, it may fail before or after it took place, the
process may die before it. What is behind are the doubles that the contract suites hold to the real
ones (``tests/support/memory.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from catalog.claims import Claim
from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.leases import SPOOLED_ON
from catalog.open_calls import Gate
from catalog.results import ManifestPart
from catalog.store.port import Created, Listed, Stored, StoreUnavailable
from tests.simulation.auditor import Call
from tests.support.desk import MODEL, USAGE, Downloaded, TinyImaging
from tests.support.memory import MemoryState
from worker.errors import LaneStopped, NoPicture, OutcomeUnknown, PromptBlocked, TryLater
from worker.model import Answer, TakeRequest, Usage
from worker.ports import Inspected

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

T = TypeVar("T")
JPEG = b"\xff\xd8\xff"


class SimulatedRedis(MemoryState):
    """The double, with one thing more that Redis does: it takes a commit of a forgotten import.

    The hash of committed shards is written whether the import is registered or not, and is there
    when it is registered again.
    """

    def clear(self) -> None:
        super().clear()
        self._loose: dict[str, dict[int, ManifestPart]] = {}

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
        super().register(
            import_id,
            shards=shards,
            renders=renders,
            revision=revision,
            spent_micro=spent_micro,
            doubtful_micro=doubtful_micro,
        )
        for part in self._loose.pop(import_id, {}).values():
            super().commit(import_id, part)

    def commit(self, import_id: str, committed: ManifestPart, *, revision: int = 1) -> bool:
        if self.is_registered(import_id):
            return super().commit(import_id, committed, revision=revision)
        loose = self._loose.setdefault(import_id, {})
        return loose.setdefault(committed.part, committed) is committed

    def committed(self, import_id: str) -> dict[int, ManifestPart]:
        return super().committed(import_id) or dict(self._loose.get(import_id, {}))

    def saved(self) -> dict[str, Any]:
        """What a file of now would hold."""
        ours = {"run", "_clock", "_guard"}
        return {
            name: copy.deepcopy(value) for name, value in vars(self).items() if name not in ours
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Start again with such a file."""
        vars(self).update(copy.deepcopy(saved))
        self.run += 1

    def leases(self) -> list[str]:
        """Renders that are leased now."""
        return [render for render, (_, until) in self._leases.items() if until > self._clock()]

    def is_spooled(self, render_id: str) -> bool:
        """Whether the lease says that a paid answer waits on some disk."""
        return self._leases[render_id][0].startswith(SPOOLED_ON)

    def feeders(self) -> list[str]:
        """Imports whose feeder's token is held now."""
        return [
            import_id
            for import_id, known in self._imports.items()
            if known.feeder is not None and known.feeder[1] > self._clock()
        ]


class StoreClient:
    """A process's way to the store."""

    def __init__(self, world: World, process: Process | None) -> None:
        self.url = world.store.url
        self._world = world
        self._process = process

    def create(
        self, key: str, content: bytes, *, media_type: str, metadata: Mapping[str, str] = {}
    ) -> Created:
        store = self._world.store

        def write() -> Created:
            fresh = key not in store._objects
            created = store.create(key, content, media_type=media_type, metadata=metadata)
            if fresh:
                self._world.auditor.written(key, content, metadata)
            elif not created.won:
                self._world.auditor.disagrees(key)
            return created

        return self._call("create", key, write)

    def replace(self, key: str, content: bytes, *, media_type: str, etag: str | None) -> str:
        store = self._world.store

        def write() -> str:
            before = store._objects.get(key)
            new = store.replace(key, content, media_type=media_type, etag=etag)
            if before is None or before.content != content:
                self._world.auditor.written(key, content, {})
            if before is not None and before.content != content:
                self._world.auditor.rewritten(key)
            return new

        return self._call("replace", key, write)

    def read(self, key: str) -> Stored | None:
        return self._call("read", key, lambda: self._world.store.read(key))

    def has(self, key: str) -> bool:
        return self._call("has", key, lambda: self._world.store.has(key))

    def list(self, prefix: str) -> Iterator[Listed]:
        yield from self._call("list", prefix, lambda: list(self._world.store.list(prefix)))

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self._world.store.delete(key))

    def _call(self, method: str, key: str, act: Callable[[], T]) -> T:
        world = self._world
        world.effect(self._process, f"store.{method} {key}")
        if not world.may_store_fail:
            return act()
        failed = world.store_fails()
        if failed == "before":
            raise StoreUnavailable("simulated: not there")
        done = act()
        if failed == "after":
            raise StoreUnavailable("simulated: the reply was lost")
        return done


def _see_reserve(world: World, process: Process | None, _args: Any, done: Any) -> None:
    if process is not None and done.gate == Gate.GO:
        world.auditor.reserved[process.name] += 1


def _see_epoch(world: World, _process: Process | None, _args: Any, _done: Any) -> None:
    world.auditor.epoch_since = min(world.auditor.epoch_since, world.now)


def _see_intent(world: World, _process: Process | None, args: Any, _done: Any) -> None:
    world.intent_cached(*args)


_SEEN: Final = {
    "reserve": _see_reserve,
    "begin_epoch": _see_epoch,
    "cache_intent": _see_intent,
}
"""What the auditor has to know of what processes do to Redis."""


def _call(name: str) -> Callable[..., Any]:
    """A call to Redis in a world where it never fails."""
    method, effect = getattr(SimulatedRedis, name), f"state.{name}"

    def call(self: StateClient, *args: Any, **named: Any) -> Any:
        self._effect(self._process, effect, args)
        return method(self._redis, *args, **named)

    return call


def _call_that_may_fail(name: str) -> Callable[..., Any]:
    """A call to Redis that may fail, or of which the auditor has to know."""
    method, effect, seen = getattr(SimulatedRedis, name), f"state.{name}", _SEEN.get(name)

    def call(self: StateClient, *args: Any, **named: Any) -> Any:
        self._effect(self._process, effect, args)
        failed = self._world.redis_fails()
        if failed == "before":
            raise StateUnavailable("simulated: not there")
        done = method(self._redis, *args, **named)
        if seen is not None:
            seen(self._world, self._process, args, done)
        if failed == "after":
            raise StateUnavailable("simulated: the reply was lost")
        return done

    return call


class StateClient:
    """A process's way to what Redis knows; see ``reach_redis``."""

    def __init__(self, world: World, process: Process | None) -> None:
        self._world = world
        self._process = process
        self._redis = world.redis
        self._effect = world.effect

    @contextmanager
    def feeder(self, import_id: str, token: str, *, ttl_s: float) -> Iterator[bool]:
        inner = self._world.redis.feeder(import_id, token, ttl_s=ttl_s)
        ours = bool(self._once("take feeder", inner.__enter__))
        try:
            yield ours
        finally:
            if ours:
                self._once("drop feeder", lambda: inner.__exit__(None, None, None))

    def _once(self, name: str, act: Callable[[], Any]) -> Any:
        self._world.effect(self._process, f"state.{name}")
        failed = self._world.redis_fails()
        if failed == "before":
            raise StateUnavailable("simulated: not there")
        done = act()
        if failed == "after":
            raise StateUnavailable("simulated: the reply was lost")
        return done


_REDIS: Final = [
    name
    for name in vars(MemoryState)
    if not name.startswith("_") and name not in {"clear", "feeder"}
]
"""What a process may ask of Redis."""


class _CertainClient(StateClient):
    """The way to a Redis that never fails."""


class _UncertainClient(StateClient):
    """The way to a Redis that may fail."""


# Once for all worlds: a call made for each process of each world took longer than to call it.
for _name in _REDIS:
    setattr(_CertainClient, _name, (_call_that_may_fail if _name in _SEEN else _call)(_name))
    setattr(_UncertainClient, _name, _call_that_may_fail(_name))


def reach_redis(world: World, process: Process | None) -> Any:
    """A process's way to what Redis knows, with all that it may be asked."""
    return (_UncertainClient if world.may_redis_fail else _CertainClient)(world, process)


class QueueClient:
    """A process's way to the queues."""

    def __init__(self, world: World, process: Process | None) -> None:
        self._world = world
        self._process = process

    def enqueue(self, task: str, claim: Claim, *, countdown_s: float = 0.0) -> None:
        world = self._world
        world.effect(self._process, f"enqueue {task}", (claim, countdown_s))
        failed = world.redis_fails()
        if failed == "before":
            raise QueueUnavailable("simulated: not there")
        world.broker.put(task, claim.model_dump_json(), countdown_s=countdown_s)
        if failed == "after":
            raise QueueUnavailable("simulated: the reply was lost")

    def depths(self) -> dict[str, int]:
        self._world.effect(self._process, "depths")
        if self._world.redis_fails():
            raise QueueUnavailable("simulated: not there")
        return self._world.broker.depths()


class ModelClient:
    """A process's way to the model. What is sold and what is answered are two things."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def ask(self, request: TakeRequest) -> Answer:
        world = self._world
        world.effect(self._process, f"ask {request.prompt}")
        job = world.job()
        call = world.auditor.call_leaves(
            request.seed, request.prompt, job.claim, self._process.name, world.now
        )
        job.calls.append(call)
        sent_at = world.clock()
        end = self._decide(request)
        world.scheduler.pause(self._lasts_s(end, request.deadline_s))
        world.note(f"  {end} {request.prompt}")
        call.end = end.partition(".")[0]
        call.is_attempt = end != "not_sold.key"
        call.is_hard = end == "refused.hard"
        if end != "answered":
            raise _fault(end)
        call.content = self._picture(request, call)
        call.answered_at = world.now
        return Answer(
            content=call.content,
            media_type="image/jpeg",
            model_answered=f"{MODEL}-001",
            response_id=f"answer-{len(world.auditor.calls)}",
            usage=USAGE,
            sent_at=sent_at,
            answered_at=world.clock(),
        )

    def _decide(self, request: TakeRequest) -> str:
        world, plan, chance = self._world, self._world.plan, self._world.rng.random
        if not world.is_faulty:
            return self._refused(request.prompt) or "answered"
        if any(begin <= world.since_start < end for begin, end in plan.key_broken):
            return "not_sold.key"
        if refused := self._refused(request.prompt):
            return refused
        for likely, end in (
            (plan.model_unavailable, "not_sold.away"),
            (plan.model_limits, "not_sold.limit"),
            (plan.model_cuts, "cut"),
            (plan.model_hangs, "hung"),
            (plan.model_empty, "no_picture"),
        ):
            if chance() < likely:
                return end
        return "answered"

    def _refused(self, prompt: str) -> str:
        world, plan = self._world, self._world.plan
        if not world.is_odd(prompt, plan.model_refuses):
            return ""
        return "refused.hard" if world.is_odd(f"hard {prompt}", plan.refuses_hard) else "refused"

    def _lasts_s(self, end: str, deadline_s: float) -> float:
        if end == "hung":
            return deadline_s
        if end.startswith("not_sold"):
            return self._world.rng.uniform(0.1, 2)
        slow = self._world.rng.random() < self._world.plan.model_slow
        return self._world.rng.uniform(12 if slow else 1, 19.5 if slow else 8)

    def _picture(self, request: TakeRequest, call: Call) -> bytes:
        odd = self._world.is_odd("picture " + request.prompt, self._world.plan.bad_pictures)
        number = self._world.auditor.calls.index(call)
        said = b" garbage " if odd else b" picture "
        return JPEG + said + str(number).encode() + b" of " + request.prompt.encode()


def _fault(end: str) -> Exception:
    if end == "not_sold.key":
        return LaneStopped("model.key_invalid", "simulated: the key is refused")
    if end == "not_sold.away":
        return TryLater("model.unavailable", "simulated: 503")
    if end == "not_sold.limit":
        return TryLater("model.unavailable", "simulated: 429", 7.0)
    if end == "no_picture":
        return NoPicture("model.no_picture", "simulated", "STOP", Usage(input_tokens=2_000))
    if end.startswith("refused"):
        word = "PROHIBITED_CONTENT" if end == "refused.hard" else "IMAGE_SAFETY"
        return PromptBlocked("prompt.blocked", "simulated", word, Usage(input_tokens=2_000))
    return OutcomeUnknown("outcome_unknown", f"simulated: {end}")


class ShopClient:
    """A process's way to the shop's photos."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def __call__(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Downloaded:
        world = self._world
        assert last_modified is None
        world.effect(self._process, f"fetch {url}")
        if world.is_faulty and world.rng.random() < world.plan.fetch_fails:
            raise TryLater("reference.unreachable", "simulated: the shop does not answer")
        odd = world.is_odd(url, world.plan.bad_photos)
        content = (b"no picture " if odd else b"photo ") + url.encode()
        if etag is not None:
            return Downloaded(content=None, etag=etag)
        return Downloaded(content=content, etag="v1")


class DeadlyImaging(TinyImaging):
    """Tiny pictures, some of which kill whoever decodes them."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self.encoder = process.name  # no two processes draw the same bytes
        self._world = world
        self._process = process

    def inspect(self, master: bytes, *, asked_width_px: int, asked_height_px: int) -> Inspected:
        world = self._world
        prompt = master.rsplit(b" of ", 1)[-1].decode()
        if world.is_odd("poison " + prompt, world.plan.poison):
            world.note(f"  {prompt} is poison")
            world.crash(self._process)
            world.scheduler.pause()
        return super().inspect(
            master, asked_width_px=asked_width_px, asked_height_px=asked_height_px
        )


def at(seconds: float) -> datetime:
    """Seconds since 1970 as aware time."""
    return datetime.fromtimestamp(seconds, UTC)
