"""What do the stages need of the world, and how is it handed to them?

The core (prepare, generate, finish, commit, publish, feeder) sees these protocols only, so that it
runs unchanged on Redis and S3 and on doubles in memory.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from catalog.store.reading import read_in_turn
from catalog.work import Begun

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date, datetime

    from catalog.claims import Claim, RenderClaim
    from catalog.epoch import Epoch, Recovery
    from catalog.models import ModelTable, Platform
    from catalog.open_calls import OpenCall, Reserved, Tries
    from catalog.renders import LedgerLine, Refusal
    from catalog.results import ManifestPart, ResultLine
    from catalog.state import Progress, Settled
    from catalog.store.port import Store, Stored
    from worker.batch_model import BatchModel
    from worker.errors import RenderError
    from worker.model import Answer, TakeRequest
    from worker.spool import Kept, PaidAnswer


class State(Protocol):
    """The state of running imports; see :class:`catalog.state.State`."""

    def register(
        self,
        import_id: str,
        *,
        shards: int,
        renders: int,
        revision: int = 1,
        spent_micro: int = 0,
        doubtful_micro: int = 0,
    ) -> None: ...
    def is_registered(self, import_id: str) -> bool: ...
    def revision(self, import_id: str) -> int | None: ...
    def running(self) -> tuple[str, ...]: ...
    def forget(self, import_id: str, *, revision: int | None = None) -> None: ...
    def progress(self, import_id: str) -> Progress | None: ...
    def intent(self, import_id: str) -> str | None: ...
    def cache_intent(self, import_id: str, intent: str) -> None: ...
    def add_spent(self, import_id: str, micro_usd: int) -> None: ...
    def add_doubtful(self, import_id: str, micro_usd: int) -> None: ...
    def feeder(
        self, import_id: str, token: str, *, ttl_s: float
    ) -> AbstractContextManager[bool]: ...
    def open_shard(
        self,
        import_id: str,
        token: str,
        *,
        part: int,
        slots: int,
        within_s: float,
        kept: Mapping[int, ResultLine] | None = None,
        paid_micro: Mapping[int, int] | None = None,
    ) -> bool: ...
    def open_parts(self, import_id: str) -> tuple[int, ...]: ...
    def open_slots(self, import_id: str, part: int) -> tuple[int, ...]: ...
    def settle(
        self, line: ResultLine, *, part: int, slot: int, unless_bought: bool = False
    ) -> Settled: ...
    def left(self, import_id: str, part: int) -> int: ...
    def outcomes(self, import_id: str, part: int) -> dict[int, ResultLine]: ...
    def commit(self, import_id: str, committed: ManifestPart, *, revision: int = 1) -> bool: ...
    def committed(self, import_id: str) -> dict[int, ManifestPart]: ...
    def epoch(self) -> Epoch: ...
    def now(self) -> float: ...
    def begin_epoch(self, epoch: str, *, buy_not_before: float) -> None: ...
    def recovery(self) -> Recovery: ...
    def claim_recovery(self, token: str) -> bool: ...
    def keep_rebuilding(self, token: str) -> None: ...
    def end_rebuilding(self, token: str) -> None: ...
    def give_up_rebuilding(self, token: str) -> None: ...
    def finish_recovery(self) -> None: ...
    def buy_not_before(self) -> float: ...


class Work(Protocol):
    """The work of all processes on open slots; see :class:`catalog.work.Work`."""

    def expect(
        self, import_id: str, part: int, slots: Collection[int], *, within_s: float
    ) -> None: ...
    def overdue(self, import_id: str) -> tuple[tuple[int, int], ...]: ...
    def begin_work(
        self,
        import_id: str,
        part: int,
        slots: Collection[int],
        worker: str,
        *,
        stage: str,
        within_s: float,
    ) -> Begun: ...
    def go_on_working(
        self, import_id: str, part: int, slots: Collection[int], worker: str, *, within_s: float
    ) -> None: ...
    def end_work(self, import_id: str, part: int, slots: Collection[int], worker: str) -> None: ...
    def bury_work(self, import_id: str) -> tuple[tuple[int, int], ...]: ...


class Calls(Protocol):
    """The calls of all workers; see :class:`catalog.open_calls.OpenCalls`."""

    def reserve(
        self, call: OpenCall, *, budget_micro: int | None, day_budget_micro: int | None = None
    ) -> Reserved: ...
    def restore(self, call: OpenCall) -> bool: ...
    def beat(self) -> None: ...
    def end(self, call: OpenCall, line: LedgerLine, *, refusal: Refusal | None = None) -> None: ...
    def spooled(self, call: OpenCall, line: LedgerLine) -> None: ...
    def bury(self, call: OpenCall, line: LedgerLine) -> None: ...
    def close(self, call: OpenCall) -> None: ...
    def booked(self, lines: Sequence[LedgerLine]) -> None: ...
    def open_call(self, render_id: str) -> OpenCall | None: ...
    def open_calls(self) -> tuple[OpenCall, ...]: ...
    def lease_holder(self, render_id: str) -> str | None: ...
    def tries(self, import_id: str, part: int, slot: int) -> Tries: ...
    def rebuild(
        self,
        import_id: str,
        *,
        spent: int,
        doubtful: int,
        slots: Mapping[str, int],
        reasons: Mapping[str, str],
    ) -> None: ...
    def was_rebuilt(self, import_id: str) -> bool: ...
    def rebuild_day(self, day: date, micro_usd: int) -> None: ...


class Queue(Protocol):
    """Puts claims on the queue; see :class:`catalog.queue.Queue`."""

    def enqueue(self, task: str, claim: Claim, *, countdown_s: float = 0.0) -> None: ...
    def depths(self) -> dict[str, int]: ...


class Leases(Protocol):
    """One buyer per render; see :class:`worker.leases.LeaseKeeper`."""

    def held(self, render_id: str) -> AbstractContextManager[str | None]:
        """Be the render's buyer while the block runs; yields the lease's token if we are."""
        ...

    def drop_spooled(self, render_id: str) -> None:
        """End a lease that says where a paid answer waits; a buyer's stays."""
        ...

    def spooled_renders(self) -> tuple[str, ...]:
        """The renders whose lease says where a paid answer waits."""
        ...

    def order(self, render_id: str, order_id: str) -> bool:
        """Hold a render for an order, if nobody else has it; may be repeated."""
        ...

    def release_order(self, render_id: str, order_id: str) -> None:
        """Hold it no longer; somebody else's lease stays."""
        ...


