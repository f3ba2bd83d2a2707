"""What text is in a cell?"""

from __future__ import annotations

import time

import pytest

from producers.feeds.text import one_line, plain, visible


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One</p><p>Two<br>Three</p>", "One\nTwo\nThree"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("Fish &amp; Chips &#8364;5 R&notes", "Fish & Chips \u20ac5 R&notes"),
        ("a<script>alert(1)</script>b<style>p{}</style>c<!-- <p>no</p> -->d", "abcd"),
        ("a<script>never closed", "a"),
        ("<b>bold</b>  \n\n  text", "bold\ntext"),
        ("<img src=x onerror=alert(1)>", ""),
    ],
)
def test_markup_becomes_text(markup: str, text: str) -> None:
    assert plain(markup) == text


def test_a_title_is_one_line_without_hidden_characters() -> None:
    assert one_line("Lamp\u202e \n dlog \x07&amp; co\ud800") == "Lamp dlog & co"


def test_letters_marks_and_emoji_stay() -> None:
    text = "Kaffee\u0301 \U0001f469\u200d\U0001f373 日本語 \u0627\u0644"

    assert visible(text) == text


@pytest.mark.parametrize(
    "markup", ["<script>" * 200_000, "<" * 2_000_000, "<p" * 900_000, " " * 5_000_000]
)
def test_hostile_markup_takes_no_more_than_linear_time(markup: str) -> None:
    began = time.perf_counter()

    plain(markup)

    assert time.perf_counter() - began < 5
