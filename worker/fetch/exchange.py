"""How is one request put to one checked address, and cut off in time?"""

from __future__ import annotations

import os
import socket
import ssl
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import TYPE_CHECKING, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from urllib3.response import HTTPResponse

    from worker.fetch.links import Link

# A time-out of 0 would make a socket non-blocking.
_SHORTEST_WAIT_S: Final = 0.001


class Deadline:
    """The end of a whole fetch, redirects included."""

    def __init__(self, total_s: float) -> None:
        self.total_s = total_s
        self._ends_at_s = time.monotonic() + total_s

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._ends_at_s

    def at_most(self, timeout_s: float) -> float:
        """The shorter of ``timeout_s`` and what is left.

        Raises:
            TimeoutError: nothing is left.
        """
        self.check()
        return min(timeout_s, max(self._ends_at_s - time.monotonic(), _SHORTEST_WAIT_S))

    def check(self) -> None:
        """Go on only while time is left.

        Raises:
            TimeoutError: nothing is left.
        """
        if self.is_over:
            raise TimeoutError(f"it took longer than {self.total_s:g} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long one wait may last; the deadline cuts both."""

    connect_s: float
    read_s: float


@contextmanager
def opened(
    link: Link,
    addresses: Sequence[IPv4Address | IPv6Address],
    headers: Mapping[str, str],
    *,
    tls: ssl.SSLContext,
    timeouts: Timeouts,
    deadline: Deadline,
) -> Iterator[HTTPResponse]:
    """Ask the first of ``addresses`` that takes the connection; the body is not read yet.

    Nothing is looked up, nothing redirected and no proxy asked. After the deadline reads end as
    if the host had hung up: ask ``deadline`` before believing the end of a body.

    Raises:
        OSError, urllib3.exceptions.HTTPError, http.client.HTTPException: as the libraries do.
    """
    connection = _connect(link, addresses, tls=tls, timeouts=timeouts, deadline=deadline)
    with closing(connection), ExitStack() as replies, _cut_off(connection, deadline):
        connection.timeout = deadline.at_most(timeouts.read_s)
        connection.request(
            "GET",
            link.target,
            headers={"Host": link.authority, **headers},
            preload_content=False,
            decode_content=False,
        )
        yield replies.enter_context(closing(connection.getresponse()))


def _connect(
    link: Link,
    addresses: Sequence[IPv4Address | IPv6Address],
    *,
    tls: ssl.SSLContext,
    timeouts: Timeouts,
    deadline: Deadline,
) -> HTTPConnection:
    failure: Exception = OSError("its name has no address")
    for address in addresses:
        connection = _connection(
            link, str(address), tls=tls, timeout_s=deadline.at_most(timeouts.connect_s)
        )
        try:
            connection.connect()
        except (OSError, HTTPError) as exc:
            connection.close()
            failure = exc
        else:
            return connection
    raise failure


def _connection(
    link: Link, address: str, *, tls: ssl.SSLContext, timeout_s: float
) -> HTTPConnection:
    if link.scheme == "http":
        return HTTPConnection(address, link.port, timeout=timeout_s)
    # The certificate must be the name's, although the checked address is dialled. (assert_hostname
    # stays unset: with it urllib3 would turn the name check of the shared context off.)
    return HTTPSConnection(
        address, link.port, timeout=timeout_s, ssl_context=tls, server_hostname=link.host
    )


@contextmanager
def _cut_off(connection: HTTPConnection, deadline: Deadline) -> Iterator[None]:
    # A host that sends a byte now and then satisfies every read timeout, in the headers too.
    # The duplicate is ours to shut: the connection's own number may be closed and reused by then.
    with socket.socket(fileno=os.dup(connection.sock.fileno())) as line:
        timer = Timer(deadline.at_most(deadline.total_s), _shut, (line,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the host was faster
