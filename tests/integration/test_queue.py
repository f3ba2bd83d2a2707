"""Do claims travel whole, in small messages, under options that lose none? (Redis and a double.)"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
import redis
from celery import Celery
from kombu.entity import Queue as BrokerQueue
from kombu.message import Message
from kombu.messaging import Consumer

from catalog import claims
from catalog.claims import (
    QUEUE_OF,
    QUEUES,
    Claim,
    ImportClaim,
    ProductClaim,
    RenderClaim,
    RepairClaim,
    ShardClaim,
)
from catalog.connection import QueueUnavailable
from catalog.queue import Queue, broker_url, connect
from catalog.results import ReferenceUsed
from catalog.settings import Settings, read_settings
from producers.embedded import private_redis
from tests.support.memory import MemoryQueue
from tests.support.stores import free_port
from tests.support.waiting import wait_for
from worker import ports
from worker.app import make_celery

AnyQueue: TypeAlias = Queue | MemoryQueue
ID = "20261122-101500-0a1b2c3d"
STORE = "0123456789abcdef"


def photo(number: int) -> ReferenceUsed:
    digest = f"{number:x}" * 64
    return ReferenceUsed(
        address=f"https://cdn.shop.example/s/files/1/0001/products/photo-{number}.jpg?v=1571438990",
        original_sha256=digest[:64],
        key=f"references/{digest[:64]}.jpg",
        media_type="image/jpeg",
        width_px=2_048,
        height_px=1_536,
    )


RENDER = RenderClaim(
    store=STORE,
    import_id=ID,
    part=12_345,
    product=199,
    slot=599,
    render_id="0123456789abcdef" * 2,
    references=tuple(photo(number) for number in range(1, 4)),
    attempt=2,
)
CLAIMS: dict[str, Claim] = {
    claims.PREPARE: ProductClaim(store=STORE, import_id=ID, part=3, product=7),
    claims.GENERATE: RENDER,
    claims.FINISH: RENDER,
    claims.FEED: ImportClaim(store=STORE, import_id=ID, refeed=True),
    claims.COMMIT: ShardClaim(store=STORE, import_id=ID, part=3),
    claims.PUBLISH: ImportClaim(store=STORE, import_id=ID),
    claims.REPAIR: RepairClaim(store=STORE, import_id=ID, revision=2, part=3, row=7, request="x"),
}


def settings(redis_url: str, **more: Any) -> Settings:
    return read_settings(redis_url=redis_url, store="file:///nowhere", **more)


@pytest.fixture(params=["memory", "redis"])
def queue(request: pytest.FixtureRequest) -> AnyQueue:
    if request.param == "memory":
        return MemoryQueue()
    url: str = request.getfixturevalue("redis_url")
    return Queue(connect(settings(url), url))


@pytest.fixture
def app(redis_url: str) -> Celery:
    return connect(settings(redis_url), redis_url)


def waiting(redis_url: str, queue: str) -> list[bytes]:
    with redis.Redis.from_url(redis_url) as client:
        found: Any = client.lrange(queue, 0, -1)
        return list(found)


def body(message: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(message)["body"]))


# -- both ------------------------------------------------------------------------------------


def test_an_empty_queue_is_empty(queue: AnyQueue) -> None:
    assert queue.depths() == dict.fromkeys(QUEUES, 0)


@pytest.mark.parametrize("task", CLAIMS)
def test_a_claim_waits_on_the_queue_of_its_task(queue: AnyQueue, task: str) -> None:
    queue.enqueue(task, CLAIMS[task])
    queue.enqueue(task, CLAIMS[task])

    assert queue.depths() == {**dict.fromkeys(QUEUES, 0), QUEUE_OF[task]: 2}


def test_a_claim_for_later_waits_on_the_same_queue(queue: AnyQueue) -> None:
    queue.enqueue(claims.GENERATE, RENDER, countdown_s=60)

    assert queue.depths()["generate"] == 1


# -- the wire --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", CLAIMS)
def test_a_claim_comes_out_as_it_went_in(task: str, redis_url: str, app: Celery) -> None:
    Queue(app).enqueue(task, CLAIMS[task])

    (message,) = waiting(redis_url, QUEUE_OF[task])

    arguments, named, _ = body(message)
    assert named == {}
    assert type(CLAIMS[task]).from_json(json.dumps(arguments[0])) == CLAIMS[task]
    assert json.loads(message)["headers"]["task"] == task


class Taker:
    """As much of a worker as takes messages: it has eight places, and nobody ends its waits."""

    def __init__(self, app: Celery, wait_s: int = 600) -> None:
        self.taken: list[Any] = []
        self._connection = app.connection_for_read()
        channel: Any = self._connection.default_channel
        channel.brpop_timeout = wait_s
        channel.basic_qos(0, 8)
        queue = BrokerQueue("generate", routing_key="generate")  # type: ignore[no-untyped-call]
        consumer: Any = Consumer(  # type: ignore[no-untyped-call]
            channel, [queue], accept=["json"], on_message=self._take
        )
        consumer.consume()

    def _take(self, message: Message) -> None:
        self.taken.append(message)

    def take(self, most: int) -> list[int]:
        """The products of up to so many messages more, for as long as some come."""
        before = len(self.taken)
        with contextlib.suppress(TimeoutError):
            while len(self.taken) < before + most:
                self._connection.drain_events(timeout=0.5)
        return [one.payload[0][0]["product"] for one in self.taken[before:]]

    def close(self) -> None:
        """Give back what was taken."""
        # A wait that is open would be waited for.
        self._connection.default_channel._in_poll = None
        self._connection.close()


@pytest.fixture
def taker(app: Celery) -> Iterator[Taker]:
    taker = Taker(app)
    yield taker
    taker.close()


def test_an_urgent_claim_is_the_next_to_be_taken(app: Celery, taker: Taker) -> None:
    queue = Queue(app)
    for product in (1, 2):
        queue.enqueue(claims.GENERATE, RENDER.changed(product=product))
    for product in (3, 4):
        queue.enqueue(claims.GENERATE, RENDER.changed(product=product, urgent=True))

    assert queue.depths()["generate"] == 4
    assert taker.take(4) == [3, 4, 1, 2]


def test_a_place_is_kept_for_urgent_claims(app: Celery, taker: Taker) -> None:
    queue = Queue(app)
    for product in range(9):
        queue.enqueue(claims.GENERATE, RENDER.changed(product=product))

    assert taker.take(9) == [0, 1, 2, 3, 4, 5, 6]
    queue.enqueue(claims.GENERATE, RENDER.changed(product=99, urgent=True))

    assert taker.take(9) == [99]


def test_a_place_that_becomes_free_ends_the_wait_for_urgent_claims(
    app: Celery, taker: Taker
) -> None:
    queue = Queue(app)
    for product in range(9):
        queue.enqueue(claims.GENERATE, RENDER.changed(product=product))
    assert taker.take(9) == [0, 1, 2, 3, 4, 5, 6]

    taker.taken[0].ack()

    assert taker.take(9) == [7]


def test_no_place_is_kept_where_redis_lets_nobody_end_a_wait(app: Celery, redis_url: str) -> None:
    queue, taker = Queue(app), Taker(app, wait_s=1)
    for product in range(9):
        queue.enqueue(claims.GENERATE, RENDER.changed(product=product))
    with redis.Redis.from_url(redis_url) as client:
        client.acl_setuser("default", enabled=True, commands=["-client|unblock"])
        try:
            assert taker.take(9) == [0, 1, 2, 3, 4, 5, 6]
            taker.taken[0].ack()
            wait_for(lambda: taker.take(9) == [7, 8], 20, "the end of the wait")
        finally:
            client.acl_setuser("default", enabled=True, commands=["+@all"])
    taker.close()


def test_a_claim_given_back_stays_urgent(app: Celery, redis_url: str) -> None:
    Queue(app).enqueue(claims.GENERATE, RENDER.changed(urgent=True))
    first = Taker(app)
    assert first.take(1) == [RENDER.product]

    first.close()

    assert len(waiting(redis_url, "generate:urgent")) == 1


def test_a_message_is_json_without_a_printed_copy_of_the_claim(redis_url: str, app: Celery) -> None:
    Queue(app).enqueue(claims.GENERATE, RENDER)

    (message,) = waiting(redis_url, "generate")

    envelope = json.loads(message)
    assert envelope["content-type"] == "application/json"
    assert envelope["headers"]["argsrepr"] == "-"
    assert RENDER.references[0].key not in json.dumps(envelope["headers"])


def test_a_message_of_a_render_with_three_photos_is_below_four_kilobytes(
    redis_url: str, app: Celery
) -> None:
    Queue(app).enqueue(claims.GENERATE, RENDER)

    (message,) = waiting(redis_url, "generate")

    assert len(message) < 4_096


def test_a_claim_names_its_slot_as_purchases_do() -> None:
    assert RENDER.name == claims.claim_name(ID, 12_345, 599) == f"{ID}/12345/599"


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"v": 2, "store": STORE, "import_id": ID},
        {"store": STORE, "import_id": ID, "surprise": 1},
        {"store": STORE, "import_id": "../etc"},
        {"store": STORE, "import_id": f"{ID}\n"},
    ],
)
def test_what_is_no_claim_is_not_read_as_one(payload: object) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ImportClaim.model_validate_json(json.dumps(payload))


# -- options ---------------------------------------------------------------------------------


def test_no_message_is_lost_with_its_worker_and_no_result_is_kept(app: Celery) -> None:
    conf = app.conf

    assert conf.task_acks_late is True
    assert conf.task_retry_on_worker_lost is True
    assert conf.task_ignore_result is True
    assert conf.result_backend is None
    assert conf.worker_prefetch_multiplier == 1


def test_only_json_is_written_and_read(app: Celery) -> None:
    assert app.conf.task_serializer == "json"
    assert list(app.conf.accept_content) == ["json"]


def test_producers_and_workers_agree_on_every_option_of_the_transport(redis_url: str) -> None:
    chosen = settings(redis_url, visibility_timeout_s=2_400)

    producer, worker = connect(chosen, redis_url), make_celery(chosen)

    options = producer.conf.broker_transport_options
    assert options == worker.conf.broker_transport_options
    assert options["visibility_timeout"] == 2_400
    assert options["visibility_timeout"] >= 2 * chosen.model_deadline_s
    assert options["unacked_restore_interval"] < 60
    assert producer.conf.broker_url == worker.conf.broker_url
    assert producer.conf.task_routes == worker.conf.task_routes


def test_options_of_the_transport_are_ones_that_kombu_knows(app: Celery) -> None:
    from kombu.transport.redis import Channel

    assert set(app.conf.broker_transport_options) <= set(Channel.from_transport_options)


def test_the_worker_has_a_task_for_every_claim_and_no_other(redis_url: str) -> None:
    worker = make_celery(settings(redis_url))

    ours = {name for name in worker.tasks if not name.startswith("celery.")}

    assert ours == set(QUEUE_OF) == set(CLAIMS)
    assert set(QUEUE_OF.values()) == set(QUEUES)


# -- addresses and outages -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("redis://host:6379/3", "redis://host:6379/3"),
        ("rediss://:pw@host:6380/0", "rediss://:pw@host:6380/0"),
        ("unix:///run/r.sock", "skuscene+socket:///run/r.sock?virtual_host=0"),
        ("unix:///run/r.sock?db=2", "skuscene+socket:///run/r.sock?virtual_host=2"),
        ("unix://:pw@/run/r.sock?db=2", "skuscene+socket://:pw@/run/r.sock?virtual_host=2"),
    ],
)
def test_a_redis_url_is_written_as_kombu_wants_it(given: str, written: str) -> None:
    assert broker_url(given) == written


def test_a_socket_with_password_and_database_leads_both_clients_to_one_place() -> None:
    with private_redis(append_only=False) as server:
        path = server.url.removeprefix("unix://").partition("?")[0]
        with redis.Redis.from_url(server.url) as admin:
            admin.config_set("requirepass", "visibly-fake")
        url = f"unix://:visibly-fake@{path}?db=2"

        Queue(connect(settings(url), url)).enqueue(claims.GENERATE, RENDER)

        assert len(waiting(url, "generate")) == 1


@pytest.mark.parametrize("scheme", ["tcp", "socket"])
def test_a_redis_that_is_not_there_is_unavailable_in_bounded_time(scheme: str) -> None:
    url = (
        f"redis://127.0.0.1:{free_port()}/0"
        if scheme == "tcp"
        else "unix:///nowhere/redis.sock?db=0"
    )
    queue = Queue(connect(settings(url), url))

    began = time.monotonic()
    with pytest.raises(QueueUnavailable, match=r"skuscene\.generate was not enqueued"):
        queue.enqueue(claims.GENERATE, RENDER)
    assert time.monotonic() - began < 15

    began = time.monotonic()
    with pytest.raises(QueueUnavailable, match="can't be counted"):
        queue.depths()
    assert time.monotonic() - began < 15


def test_a_redis_whose_memory_is_full_is_unavailable_and_loses_nothing() -> None:
    with private_redis(append_only=False) as server, redis.Redis.from_url(server.url) as admin:
        queue = Queue(connect(settings(server.url), server.url))
        queue.enqueue(claims.GENERATE, RENDER)
        admin.config_set("maxmemory", "1")

        with pytest.raises(QueueUnavailable, match="memory"):
            queue.enqueue(claims.GENERATE, RENDER)

        assert queue.depths()["generate"] == 1


def test_a_redis_whose_queue_is_something_else_is_unavailable(redis_url: str, app: Celery) -> None:
    with redis.Redis.from_url(redis_url) as admin:
        admin.set("generate", "not a list")

    with pytest.raises(QueueUnavailable, match="wrong kind"):
        Queue(app).depths()


def assert_fits(queue: ports.Queue) -> None:
    """Use the double as the stages see it; mypy checks that it fits."""
    queue.enqueue(claims.FEED, CLAIMS[claims.FEED])


def test_the_double_is_away_when_told_to() -> None:
    queue = MemoryQueue()
    queue.away = True

    with pytest.raises(QueueUnavailable):
        queue.enqueue(claims.GENERATE, RENDER)
    with pytest.raises(QueueUnavailable):
        queue.depths()


def test_the_double_gives_out_the_oldest_first() -> None:
    queue = MemoryQueue()
    assert_fits(queue)
    queue.enqueue(claims.GENERATE, RENDER, countdown_s=5)

    taken = queue.take(claims.GENERATE)

    assert taken
    assert (taken.claim, taken.countdown_s) == (RENDER, 5)
    assert queue.of(claims.GENERATE) == (RENDER,)
    oldest = queue.take()
    assert oldest
    assert oldest.task == claims.FEED
    assert queue.take() is None
