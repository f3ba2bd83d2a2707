"""What is a scene, and what stands in a scene book?

The model of it, which ``import.json`` keeps; files of scenes are read by ``producers.scene_book``.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from catalog.wire import Wire

Ratio = Literal[
    "1:1", "1:4", "4:1", "1:8", "8:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4",
    "9:16", "16:9", "21:9",
]  # fmt: skip
Size = Literal["512", "1K", "2K", "4K"]
Per = Literal["product", "visual_variant", "variant", "image"]
Rendition = Literal["web", "merchant"]

RATIOS: Final[tuple[str, ...]] = get_args(Ratio)
SIZES: Final[tuple[str, ...]] = get_args(Size)
PERS: Final[tuple[str, ...]] = get_args(Per)
RENDITIONS: Final[tuple[str, ...]] = get_args(Rendition)

MAX_SCENES: Final = 200
MAX_PICTURES: Final = 20
MAX_REFERENCES: Final = 14
"""As many images as the model family takes with one prompt."""
MAX_PROMPT_CHARS: Final = 1_500
MAX_SOFTER: Final = 3
"""So many softer prompts a scene may name; each refused one is a call that may be billed."""
MAX_NOTE_CHARS: Final = 200
MAX_LOCALE_TEXT_CHARS: Final = 120

SceneName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
Prompt = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PROMPT_CHARS)]
Note = Annotated[str, StringConstraints(max_length=MAX_NOTE_CHARS, strip_whitespace=True)]


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Glob = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Globs = Annotated[tuple[Glob, ...], BeforeValidator(_one_or_many), Field(max_length=1_000)]


class When(Wire):
    """Which products a scene is for: globs, upper and lower case alike.

    A key holds if one of its globs matches; all keys must hold; one match of an ``exclude_`` key
    rules the product out. No key at all is every product.
    """

    category: Globs = ()
    type: Globs = ()
    tags: Globs = ()
    title: Globs = ()
    sku: Globs = ()
    brand: Globs = ()
    exclude_category: Globs = ()
    exclude_type: Globs = ()
    exclude_tags: Globs = ()
    exclude_title: Globs = ()
    exclude_sku: Globs = ()
    exclude_brand: Globs = ()


class ReferencesRule(Wire):
    """How many of the product's photos are sent, and which images beside them.

    ``also`` are files beside the scene book, or http(s) addresses: the setting's mood, never the
    product.
    """

    product: int = Field(default=3, ge=1, le=MAX_REFERENCES)
    also: tuple[Annotated[str, StringConstraints(min_length=1, max_length=1_000)], ...] = ()

    @field_validator("also")
    @classmethod
    def _stays_beside_the_book(cls, also: tuple[str, ...]) -> tuple[str, ...]:
        for image in also:
            if not image.startswith(("https://", "http://")) and _leads_away(image):
                msg = f"{image!r} must be a file in the scene book's folder, or an http(s) address"
                raise ValueError(msg)
        return also

    @model_validator(mode="after")
    def _fits_one_request(self) -> Self:
        if self.product + len(self.also) > MAX_REFERENCES:
            msg = (
                f"{self.product} photos of the product and {len(self.also)} other images are more "
                f"than the {MAX_REFERENCES} that one picture can be asked with"
            )
            raise ValueError(msg)
        return self


class LocaleText(Wire):
    """What a picture for one locale says; a locale without a text wants its own picture too."""

    text: Annotated[str, StringConstraints(strip_whitespace=True)] | None = Field(
        default=None, max_length=MAX_LOCALE_TEXT_CHARS
    )

    @field_validator("text")
    @classmethod
    def _can_be_quoted(cls, text: str | None) -> str | None:
        if text is not None and any(map(_ends_a_quotation, text)):
            msg = "a text to render is one line without double quotes and control characters"
            raise ValueError(msg)
        return text


class Scene(Wire):
    """A named setting: what is asked, in which shape, how often, and for which products.

    ``softer`` are prompts to try, one after the other, where the model refuses the one before;
    at most ``soften`` of them.
    """

    name: SceneName
    prompt: Prompt
    # A book without them is written as it always was, and keeps its hash.
    softer: Annotated[tuple[Prompt, ...], BeforeValidator(_one_or_many)] = Field(
        default=(), max_length=MAX_SOFTER, exclude_if=lambda softer: not softer
    )
    soften: int = Field(
        default=MAX_SOFTER, ge=0, le=MAX_SOFTER, exclude_if=lambda soften: soften == MAX_SOFTER
    )
    when: When = When()
    ratio: Ratio = "4:5"
    size: Size = "1K"
    pictures: int = Field(default=1, ge=1, le=MAX_PICTURES)
    per: Per = "product"
    renditions: Annotated[tuple[Rendition, ...], BeforeValidator(_one_or_many)] = RENDITIONS  # type: ignore[assignment]
    references: ReferencesRule = ReferencesRule()
    locales: dict[Locale, LocaleText] = Field(default={}, max_length=100)
    people: bool = False
    keep: Note = ""
    avoid: Note = ""

    @field_validator("renditions")
    @classmethod
    def _each_once(cls, renditions: tuple[Rendition, ...]) -> tuple[Rendition, ...]:
        return tuple(dict.fromkeys(renditions))

    @property
    def softened(self) -> tuple[Scene, ...]:
        """The scene in each of its softer prompts, as many as may be tried."""
        return tuple(
            self.model_copy(update={"prompt": prompt}) for prompt in self.softer[: self.soften]
        )

    @property
    def locale_names(self) -> tuple[str | None, ...]:
        """The locales that each want a picture; ``None`` alone if the scene names none."""
        return tuple(self.locales) or (None,)


class SceneBook(Wire):
    """A file of scenes, read, merged with its defaults and found good."""

    version: Literal[1] = 1
    scenes: tuple[Scene, ...] = Field(min_length=1, max_length=MAX_SCENES)

    @model_validator(mode="after")
    def _names_each_scene_once(self) -> Self:
        names = [scene.name for scene in self.scenes]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            msg = f"scenes must have different names; twice: {', '.join(twice)}"
            raise ValueError(msg)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The scenes' names in the book's order."""
        return tuple(scene.name for scene in self.scenes)

    def scene(self, name: str) -> Scene:
        """The scene of that name.

        Raises:
            KeyError: the book has no such scene.
        """
        for scene in self.scenes:
            if scene.name == name:
                return scene
        raise KeyError(name)


def _ends_a_quotation(char: str) -> bool:
    return char == '"' or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _leads_away(path: str) -> bool:
    """Is the path anything but a plain one downward from the scene book's folder?"""
    return path.startswith(("/", "~")) or ":" in path or "\\" in path or ".." in path.split("/")
