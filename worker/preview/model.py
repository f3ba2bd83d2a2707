"""How is a picture bought from nobody?"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from catalog.models import load_models
from worker.model import Answer, Usage
from worker.preview.compose import compose

if TYPE_CHECKING:
    from worker.model import TakeRequest


class PreviewModel:
    """An :class:`worker.model.ImageModel` that draws on this machine: 0.4 s of one core at 1K."""

    async def render(self, request: TakeRequest) -> Answer:
        """Draw one picture, in a thread; it never fails and is never billed."""
        sent_at = datetime.now(UTC)
        offer = load_models().resolve("preview", platform="developer")
        width_px, height_px = offer.pixels(request.ratio, request.size)
        content = await asyncio.to_thread(
            compose,
            [photo.content for photo in request.references],
            prompt=request.prompt,
            scene=request.scene,
            width_px=width_px,
            height_px=height_px,
            seed=request.seed,
        )
        return Answer(
            content=content,
            media_type="image/jpeg",
            model_answered=offer.id,
            response_id=f"preview-{hashlib.sha256(content).hexdigest()[:16]}",
            usage=Usage(),
            sent_at=sent_at,
            answered_at=datetime.now(UTC),
        )

    async def open(self) -> None:
        """Nothing is needed."""

    async def aclose(self) -> None:
        """Nothing is open."""