class Gathering(Protocol):
    """Renders that wait to be ordered together; see :class:`catalog.gathering.Gathering`."""

    def gather(self, claim: RenderClaim) -> bool: ...
    def gathered(self, import_id: str) -> dict[int, tuple[RenderClaim, ...]]: ...
    def quiet_s(self, import_id: str, part: int) -> float: ...
    def drop(self, import_id: str, part: int, slots: Collection[int]) -> None: ...


class Holds(Protocol):
    """Who works on what, as far as the reconciler must know."""

    def held(
        self, import_id: str, part: int, slots: Collection[int], stage: str
    ) -> AbstractContextManager[Begun]:
        """Say again and again, while the block runs, that these slots are worked on.

        Nothing is said where nothing was begun: see :class:`catalog.work.Begun`.
        """
        ...

    def leave_entrance(self) -> None:
        """Let another thread begin: what this one does now is to wait."""
        ...


class SilentHolds:
    """Says nothing: for a process whose tasks take less time than anybody waits for a word."""

    def held(
        self,
        import_id: str,  # noqa: ARG002  the protocol's
        part: int,  # noqa: ARG002
        slots: Collection[int],  # noqa: ARG002
        stage: str,  # noqa: ARG002
    ) -> AbstractContextManager[Begun]:
        """Do nothing."""
        return nullcontext(Begun())

    def leave_entrance(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a call is expected to take from a model's limits."""

    model: str
    tokens: int
    micro_usd: int
    urgent: bool = False


class Turn(Protocol):
    """One call's turn; only the first word about its end counts.

    ``pool`` and its ``platform`` say whom the call goes to; empty where there is one pool alone.
    """

    @property
    def pool(self) -> str: ...
    @property
    def platform(self) -> str: ...

    def answered(self, *, tokens: int, micro_usd: int) -> None:
        """A whole answer came, with a picture or without; with what it used."""
        ...

    def failed(self, fault: RenderError, *, spent: bool) -> RenderError:
        """No answer came; ``spent``: it may have been paid all the same.

        Returns what it means for the render: too much asked of a platform that answers others is
        a wait, and no attempt.
        """
        ...

    def close(self) -> None:
        """The call was not made."""
        ...


class Turns(Protocol):
    """The shared limiter of calls."""

    def take(self, ask: Ask) -> Turn:
        """Wait until a call may leave.

        Raises:
            Snooze: that takes longer than a worker waits.
            LaneStopped: the day's calls are used up.
        """
        ...


class FreeTurn:
    """A turn where there is no limit."""

    pool = platform = ""

    def answered(self, *, tokens: int, micro_usd: int) -> None:
        """Do nothing."""

    def failed(self, fault: RenderError, *, spent: bool) -> RenderError:  # noqa: ARG002
        """Change nothing."""
        return fault

    def close(self) -> None:
        """Do nothing."""


class FreeTurns:
    """No limit at all."""

    def take(self, ask: Ask) -> FreeTurn:  # noqa: ARG002  the protocol's
        """Let everybody leave at once."""
        return FreeTurn()


class Ledger(Protocol):
    """A line per call."""

    def book(self, line: LedgerLine) -> None:
        """Book a call whose take says as much; its line may wait for others."""
        ...

    def put(self, line: LedgerLine) -> LedgerLine:
        """Book a call now; returns its line in the store, which another one may have written."""
        ...


class Spool(Protocol):
    """Makes paid answers safe; see :class:`worker.spool.Spool`."""

    def keep(self, answer: PaidAnswer, content: bytes) -> Kept: ...
    def blocked(self) -> bool: ...


class Download(Protocol):
    """What a fetch brought; ``content`` is ``None`` when nothing has changed."""

    @property
    def content(self) -> bytes | None: ...
    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> str | None: ...


class Fetch(Protocol):
    """The safe door to foreign hosts."""

    def __call__(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Download: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """A photo as it will be sent, and its thumbnail."""

    content: bytes
    media_type: str
    ext: str
    sha256: str
    width_px: int
    height_px: int
    thumb: bytes
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a look at a master found; ``verdict`` is ``pass``, ``review`` or ``fail``."""

    media_type: str
    width_px: int
    height_px: int
    verdict: str
    rule: str | None
    scores: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """What every file says of its origin."""

    digital_source_type: str
    system: str
    system_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A delivery file, with facts measured from its bytes."""

    name: str
    content: bytes
    media_type: str
    width_px: int
    height_px: int


class Imaging(Protocol):
    """Pixels: pure, bytes in and bytes and facts out."""

    def normalise(self, content: bytes) -> Normalised:
        """Make a photo fit to be sent.

        Raises:
            ReferenceUnusable: it can't be used.
        """
        ...

    def inspect(self, master: bytes, *, asked_width_px: int, asked_height_px: int) -> Inspected:
        """Look at a master.

        Raises:
            Refused: it can't be decoded.
        """
        ...

    def file_names(self, recipes: Sequence[str]) -> tuple[str, ...]:
        """The files that recipes make."""
        ...

    def render(self, master: bytes, names: Sequence[str], marking: Marking) -> Iterator[Rendition]:
        """Make delivery files."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Numbers that the stages obey; see the settings of the same names."""

    window: int
    max_attempts: int
    max_doubtful: int
    retry_backoff_s: float
    retry_backoff_max_s: float
    model_deadline_s: float
    put_deadline_s: float
    lease_s: float
    source_max_age_s: float
    refusal_max_age_s: float
    budget_per_day_micro: int | None = None
    batch_window: int = 20_000
    batch_requests: int = 500
    batch_gather_s: float = 60.0
    batch_pending_s: float = 43_200.0
    batch_running_s: float = 86_400.0


def _nothing(_model_id: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything a stage may reach for.

    ``ask`` buys one picture and blocks until it is there; ``clock`` tells aware UTC time;
    ``chance`` draws from [0, 1).
    """

    store: Store
    store_id: str
    state: State
    work: Work
    queue: Queue
    leases: Leases
    ledger: Ledger
    spool: Spool
    fetch: Fetch
    imaging: Imaging
    ask: Callable[[TakeRequest], Answer]
    models: ModelTable
    platform: Platform
    limits: Limits
    worker: str
    public_base_url: str | None
    clock: Callable[[], datetime]
    chance: Callable[[], float]
    calls: Calls
    gathering: Gathering
    ready: Callable[[str], None] = _nothing
    """Loads what a call to a model of this id needs; reaches nothing."""
    read_all: Callable[[Store, Iterable[str]], Iterator[Stored | None]] = read_in_turn
    holds: Holds = field(default_factory=SilentHolds)
    turns: Turns = field(default_factory=FreeTurns)
    batches: BatchModel | None = None
    """The model's batch service, where this process buys."""
    alone: Callable[[str, Claim], bool] | None = None
    """Works a claim in a process of its own; says whether that lived to its end."""
