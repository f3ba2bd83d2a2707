"""What does Celery's own recipe make of a shared limit?

``rate_limit`` on the task, which each worker keeps for itself: so the limit is divided by the
number of workers, as everybody has to. ``autoretry_for`` every error of the API, with exponential
backoff and jitter and no end of retries; the SDK does not retry by itself. Threads, late
acknowledgement, prefetch 1, no result backend.

Variables: ``PLAIN_REDIS_URL``, ``PLAIN_FOLDER``, ``PLAIN_RATE`` (such as ``300/m``, or empty);
``GEMINI_API_KEY`` and ``GOOGLE_GEMINI_BASE_URL`` as everywhere.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from celery import Celery
from google import genai
from google.genai import errors, types

app = Celery("plain_quota", broker=os.environ.get("PLAIN_REDIS_URL", "memory://"))
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3_600},
)


@functools.cache
def _client() -> genai.Client:
    return genai.Client()


@app.task(  # type: ignore[untyped-decorator]
    name="plain.quota",
    rate_limit=os.environ.get("PLAIN_RATE") or None,
    autoretry_for=(errors.APIError,),
    retry_backoff=1,
    retry_backoff_max=60,
    retry_jitter=True,
    max_retries=None,
)
def render(number: int, model: str, photo: str) -> None:
    """Buy one picture and write it down."""
    content = Path(photo).read_bytes()
    parts: list[Any] = [
        types.Part.from_bytes(data=content, mime_type="image/jpeg"),
        f"Product {number} on an oak shelf",
    ]
    reply = _client().models.generate_content(
        model=model,
        contents=parts,
        config=types.GenerateContentConfig(response_modalities=["IMAGE"]),
    )
    for part in (reply.candidates or [])[0].content.parts:  # type: ignore[union-attr]
        if part.inline_data is not None:
            folder = Path(os.environ["PLAIN_FOLDER"])
            (folder / f"{number}.jpg").write_bytes(part.inline_data.data or b"")
