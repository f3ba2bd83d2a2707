"""What does an asyncio script with a semaphore and tenacity make of a shared limit?

    python quota_asyncio.py CALLS MODEL PHOTO FOLDER IN_FLIGHT

The recipe of the SDK's issue threads: ``asyncio.gather`` over a semaphore, each call retried with
random exponential backoff up to a minute until it succeeds. One process; what it knows of limits is
the number of calls in flight.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from google import genai
from google.genai import errors, types
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential


async def main(calls: int, model: str, content: bytes, folder: Path, in_flight: int) -> None:
    """Buy so many pictures."""
    client = genai.Client()
    gate = asyncio.Semaphore(in_flight)

    async def buy(number: int) -> None:
        parts: list[Any] = [
            types.Part.from_bytes(data=content, mime_type="image/jpeg"),
            f"Product {number} on an oak shelf",
        ]
        async with gate:
            async for attempt in AsyncRetrying(
                wait=wait_random_exponential(multiplier=1, max=60),
                retry=retry_if_exception_type(errors.APIError),
            ):
                with attempt:
                    reply = await client.aio.models.generate_content(
                        model=model,
                        contents=parts,
                        config=types.GenerateContentConfig(response_modalities=["IMAGE"]),
                    )
                    await asyncio.to_thread(_write, folder / f"{number}.jpg", reply)

    await asyncio.gather(*(buy(number) for number in range(calls)))


def _write(path: Path, reply: types.GenerateContentResponse) -> None:
    for part in (reply.candidates or [])[0].content.parts:  # type: ignore[union-attr]
        if part.inline_data is not None:
            path.write_bytes(part.inline_data.data or b"")


if __name__ == "__main__":
    photo = Path(sys.argv[3]).read_bytes()
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], photo, Path(sys.argv[4]), int(sys.argv[5])))
