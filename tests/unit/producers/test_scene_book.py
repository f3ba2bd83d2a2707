"""Is a scene book read as its author meant it, and is every mistake named with its line?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalog.product import Product
from catalog.scenes import RATIOS, Scene, SceneBook, When
from producers.prompts import FIELDS, build_prompt
from producers.scene_book import MAX_BOOK_BYTES, SceneBookError, built_in_book, read_scene_book

DOC = Path(__file__).parents[3] / "docs" / "scenes.md"
DESIGN_EXAMPLE = """\
version: 1
defaults: {ratio: "4:5", size: 1K, pictures: 1, per: product, renditions: [web, merchant]}
scenes:
  living-room:
    prompt: "The {product.title} on a walnut sideboard in a bright modern living room, ..."
    when: {category: ["Home*", "Furniture*"], exclude_tags: [spare-part]}
    references: {product: 3, also: [brand/mood.jpg]}
    locales: {de-DE: {text: "Neu"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, content: str | bytes) -> SceneBook:
    path = folder / "scenes.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_scene_book(path)


def complaint(folder: Path, content: str | bytes) -> str:
    """What is said about the file, after its folder."""
    with pytest.raises(SceneBookError) as caught:
        read(folder, content)
    said = str(caught.value)
    assert said.startswith(f"{folder / 'scenes.yaml'}:")
    assert "\n" not in said
    return said.removeprefix(f"{folder}/")


def one(folder: Path, *lines: str) -> Scene:
    """The scene ``loft`` with these lines in it, the first of them on line 5."""
    return read(folder, loft(*lines)).scene("loft")


def loft(*lines: str) -> str:
    head = ["version: 1", "scenes:", "  loft:", "    prompt: The {product.title} in a loft."]
    return "\n".join([*head, *(f"    {line}" for line in lines)]) + "\n"


# ---- what is read ----


def test_a_book_is_read_as_written(folder: Path) -> None:
    assert read(folder, DESIGN_EXAMPLE).scenes == (
        Scene.model_validate(
            {
                "name": "living-room",
                "prompt": (
                    "The {product.title} on a walnut sideboard in a bright modern living room, ..."
                ),
                "when": {"category": ["Home*", "Furniture*"], "exclude_tags": ["spare-part"]},
                "ratio": "4:5",
                "size": "1K",
                "pictures": 1,
                "per": "product",
                "renditions": ["web", "merchant"],
                "references": {"product": 3, "also": ["brand/mood.jpg"]},
                "locales": {"de-DE": {"text": "Neu"}},
            }
        ),
    )


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("shape", ["ratio: {}", 'ratio: "{}"', "ratio: '{}'", "ratio: {} # shape"])
def test_a_ratio_needs_no_quotes(folder: Path, ratio: str, shape: str) -> None:
    assert one(folder, shape.format(ratio)).ratio == ratio


def test_a_ratio_needs_no_quotes_among_braces(folder: Path) -> None:
    book = read(folder, DESIGN_EXAMPLE.replace('"4:5"', "16:9"))

    assert book.scenes[0].ratio == "16:9"


def test_yaml_guesses_no_types(folder: Path) -> None:
    scene = one(
        folder,
        "size: 512",
        "people: yes",
        "when: {sku: [0012, 1e3, 1:30, no, 2024-01-02, ~x]}",
        "locales: {no: {text: off}}",
    )

    assert scene.size == "512"
    assert scene.people is True
    assert scene.when.sku == ("0012", "1e3", "1:30", "no", "2024-01-02", "~x")
    assert scene.locales["no"].text == "off"


def test_defaults_lie_under_every_scene(folder: Path) -> None:
    book = read(
        folder,
        """\
version: 1
defaults:
  ratio: 1:1
  size: 2K
  when: {category: Home*, exclude_tags: [old]}
  references: {product: 2, also: [mood.jpg]}
scenes:
  a: {prompt: In a loft.}
  b:
    prompt: In a garden.
    ratio: 4:3
    when: {category: [Garden*]}
    references: {also: []}
  c: {prompt: On a beach., when: {}}
""",
    )

    a, b, c = book.scenes
    assert (a.ratio, a.size, a.references.also) == ("1:1", "2K", ("mood.jpg",))
    assert a.when == When(category=("Home*",), exclude_tags=("old",))
    assert (b.ratio, b.size, b.references.product, b.references.also) == ("4:3", "2K", 2, ())
    assert b.when == When(category=("Garden*",), exclude_tags=("old",))
    assert c.when == When()


def test_a_built_in_name_takes_over_the_built_in_scene(folder: Path) -> None:
    book = read(
        folder,
        """\
version: 1
defaults: {size: 2K}
scenes:
  marble-studio:
  gym: {ratio: 9:16}
  loft: {prompt: My own loft.}
""",
    )

    built_in = built_in_book(["marble-studio", "gym", "loft"])
    marble, gym, own = book.scenes
    assert marble == built_in.scenes[0].changed(size="2K")
    assert gym == built_in.scenes[1].changed(size="2K", ratio="9:16")
    assert own.ratio == "4:5", "a scene with its own prompt takes nothing over"


def test_a_byte_order_mark_and_windows_lines_do_no_harm(folder: Path) -> None:
    content = b"\xef\xbb\xbf" + DESIGN_EXAMPLE.replace("\n", "\r\n").encode()

    assert read(folder, content) == read(folder, DESIGN_EXAMPLE)


def test_an_alias_stands_for_what_it_names(folder: Path) -> None:
    book = read(
        folder,
        """\
version: 1
scenes:
  a: {prompt: In a loft., when: &home {category: [Home*]}}
  b: {prompt: In a garden., when: *home}
""",
    )

    assert book.scenes[0].when == book.scenes[1].when == When(category=("Home*",))


# ---- what is refused ----


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "ratoi: 4:5",
            "scene 'loft' has an unknown key 'ratoi'; did you mean 'ratio'? Allowed: prompt, ",
        ),
        (
            "size: 1k",
            "scene 'loft': 'size' can't be '1k'; did you mean '1K'? Allowed: 512, 1K, 2K, 4K",
        ),
        ("ratio: 4x5", "'ratio' can't be '4x5'; did you mean '4:5'? Allowed: 1:1, 1:4, "),
        ("ratio: 4/5", "did you mean '4:5'?"),
        ("ratio: wide", "'ratio' can't be 'wide'. Allowed: 1:1, "),
        ("ratio: [4, 5]", "'ratio' can't be ['4', '5']. Allowed: "),
        (
            "per: visual-variant",
            "did you mean 'visual_variant'? Allowed: product, visual_variant, ",
        ),
        ("renditions: [web, merchnt]", "did you mean 'merchant'? Allowed: web, merchant"),
        ("pictures: 21", "'pictures' can't be '21': input should be less than or equal to 20"),
        ("pictures: 0", "greater than or equal to 1"),
        ("pictures: two", "'pictures' can't be 'two': input should be a valid integer"),
        ("pictures:", "'pictures' has no value"),
        (
            "softer: [In a garden, 'A {product.titles}']",
            "'softer' 2: the prompt's {product.titles}",
        ),
        ("softer: A {product.titles}", "'softer' 1: the prompt's {product.titles} is no field"),
        ("softer: [{a: b}]", "'softer' can't be {'a': 'b'}"),
        ('softer: [""]', "'softer' can't be ''"),
        ("softer: [a, b, c, d]", "should have at most 3 items"),
        ("softer:", "'softer' has no value"),
        ("soften: 4", "'soften' can't be '4': input should be less than or equal to 3"),
        ("soften: -1", "greater than or equal to 0"),
        ("softened: 1", "has an unknown key 'softened'; did you mean 'soften'?"),
        ("people: maybe", "'people' can't be 'maybe'"),
        ("name: attic", "unknown key 'name'"),
        ("when: Home*", "'when' can't be 'Home*'"),
        (
            "when: {categry: [Home*]}",
            "unknown key 'when.categry'; did you mean 'category'? Allowed: category, type, ",
        ),
        ("when: {tags: {a: b}}", "'when.tags' can't be {'a': 'b'}"),
        ("references: {product: 15}", "'references.product' can't be '15'"),
        ("references: {product: 14, also: [a.jpg]}", "more than the 14"),
        ("references: {also: [../a.jpg]}", "must be a file in the scene book's folder"),
        ("references: {max: 3}", "unknown key 'references.max'"),
        ("locales: {de_DE: {text: Neu}}", "is no locale; did you mean 'de-DE'?"),
        ("locales: {de: {txt: Neu}}", "unknown key 'locales.de.txt'; did you mean 'text'?"),
        ("locales: {de: Neu}", "'locales.de' can't be 'Neu'"),
        ("ratio: !shape 4:5", "tags such as '!shape' are not read"),
        ("ratio: !!python/name:os.system 4:5", "are not read"),
        ("<<: {size: 2K}", "merge keys ('<<') are not read"),
        ("{a: b}: c", "a key must be a word"),
        ("prompt: Again.", "key 'prompt' stands twice; the first one is on line 4"),
        ("ratio: *shape", "no YAML: found undefined alias"),
        ("keep: a: b", "put a text with ': ' in it in quotes"),
        ("keep: 'open", "no YAML: "),
    ],
)
def test_a_mistake_is_named_with_its_line(folder: Path, line: str, said: str) -> None:
    found = complaint(folder, loft("# a comment", line))

    assert re.match(r"scenes\.yaml:[67]: ", found)
    assert said in found


