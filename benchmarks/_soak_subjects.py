"""Which systems are soaked, how is each started, and what did each leave in the store?"""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from benchmarks._soak_books import Allowance, Settled
from benchmarks.baselines.plain_task import MAX_RETRIES, Job
from catalog import keys
from catalog.imports import Import, PlannedProduct
from catalog.renders import LedgerLine
from catalog.results import Manifest, ResultLine, Status
from catalog.settings import Settings
from tests.support.running import AWS, BUCKET

if TYPE_CHECKING:
    from benchmarks._s3_faults import S3FaultProxy

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT / "producers" / "demo" / "photos"
BASELINES = Path(__file__).resolve().parent / "baselines"
SCENES = {
    "shelf": "The {title} on an oak shelf in morning light",
    "table": "The {title} on a garden table at noon",
}
RATIO, SIZE = "1:1", "1K"
IMPORT_ID = "soak"
_PREFIX = "shop"
_BEGIN_S = 600.0
_BEGINNINGS = 3
_OURS = ("SKUSCENE_", "GEMINI_", "GOOGLE_", "AWS_")
_POOLS = {"prepare": "threads", "generate": "threads", "finish": "solo", "control": "threads"}
_KEPT = {Status.SUCCEEDED, Status.REUSED, Status.REVIEW}
_MEDIA_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg", ".png": "image/png"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a subject runs: what it reaches, and what it may use."""

    folder: Path
    redis_url: str
    store_url: str
    direct_store_url: str
    model_url: str
    deadline_s: float
    calls_per_worker: int
    renders: int

    def variables(self, **more: str) -> dict[str, str]:
        """An environment without anything of ours that the caller had set."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith(_OURS)}
        return {
            **clean,
            **AWS,
            "AWS_ENDPOINT_URL_S3": self.store_url,
            "GOOGLE_GEMINI_BASE_URL": self.model_url,
            **more,
        }

    def bucket(self) -> Bucket:
        """The store, past the faults."""
        return Bucket(self.direct_store_url)


class Bucket:
    """Reads objects straight from the S3 server."""

    def __init__(self, url: str) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=AWS["AWS_DEFAULT_REGION"],
            aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}),
        )

    def keys(self, prefix: str) -> list[str]:
        """Every key under a prefix."""
        pages = self._client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for page in found for entry in page.get("Contents", ())]

    def read(self, key: str) -> bytes | None:
        """An object's content; ``None`` if it is not there."""
        try:
            return bytes(self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)


