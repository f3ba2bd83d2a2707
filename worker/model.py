"""What do we ask of an image model, and what does it give back?

The port that :mod:`worker.generate` buys through. Adapters (``worker.gemini.model``,
``worker.preview.model``) implement :class:`ImageModel` and translate their library's failures into
:mod:`worker.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePhoto:
    """A normalised product photo, ready to be sent."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRequest:
    """One picture, as asked of a model.

    ``ratio`` is ``"4:5"``-like, ``size`` one of ``512, 1K, 2K, 4K``; ``seed`` is best effort.
    ``scene`` is the scene's name: a hint to models that draw the set themselves, never sent.
    ``deadline_s`` bounds the whole call, connection included. ``pool`` names whose key and limits
    it goes by, the only one's if it names none.
    """

    model_id: str
    prompt: str
    references: tuple[ReferencePhoto, ...]
    ratio: str
    size: str
    seed: int
    scene: str
    deadline_s: float
    pool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the model reported them; zero where it reported nothing."""

    input_tokens: int = 0
    output_image_tokens: int = 0
    output_text_tokens: int = 0
    thought_tokens: int = 0

    @property
    def total(self) -> int:
        """Every token that the call is counted with."""
        return (
            self.input_tokens
            + self.output_image_tokens
            + self.output_text_tokens
            + self.thought_tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A picture as the model returned it, byte for byte, and what it says of the call."""

    content: bytes
    media_type: str
    model_answered: str
    response_id: str
    usage: Usage
    sent_at: datetime
    answered_at: datetime


class ImageModel(Protocol):
    """A model that can be asked for one picture."""

    async def render(self, request: TakeRequest) -> Answer:
        """Buy one picture.

        Never retries by itself: one call here is at most one request on the wire.

        Raises:
            TryLater: nothing was sold; ask again after ``retry_after_s``.
            OutcomeUnknown: the request left and no whole answer came back.
            PromptBlocked: the model refuses this prompt.
            NoPicture: an answer without a picture, and without a refusal.
            LaneStopped: a key, billing, permission or model fault.
        """
        ...

    async def open(self) -> None:
        """Load and make what calls need; reaches nothing, and may be left out."""
        ...

    async def aclose(self) -> None:
        """Close the model's connections; safe to call twice."""
        ...
