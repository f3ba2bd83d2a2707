"""What does a worker's core need on its desk, and how is it made to die at any step?

The real stages behind doubles in memory: a model and a shop that answer as told, pictures that are
a few bytes, a clock that stands still. Every effect (a write, a state change, a message, a call) is
named and counted just before it happens, so that a test can let the process die there, or let
somebody else be faster.
"""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import shutil
import tempfile
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from catalog import claims, keys
from catalog.claims import Claim, ImportClaim
from catalog.connection import QueueUnavailable, StateUnavailable
from catalog.epoch import Recovery
from catalog.imports import (
    Control,
    Counts,
    Estimate,
    FeedSummary,
    Import,
    ModelChoice,
    PlannedProduct,
    PlannedSlot,
    PlanPart,
)
from catalog.leases import ORDERED
from catalog.leases import Leases as KeptLeases
from catalog.models import Lane, load_models
from catalog.money import Usd
from catalog.open_calls import OpenCalls
from catalog.product import Photo
from catalog.renders import LedgerLine, RenderRecord
from catalog.results import Manifest, ResultLine, RowCounts, Status
from catalog.scenes import Scene, SceneBook
from catalog.state import State
from catalog.store.port import StoreError, sha256_hex
from catalog.work import Begun, Work
from tests.support.batches import MemoryBatches, MemoryGathering
from tests.support.memory import MemoryQueue, MemoryState, MemoryStore, Message
from worker import jobs
from worker.errors import ReferenceUnusable, Refused, TryLater
from worker.model import Answer, TakeRequest, Usage
from worker.ports import (
    Desk,
    Imaging,
    Inspected,
    Leases,
    Ledger,
    Limits,
    Marking,
    Normalised,
    Rendition,
    SilentHolds,
)
from worker.reconciler import reconcile, recover
from worker.spool import Spool
from worker.tasks import WORK

if TYPE_CHECKING:
    import redis

    from catalog.store.port import Store

MODEL: Final = "gemini-3.1-flash-image"
STORE_ID: Final = "store-1"
MONDAY: Final = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
USAGE: Final = Usage(input_tokens=2_000, output_image_tokens=1_120)
_PRICES: Final = load_models().resolve(MODEL, platform="developer")
PRICE: Final = _PRICES.cost(USAGE, size="1K", lane="standard")
"""What each picture of the scripted model costs."""
REFUSED: Final = _PRICES.cost(Usage(input_tokens=2_000), size=None, lane="standard")
"""What a refusal costs in the simulation."""
ESTIMATE: Final = _PRICES.reserve(references=1, size="1K", lane="standard")
"""What a picture from one photo is expected to cost, a little more."""
FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "web": ("web-1024.webp", "web-512.webp"),
    "merchant": ("merchant-1500.jpg",),
}
LIMITS: Final = Limits(
    window=100,
    max_attempts=3,
    max_doubtful=2,
    retry_backoff_s=1.0,
    retry_backoff_max_s=60.0,
    model_deadline_s=10.0,
    put_deadline_s=0.05,
    lease_s=30.0,
    source_max_age_s=3_600.0,
    refusal_max_age_s=86_400.0,
)

_STATE_EFFECTS: Final = {
    "register",
    "forget",
    "cache_intent",
    "add_spent",
    "add_doubtful",
    "open_shard",
    "settle",
    "commit",
    "begin_epoch",
    "end_rebuilding",
    "finish_recovery",
    "reserve",
    "end",
    "spooled",
    "bury",
    "close",
    "rebuild",
}
_WRITES: Final = {"create", "replace", "delete"}
_MOST_STEPS: Final = 3_000


class Died(BaseException):
    """The process ended here, as by SIGKILL: nobody's ``except Exception`` sees it."""


