"""What becomes of a render whose worker is killed just before an effect?

A :class:`Street` has a store, a database of Redis, a model of its own and deadly workers; renders
die in it one after the other. Several streets run side by side.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from PIL import Image

from catalog import claims
from catalog.claims import QUEUES
from catalog.queue import connect
from catalog.settings import Settings
from catalog.transport import lists_of
from producers.importing import Order, prepare_order, start_import
from producers.services import Services, reach
from tests.support import completeness
from tests.support.deadly_worker import FOLDER
from tests.support.effects import IN_FLIGHT, Kill, Noted, Orders
from tests.support.running import House, simulator_process, stop
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
PHOTOS = sorted((ROOT / "producers" / "demo" / "photos").glob("*.webp"))
FAST = {
    "SKUSCENE_LEASE_S": "3",
    "SKUSCENE_LEASE_RENEW_S": "0.5",
    "SKUSCENE_RECONCILE_EVERY_S": "0.5",
    "SKUSCENE_LEDGER_FLUSH_S": "0.3",
    "SKUSCENE_RETRY_BACKOFF_S": "0.1",
    "SKUSCENE_PREPARE_CONCURRENCY": "2",
    "SKUSCENE_GENERATE_CONCURRENCY": "4",
    "SKUSCENE_FINISH_CONCURRENCY": "1",
    "SKUSCENE_CONTROL_CONCURRENCY": "2",
}
_LONGEST_S = 90.0
_TAKE = "renders/<id>/take-1."
_FED = (claims.FEED, "redis open_shard")
RECORDED = 8
"""How many renders may be let through until one is recorded; their numbers come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """One row of the crash table: the kills, and what they may cost."""

    kills: tuple[Kill, ...]
    sold: int = 1
    doubtful: int = 0

    @property
    def name(self) -> str:
        """The row in words."""
        return ", then ".join(
            f"{kill.whom} before {kill.task or 'anybody'}'s {kill.effect}" for kill in self.kills
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What became of it: everything that is not as it must be."""

    case: str
    death: Death
    faults: tuple[str, ...]
    took_s: float

    def __str__(self) -> str:
        return f"{self.case} [{self.death.name}]: {'; '.join(self.faults) or 'good'}"


@dataclass(slots=True, kw_only=True)
class Street:
    """A whole Skuscene for renders that die one after the other."""

    folder: Path
    house: House
    services: Services
    settings: Settings
    orders: Orders
    workers: subprocess.Popen[bytes]
    seen: dict[str, bytes] = field(default_factory=dict)

    def die(self, case: str, death: Death) -> Aftermath:
        """Import one product under a name, let its workers be killed, see what came of it."""
        began = time.monotonic()
        self._forget_what_is_written_once(death)
        self.orders.give(case, death.kills)
        self._import(case)
        faults = self._look_on(case)
        if not faults:
            faults = self._count(case, death)
        return Aftermath(
            case=case, death=death, faults=tuple(faults), took_s=time.monotonic() - began
        )

    def warm_up(self, number: int) -> None:
        """Let one render through, so that everything is there that only the first one makes."""
        self._undisturbed(f"death-{number:03}")

    def record(self, number: int) -> tuple[Noted, ...]:
        """Let renders through; what a later one did, and what the first did once for all.

        On a busy machine a reconciler may open a shard before the feeder's task does; then another
        render tells what the task does.
        """
        first, *others = (f"death-{number + more:03}" for more in range(RECORDED))
        self._undisturbed(first)
        once = tuple(
            noted for noted in self.effects(first) if noted.effect.endswith(".schema.json")
        )
        for case in others:
            effects = self._recorded(case)
            if any((noted.task, noted.effect) == _FED for noted in effects):
                return (*once, *effects)
        message = f"in {len(others)} renders no feeder's task opened a shard"
        raise AssertionError(message)

    def _recorded(self, case: str) -> tuple[Noted, ...]:
        self._undisturbed(case)
        wait_for(lambda: self._has_ended(case), timeout_s=_LONGEST_S, what="the last effects")
        return self.effects(case)

    def _undisturbed(self, case: str) -> None:
        found = self.die(case, Death(kills=()))
        assert not found.faults, str(found)

    def _has_ended(self, case: str) -> bool:
        """Whether every task of a case has been acknowledged, and its call booked."""
        effects = self.effects(case)
        taken = {noted.task for noted in effects if noted.effect.startswith("redis ZADD unacked")}
        done = {noted.task for noted in effects if noted.effect.startswith("redis ZREM unacked")}
        return taken == done and any("ledger/" in noted.effect for noted in effects)

    def effects(self, case: str) -> tuple[Noted, ...]:
        """What the workers did for a case, in order, each kind of effect once."""
        of_case = (noted for noted in self.orders.noted() if noted.case == case)
        return tuple({(noted.task, noted.effect): noted for noted in of_case}.values())

    def redeliver(self) -> list[str]:
        """Let the broker give back all that the dead had taken; says what that changed."""
        before = {case: self._books(case) for case in self.seen}
        with connect(self.settings, str(self.settings.redis_url)).connection_for_read() as broker:
            channel: Any = broker.default_channel
            tags = [tag.decode() for tag in channel.client.hkeys(channel.unacked_key)]
            for tag in tags:
                channel.qos.restore_by_tag(tag)
        wait_for(self._is_idle, timeout_s=_LONGEST_S, what="every message worked again")
        faults = [
            f"{case} changed after its messages came again: {self._books(case)}, was {was}"
            for case, was in before.items()
            if self._books(case) != was
        ]
        if not tags:
            faults.append("the dead left no message to give back")
        return faults

    def lies(self) -> list[str]:
        """Every manifest that was about to become visible before all that it names."""
        return [
            f"{noted.case}: {noted.effect}: {', '.join(noted.lies)}"
            for noted in self.orders.noted()
            if noted.lies
        ]

    # -- one death ---------------------------------------------------------------------------

    def _import(self, case: str) -> None:
        number = int(case.rpartition("-")[2])
        images = self.folder / "images" / case
        images.mkdir(parents=True)
        (images / "photo.jpg").write_bytes(_photo(number))
        feed = self.folder / f"{case}.csv"
        feed.write_text(f"id,title,image\n{case},Toaster {case},https://shop.example/photo.jpg\n")
        order = Order(
            feed=feed,
            scenes=self.folder / "scenes.yaml",
            images=images,
            import_id=case,
            catalog="shop",
        )
        start_import(prepare_order(order, self.settings), self.settings, self.services)

    def _forget_what_is_written_once(self, death: Death) -> None:
        """Remove what the first import has left for all later ones, or it is not written again."""
        for kill in death.kills:
            if kill.effect.endswith(".schema.json"):
                self.services.store.delete(kill.effect.rpartition(" ")[2])

    def _look_on(self, case: str) -> list[str]:
        """Watch until the import is over; what its manifest named when it could first be seen."""
        until = time.monotonic() + _LONGEST_S
        while time.monotonic() < until:
            if case not in self.seen:
                found = self._read(f"imports/{case}/manifest.json")
                if found is not None:
                    self.seen[case] = found
                    faults = completeness.faults(found, self._read)
                    if faults:
                        return [f"its manifest was visible too early: {', '.join(faults)}"]
            elif self._is_over(case):
                return []
            time.sleep(0.03)
        done = "was over" if case in self.seen else "had a manifest"
        return [f"{_LONGEST_S:.0f} s later it never {done}; orders left: {self._order_left(case)}"]

    def _is_over(self, case: str) -> bool:
        return (
            self._order_left(case) is None
            and case not in self.services.state.running()
            and self.house.books()["open"] == 0
        )

    def _order_left(self, case: str) -> Kill | None:
        order = self.orders.next_for(case)
        return order[1] if order else None

    def _count(self, case: str, death: Death) -> list[str]:
        manifest = json.loads(self.seen[case])
        counts = manifest["counts"]
        faults = completeness.faults(self._read(f"imports/{case}/manifest.json") or b"", self._read)
        if (manifest["state"], counts["succeeded"], counts["expected"]) != ("complete", 1, 1):
            faults.append(f"it ended {manifest['state']} with {counts}")
        sold, doubtful = self._sold(case), self._doubtful(case)
        if sold != death.sold:
            faults.append(f"the model sold {sold}, not {death.sold}")
        if doubtful != death.doubtful:
            faults.append(f"the ledger has {doubtful} doubtful calls, not {death.doubtful}")
        if (manifest["cost_usd"]["doubtful"] > 0) != (death.doubtful > 0):
            faults.append(f"its manifest says {manifest['cost_usd']}")
        return faults

    def _sold(self, case: str) -> int:
        prompts = self.house.books()["sold_by_prompt"].items()
        return sum(int(times) for prompt, times in prompts if case in prompt)

    def _doubtful(self, case: str) -> int:
        lines = [line for line in self._ledger() if line["import_id"] == case]
        return sum(line["outcome"] == "doubtful" for line in lines)

    def _ledger(self) -> Iterator[dict[str, Any]]:
        for entry in self.services.store.list("ledger/"):
            content = self._read(entry.key) or b""
            yield from (json.loads(line) for line in content.splitlines())

    def _books(self, case: str) -> tuple[int, bytes | None, int]:
        """What must not change any more."""
        return self._sold(case), self._read(f"imports/{case}/manifest.json"), self._doubtful(case)

    def _is_idle(self) -> bool:
        """Whether no message waits or is being worked; those put off by Celery don't count."""
        with redis.Redis.from_url(str(self.settings.redis_url)) as client:
            taken: Any = client.hvals("unacked")
            left = sum(int(client.llen(one)) for name in QUEUES for one in lists_of(name))
        return left == 0 and all(json.loads(one)[0]["headers"].get("eta") for one in taken)

    def _read(self, key: str) -> bytes | None:
        found = self.services.store.read(key)
        return found.content if found else None


def rows(recorded: tuple[Noted, ...], task: str) -> list[Death]:
    """A death before each effect of a task, as recorded, and what each may cost.

    A call that was written down and whose answer is not yet in the store when its process dies is
    doubtful; if its request had been sent, it was sold, and is bought again.
    """
    effects = [noted.effect for noted in recorded if noted.task == task]
    written = next((at for at, effect in enumerate(effects) if effect == "redis reserve"), None)
    sent = effects.index(IN_FLIGHT) if IN_FLIGHT in effects else None
    put = next((at for at, effect in enumerate(effects) if _is_put(effect)), len(effects))
    return [
        Death(
            kills=(Kill(effect=effect, task=_who(task, effect)),),
            sold=2 if sent is not None and sent <= at <= put else 1,
            doubtful=1 if written is not None and written < at <= put else 0,
        )
        for at, effect in enumerate(effects)
    ]


def _who(task: str, effect: str) -> str | None:
    """A feeder's work is done by its task, or by a reconciler who comes first."""
    return None if task == claims.FEED and "unacked" not in effect else task


def _is_put(effect: str) -> bool:
    return _TAKE in effect and not effect.startswith("store describe")


@contextlib.contextmanager
def street(folder: Path, *, redis_url: str, store: str, **more: str) -> Iterator[Street]:
    """Run a street; the caller's environment must lead boto3 to the store, if it is a bucket."""
    folder.mkdir(parents=True)
    (folder / "scenes.yaml").write_text(
        "version: 1\n"
        "defaults: {ratio: '1:1', size: 1K, pictures: 1, renditions: [web, merchant]}\n"
        "scenes:\n"
        "  shelf:\n"
        '    prompt: "The {product.title} on an oak shelf"\n'
    )
    with simulator_process(folder) as simulator_url:
        variables = {
            **{name: value for name, value in os.environ.items() if _is_theirs(name)},
            **FAST,
            **more,
            "SKUSCENE_REDIS_URL": redis_url,
            "SKUSCENE_STORE": store,
            "SKUSCENE_SPOOL_DIR": str(folder / "spool"),
            "GEMINI_API_KEY": "test-key",
            "GOOGLE_GEMINI_BASE_URL": simulator_url,
        }
        settings = Settings(redis_url=redis_url, store=store)
        orders = Orders(folder / "orders")
        with _workers(folder, variables) as workers:
            yield Street(
                folder=folder,
                house=House(folder=folder, variables=variables, simulator_url=simulator_url),
                services=reach(settings),
                settings=settings,
                orders=orders,
                workers=workers,
            )


def _is_theirs(name: str) -> bool:
    return not name.startswith(("SKUSCENE_", "GEMINI_", "GOOGLE_"))


@contextlib.contextmanager
def _workers(folder: Path, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "workers.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.deadly_worker"],
            env={**variables, FOLDER: str(folder / "orders")},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        stop(process)


def _photo(number: int) -> bytes:
    """A real photo that no other case has."""
    with Image.open(PHOTOS[number % len(PHOTOS)]) as photo:
        cut = 1 + number // len(PHOTOS)
        cropped = photo.convert("RGB").crop((cut, cut, photo.width, photo.height))
    written = io.BytesIO()
    cropped.save(written, "JPEG", quality=90)
    return written.getvalue()


def process_of(supervisor: int, queue: str) -> int:
    """The process that works a queue under a supervisor."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (entry / "cmdline").read_bytes().decode()
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if int(parent) == supervisor and f"celeryd: {queue}-" in title:
            return int(entry.name)
    message = f"no {queue} process under {supervisor}"
    raise AssertionError(message)
