"""How does a photo get here from a host that nobody vouches for? (Real sockets, hostile hosts.)"""

from __future__ import annotations

import gzip
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from worker.errors import ReferenceUnusable, TryLater
from worker.fetch.fetcher import Fetcher, FetchLimits

PHOTO = b"\xff\xd8 a photo, or so its host says " * 5_000
LOOPBACK = ["127.0.0.1"]

Answer = Callable[[socket.socket, threading.Event], None]


def says(status: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """An honest answer with its length."""
    fields = {"Content-Length": str(len(body)), **(headers or {})}
    return sends(head(status, fields) + body)


def sends(reply: bytes) -> Answer:
    """These bytes, then the end."""

    def answer(line: socket.socket, _: threading.Event) -> None:
        line.sendall(reply)

    return answer


def drips(opening: bytes, piece: bytes, every_s: float) -> Answer:
    """A piece now and then, for as long as the test runs."""

    def answer(line: socket.socket, closing: threading.Event) -> None:
        line.sendall(opening)
        while not closing.wait(every_s):
            line.sendall(piece)

    return answer


def keeps_silent(_: socket.socket, closing: threading.Event) -> None:
    closing.wait(30)


def head(status: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class Host(socketserver.ThreadingTCPServer):
    """A web host that answers each path as it was told, with exactly those bytes."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__((address, 0), _Visit)
        self.port = int(self.server_address[1])
        self.closing = threading.Event()
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []

    def url(self, path: str = "/photo.jpg", *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor who hangs up is what these tests are about."""


class _Visit(socketserver.BaseRequestHandler):
    server: Host

    def handle(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self.request.recv(4096)
            if not piece:
                return
            received += piece
        text = received.decode("latin-1")
        self.server.requests.append(text)
        answer = self.server.answers.get(text.split()[1], says("404 Not Found"))
        answer(self.request, self.server.closing)


@contextmanager
def running(host: Host) -> Iterator[Host]:
    thread = threading.Thread(target=host.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield host
    finally:
        host.closing.set()
        host.shutdown()
        thread.join()
        host.server_close()


@pytest.fixture
def host() -> Iterator[Host]:
    with running(Host()) as one:
        yield one


class Names:
    """A resolver that gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def __call__(self, name: str, _: int) -> list[str]:
        self.asked.append(name)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


# What is fetched


def test_a_photo_is_fetched_byte_for_byte(host: Host) -> None:
    host.answers["/photo.jpg?w=1"] = says(
        "200 OK", {"ETag": '"v1"', "Last-Modified": "Sun, 01 Nov 2026 10:00:00 GMT"}, PHOTO
    )

    fetched = Fetcher(allow=LOOPBACK).fetch(host.url("/photo.jpg?w=1"))

    assert fetched.content == PHOTO
    assert fetched.etag == '"v1"'
    assert fetched.last_modified == "Sun, 01 Nov 2026 10:00:00 GMT"
    assert fetched.url == host.url("/photo.jpg?w=1")


def test_the_request_asks_for_plain_bytes_and_says_who_asks(host: Host) -> None:
    host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)

    Fetcher(allow=LOOPBACK).fetch(host.url())

    lines = host.requests[0].splitlines()
    assert lines[0] == "GET /photo.jpg HTTP/1.1"
    assert f"Host: 127.0.0.1:{host.port}" in lines
    assert "Accept-Encoding: identity" in lines
    assert "User-Agent: skuscene/0.1" in lines
    assert not [line for line in lines if line.startswith(("If-", "Cookie", "Authorization"))]


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "localhost", "localhost:{port}"])
def test_a_private_host_is_fetched_from_where_it_is_allowed(host: Host, entry: str) -> None:
    host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)
    fetcher = Fetcher(
        allow=[entry.format(port=host.port)],
        resolve=lambda *_: ["127.0.0.1"],
    )

    assert fetcher.fetch(host.url(host="localhost")).content == PHOTO


def test_a_body_in_chunks_is_put_together(host: Host) -> None:
    host.answers["/photo.jpg"] = sends(
        head("200 OK", {"Transfer-Encoding": "chunked"})
        + b"5\r\nhello\r\n7;why=not\r\n, world\r\n0\r\n\r\n"
    )

    assert Fetcher(allow=LOOPBACK).fetch(host.url()).content == b"hello, world"


def test_a_body_that_ends_with_the_connection_is_whole(host: Host) -> None:
    host.answers["/photo.jpg"] = sends(head("200 OK", {}) + PHOTO)

    assert Fetcher(allow=LOOPBACK).fetch(host.url()).content == PHOTO


def test_a_photo_that_has_not_changed_is_not_sent_again(host: Host) -> None:
    host.answers["/photo.jpg"] = says("304 Not Modified")
    when = "Sun, 01 Nov 2026 10:00:00 GMT"

    fetched = Fetcher(allow=LOOPBACK).fetch(host.url(), etag='W/"v1"', last_modified=when)

    assert (fetched.content, fetched.etag, fetched.last_modified) == (None, 'W/"v1"', when)
    assert 'If-None-Match: W/"v1"' in host.requests[0]
    assert f"If-Modified-Since: {when}" in host.requests[0]


def test_a_not_modified_that_nobody_asked_for_is_no_answer(host: Host) -> None:
    host.answers["/photo.jpg"] = says("304 Not Modified")

    with pytest.raises(ReferenceUnusable, match="304"):
        Fetcher(allow=LOOPBACK).fetch(host.url())


def test_a_validator_can_smuggle_no_header_in(host: Host) -> None:
    host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)

    Fetcher(allow=LOOPBACK).fetch(host.url(), etag='"a"\r\nX-Evil: 1')

    assert "X-Evil" not in host.requests[0]


def test_a_proxy_of_the_environment_is_not_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert Fetcher(allow=LOOPBACK).fetch(host.url()).content == PHOTO


def test_one_fetcher_serves_many_threads(host: Host) -> None:
    for number in range(20):
        host.answers[f"/{number}"] = says("200 OK", body=bytes([number]) * 100_000)
    fetcher = Fetcher(allow=LOOPBACK)

    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda n: fetcher.fetch(host.url(f"/{n}")).content, range(20)))

    assert contents == [bytes([number]) * 100_000 for number in range(20)]


# Where nothing is fetched from


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "0177.0.0.1",
        "１２７.０.０.１",  # noqa: RUF001  # the point
        "0.0.0.0",  # noqa: S104  # refusing it is the point
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
    ],
)
@pytest.mark.parametrize("port", ["80", "443", "{port}"])
def test_a_forbidden_address_is_never_dialled(host: Host, name: str, port: str) -> None:
    url = f"http://{name}:{port.format(port=host.port)}/photo.jpg?token=secret"

    with pytest.raises(ReferenceUnusable) as caught:
        Fetcher().fetch(url)

    assert caught.value.reason == "reference.forbidden_address"
    assert "SKUSCENE_FETCH_ALLOW" in caught.value.message
    assert "secret" not in caught.value.message
    assert host.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@127.0.0.1:{port}/photo.jpg",
        "http://photos.example\\@127.0.0.1:{port}/photo.jpg",
        "http://127.0.0.1:{port}/photo.jpg\r\nX-Evil: 1",
        "file:///etc/passwd",
        "ftp://127.0.0.1:{port}/photo.jpg",
    ],
)
def test_an_odd_link_is_refused_even_to_an_allowed_host(host: Host, url: str) -> None:
    with pytest.raises(ReferenceUnusable) as caught:
        Fetcher(allow=LOOPBACK).fetch(url.format(port=host.port))

    assert caught.value.reason == "reference.unreachable"
    assert "secret" not in caught.value.message
    assert host.requests == []


@pytest.mark.parametrize("port", [22, 25, 6379, 8080])
def test_a_public_host_is_dialled_on_web_ports_only(port: int) -> None:
    fetcher = Fetcher(resolve=Names(["93.184.215.14"]))

    with pytest.raises(ReferenceUnusable, match=f"port {port}") as caught:
        fetcher.fetch(f"http://photos.example:{port}/photo.jpg")

    assert caught.value.reason == "reference.forbidden_address"


def test_one_private_address_among_the_names_addresses_is_enough(host: Host) -> None:
    fetcher = Fetcher(allow=LOOPBACK, resolve=Names(["127.0.0.1", "10.0.0.1"]))

    with pytest.raises(ReferenceUnusable, match=r"10\.0\.0\.1"):
        fetcher.fetch(host.url(host="photos.example"))

    assert host.requests == []


def test_a_name_is_looked_up_once_and_the_checked_address_is_dialled(host: Host) -> None:
    host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)
    names = Names(["127.0.0.1"], ["169.254.169.254"])

    fetched = Fetcher(allow=LOOPBACK, resolve=names).fetch(host.url(host="rebinding.example"))

    assert fetched.content == PHOTO
    assert names.asked == ["rebinding.example"]
    assert f"Host: rebinding.example:{host.port}" in host.requests[0]


def test_a_name_that_turns_private_between_two_hops_is_refused(host: Host) -> None:
    host.answers["/photo.jpg"] = says("302 Found", {"Location": "/other.jpg"})
    names = Names(["127.0.0.1"], ["169.254.169.254"])

    with pytest.raises(ReferenceUnusable) as caught:
        Fetcher(allow=LOOPBACK, resolve=names).fetch(host.url(host="rebinding.example"))

    assert caught.value.reason == "reference.forbidden_address"
    assert len(host.requests) == 1


def test_the_next_address_is_dialled_where_the_first_is_dead(host: Host) -> None:
    host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)
    names = Names(["127.0.0.2", "127.0.0.1"])  # nothing listens at the first

    fetched = Fetcher(allow=["127.0.0.0/8"], resolve=names).fetch(host.url(host="two.example"))

    assert fetched.content == PHOTO


# Redirects


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 T", "308 P"])
def test_a_redirect_is_followed(host: Host, status: str) -> None:
    host.answers["/photo.jpg"] = says(status, {"Location": "there/photo.jpg?w=1"})
    host.answers["/there/photo.jpg?w=1"] = says("200 OK", body=PHOTO)

    fetched = Fetcher(allow=LOOPBACK).fetch(host.url())

    assert fetched.content == PHOTO
    assert fetched.url == host.url("/there/photo.jpg?w=1")


def test_three_redirects_are_followed_and_a_fourth_is_not(host: Host) -> None:
    for number in range(4):
        host.answers[f"/{number}"] = says("302 Found", {"Location": f"/{number + 1}"})
    host.answers["/4"] = says("200 OK", body=PHOTO)
    fetcher = Fetcher(allow=LOOPBACK)

    assert fetcher.fetch(host.url("/1")).content == PHOTO
    with pytest.raises(ReferenceUnusable, match="redirects more than 3 times"):
        fetcher.fetch(host.url("/0"))


def test_a_redirect_loop_ends(host: Host) -> None:
    host.answers["/photo.jpg"] = says("302 Found", {"Location": "/photo.jpg"})

    with pytest.raises(ReferenceUnusable) as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url())

    assert caught.value.reason == "reference.unreachable"
    assert len(host.requests) == 4


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "reference.forbidden_address"),
        ("//169.254.169.254/latest/meta-data/", "reference.forbidden_address"),
        ("http://[::ffff:169.254.169.254]/", "reference.forbidden_address"),
        ("http://127.0.0.2/photo.jpg", "reference.forbidden_address"),
        ("https://10.0.0.1/photo.jpg", "reference.forbidden_address"),
        ("file:///etc/passwd", "reference.unreachable"),
        ("ftp://127.0.0.1/photo.jpg", "reference.unreachable"),
        ("http://user:secret@127.0.0.1/photo.jpg", "reference.unreachable"),
        ("http://photos.example\\@127.0.0.1/", "reference.unreachable"),
        ("http://[::1/", "reference.unreachable"),
    ],
)
def test_a_redirect_is_judged_like_a_link(host: Host, location: str, reason: str) -> None:
    host.answers["/photo.jpg"] = says("302 Found", {"Location": location})

    with pytest.raises(ReferenceUnusable) as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url())

    assert caught.value.reason == reason
    assert "secret" not in caught.value.message
    assert len(host.requests) == 1


def test_a_redirect_without_a_goal_is_refused(host: Host) -> None:
    host.answers["/photo.jpg"] = says("302 Found")

    with pytest.raises(ReferenceUnusable, match="302"):
        Fetcher(allow=LOOPBACK).fetch(host.url())


# Too much


@pytest.mark.parametrize("opening", [{}, {"Content-Length": "1000000000000"}])
def test_an_endless_body_is_cut_at_the_limit(host: Host, opening: dict[str, str]) -> None:
    host.answers["/photo.jpg"] = drips(head("200 OK", opening), b"x" * 65_536, every_s=0.0)
    fetcher = Fetcher(allow=LOOPBACK, limits=FetchLimits(max_bytes=1_000_000))

    with pytest.raises(ReferenceUnusable, match="1000000 bytes") as caught:
        fetcher.fetch(host.url())

    assert caught.value.reason == "reference.too_large"


@pytest.mark.parametrize("size", ["10000", "-1", "ffffffffffffffff"])
def test_no_chunk_size_gets_more_in_than_the_limit(host: Host, size: str) -> None:
    chunk = f"{size}\r\n".encode() + b"x" * 0x10000
    host.answers["/photo.jpg"] = drips(
        head("200 OK", {"Transfer-Encoding": "chunked"}) + chunk + b"\r\n", chunk + b"\r\n", 0.0
    )
    fetcher = Fetcher(allow=LOOPBACK, limits=FetchLimits(max_bytes=1_000_000, deadline_s=5.0))

    with pytest.raises(ReferenceUnusable) as caught:
        fetcher.fetch(host.url())

    assert caught.value.reason == "reference.too_large"


@pytest.mark.parametrize(("length", "fits"), [(1_000, True), (1_001, False)])
def test_the_limit_itself_is_allowed(host: Host, length: int, fits: bool) -> None:
    host.answers["/photo.jpg"] = sends(head("200 OK", {}) + b"x" * length)
    fetcher = Fetcher(allow=LOOPBACK, limits=FetchLimits(max_bytes=1_000))

    if fits:
        assert len(fetcher.fetch(host.url()).content or b"") == length
    else:
        with pytest.raises(ReferenceUnusable, match="1000 bytes"):
            fetcher.fetch(host.url())


def test_nothing_is_read_beyond_a_content_length(host: Host) -> None:
    host.answers["/photo.jpg"] = sends(head("200 OK", {"Content-Length": "5"}) + b"hello, world")

    assert Fetcher(allow=LOOPBACK).fetch(host.url()).content == b"hello"


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip"])
def test_a_compressed_body_is_refused(host: Host, coding: str) -> None:
    host.answers["/photo.jpg"] = says(
        "200 OK", {"Content-Encoding": coding}, gzip.compress(b"\0" * 1_000_000)
    )

    with pytest.raises(ReferenceUnusable, match="encoded") as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url())

    assert caught.value.reason == "reference.unreachable"


def test_a_compressed_transfer_is_refused(host: Host) -> None:
    host.answers["/photo.jpg"] = sends(
        head("200 OK", {"Transfer-Encoding": "gzip, chunked"}) + b"0\r\n\r\n"
    )

    with pytest.raises(ReferenceUnusable, match="encoded"):
        Fetcher(allow=LOOPBACK).fetch(host.url())


# Too little, too late


@pytest.mark.parametrize(
    "reply",
    [
        head("200 OK", {"Content-Length": "100"}) + b"short",
        head("200 OK", {"Content-Length": "100"}),
        head("200 OK", {"Transfer-Encoding": "chunked"}) + b"64\r\nshort",
        head("200 OK", {"Transfer-Encoding": "chunked"}) + b"5\r\nshort\r\n",
        head("200 OK", {"Transfer-Encoding": "chunked"}) + b"size\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n",
        head("200 OK", {}),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
    ],
)
def test_half_an_answer_is_tried_later(host: Host, reply: bytes) -> None:
    host.answers["/photo.jpg"] = sends(reply)

    with pytest.raises(TryLater) as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url("/photo.jpg"))

    assert caught.value.reason == "reference.unreachable"
    assert host.url() in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        drips(head("200 OK", {"Content-Length": "100000"}), b"x", every_s=0.02),
        drips(head("200 OK", {}), b"x", every_s=0.02),
        drips(head("200 OK", {"Transfer-Encoding": "chunked"}), b"1\r\nx\r\n", every_s=0.02),
        drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", every_s=0.02),
        drips(b"HTTP/1.1 200 OK\r\n", b"X-Slow: x\r\n", every_s=0.02),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n", every_s=0.02),
        keeps_silent,
    ],
    ids=["length", "no length", "chunks", "header", "headers", "continue", "silence"],
)
def test_a_slow_drip_is_cut_at_the_deadline(host: Host, answer: Answer) -> None:
    host.answers["/photo.jpg"] = answer
    fetcher = Fetcher(allow=LOOPBACK, limits=FetchLimits(deadline_s=0.5))
    started = time.monotonic()

    with pytest.raises(TryLater, match=r"longer than 0\.5 s"):
        fetcher.fetch(host.url())

    assert 0.5 <= time.monotonic() - started < 2.0


def test_redirects_share_one_deadline(host: Host) -> None:
    def answer(line: socket.socket, closing: threading.Event) -> None:
        line.sendall(b"HTTP/1.1 302 Found\r\nLocation: /photo.jpg\r\n")
        closing.wait(0.3)
        line.sendall(b"\r\n")

    host.answers["/photo.jpg"] = answer
    fetcher = Fetcher(allow=LOOPBACK, limits=FetchLimits(deadline_s=0.5))

    with pytest.raises(TryLater, match=r"longer than 0\.5 s"):
        fetcher.fetch(host.url())

    assert len(host.requests) == 2


def test_a_host_that_keeps_silent_is_given_up_before_the_deadline(host: Host) -> None:
    host.answers["/photo.jpg"] = keeps_silent
    fetcher = Fetcher(allow=LOOPBACK, limits=FetchLimits(read_timeout_s=0.2))
    started = time.monotonic()

    with pytest.raises(TryLater, match="timed out"):
        fetcher.fetch(host.url())

    assert time.monotonic() - started < 5.0


def test_a_name_server_that_keeps_silent_is_cut_at_the_deadline() -> None:
    released = threading.Event()

    def never(*_: object) -> list[str]:
        released.wait(30)
        return []

    fetcher = Fetcher(resolve=never, limits=FetchLimits(deadline_s=0.3))
    try:
        with pytest.raises(TryLater, match=r"longer than 0\.3 s"):
            fetcher.fetch("http://photos.example/photo.jpg")
    finally:
        released.set()


def test_a_name_without_an_address_is_tried_later() -> None:
    def unknown(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(TryLater, match="Name or service not known") as caught:
        Fetcher(resolve=unknown).fetch("http://photos.example/photo.jpg")

    assert caught.value.reason == "reference.unreachable"


def test_a_host_that_takes_no_connection_is_tried_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(TryLater, match="refused"):
        Fetcher(allow=LOOPBACK).fetch(f"http://127.0.0.1:{port}/photo.jpg")


# What a host answers


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("404 Not Found", "reference.not_found"),
        ("410 Gone", "reference.not_found"),
        ("400 Bad Request", "reference.unreachable"),
        ("401 Unauthorized", "reference.unreachable"),
        ("403 Forbidden", "reference.unreachable"),
        ("451 Unavailable", "reference.unreachable"),
        ("204 No Content", "reference.unreachable"),
        ("206 Partial Content", "reference.unreachable"),
    ],
)
def test_a_lasting_refusal_is_final(host: Host, status: str, reason: str) -> None:
    host.answers["/photo.jpg?token=secret"] = says(status)

    with pytest.raises(ReferenceUnusable, match=status[:3]) as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url("/photo.jpg?token=secret"))

    assert caught.value.reason == reason
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 599])
def test_a_passing_refusal_is_tried_later(host: Host, status: int) -> None:
    host.answers["/photo.jpg"] = says(f"{status} Not now", {"Retry-After": "17"})

    with pytest.raises(TryLater, match=str(status)) as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url())

    assert caught.value.reason == "reference.unreachable"
    assert caught.value.retry_after_s == 17.0


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"),
    [
        ("in an hour", 3_000, 3_600),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 0),
        ("999999999", 86_400, 86_400),
    ],
)
def test_retry_after_may_be_a_date_and_is_bounded(
    host: Host, retry_after: str, least_s: float, most_s: float
) -> None:
    if retry_after == "in an hour":
        retry_after = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    host.answers["/photo.jpg"] = says("503 Not now", {"Retry-After": retry_after})

    with pytest.raises(TryLater) as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url())

    assert caught.value.retry_after_s is not None
    assert least_s <= caught.value.retry_after_s <= most_s


@pytest.mark.parametrize("retry_after", ["", "soon", "-1", "1.5", "9" * 5_000])
def test_a_retry_after_that_says_nothing_is_none(host: Host, retry_after: str) -> None:
    host.answers["/photo.jpg"] = says("503 Not now", {"Retry-After": retry_after})

    with pytest.raises(TryLater) as caught:
        Fetcher(allow=LOOPBACK).fetch(host.url())

    assert caught.value.retry_after_s is None


# Certificates


class SecureHost(Host):
    """The same behind TLS; remembers the names it was called by."""

    def __init__(self, certificate: Path) -> None:
        super().__init__()
        self.called: list[str | None] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._tls.sni_callback = lambda _, name, __: self.called.append(name)

    def get_request(self) -> tuple[socket.socket, object]:
        line, address = super().get_request()
        line.settimeout(10)
        return self._tls.wrap_socket(line, server_side=True, do_handshake_on_connect=False), address

    def url(self, path: str = "/photo.jpg", *, host: str = "photos.test") -> str:
        return f"https://{host}:{self.port}{path}"


@pytest.fixture
def secure_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecureHost]:
    certificate = make_certificate("photos.test", tmp_path / "photos.test.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with running(SecureHost(certificate)) as one:
        assert isinstance(one, SecureHost)
        yield one


def make_certificate(name: str, path: Path) -> Path:
    """A key, and a certificate that it signed for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_the_certificate_is_the_names_although_the_address_is_dialled(
    secure_host: SecureHost,
) -> None:
    secure_host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)
    fetcher = Fetcher(allow=LOOPBACK, resolve=Names(["127.0.0.1"]))

    assert fetcher.fetch(secure_host.url()).content == PHOTO
    assert secure_host.called == ["photos.test"]


def test_a_certificate_of_another_name_is_refused(secure_host: SecureHost) -> None:
    secure_host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)
    fetcher = Fetcher(allow=LOOPBACK, resolve=Names(["127.0.0.1"]))
    assert fetcher.fetch(secure_host.url()).content == PHOTO

    with pytest.raises(ReferenceUnusable, match=r"certificate .*other\.test"):
        fetcher.fetch(secure_host.url(host="other.test"))

    assert len(secure_host.requests) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    secure_host: SecureHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stranger = make_certificate("photos.test", tmp_path / "stranger.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger))
    fetcher = Fetcher(allow=LOOPBACK, resolve=Names(["127.0.0.1"]))

    with pytest.raises(ReferenceUnusable, match="certificate"):
        fetcher.fetch(secure_host.url())

    assert secure_host.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        drips(head("200 OK", {}), b"x", every_s=0.02),
        drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", every_s=0.02),
    ],
    ids=["body", "header"],
)
def test_a_slow_drip_over_tls_is_cut_at_the_deadline(
    secure_host: SecureHost, answer: Answer
) -> None:
    secure_host.answers["/photo.jpg"] = answer
    fetcher = Fetcher(
        allow=LOOPBACK, resolve=Names(["127.0.0.1"]), limits=FetchLimits(deadline_s=0.5)
    )
    started = time.monotonic()

    with pytest.raises(TryLater, match=r"longer than 0\.5 s"):
        fetcher.fetch(secure_host.url())

    assert time.monotonic() - started < 2.0


def test_a_host_that_never_shakes_hands_is_cut_in_time(host: Host) -> None:
    fetcher = Fetcher(allow=LOOPBACK, limits=FetchLimits(connect_timeout_s=0.3))
    started = time.monotonic()

    with pytest.raises(TryLater):
        fetcher.fetch(f"https://127.0.0.1:{host.port}/photo.jpg")

    assert time.monotonic() - started < 5.0


def test_no_thread_and_no_connection_is_left_behind(host: Host) -> None:
    host.answers["/photo.jpg"] = says("200 OK", body=PHOTO)
    fetcher = Fetcher(allow=LOOPBACK)
    fetcher.fetch(host.url())
    open_files = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(20):
        fetcher.fetch(host.url())

    timers = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
    assert timers == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_files + 5
