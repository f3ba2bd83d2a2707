"""How is a worker put together?

The composition root: settings, clients, desk, Celery tasks. ``celery -A worker worker`` finds the
app through ``worker.celery``. Clients are made after the fork, on first use.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from celery import signals
from celery.worker import state as at_work

from catalog import keys, queue
from catalog.connection import open_redis
from catalog.gathering import Gathering
from catalog.leases import Leases
from catalog.models import load_models
from catalog.money import Usd
from catalog.open_calls import OpenCalls
from catalog.pools import Pool, read_pools
from catalog.queue import Queue
from catalog.quota import Quota
from catalog.settings import REDIS_WAYS, STORE_WAYS, Settings, need, read_settings
from catalog.state import State
from catalog.store.opening import identify
from catalog.store.reading import read_at_once
from catalog.transport import kept_for_urgent
from catalog.work import Work
from worker import tasks
from worker.alone import work_alone
from worker.batches import look_after_batches
from worker.calls import Calls
from worker.consumer import parking_consumer
from worker.entrance import Entrance
from worker.fetch.fetcher import Fetcher, FetchLimits
from worker.holds import HoldKeeper
from worker.imaging.adapter import PillowImaging
from worker.imaging.normalise import ReferenceLimits
from worker.leases import LeaseKeeper
from worker.ledger import StoreLedger
from worker.logs import configure_logs
from worker.pools import PooledTurns
from worker.ports import Desk, Limits
from worker.reconciler import reconcile, recover
from worker.services import CannotStart, check_services, worker_store
from worker.spool import Spool
from worker.turns import TurnKeeper
from worker.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celery import Celery
    from redis import Redis

    from catalog.store.port import Store
    from worker.batch_model import BatchModel
    from worker.model import ImageModel

log = structlog.get_logger(__name__)

_LOOK_AT_ONCE = 8
"""Renders that a process prepares a call for at once: with a store that takes 50 ms a request that
is some 20 calls a second, more than a model's limits let through."""


def make_celery(settings: Settings | None = None) -> Celery:
    """The worker's Celery app with all tasks; opens no connection.

    Raises:
        SettingsError: a setting is missing or can't be right.
    """
    process = make_process(settings)
    tasks.register(process.app, process.desk, lease_s=process.settings.lease_s)
    # A store of its own: the process that receives messages need not have a desk.
    process.app.conf.worker_consumer = parking_consumer(lambda: worker_store(process.settings))
    _connect_signals(process)
    return process.app


def make_process(settings: Settings | None = None) -> Process:
    """The clients of this process; opens no connection.

    Raises:
        SettingsError: a setting is missing or can't be right.
    """
    settings = settings or read_settings()
    redis_url = need(settings.redis_url, "SKUSCENE_REDIS_URL", REDIS_WAYS)
    need(settings.store, "SKUSCENE_STORE", STORE_WAYS)
    return Process(settings, queue.connect(settings, redis_url))


