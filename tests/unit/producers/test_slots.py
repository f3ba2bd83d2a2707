"""Which pictures does a product get, and in which words are they asked for?"""

from __future__ import annotations

import json
from typing import Any

from catalog.imports import PlannedSlot
from catalog.product import Photo, Product
from catalog.scenes import Scene, SceneBook
from producers.prompts import build_prompt
from producers.slots import WantedSlot, wanted_slots

PRODUCT = Product(
    row=2,
    product_id="mug",
    sku="M-1",
    title="Mug",
    photos=(Photo(address="https://shop.example/mug.jpg", link="https://shop.example/mug.jpg"),),
)
PROMPT = "The {product.title} in a loft."


def only_slot(**fields: Any) -> WantedSlot:
    """The one picture that the product gets in a scene."""
    scene = Scene(name="loft", prompt=PROMPT, **fields)
    (slot,) = wanted_slots(PRODUCT, SceneBook(scenes=(scene,)))
    return slot


def staged(prompt: str, **fields: Any) -> str:
    """A prompt as it is sent."""
    scene = Scene(name="loft", prompt=prompt, **fields)
    return build_prompt(scene, PRODUCT, variant=None, locale=None)


def planned(**fields: Any) -> PlannedSlot:
    """A slot of a shard."""
    facts: dict[str, Any] = {
        "index": 0,
        "slot": "mug/-/loft/1/-",
        "sku": "M-1",
        "scene": "loft",
        "picture_no": 1,
        "prompt": "p",
        "model": "m",
        "size": "1K",
        "ratio": "4:5",
        "photos": (0,),
        "renditions": ("web",),
        "cause": "new",
    }
    return PlannedSlot(**facts | fields)


def test_softer_prompts_are_staged_by_the_same_rules_as_the_prompt() -> None:
    slot = only_slot(softer=("The {product.title} on a shelf.", "A shelf."), keep="The handle")

    assert slot.prompt == staged(PROMPT, keep="The handle")
    assert slot.softer == (
        staged("The {product.title} on a shelf.", keep="The handle"),
        staged("A shelf.", keep="The handle"),
    )


def test_no_more_softer_prompts_are_planned_than_may_be_tried() -> None:
    softer = ("A shelf.", "A table.", "A chair.")

    assert only_slot(softer=softer).softer == tuple(staged(prompt) for prompt in softer)
    assert only_slot(softer=softer, soften=1).softer == (staged("A shelf."),)
    assert only_slot(softer=softer, soften=0).softer == ()


def test_the_same_words_are_planned_once() -> None:
    slot = only_slot(softer=(PROMPT, "A shelf.", "A  shelf"))

    assert slot.softer == (staged("A shelf."),)


def test_a_plan_without_softer_prompts_is_written_as_it_always_was() -> None:
    written = json.loads(planned().to_json())

    assert "softer" not in written
    assert PlannedSlot.model_validate(written) == planned()
    assert json.loads(planned(softer=("q",)).to_json())["softer"] == ["q"]


def test_a_book_without_softer_prompts_is_written_as_it_always_was() -> None:
    written = json.loads(Scene(name="loft", prompt=PROMPT).to_json())

    assert set(written).isdisjoint({"softer", "soften"})
    assert Scene.model_validate(written) == Scene(name="loft", prompt=PROMPT)