@dataclass(slots=True)
class Effects:
    """What the core did to the world, in order, and what is to happen just before some of it."""

    seen: list[str] = field(default_factory=list)
    die_before: int | None = None
    _plans: list[tuple[str, Callable[[], None]]] = field(default_factory=list)

    def when(self, fragment: str, action: Callable[[], None]) -> None:
        """Do something once, just before the first call whose name contains the fragment."""
        self._plans.append((fragment, action))

    def before(self, name: str) -> None:
        """Count an effect that is about to happen."""
        number = len(self.seen)
        self.seen.append(name)
        if number == self.die_before:
            raise Died(name)
        self.look(name)

    def look(self, name: str) -> None:
        """Let what was planned for this call happen; counts nothing."""
        for at, (fragment, action) in enumerate(self._plans):
            if fragment in name:
                del self._plans[at]
                action()
                return


@dataclass(slots=True)
class Clock:
    """Time that passes when it is told to."""

    now: datetime = MONDAY

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """The same in seconds since 1970."""
        return self.now.timestamp()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


class ScriptedModel:
    """Sells a picture of its own for every call, unless told otherwise.

    ``script`` holds what the next calls bring: bytes, or an error that is raised. ``sold`` counts
    pictures per prompt.
    """

    def __init__(self, effects: Effects, clock: Clock) -> None:
        self.script: list[bytes | Exception] = []
        self.asked: list[TakeRequest] = []
        self.sold: Counter[str] = Counter()
        self._effects = effects
        self._clock = clock

    def ask(self, request: TakeRequest) -> Answer:
        self._effects.before(f"ask {request.scene}")
        return self.sell(request)

    def sell(self, request: TakeRequest) -> Answer:
        """Draw a picture, as the platform does by itself for a batch."""
        self.asked.append(request)
        outcome = self.script.pop(0) if self.script else _picture(request, len(self.asked))
        if isinstance(outcome, Exception):
            raise outcome
        self.sold[request.prompt] += 1
        return Answer(
            content=outcome,
            media_type="image/jpeg",
            model_answered=f"{MODEL}-001",
            response_id=f"answer-{len(self.asked)}",
            usage=USAGE,
            sent_at=self._clock(),
            answered_at=self._clock(),
        )


def _picture(request: TakeRequest, number: int) -> bytes:
    return b"\xff\xd8\xff picture " + str(number).encode() + b" of " + request.prompt.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """What the shop's host sent."""

    content: bytes | None
    etag: str | None = None
    last_modified: str | None = None


class ScriptedShop:
    """The shop's photo host: photos by address; an exception in place of bytes is raised.

    With ``validates`` it knows ETags and answers "not modified"; ``asked`` lists the calls.
    """

    def __init__(self, effects: Effects) -> None:
        self.photos: dict[str, bytes | Exception] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.validates = True
        self._effects = effects

    def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Downloaded:
        assert etag is not None or last_modified is None  # it gives no dates: nobody can know one
        self._effects.look(f"fetch {url}")
        self.asked.append((url, etag))
        found = self.photos.get(url)
        if found is None:
            raise ReferenceUnusable("reference.not_found", f"{url} answers 404")
        if isinstance(found, Exception):
            raise found
        current = sha256_hex(found)[:8] if self.validates else None
        if etag is not None and etag == current:
            return Downloaded(content=None, etag=current)
        return Downloaded(content=found, etag=current)


