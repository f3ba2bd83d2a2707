"""Which addresses may be dialled?"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.addresses import AllowList, is_public

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  # refusing it is the point
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.88.99.1",
        "192.168.0.1",
        "198.19.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:93.184.215.14",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.215.14",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001:81b::200e",
    ],
)
def test_an_ordinary_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.one_of(V4, V6))
def test_nothing_is_public_that_python_knows_to_be_special(
    address: IPv4Address | IPv6Address,
) -> None:
    special = (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_link_local
    )

    assert not (special and is_public(address))


@given(V4)
def test_nothing_else_is_closed_than_what_is_special(address: IPv4Address) -> None:
    extra = ("168.63.129.16/32", "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24")
    relays = ("192.88.99.0/24", "192.175.48.0/24")
    closed = any(address in IPv4Network(network) for network in (*extra, *relays))

    assert is_public(address) == (address.is_global and not address.is_multicast and not closed)


@given(V4)
def test_no_ipv4_address_hides_in_an_ipv6_address(inner: IPv4Address) -> None:
    hidden = [
        IPv6Address(int(inner)),
        IPv6Address((0xFFFF << 32) | int(inner)),
        IPv6Address((0xFFFF << 48) | int(inner)),
        IPv6Address((0x64FF9B << 96) | int(inner)),
        IPv6Address((0x64FF9B0001 << 80) | int(inner)),
        IPv6Address((0x2002 << 112) | (int(inner) << 80)),
        IPv6Address((0x20010000 << 96) | (int(inner) ^ 0xFFFFFFFF)),
    ]

    assert not any(is_public(address) for address in hidden)


@given(V6)
def test_an_ipv6_address_that_is_public_was_handed_out(address: IPv6Address) -> None:
    assert not is_public(address) or address in IPv6Network("2000::/3")


@given(st.one_of(V4, V6), st.integers(1, 65_535))
def test_without_entries_only_public_addresses_and_web_ports_are_dialled(
    address: IPv4Address | IPv6Address, port: int
) -> None:
    may = AllowList().may_dial("photos.example", port, address)

    assert may == (is_public(address) and port in {80, 443})


@given(V4, st.integers(8, 32), V4, st.integers(1, 65_535))
def test_a_network_opens_its_own_addresses_only(
    base: IPv4Address, prefix: int, address: IPv4Address, port: int
) -> None:
    network = IPv4Network((int(base), prefix), strict=False)

    may = AllowList([str(network)]).may_dial("photos.example", port, address)

    assert may == (address in network or (is_public(address) and port in {80, 443}))


@pytest.mark.parametrize(
    ("entry", "host", "port", "address", "may"),
    [
        ("127.0.0.1", "127.0.0.1", 9000, "127.0.0.1", True),
        ("127.0.0.1", "any.example", 9000, "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", 80, "127.0.0.2", False),
        ("127.0.0.0/8", "127.0.0.2", 80, "127.0.0.2", True),
        ("127.0.0.0/8:8080", "127.0.0.2", 8080, "127.0.0.2", True),
        ("127.0.0.0/8:8080", "127.0.0.2", 80, "127.0.0.2", False),
        ("127.0.0.0/8", "mapped.example", 80, "::ffff:127.0.0.1", False),
        ("LocalHost", "localhost", 9000, "::1", True),
        ("localhost:9000", "localhost", 9001, "::1", False),
        ("photos.example", "photos.example", 80, "10.0.0.1", True),
        ("photos.example", "evil.photos.example", 80, "10.0.0.1", False),
        ("photos.example:8443", "photos.example", 8443, "93.184.215.14", True),
        ("::1", "::1", 80, "::1", True),
        ("[::1]:81", "::1", 81, "::1", True),
        ("[::1]:81", "::1", 80, "::1", False),
        ("fd00::/8", "intranet", 80, "fd00::5", True),
        (" 10.0.0.0/8 ", "intranet", 80, "10.2.3.4", True),
        ("10.0.0.0/8", "intranet", 80, "fd00::5", False),
    ],
)
def test_an_entry_opens_what_it_names(
    entry: str,
    host: str,
    port: int,
    address: str,
    may: bool,
) -> None:
    assert AllowList([entry]).may_dial(host, port, ip_address(address)) is may


@pytest.mark.parametrize(
    "entry",
    ["", "10.0.0.0/33", "http://photos.example", "a b", "*", "host:", "host:0", "host:70000", "[x"],
)
def test_an_entry_that_is_nothing_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="SKUSCENE_FETCH_ALLOW") as caught:
        AllowList([entry])

    assert repr(entry) in str(caught.value)
