"""Which addresses may be dialled?

A link comes from a feed, and the feed from anybody: without this a photo link would read the
metadata service, the store or the neighbour's database for its author.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final

from worker.fetch.links import web_host

if TYPE_CHECKING:
    from collections.abc import Sequence

# Our own list: ``ipaddress.is_global`` answers differently from release to release, and True for
# multicast, NAT64 and (on 3.11) 6to4. After IANA's special-purpose registries, 2026-11.
_CLOSED_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT; one cloud's metadata service too
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # the host agent of one cloud, under a public number
            "169.254.0.0/16",  # link-local, metadata services
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # multicast tunnelling
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)

# Everything else (loopback, IPv4-mapped, NAT64, unique local, link-local, site-local, segment
# routing, multicast) lies outside of what is handed out to hosts of the internet.
_UNICAST_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: any IPv4 address inside
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)

_WEB_PORTS: Final = frozenset({80, 443})
_HIGHEST_PORT: Final = 65_535


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to a host of the open internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    return address in _UNICAST_V6 and not any(address in network for network in _CLOSED_V6)


class AllowList:
    """Who may be dialled besides public hosts on ports 80 and 443.

    An entry is a host name, an address or a network, with ``:port`` where only one port is meant
    (``[...]:port`` around IPv6). A name opens whatever addresses it has; a network opens its
    addresses, whatever name leads there.

    Raises:
        ValueError: an entry is none of these.
    """

    def __init__(self, entries: Sequence[str] = ()) -> None:
        self._entries = tuple(_parse_entry(entry) for entry in entries)

    def may_dial(self, host: str, port: int, address: IPv4Address | IPv6Address) -> bool:
        """Whether ``address``, found under ``host``, may be dialled on ``port``."""
        if any(entry.opens(host, port, address) for entry in self._entries):
            return True
        return port in _WEB_PORTS and is_public(address)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """``port`` is ``None`` where any port is meant; one of the other two is set."""

    name: str | None
    network: IPv4Network | IPv6Network | None
    port: int | None

    def opens(self, host: str, port: int, address: IPv4Address | IPv6Address) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address in self.network
        return self.name == host


def _parse_entry(entry: str) -> _Entry:
    inside, port = _split_port(entry.strip())
    try:
        network = ip_network(inside, strict=False)
    except ValueError:
        network = None
    name = web_host(inside) if network is None else None
    if (network is None and name is None) or not _is_port(port):
        raise ValueError(
            f"SKUSCENE_FETCH_ALLOW: {entry!r} is no host name, address or network with an "
            "optional port; write for instance photos.example, 10.0.0.0/8 or 127.0.0.1:8080"
        )
    return _Entry(name=name, network=network, port=int(port) if port is not None else None)


def _split_port(entry: str) -> tuple[str, str | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", entry)
    if bracketed:
        return bracketed[1], bracketed[2]
    if entry.count(":") == 1:
        inside, _, port = entry.partition(":")
        return inside, port
    return entry, None


def _is_port(text: str | None) -> bool:
    if text is None:
        return True
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) <= _HIGHEST_PORT
