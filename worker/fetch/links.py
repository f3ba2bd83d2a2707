"""What does a link ask for, and may it be followed at all?"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from worker.errors import ReferenceUnusable

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z")
_USER: Final = re.compile(r"\A([A-Za-z][A-Za-z0-9+.-]*:)?/*[^/]*@")
_ASCII: Final = "".join(map(chr, range(128)))
_PATH: Final = "/%:@!$&'()*+,;=~-._"
_SHOWN_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link in its parts, all of them ASCII; as a string it has no query, which may be secret.

    ``target`` is the path with its query, as it is sent; ``host`` is an IPv6 address without its
    brackets.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole link, with its query."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def __str__(self) -> str:
        return shown(self.url)


def parse_link(url: str) -> Link:
    """Read a link; spaces and letters outside ASCII are written as a browser would.

    Raises:
        ReferenceUnusable: it is no http or https link, or one made to mislead.
    """
    split = _split(url)
    if split.scheme not in _DEFAULT_PORTS:
        raise _unusable(url, "is no http or https link")
    if "@" in split.netloc:
        raise _unusable(url, "carries a user name or password")
    host = web_host(split.hostname or "")
    if host is None or ("[" in split.netloc and ":" not in host):
        raise _unusable(url, "names no host")
    return Link(
        scheme=split.scheme,
        host=host,
        port=_port(url, split),
        target=_target(split),
    )


def redirected(link: Link, location: str) -> Link:
    """Where a ``Location`` header, as ``http.client`` decodes it, leads from ``link``.

    Raises:
        ReferenceUnusable: there it is not to be followed.
    """
    # Servers write UTF-8 here; http.client reads each byte as a letter of Latin-1.
    plain = quote(location.encode("latin-1", "replace"), safe=_ASCII)
    try:
        there = urljoin(link.url, plain)
    except ValueError as exc:
        raise _unusable(plain, "can't be read as a link") from exc
    # urljoin drops the tabs and line ends that parse_link refuses.
    return parse_link(plain if _FORBIDDEN.search(plain) else there)


def web_host(name: str) -> str | None:
    """A host's name as it is looked up, or ``None`` if it can't be one.

    Digits outside ASCII become digits, so that they are judged as what a resolver makes of them.
    """
    folded = unicodedata.normalize("NFKC", name).lower()
    if ":" in folded:
        return _ipv6(folded)
    if not folded.isascii():
        folded = _idna(folded)
    folded = folded.removesuffix(".")
    return folded if _HOST.match(folded) else None


def shown(url: str) -> str:
    """A link for a message: without user, password, query and what a terminal would obey."""
    nameless = _USER.sub(lambda found: f"{found[1] or ''}//", url)
    return ascii(re.split(r"[?#]", nameless, maxsplit=1)[0])[1:-1][:_SHOWN_CHARACTERS]


def _split(url: str) -> SplitResult:
    if _FORBIDDEN.search(url):
        raise _unusable(url, "has a backslash or a control character in it")
    try:
        return urlsplit(url.strip(" "))
    except ValueError as exc:
        raise _unusable(url, "can't be read as a link") from exc


def _port(url: str, split: SplitResult) -> int:
    try:
        port = split.port
    except ValueError as exc:
        raise _unusable(url, "has a port that is no port") from exc
    return _DEFAULT_PORTS[split.scheme] if port is None else port


def _target(split: SplitResult) -> str:
    path = quote(split.path, safe=_PATH) or "/"
    return f"{path}?{quote(split.query, safe=_PATH + '?')}" if split.query else path


def _ipv6(text: str) -> str | None:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return None if address.scope_id else str(address)


def _idna(name: str) -> str:
    try:
        return parse_url(f"http://{name}/").host or ""
    except LocationParseError:
        return ""


def _unusable(url: str, what: str) -> ReferenceUnusable:
    return ReferenceUnusable(
        "reference.unreachable", f"{shown(url)} {what}: mend the link in the shop"
    )
