"""Does a call end in time with the right word for it, whatever the model does?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.desk import MODEL, MONDAY
from worker.calls import Calls
from worker.errors import OutcomeUnknown, TryLater
from worker.model import Answer, TakeRequest, Usage

ANSWER = Answer(
    content=b"a picture",
    media_type="image/jpeg",
    model_answered=MODEL,
    response_id="answer-1",
    usage=Usage(),
    sent_at=MONDAY,
    answered_at=MONDAY,
)


def _request(deadline_s: float = 5.0) -> TakeRequest:
    return TakeRequest(
        model_id=MODEL,
        prompt="a mug",
        references=(),
        ratio="4:5",
        size="1K",
        seed=1,
        scene="kitchen",
        deadline_s=deadline_s,
    )


class _Model:
    def __init__(self, answer: Callable[[], Awaitable[Answer]]) -> None:
        self._answer = answer
        self.asked: list[TakeRequest] = []

    async def render(self, request: TakeRequest) -> Answer:
        self.asked.append(request)
        return await self._answer()

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


@contextmanager
def _calls(answer: Callable[[], Awaitable[Answer]]) -> Iterator[Calls]:
    calls = Calls(_Model(answer))
    try:
        yield calls
    finally:
        calls.close()


def test_an_answer_comes_back_as_it_is() -> None:
    async def answer() -> Answer:
        return ANSWER

    with _calls(answer) as calls:
        assert calls.ask(_request()) is ANSWER


def test_the_models_own_word_for_a_failure_is_kept() -> None:
    async def answer() -> Answer:
        raise TryLater("model.unavailable", "503", 3.0)

    with _calls(answer) as calls, pytest.raises(TryLater) as failed:
        calls.ask(_request())
    assert failed.value.retry_after_s == 3.0


def test_a_silent_model_is_left_at_the_deadline_and_may_have_been_paid() -> None:
    async def answer() -> Answer:
        await asyncio.Event().wait()
        return ANSWER

    with _calls(answer) as calls, pytest.raises(OutcomeUnknown, match="SKUSCENE_MODEL_DEADLINE_S"):
        calls.ask(_request(deadline_s=0.05))


@pytest.mark.parametrize("cut", [asyncio.CancelledError, TimeoutError])
def test_a_call_that_is_cut_off_may_have_been_paid(cut: type[BaseException]) -> None:
    async def answer() -> Answer:
        raise cut

    with _calls(answer) as calls, pytest.raises(OutcomeUnknown):
        calls.ask(_request())


def test_many_calls_wait_at_the_same_time() -> None:
    together = 40
    waiting = 0
    all_there: list[asyncio.Event] = []

    async def answer() -> Answer:
        nonlocal waiting
        if not all_there:
            all_there.append(asyncio.Event())
        waiting += 1
        if waiting == together:
            all_there[0].set()
        await all_there[0].wait()
        return ANSWER

    answers: list[Answer] = []
    with _calls(answer) as calls:
        threads = [
            threading.Thread(target=lambda: answers.append(calls.ask(_request())))
            for _ in range(together)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert len(answers) == together


def test_after_closing_nothing_is_sent_and_closing_again_is_harmless() -> None:
    async def answer() -> Answer:
        return ANSWER

    model = _Model(answer)
    calls = Calls(model)
    calls.close()

    with pytest.raises(TryLater, match="is stopping"):
        calls.ask(_request())
    calls.close()
    assert model.asked == []


def test_a_model_that_cannot_be_closed_does_not_keep_the_process() -> None:
    class Stuck(_Model):
        async def aclose(self) -> None:
            raise ConnectionResetError

    async def answer() -> Answer:
        return ANSWER

    calls = Calls(Stuck(answer))

    calls.close()

    assert not calls._thread.is_alive()
