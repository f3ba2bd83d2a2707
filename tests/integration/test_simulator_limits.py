"""The simulator's limits, met over HTTP and through the official SDK."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from google import genai
from google.genai import errors, types

from worker.simulator.__main__ import main
from worker.simulator.limit_refusals import Telling
from worker.simulator.oracle import most_admitted
from worker.simulator.rules import parse_rule
from worker.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODEL = "gemini-nano-banana-2.1"
OTHER_MODEL = "gemini-3.1-flash-lite-image"
WAIT_S = 10.0


def ask(simulator: Simulator, prompt: str = "a lamp", model: str = MODEL) -> tuple[int, Any]:
    """Status and JSON of one call; words are asked for, since they are quicker than pictures."""
    body = {
        "contents": [{"parts": [{"text": prompt}]}],
        "generationConfig": {"responseModalities": ["TEXT"]},
    }
    return post(simulator, f"/v1/models/{model}:generateContent", json.dumps(body))


def post(simulator: Simulator, path: str, body: str = "") -> tuple[int, Any]:
    request = Request(simulator.url + path, body.encode(), {"x-goog-api-key": "k"}, method="POST")
    try:
        with urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def limits(simulator: Simulator) -> dict[str, Any]:
    with urlopen(f"{simulator.url}/_sim/limits", timeout=WAIT_S) as answer:
        page: dict[str, Any] = json.load(answer)
    return page


def details(answer: Any) -> dict[str, Any]:
    found = answer["error"].get("details", ())
    return {each["@type"].rpartition(".")[2]: each for each in found}


def retry_s(answer: Any) -> float:
    return float(details(answer)["RetryInfo"]["retryDelay"].rstrip("s"))


def lines(books: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in books.read_text().splitlines()]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("rule", "quota_id", "most_s"),
    [
        ("bucket:2/60s:1", "GenerateRequestsPerMinutePerProjectPerModel", 30),
        ("fixed:1/60s", "GenerateRequestsPerMinutePerProjectPerModel", 60),
        ("sliding:1/60s", "GenerateRequestsPerMinutePerProjectPerModel", 60),
        ("tokens:1/60s", "GenerateContentInputTokensPerModelPerMinute", 60),
        ("spend:0.000001usd/600s", "GenerateContentSpendPer10MinutesPerProjectPerModel", 600),
        ("day:1", "GenerateRequestsPerDayPerProjectPerModel", 86_400),
    ],
)
def test_each_rule_refuses_the_second_call_of_its_model_alone(
    rule: str, quota_id: str, most_s: float
) -> None:
    with Simulator(limits=[rule]) as simulator:
        first, _ = ask(simulator)
        second, refusal = ask(simulator)
        other, _ = ask(simulator, model=OTHER_MODEL)
        books = simulator.books()

    assert (first, second, other) == (200, 429, 200)
    assert details(refusal)["QuotaFailure"]["violations"][0]["quotaId"] == quota_id
    assert most_s - WAIT_S < retry_s(refusal) <= most_s
    assert (books["calls"], books["admitted"]) == (3, 2)
    assert books["by_limit"] == {rule: 1}


@pytest.mark.parametrize("rule", ["sliding:1/0.3s", "fixed:1/0.3s", "bucket:1/0.3s:1"])
def test_whoever_comes_back_when_told_gets_in(rule: str) -> None:
    with Simulator(limits=[rule]) as simulator:
        admitted, end = 0, time.monotonic() + WAIT_S
        while admitted < 5 and time.monotonic() < end:
            status, answer = ask(simulator)
            admitted += status == 200
            if status == 429:
                time.sleep(retry_s(answer))
        books = simulator.books()

    assert admitted == 5
    # Told exactly, nobody is refused twice for one call.
    assert books["by_limit"].get(rule, 0) <= 4


def test_the_sdk_sees_what_is_told_and_not_what_is_kept_back() -> None:
    telling = Telling(retry_info=False, quota_value=False)
    options = types.HttpOptions(timeout=int(WAIT_S * 1000))
    with Simulator(limits=["tokens:1/60s"], telling=telling) as simulator:
        options.base_url = simulator.url
        with closing(genai.Client(api_key="k", vertexai=False, http_options=options)) as client:
            client.models.generate_content(model=MODEL, contents="a lamp")
            with pytest.raises(errors.ClientError) as refused:
                client.models.generate_content(model=MODEL, contents="a lamp")

    told = json.dumps(refused.value.details)
    assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "InputTokens" in told
    assert "RetryInfo" not in told
    assert "quotaValue" not in told


@pytest.mark.parametrize(("kind", "status"), [("capacity", 503), ("capacity429", 429)])
def test_beyond_capacity_calls_are_refused_at_once_until_one_ends(kind: str, status: int) -> None:
    rule = f"{kind}:2-2/60s"
    # The two hang until their clients leave: nothing depends on how fast this machine is.
    with Simulator(limits=[rule], script=[{"outcome": "hang", "times": 2}]) as simulator:
        held = [hold(simulator) for _ in range(2)]
        wait_for(lambda: simulator.books()["open"] == 2)

        refused, answer = ask(simulator)
        held.pop().close()
        wait_for(lambda: simulator.books()["open"] == 1)
        again, _ = ask(simulator)
        held.pop().close()

        assert (refused, details(answer)) == (status, {})
        assert again == 200
        assert simulator.books()["by_limit"] == {rule: 1}


def hold(simulator: Simulator) -> Any:
    """A call whose answer nobody has read yet; close it to leave."""
    from http.client import HTTPConnection

    connection = HTTPConnection(simulator.url.removeprefix("http://"), timeout=WAIT_S)
    body = json.dumps({"contents": [{"parts": [{"text": "a lamp"}]}]})
    connection.request("POST", f"/v1/models/{MODEL}:generateContent", body, {"x-goog-api-key": "k"})
    return connection


def test_the_books_show_what_came_in_when_and_what_was_refused_by_whom(tmp_path: Path) -> None:
    books = tmp_path / "books.jsonl"
    rule = "bucket:100/10s:5"

    with (
        Simulator(limits=[rule], books_path=books, latency_s=0.01) as simulator,
        ThreadPoolExecutor(4) as pool,
    ):
        statuses = list(pool.map(lambda number: ask(simulator, f"lamp {number}")[0], range(60)))

    called = lines(books)
    admitted = sorted(line["admitted_at_s"] for line in called if line["status"] == 200)
    refused = [line for line in called if line["status"] == 429]
    span_s = admitted[-1] - admitted[0]
    assert len(called) == 60
    assert (len(admitted), len(refused)) == (statuses.count(200), statuses.count(429))
    assert 5 <= len(admitted) <= most_admitted(parse_rule(rule), span_s + 0.001)
    # The bucket holds five: the sixth after any call had to flow in.
    assert all(sixth - first > 0.0999 for first, sixth in zip(admitted, admitted[5:], strict=False))
    assert {(line["limit"], line["admitted_at_s"]) for line in refused} == {(rule, None)}
    assert all(line["prompt"].startswith("lamp") for line in refused)
    assert all(0 <= line["at_s"] <= line["admitted_at_s"] for line in called if not line["limit"])


def test_ordered_thoughts_are_told_booked_and_priced_alike(tmp_path: Path) -> None:
    books = tmp_path / "books.jsonl"

    with Simulator(thoughts="1000-9000", books_path=books, seed=4) as simulator:
        told = [ask(simulator, f"lamp {number}")[1]["usageMetadata"] for number in range(5)]
        page = simulator.books()
    with Simulator(thoughts="1000-9000", seed=4) as again:
        _, repeated = ask(again, "lamp 3")

    thoughts = [usage["thoughtsTokenCount"] for usage in told]
    assert len(set(thoughts)) == 5
    assert all(1000 <= count <= 9000 for count in thoughts)
    assert [line["tokens"]["thoughts"] for line in lines(books)] == thoughts
    assert page["tokens"]["thoughts"] == sum(thoughts)
    assert page["cost_usd"] > sum(thoughts) * 7.5 / 10**6
    assert repeated["usageMetadata"] == told[3]


def test_limits_are_changed_shown_and_reset_while_it_runs() -> None:
    with Simulator(limits=["sliding:2/60s"]) as simulator:
        ask(simulator)
        _, changed = post(simulator, "/_sim/limits", '["day:50", "sliding:1/60s"]')
        lowered, _ = ask(simulator)
        post(simulator, "/_sim/limits", "[]")
        free = [ask(simulator)[0] for _ in range(5)]
        post(simulator, "/_sim/reset")
        after_reset = [ask(simulator)[0] for _ in range(3)]
        page = limits(simulator)

    assert changed["limits"] == ["day:50", "sliding:1/60s"]
    assert lowered == 429
    assert free == [200] * 5
    assert after_reset == [200, 200, 429]
    assert page["limits"] == ["sliding:2/60s"]
    assert page["now_s"] > changed["now_s"] >= 0


@pytest.mark.parametrize("body", ["", "{}", '"day:5"', "[5]", '["day:5", "leaky:1/60s"]'])
def test_limits_that_cannot_be_followed_change_nothing(body: str) -> None:
    with Simulator(limits=["day:7"]) as simulator:
        status, answer = post(simulator, "/_sim/limits", body)

        assert status == 400
        assert answer["error"]
        assert limits(simulator)["limits"] == ["day:7"]


def test_a_skewed_latency_is_steered_like_any_other() -> None:
    with Simulator() as simulator:
        _, answer = post(simulator, "/_sim/latency", '{"latency_s": "0.1-0.2:skew"}')

    assert answer == {"latency_s": [0.1, 0.2], "skew": True}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--limit", "leaky:3/60s"), "no kind 'leaky'"),
        (("--rpm", "-1"), "wanted sliding:N/SPANs"),
        (("--thoughts", "many"), "tokens 'many'"),
        (("--latency-s", "5:skew"), "a skewed span"),
    ],
)
def test_the_command_refuses_limits_that_it_cannot_follow(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    assert main(["--port", "0", *arguments]) == 2
    assert says in capsys.readouterr().err