class Process:
    """The clients of one worker process, made on first use and after every fork."""

    def __init__(self, settings: Settings, app: Celery) -> None:
        self.settings = settings
        self.app = app
        self._spool: Spool
        self._start_empty()
        # A pool that replaces a dead child forks it from a parent whose desk may be made: neither
        # its sockets nor its locks and threads are the child's.
        os.register_at_fork(after_in_child=self._start_empty)

    def _start_empty(self) -> None:
        self._made: Desk | None = None
        self._turns: TurnKeeper | PooledTurns | None = None
        self._watch: Watch | None = None
        self._guard = threading.Lock()
        self._closing: list[Any] = []
        self._stopped = threading.Event()
        self._at_rest = threading.Event()
        self._at_rest.set()

    def desk(self) -> Desk:
        """The process's desk."""
        with self._guard:
            if self._made is None:
                self._made = self._make()
            return self._made

    def recover(self) -> float:
        """See :func:`worker.reconciler.recover`."""
        return recover(self.desk())

    def look_after_imports(self) -> None:
        """Start the thread that reconciles running imports; for control workers."""
        threading.Thread(target=self._reconcile, name="reconciler", daemon=True).start()

    def look_after_batches(self) -> None:
        """Start the thread that looks after batches; for workers that buy."""
        threading.Thread(target=self._look_after_batches, name="batches", daemon=True).start()

    def watch(self, consumer: Any, queues: Collection[str]) -> None:
        """Start the thread that ends this process when its consumer takes nothing any more."""
        places = consumer.pool.limit
        self._watch = Watch(
            queues,
            depths=Queue(self.app).depths,
            received=lambda: int(consumer.received),
            has_room=lambda: len(at_work.reserved_requests) < places - kept_for_urgent(places),
            is_idle=lambda: not at_work.reserved_requests,
        )
        self._watch.start()

    def start_spool(self) -> None:
        """Start putting what the dead have left; for workers that buy."""
        self.desk()
        self._spool.start()

    def stop(self) -> None:
        """Begin nothing any more; what is in flight ends."""
        if self._watch is not None:
            self._watch.stop()
        if self._turns is not None:
            self._turns.stop()

    def close(self) -> None:
        """Write what waits and close connections; for the end of the process.

        A recovery that is being made ends first: begun anew by every next worker, it would never
        end where workers are restarted often.
        """
        self._stopped.set()
        self._at_rest.wait(self.settings.stop_grace_s)
        for client in self._closing:
            client.close()

    def _make(self) -> Desk:
        settings = self.settings
        store = worker_store(settings)
        store_id = identify(store)
        client = open_redis(str(settings.redis_url))
        state = State(client, store_id)
        work = Work(client, store_id)
        calls = OpenCalls(client, store_id, lease_s=settings.lease_s)
        worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        leases = Leases(client, store_id)
        keeper = LeaseKeeper(
            leases, ttl_s=settings.lease_s, renew_s=settings.lease_renew_s, beat=calls.beat
        )
        # Nothing is bought for half a lease after Redis was restarted: then what was spent must be
        # in the ledger, to be counted.
        flush_s = min(settings.ledger_flush_s, settings.lease_s / 2)
        ledger = StoreLedger(store, worker=worker, flush_s=flush_s, booked=calls.booked)
        spool = self._spool = Spool(
            settings.spool_folder / keys.slug(store_id),
            store,
            state,
            leases,
            ledger,
            host=socket.gethostname(),
            put_deadline_s=settings.put_deadline_s,
            max_age_s=settings.spool_max_age_s,
            mark_every_s=settings.lease_renew_s,
        )
        pools = read_pools(settings)
        model = LazyModel(settings, pools)
        holds = HoldKeeper(
            work,
            worker=worker,
            ttl_s=settings.lease_s,
            renew_s=settings.lease_renew_s,
            entrances={"generate": Entrance(_LOOK_AT_ONCE)},
        )
        turns = self._turns = _turns(settings, pools, client, store)
        batches = _batches(settings, pools[0])
        self._closing += [keeper, holds, spool, ledger, turns, model]
        self._closing += [batches] if batches is not None else []
        return Desk(
            store=store,
            store_id=store_id,
            state=state,
            work=work,
            queue=Queue(self.app),
            calls=calls,
            leases=keeper,
            gathering=Gathering(client, store_id),
            batches=batches,
            holds=holds,
            alone=work_alone,
            read_all=read_at_once,
            turns=turns,
            ledger=ledger,
            spool=spool,
            fetch=_fetcher(settings).fetch,
            imaging=_imaging(settings),
            ask=model.ask,
            ready=model.ready,
            models=load_models(settings.models_file),
            platform=pools[0].platform,
            limits=limits(settings),
            worker=worker,
            public_base_url=settings.public_base_url,
            clock=lambda: datetime.now(UTC),
            chance=random.random,
        )

    def _reconcile(self) -> None:
        while True:
            every_s = wait_s = self.settings.reconcile_every_s
            try:
                wait_s = min(self._recovered() or every_s, every_s)
                reconcile(self.desk())
            except Exception as exc:  # noqa: BLE001  an outage must not end the watch
                log.warning("reconcile_failed", error=str(exc))
            if self._stopped.wait(wait_s):
                return

    def _look_after_batches(self) -> None:
        while not self._stopped.wait(self.settings.batch_look_every_s):
            try:
                look_after_batches(self.desk())
            except Exception as exc:  # noqa: BLE001  an outage must not end the watch
                log.warning("batches_not_looked_after", error=str(exc))

    def _recovered(self) -> float:
        self._at_rest.clear()
        try:
            return self.recover()
        finally:
            self._at_rest.set()


class LazyModel:
    """The image models, made when the first picture is bought: the SDK takes a second to load."""

    def __init__(self, settings: Settings, pools: Sequence[Pool]) -> None:
        self._settings = settings
        self._pools = {pool.name: pool for pool in pools}
        self._calls: dict[str, Calls] = {}
        self._guard = threading.Lock()

    def ask(self, request: Any) -> Any:
        """Buy one picture from the model and the pool that the request names."""
        return self._of(request.model_id, request.pool).ask(request)

    def ready(self, model_id: str) -> None:
        """Load what a call needs, so that nothing but the call comes after its reservation."""
        self._of(model_id).open()

    def _of(self, model_id: str, pool: str = "") -> Calls:
        is_preview = load_models(self._settings.models_file).is_preview(model_id)
        name = "" if is_preview else pool or next(iter(self._pools))
        with self._guard:
            if name not in self._calls:
                made = _preview() if is_preview else _gemini(self._pools[name], self._settings)
                self._calls[name] = Calls(made)
            return self._calls[name]

    def close(self) -> None:
        """Close every model."""
        for calls in self._calls.values():
            calls.close()


