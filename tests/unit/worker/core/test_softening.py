"""Is a refused prompt asked in softer words, once each, and only where that may help?"""

from __future__ import annotations

from typing import Any

import pytest

from catalog import claims, keys
from catalog.claims import RenderClaim
from catalog.connection import QueueUnavailable
from catalog.imports import PlannedSlot
from catalog.money import Usd
from catalog.open_calls import OpenCall
from catalog.renders import LedgerLine, Refusal
from catalog.store.port import sha256_hex
from producers import retrying
from producers.retrying import Selection
from producers.services import Services
from tests.support.desk import ESTIMATE, PRICE, STORE_ID, Workplace, address, wanted
from worker.concluding import conclude_call
from worker.errors import OutcomeUnknown, PromptBlocked, TryLater
from worker.model import Usage
from worker.plans import slot_at
from worker.refusals import SOFTENED, next_wording, remember

PROMPT = "knife in the kitchen"
SOFTER = ("a knife on a table", "a knife on grey")
TEXT_ONLY = Usage(input_tokens=2_000, output_text_tokens=100)


def no(word: str = "IMAGE_SAFETY") -> PromptBlocked:
    """What a call brings that is refused."""
    return PromptBlocked("prompt.blocked", f"refused ({word})", word, TEXT_ONLY)


def place_with(*script: Any, softer: tuple[str, ...] = SOFTER, **limits: Any) -> Workplace:
    """An import of one slot with softer prompts, and what the model answers first."""
    place = Workplace(**limits)
    place.model.script = list(script)
    order(place, "monday", softer=softer)
    return place


def order(place: Workplace, import_id: str, *, softer: tuple[str, ...] = SOFTER) -> None:
    place.order(import_id, [wanted("knife", "kitchen", softer={"kitchen": softer})])


def asked(place: Workplace) -> list[str]:
    """The prompts that were sent, in order."""
    return [request.prompt for request in place.model.asked]


def refused(place: Workplace) -> Refusal:
    """The one refusal that is remembered."""
    (key,) = (key for key in place.store.keys if key.endswith("/refused.json"))
    return Refusal.from_json(place.store.content(key))


def retry(place: Workplace, *statuses: Any) -> None:
    """Say ``skuscene retry monday``."""
    state: Any = place.desk.state
    queue: Any = place.queue
    services = Services(store=place.desk.store, store_id=STORE_ID, state=state, queue=queue)
    retrying.retry(services, "monday", Selection(statuses=statuses))


# -- what is asked -------------------------------------------------------------------------------


def test_a_softer_prompt_brings_the_picture_and_everybody_says_so() -> None:
    place = place_with(no(), no("RECITATION"))
    place.run()

    line = place.line("monday", "knife", "kitchen")
    record = place.record(line.render_id)
    assert asked(place) == [PROMPT, *SOFTER]
    assert place.ledger.outcomes == ["blocked", "blocked", "picture"]
    assert [one.softened for one in place.ledger.lines] == [0, 1, 2]
    assert len({one.call for one in place.ledger.lines}) == 3
    assert line.status == "succeeded"
    assert line.cost_usd == PRICE + sum((one.cost_usd for one in place.ledger.lines[:2]), Usd(0))
    assert line.provenance is not None
    assert line.provenance.softened == 2
    assert line.provenance.prompt_sha256 == sha256_hex(PROMPT.encode())
    assert line.provenance.sent_prompt_sha256 == sha256_hex(SOFTER[1].encode())
    assert (record.softened, record.prompt_sent) == (2, SOFTER[1])
    assert record.spec.prompt == PROMPT
    assert record.spec.spec().fingerprint == record.fingerprint
    assert place.sold == {SOFTER[1]: 1}
    place.assert_manifests_hold()


def test_all_are_asked_once_and_then_the_render_is_blocked_for_good() -> None:
    place = place_with(no(), no(), no("SAFETY"))
    place.run()
    order(place, "tuesday")
    place.run()

    told = refused(place)
    assert asked(place) == [PROMPT, *SOFTER]
    assert [place.statuses(name) for name in ("monday", "tuesday")] == [{"blocked": 1}] * 2
    assert place.line("monday", "knife", "kitchen").message == "SAFETY: refused (SAFETY)"
    assert (told.prompts, told.finish_reason, told.final) == ((PROMPT, *SOFTER), "SAFETY", True)
    assert told.cost_usd == place.manifest("monday").cost_usd.spent
    assert told.cost_usd == sum((one.cost_usd for one in place.ledger.lines), Usd(0))
    assert place.sold.total() == 0


