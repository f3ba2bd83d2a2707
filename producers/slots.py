"""Which pictures does a product need?

Pure: a product and a scene book in, wanted pictures out. A slot's name outlives prompts, photos and
models: product (or variant, or photo) x scene x picture number x locale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from catalog.keys import slug
from catalog.product import PhotoRole
from producers.prompts import build_prompt
from producers.rules import applies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from catalog.product import Photo, Product, Variant
    from catalog.scenes import Scene, SceneBook

_LOOKS = frozenset(
    {
        *("color", "colour", "farbe", "couleur", "colore", "cor", "kleur", "kolor", "färg"),
        *("finish", "material", "materiale", "matériau", "pattern", "muster", "motif", "style"),
        *("print", "design", "fabric", "stoff", "tissu", "wood", "metal"),
    }
)
"""Option names that change how a product looks; sizes and the like do not."""


class WantedSlot(NamedTuple):
    """One wanted picture, before anybody looked at what is owned.

    ``photos`` point into the product's photos, the best first; ``softer`` are prompts for when
    the model refuses.
    """

    slot: str
    sku: str
    scene: Scene
    picture_no: int
    locale: str | None
    prompt: str
    softer: tuple[str, ...]
    photos: tuple[int, ...]


class _Subject(NamedTuple):
    """What is shown: the product as a whole, a variant, or one photo of it."""

    name: str
    sku: str
    variant: Variant | None
    photos: tuple[int, ...]


def wanted_slots(product: Product, book: SceneBook) -> Iterator[WantedSlot]:
    """Every picture that the scenes want of a product, in the book's order."""
    for scene in book.scenes:
        if not applies(scene, product):
            continue
        for subject in _subjects(product, scene):
            yield from _of_subject(product, scene, subject)


def _of_subject(product: Product, scene: Scene, subject: _Subject) -> Iterator[WantedSlot]:
    for locale in scene.locale_names:
        # Two may come out as the same words, and no refused words are asked twice.
        prompt, *softer = dict.fromkeys(
            build_prompt(asked, product, variant=subject.variant, locale=locale)
            for asked in (scene, *scene.softened)
        )
        for picture_no in range(1, scene.pictures + 1):
            yield WantedSlot(
                slot="/".join((subject.name, scene.name, str(picture_no), locale or "-")),
                sku=subject.sku,
                scene=scene,
                picture_no=picture_no,
                locale=locale,
                prompt=prompt,
                softer=tuple(softer),
                photos=subject.photos[: scene.references.product],
            )


def _subjects(product: Product, scene: Scene) -> Sequence[_Subject]:
    name = slug(product.product_id)
    everything = _of_product(product)
    if scene.per == "image":
        return [
            _Subject(name=f"{name}/image-{at + 1}", sku=product.sku, variant=None, photos=(at,))
            for at in range(len(product.photos))
        ]
    if scene.per in {"variant", "visual_variant"} and product.variants:
        groups = _groups(product, by_look=scene.per == "visual_variant")
        return [
            _Subject(
                name=f"{name}/{slug(variant.sku)}",
                sku=variant.sku,
                variant=variant,
                photos=_of_variants(product, skus) or everything,
            )
            for variant, skus in groups
        ]
    return [
        _Subject(name=f"{name}/-", sku=product.sku, variant=None, photos=everything),
    ]


def _of_product(product: Product) -> tuple[int, ...]:
    """Photos of the product as such; else those of its first variant that has any.

    Two colours side by side would tell the model of a product that does not exist.
    """
    common = [at for at, photo in enumerate(product.photos) if photo.role is not PhotoRole.VARIANT]
    if common:
        return _best_first(product, common)
    first = product.photos[0].variant_skus
    return _of_variants(product, first) or (0,)


def _groups(product: Product, *, by_look: bool) -> list[tuple[Variant, tuple[str, ...]]]:
    """Variants that share their pictures, each group under its first variant."""
    groups: dict[tuple[str, ...], list[Variant]] = {}
    for variant in product.variants:
        look = tuple(
            f"{option.lower()}={value}"
            for option, value in sorted(variant.options.items())
            if option.strip().lower() in _LOOKS
        )
        groups.setdefault(look if by_look else (variant.sku,), []).append(variant)
    return [(group[0], tuple(variant.sku for variant in group)) for group in groups.values()]


def _of_variants(product: Product, skus: Iterable[str]) -> tuple[int, ...]:
    wanted = set(skus)
    own = [
        at for at, photo in enumerate(product.photos) if not wanted.isdisjoint(photo.variant_skus)
    ]
    return _best_first(product, own)


def _best_first(product: Product, photos: Iterable[int]) -> tuple[int, ...]:
    order = {PhotoRole.MAIN: 0, PhotoRole.ADDITIONAL: 1, PhotoRole.VARIANT: 2}

    def rank(at: int) -> tuple[int, int]:
        photo: Photo = product.photos[at]
        return (order.get(photo.role, 3), at)

    return tuple(sorted(photos, key=rank))