@dataclass(slots=True, kw_only=True)
class Remains:
    """What a subject left: outcomes, objects read, those that differ, and its own money."""

    settled: list[Settled] = field(default_factory=list)
    stored_of_lost: dict[str, float] = field(default_factory=dict)
    objects: int = 0
    differ: list[str] = field(default_factory=list)
    published: bool = False
    open_renders: int | None = None
    spent_usd: float | None = None
    doubtful_usd: float | None = None
    ledger_usd: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skuscene:
    """The product itself: ``skuscene import``, and a worker per stage as its supervisor has it."""

    place: Place
    name: str = "Skuscene"
    queues: tuple[str, ...] = ("generate", "finish", "prepare", "control")

    @property
    def allowance(self) -> Allowance:
        """The default settings."""
        fields = Settings.model_fields
        return Allowance(
            attempts=int(fields["max_attempts"].default),
            doubtful=int(fields["max_doubtful"].default) + 1,
        )

    def command(self, queue: str, name: str) -> list[str]:
        """As ``skuscene worker`` starts a stage."""
        concurrency = {
            "generate": self.place.calls_per_worker,
            "finish": 1,
            "prepare": int(Settings.model_fields["prepare_concurrency"].default),
            "control": int(Settings.model_fields["control_concurrency"].default),
        }[queue]
        return [
            *(sys.executable, "-m", "worker.main", "-A", "worker", "-q", "worker"),
            *("-Q", queue, "-P", _POOLS[queue], "-c", str(concurrency)),
            *("-n", f"{name}@%h", "-l", "INFO", "--without-gossip", "--without-mingle", "-E"),
        ]

    def variables(self) -> dict[str, str]:
        """Everything else is left at its default."""
        return self.place.variables(
            SKUSCENE_REDIS_URL=self.place.redis_url,
            SKUSCENE_STORE=f"s3://{BUCKET}/{_PREFIX}",
            SKUSCENE_SPOOL_DIR=str(self.place.folder / "spool"),
            SKUSCENE_MODEL_DEADLINE_S=str(self.place.deadline_s),
            GEMINI_API_KEY="soak",
        )

    async def begin(self) -> None:
        """Import the feed; again under the same id if the store's faults broke it off."""
        feed, book = self.place.folder / "feed.csv", self.place.folder / "scenes.yaml"
        _write_feed(feed, self.place.renders)
        _write_book(book)
        arguments = ["import", str(feed), "--images", str(PHOTOS), "--scenes", str(book)]
        command = [sys.executable, "-m", "producers", *arguments, "--id", IMPORT_ID, "--yes"]
        said = ""
        for _ in range(_BEGINNINGS):
            code, said = await _run(command, self.variables(), self.place.folder)
            if code == 0:
                return
        message = f"the import did not begin: {said}"
        raise RuntimeError(message)

    def done(self, proxy: S3FaultProxy) -> int:
        """Records that are there."""
        return sum(path.endswith("/record.json") for path in proxy.stored)

    def is_complete(self, proxy: S3FaultProxy) -> bool:
        """The manifest is there."""
        return f"/{BUCKET}/{_PREFIX}/{keys.manifest(IMPORT_ID)}" in proxy.stored

    async def remains(self, proxy: S3FaultProxy) -> Remains:
        """Read what the manifest names, the ledger, and what ``status`` says."""
        bucket, left = self.place.bucket(), Remains()
        prompts = self._prompts(bucket)
        takes = {
            path.split("/")[-2]: at
            for path, at in sorted(proxy.stored.items(), key=lambda one: -one[1])
            if "/take-" in path
        }
        for line in self._lines(bucket, left):
            kept = line.status in _KEPT
            one = Settled(
                prompt=prompts[line.slot],
                status=line.status.value,
                reason=line.reason or "",
                kept=kept,
                stored_at=takes.get(line.render_id or ""),
            )
            left.settled.append(one)
            for image in line.images:
                _compare(bucket, left, f"{_PREFIX}/{image.key}", image.sha256, image.bytes)
        self._read_ledger(bucket, left)
        await self._ask_status(left)
        return left

    def _prompts(self, bucket: Bucket) -> dict[str, str]:
        written = _json_bytes(bucket, keys.import_(IMPORT_ID))
        prompts: dict[str, str] = {}
        for part in Import.from_json(written).parts:
            for line in gzip.decompress(_json_bytes(bucket, part.key)).splitlines():
                product = PlannedProduct.from_json(line)
                prompts |= {slot.slot: slot.prompt for slot in product.slots}
        return prompts

    def _lines(self, bucket: Bucket, left: Remains) -> Iterator[ResultLine]:
        """The manifest's lines; without a manifest, those of the parts that are there."""
        written = bucket.read(f"{_PREFIX}/{keys.manifest(IMPORT_ID)}")
        left.published = written is not None
        if written is None:
            found = bucket.keys(f"{_PREFIX}/{keys.import_folder(IMPORT_ID)}results/")
            parts = [key.removeprefix(f"{_PREFIX}/") for key in found]
        else:
            manifest = Manifest.from_json(written)
            for part in manifest.parts:
                _compare(bucket, left, f"{_PREFIX}/{part.key}", part.sha256, part.bytes)
            parts = [part.key for part in manifest.parts]
        for key in parts:
            for line in gzip.decompress(_json_bytes(bucket, key)).splitlines():
                yield ResultLine.from_json(line)

    def _read_ledger(self, bucket: Bucket, left: Remains) -> None:
        told: set[str] = set()
        for key in bucket.keys(f"{_PREFIX}/ledger/"):
            for text in (bucket.read(key) or b"").splitlines():
                line = LedgerLine.from_json(text)
                if line.call not in told:  # what two processes knew of one call stands there twice
                    left.ledger_usd[line.outcome] += line.cost_usd.micro
                told.add(line.call)

    async def _ask_status(self, left: Remains) -> None:
        code, said = await _run(
            [sys.executable, "-m", "producers", "status", IMPORT_ID, "--json"],
            {**self.variables(), "AWS_ENDPOINT_URL_S3": self.place.direct_store_url},
            self.place.folder,
        )
        if code == 0:
            status = json.loads(said)
            left.spent_usd = status["cost_usd"]["spent"]
            left.doubtful_usd = status["cost_usd"]["doubtful"]
            left.open_renders = status["renders"]["open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainTask:
    """The usual recipe; :mod:`baselines.plain_task` says which."""

    place: Place
    model: str
    name: str = "plain task"
    queues: tuple[str, ...] = ("generate", "finish")

    @property
    def allowance(self) -> Allowance:
        """The first try and its retries, whatever made them fail."""
        return Allowance(attempts=MAX_RETRIES + 1, doubtful=0, both=True)

    def command(self, queue: str, name: str) -> list[str]:
        """As its author would start it."""
        concurrency = {"generate": self.place.calls_per_worker, "finish": os.cpu_count() or 1}
        return [
            *(sys.executable, "-m", "celery", "-A", "plain_task", "-q", "worker"),
            *("-Q", queue, "-P", _POOLS[queue], "-c", str(concurrency[queue])),
            *("-n", f"{name}@%h", "-l", "INFO", "--without-gossip", "--without-mingle"),
        ]

    def variables(self) -> dict[str, str]:
        """Its own settings."""
        return self.place.variables(
            PYTHONPATH=str(BASELINES),
            PLAIN_REDIS_URL=self.place.redis_url,
            PLAIN_BUCKET=BUCKET,
            PLAIN_DEADLINE_S=str(self.place.deadline_s),
            GEMINI_API_KEY="soak",
        )

    async def begin(self) -> None:
        """Put the photos into the bucket and enqueue all pictures."""
        bucket = self.place.bucket()
        for photo in _photos():
            bucket.put(f"photos/{photo.name}", photo.read_bytes())
        lines = "".join(f"{json.dumps(asdict(job))}\n" for job in self._jobs())
        code, said = await _run(
            [sys.executable, str(BASELINES / "plain_task.py")],
            self.variables(),
            self.place.folder,
            lines,
        )
        if code:
            message = f"the jobs were not enqueued: {said}"
            raise RuntimeError(message)

    def done(self, proxy: S3FaultProxy) -> int:
        """Results that are there."""
        return sum(path.startswith(f"/{BUCKET}/results/") for path in proxy.stored)

    def is_complete(self, proxy: S3FaultProxy) -> bool:
        """Every picture has its result."""
        return self.done(proxy) >= self.place.renders

    async def remains(self, proxy: S3FaultProxy) -> Remains:
        """Make the manifest and read what it names."""
        code, said = await _run(
            [sys.executable, str(BASELINES / "plain_task.py"), "manifest"],
            {**self.variables(), "AWS_ENDPOINT_URL_S3": self.place.direct_store_url},
            self.place.folder,
        )
        if code:
            message = f"the manifest was not made: {said}"
            raise RuntimeError(message)
        bucket, left = self.place.bucket(), Remains(published=True)
        prompts = {job.key: job.prompt for job in self._jobs()}
        for key, prompt in prompts.items():
            if (at := proxy.stored.get(_picture_path(key))) is not None:
                left.stored_of_lost[prompt] = at
        for result in json.loads(said):
            left.settled.append(_settled(result, prompts, proxy.stored))
            for image in result.get("images", ()):
                _compare(bucket, left, image["key"], image["sha256"], image["bytes"])
        return left

    def _jobs(self) -> Iterator[Job]:
        for number, title, photo in _products(self.place.renders):
            for scene, prompt in SCENES.items():
                yield Job(
                    key=f"{number:06}-{scene}",
                    prompt=prompt.format(title=title),
                    photo=f"photos/{photo.name}",
                    photo_type=_MEDIA_TYPES[photo.suffix],
                    model=self.model,
                    ratio=RATIO,
                    size=SIZE,
                )


def _settled(
    result: Mapping[str, Any], prompts: Mapping[str, str], stored: Mapping[str, float]
) -> Settled:
    return Settled(
        prompt=prompts[result["key"]],
        status=result["status"],
        reason=str(result.get("reason", "")).partition(":")[0],
        kept=result["status"] == "succeeded",
        stored_at=stored.get(_picture_path(result["key"])),
    )


def _picture_path(key: str) -> str:
    return f"/{BUCKET}/pictures/{key}.jpg"


def _compare(bucket: Bucket, left: Remains, key: str, sha256: str, size_bytes: int) -> None:
    content = bucket.read(key)
    left.objects += 1
    if (
        content is None
        or len(content) != size_bytes
        or hashlib.sha256(content).hexdigest() != sha256
    ):
        left.differ.append(key)


def _json_bytes(bucket: Bucket, key: str) -> bytes:
    content = bucket.read(f"{_PREFIX}/{key}")
    if content is None:
        message = f"{key} is not in the store"
        raise RuntimeError(message)
    return content


def _photos() -> list[Path]:
    return sorted(path for path in PHOTOS.iterdir() if path.suffix in _MEDIA_TYPES)


def _products(renders: int) -> Iterator[tuple[int, str, Path]]:
    """Products with titles of their own, so that no two renders ask for the same."""
    photos = _photos()
    for number in range(-(-renders // len(SCENES))):
        yield number, f"article {number:06}", photos[number % len(photos)]


def _write_feed(path: Path, renders: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "sku", "title", "description", "image_link", "price"))
        for number, title, photo in _products(renders):
            sku = f"S-{number:06}"
            rows.writerow((number, sku, title, f"The {title}.", photo.name, "10.00 USD"))


def _write_book(path: Path) -> None:
    scenes = "".join(
        f'  {name}:\n    prompt: "{prompt.format(title="{product.title}")}"\n'
        for name, prompt in SCENES.items()
    )
    defaults = f'{{ratio: "{RATIO}", size: {SIZE}, renditions: [web]}}'
    path.write_text(f"version: 1\ndefaults: {defaults}\nscenes:\n{scenes}", encoding="utf-8")


async def _run(
    command: list[str], variables: dict[str, str], folder: Path, said: str = ""
) -> tuple[int, str]:
    """Exit code and standard output; with a code, what was said on standard error."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=variables,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(said.encode()), _BEGIN_S)
    finally:
        if process.returncode is None:
            process.kill()
    code = process.returncode or 0
    return code, (err if code else out).decode(errors="replace")
