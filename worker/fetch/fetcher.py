"""How does a photo get here from a host that nobody vouches for?

Each hop of a fetch: the link is read and refused if it is odd; its name is looked up once and all
its addresses are judged; one of those is dialled, whatever the name says by then; the answer is
read up to the limits. A redirect starts the next hop, under the same deadline.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from worker.errors import ReferenceUnusable, RenderError, TryLater
from worker.fetch.addresses import AllowList
from worker.fetch.exchange import Deadline, Timeouts, opened
from worker.fetch.links import Link, parse_link, redirected
from worker.fetch.names import Resolve, look_up, resolve_within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from urllib3.response import HTTPResponse

_USER_AGENT: Final = "skuscene/0.1"
_PIECE_BYTES: Final = 65_536
_RETRY_AFTER_MAX_S: Final = 86_400.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410})
_PASSING: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What a foreign host may cost us; ``deadline_s`` bounds a whole fetch."""

    max_bytes: int = 25_000_000
    deadline_s: float = 20.0
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    max_redirects: int = 3


DEFAULT_LIMITS: Final = FetchLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a host gave; ``content`` is ``None`` when nothing changed since the validators.

    ``url`` is where the last redirect led.
    """

    content: bytes | None
    etag: str | None
    last_modified: str | None
    url: str


class Fetcher:
    """Fetches photos from public hosts, and from private ones that ``allow`` names.

    ``allow`` has the entries of SKUSCENE_FETCH_ALLOW; see :class:`AllowList`. Safe to share
    between threads; holds no connections.

    Raises:
        ValueError: an entry of ``allow`` can't be read.
    """

    def __init__(
        self,
        *,
        limits: FetchLimits = DEFAULT_LIMITS,
        allow: Sequence[str] = (),
        resolve: Resolve = look_up,
    ) -> None:
        self._limits = limits
        self._allow_list = AllowList(allow)
        self._resolve = resolve
        self._tls = create_urllib3_context()
        self._tls.load_default_certs()

    def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Fetched:
        """Bring a photo's bytes, or learn that it is the one of ``etag`` or ``last_modified``.

        Raises:
            ReferenceUnusable: the link must not or can't ever be followed, or brings too much.
            TryLater: the host can't be reached, or has no answer, now.
        """
        deadline = Deadline(self._limits.deadline_s)
        validators = _validators(etag, last_modified)
        first = link = parse_link(url)
        for _ in range(self._limits.max_redirects + 1):
            outcome = self._visit(link, validators, deadline)
            if isinstance(outcome, Fetched):
                return outcome
            link = outcome
        raise ReferenceUnusable(
            "reference.unreachable",
            f"{first} redirects more than {self._limits.max_redirects} times, "
            f"at last to {link}: link to the photo itself",
        )

    def _visit(
        self, link: Link, validators: Mapping[str, str], deadline: Deadline
    ) -> Fetched | Link:
        try:
            with opened(
                link,
                self._find_addresses(link, deadline),
                {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **validators},
                tls=self._tls,
                timeouts=Timeouts(
                    connect_s=self._limits.connect_timeout_s, read_s=self._limits.read_timeout_s
                ),
                deadline=deadline,
            ) as reply:
                return self._take(link, reply, validators, deadline)
        except ssl.SSLCertVerificationError as exc:
            raise ReferenceUnusable(
                "reference.unreachable",
                f"{link}: the host's certificate does not hold ({exc.verify_message}): mend it, "
                "or import with --images DIR",
            ) from exc
        except (HTTPError, HTTPException, OSError) as exc:
            raise TryLater("reference.unreachable", _lost(link, exc, deadline)) from exc

    def _find_addresses(
        self, link: Link, deadline: Deadline
    ) -> tuple[IPv4Address | IPv6Address, ...]:
        addresses = resolve_within(
            self._resolve, link.host, link.port, deadline.at_most(deadline.total_s)
        )
        for address in addresses:
            if not self._allow_list.may_dial(link.host, link.port, address):
                raise ReferenceUnusable(
                    "reference.forbidden_address",
                    f"{link} leads to {address} port {link.port}, and only public addresses on "
                    f"ports 80 and 443 are fetched from: if the host is yours, name {link.host} "
                    "in SKUSCENE_FETCH_ALLOW",
                )
        return addresses

    def _take(
        self, link: Link, reply: HTTPResponse, validators: Mapping[str, str], deadline: Deadline
    ) -> Fetched | Link:
        if reply.status in _REDIRECTS and "location" in reply.headers:
            return redirected(link, reply.headers["location"])
        if reply.status == HTTPStatus.NOT_MODIFIED and validators:
            return _fetched(link, reply, validators, None)
        if reply.status != HTTPStatus.OK:
            raise _refusal(link, reply)
        _refuse_codings(link, reply)
        return _fetched(link, reply, validators, self._read(link, reply, deadline))

    def _read(self, link: Link, reply: HTTPResponse, deadline: Deadline) -> bytes:
        limit_bytes = self._limits.max_bytes
        announced = reply.length_remaining is not None or reply.chunked
        content = bytearray()
        if (reply.length_remaining or 0) > limit_bytes:
            raise _too_large(link, limit_bytes)
        # read1, because read trusts a chunk's size, and int() reads "-1" there: everything at once.
        while reply.length_remaining != 0 and (piece := reply.read1(_PIECE_BYTES)):
            deadline.check()
            content += piece
            if len(content) > limit_bytes:
                raise _too_large(link, limit_bytes)
        deadline.check()  # what ends after the deadline was cut off by us
        if not content and not announced:
            # http.client takes a connection lost among the headers for their end.
            raise TryLater("reference.unreachable", f"{link}: the answer ended before the photo")
        return bytes(content)


def _validators(etag: str | None, last_modified: str | None) -> dict[str, str]:
    asked = {"If-None-Match": _plain(etag), "If-Modified-Since": _plain(last_modified)}
    return {name: text for name, text in asked.items() if text is not None}


def _plain(header: str | None) -> str | None:
    """A header that can be kept and sent back as it is, or ``None``."""
    return header if header and header.isascii() and header.isprintable() else None


def _fetched(
    link: Link, reply: HTTPResponse, validators: Mapping[str, str], content: bytes | None
) -> Fetched:
    known = validators if content is None else {}
    return Fetched(
        content=content,
        etag=_plain(reply.headers.get("etag")) or known.get("If-None-Match"),
        last_modified=_plain(reply.headers.get("last-modified")) or known.get("If-Modified-Since"),
        url=link.url,
    )


def _refusal(link: Link, reply: HTTPResponse) -> RenderError:
    seen = f"{link}: the host answered {reply.status}"
    if reply.status in _GONE:
        return ReferenceUnusable("reference.not_found", f"{seen}: mend the link in the shop")
    if reply.status in _PASSING or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TryLater("reference.unreachable", seen, _retry_after_s(reply))
    return ReferenceUnusable(
        "reference.unreachable",
        f"{seen}: make the photo readable without a login at its own link, "
        "or import with --images DIR",
    )


def _retry_after_s(reply: HTTPResponse) -> float | None:
    text = reply.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), _RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), _RETRY_AFTER_MAX_S)


def _refuse_codings(link: Link, reply: HTTPResponse) -> None:
    # A compressed body could grow a thousandfold; we asked for none.
    for header, harmless in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        coding = reply.headers.get(header, harmless).strip().lower()
        if coding not in {"", harmless}:
            raise ReferenceUnusable(
                "reference.unreachable",
                f"{link}: the host sends the photo {coding[:40]!r} encoded although it was asked "
                "not to: turn compression of pictures off there, or import with --images DIR",
            )


def _too_large(link: Link, limit_bytes: int) -> ReferenceUnusable:
    return ReferenceUnusable(
        "reference.too_large", f"{link} has more than {limit_bytes} bytes: offer a smaller photo"
    )


def _lost(link: Link, exc: Exception, deadline: Deadline) -> str:
    if deadline.is_over:
        return f"{link}: the fetch took longer than {deadline.total_s:g} s and was cut off"
    cause = exc.__cause__ or exc
    return f"{link}: {str(cause) or type(cause).__name__}"
