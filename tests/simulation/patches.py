"""What is another one while a world is played: clocks, names, logs, and what is slow to no end?"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import logging
import os
import sys
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import structlog

import catalog.epoch
import producers.control
import producers.retrying
import worker.buying
import worker.feeder
import worker.jobs
import worker.leases
import worker.ledger
import worker.parking
import worker.publish
import worker.reconciler
import worker.spool
from catalog import claims
from catalog.reading import read_claim
from catalog.schemas import schema_of
from catalog.wire import Wire
from worker import plans, revisions
from worker.gallery.sheet import GalleryFile

if TYPE_CHECKING:
    from tests.simulation.world import World


def take_apart(world: World) -> None:
    """Let go of a world piece by piece.

    It is a web of cycles. What nothing refers to any more is freed at once and its memory used
    again while it is warm; to look for a whole web as garbage takes a tenth of a run's time.
    """
    for kept in _KEPT_BY_STORE:
        kept.cache_clear()
    parts = (world.scheduler, world.broker, world.redis, world.store, world.auditor)
    for one in (*world.born, *parts, world):
        vars(one).clear()


_KEPT_BY_STORE: Final[tuple[Any, ...]] = (
    plans.read_import,
    plans.read_shard,
    revisions.read_revision,
    revisions._read_lines,
)
"""What the core keeps by store would keep the store's whole world."""


@functools.lru_cache(maxsize=512)
def _read(shape: type[Wire], content: bytes | str) -> Wire:
    """Shapes are frozen: the same bytes, read again and again by every stage, are the same one."""
    return cast("Wire", shape.__pydantic_validator__.validate_json(content))


@functools.cache
def _schema_of(name: str) -> bytes:
    return schema_of(name)


read_payload = functools.lru_cache(maxsize=256)(json.loads)


@functools.lru_cache(maxsize=256)
def _read_claim(task: str, sent: str) -> claims.Claim:
    """A message comes again and again, to be put off; each time it is the same claim."""
    return read_claim(task, json.loads(sent))


def _synced(_file: int) -> None:
    """Leave it to the kernel."""


_decompressed = functools.lru_cache(maxsize=256)(gzip.decompress)


def _not_bound(**_facts: object) -> contextlib.nullcontext[None]:
    """Nobody reads here what a line of the log is about; saying it is a twentieth of a run."""
    return _NOWHERE


_NOWHERE: Final = contextlib.nullcontext()


def _build_gallery(_imported: object, manifest: Any, lines: Iterator[Any]) -> Iterator[GalleryFile]:
    """A page without its drawing, which takes longer than all the rest of a run."""
    shown = [line.slot for line in lines]
    said = f"{manifest.published_at} {shown}".encode()
    yield GalleryFile(name="data-000.js", content=said, media_type="text/javascript")
    yield GalleryFile(name="index.html", content=said, media_type="text/html")


@contextlib.contextmanager
def patched(world: World) -> Iterator[None]:
    """The core's own clocks and random names on the world's, its log into the trace."""
    names = SimpleNamespace(uuid4=lambda: uuid.UUID(int=next(world.ids)))
    time = SimpleNamespace(monotonic=lambda: world.scheduler.now, sleep=world.scheduler.pause)
    clock = SimpleNamespace(now=lambda _zone: world.clock())
    changes: list[tuple[Any, str, Any]] = [
        (worker.buying, "time", time),
        (worker.ledger, "time", time),
        (worker.buying, "uuid", names),
        (worker.leases, "uuid", names),
        (worker.feeder, "uuid", names),
        (worker.reconciler, "uuid", names),
        (worker.parking, "uuid", names),
        (worker.spool, "uuid", names),
        (catalog.epoch, "uuid", names),
        (producers.control, "datetime", clock),
        (producers.control, "whoami", lambda: "somebody"),
        (producers.retrying, "datetime", clock),
        (producers.retrying, "whoami", lambda: "somebody"),
        (worker.publish, "schema_of", _schema_of),
        (Wire, "model_validate_json", classmethod(cast("Any", _read))),
        (worker.publish, "build_gallery", _build_gallery),
        (gzip, "decompress", _decompressed),
        (os, "fsync", _synced),  # what is played is the death of processes, not of machines
        (worker.jobs, "read_claim", _read_claim),
        (structlog.contextvars, "bound_contextvars", _not_bound),
    ]
    # As they stand there: what a class has inherited is taken away again, not bound to it for good.
    before = [(module, name, vars(module).get(name)) for module, name, _ in changes]
    logs = structlog.get_config()
    structlog.configure(
        processors=[functools.partial(_logged, world)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            if value is None:
                delattr(module, name)
            else:
                setattr(module, name, value)
        structlog.configure(**logs)


def _logged(world: World, _logger: object, _method: str, event: dict[str, Any]) -> str:
    told = " ".join(
        f"{name}={event[name]}" for name in ("event", "reason", "error") if name in event
    )
    if event.pop("exc_info", False):
        told += f" {sys.exc_info()[1]!r}"
    world.note(f"  log: {told}")
    raise structlog.DropEvent
