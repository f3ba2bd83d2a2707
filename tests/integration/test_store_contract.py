"""Does every store keep the same promises? (A double, a directory, moto and ministack.)"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from catalog import keys
from catalog.store.directory import DirectoryStore
from catalog.store.opening import StoreUrlError, identify, open_store, probe
from catalog.store.port import (
    Conflict,
    Created,
    Store,
    StoreRefuses,
    StoreUnavailable,
    sha256_hex,
)
from catalog.store.s3 import S3Options, S3Store
from tests.support.memory import MemoryStore
from tests.support.stores import (
    free_port,
    losing_proxy,
    new_bucket,
    opened,
    s3_client,
    s3_environment,
)

JSON = "application/json"
ALL = ("memory", "directory", "moto", "ministack")


@pytest.fixture(params=ALL)
def store(request: pytest.FixtureRequest) -> Store:
    return made(request.param, request)


@pytest.fixture(params=["directory", "ministack"])
def raced(request: pytest.FixtureRequest) -> Store:
    return made(request.param, request)


def made(kind: str, request: pytest.FixtureRequest) -> Store:
    if kind == "memory":
        return MemoryStore()
    if kind == "directory":
        folder: Path = request.getfixturevalue("tmp_path")
        return DirectoryStore(folder / "store")
    endpoint: str = request.getfixturevalue(kind)
    return opened(endpoint, new_bucket(endpoint))


def create(store: Store, key: str, content: bytes, **metadata: str) -> Created:
    return store.create(key, content, media_type=JSON, metadata=metadata)


def content(store: Store, key: str) -> bytes:
    found = store.read(key)
    assert found
    return found.content


def etag(store: Store, key: str) -> str:
    found = store.read(key)
    assert found
    return found.etag


# -- create ----------------------------------------------------------------------------------


def test_the_first_to_create_an_object_wins(store: Store) -> None:
    created = create(store, "a/b.json", b"one")

    assert created == Created(key="a/b.json", sha256=sha256_hex(b"one"), won=True)
    assert content(store, "a/b.json") == b"one"


def test_creating_the_same_bytes_again_counts_as_won(store: Store) -> None:
    create(store, "a.json", b"one")

    assert create(store, "a.json", b"one") == Created(
        key="a.json", sha256=sha256_hex(b"one"), won=True
    )


def test_a_loser_learns_what_is_stored_and_changes_nothing(store: Store) -> None:
    create(store, "a.json", b"one", note="first")

    lost = store.create("a.json", b"two", media_type="image/png", metadata={"note": "second"})

    assert lost == Created(key="a.json", sha256=sha256_hex(b"one"), won=False)
    found = store.read("a.json")
    assert found
    assert (found.content, found.media_type, dict(found.metadata)) == (
        b"one",
        JSON,
        {"note": "first"},
    )


def test_sixteen_that_create_one_object_at_once_have_one_winner(raced: Store) -> None:
    ready = threading.Barrier(16)

    def race(number: int, key: str) -> Created:
        ready.wait(30)
        return create(raced, key, b"%d" % number * 1_000, by=str(number))

    for round_no in range(5):
        key = f"race/{round_no}.json"
        with ThreadPoolExecutor(16) as threads:
            created = list(threads.map(race, range(16), [key] * 16))

        winners = [number for number, one in enumerate(created) if one.won]
        assert len(winners) == 1
        found = raced.read(key)
        assert found
        assert found.content == b"%d" % winners[0] * 1_000
        assert found.metadata == {"by": str(winners[0])}
        assert {one.sha256 for one in created} == {found.sha256}


def test_an_empty_object_is_an_object(store: Store) -> None:
    create(store, "empty.json", b"")

    assert content(store, "empty.json") == b""
    assert store.has("empty.json")


# -- replace ---------------------------------------------------------------------------------


def test_an_object_is_replaced_by_whoever_read_its_newest_state(store: Store) -> None:
    create(store, "control.json", b"1")

    second = store.replace("control.json", b"2", media_type=JSON, etag=etag(store, "control.json"))

    assert content(store, "control.json") == b"2"
    assert second == etag(store, "control.json")
    assert store.replace("control.json", b"3", media_type=JSON, etag=second)
    assert content(store, "control.json") == b"3"


def test_replacing_what_somebody_else_replaced_is_a_conflict(store: Store) -> None:
    create(store, "control.json", b"1")
    first = etag(store, "control.json")
    store.replace("control.json", b"2", media_type=JSON, etag=first)

    with pytest.raises(Conflict, match=r"control\.json"):
        store.replace("control.json", b"3", media_type=JSON, etag=first)

    assert content(store, "control.json") == b"2"


def test_replacing_what_is_gone_is_a_conflict(store: Store) -> None:
    create(store, "control.json", b"1")
    first = etag(store, "control.json")
    store.delete("control.json")

    with pytest.raises(Conflict):
        store.replace("control.json", b"2", media_type=JSON, etag=first)

    assert store.read("control.json") is None


def test_replacing_nothing_makes_the_object(store: Store) -> None:
    made_etag = store.replace("control.json", b"1", media_type=JSON, etag=None)

    assert content(store, "control.json") == b"1"
    assert made_etag == etag(store, "control.json")


def test_replacing_nothing_where_something_is_ends_in_a_conflict(store: Store) -> None:
    create(store, "control.json", b"1")

    with pytest.raises(Conflict):
        store.replace("control.json", b"2", media_type=JSON, etag=None)

    assert content(store, "control.json") == b"1"


def test_replacing_by_the_bytes_that_are_there_counts_as_done(store: Store) -> None:
    create(store, "control.json", b"1")
    first = etag(store, "control.json")
    second = store.replace("control.json", b"2", media_type=JSON, etag=first)

    again = store.replace("control.json", b"2", media_type=JSON, etag=first)

    assert again == second


def test_of_sixteen_that_replace_one_state_one_succeeds(raced: Store) -> None:
    create(raced, "control.json", b"0")
    first = etag(raced, "control.json")
    ready = threading.Barrier(16)

    def race(number: int) -> bool:
        ready.wait(30)
        try:
            raced.replace("control.json", b"by %d" % number, media_type=JSON, etag=first)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        done = list(threads.map(race, range(16)))

    assert done.count(True) == 1
    assert content(raced, "control.json") == b"by %d" % done.index(True)


def test_one_of_those_who_create_and_replace_nothing_at_once_wins(raced: Store) -> None:
    ready = threading.Barrier(16)

    def race(number: int) -> bool:
        ready.wait(30)
        mine = b"by %d" % number
        if number % 2:
            return create(raced, "new.json", mine).won
        try:
            raced.replace("new.json", mine, media_type=JSON, etag=None)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        done = list(threads.map(race, range(16)))

    assert done.count(True) == 1
    assert content(raced, "new.json") == b"by %d" % done.index(True)


# -- read, has, list, delete -----------------------------------------------------------------


def test_reading_gives_back_bytes_media_type_and_metadata(store: Store) -> None:
    picture = bytes(range(256)) * 40
    metadata = {"purchase": '{"take": 1, "sku": "Gr\\u00f6\\u00dfe \\ud83d\\ude00"}'}

    store.create("t/take-1.png", picture, media_type="image/png", metadata=metadata)

    found = store.read("t/take-1.png")
    assert found
    assert (found.key, found.content, found.media_type) == ("t/take-1.png", picture, "image/png")
    assert dict(found.metadata) == metadata
    assert found.sha256 == sha256_hex(picture)


def test_metadata_may_be_nearly_two_kilobytes(store: Store) -> None:
    metadata = {"purchase": "x" * 2_030}

    store.create("take-1.png", b"p", media_type="image/png", metadata=metadata)

    found = store.read("take-1.png")
    assert found
    assert dict(found.metadata) == metadata


def test_what_is_not_there_is_read_as_nothing(store: Store) -> None:
    create(store, "folder/a.json", b"1")

    assert store.read("none.json") is None
    assert store.read("folder/none.json") is None
    assert store.read("folder") is None
    assert not store.has("none.json")
    assert not store.has("folder")
    assert store.has("folder/a.json")


def test_a_listing_is_complete_in_order_and_of_its_prefix(store: Store) -> None:
    there = [
        "imports/a-1/import.json",
        "imports/a/import.json",
        "imports/a/plan/part-00000.jsonl.gz",
        "imports/a/plan/part-00001.jsonl.gz",
        "imports/b/import.json",
        "store.json",
    ]
    for key in reversed(there):
        create(store, key, key.encode())

    assert [entry.key for entry in store.list("")] == there
    assert [entry.key for entry in store.list("imports/a/")] == there[1:4]
    assert [entry.key for entry in store.list("imports/a/plan/part-")] == there[2:4]
    assert [entry.key for entry in store.list("imports/a")] == there[:4]
    assert [entry.size_bytes for entry in store.list("store")] == [len("store.json")]
    assert list(store.list("nothing/here/")) == []


def test_a_listing_longer_than_a_page_is_whole(store: Store) -> None:
    if isinstance(store, S3Store):
        store._client.meta.events.register("before-parameter-build.s3.ListObjectsV2", short_pages)
    there = [f"many/{at:02}.json" for at in range(25)]
    for key in there:
        create(store, key, b"")

    assert [entry.key for entry in store.list("many/")] == there


def short_pages(params: dict[str, Any], **_: object) -> None:
    params["MaxKeys"] = 10


def test_deleting_twice_is_no_error(store: Store) -> None:
    create(store, "a.json", b"1")

    store.delete("a.json")
    store.delete("a.json")
    store.delete("never/was.json")

    assert store.read("a.json") is None


def test_an_object_made_anew_carries_nothing_of_the_old_one(store: Store) -> None:
    store.create("a.json", b"1", media_type="image/png", metadata={"note": "old"})
    store.delete("a.json")

    store.create("a.json", b"1", media_type="image/webp", metadata={"note": "new"})

    found = store.read("a.json")
    assert found
    assert (found.media_type, dict(found.metadata)) == ("image/webp", {"note": "new"})


def test_the_longest_keys_that_we_make_are_keys(store: Store) -> None:
    longest = keys.parked("t" * 500, "n" * 500)
    assert len(longest) > 360

    assert create(store, longest, b"1").won
    assert [entry.key for entry in store.list("parked/")] == [longest]


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_a_key_longer_than_s3_allows_is_refused(kind: str, request: pytest.FixtureRequest) -> None:
    # S3 answers KeyTooLongError (below); neither moto nor ministack does.
    as_long_as_can_be = "k" * 94 + "/" + "/".join(["k" * 92] * 10)
    store = made(kind, request)

    assert len(as_long_as_can_be) == 1_024
    assert create(store, as_long_as_can_be, b"1").won
    with pytest.raises(StoreRefuses):
        create(store, as_long_as_can_be + "k", b"1")


# -- identity and probe ----------------------------------------------------------------------


def test_a_store_has_one_identity_whoever_asks_first(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(lambda _: identify(store), range(8)))

    assert len(ids) == 1
    assert identify(store) in ids


def test_a_store_with_somebody_elses_identity_file_is_refused(store: Store) -> None:
    create(store, keys.STORE_IDENTITY, b'{"inventory": "of a shop"}')

    with pytest.raises(StoreRefuses, match="SKUSCENE_STORE"):
        identify(store)


def test_a_store_that_keeps_conditions_passes_the_probe_and_keeps_no_trace(store: Store) -> None:
    probe(store)

    assert list(store.list("")) == []


class IgnoresCreate(MemoryStore):
    """Overwrites what is there, as s3rver does."""

    def create(
        self, key: str, content: bytes, *, media_type: str, metadata: Mapping[str, str] = {}
    ) -> Created:
        self.delete(key)
        return super().create(key, content, media_type=media_type, metadata=metadata)


class IgnoresReplace(MemoryStore):
    """Replaces whatever is there."""

    def replace(self, key: str, content: bytes, *, media_type: str, etag: str | None) -> str:
        found = self.read(key)
        etag = found.etag if found else None
        return super().replace(key, content, media_type=media_type, etag=etag)


@pytest.mark.parametrize(
    ("store_type", "header"), [(IgnoresCreate, "If-None-Match"), (IgnoresReplace, "If-Match")]
)
def test_a_store_that_ignores_a_condition_is_refused(
    store_type: type[MemoryStore], header: str
) -> None:
    careless = store_type()

    with pytest.raises(StoreRefuses, match=header):
        probe(careless)

    assert careless.keys == ()


def test_a_probe_that_cannot_write_says_so_and_not_that_it_cannot_delete() -> None:
    store = MemoryStore()
    store.fail(exc=StoreRefuses("no permission to write"))

    with pytest.raises(StoreRefuses, match="to write"):
        probe(store)

    assert [method for method, _ in store.calls] == ["create"]


# -- the URL ---------------------------------------------------------------------------------


def test_a_directory_is_opened_by_its_url(tmp_path: Path) -> None:
    folder = tmp_path / "with space and ü"

    store = open_store(folder.as_uri())

    assert isinstance(store, DirectoryStore)
    assert store.root == folder
    assert open_store(store.url).url == store.url == folder.as_uri()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
    ],
)
def test_a_bucket_is_opened_by_its_url(url: str, said: str) -> None:
    assert open_store(url).url == said


@pytest.mark.parametrize(
    "url", ["", "bucket/prefix", "/a/dir", "file://host/dir", "file:", "s3:///x", "gs://bucket/x"]
)
def test_a_url_that_names_no_store_is_said_to(url: str) -> None:
    with pytest.raises(StoreUrlError, match="SKUSCENE_STORE"):
        open_store(url)


def test_two_prefixes_of_a_bucket_are_two_stores(moto: str) -> None:
    bucket = new_bucket(moto)
    one, other = opened(moto, bucket, "one"), opened(moto, bucket, "one-more/deep")

    create(one, "a.json", b"1")

    assert [entry.key for entry in one.list("")] == ["a.json"]
    assert list(other.list("")) == []
    assert identify(one) != identify(other)


# -- S3 and the network ----------------------------------------------------------------------


@pytest.mark.parametrize("server", ["moto", "ministack"])
def test_a_create_whose_reply_was_lost_is_won(server: str, request: pytest.FixtureRequest) -> None:
    endpoint: str = request.getfixturevalue(server)
    bucket = new_bucket(endpoint)
    with losing_proxy(endpoint) as proxy:
        store = opened(proxy.address, bucket)
        proxy.lose = 1

        created = store.create("take-1.png", b"paid", media_type="image/png", metadata={"a": "b"})

    assert proxy.lost == 1
    assert created == Created(key="take-1.png", sha256=sha256_hex(b"paid"), won=True)
    puts = s3_client(endpoint).list_objects_v2(Bucket=bucket)["Contents"]
    assert [put["Key"] for put in puts] == ["shop/take-1.png"]


def test_a_replace_whose_reply_was_lost_is_done(ministack: str) -> None:
    bucket = new_bucket(ministack)
    direct = opened(ministack, bucket)
    create(direct, "control.json", b"1")
    with losing_proxy(ministack) as proxy:
        store = opened(proxy.address, bucket)
        first = etag(store, "control.json")
        proxy.lose = 1

        second = store.replace("control.json", b"2", media_type=JSON, etag=first)

    assert proxy.lost == 1
    assert second == etag(direct, "control.json")


def test_a_create_whose_every_reply_was_lost_is_unavailable_and_can_be_repeated(
    ministack: str,
) -> None:
    with losing_proxy(ministack) as proxy:
        store = opened(proxy.address, new_bucket(ministack))
        proxy.lose = 100
        with pytest.raises(StoreUnavailable):
            create(store, "a.json", b"1")
        proxy.lose = 0

        assert create(store, "a.json", b"1").won


def test_bytes_damaged_on_the_way_are_not_stored_and_may_be_sent_again(ministack: str) -> None:
    store = opened(ministack, new_bucket(ministack))

    def damage(params: dict[str, Any], **_: object) -> None:
        params["body"] = b"tampered"

    store._client.meta.events.register("before-call.s3.PutObject", damage)
    with pytest.raises(StoreUnavailable):
        create(store, "a.json", b"original")
    store._client.meta.events.unregister("before-call.s3.PutObject", damage)

    assert store.read("a.json") is None
    assert create(store, "a.json", b"original").won


ASKED: tuple[tuple[str, Callable[[Store], object]], ...] = (
    ("create", lambda store: create(store, "a.json", b"1")),
    ("replace", lambda store: store.replace("a.json", b"1", media_type=JSON, etag=None)),
    ("read", lambda store: store.read("a.json")),
    ("has", lambda store: store.has("a.json")),
    ("list", lambda store: list(store.list(""))),
    ("delete", lambda store: store.delete("a.json")),
)


@pytest.mark.parametrize("ask", [ask for _, ask in ASKED], ids=[name for name, _ in ASKED])
def test_a_server_that_is_not_there_is_unavailable_at_once(ask: Callable[[Store], object]) -> None:
    store = opened(f"http://127.0.0.1:{free_port()}", "bucket")
    began = time.monotonic()

    with pytest.raises(StoreUnavailable, match="s3://bucket/shop"):
        ask(store)

    assert time.monotonic() - began < 10


@pytest.mark.parametrize("ask", [ask for _, ask in ASKED], ids=[name for name, _ in ASKED])
def test_a_server_that_says_nothing_is_unavailable_in_bounded_time(
    ask: Callable[[Store], object],
) -> None:
    with silent_server() as address:
        store = opened(address, "bucket", read_timeout_s=0.2)
        began = time.monotonic()

        with pytest.raises(StoreUnavailable):
            ask(store)

    assert time.monotonic() - began < 10


def test_no_call_takes_much_longer_than_a_paid_picture_may_wait() -> None:
    from catalog.settings import Settings

    options = S3Options()
    longest_s = 3 * (options.connect_timeout_s + options.read_timeout_s)

    assert longest_s <= 1.5 * Settings.model_fields["put_deadline_s"].default


@pytest.mark.parametrize("server", ["moto", "ministack"])
@pytest.mark.parametrize(
    "ask",
    # A bucket's absence can't be told from an object's by HEAD.
    [ask for name, ask in ASKED if name != "has"],
    ids=[name for name, _ in ASKED if name != "has"],
)
def test_a_bucket_that_is_not_there_is_a_refusal(
    server: str, ask: Callable[[Store], object], request: pytest.FixtureRequest
) -> None:
    store = opened(request.getfixturevalue(server), "no-such-bucket")

    with pytest.raises(StoreRefuses, match="no bucket"):
        ask(store)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "KeyTooLongError"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "AccessDenied"),
        (405, "MethodNotAllowed"),
        (501, "NotImplemented"),
    ],
)
def test_an_answer_that_asking_again_will_not_mend_is_a_refusal(status: int, code: str) -> None:
    with answering_server(status, code) as address:
        store = opened(address, "bucket")

        with pytest.raises(StoreRefuses, match=code):
            create(store, "a.json", b"1")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (400, "RequestTimeout"),
        (400, "BadDigest"),
        (429, "TooManyRequests"),
    ],
)
def test_an_answer_that_will_pass_is_unavailability(status: int, code: str) -> None:
    with answering_server(status, code) as address:
        store = opened(address, "bucket")

        with pytest.raises(StoreUnavailable, match=code):
            create(store, "a.json", b"1")


def test_without_credentials_the_store_says_which_to_set(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_environment(moto).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = open_store("s3://bucket/shop")

    with pytest.raises(StoreRefuses, match="AWS_ACCESS_KEY_ID"):
        store.read("a.json")


def test_an_endpoint_without_a_scheme_is_a_refusal_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in s3_environment("127.0.0.1:9000").items():
        monkeypatch.setenv(name, value)
    store = open_store("s3://bucket/shop")

    with pytest.raises(StoreRefuses, match="AWS_ENDPOINT_URL_S3"):
        store.read("a.json")


def test_metadata_that_s3_cannot_carry_is_a_refusal(moto: str) -> None:
    store = opened(moto, new_bucket(moto))

    with pytest.raises(StoreRefuses, match="ASCII"):
        create(store, "a.json", b"1", note="Größe")


# -- the directory ---------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "..",
        "../a.json",
        "a/../../b.json",
        "a/./b.json",
        "/etc/passwd",
        "a//b.json",
        "a/",
        "a.json\n",
        "a\x00b",
        "Größe",
        ".skuscene/tmp/a",
        "k" * 256,
    ],
)
def test_a_directory_refuses_what_is_no_key(directory: DirectoryStore, key: str) -> None:
    for _, ask in key_methods(key):
        with pytest.raises(StoreRefuses, match="no key"):
            ask(directory)


def key_methods(key: str) -> Iterator[tuple[str, Callable[[Store], object]]]:
    yield "create", lambda store: create(store, key, b"1")
    yield "replace", lambda store: store.replace(key, b"1", media_type=JSON, etag=None)
    yield "read", lambda store: store.read(key)
    yield "has", lambda store: store.has(key)
    yield "delete", lambda store: store.delete(key)


@pytest.mark.parametrize("prefix", ["../", "a/../../", "/etc/", ".skuscene/"])
def test_a_directory_lists_nothing_outside_itself(directory: DirectoryStore, prefix: str) -> None:
    with pytest.raises(StoreRefuses):
        list(directory.list(prefix))


def test_a_key_with_two_dots_in_a_name_is_a_key(directory: DirectoryStore) -> None:
    assert create(directory, "a..b/c.json", b"1").won


def test_a_writer_that_dies_before_its_object_is_there_leaves_nothing_visible(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(os, "link", die)
        with pytest.raises(KeyboardInterrupt):
            directory.create("t.png", b"p", media_type="image/png", metadata={"by": "the dead"})

    assert directory.read("t.png") is None
    assert not directory.has("t.png")
    assert list(directory.list("")) == []
    directory.create("t.png", b"p", media_type="image/png", metadata={"by": "the living"})
    found = directory.read("t.png")
    assert found
    assert found.metadata == {"by": "the living"}


def test_a_full_disk_is_unavailability_and_is_not_filled_further(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            create(directory, "a.json", b"1" * 1_000)

    left = [path for path in directory.root.rglob("*") if path.is_file()]
    assert left == []
    assert create(directory, "a.json", b"1").won


def test_a_key_below_an_object_is_a_refusal(directory: DirectoryStore) -> None:
    create(directory, "a", b"1")

    with pytest.raises(StoreRefuses):
        create(directory, "a/b.json", b"1")
    with pytest.raises(StoreRefuses):
        create(directory, "a/b/c.json", b"1")


def test_a_directory_that_cannot_be_made_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreRefuses, match="can't be used as a store"):
        open_store((tmp_path / "file" / "store").as_uri())


def test_a_file_that_goes_while_it_is_listed_is_left_out(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(directory, "a.json", b"1")
    create(directory, "b.json", b"1")
    stat = Path.stat

    def vanishing(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "a.json":
            path.unlink(missing_ok=True)
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", vanishing)

    assert [entry.key for entry in directory.list("")] == ["b.json"]


def test_two_processes_see_one_directory(tmp_path: Path) -> None:
    one, other = DirectoryStore(tmp_path), DirectoryStore(tmp_path)

    create(one, "a.json", b"1", note="x")

    assert not create(other, "a.json", b"2").won
    found = other.read("a.json")
    assert found
    assert found.metadata == {"note": "x"}


# -- the double's own faults -----------------------------------------------------------------


def test_the_double_fails_as_often_as_it_is_told() -> None:
    store = MemoryStore()
    store.fail(2)

    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            create(store, "a.json", b"1")

    assert store.keys == ()
    assert create(store, "a.json", b"1").won


def test_the_double_loses_a_reply_after_writing() -> None:
    store = MemoryStore()
    store.lose_reply()

    with pytest.raises(StoreUnavailable):
        create(store, "a.json", b"1")

    assert store.content("a.json") == b"1"
    assert create(store, "a.json", b"1").won


# -- servers ---------------------------------------------------------------------------------


class silent_server:  # noqa: N801  read as a context
    """Accepts connections and never answers."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class answering_server:  # noqa: N801  read as a context
    """Answers every request with one S3 error."""

    def __init__(self, status: int, code: str) -> None:
        self._body = f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
        self._status = status

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        head = (
            f"HTTP/1.1 {self._status} Told\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(self._body)}\r\nConnection: close\r\n\r\n"
        ).encode()
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                client.settimeout(1)
                received = b""
                try:
                    while b"\r\n\r\n" not in received:
                        received += client.recv(65_536)
                    if b"100-continue" not in received.lower():
                        client.recv(65_536)
                except OSError:
                    pass
                client.sendall(head + self._body)
                client.shutdown(socket.SHUT_WR)
