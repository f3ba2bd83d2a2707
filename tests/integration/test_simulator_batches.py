"""The simulator's batches, as the official SDK runs them and as a plain client sees them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import ssl
import time
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from worker.simulator.batches import BatchLimits
from worker.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL = "gemini-nano-banana-2.1"
OTHER_MODEL = "gemini-3.1-flash-lite-image"
WAIT_S = 10.0
KEY = {"x-goog-api-key": "k"}
# Nobody speaks TLS here, and each client would take a tenth of a second to read the certificates.
TLS = ssl.create_default_context()
NAMES = ("lamp", "sofa", "toaster", "chair", "rug", "vase")
ENDED = {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"}


@contextmanager
def simulating(**options: Any) -> Iterator[Simulator]:
    """An hour takes a second, and a batch 20 ms."""
    with Simulator(**{"hour_s": 1, "batch_hours": 0.02, **options}) as running:
        yield running


@contextmanager
def developer(simulator: Simulator) -> Iterator[genai.Client]:
    options = types.HttpOptions(
        base_url=simulator.url,
        timeout=int(WAIT_S * 1000),
        client_args={"verify": TLS},
        async_client_args={"verify": TLS, "ssl": TLS},
    )
    with closing(genai.Client(api_key="k", vertexai=False, http_options=options)) as client:
        yield client


@contextmanager
def http(simulator: Simulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.url, headers=KEY, timeout=WAIT_S, verify=TLS) as client:
        yield client


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.005)


def asked(prompt: str, *, words: bool = False) -> dict[str, Any]:
    config = {"responseModalities": ["TEXT" if words else "IMAGE"]}
    return {"contents": [{"parts": [{"text": prompt}]}], "generation_config": config}


def jsonl(*names: str, words: bool = False) -> bytes:
    lines = ({"key": name, "request": asked(f"a {name}", words=words)} for name in names)
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def upload(client: genai.Client, content: bytes) -> str:
    file = client.files.upload(file=io.BytesIO(content), config={"mime_type": "application/jsonl"})
    return str(file.name)


def create(
    client: genai.Client, *names: str, display_name: str = "a batch", words: bool = False
) -> str:
    batch = client.batches.create(
        model=MODEL,
        src=upload(client, jsonl(*(names or NAMES), words=words)),
        config=types.CreateBatchJobConfig(display_name=display_name),
    )
    return str(batch.name)


def state_of(simulator: Simulator, name: str) -> str:
    (state,) = (batch["state"] for batch in simulator.batches() if batch["name"] == name)
    return str(state).removeprefix("BATCH_STATE_")


def wait_until_ended(simulator: Simulator, name: str) -> str:
    wait_for(lambda: state_of(simulator, name) in ENDED)
    return state_of(simulator, name)


def operation(simulator: Simulator, name: str) -> dict[str, Any]:
    with http(simulator) as client:
        answer: dict[str, Any] = client.get(f"/v1beta/{name}").json()
    return answer


def download(simulator: Simulator, name: str) -> bytes:
    results = operation(simulator, name)["metadata"]["output"]["responsesFile"]
    with http(simulator) as client:
        return client.get(f"/v1beta/{results}:download", params={"alt": "media"}).content


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


# --- selling -------------------------------------------------------------------------------------


def test_the_sdk_buys_a_picture_by_file_at_half_the_price() -> None:
    with simulating() as simulator, developer(simulator) as client:
        only_a_picture = types.GenerateContentConfig(response_modalities=["IMAGE"])
        client.models.generate_content(model=MODEL, contents="a sofa", config=only_a_picture)
        one_usd = simulator.books()["cost_usd"]
        batch = client.batches.create(
            model=MODEL,
            src=upload(client, jsonl("lamp")),
            config=types.CreateBatchJobConfig(display_name="monday's"),
        )
        wait_until_ended(simulator, str(batch.name))
        ended = client.batches.get(name=str(batch.name))
        assert ended.dest is not None
        content = client.files.download(file=str(ended.dest.file_name))
        file = client.files.get(name=str(ended.dest.file_name))
        again = client.files.download(file=file)
        books, (told,) = simulator.books(), simulator.batches()

    assert (batch.state, batch.display_name) == (types.JobState.JOB_STATE_PENDING, "monday's")
    assert (ended.state, ended.done) == (types.JobState.JOB_STATE_SUCCEEDED, True)
    assert (ended.model, file.source) == (f"models/{MODEL}", types.FileSource.GENERATED)
    (line,) = lines(content)
    (part,) = line["response"]["candidates"][0]["content"]["parts"]
    picture = Image.open(io.BytesIO(base64.b64decode(part["inlineData"]["data"])))
    assert (line["key"], picture.size, again) == ("lamp", (1024, 1024), content)
    assert (books["sold"], books["sold_by_lane"]) == (2, {"standard": 1, "batch": 1})
    assert books["sold_by_prompt"] == {"a sofa": 1, "a lamp": 1}
    assert books["batches"] == {"BATCH_STATE_SUCCEEDED": 1}
    # Each is rounded up to a millionth.
    assert books["cost_usd"] - one_usd == pytest.approx(one_usd / 2, abs=1.1e-6)
    assert (told["sold"], told["downloads"], told["display_name"]) == (1, 2, "monday's")


async def _run_without_waiting(simulator: Simulator) -> types.BatchJob:
    options = types.HttpOptions(base_url=simulator.url, timeout=int(WAIT_S * 1000))
    client = genai.Client(api_key="k", vertexai=False, http_options=options)
    try:
        file = await client.aio.files.upload(
            file=io.BytesIO(jsonl("lamp", words=True)), config={"mime_type": "application/jsonl"}
        )
        batch = await client.aio.batches.create(model=MODEL, src=str(file.name))
        return await client.aio.batches.get(name=str(batch.name))
    finally:
        await client.aio.aclose()
        client.close()


def test_the_asynchronous_sdk_creates_too() -> None:
    with simulating() as simulator:
        batch = asyncio.run(_run_without_waiting(simulator))

    assert str(batch.name).startswith("batches/")


def test_inline_requests_are_answered_inside_the_batch_in_their_order() -> None:
    requests = [
        types.InlinedRequest(
            contents=f"a {name}",
            metadata={"key": name},
            config=types.GenerateContentConfig(response_modalities=["TEXT"], temperature=1),
        )
        for name in NAMES
    ]

    with simulating() as simulator, developer(simulator) as client:
        batch = client.batches.create(model=MODEL, src=requests)
        wait_until_ended(simulator, str(batch.name))
        ended = client.batches.get(name=str(batch.name))
        (listed,) = client.batches.list()
        (told,) = simulator.batches()

    assert listed.dest is None
    assert ended.dest is not None
    answers = ended.dest.inlined_responses or []
    assert [(each.metadata or {})["key"] for each in answers] == list(NAMES)
    assert all(each.response and each.response.text for each in answers)
    assert (told["downloads"], told["input"], told["results"]) == (1, "", "")


def test_lines_come_in_another_order_and_the_same_one_for_the_same_seed() -> None:
    orders = []
    for _ in range(2):
        with simulating(seed=7) as simulator, developer(simulator) as client:
            name = create(client, words=True)
            wait_until_ended(simulator, name)
            orders.append([line["key"] for line in lines(download(simulator, name))])

    assert sorted(orders[0]) == sorted(NAMES)
    assert orders[0] == orders[1] != list(NAMES)


def test_a_batch_that_ended_looks_as_it_was_reported() -> None:
    with simulating() as simulator, developer(simulator) as client:
        source = upload(client, jsonl("lamp", words=True))
        name = str(client.batches.create(model=MODEL, src=source).name)
        wait_until_ended(simulator, name)
        ended = operation(simulator, name)

    metadata, results = ended["metadata"], f"files/batch-{name.removeprefix('batches/')}"
    assert (ended["name"], ended["done"], metadata["name"]) == (name, True, name)
    assert metadata["@type"].endswith(".GenerateContentBatch")
    assert metadata["state"] == "BATCH_STATE_SUCCEEDED"
    assert metadata["inputConfig"] == {"fileName": source}
    assert metadata["batchStats"] == {"requestCount": "1", "successfulRequestCount": "1"}
    assert metadata["output"] == {"responsesFile": results}
    assert ended["response"]["responsesFile"] == results


def test_what_the_script_says_of_a_prompt_holds_in_a_batch() -> None:
    script = [
        {"outcome": "image_safety", "match": "lamp"},
        {"outcome": "503", "match": "sofa"},
        {"outcome": "hang", "match": "toaster"},
        {"outcome": "empty_object", "match": "chair"},
        {"outcome": "no_image", "match": "rug", "lane": "standard"},
    ]

    with simulating(script=script) as simulator, developer(simulator) as client:
        name = create(client, words=True)
        wait_until_ended(simulator, name)
        got = {line.pop("key"): line for line in lines(download(simulator, name))}
        books, (told,) = simulator.books(), simulator.batches()

    assert got["lamp"]["response"]["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
    assert (got["sofa"]["error"]["code"], got["toaster"]["error"]["code"]) == (14, 4)
    assert got["chair"] == {"response": {}}
    assert got["rug"]["response"]["candidates"][0]["finishReason"] == "STOP"
    assert (told["succeeded"], told["failed"]) == (4, 2)
    assert books["by_outcome"]["image_safety"] == books["by_outcome"]["503"] == 1


def test_a_line_that_the_model_does_not_take_is_an_error_of_its_own() -> None:
    wrong = {"key": "x", "request": {**asked("a lamp"), "thinking_config": {}}}
    content = json.dumps(wrong).encode() + b"\n\n" + jsonl("sofa", words=True)

    with simulating() as simulator, developer(simulator) as client:
        name = str(client.batches.create(model=MODEL, src=upload(client, content)).name)
        wait_until_ended(simulator, name)
        got = {line.pop("key"): line for line in lines(download(simulator, name))}

    assert got["x"]["error"]["code"] == 3
    assert "thinking_config" in got["x"]["error"]["message"]
    assert "response" in got["sofa"]


# --- refusing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (f"models/{MODEL}", {"displayName": "x", "inputConfig": {}}, 400, "Exactly one"),
        (f"models/{MODEL}", {"displayName": "x", "input_config": {"colour": 1}}, 400, "colour"),
        (
            f"models/{MODEL}",
            {"displayName": "x", "inputConfig": {"fileName": "files/gone"}},
            403,
            "gone",
        ),
        ("models/unheard-of", {}, 404, "unheard-of"),
    ],
)
def test_a_create_that_can_not_be_followed_is_refused(
    path: str, body: dict[str, Any], status: int, says: str
) -> None:
    with simulating() as simulator, http(simulator) as client:
        answer = client.post(f"/v1beta/{path}:batchGenerateContent", json={"batch": body})
        left = simulator.batches()

    assert (answer.status_code, left) == (status, [])
    assert says in answer.json()["error"]["message"]


def test_inline_requests_of_20_mb_are_too_many() -> None:
    request = {"request": asked("x" * 21 * 1024 * 1024)}
    inline = {"displayName": "x", "inputConfig": {"requests": {"requests": [request]}}}

    with simulating() as simulator, http(simulator) as client:
        answer = client.post(
            f"/v1/models/{MODEL}:batchGenerateContent", json={"batch": inline}
        ).json()

    assert (answer["error"]["code"], "20971520" in answer["error"]["message"]) == (400, True)


def test_what_waits_is_limited_in_batches_and_per_model_in_tokens() -> None:
    limits = BatchLimits(open_batches=2, enqueued_tokens=10)
    forty_letters = jsonl("l" * 38)

    with simulating(hour_s=3600, batches=limits) as simulator, developer(simulator) as client:
        source = upload(client, forty_letters)
        client.batches.create(model=MODEL, src=source)
        with pytest.raises(errors.ClientError) as tokens:
            client.batches.create(model=MODEL, src=source)
        client.batches.create(model=OTHER_MODEL, src=source)
        with pytest.raises(errors.ClientError) as batches:
            client.batches.create(model=OTHER_MODEL, src=source)

    for refused, quota in ((tokens, "BatchEnqueuedTokens"), (batches, "ConcurrentBatches")):
        assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
        assert quota in json.dumps(refused.value.details)


def test_an_unreadable_line_fails_the_batch_and_sells_nothing() -> None:
    content = jsonl("lamp") + b'{"key": "torn", "requ'

    with simulating() as simulator, developer(simulator) as client:
        name = str(client.batches.create(model=MODEL, src=upload(client, content)).name)
        state = wait_until_ended(simulator, name)
        error, sold = operation(simulator, name)["error"], simulator.books()["sold"]

    assert (state, error["code"], sold) == ("FAILED", 3, 0)
    assert error["message"].startswith("line 2: ")


# --- finding, cancelling, deleting ---------------------------------------------------------------


def test_a_list_of_batches_comes_in_pages_with_the_newest_first() -> None:
    with simulating(hour_s=3600) as simulator, developer(simulator) as client:
        made = [create(client, "lamp", display_name=f"no. {number}") for number in range(5)]
        listed = [batch.name for batch in client.batches.list(config={"page_size": 2})]

    assert listed == made[::-1]


def test_cancelling_takes_a_while_and_keeps_what_is_done() -> None:
    script = [{"outcome": "batch:stuck_running", "share": 0.5}]

    with (
        simulating(hour_s=3, batch_hours=0.01, script=script) as simulator,
        developer(simulator) as client,
    ):
        name = create(client, words=True)
        wait_for(lambda: simulator.batches()[0]["succeeded"] == 3)
        client.batches.cancel(name=name)
        at_once = client.batches.get(name=name).state
        state = wait_until_ended(simulator, name)
        ended = operation(simulator, name)
        kept = lines(download(simulator, name))
        with pytest.raises(errors.ClientError, match="neither pending nor running"):
            client.batches.cancel(name=name)

    assert (at_once, state) == (types.JobState.JOB_STATE_RUNNING, "CANCELLED")
    assert (ended["error"]["code"], len(kept)) == (1, 3)
    assert ended["metadata"]["batchStats"]["pendingRequestCount"] == "3"


def test_a_batch_that_was_cancelled_while_it_waited_has_nothing() -> None:
    with simulating(batch_hours=40) as simulator, developer(simulator) as client:
        name = create(client, "lamp")
        client.batches.cancel(name=name)
        state = wait_until_ended(simulator, name)
        ended = client.batches.get(name=name)

    assert (state, ended.state) == ("CANCELLED", types.JobState.JOB_STATE_CANCELLED)
    assert ended.dest is None


def test_a_batch_that_was_deleted_is_seen_no_more_and_paid_for() -> None:
    with simulating() as simulator, developer(simulator) as client:
        source = upload(client, jsonl("lamp", words=True))
        name = str(client.batches.create(model=MODEL, src=source).name)
        client.files.delete(name=source)
        client.batches.delete(name=name)
        with pytest.raises(errors.ClientError) as gone:
            client.batches.get(name=name)
        listed = list(client.batches.list())
        state = wait_until_ended(simulator, name)
        books, (told,) = simulator.books(), simulator.batches()

    assert (gone.value.code, listed, state) == (404, [], "SUCCEEDED")
    assert (told["is_deleted"], told["downloads"]) == (True, 0)
    assert books["cost_usd"] > 0


# --- failing to order ----------------------------------------------------------------------------


def test_a_batch_that_is_stuck_expires_and_may_have_cost() -> None:
    script = [
        {"outcome": "batch:stuck_pending", "match": "SOFAS"},
        {"outcome": "batch:stuck_running", "match": "lamps", "share": 0.5},
    ]

    with simulating(hour_s=0.05, script=script) as simulator, developer(simulator) as client:
        names = [create(client, display_name=name, words=True) for name in ("lamps", "sofas")]
        states = [wait_until_ended(simulator, name) for name in names]
        ended = [operation(simulator, name) for name in names]
        (lamps, sofas), books = simulator.batches(), simulator.books()

    assert states == ["EXPIRED", "EXPIRED"]
    assert [(each["error"]["code"], "output" in each["metadata"]) for each in ended] == [
        (4, False),
        (4, False),
    ]
    assert (lamps["succeeded"], sofas["succeeded"], books["calls"]) == (3, 0, 3)


@pytest.mark.parametrize(
    ("order", "state", "code"), [("batch:expired", "EXPIRED", 4), ("batch:failed", "FAILED", 13)]
)
def test_a_batch_may_come_to_nothing(order: str, state: str, code: int) -> None:
    with simulating(script=[{"outcome": order}]) as simulator, developer(simulator) as client:
        name = create(client, words=True)
        ended_as = wait_until_ended(simulator, name)
        ended, books = operation(simulator, name), simulator.books()
        left = [file.source for file in client.files.list()]

    assert (ended_as, ended["error"]["code"], books["calls"]) == (state, code, 0)
    assert types.FileSource.GENERATED not in left


@pytest.mark.parametrize("order", ["batch:partly_missing", "batch:partly_failed"])
def test_a_batch_that_partly_succeeds_is_no_state_of_the_sdk(order: str) -> None:
    script = [{"outcome": order, "share": 0.5}]

    with simulating(script=script) as simulator, developer(simulator) as client:
        name = create(client, words=True)
        state = wait_until_ended(simulator, name)
        got = Counter("error" in line for line in lines(download(simulator, name)))
        stats = operation(simulator, name)["metadata"]["batchStats"]
        with pytest.warns(UserWarning, match="BATCH_STATE_PARTIALLY_SUCCEEDED"):
            ended = client.batches.get(name=name)

    assert (state, ended.done) == ("PARTIALLY_SUCCEEDED", False)
    assert got == ({False: 3} if order.endswith("missing") else {False: 3, True: 3})
    assert (stats["successfulRequestCount"], stats["failedRequestCount"]) == ("3", "3")


def test_the_platform_may_cancel_by_itself() -> None:
    script = [{"outcome": "batch:cancelled", "share": 0.5}]

    with simulating(script=script) as simulator, developer(simulator) as client:
        name = create(client, words=True)
        state = wait_until_ended(simulator, name)
        kept = lines(download(simulator, name))

    assert (state, len(kept)) == ("CANCELLED", 3)


@pytest.mark.parametrize(
    ("order", "known", "in_all", "stranger"),
    [
        ("result:dropped", 3, 3, False),
        ("result:doubled", 6, 9, False),
        ("result:unknown", 6, 7, True),
        ("result:torn", 5, 5, False),
    ],
)
def test_a_result_file_may_be_wrong(order: str, known: int, in_all: int, stranger: bool) -> None:
    script = [{"outcome": order, "share": 0.5}]

    with simulating(script=script) as simulator, developer(simulator) as client:
        name = create(client, words=True)
        state = wait_until_ended(simulator, name)
        content = download(simulator, name)
        (told,) = simulator.batches()

    *whole, last = content.split(b"\n")
    keys = Counter(json.loads(line)["key"] for line in whole)
    assert (len(keys.keys() & set(NAMES)), keys.total()) == (known, in_all)
    assert (not keys.keys() <= set(NAMES)) is stranger
    assert bool(last) is (order == "result:torn")
    assert (state, told["succeeded"]) == ("SUCCEEDED", 6)


def test_a_result_file_may_be_wrong_in_every_way_at_once() -> None:
    rates = dict.fromkeys(("result:dropped", "result:doubled", "result:unknown", "result:torn"), 1)

    with simulating(rates=rates) as simulator, developer(simulator) as client:
        name = create(client, words=True)
        wait_until_ended(simulator, name)
        *whole, torn = download(simulator, name).split(b"\n")
        file = client.files.get(name=f"files/batch-{name.removeprefix('batches/')}")

    digest = hashlib.sha256(b"\n".join([*whole, torn])).hexdigest().encode()
    assert base64.b64decode(str(file.sha256_hash)) == digest
    assert {json.loads(line)["key"] for line in whole} < set(NAMES)
    assert torn


def test_rates_choose_batches_as_they_choose_calls() -> None:
    rates = {"batch:failed": 0.5, "503": 1.0}

    with simulating(rates=rates) as simulator, developer(simulator) as client:
        source = upload(client, jsonl("lamp", words=True))
        names = [str(client.batches.create(model=MODEL, src=source).name) for _ in range(12)]
        states = {wait_until_ended(simulator, name) for name in names}
        outcomes = simulator.books()["by_outcome"]

    assert states == {"SUCCEEDED", "FAILED"}
    assert set(outcomes) == {"503"}


# --- requests that go wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost", "cut", "silent"])
def test_a_create_may_go_through_without_its_client_knowing(fault: str) -> None:
    script = [{"outcome": f"create:{fault}", "match": "monday"}]

    with simulating(hour_s=3600, script=script) as simulator, developer(simulator) as client:
        source = upload(client, jsonl("lamp"))
        config = types.CreateBatchJobConfig(
            display_name="monday's", http_options=types.HttpOptions(timeout=300)
        )
        with pytest.raises(httpx2.TransportError):
            client.batches.create(model=MODEL, src=source, config=config)
        found = [batch.display_name for batch in client.batches.list()]

    assert found == ["monday's"]


def test_a_create_may_hang_and_come_to_nothing() -> None:
    with (
        simulating(script=[{"outcome": "create:hang"}]) as simulator,
        developer(simulator) as client,
    ):
        config = types.CreateBatchJobConfig(http_options=types.HttpOptions(timeout=100))
        source = upload(client, jsonl("lamp"))
        with pytest.raises(httpx2.ReadTimeout):
            client.batches.create(model=MODEL, src=source, config=config)
        left = simulator.batches()

    assert left == []


def test_every_request_may_be_refused() -> None:
    script: list[dict[str, object]] = [
        {"outcome": "upload:503"},
        {"outcome": "create:429_retryinfo", "delay_s": 7},
        {"outcome": "get:500"},
        {"outcome": "list:504"},
        {"outcome": "cancel:404"},
        {"outcome": "delete:403"},
        {"outcome": "file:401"},
        {"outcome": "download:500_html", "match": "monday"},
    ]
    with simulating() as simulator, developer(simulator) as client, http(simulator) as plain:
        name = create(client, "lamp", display_name="monday's", words=True)
        wait_until_ended(simulator, name)
        results = f"files/batch-{name.removeprefix('batches/')}"
        simulator.script(script)
        start = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
        body = {"batch": {"inputConfig": {"fileName": results}}}
        answers = [
            plain.post("/upload/v1/files", headers=start),
            plain.post(f"/v1/models/{MODEL}:batchGenerateContent", json=body),
            plain.get(f"/v1/{name}"),
            plain.get("/v1/batches"),
            plain.post(f"/v1/{name}:cancel"),
            plain.delete(f"/v1/{name}"),
            plain.get(f"/v1/{results}"),
            plain.get(f"/v1/{results}:download?alt=media"),
        ]
        left = plain.get("/_sim/script").json()

    assert [each.status_code for each in answers] == [503, 429, 500, 504, 404, 403, 401, 500]
    assert answers[1].json()["error"]["details"][-1]["retryDelay"] == "7s"
    assert answers[-1].text.startswith("<!DOCTYPE html>")
    assert left == []


def read_what_comes(simulator: Simulator, path: str, into: bytearray) -> None:
    with http(simulator) as client, client.stream("GET", path) as answer:
        for piece in answer.iter_raw():
            into += piece


def test_a_download_may_be_cut_and_is_whole_the_next_time() -> None:
    with (
        simulating(script=[{"outcome": "download:cut"}]) as simulator,
        developer(simulator) as client,
    ):
        name = create(client, words=True)
        wait_until_ended(simulator, name)
        results = str(operation(simulator, name)["metadata"]["output"]["responsesFile"])
        came = bytearray()
        with pytest.raises(httpx2.RemoteProtocolError):
            read_what_comes(simulator, f"/v1/{results}:download?alt=media", came)
        cut_downloads = simulator.batches()[0]["downloads"]
        whole = client.files.download(file=results)
        downloads = simulator.batches()[0]["downloads"]

    assert came == whole[: len(whole) // 2]
    assert (cut_downloads, downloads) == (0, 1)


def test_rates_choose_requests_too() -> None:
    rates = {"list:503": 0.5, "503": 0.0}

    with simulating(rates=rates) as simulator, http(simulator) as client:
        statuses = {client.get("/v1/batches").status_code for _ in range(20)}

    assert statuses == {200, 503}


# --- remembering ---------------------------------------------------------------------------------


def test_books_tell_of_batches_and_outlive_them(tmp_path: Path) -> None:
    books = tmp_path / "books.jsonl"
    script = [{"outcome": "batch:stuck_pending", "match": "sofa"}]

    with (
        simulating(books_path=books, script=script) as simulator,
        developer(simulator) as client,
    ):
        stuck = create(client, "sofa", display_name="sofas", words=True)
        name = create(client, "lamp", display_name="lamps", words=True)
        wait_until_ended(simulator, name)
        before = simulator.books()
    with simulating(books_path=books) as again:
        after, batches = again.books(), again.batches()

    booked = [json.loads(line) for line in books.read_text().splitlines()]
    told = [line for line in booked if line["event"] == "batch"]
    (call,) = (line for line in booked if line["event"] == "call")
    assert [(line["batch"], line["state"].removeprefix("BATCH_STATE_")) for line in told] == [
        (stuck, "PENDING"),
        (name, "PENDING"),
        (name, "RUNNING"),
        (name, "SUCCEEDED"),
    ]
    assert (call["lane"], call["batch"], call["fate"]) == ("batch", name, "kept")
    assert (told[-1]["requests"], told[-1]["succeeded"]) == (1, 1)
    assert before["batches"] == {"BATCH_STATE_PENDING": 1, "BATCH_STATE_SUCCEEDED": 1}
    assert after["batches"] == {"BATCH_STATE_SUCCEEDED": 1, "lost": 1}
    assert (after["cost_usd"], batches) == (before["cost_usd"], [])


def test_a_reset_stops_and_forgets_batches() -> None:
    with simulating(hour_s=3600) as simulator, developer(simulator) as client:
        name = create(client, "lamp")

        simulator.reset()

        with pytest.raises(errors.ClientError):
            client.batches.get(name=name)
        left, books = simulator.batches(), simulator.books()
    assert (left, books["batches"]) == ([], {})
