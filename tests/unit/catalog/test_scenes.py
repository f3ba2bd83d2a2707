"""What may stand in a scene, and does it cross the wire unchanged?"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from catalog.scenes import LocaleText, ReferencesRule, Scene, SceneBook, When


def scene(**fields: Any) -> Scene:
    return Scene.model_validate({"name": "loft", "prompt": "In a loft.", **fields})


def test_a_scene_book_is_the_same_after_the_wire() -> None:
    book = SceneBook(
        scenes=(
            scene(
                when={"category": ["Home*"], "exclude_tags": ["spare-part"]},
                references={"product": 2, "also": ["brand/mood.jpg"]},
                locales={"de-DE": {"text": "Neu"}, "fr": {}},
                people=True,
                keep="the brass handle",
            ),
        )
    )

    assert SceneBook.from_json(book.to_json()) == book


def test_a_scene_says_little_and_gets_the_usual() -> None:
    plain = scene()

    assert (plain.ratio, plain.size, plain.pictures, plain.per) == ("4:5", "1K", 1, "product")
    assert plain.renditions == ("web", "merchant")
    assert plain.references == ReferencesRule(product=3)
    assert plain.when == When()
    assert plain.locale_names == (None,)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Living Room"},
        {"name": "-loft"},
        {"name": "a" * 65},
        {"name": "loft\n"},
        {"prompt": ""},
        {"ratio": "5:6"},
        {"size": "1k"},
        {"pictures": 0},
        {"pictures": 21},
        {"per": "sku"},
        {"renditions": ["poster"]},
        {"references": {"product": 0}},
        {"references": {"product": 15}},
        {"references": {"product": 14, "also": ["mood.jpg"]}},
        {"references": {"also": ["../mood.jpg"]}},
        {"references": {"also": ["/etc/passwd"]}},
        {"references": {"also": ["file:///etc/passwd"]}},
        {"locales": {"german": {}}},
        {"locales": {"de_DE": {}}},
        {"locales": {"de-DE": {"text": 'a "quoted" word'}}},
        {"locales": {"de-DE": {"text": "two\nlines"}}},
        {"locales": {"de-DE": {"txt": "Neu"}}},
        {"when": {"categories": ["Home*"]}},
        {"mood": "calm"},
    ],
    ids=str,
)
def test_what_no_picture_can_be_asked_with_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        scene(**fields)


@pytest.mark.parametrize("name", ["a", "0-sale", "living-room", "a" * 64])
def test_a_name_is_a_slug(name: str) -> None:
    assert scene(name=name).name == name


def test_one_word_stands_for_a_list_of_one() -> None:
    assert When.model_validate({"category": "Home*"}).category == ("Home*",)
    assert scene(renditions="web").renditions == ("web",)


def test_a_rendition_named_twice_is_made_once() -> None:
    assert scene(renditions=["web", "web"]).renditions == ("web",)


def test_each_locale_wants_its_own_picture() -> None:
    assert scene(locales={"de-DE": {"text": "Neu"}, "fr": {}}).locale_names == ("de-DE", "fr")


def test_a_text_keeps_the_joiners_that_its_language_needs() -> None:
    assert LocaleText(text="\u0645\u06cc\u200c\u0631\u0648\u0645").text == (
        "\u0645\u06cc\u200c\u0631\u0648\u0645"
    )


def test_two_scenes_of_one_name_are_no_book() -> None:
    with pytest.raises(ValidationError, match="twice: loft"):
        SceneBook(scenes=(scene(), scene()))


def test_a_book_finds_its_scenes_by_name() -> None:
    book = SceneBook(scenes=(scene(), scene(name="beach")))

    assert book.names == ("loft", "beach")
    assert book.scene("beach").name == "beach"
    with pytest.raises(KeyError):
        book.scene("kitchen")
