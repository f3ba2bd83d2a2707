"""Which renders does the contact sheet show when there are too many to look at?

All if they fit. Else first those that want a person's eyes, then pictures, then what was cancelled;
a group that does not fit whole is thinned out evenly over the feed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from catalog.results import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.results import RenderCounts, ResultLine

MAX_RENDERS: Final = 2_000
"""More than a person looks through, and as much as a phone's browser holds with ease."""

_GROUPS: Final = (
    (Status.FAILED, Status.BLOCKED, Status.REVIEW),
    (Status.SUCCEEDED, Status.REUSED),
    (Status.CANCELLED,),
)


def sample(
    lines: Iterator[ResultLine], counts: RenderCounts, *, max_renders: int = MAX_RENDERS
) -> Iterator[ResultLine]:
    """Pass through the lines to show, in their order; reads each once and keeps none.

    ``counts`` are those of all lines. The same lines are picked every time.
    """
    spread: dict[Status, Spread] = {}
    room = max_renders
    for group in _GROUPS:
        count = sum(getattr(counts, status.value) for status in group)
        picker = Spread(wanted=min(count, room), of=count)
        spread |= dict.fromkeys(group, picker)
        room -= picker.wanted
    return (line for line in lines if spread[line.status].takes_next())


class Spread:
    """Picks ``wanted`` of so many that come one after the other, one from each stretch.

    Which one of its stretch changes from stretch to stretch: every n-th render would be the same
    scene of every product.
    """

    def __init__(self, *, wanted: int, of: int) -> None:
        self.wanted = wanted
        self._of = of
        self._seen = 0
        self._stretch = 0

    def takes_next(self) -> bool:
        """Whether the one that comes now is picked."""
        at = self._seen
        self._seen += 1
        if self._stretch >= self.wanted or at < self._pick():
            return False
        self._stretch += 1
        return True

    def _pick(self) -> int:
        first = self._stretch * self._of // self.wanted
        behind = (self._stretch + 1) * self._of // self.wanted
        digest = hashlib.sha256(self._stretch.to_bytes(8, "big")).digest()
        return first + int.from_bytes(digest[:8], "big") % (behind - first)