def test_a_mistake_in_a_long_list_is_named_with_its_own_line(folder: Path) -> None:
    found = complaint(folder, loft("renditions:", "- web", "- poster"))

    assert found.startswith("scenes.yaml:7: scene 'loft': 'renditions' can't be 'poster'")


def test_the_first_mistake_is_named_first(folder: Path) -> None:
    assert complaint(folder, loft("size: 3K", "pictures: 99")).startswith("scenes.yaml:5: ")
    assert complaint(folder, loft("pictures: 99", "size: 3K")).startswith("scenes.yaml:5: ")


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ("{ratio: 5:6}", "'defaults': 'ratio' can't be '5:6'"),
        ("{sizes: 1K}", "'defaults' has an unknown key 'sizes'; did you mean 'size'?"),
        ("{prompt: In a loft.}", "'defaults' has an unknown key 'prompt'"),
        ("[ratio]", "'defaults' must hold keys"),
        ("{references: {product: 0}}", "'defaults': 'references.product' can't be '0'"),
    ],
)
def test_a_mistake_in_the_defaults_is_named_there(folder: Path, defaults: str, said: str) -> None:
    content = f"version: 1\ndefaults: {defaults}\nscenes:\n  loft:\n"

    assert complaint(folder, content).startswith(f"scenes.yaml:2: {said}")


