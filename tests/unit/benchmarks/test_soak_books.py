"""Does the soak's audit find what is lost, what is sold twice, and who is to blame?"""

from __future__ import annotations

from benchmarks._soak_books import Allowance, Findings, Settled, SoldCall, audit
from benchmarks._soak_world import Chronicle, Death

ALLOWANCE = Allowance(attempts=3, doubtful=3)


def call(
    began: float,
    *,
    caller: str = "a",
    outcome: str = "picture",
    fate: str = "delivered",
    run_s: float = 1.0,
    prompt: str = "lamp",
) -> SoldCall:
    sold = outcome in {"picture", "cut"}
    return SoldCall(
        prompt=prompt,
        caller=caller,
        began=began,
        ended=began + run_s,
        outcome=outcome,
        fate=fate,
        sold=sold,
        usd=0.04 if sold else 0.0,
    )


def kept(stored_at: float, prompt: str = "lamp") -> Settled:
    return Settled(prompt=prompt, status="succeeded", reason="", kept=True, stored_at=stored_at)


def failed(reason: str) -> Settled:
    return Settled(prompt="lamp", status="failed", reason=reason, kept=False, stored_at=None)


def found(
    calls: list[SoldCall],
    settled: list[Settled],
    *deaths: Death,
    emptied: tuple[float, ...] = (),
    expected: int = 1,
) -> Findings:
    chronicle = Chronicle(began=0.0, deaths=list(deaths), redis_emptied=list(emptied))
    return audit(calls, settled, chronicle, expected=expected, allowance=ALLOWANCE)


def death(at: float, *, caller: str = "a", how: str = "killed") -> Death:
    return Death(at=at, worker="generate-1", caller=caller, how=how)


def test_a_picture_bought_once_and_kept_costs_nothing_extra() -> None:
    findings = found([call(0.0)], [kept(1.5)])

    assert (findings.lost, findings.extra, findings.unexplained) == (0, 0, [])
    assert findings.wasted_usd_per_1000 == 0


def test_a_render_without_an_outcome_is_lost() -> None:
    assert found([call(0.0)], [], expected=1).lost == 1


def test_a_second_sale_after_a_kill_in_the_call_is_explained_by_it() -> None:
    findings = found([call(0.0), call(30.0, caller="b")], [kept(31.5)], death(0.5))

    assert (findings.extra, findings.open_at_kills, findings.unexplained) == (1, 1, [])
    assert findings.reopened_s == [29.5]
    assert round(findings.wasted_usd_per_1000, 6) == 40.0


def test_an_answer_that_died_before_it_was_stored_is_explained_too() -> None:
    findings = found([call(0.0), call(30.0, caller="b")], [kept(31.5)], death(1.5))

    assert (findings.open_at_kills, findings.unput_at_kills) == (0, 1)
    assert findings.unexplained == []


def test_a_second_sale_after_the_picture_was_stored_is_explained_by_nothing() -> None:
    findings = found([call(0.0), call(30.0, caller="b")], [kept(1.2)], death(1.5))

    assert (findings.extra, findings.bound) == (1, 0)
    assert findings.unexplained == ["lamp"]


def test_the_kill_of_another_process_explains_nothing() -> None:
    calls = [call(0.0), call(0.2, caller="b"), call(0.1, caller="c", prompt="vase")]

    findings = found(calls, [kept(1.5), kept(9.0, "vase")], death(0.5, caller="c"), expected=2)

    assert findings.extra <= findings.bound
    assert findings.unexplained == ["lamp"]


def test_a_worker_that_ended_by_itself_is_no_excuse() -> None:
    calls = [call(0.0), call(30.0, caller="b")]

    findings = found(calls, [kept(31.5)], death(0.5, how="ended by itself"))

    assert (findings.open_at_own_ends, findings.bound) == (1, 0)
    assert findings.unexplained == ["lamp"]


def test_a_cut_answer_explains_one_more_sale() -> None:
    calls = [call(0.0, outcome="cut", fate="cut"), call(5.0)]

    findings = found(calls, [kept(6.5)])

    assert (findings.cut, findings.extra, findings.unexplained) == (1, 1, [])


def test_a_render_that_the_model_failed_three_times_was_not_ended_by_kills() -> None:
    calls = [call(at, outcome="503") for at in (0.0, 5.0, 10.0)]

    assert found(calls, [failed("model.unavailable")]).by_kills_alone == []


def test_a_render_that_failed_though_the_model_did_not_was_ended_by_kills() -> None:
    calls = [call(0.0, fate="client_gone"), call(30.0, caller="b", outcome="503")]

    findings = found(calls, [failed("worker_lost")], death(0.5))

    assert findings.by_kills_alone == ["lamp (failed, worker_lost)"]


def test_a_faulty_answer_that_nobody_lived_to_read_is_no_attempt() -> None:
    calls = [
        call(at, outcome="503", caller=who) for at, who in ((0.0, "a"), (5.0, "b"), (9.0, "c"))
    ]

    findings = found(calls, [failed("model.unavailable")], death(0.5))

    assert len(findings.by_kills_alone) == 1


def test_a_good_sale_that_is_repeated_after_redis_was_emptied_is_held_against_it() -> None:
    calls = [call(0.0), call(30.0, caller="b")]

    assert found(calls, [kept(1.5)], emptied=(10.0,)).after_emptying == ["lamp"]
    assert found(calls, [kept(31.5)], death(0.5), emptied=(10.0,)).after_emptying == []
