"""``skuscene demo``: the whole job on this machine, with everything it needs brought along."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from catalog import keys
from catalog.settings import Settings, read_settings
from producers import display
from producers.api import Skuscene
from producers.embedded import NoRedisServer, private_redis
from producers.exits import Exit, of_status
from producers.failures import UsageError
from producers.importing import Order

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from catalog.results import ImportStatus

_SHIPPED = Path(__file__).parent.parent / "demo"
_SCENES = ("living-room", "golden-hour-kitchen")
_LONGEST_S = 1_800.0
_STOP_S = 30.0


def run_demo(options: argparse.Namespace) -> int:
    """Import a feed into a directory store with real workers over a private Redis."""
    started = time.monotonic()
    out = Path(options.out).absolute()
    order = _order(options)
    try:
        with private_redis(named=read_settings().redis_server, directory=out / "redis") as server:
            display.say(f"Redis: {server.binary.name} on a private socket; store: {out / 'store'}")
            variables = _variables(server.url, out)
            settings = read_settings(
                redis_url=server.url, store=variables["SKUSCENE_STORE"], model="preview"
            )
            with _workers(variables, out / "workers.log"):
                status = _import(order, settings)
    except NoRedisServer as exc:
        raise UsageError(str(exc)) from exc
    _tell(status, out, time.monotonic() - started)
    return _exit(status, shipped=options.feed is None)


def _order(options: argparse.Namespace) -> Order:
    scenes: str | None = options.scenes
    is_file = scenes is not None and Path(scenes).is_file()
    names = _SCENES if scenes is None else tuple(scenes.split(","))
    return Order(
        feed=Path(options.feed) if options.feed else _SHIPPED / "catalog.csv",
        images=_images(options),
        scenes=Path(scenes) if scenes and is_file else None,
        scene_names=() if is_file else names,
        catalog=None if options.feed else "demo",
        model="preview",
    )


def _images(options: argparse.Namespace) -> Path | None:
    if options.images:
        return Path(options.images)
    return None if options.feed else _SHIPPED / "photos"


def _variables(redis_url: str, out: Path) -> dict[str, str]:
    """The workers' environment: ours, with the demo's own services."""
    cores = str(os.cpu_count() or 1)
    return {
        **os.environ,
        "SKUSCENE_REDIS_URL": redis_url,
        "SKUSCENE_STORE": (out / "store").as_uri(),
        "SKUSCENE_SPOOL_DIR": str(out / "spool"),
        "SKUSCENE_MODEL": "preview",
        # The offline renderer computes where a model's call would wait.
        "SKUSCENE_GENERATE_CONCURRENCY": cores,
        "SKUSCENE_FINISH_CONCURRENCY": cores,
        "SKUSCENE_RECONCILE_EVERY_S": "5",
    }


@contextlib.contextmanager
def _workers(variables: dict[str, str], log: Path) -> Iterator[None]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.supervisor"],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_S)


def _import(order: Order, settings: Settings) -> ImportStatus:
    shop = Skuscene(settings)
    imported = shop.start(order)
    display.say(
        f"import {imported.import_id}: {imported.counts.products} products, "
        f"{imported.counts.renders} renders with {imported.model.id}"
    )
    with display.watching() as seen:
        return shop.wait(imported.import_id, every_s=0.25, timeout_s=_LONGEST_S, seen=seen)


def _tell(status: ImportStatus, out: Path, took_s: float) -> None:
    sys.stdout.write(display.status_text(status) + "\n")
    sys.stdout.write(f"  took      {took_s:.1f} s\n")
    store = out / "store"
    sys.stdout.write(f"manifest  {store / keys.manifest(status.import_id)}\n")
    sys.stdout.write(f"gallery   {store / keys.gallery(status.import_id)}\n")


def _exit(status: ImportStatus, *, shipped: bool) -> Exit:
    code = of_status(status)
    # Every row of the shipped catalog is usable; a rejected one is a fault.
    return Exit.FAILED if shipped and code is not Exit.DONE else code