class TinyImaging:
    """Pictures of a few bytes: what they say decides what is found in them."""

    def __init__(self) -> None:
        self.encoder = "1"

    def normalise(self, content: bytes) -> Normalised:
        if b"no picture" in content:
            raise ReferenceUnusable("reference.not_an_image", "the file is no picture")
        made = b"normalised " + content
        return Normalised(
            content=made,
            media_type="image/jpeg",
            ext="jpg",
            sha256=sha256_hex(made),
            width_px=800,
            height_px=1_000,
            thumb=b"thumb of " + content,
            notes=(),
        )

    def inspect(self, master: bytes, *, asked_width_px: int, asked_height_px: int) -> Inspected:
        if b"garbage" in master:
            raise Refused("picture.unreadable", "the picture can't be decoded")
        verdict = "fail" if b"blank" in master else "review" if b"odd" in master else "pass"
        return Inspected(
            media_type="image/jpeg",
            width_px=asked_width_px,
            height_px=asked_height_px,
            verdict=verdict,
            rule=None if verdict == "pass" else "spread",
            scores={"spread": 40.0},
        )

    def file_names(self, recipes: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for recipe in recipes for name in FILES[recipe])

    def render(self, master: bytes, names: Sequence[str], marking: Marking) -> Iterator[Rendition]:
        for name in names:
            yield Rendition(
                name=name,
                content=self._said(name, marking) + master,
                media_type="image/webp",
                width_px=800,
                height_px=1_000,
            )

    def _said(self, name: str, marking: Marking) -> bytes:
        return f"{name} by encoder {self.encoder}, {marking.digital_source_type}, of ".encode()


class _WatchedState:
    """A state whose changes are counted; a process that died gives its feeder token not back."""

    def __init__(self, state: Any, effects: Effects) -> None:
        self._state = state
        self._effects = effects
        self._held_by_the_dead: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._state, name)

        def watched(*args: Any, **named: Any) -> Any:
            if name in _STATE_EFFECTS:
                self._effects.before(f"state.{name}")
            else:
                self._effects.look(f"state.{name}")
            return method(*args, **named)

        return watched

    @contextmanager
    def feeder(self, import_id: str, token: str, *, ttl_s: float) -> Iterator[bool]:
        self._effects.before("state.feeder")
        inner = self._state.feeder(import_id, token, ttl_s=ttl_s)
        ours = inner.__enter__()
        try:
            yield ours
        except Died:
            self._held_by_the_dead.append(inner)
            raise
        except BaseException:
            inner.__exit__(None, None, None)
            raise
        inner.__exit__(None, None, None)


class _WatchedQueue(MemoryQueue):
    def __init__(self, effects: Effects) -> None:
        super().__init__()
        self._effects = effects

    def enqueue(self, task: str, claim: Claim, *, countdown_s: float = 0.0) -> None:
        self._effects.before(f"enqueue {task}")
        super().enqueue(task, claim, countdown_s=countdown_s)


class _PlainLeases:
    """Leases without a renewing thread; the dead give nothing back."""

    def __init__(self, kept: KeptLeases, effects: Effects, ttl_s: float) -> None:
        self._kept = kept
        self._effects = effects
        self._ttl_s = ttl_s
        self._tokens = itertools.count()

    @contextmanager
    def held(self, render_id: str) -> Iterator[str | None]:
        token = f"token-{next(self._tokens)}"
        self._effects.before("lease")
        ours = self._kept.acquire_lease(render_id, token, ttl_s=self._ttl_s)
        try:
            yield token if ours else None
        except Died:
            raise
        except BaseException:
            self._kept.release_lease(render_id, token)
            raise
        self._kept.release_lease(render_id, token)

    def drop_spooled(self, render_id: str) -> None:
        self._effects.look("state.drop_spooled")
        self._kept.drop_spooled(render_id)

    def order(self, render_id: str, order_id: str) -> bool:
        self._effects.before("state.order")
        return self._kept.order(render_id, order_id)

    def release_order(self, render_id: str, order_id: str) -> None:
        self._effects.before("state.release_order")
        self._kept.release_lease(render_id, f"{ORDERED}{order_id}")

    def spooled_renders(self) -> tuple[str, ...]:
        self._effects.look("state.spooled_renders")
        return self._kept.spooled_renders()


class _PlainHolds:
    """Holds without a renewing thread; the dead do not say that their work has ended."""

    def __init__(self, work: Work, ttl_s: float) -> None:
        self._work = work
        self._ttl_s = ttl_s
        self._works = itertools.count()

    @contextmanager
    def held(
        self, import_id: str, part: int, slots: Collection[int], stage: str
    ) -> Iterator[Begun]:
        worker = f"work-{next(self._works)}"
        begun = self._work.begin_work(
            import_id, part, slots, worker, stage=stage, within_s=self._ttl_s
        )
        if begun.is_busy or not begun.is_open:
            yield begun
            return
        try:
            yield begun
        except Died:
            raise
        except BaseException:
            self._work.end_work(import_id, part, slots, worker)
            raise
        self._work.end_work(import_id, part, slots, worker)

    def leave_entrance(self) -> None:
        pass


