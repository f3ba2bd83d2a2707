"""What does LiteLLM's router make of a shared limit?

    python quota_litellm.py CALLS MODEL PHOTO FOLDER IN_FLIGHT [CALLS_PER_MINUTE]

One deployment behind ``litellm.Router``; where the limit is known, it is the deployment's ``rpm``
and the router is told to keep it (``enforce_model_rate_limits``). Retries are the router's own, and
whoever is refused to the end asks again. One process, calls in flight bounded by a semaphore. It
runs in an environment of its own: LiteLLM is no dependency of this project.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path
from typing import Any

import litellm


def router(model: str, calls_per_minute: int | None) -> Any:
    """A router over the one deployment."""
    params: dict[str, Any] = {
        "model": f"gemini/{model}",
        "api_key": os.environ["GEMINI_API_KEY"],
        "api_base": f"{os.environ['GOOGLE_GEMINI_BASE_URL']}/v1beta",
        "timeout": 120,
    }
    checks: list[str] = []
    if calls_per_minute is not None:
        params["rpm"] = calls_per_minute
        checks = ["enforce_model_rate_limits"]
    return litellm.Router(
        model_list=[{"model_name": "pictures", "litellm_params": params}],
        num_retries=8,
        # It would leave a deployment that is refused out for a while, and this is the only one.
        disable_cooldowns=True,
        optional_pre_call_checks=checks,
    )


async def main(ask: Any, calls: int, content: bytes, folder: Path, in_flight: int) -> None:
    """Buy so many pictures."""
    gate = asyncio.Semaphore(in_flight)
    photo = f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"

    async def buy(number: int) -> None:
        said = [
            {"type": "image_url", "image_url": {"url": photo}},
            {"type": "text", "text": f"Product {number} on an oak shelf"},
        ]
        async with gate:
            while True:
                try:
                    reply = await ask.acompletion(
                        model="pictures",
                        messages=[{"role": "user", "content": said}],
                        modalities=["image", "text"],
                    )
                except (litellm.exceptions.APIError, litellm.exceptions.RateLimitError):
                    await asyncio.sleep(1)
                    continue
                await asyncio.to_thread(_write, folder / f"{number}.jpg", reply)
                return

    await asyncio.gather(*(buy(number) for number in range(calls)))


def _write(path: Path, reply: Any) -> None:
    for image in reply.choices[0].message.images or []:
        path.write_bytes(base64.b64decode(image["image_url"]["url"].partition(",")[2]))


if __name__ == "__main__":
    limit = int(sys.argv[6]) if len(sys.argv) > 6 else None
    picture = Path(sys.argv[3]).read_bytes()
    known = router(sys.argv[2], limit)
    asyncio.run(main(known, int(sys.argv[1]), picture, Path(sys.argv[4]), int(sys.argv[5])))