def _turns(
    settings: Settings, pools: Sequence[Pool], client: Redis, store: Store
) -> TurnKeeper | PooledTurns:
    def is_free(model: str) -> bool:
        return not settings.quota_limiter or load_models(settings.models_file).is_preview(model)

    keepers = [
        TurnKeeper(
            Quota(client),
            store,
            pool.limits,
            pool=pool.name,
            project=pool.quota_project,
            most_s=settings.quota_wait_s,
            is_free=is_free,
        )
        for pool in pools
    ]
    if settings.pools_file is None:
        return keepers[0]
    return PooledTurns(list(zip(pools, keepers, strict=True)))


def _preview() -> ImageModel:
    from worker.preview.model import PreviewModel

    return PreviewModel()


def _gemini(pool: Pool, settings: Settings) -> ImageModel:
    from worker.gemini.model import GeminiModel
    from worker.gemini.settings import GeminiSettings

    return GeminiModel(
        GeminiSettings(
            platform=pool.platform,
            api_key=pool.api_key,
            base_url=pool.base_url,
            project=pool.cloud_project,
            location=pool.location,
            traffic=pool.traffic,
            max_connections=max(512, settings.generate_concurrency),
        ),
        load_models(settings.models_file),
    )


def _batches(settings: Settings, pool: Pool) -> BatchModel | None:
    """The batch service of the first pool, for a worker that has its key."""
    if pool.platform != "developer" or pool.api_key is None:
        return None
    from worker.gemini.batches import GeminiBatches
    from worker.gemini.settings import GeminiSettings

    return GeminiBatches(
        GeminiSettings(platform="developer", api_key=pool.api_key, base_url=pool.base_url),
        load_models(settings.models_file),
    )


def limits(settings: Settings) -> Limits:
    """The numbers that the stages obey."""
    return Limits(
        window=settings.window,
        max_attempts=settings.max_attempts,
        max_doubtful=settings.max_doubtful,
        retry_backoff_s=settings.retry_backoff_s,
        retry_backoff_max_s=settings.retry_backoff_max_s,
        model_deadline_s=settings.model_deadline_s,
        put_deadline_s=settings.put_deadline_s,
        lease_s=settings.lease_s,
        source_max_age_s=settings.source_max_age_s,
        refusal_max_age_s=settings.refusal_max_age_days * 86_400,
        batch_window=settings.batch_window,
        batch_requests=settings.batch_requests,
        batch_gather_s=settings.batch_gather_s,
        batch_pending_s=settings.batch_pending_s,
        batch_running_s=settings.batch_running_s,
        budget_per_day_micro=(
            None
            if settings.budget_per_day_usd is None
            else Usd.parse(settings.budget_per_day_usd).micro
        ),
    )


def _fetcher(settings: Settings) -> Fetcher:
    return Fetcher(
        limits=FetchLimits(
            max_bytes=settings.fetch_max_bytes, deadline_s=settings.fetch_deadline_s
        ),
        allow=settings.fetch_allow,
    )


def _imaging(settings: Settings) -> PillowImaging:
    return PillowImaging(
        reference_limits=ReferenceLimits(
            max_pixels=settings.reference_max_pixels,
            max_long_edge_px=settings.reference_max_edge_px,
            min_short_edge_px=settings.reference_min_edge_px,
        )
    )


def _connect_signals(process: Process) -> None:
    @signals.setup_logging.connect(weak=False)
    def _logs(**_: object) -> None:
        configure_logs()

    @signals.worker_init.connect(weak=False)
    def _check(**_: object) -> None:
        try:
            check_services(process.settings)
        except CannotStart as exc:
            sys.stderr.write(f"skuscene worker: {exc}\n")
            raise SystemExit(exc.code) from exc

    @signals.worker_ready.connect(weak=False)
    def _ready(sender: Any = None, **_: object) -> None:
        consumed = {one.name for one in sender.task_consumer.queues} if sender else set()
        if sender is not None:
            process.watch(sender, consumed)
        if "generate" in consumed:
            # Now, not at the first message: pictures of the dead may be waiting.
            process.start_spool()
            process.look_after_batches()
        if "control" in consumed:
            process.look_after_imports()
        log.info("worker_ready", queues=sorted(consumed), store=str(process.settings.store))

    @signals.worker_shutting_down.connect(weak=False)
    def _stop(**_: object) -> None:
        process.stop()

    @signals.worker_process_shutdown.connect(weak=False)
    @signals.worker_shutdown.connect(weak=False)
    def _close(**_: object) -> None:
        process.close()