class ListLedger:
    """A ledger whose lines a test can count; a line that may not wait is put into the store."""

    def __init__(self, store: MemoryStore) -> None:
        self.lines: list[LedgerLine] = []
        self._store = store

    def book(self, line: LedgerLine) -> None:
        self.lines.append(line)

    def put(self, line: LedgerLine) -> LedgerLine:
        key = keys.ledger_call(line.at.strftime("%Y-%m-%d"), "worker-1", line.call)
        if self._store.create(key, line.to_json(), media_type="application/x-ndjson").won:
            self.lines.append(line)
        return LedgerLine.from_json(self._store.content(key))

    @property
    def outcomes(self) -> list[str]:
        """What came of each call."""
        return [line.outcome for line in self.lines]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A product of a feed and the pictures it is to get: prompts, and softer ones, by scene."""

    sku: str
    scenes: Mapping[str, str]
    photos: tuple[str, ...]
    renditions: tuple[str, ...] = ("web",)
    softer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def wanted(
    sku: str,
    *scenes: str,
    photos: Sequence[str] = (),
    prompts: Mapping[str, str] | None = None,
    renditions: tuple[str, ...] = ("web",),
    softer: Mapping[str, tuple[str, ...]] | None = None,
) -> Wanted:
    """A product with one picture per scene; by default with one photo of its own."""
    return Wanted(
        sku=sku,
        scenes={scene: f"{sku} in the {scene}" for scene in scenes} | dict(prompts or {}),
        photos=tuple(photos) or (address(sku),),
        renditions=renditions,
        softer=softer or {},
    )


def address(name: str) -> str:
    """Where the shop has a photo."""
    return f"https://shop.example/{name}.jpg"


class Workplace:
    """One worker's desk and the world around it; ``run`` works the queue off."""

    def __init__(
        self,
        *,
        store: Store | None = None,
        client: redis.Redis | None = None,
        imaging: Imaging | None = None,
        **limits: Any,
    ) -> None:
        self.effects = Effects()
        self.clock = Clock()
        self.store = MemoryStore()
        self.store.before = self._before_store
        self.memory = MemoryState(self.clock.seconds)
        self.memory.begin_epoch("monday", buy_not_before=0.0)
        self.memory.claim_recovery("monday")
        self.memory.end_rebuilding("monday")
        self.memory.finish_recovery()
        self.queue = _WatchedQueue(self.effects)
        self.model = ScriptedModel(self.effects, self.clock)
        self.shop = ScriptedShop(self.effects)
        self.imaging = TinyImaging()
        self.ledger = ListLedger(self.store)
        self.outages = 0
        self.deaths = 0
        chosen = Limits(**{**{name: getattr(LIMITS, name) for name in _LIMITS}, **limits})
        # With a client everything that Redis knows is in a real one.
        state: Any = State(client, STORE_ID) if client else self.memory
        work: Any = Work(client, STORE_ID) if client else self.memory
        kept: Any = KeptLeases(client, STORE_ID) if client else self.memory
        calls: Any = OpenCalls(client, STORE_ID) if client else self.memory
        leases: Leases = _PlainLeases(kept, self.effects, chosen.lease_s)
        ledger: Ledger = self.ledger
        # Made when something is spooled, which few tests come to.
        folder = Path(tempfile.gettempdir()) / f"sks-desk-{uuid.uuid4().hex}"
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.spool = Spool(
            folder,
            store or self.store,
            self.memory,
            self.memory,
            ledger,
            host="host-1",
            put_deadline_s=chosen.put_deadline_s,
            max_age_s=86_400.0,
            clock=self.clock,
            sleep=self.clock.sleep,
            monotonic=self.clock.seconds,
            background=False,
        )
        self.batches = MemoryBatches(self.model.sell, self.effects.before)
        self.gathering = MemoryGathering(self.memory, self.clock.seconds)
        self.desk = Desk(
            store=store or self.store,
            store_id=STORE_ID,
            state=cast("Any", _WatchedState(state, self.effects)),
            work=cast("Any", _WatchedState(work, self.effects)),
            queue=self.queue,
            calls=cast("Any", _WatchedState(calls, self.effects)),
            gathering=self.gathering,
            batches=self.batches,
            leases=leases,
            alone=self.works_alone,
            holds=_PlainHolds(work, chosen.lease_s),
            ledger=ledger,
            spool=self.spool,
            fetch=self.shop.fetch,
            imaging=imaging or self.imaging,
            ask=self.model.ask,
            models=load_models(),
            platform="developer",
            limits=chosen,
            worker="worker-1",
            public_base_url=None,
            clock=self.clock,
            chance=lambda: 0.5,
        )
        if client:
            recover(self.desk)  # before anything is planned, so that nothing is waited for

    def works_alone(self, task: str, claim: Claim) -> bool:
        """Work a claim as in a process of its own: a death there ends nobody else."""
        stage = WORK[task]
        desk = dataclasses.replace(self.desk, alone=None, holds=SilentHolds())
        try:
            jobs.run(task, json.loads(claim.to_json()), stage, desk)
        except Died:
            self.deaths += 1
            return False
        return True

    # -- orders ------------------------------------------------------------------------------

    def order(
        self,
        import_id: str,
        *shards: Sequence[Wanted],
        budget_usd: Usd | None = None,
        send: bool = True,
        lane: Lane = "standard",
    ) -> Import:
        """Plan an import as a producer does, and ask for it to be fed.

        Every photo that the shop does not have yet is put there.
        """
        for product in itertools.chain.from_iterable(shards):
            for photo in product.photos:
                self.shop.photos.setdefault(photo, b"photo " + photo.encode())
        imported = _plan(
            self.desk.store, import_id, shards, self.clock(), budget_usd=budget_usd, lane=lane
        )
        renders = sum(part.renders for part in imported.parts)
        self.desk.state.register(import_id, shards=len(shards), renders=renders)
        if send:
            self.send(claims.FEED, ImportClaim(store=STORE_ID, import_id=import_id))
        return imported

    def tell(self, import_id: str, intent: str) -> None:
        """Say what is wanted of an import, as ``skuscene pause|resume|cancel`` do."""
        key = keys.control(import_id)
        found = self.desk.store.read(key)
        assert found is not None
        told = Control.from_json(found.content).changed(intent=intent)
        self.desk.store.replace(key, told.to_json(), media_type="application/json", etag=found.etag)
        self.desk.state.cache_intent(import_id, intent)

    # -- work --------------------------------------------------------------------------------

    def send(self, task: str, claim: Claim) -> None:
        """Put a message on the queue without counting it as the core's."""
        MemoryQueue.enqueue(self.queue, task, claim)

    def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Work messages off, waiting out countdowns, until none is left."""
        for _ in range(_MOST_STEPS):
            if until() or not self.queue.waiting:
                return
            self._recover()
            self.work(self._next())
        waiting = Counter(message.task for message in self.queue.waiting)
        raise AssertionError(f"the queue does not empty: {dict(waiting)}")

    def work(self, message: Message) -> None:
        """Deliver one message; a death or an outage gives it back to the queue."""
        stage = WORK[message.task]
        self.clock.sleep(message.countdown_s)
        payload = json.loads(message.claim.to_json())
        try:
            jobs.run(message.task, payload, stage, self.desk)
        except jobs.Outage:
            self.outages += 1
            self.queue.waiting.append(message)
            self.clock.sleep(5.0)
        except Died:
            self.deaths += 1
            self.queue.waiting.append(message)
            self.clock.sleep(self.desk.limits.lease_s + 60.0)  # leases and tokens of the dead end

    def settle_down(self, *, rounds: int = 6) -> None:
        """Work everything off, and look after imports as the reconciler does, until none runs."""
        for _ in range(rounds):
            self.run()
            if not self.desk.state.running():
                return
            self._reconcile()
        self.run()

    def _recover(self) -> None:
        """What a control worker does by itself: see whether Redis was emptied."""
        if self.memory.away or self.desk.state.recovery() is Recovery.DONE:
            return
        try:
            recover(self.desk)
        except Died:
            self.deaths += 1
            self.clock.sleep(self.desk.limits.lease_s + 60.0)
        except (StateUnavailable, QueueUnavailable, StoreError):
            self.clock.sleep(5.0)

    def _reconcile(self) -> None:
        try:
            self.clock.sleep(self.desk.limits.lease_s + 1.0)  # what nobody holds is overdue
            recover(self.desk)
            reconcile(self.desk)
        except Died:
            self.deaths += 1
            self.clock.sleep(self.desk.limits.lease_s + 60.0)

    def _next(self) -> Message:
        soonest = min(self.queue.waiting, key=lambda message: message.countdown_s)
        self.queue.waiting.remove(soonest)
        return soonest

    def _before_store(self, method: str, key: str) -> None:
        name = f"{method} {key}"
        self.effects.before(name) if method in _WRITES else self.effects.look(name)

    # -- what came of it ---------------------------------------------------------------------

    @property
    def sold(self) -> Counter[str]:
        """Pictures that the model sold, per prompt."""
        return self.model.sold

    def manifest(self, import_id: str) -> Manifest:
        """The published manifest."""
        return Manifest.from_json(self.store.content(keys.manifest(import_id)))

    def is_published(self, import_id: str) -> bool:
        """Whether there is a manifest."""
        return keys.manifest(import_id) in self.store.keys

    def lines(self, import_id: str) -> list[ResultLine]:
        """Every result line that the manifest names."""
        return [
            ResultLine.from_json(line)
            for part in self.manifest(import_id).parts
            for line in gzip.decompress(self.store.content(part.key)).splitlines()
        ]

    def line(self, import_id: str, sku: str, scene: str) -> ResultLine:
        """The line of one slot."""
        return next(
            line for line in self.lines(import_id) if (line.sku, line.scene) == (sku, scene)
        )

    def statuses(self, import_id: str) -> dict[str, int]:
        """How many renders ended how."""
        return dict(Counter(line.status.value for line in self.lines(import_id)))

    def record(self, render_id: str | None) -> RenderRecord:
        """A render's record."""
        assert render_id is not None
        return RenderRecord.from_json(self.store.content(keys.record(render_id)))

    def takes(self) -> list[str]:
        """Keys of every take."""
        return [key for key in self.store.keys if "/take-" in key]

    def parked(self) -> list[dict[str, Any]]:
        """Messages that were parked."""
        found = [key for key in self.store.keys if key.startswith("parked/")]
        return [json.loads(self.store.content(key)) for key in found]

    def assert_manifests_hold(self) -> None:
        """Whatever a manifest names is there with its hash, and its numbers add up."""
        for key in self.store.keys:
            if "/manifest" in key:
                self._assert_holds(Manifest.from_json(self.store.content(key)))

    def _assert_holds(self, manifest: Manifest) -> None:
        imported = Import.from_json(self.store.content(keys.import_(manifest.import_id)))
        assert manifest.gallery in self.store.keys
        assert [part.part for part in manifest.parts] == [part.part for part in imported.parts]
        lines: list[ResultLine] = []
        for part in manifest.parts:
            content = self.store.content(part.key)
            assert sha256_hex(content) == part.sha256
            lines += map(ResultLine.from_json, gzip.decompress(content).splitlines())
        for image in itertools.chain.from_iterable(line.images for line in lines):
            assert sha256_hex(self.store.content(image.key)) == image.sha256
        self._assert_adds_up(manifest, imported, lines)

    def _assert_adds_up(
        self, manifest: Manifest, imported: Import, lines: Sequence[ResultLine]
    ) -> None:
        tally = Counter(line.status for line in lines)
        counts = manifest.counts
        assert counts.expected == len(lines) == sum(part.renders for part in imported.parts)
        assert counts.open == 0
        assert all(getattr(counts, status.value) == tally[status] for status in Status)
        assert len({line.slot for line in lines}) == len(lines)
        assert manifest.cost_usd.spent == Usd(sum(line.cost_usd.micro for line in lines))
        for line in lines:
            if line.status in {Status.SUCCEEDED, Status.REUSED}:
                named = {image.key for image in line.images}
                assert named <= {image.key for image in self.record(line.render_id).images}
                assert any(image.role == "master" for image in line.images)


