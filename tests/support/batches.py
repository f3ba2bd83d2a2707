"""What does a batch service look like that is in memory, and goes wrong as it is told to?"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from catalog.claims import RenderClaim
from tests.support.memory import MemoryState
from worker.batch_model import Batch, BatchLine, BatchResult, BatchState
from worker.errors import OutcomeUnknown, RenderError
from worker.model import Answer, TakeRequest


@dataclass(slots=True)
class Running:
    """A batch on the platform's side."""

    batch: Batch
    lines: list[BatchLine]
    results: list[BatchResult] = field(default_factory=list)


class MemoryBatches:
    """A :class:`worker.batch_model.BatchModel`; ``before`` is called before each effect.

    ``answer`` makes a line's answer, or raises what it is refused with. ``loses_reply`` is how many
    of the next creates go through without an answer.
    """

    def __init__(
        self,
        answer: Callable[[TakeRequest], Answer],
        before: Callable[[str], None] = lambda _effect: None,
    ) -> None:
        self.answer = answer
        self.before = before
        self.loses_reply = 0
        self.files: dict[str, list[BatchLine]] = {}
        self.running: dict[str, Running] = {}
        self.downloads: Counter[str] = Counter()
        self._numbers = itertools.count(1)

    # -- the port ----------------------------------------------------------------------------

    def upload(self, display_name: str, lines: Iterable[BatchLine]) -> str:
        kept = list(lines)
        self.before(f"batch upload {display_name}")
        place = f"files/{next(self._numbers)}"
        self.files[place] = kept
        return place

    def create(self, model_id: str, display_name: str, place: str) -> Batch:  # noqa: ARG002
        self.before(f"batch create {display_name}")
        batch = Batch(
            name=f"batches/{next(self._numbers)}",
            display_name=display_name,
            state=BatchState.PENDING,
            requests=len(self.files[place]),
        )
        self.running[batch.name] = Running(batch, self.files[place])
        if self.loses_reply:
            self.loses_reply -= 1
            raise OutcomeUnknown("outcome_unknown", "the reply was lost")
        return batch

    def find(self, display_name: str) -> tuple[Batch, ...]:
        return tuple(
            one.batch for one in self.running.values() if one.batch.display_name == display_name
        )

    def get(self, name: str) -> Batch | None:
        return self.running[name].batch if name in self.running else None

    def cancel(self, name: str) -> None:
        self.before(f"batch cancel {name}")
        self.end(name, BatchState.CANCELLED, share=0.0)

    def results(self, batch: Batch, *, sent_at: datetime) -> Iterator[BatchResult]:
        self.downloads[batch.name] += 1
        for result in self.running[batch.name].results:
            answer = result.answer
            yield replace(result, answer=replace(answer, sent_at=sent_at)) if answer else result

    def forget(self, place: str) -> None:
        self.files.pop(place, None)

    def close(self) -> None:
        """Do nothing."""

    # -- the platform ------------------------------------------------------------------------

    def end(
        self, name: str, state: BatchState = BatchState.SUCCEEDED, *, share: float = 1.0
    ) -> None:
        """Let a batch end, with answers to the first ``share`` of its lines, last one first."""
        running = self.running[name]
        lines = running.lines[: round(len(running.lines) * share)]
        running.results = [self._result(line) for line in reversed(lines)]
        running.batch = replace(
            running.batch,
            state=state,
            answered=sum(result.answer is not None for result in running.results),
            refused=sum(result.answer is None for result in running.results),
            results=f"{name}/results",
        )

    def end_all(self, state: BatchState = BatchState.SUCCEEDED, *, share: float = 1.0) -> None:
        """Let every batch end that has not."""
        for name, running in self.running.items():
            if not running.batch.is_over:
                self.end(name, state, share=share)

    def _result(self, line: BatchLine) -> BatchResult:
        try:
            return BatchResult(key=line.key, answer=self.answer(line.request))
        except RenderError as fault:
            return BatchResult(key=line.key, fault=fault)


class MemoryGathering:
    """:class:`catalog.gathering.Gathering` in memory; forgets what the state has forgotten."""

    def __init__(self, state: MemoryState, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock
        self._claims: dict[tuple[str, int], dict[int, RenderClaim]] = {}
        self._at: dict[tuple[str, int], float] = {}

    def gather(self, claim: RenderClaim) -> bool:
        if claim.slot not in self._state.open_slots(claim.import_id, claim.part):
            return False
        place = (claim.import_id, claim.part)
        self._claims.setdefault(place, {})[claim.slot] = claim
        self._at[place] = self._clock()
        return True

    def gathered(self, import_id: str) -> dict[int, tuple[RenderClaim, ...]]:
        return {
            part: tuple(claims[slot] for slot in sorted(claims))
            for (of, part), claims in sorted(self._claims.items())
            if of == import_id and claims
        }

    def quiet_s(self, import_id: str, part: int) -> float:
        last = self._at.get((import_id, part))
        return 0.0 if last is None else self._clock() - last

    def drop(self, import_id: str, part: int, slots: Iterable[int]) -> None:
        for slot in slots:
            self._claims.get((import_id, part), {}).pop(slot, None)

    def clear(self) -> None:
        """Lose all, as with Redis."""
        self._claims.clear()
        self._at.clear()
