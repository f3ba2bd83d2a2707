"""Can a person look at parked messages and replay them? The command, a store and a real queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from kombu.message import Message

from catalog import claims
from catalog.claims import ImportClaim, ProductClaim
from catalog.parked import ParkedMessage, RawMessage, key_of
from catalog.queue import Queue
from catalog.store.directory import DirectoryStore
from catalog.store.opening import identify
from producers import cli
from tests.integration.test_queue import body, waiting
from worker.consumer import understood

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    """The store that the command finds in its settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKUSCENE_REDIS_URL", redis_url)
    monkeypatch.setenv("SKUSCENE_STORE", (tmp_path / "store").as_uri())
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def skuscene(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; returns exit code, standard output and standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def claim(store: DirectoryStore, **more: Any) -> dict[str, Any]:
    sent = ProductClaim(store=identify(store), import_id="one", part=0, product=7)
    return {**sent.model_dump(mode="json"), **more}


def parked(store: DirectoryStore, name: str, **fields: Any) -> str:
    told = {"task": claims.PREPARE, "why": "because", "at": NOW, "worker": "host-1"}
    message = ParkedMessage(**{**told, **fields})
    key = key_of(message.task, name)
    store.create(key, message.to_json(), media_type="application/json")
    return key


def test_nothing_parked_is_said_and_is_no_failure(store: DirectoryStore, skuscene: Any) -> None:
    assert skuscene("parked", "list") == (0, "", "nothing is parked\n")
    assert skuscene("parked", "list", "--json") == (0, "[]\n", "")
    assert skuscene("parked", "replay", "--all") == (0, "", "nothing is parked\n")
    parked(store, "a")
    assert skuscene("parked", "list", "--task", "x")[1:] == ("", "nothing is parked for x\n")


def test_a_list_has_a_line_for_each_that_no_terminal_obeys(
    store: DirectoryStore, skuscene: Any
) -> None:
    parked(store, "a", payload="x" * 5_000, why="its part\nis \x1b[31mred\x9b")
    parked(store, "b", task="evil\x1b]0;task" + "y" * 400)

    code, out, err = skuscene("parked", "list")

    assert (code, err) == (0, "")
    first, second = sorted(out.splitlines())
    assert first.split("  ")[:4] == ["a", claims.PREPARE, "2026-11-22T10:15:00+00:00", "5.2 kB"]
    assert "its part\\u000ais \\u001b[31mred\\u009b" in first
    assert second.startswith("b  evil\\u001b]0;task")
    assert len(second) < 150
    assert "\x1b" not in out


def test_a_list_for_programs_has_everything_but_the_message(
    store: DirectoryStore, skuscene: Any
) -> None:
    key = parked(store, "a", queue="prepare")
    parked(store, "b", task="other")

    code, out, _ = skuscene("parked", "list", "--json", "--task", claims.PREPARE)

    assert code == 0
    stored = store.read(key)
    assert stored
    assert json.loads(out) == [
        {
            "name": "a",
            "task": claims.PREPARE,
            "queue": "prepare",
            "at": NOW.isoformat(),
            "why": "because",
            "worker": "host-1",
            "size_bytes": len(stored.content),
        }
    ]


def test_a_message_is_shown_whole(store: DirectoryStore, skuscene: Any) -> None:
    raw = RawMessage.of(b"\x80" * 9_000, content_type="x/y", headers={"task": "\x1b"})
    parked(store, "a", message=raw)

    code, out, _ = skuscene("parked", "show", "a")

    assert code == 0
    assert ParkedMessage.from_json(out).message == raw
    assert out.isascii()
    assert "\x1b" not in out


@pytest.mark.parametrize("words", [("show", "b"), ("replay", "b"), ("replay", "a", "b")])
def test_an_unknown_name_is_wrong_usage_and_nothing_is_replayed(
    store: DirectoryStore, redis_url: str, skuscene: Any, words: tuple[str, ...]
) -> None:
    key = parked(store, "a", payload=claim(store))

    code, out, err = skuscene("parked", *words)

    assert (code, out) == (2, "")
    assert "nothing is parked as b" in err
    assert store.has(key)
    assert waiting(redis_url, "prepare") == []


@pytest.mark.parametrize(
    "words", [("replay",), ("replay", "a", "--all"), ("replay", "a", "--task", "x")]
)
def test_what_to_replay_must_be_said(
    store: DirectoryStore, skuscene: Any, words: tuple[str, ...]
) -> None:
    key = parked(store, "a", payload=claim(store))

    assert skuscene("parked", *words)[0] == 2
    assert store.has(key)


def test_a_message_is_replayed_as_it_came_and_forgotten(
    store: DirectoryStore, redis_url: str, skuscene: Any
) -> None:
    sent = claim(store, attempt=3)
    content = json.dumps([[sent], {}, {}]).encode()
    raw = RawMessage.of(content, content_type="application/json", headers={"id": "old"})
    keys = [parked(store, "a", payload=sent), parked(store, "b", message=raw)]

    code, out, err = skuscene("parked", "replay", "a", "b", "a")

    assert (code, out, err) == (0, "a replayed\nb replayed\n", "")
    assert [store.has(key) for key in keys] == [False, False]
    first, second = waiting(redis_url, "prepare")
    assert body(first)[0] == body(second)[0] == [sent]
    assert "old" not in {json.loads(first)["headers"]["id"], json.loads(second)["headers"]["id"]}


def test_a_replayed_message_goes_to_its_task_and_a_worker_understands_it(
    store: DirectoryStore, redis_url: str, skuscene: Any
) -> None:
    sent = ImportClaim(store=identify(store), import_id="one").model_dump(mode="json")
    parked(store, "a", task=claims.FEED, payload=sent)

    assert skuscene("parked", "replay", "a")[0] == 0

    (raw,) = waiting(redis_url, "control")
    made = json.loads(raw)
    message = Message(  # type: ignore[no-untyped-call]
        json.dumps(body(raw)).encode(),
        content_type=made["content-type"],
        content_encoding=made["content-encoding"],
        headers=made["headers"],
    )
    assert understood(message)["task"] == claims.FEED


def test_what_cannot_be_replayed_stays_and_is_named_and_the_others_go(
    store: DirectoryStore, redis_url: str, skuscene: Any
) -> None:
    hopeless = {
        "a": parked(store, "a", payload=claim(store, v=2)),
        "b": parked(store, "b", task="celery.map", payload=claim(store)),
        "c": parked(store, "c", payload={**claim(store), "store": "f" * 16}),
        "d": parked(store, "d", message=RawMessage.of(b"x", content_type="text/plain")),
    }
    store.create("parked/x/e.json", b"no message", media_type="application/json")
    parked(store, "f", payload=claim(store))

    code, out, err = skuscene("parked", "replay", "--all")

    assert code == 1
    assert out == "f replayed\n"
    assert len(waiting(redis_url, "prepare")) == 1
    assert [name for name, key in hopeless.items() if not store.has(key)] == []
    assert store.has("parked/x/e.json")
    said = dict(line.split(" stays parked: ") for line in err.splitlines())
    assert set(said) == {*hopeless, "e"}
    assert "newer version" in said["a"]
    assert "no task" in said["b"]
    assert "speaks of store" in said["c"]
    assert "only application/json" in said["d"]
    assert "no parked message" in said["e"]


def test_all_of_one_task_are_replayed_and_no_other(
    store: DirectoryStore, redis_url: str, skuscene: Any
) -> None:
    parked(store, "a", payload=claim(store))
    other = parked(store, "b", task=claims.FINISH, payload=claim(store))

    assert skuscene("parked", "replay", "--all", "--task", claims.PREPARE)[0] == 0

    assert len(waiting(redis_url, "prepare")) == 1
    assert store.has(other)


def test_a_message_that_redis_did_not_take_stays_parked(
    store: DirectoryStore, redis_url: str, skuscene: Any
) -> None:
    key = parked(store, "a", payload=claim(store))
    with redis.Redis.from_url(redis_url) as admin:
        admin.set("prepare", "not a list")

    code, out, _ = skuscene("parked", "replay", "a")

    assert (code, out) == (4, "")
    assert store.has(key)


def test_a_process_that_dies_after_enqueueing_has_lost_nothing(
    store: DirectoryStore, redis_url: str, skuscene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = parked(store, "a", payload=claim(store))
    enqueue = Queue.enqueue

    def die(queue: Queue, *arguments: Any, **named: Any) -> None:
        enqueue(queue, *arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(Queue, "enqueue", die)

    assert skuscene("parked", "replay", "a")[0] == 1
    assert store.has(key)
    assert len(waiting(redis_url, "prepare")) == 1


def test_a_store_that_is_away_is_a_service(
    store: DirectoryStore, skuscene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked(store, "a")
    monkeypatch.setenv("SKUSCENE_REDIS_URL", "redis://127.0.0.1:1/0")

    assert skuscene("parked", "list")[0] == 0
    assert skuscene("parked", "replay", "a")[0] == 4