_LIMITS: Final = tuple(Limits.__dataclass_fields__)


def _plan(
    store: Store,
    import_id: str,
    shards: Iterable[Sequence[Wanted]],
    now: datetime,
    *,
    budget_usd: Usd | None,
    lane: Lane = "standard",
) -> Import:
    parts = tuple(_write_shard(store, import_id, at, shard) for at, shard in enumerate(shards))
    control = Control(import_id=import_id, by="a test", at=now, budget_usd=budget_usd)
    imported = Import(
        import_id=import_id,
        catalog="autumn",
        created_at=now,
        feed=FeedSummary(
            name="autumn.csv", sha256=sha256_hex(b"feed"), bytes=10, format="csv", encoding="utf-8"
        ),
        scenes=SceneBook(scenes=(Scene(name="kitchen", prompt="Show {product.title}."),)),
        scenes_sha256=sha256_hex(b"scenes"),
        model=ModelChoice(asked=MODEL, id=MODEL, platform="developer"),
        budget_usd=budget_usd,
        lane=lane,
        counts=Counts(renders=sum(part.renders for part in parts)),
        rows=RowCounts(read=1, rejected=0),
        reasons={},
        causes={},
        estimate_usd=Estimate(),
        parts=parts,
        made_by="skuscene 0",
    )
    for key, shape in ((keys.control(import_id), control), (keys.import_(import_id), imported)):
        store.create(key, shape.to_json(), media_type="application/json")
    return imported


