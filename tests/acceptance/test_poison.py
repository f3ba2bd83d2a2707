"""What becomes of a worker when anything at all lies in its queues? It goes on, and parks it."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from catalog import claims, keys
from catalog.claims import ProductClaim
from catalog.transport import UNREADABLE
from tests.support.running import House, house, stop
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

FEED = Path(__file__).parent.parent / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"
STORE = "0123456789abcdef"
MEGABYTES = 5_000_000
LATER = "9999-12-31T23:59:59+00:00"


class Loaded(Exception):
    """Raised by what is unpickled."""


def explode() -> None:
    """Leave a trace that nobody can overlook."""
    raise Loaded


class Pickled:
    """Runs code when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return explode, ()


@dataclass(frozen=True)
class Poison:
    """What lies in a queue, and a word that must be said of it."""

    raw: bytes
    said: str
    task: str = ""


def claim(**more: Any) -> dict[str, Any]:
    """What a prepare message carries."""
    sent = ProductClaim(store=STORE, import_id="one", part=0, product=0).model_dump(mode="json")
    return {**sent, **more}


def body(payload: Any, named: Any = None, follows: Any = None) -> bytes:
    """A message's body as Celery writes it."""
    return json.dumps([[payload], named or {}, follows or {"chain": None}]).encode()


def envelope(
    content: bytes | None = None,
    *,
    headers: Any = None,
    properties: dict[str, Any] | None = None,
    without: str = "",
    **fields: Any,
) -> bytes:
    """A message as kombu writes it, except for what is told."""
    head = {"task": claims.PREPARE, "id": "ea2550ef-711b", "eta": None, "expires": None}
    message = {
        "body": base64.b64encode(body(claim()) if content is None else content).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {**head, **headers} if isinstance(headers, dict) else headers or head,
        "properties": {
            "delivery_tag": "0752d962-6104",
            "delivery_info": {"exchange": "", "routing_key": "prepare"},
            "body_encoding": "base64",
            "priority": 0,
            **(properties or {}),
        },
        **fields,
    }
    message["properties"].pop(without, None)
    message.pop(without, None)
    return json.dumps(message).encode()


def task(name: str, **more: Any) -> bytes:
    return envelope(headers={"task": name, **more})


