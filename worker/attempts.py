"""Are a slot's attempts used up?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.open_calls import Tries
    from worker.ports import Limits


def why_used_up(tries: Tries, limits: Limits) -> str | None:
    """Why no more calls to a model are made for a slot; ``None`` if one may be."""
    if tries.attempts >= limits.max_attempts:
        return f"all {tries.attempts} attempts are used up"
    if tries.doubtful > limits.max_doubtful:
        return f"{tries.doubtful} calls left and were never answered"
    return None