def _write_shard(store: Store, import_id: str, part: int, shard: Sequence[Wanted]) -> PlanPart:
    index = itertools.count()
    products = [_product(row, product, index) for row, product in enumerate(shard, start=2)]
    content = gzip.compress(b"".join(one.to_json() + b"\n" for one in products), mtime=0)
    key = keys.plan_part(import_id, part)
    store.create(key, content, media_type="application/gzip")
    return PlanPart(
        part=part,
        key=key,
        products=len(products),
        renders=sum(len(product.slots) for product in products),
        bytes=len(content),
        sha256=sha256_hex(content),
    )


def _product(row: int, product: Wanted, index: Iterator[int]) -> PlannedProduct:
    return PlannedProduct(
        row=row,
        product_id=product.sku,
        sku=product.sku,
        skus=(product.sku,),
        title=product.sku,
        photos=tuple(Photo(address=photo, link=photo) for photo in product.photos),
        slots=tuple(
            PlannedSlot(
                index=next(index),
                slot=f"{product.sku}/{scene}/1",
                sku=product.sku,
                scene=scene,
                picture_no=1,
                prompt=prompt,
                softer=product.softer.get(scene, ()),
                model=MODEL,
                size="1K",
                ratio="4:5",
                photos=tuple(range(len(product.photos))),
                renditions=product.renditions,
                cause="new",
            )
            for scene, prompt in product.scenes.items()
        ),
    )


def host_is_away(url: str) -> TryLater:
    """What a fetch says of a host that does not answer."""
    return TryLater("reference.unreachable", f"{url} does not answer")