NAMELESS = "unnamed"
AS_PICKLE: dict[str, Any] = {
    "content-type": "application/x-python-serialize",
    "content-encoding": "binary",
}
AS_UTF_16: dict[str, Any] = {"content-encoding": "utf-16"}
POISON: dict[str, Poison] = {
    # What kombu can't open, and what would end its loop.
    "not JSON": Poison(b"hello", "no message", NAMELESS),
    "nothing": Poison(b"", "no message", NAMELESS),
    "not text": Poison(b"\xff\xfe\x00", "no message", NAMELESS),
    "a list": Poison(b"[1, 2]", "no message of Celery's", NAMELESS),
    "a number of many digits": Poison(b"9" * 5_000, "no message", NAMELESS),
    "nested deeply": Poison(b"[" * 100_000, "nested", NAMELESS),
    "a kombu type that fails": Poison(
        b'{"__type__": "uuid", "__value__": "x"}', "no message", NAMELESS
    ),
    "no properties": Poison(envelope(without="properties"), "properties", NAMELESS),
    "no delivery tag": Poison(envelope(without="delivery_tag"), "delivery_tag", NAMELESS),
    "a delivery tag of no kind": Poison(
        envelope(properties={"delivery_tag": {"a": 1}}), "delivery_tag", NAMELESS
    ),
    "no address": Poison(envelope(without="delivery_info"), "delivery_info", NAMELESS),
    "an address elsewhere": Poison(
        envelope(properties={"delivery_info": {"exchange": "x", "routing_key": "nowhere"}}),
        "delivery_info",
        NAMELESS,
    ),
    "headers that are a list": Poison(envelope(headers=[1]), "headers", NAMELESS),
    "a body that is an object": Poison(envelope(body={"a": 1}), "body", NAMELESS),
    "not base64": Poison(envelope(body="%%%"), "base64", NAMELESS),
    "half a character": Poison(envelope(body="\ud800"), "body", NAMELESS),
    "an unknown body encoding": Poison(
        envelope(properties={"body_encoding": "rot13"}), "body_encoding", NAMELESS
    ),
    "a compressed bomb": Poison(
        envelope(headers={"compression": "application/x-gzip"}), "compressed", NAMELESS
    ),
    # What Celery drops, or falls over.
    "no headers": Poison(envelope(without="headers"), "name no task", NAMELESS),
    "a task that is an object": Poison(task({}), "name no task", NAMELESS),  # type: ignore[arg-type]
    "no id": Poison(envelope(headers={"id": None}), "no id", claims.PREPARE),
    "an unknown task": Poison(task("skuscene.approve"), "no task", "skuscene.approve"),
    "a task of Celery's own": Poison(task("celery.map"), "no task", "celery.map"),
    "a task in another folder": Poison(
        task("../../etc/passwd"), "no task", keys.slug("../../etc/passwd")
    ),
    "a task of 500 letters": Poison(task("ä" * 500), "no task", keys.slug("ä" * 500)),
    "pickle": Poison(
        envelope(
            pickle.dumps(Pickled()),
            **AS_PICKLE,
        ),
        "only application/json",
        claims.PREPARE,
    ),
    "pickle that calls itself JSON": Poison(
        envelope(pickle.dumps(Pickled())), "no JSON", claims.PREPARE
    ),
    "another encoding": Poison(
        envelope(body(claim()).decode().encode("utf-16"), **AS_UTF_16),
        "utf-16",
        claims.PREPARE,
    ),
    "a body that is no JSON": Poison(envelope(b"{"), "no JSON", claims.PREPARE),
    "a deep body": Poison(envelope(b"[" * 100_000), "no JSON", claims.PREPARE),
    "no arguments": Poison(envelope(b"[[], {}, {}]"), "one payload", claims.PREPARE),
    "named arguments": Poison(
        envelope(body(claim(), {"payload": 1})), "one payload", claims.PREPARE
    ),
    "arguments of no kind": Poison(envelope(b'"hello"'), "its body is not", claims.PREPARE),
    "a chain": Poison(
        envelope(body(claim(), None, {"chain": [{"task": "celery.map"}]})),
        "a chain",
        claims.PREPARE,
    ),
    "a callback": Poison(
        envelope(body(claim(), None, {"callbacks": [{}]})), "callbacks", claims.PREPARE
    ),
    "an eta of no kind": Poison(envelope(headers={"eta": "soon"}), "eta", claims.PREPARE),
    "an eta that never comes": Poison(envelope(headers={"eta": LATER}), "7 days", claims.PREPARE),
    # What is no claim of ours.
    "wrong types": Poison(envelope(body(claim(part="zero"))), "part", claims.PREPARE),
    "no claim": Poison(envelope(body(None)), "can't be read", claims.PREPARE),
    "a newer version": Poison(
        envelope(body(claim(v=2, colour="blue"))), "newer version", claims.PREPARE
    ),
    "5 MB": Poison(envelope(body(claim(note="x" * MEGABYTES))), "note", claims.PREPARE),
    "another store": Poison(envelope(), "speaks of store", claims.PREPARE),
    # What Celery would have dropped, and we do not: it is worked, and its plan is not there.
    "expired, and of limits": Poison(
        envelope(
            headers={
                "id": "expired-1",
                "expires": "2001-01-01T00:00:00+00:00",
                "eta": "0001-01-01",
                "timelimit": 5,
                "retries": "x",
                "shadow": ["a"],
                "stamped_headers": 7,
            }
        ),
        "speaks of store",
        claims.PREPARE,
    ),
}


