"""Is a user's file of models laid over the shipped table field by field, and a wrong one named?"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from catalog.models import Model, ModelTable, load_models
from catalog.models_file import ModelsFileError

if TYPE_CHECKING:
    from pathlib import Path

ID = "gemini-nano-banana-2.1"
NEW = """
[[models]]
id = "house-image-1"
nickname = "House"
sizes = ["1K"]
ratios = ["1:1"]
pixel_table = "gemini-3"
max_references = 2
output_image_tokens = { "1K" = 1000 }
input_image_tokens = 500
thinking_allowance_tokens = 0
output_media_types = ["image/png"]
prices = { input = 1, text_output = 2, image_output = 10, batch_factor = 1 }
[models.platforms.developer]
[aliases.house]
developer = "house-image-1"
"""


def table(folder: Path, text: str) -> ModelTable:
    file = folder / "models.toml"
    file.write_text(text, encoding="utf-8")
    return load_models(file)


def model(found: ModelTable, model_id: str = ID) -> Model:
    entry = found.find(model_id)
    assert entry is not None
    return entry


def test_without_a_file_the_shipped_table_stands() -> None:
    assert load_models(None) == load_models()
    assert load_models().file is None


def test_a_price_needs_no_full_model(tmp_path: Path) -> None:
    found = table(tmp_path, f'[[models]]\nid = "{ID}"\nprices = {{ image_output = 24.5 }}\n')

    shipped, changed = model(load_models()), model(found)
    assert changed.prices.image_output == Decimal("24.5")
    assert changed.prices.input == shipped.prices.input
    assert changed.changed(prices=shipped.prices) == shipped
    assert found.given == {ID: ("prices.image_output",)}


def test_a_price_of_the_users_never_goes_by_the_shipped_source(tmp_path: Path) -> None:
    found = table(tmp_path, f'[[models]]\nid = "{ID}"\nprices = {{ input = 1 }}\n')

    assert model(found).prices.source == str(tmp_path / "models.toml")
    assert model(found).prices.as_of is None


def test_a_source_that_is_said_stands(tmp_path: Path) -> None:
    text = f'[[models]]\nid = "{ID}"\nprices = {{ input = 1, source = "a", as_of = 2026-01-02 }}\n'

    prices = model(table(tmp_path, text)).prices

    assert (prices.source, prices.as_of) == ("a", date(2026, 1, 2))


def test_dates_of_one_platform_leave_the_other_alone(tmp_path: Path) -> None:
    text = (
        f'[[models]]\nid = "{ID}"\n[[models.platforms.vertex.shutdown]]\n'
        'on = 2026-12-01\nsource = "a letter"\nread = 2026-11-20\n'
    )

    found = table(tmp_path, text)

    today = date(2026, 12, 1)
    assert found.lifecycle(model(found), "vertex", today).refusal is not None
    assert found.lifecycle(model(found), "developer", today).refusal is None


def test_new_ids_and_aliases_are_added(tmp_path: Path) -> None:
    found = table(tmp_path, NEW)

    assert found.resolve("house", platform="developer").id == "house-image-1"
    assert found.resolve("nano-banana", platform="developer").id == ID
    assert model(found, "house-image-1").pixels("1:1", "1K") == (1024, 1024)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[models]\n", "is no TOML: "),
        ("[prices]\ninput = 1\n", "prices: nothing of that name belongs here"),
        ("models = 3\n", "models: write entries, as in [[models]]"),
        ("aliases = { a = 'b' }\n", "aliases: write tables"),
        ("[[models]]\nsizes = []\n", "models: entry 1 has no id"),
        (f'[[models]]\nid = "{ID}"\n[[models]]\nid = "{ID}"\n', f"{ID!r} stands twice"),
        (
            f'[[models]]\nid = "{ID}"\nprices = {{ input = -1 }}\n',
            f"{ID}: prices.input: Input should be greater than or equal to 0",
        ),
        (f'[[models]]\nid = "{ID}"\ncolour = 1\n', f"{ID}: colour: Extra inputs"),
        (
            '[[models]]\nid = "x"\npixel_table = "gemini-3"\n',
            "x: nickname: Field required",
        ),
        ('[[models]]\nid = "x"\n', "x: pixel_table None: there are gemini-3, gemini-2.5"),
        (
            f'[[models]]\nid = "{ID}"\nsizes = ["8K"]\n',
            f"{ID}: {ID}: no output_image_tokens for size 8K",
        ),
        ('[aliases.x]\ndeveloper = "nothing"\n', "named, but not in the table: nothing"),
    ],
)
def test_a_wrong_file_is_named_with_the_entry_and_the_fault(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ModelsFileError) as caught:
        table(tmp_path, text)

    assert said in str(caught.value)
    assert str(tmp_path / "models.toml") in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelsFileError, match=r"none\.toml .*can't be read: No such file"):
        load_models(tmp_path / "none.toml")