def test_defaults_that_do_not_fit_a_scene_are_named_where_they_stand(folder: Path) -> None:
    found = complaint(
        folder,
        """\
version: 1
defaults: {references: {product: 14}}
scenes:
  loft:
    references: {also: [mood.jpg]}
""",
    )

    assert found.startswith("scenes.yaml:5: scene 'loft': 'references' can't be used: 14 photos")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "scenes.yaml:1: the scene book is empty"),
        ("# nothing\n", "scenes.yaml:1: the scene book is empty"),
        ("- a\n", "scenes.yaml:1: the scene book must hold keys"),
        ("scenes: {loft: }\n", "scenes.yaml:1: key 'version' is missing; write 'version: 1'"),
        ("version: 2\nscenes: {loft: }\n", "scenes.yaml:1: 'version' can't be '2'"),
        ("version: 1\n", "scenes.yaml:1: no scene stands under 'scenes'"),
        ("version: 1\nscenes: {}\n", "scenes.yaml:2: no scene stands under 'scenes'"),
        ("version: 1\nscenes: [loft]\n", "scenes.yaml:2: 'scenes' must hold keys"),
        ("version: 1\nscene: {loft: }\n", "scenes.yaml:2: the scene book has an unknown key"),
        ("version: 1\nscenes:\n  loft: In a loft.\n", "scenes.yaml:3: 'loft' must hold keys"),
        (
            "version: 1\nscenes:\n  Living Room: {prompt: x}\n",
            "scenes.yaml:3: scene 'Living Room': 'name' can't be 'Living Room'; allowed are a-z",
        ),
        (
            "version: 1\nscenes:\n  livingroom: {ratio: 1:1}\n",
            "'livingroom' has no 'prompt'; did you mean the built-in scene 'living-room'?",
        ),
        ("version: 1\nscenes:\n\tloft:\n", "scenes.yaml:3: no YAML: "),
        ("version: 1\n---\nversion: 1\n", "scenes.yaml:2: no YAML: "),
        (b"version: 1\n# \xe9\n", "scenes.yaml:2: the scene book is not UTF-8 text"),
        ("version: 1\n# \x07\n", "scenes.yaml:2: no YAML: "),
        ("[" * 5_000, "scenes.yaml:1: the scene book is nested too deeply"),
        ("version: 1\nscenes: &a\n  loft: *a\n", "nested too deeply"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_is_no_scene_book_is_refused(
    folder: Path, content: str | bytes, said: str
) -> None:
    assert said in complaint(folder, content)


def test_a_template_is_checked_when_the_book_is_read(folder: Path) -> None:
    content = "version: 1\nscenes:\n  loft:\n    ratio: 1:1\n    prompt: A {product.titles}.\n"

    assert complaint(folder, content).startswith(
        "scenes.yaml:5: scene 'loft': the prompt's {product.titles} is no field; "
        "did you mean {product.title}? Allowed: {product.title}, "
    )


def test_softer_prompts_are_read_and_a_scenes_own_replace_the_defaults(folder: Path) -> None:
    book = read(
        folder,
        """\
version: 1
defaults: {softer: "The {product.title} on a plain table.", soften: 2}
scenes:
  a: {prompt: In a loft.}
  b: {prompt: In a garden., softer: [On grass., On a lawn., On sand.]}
  c: {prompt: On a beach., softer: []}
  d: {prompt: On a pier., softer: [On wood.], soften: 0}
""",
    )

    assert [[asked.prompt for asked in scene.softened] for scene in book.scenes] == [
        ["The {product.title} on a plain table."],
        ["On grass.", "On a lawn."],
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            """\
defaults:
  softer:
    - On a table.
    - For {locale.code}.
scenes:
  loft: {prompt: In a loft.}
""",
            "scenes.yaml:5: scene 'loft': 'softer' 2: the prompt's {locale.code} is always empty",
        ),
        (
            """\
defaults: {softer: [On a table.]}
scenes:
  loft:
    prompt: In a loft.
    softer:
    - '[x]'
""",
            "scenes.yaml:7: scene 'loft': 'softer' 1: the prompt's square brackets hold no field",
        ),
        (
            """\
scenes:
  loft:
    prompt: In a loft.
    soften: 0
    softer: A {product.name}
""",
            "scenes.yaml:6: scene 'loft': 'softer' 1: the prompt's {product.name} is no field",
        ),
    ],
    ids=["in the defaults", "in a list", "though it is switched off"],
)
def test_a_softer_template_is_checked_where_it_stands(
    folder: Path, content: str, said: str
) -> None:
    assert complaint(folder, f"version: 1\n{content}").startswith(said)