BROADCASTS = (
    b"hello",
    b"{}",
    b"[" * 100_000,
    b'{"__type__": "base64", "__value__": 5}',
    envelope(without="delivery_tag"),
    envelope(body="%%%"),
    envelope(headers=[1]),
    envelope(b"hello"),
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    """A directory store, a queue and a model, without workers."""
    with house(tmp_path) as made:
        yield made


@contextlib.contextmanager
def worker(shop: House) -> Iterator[subprocess.Popen[bytes]]:
    """One Celery process for all queues, without a supervisor that starts it again."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "-P", "threads", "-c", "4"]
    with (shop.folder / "celery.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=shop.variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        stop(process)


def parked(shop: House) -> list[dict[str, Any]]:
    """Every parked message, with the folder in which it lies."""
    files = (shop.folder / "store" / "parked").rglob("*.json")
    return [{**json.loads(path.read_bytes()), "folder": path.parent.name} for path in files]


def test_a_worker_outlives_every_hostile_message_and_parks_each_once(shop: House) -> None:
    client = redis.Redis.from_url(shop.variables["SKUSCENE_REDIS_URL"])
    with client, worker(shop) as process:
        for poison in POISON.values():
            client.lpush("prepare", poison.raw)
        wait_for(lambda: parked(shop), timeout_s=20, what="the first one parked")
        heard = [client.publish("/0.celery.pidbox", shout) for shout in BROADCASTS]
        ran = shop.skuscene(
            *("import", str(FEED), "--images", str(PHOTOS), "--limit", "2", "--id", "one"),
            *("--wait", "--json"),
        )
        # The same again, which is a redelivery to all appearances; then one that is not.
        client.lpush("generate", POISON["not JSON"].raw)
        client.lpush("prepare", POISON["not JSON"].raw)
        wait_for(
            lambda: len(parked(shop)) > len(POISON),
            timeout_s=20,
            what="everything parked",
        )
        wait_for(lambda: client.hlen("unacked") == 0, timeout_s=10, what="all acknowledged")

        assert process.poll() is None
        assert all(heard)
        assert ran.json()["renders"]["succeeded"] == 2, ran.err
        assert [client.llen(queue) for queue in claims.QUEUES] == [0, 0, 0, 0]
    assert "Connection to broker lost" not in (shop.folder / "celery.log").read_text()
    assert len(parked(shop)) == len(POISON) + 1
    assert_all_told(parked(shop))


def assert_all_told(found: list[dict[str, Any]]) -> None:
    for name, poison in POISON.items():
        alike = [one for one in found if one["folder"] == poison.task and poison.said in one["why"]]
        assert alike, (name, [(one["folder"], one["why"]) for one in found])
        assert any(holds(one, poison.raw) for one in alike), name


def holds(one: dict[str, Any], raw: bytes) -> bool:
    """Whether it was parked as it came."""
    message = one["message"]
    if message is None:
        return bool(one["payload"] == json.loads(content_of(json.loads(raw)))[0][0])
    kept = message["body"].encode()
    kept = base64.b64decode(kept) if message["body_is"] == "base64" else kept
    if message["content_type"] == UNREADABLE:
        return kept == raw
    return kept == content_of(json.loads(raw))


def content_of(message: dict[str, Any]) -> bytes:
    return base64.b64decode(message["body"])


def test_a_message_that_the_store_does_not_take_stays_in_the_queue(tmp_path: Path) -> None:
    with house(tmp_path, simulator=False) as shop:
        assert_stays(shop, POISON["an unknown task"].raw)


def assert_stays(shop: House, raw: bytes) -> None:
    in_the_way = shop.folder / "store" / "parked"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    with redis.Redis.from_url(shop.variables["SKUSCENE_REDIS_URL"]) as client:
        client.lpush("prepare", raw)
        with worker(shop):
            log = shop.folder / "celery.log"
            wait_for(lambda: "parking_failed" in log.read_text(), timeout_s=20, what="a first try")
            assert client.hlen("unacked") == 1
        assert client.llen("prepare") == 1

        with worker(shop) as second:
            in_the_way.unlink()
            wait_for(lambda: parked(shop), timeout_s=20, what="the message parked")
            wait_for(lambda: client.hlen("unacked") == 0, timeout_s=10, what="acknowledged")
            assert second.poll() is None
    assert [holds(one, raw) for one in parked(shop)] == [True]
