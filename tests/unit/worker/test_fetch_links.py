"""What does a link ask for, and may it be followed at all?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ReferenceUnusable
from worker.fetch.links import Link, parse_link, redirected, shown, web_host


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("http://photos.example", "photos.example", 80, "/"),
        ("HTTPS://Photos.Example./a.jpg", "photos.example", 443, "/a.jpg"),
        ("https://photos.example:443/a?w=1&h=2#top", "photos.example", 443, "/a?w=1&h=2"),
        ("http://photos.example/a b/Größe.jpg", "photos.example", 80, "/a%20b/Gr%C3%B6%C3%9Fe.jpg"),
        ("http://photos.example/a%20b%2Fc.jpg", "photos.example", 80, "/a%20b%2Fc.jpg"),
        ("http://photos.example/a@2x.jpg", "photos.example", 80, "/a@2x.jpg"),
        ("http://my_shop.example/a", "my_shop.example", 80, "/a"),
        ("http://straße.example/a", "xn--strae-oqa.example", 80, "/a"),
        ("http://１２７.０.０.１/a", "127.0.0.1", 80, "/a"),  # noqa: RUF001  # the point
        ("http://[::1]:8080/a", "::1", 8080, "/a"),
        ("http://[2001:DB8::0:1]/a", "2001:db8::1", 80, "/a"),
        (" http://photos.example/a ", "photos.example", 80, "/a"),
    ],
)
def test_a_link_is_read_as_a_browser_reads_it(url: str, host: str, port: int, target: str) -> None:
    link = parse_link(url)

    assert (link.host, link.port, link.target) == (host, port, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "photos.example/a.jpg",
        "//photos.example/a.jpg",
        "file:///etc/passwd",
        "ftp://photos.example/a.jpg",
        "gopher://photos.example/",
        "data:image/png;base64,AAAA",
        "http:///a.jpg",
        "http://:80/a.jpg",
        "http://user@photos.example/a.jpg",
        "http://user:secret@photos.example/a.jpg",
        "http://@photos.example/a.jpg",
        "http://photos.example\\@127.0.0.1/a.jpg",
        "http:\\\\127.0.0.1\\a.jpg",
        "http://photos.example/a\r\nHost: evil",
        "http://photos.example/a\tb",
        "http://photos.example\x00/a",
        "http://photos.example:http/a",
        "http://photos.example:99999/a",
        "http://[::1/a",
        "http://[fe80::1%25eth0]/a",
        "http://[v1.fe]/a",
        "http://a..b/",
        "http://a b/",
        "http://%31%32%37.0.0.1/",
        "http://" + "a" * 64 + ".example/",
        "http://photos.example／evil/",  # noqa: RUF001  # the point
    ],
)
def test_a_link_made_to_mislead_is_refused(url: str) -> None:
    with pytest.raises(ReferenceUnusable) as caught:
        parse_link(url)

    assert caught.value.reason == "reference.unreachable"


@given(st.text() | st.from_regex(r"https?://[^/]*/.*"))
def test_whatever_is_read_can_be_sent_as_one_line_and_read_again(url: str) -> None:
    try:
        link = parse_link(url)
    except ReferenceUnusable:
        return

    assert all("!" <= letter <= "~" for letter in link.url)
    assert parse_link(link.url) == link


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_a_host_writes_as_location_is_followed_or_refused(location: str) -> None:
    origin = parse_link("https://photos.example/a/b.jpg")

    try:
        link = redirected(origin, location)
    except ReferenceUnusable:
        return

    assert all("!" <= letter <= "~" for letter in link.url)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("c.jpg", "https://photos.example/a/c.jpg"),
        ("/c.jpg?w=1", "https://photos.example/c.jpg?w=1"),
        ("//other.example/c.jpg", "https://other.example/c.jpg"),
        ("http://other.example/c.jpg", "http://other.example/c.jpg"),
        ("/Gr\u00c3\u00b6\u00c3\u009fe.jpg", "https://photos.example/Gr%C3%B6%C3%9Fe.jpg"),
    ],
)
def test_a_location_is_read_from_where_it_was_given(location: str, url: str) -> None:
    origin = parse_link("https://photos.example/a/b.jpg")

    assert redirected(origin, location).url == url


def test_a_message_shows_neither_query_nor_password() -> None:
    shown_links = [
        shown("https://photos.example/a.jpg?token=secret#secret"),
        shown("https://user:secret@photos.example/a.jpg"),
        shown("https://user:sec?ret@photos.example/a.jpg"),
        shown("http:\\\\user:secret@photos.example/a.jpg"),
        str(Link(scheme="https", host="h", port=443, target="/a?secret")),
    ]

    assert not [link for link in shown_links if "sec" in link]


def test_a_message_obeys_no_terminal() -> None:
    assert shown("http://photos.example/\x1b[2J\n") == "http://photos.example/\\x1b[2J\\n"


@pytest.mark.parametrize("name", ["2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.1"])
def test_a_number_is_left_to_the_resolver(name: str) -> None:
    assert web_host(name) == name
