"""What would a careful engineer write in an afternoon, with Celery's own means?

The usual recipe for paid calls in a task queue, as fair as we could make it:

- one message per picture, sent by a script; ``render`` buys the picture with Google's SDK and puts
  it into S3, ``finish`` makes the delivery file and writes the result, on a queue of its own
- ``acks_late`` and ``task_reject_on_worker_lost``: a message is acknowledged when its task is
  done, so a killed worker's messages come back
- ``visibility_timeout`` of 120 s, well above the longest task and the longest backoff, and the
  sweep for abandoned messages every 10 s
- ``autoretry_for`` every error, with exponential backoff and jitter, up to 5 retries (two more
  than Skuscene has attempts); the last failure is written down as the picture's result
- both tasks look first whether their work is there already, so a message that comes twice after
  its task was done costs nothing
- the SDK has a deadline of its own and does not retry by itself
- prefetch 1, threads where it waits, processes where it computes, no result backend
- the manifest is made at the end from one JSON object per picture

Variables: ``PLAIN_REDIS_URL``, ``PLAIN_BUCKET``, ``PLAIN_DEADLINE_S``; ``AWS_*``,
``GEMINI_API_KEY`` and ``GOOGLE_GEMINI_BASE_URL`` as everywhere. Its workers are started as
``celery -A plain_task worker``.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import sys
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from celery import Celery, Task
from google import genai
from google.genai import types
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_RETRIES = 5
_WEB_PX = 1024
_BACKOFF_MAX_S = 60


class NoPicture(Exception):
    """The model answered without a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One picture to buy; ``key`` names it in the bucket, ``photo`` is an object's key."""

    key: str
    prompt: str
    photo: str
    photo_type: str
    model: str
    ratio: str
    size: str


app = Celery("plain", broker=os.environ.get("PLAIN_REDIS_URL", "memory://"))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_routes={"plain.render": {"queue": "generate"}, "plain.finish": {"queue": "finish"}},
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 120,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 10,
        "socket_keepalive": True,
    },
)


class Written(Task):  # type: ignore[misc]
    """A task whose last failure is the picture's result."""

    abstract = True

    def on_failure(
        self, exc: BaseException, _task_id: str, args: Any, _kwargs: Any, _einfo: Any
    ) -> None:
        """Write down why there is no picture."""
        result = {
            "key": args[0]["key"],
            "status": "failed",
            "reason": f"{type(exc).__name__}: {exc}",
        }
        _put(_result_key(args[0]["key"]), json.dumps(result).encode(), "application/json")


_RETRYING: dict[str, Any] = {
    "bind": True,
    "base": Written,
    "max_retries": MAX_RETRIES,
    "autoretry_for": (Exception,),
    "retry_backoff": 2,
    "retry_backoff_max": _BACKOFF_MAX_S,
    "retry_jitter": True,
}


@app.task(name="plain.render", **_RETRYING)  # type: ignore[untyped-decorator]
def render(_task: Any, job: dict[str, str]) -> None:
    """Buy a picture unless it is there, and hand it on."""
    key = f"pictures/{job['key']}.jpg"
    if not _is_there(key):
        _put(key, _buy(Job(**job)), "image/jpeg")
    finish.delay(job)


@app.task(name="plain.finish", **_RETRYING)  # type: ignore[untyped-decorator]
def finish(_task: Any, job: dict[str, str]) -> None:
    """Make the delivery file and write the result."""
    if _is_there(_result_key(job["key"])):
        return
    master_key, web_key = f"pictures/{job['key']}.jpg", f"pictures/{job['key']}-web.webp"
    master = _s3().get_object(Bucket=_bucket(), Key=master_key)["Body"].read()
    web = _web(master)
    _put(web_key, web, "image/webp")
    images = [_described(master_key, master), _described(web_key, web)]
    result = {"key": job["key"], "status": "succeeded", "images": images}
    _put(_result_key(job["key"]), json.dumps(result).encode(), "application/json")


def enqueue(jobs: Iterable[Job]) -> int:
    """Send one message per picture; returns how many."""
    count = 0
    for job in jobs:
        render.delay(asdict(job))
        count += 1
    return count


def manifest() -> list[dict[str, Any]]:
    """Every result there is."""
    pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=_bucket(), Prefix="results/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    return [json.loads(_s3().get_object(Bucket=_bucket(), Key=key)["Body"].read()) for key in keys]


def _buy(job: Job) -> bytes:
    photo = _s3().get_object(Bucket=_bucket(), Key=job.photo)["Body"].read()
    asked: list[Any] = [types.Part.from_bytes(data=photo, mime_type=job.photo_type), job.prompt]
    answer = _model().models.generate_content(
        model=job.model,
        contents=asked,
        config=types.GenerateContentConfig(
            response_modalities=["IMAGE"],
            image_config=types.ImageConfig(aspect_ratio=job.ratio, image_size=job.size),
        ),
    )
    for part in answer.parts or ():
        if part.inline_data is not None and part.inline_data.data:
            return part.inline_data.data
    message = f"no picture for {job.key}"
    raise NoPicture(message)


def _web(master: bytes) -> bytes:
    with Image.open(io.BytesIO(master)) as picture:
        picture.thumbnail((_WEB_PX, _WEB_PX))
        written = io.BytesIO()
        picture.save(written, "WEBP", quality=82)
    return written.getvalue()


def _described(key: str, content: bytes) -> dict[str, Any]:
    return {"key": key, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _result_key(key: str) -> str:
    return f"results/{key}.json"


@functools.cache
def _model() -> genai.Client:
    deadline_ms = int(float(os.environ.get("PLAIN_DEADLINE_S", "60")) * 1000)
    return genai.Client(http_options=types.HttpOptions(timeout=deadline_ms))


@functools.cache
def _s3() -> Any:
    config = Config(
        connect_timeout=5,
        read_timeout=20,
        max_pool_connections=128,
        retries={"mode": "standard", "total_max_attempts": 3},
        s3={"addressing_style": "path"},
    )
    return boto3.client("s3", config=config)


def _bucket() -> str:
    return os.environ["PLAIN_BUCKET"]


def _is_there(key: str) -> bool:
    try:
        _s3().head_object(Bucket=_bucket(), Key=key)
    except ClientError as exc:
        if exc.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _put(key: str, content: bytes, media_type: str) -> None:
    _s3().put_object(Bucket=_bucket(), Key=key, Body=content, ContentType=media_type)


def main() -> None:
    """Enqueue the jobs that stand on standard input as JSON Lines, or print the manifest."""
    if sys.argv[1:] == ["manifest"]:
        json.dump(manifest(), sys.stdout)
        return
    sent = enqueue(Job(**json.loads(line)) for line in sys.stdin)
    sys.stderr.write(f"{sent} pictures enqueued\n")


if __name__ == "__main__":
    main()
