"""Is the model held against every scene and the calendar before anything is spent?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalog.settings import Settings
from producers.importing import ImportRefused, Order, Prepared, dry_run, prepare_order

FEED = Path(__file__).parents[2] / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parents[3] / "producers" / "demo" / "photos"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def prepared(
    folder: Path, scenes: str, *, model: str = "nano-banana", own: str | None = None
) -> Prepared:
    book = folder / "scenes.yaml"
    book.write_text(f"version: 1\nscenes:\n{scenes}", encoding="utf-8")
    settings = Settings(models_file=None)
    if own is not None:
        file = folder / "models.toml"
        file.write_text(own, encoding="utf-8")
        settings = Settings(models_file=file)
    return prepare_order(Order(feed=FEED, scenes=book, model=model), settings)


def test_every_scene_that_the_model_can_not_make_is_named_with_what_it_has(tmp_path: Path) -> None:
    scenes = (
        '  small: {prompt: "a", size: "512"}\n'
        '  good: {prompt: "a"}\n'
        '  tall: {prompt: "a", ratio: "1:8"}\n'
    )

    with pytest.raises(ImportRefused) as caught:
        prepared(tmp_path, scenes, model="nano-banana-pro")

    told = str(caught.value)
    assert "scene small: gemini-3-pro-image has no size '512'; it has 1K, 2K, 4K" in told
    assert "scene tall: gemini-3-pro-image has no ratio '1:8'; it has 1:1, 2:3" in told
    assert "good" not in told


def test_more_references_than_the_model_takes_are_refused_with_the_scene(tmp_path: Path) -> None:
    scenes = '  mood: {prompt: "a", references: {product: 3, also: ["https://a.example/m.jpg"]}}\n'

    with pytest.raises(ImportRefused, match=r"scene mood: .* at most 3 reference photos, not 4"):
        prepared(tmp_path, scenes, model="gemini-2.5-flash-image")

    assert prepared(tmp_path, scenes).model.max_references == 14


def test_a_deprecated_model_warns_and_names_its_successor(tmp_path: Path) -> None:
    found = prepared(tmp_path, '  one: {prompt: "a"}\n', model="nano-banana-2")

    assert "deprecated since 2026-10-06; use gemini-nano-banana-2.1" in found.warnings[0]


def test_a_dead_model_is_refused_with_its_successor(tmp_path: Path) -> None:
    own = (
        '[[models]]\nid = "gemini-3.1-flash-image"\n'
        '[[models.platforms.developer.shutdown]]\non = 2026-01-01\nsource = "a letter"\n'
        "read = 2026-01-01\n"
    )

    with pytest.raises(ImportRefused, match=r"ends .* on 2026-01-01 .*; use gemini-nano-banana"):
        prepared(tmp_path, '  one: {prompt: "a"}\n', model="nano-banana-2", own=own)
    with pytest.raises(ImportRefused, match=r"ended on 2026-06-25 .*use gemini-3-pro-image"):
        prepared(tmp_path, '  one: {prompt: "a"}\n', model="nano-banana-pro-preview")


def test_a_model_that_ends_before_the_import_can_is_refused(tmp_path: Path) -> None:
    soon = datetime.now(UTC).date() + timedelta(days=2)
    own = (
        '[[models]]\nid = "gemini-nano-banana-2.1"\n'
        f'[[models.platforms.developer.shutdown]]\non = {soon}\nsource = "a letter"\n'
        "read = 2026-01-01\n"
    )
    found = prepared(tmp_path, '  one: {prompt: "a"}\n', own=own)
    settings = Settings(models_file=tmp_path / "models.toml")

    assert dry_run(found, settings, None).seconds_at_quota is None
    # Spree's products have no http links: photos come from a folder.
    slow = Settings(models_file=tmp_path / "models.toml", quota_requests_per_day=1)
    found = prepare_order(replace(found.order, images=PHOTOS), slow)
    with pytest.raises(ImportRefused, match=f"ends on developer on {soon} .*takes until"):
        dry_run(found, slow, None)


def test_a_dry_run_says_what_it_can_not_know(tmp_path: Path) -> None:
    found = prepared(tmp_path, '  one: {prompt: "a"}\n')
    found = prepare_order(replace(found.order, images=PHOTOS), Settings())

    plan = dry_run(found, Settings(quota_images_per_minute=12), None)

    assert plan.renders == plan.by_size["1K"].renders == 12
    assert plan.seconds_at_quota == 60
    told = " ".join(plan.unknown)
    assert "refusals" in told
    assert "retries" in told
    assert "SKUSCENE_STORE is not set" in told
    assert "behind links" not in told