def test_aliases_can_not_unfold_without_end(folder: Path) -> None:
    levels = "\n".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 8))

    found = complaint(folder, f"version: 1\nscenes:\n  l0: &l0 [x, x, x, x]\n{levels}\n")

    assert "unfolds to more than 50000" in found


def test_a_file_without_end_is_not_read_whole(folder: Path) -> None:
    with pytest.raises(SceneBookError, match="more than 1000000 bytes"):
        read(folder, b"#" * (MAX_BOOK_BYTES + 1))


def test_a_file_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(
        SceneBookError, match=r"missing\.yaml: the scene book can't be read: No such"
    ):
        read_scene_book(folder / "missing.yaml")


# ---- the built-in scenes ----


def test_the_scenes_that_everybody_asks_for_are_there() -> None:
    names = built_in_book().names

    assert names[:3] == ("living-room", "sunny-beach", "golden-hour-kitchen")
    assert len(names) >= 15


def test_built_in_scenes_come_in_the_order_asked_for() -> None:
    assert built_in_book(["loft", "bedroom", "loft"]).names == ("loft", "bedroom")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["livingroom"], "there is no scene 'livingroom'; did you mean 'living-room'?"),
        ([], "no scene is named. Allowed: living-room"),
    ],
)
def test_an_unknown_built_in_scene_is_refused(names: list[str], said: str) -> None:
    with pytest.raises(SceneBookError, match=re.escape(said)):
        built_in_book(names)


@pytest.mark.parametrize("scene", built_in_book().scenes, ids=lambda scene: scene.name)
def test_a_built_in_scene_is_short_and_fits_every_product(scene: Scene) -> None:
    product = Product(row=2, product_id="1", sku="1", title="Lamp " * 60)

    assert scene.when == When()
    assert scene.prompt.startswith("{product.title}")
    assert 120 <= len(scene.prompt) <= 400
    assert "mm lens" in scene.prompt
    assert len(build_prompt(scene, product, variant=None, locale=None)) < 1_300


# ---- the documentation ----


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, cell by cell."""
    section = DOC.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_the_documentation_lists_the_built_in_scenes() -> None:
    rows = [(row[0], row[1]) for row in table("Built-in scenes")]

    assert rows == [(scene.name, scene.ratio) for scene in built_in_book().scenes]


def test_the_documentation_lists_every_template_field() -> None:
    assert [row[:3] for row in table("Template fields")] == [
        [f"{{{name}}}", field.meaning, str(field.max_chars)] for name, field in FIELDS.items()
    ]


def test_the_documentation_lists_every_key() -> None:
    assert [row[0] for row in table("Keys of a scene")] == [
        key for key in Scene.model_fields if key != "name"
    ]
    assert [row[0] for row in table("Which products: when")] == [
        key for key in When.model_fields if not key.startswith("exclude_")
    ]


def test_the_examples_of_the_documentation_can_be_read(folder: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)

    assert len(examples) >= 2
    for example in examples:
        assert read(folder, example).scenes


def test_every_key_has_its_own_complaint(folder: Path) -> None:
    for key in Scene.model_fields:
        if key in ("name", "prompt"):
            continue
        found = complaint(folder, loft(f"{key}: {{a: {{b: {{c: d}}}}}}"))
        assert found.startswith("scenes.yaml:5: scene 'loft': "), key
        assert f"'{key}" in found, key