@pytest.mark.parametrize(
    "word", ["PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "JAILBREAK"]
)
def test_what_is_forbidden_is_never_asked_in_other_words(word: str) -> None:
    place = place_with(no(word))
    place.run()
    order(place, "tuesday", softer=("something else",))
    place.run()

    assert asked(place) == [PROMPT]
    assert [place.statuses(name) for name in ("monday", "tuesday")] == [{"blocked": 1}] * 2
    assert refused(place).final
    assert place.sold.total() == 0


def test_a_harder_word_for_softer_words_ends_it() -> None:
    place = place_with(no(), no("BLOCKLIST"))
    place.run()

    assert asked(place) == [PROMPT, SOFTER[0]]
    assert place.statuses("monday") == {"blocked": 1}
    assert (refused(place).finish_reason, refused(place).final) == ("BLOCKLIST", True)
    assert place.sold.total() == 0


def test_a_refusal_is_no_attempt_and_a_failing_softer_prompt_is_asked_again() -> None:
    away = TryLater("model.unavailable", "503")
    place = place_with(no(), away, away, max_attempts=3)
    place.run()

    assert asked(place) == [PROMPT, SOFTER[0], SOFTER[0], SOFTER[0]]
    assert place.line("monday", "knife", "kitchen").attempts == 3
    assert place.sold == {SOFTER[0]: 1}


def test_a_scene_without_softer_prompts_reads_and_writes_what_it_always_did() -> None:
    place = place_with(no(), softer=())
    place.run()

    (key,) = (key for key in place.store.keys if key.endswith("/refused.json"))
    assert b"final" not in place.store.content(key)
    assert place.store.calls.count(("read", key)) == 3  # two looks before the call, and its own
    assert asked(place) == [PROMPT]


# -- what is remembered --------------------------------------------------------------------------


def test_a_later_import_asks_only_what_was_not_tried() -> None:
    place = place_with(no(), no(), softer=SOFTER[:1])
    place.run()
    order(place, "tuesday", softer=(SOFTER[0], "a knife, drawn"))
    place.run()

    assert asked(place) == [PROMPT, SOFTER[0], "a knife, drawn"]
    assert place.statuses("tuesday") == {"succeeded": 1}
    assert place.record(place.lines("tuesday")[0].render_id).prompt_sent == "a knife, drawn"
    assert place.sold == {"a knife, drawn": 1}


def test_the_record_has_the_buyers_words_whoever_finishes_it() -> None:
    place = place_with(no())
    place.run(until=lambda: any(one.task == claims.FINISH for one in place.queue.waiting))
    (message,) = place.queue.waiting
    place.queue.waiting.clear()
    order(place, "tuesday", softer=("entirely other words",))
    place.run()
    place.queue.waiting.append(message)
    place.run()

    assert place.statuses("tuesday") == {"reused": 1}
    assert place.record(place.lines("tuesday")[0].render_id).prompt_sent == SOFTER[0]
    assert place.sold.total() == 1


def test_a_person_who_asks_again_begins_at_the_first_prompt() -> None:
    place = place_with(no(), no(), no())
    place.run()
    place.model.script = [no()]
    retry(place, "blocked")
    place.settle_down()

    assert asked(place)[3:] == [PROMPT, SOFTER[0]]
    assert refused(place).prompts == (PROMPT,)
    assert refused(place).revision == 2
    assert place.statuses("monday") == {"succeeded": 1}
    assert place.sold == {SOFTER[0]: 1}


def test_refusals_that_are_too_old_are_asked_from_the_first_prompt() -> None:
    place = place_with(no(), no(), no(), refusal_max_age_s=86_400.0)
    place.run()
    place.clock.sleep(86_401)
    order(place, "tuesday")
    place.run()

    assert asked(place)[3:] == [PROMPT]
    assert place.sold == {PROMPT: 1}


def test_slots_that_share_a_render_share_its_refusals_and_its_softer_picture() -> None:
    place = Workplace()
    place.model.script = [no()]
    shared: dict[str, Any] = {
        "prompts": {"kitchen": PROMPT},
        "photos": [address("knife")],
        "softer": {"kitchen": SOFTER},
    }
    place.order("monday", [wanted("knife", **shared), wanted("twin", **shared)])
    place.run()

    assert asked(place) == [PROMPT, SOFTER[0]]
    assert place.statuses("monday") == {"succeeded": 1, "reused": 1}
    assert place.sold == {SOFTER[0]: 1}
    place.assert_manifests_hold()


# -- people and money ----------------------------------------------------------------------------


def test_a_softer_prompt_passes_the_gate_like_any_call() -> None:
    place = Workplace()
    place.model.script = [no()]
    product = wanted("knife", "kitchen", softer={"kitchen": SOFTER})
    place.order("monday", [product], budget_usd=ESTIMATE + Usd(10))
    place.run()

    assert asked(place) == [PROMPT]  # what it cost leaves too little for a picture
    assert place.store.read(keys.manifest("monday")) is None
    assert place.sold.total() == 0


def test_nothing_softer_is_asked_for_an_import_that_was_cancelled_meanwhile() -> None:
    place = place_with(no())
    place.effects.when("replace renders/", lambda: place.tell("monday", "cancel"))
    place.run()

    assert asked(place) == [PROMPT]
    assert place.statuses("monday") == {"cancelled": 1}
    assert place.sold.total() == 0


# -- crashes and losses --------------------------------------------------------------------------


def effects_of_a_softened_import() -> list[str]:
    place = place_with(no(), no())
    place.effects.seen.clear()
    place.settle_down()
    return place.effects.seen


EFFECTS = effects_of_a_softened_import()


@pytest.mark.parametrize(
    "number", range(len(EFFECTS)), ids=[f"{at}-{name[:20]}" for at, name in enumerate(EFFECTS)]
)
def test_a_death_before_any_effect_asks_no_remembered_prompt_again(number: int) -> None:
    place = Workplace()
    answer_by_prompt(place, refuse={PROMPT, SOFTER[0]})
    order(place, "monday")
    place.effects.seen.clear()
    place.effects.die_before = number

    place.run(until=lambda: place.deaths > 0)
    place.settle_down()

    effect = EFFECTS[number]
    # Between an answer and the first word of it to anybody: as for a picture, it is asked again.
    told_last = len(EFFECTS) - 1 - EFFECTS[::-1].index("state.end")  # its picture is kept by then
    unsaid = (effect == "state.end" and number != told_last) or "/take-" in effect
    assert place.deaths == 1
    assert len(place.model.asked) == 3 + unsaid
    assert place.statuses("monday") == {"succeeded": 1}
    assert place.record(place.lines("monday")[0].render_id).prompt_sent == SOFTER[1]
    assert refused(place).prompts == (PROMPT, SOFTER[0])
    calls = {one.call: one for one in place.ledger.lines}.values()
    assert [one.outcome for one in calls].count("blocked") == 2
    assert place.desk.state.running() == ()
    place.assert_manifests_hold()


def answer_by_prompt(place: Workplace, *, refuse: set[str]) -> None:
    """Let what is asked decide, however often it is asked."""
    inner = place.model.ask

    def ask(request: Any) -> Any:
        if request.prompt in refuse:
            place.model.script = [no()]
        return inner(request)

    object.__setattr__(place.desk, "ask", ask)


def test_the_loss_of_redis_between_two_prompts_loses_no_refusal() -> None:
    place = place_with(no(), no())

    def lose_redis() -> None:
        place.memory.clear()
        place.queue.waiting.clear()
        raise QueueUnavailable("gone")

    # The first generate message is prepare's, the second one asks for the softer prompt.
    place.effects.when("enqueue skuscene.generate", lambda: None)
    place.effects.when("enqueue skuscene.generate", lose_redis)
    place.settle_down()

    assert asked(place) == [PROMPT, *SOFTER]
    assert place.statuses("monday") == {"succeeded": 1}
    assert place.manifest("monday").cost_usd.spent == sum(
        (one.cost_usd for one in place.ledger.lines), Usd(0)
    )
    assert place.sold == {SOFTER[1]: 1}


def test_a_softer_prompt_without_an_answer_is_doubtful_and_asked_again() -> None:
    place = place_with(no(), OutcomeUnknown("outcome_unknown", "cut"))
    place.run()

    assert asked(place) == [PROMPT, SOFTER[0], SOFTER[0]]
    assert place.ledger.outcomes == ["blocked", "doubtful", "picture"]
    assert place.sold == {SOFTER[0]: 1}


# -- refusals that cross each other --------------------------------------------------------------


def a_call(place: Workplace, prompt: str, *, seconds: float, revision: int = 1) -> OpenCall:
    """A call that left so many seconds from now, and was refused a second later."""
    place.clock.sleep(seconds)
    message = next(one.claim for one in place.queue.waiting if one.task == claims.GENERATE)
    assert isinstance(message, RenderClaim)
    number = slot_at(place.store, "monday", 0, 0).wordings.index(prompt)
    line = LedgerLine(
        at=place.clock(),
        import_id="monday",
        claim=message.name,
        render_id=message.render_id,
        scene="kitchen",
        sku="knife",
        take=1,
        outcome="blocked",
        model_asked="m",
        platform="developer",
        cost_usd=Usd(100),
        run_s=1.0,
        worker="worker-1",
        call=f"{number}{seconds:03.0f}".ljust(32, "0"),
        revision=revision,
        softened=number,
    )
    place.clock.sleep(1)
    refusal = Refusal(
        render_id=message.render_id,
        reason="prompt.blocked",
        message="no",
        finish_reason="SAFETY",
        prompts=(prompt,),
        cost_usd=Usd(100),
        refused_at=place.clock(),
        import_id="monday",
        revision=revision,
        final=False,
    )
    return OpenCall(
        call=line.call,
        import_id="monday",
        part=0,
        slot=0,
        render_id=message.render_id,
        micro_usd=0,
        lease="l",
        state="ended",
        line=line,
        refusal=refusal,
    )


def prepared() -> Workplace:
    place = place_with()
    place.run(until=lambda: any(one.task == claims.GENERATE for one in place.queue.waiting))
    return place


def test_a_late_refusal_takes_no_prompt_out_of_the_memory() -> None:
    place = prepared()
    calls = [a_call(place, prompt, seconds=5) for prompt in (PROMPT, *SOFTER)]

    for call in (calls[1], calls[2], calls[0]):
        conclude_call(place.desk, call)

    assert set(refused(place).prompts) == {PROMPT, *SOFTER}
    assert refused(place).final
    assert refused(place).cost_usd == Usd(300)


def test_who_asks_at_the_very_moment_of_anothers_answer_asks_after_it() -> None:
    place = prepared()
    order(place, "tuesday")
    first, second = (a_call(place, prompt, seconds=0) for prompt in (PROMPT, SOFTER[0]))
    assert second.line is not None
    assert first.refusal is not None
    assert second.refusal is not None
    assert second.line.at == first.refusal.refused_at
    line = second.line.changed(import_id="tuesday", claim=f"tuesday/{second.part}/{second.slot}")
    of_tuesday = second.refusal.changed(import_id="tuesday")
    conclude_call(place.desk, first)
    conclude_call(place.desk, second.changed(import_id="tuesday", line=line, refusal=of_tuesday))

    # Named Monday's, a retry of Monday's would throw away what was refused after it began.
    assert refused(place).import_id == "tuesday"
    assert refused(place).prompts == (PROMPT, SOFTER[0])


def test_what_was_written_down_before_is_not_counted_again() -> None:
    place = prepared()
    call = a_call(place, PROMPT, seconds=1)

    for _ in range(3):
        conclude_call(place.desk, call)

    assert refused(place).cost_usd == Usd(100)
    assert not refused(place).final


def test_two_who_write_at_once_both_stand() -> None:
    place = prepared()
    first, second = (a_call(place, prompt, seconds=1) for prompt in (PROMPT, SOFTER[0]))
    assert first.refusal is not None
    assert second.refusal is not None
    other = first.refusal
    place.effects.when("replace renders/", lambda: remember(place.desk, first, other))

    remember(place.desk, second, second.refusal)

    assert refused(place).prompts == (PROMPT, SOFTER[0])


def test_a_hard_refusal_stands_whatever_comes_late() -> None:
    place = prepared()
    late, hard = (a_call(place, prompt, seconds=1) for prompt in (PROMPT, SOFTER[0]))
    assert hard.refusal is not None
    conclude_call(place.desk, hard.changed(refusal=hard.refusal.changed(finish_reason="BLOCKLIST")))

    conclude_call(place.desk, late)

    assert refused(place).finish_reason == "BLOCKLIST"
    assert refused(place).final


# -- which comes next ----------------------------------------------------------------------------


def test_the_next_wording_is_the_first_softer_one_that_was_not_refused() -> None:
    place = prepared()
    slot: PlannedSlot = slot_at(place.store, "monday", 0, 0)
    call = a_call(place, PROMPT, seconds=1)
    assert call.refusal is not None
    told = call.refusal

    assert next_wording(slot, None) == 0
    assert next_wording(slot, told) == 1
    assert next_wording(slot, told.changed(prompts=(PROMPT, SOFTER[1]))) == 1
    assert next_wording(slot, told.changed(prompts=(PROMPT, SOFTER[0]))) == 2
    assert next_wording(slot, told.changed(prompts=(PROMPT, *SOFTER))) is None
    assert next_wording(slot.changed(softer=()), told) is None
    assert next_wording(slot.changed(softer=()), told.changed(prompts=("of old",))) is None


def test_only_safety_and_recitation_are_softened() -> None:
    assert {"SAFETY", "IMAGE_SAFETY", "RECITATION", "IMAGE_RECITATION"} == SOFTENED
