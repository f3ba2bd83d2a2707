"""When are two renders the same purchase, and what must never change that?"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from catalog.imports import PlannedSlot
from catalog.renders import RenderSpec, Spec, seed
from catalog.results import ReferenceUsed
from worker.prepare import spec_of

ROOT = Path(__file__).parents[3]
SPEC = RenderSpec(
    photos=("a" * 64, "b" * 64),
    prompt="The “Größe” lamp on a walnut sideboard 😀",
    model="gemini-nano-banana-2.1",
    size="1K",
    ratio="4:5",
    picture_no=1,
)
# Changing this buys every catalog again.
GOLDEN = "2e42f6544ccdea2d9ef05a2be6a640ec147a325e11e14836ce1410b64ccc5816"

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
specs = st.builds(
    RenderSpec,
    photos=st.lists(hashes, min_size=1, max_size=4).map(tuple),
    prompt=words,
    model=words,
    size=st.sampled_from(["512", "1K", "2K", "4K"]),
    ratio=st.sampled_from(["1:1", "4:5"]),
    picture_no=st.integers(1, 20),
)


@given(specs)
def test_equal_specs_are_the_same_purchase(spec: RenderSpec) -> None:
    same = RenderSpec(**dataclasses.asdict(spec))

    assert same.fingerprint == spec.fingerprint
    assert same.render_id == spec.fingerprint[:32]


@given(specs, specs)
def test_different_specs_are_different_purchases(one: RenderSpec, other: RenderSpec) -> None:
    assume(one != other)

    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"photos": ("a" * 64,)},
        {"photos": ("b" * 64, "a" * 64)},
        {"photos": ("a" * 64, "b" * 64, "c" * 64)},
        {"prompt": SPEC.prompt + " "},
        {"model": "gemini-nano-banana-2.2"},
        {"size": "2K"},
        {"ratio": "5:4"},
        {"picture_no": 2},
    ],
    ids="-".join,
)
def test_any_field_changed_is_another_purchase(change: dict[str, Any]) -> None:
    assert dataclasses.replace(SPEC, **change).fingerprint != SPEC.fingerprint


def test_every_field_of_a_spec_is_asked_for_above() -> None:
    assert {field.name for field in dataclasses.fields(RenderSpec)} == {
        "photos",
        "prompt",
        "model",
        "size",
        "ratio",
        "picture_no",
    }


def test_words_do_not_run_over_from_one_field_into_the_next() -> None:
    one = dataclasses.replace(SPEC, prompt='x","ratio":"1:1', ratio="")
    other = dataclasses.replace(SPEC, prompt="x", ratio="1:1")

    assert one.fingerprint != other.fingerprint


def test_the_fingerprint_is_what_it_has_always_been() -> None:
    assert SPEC.fingerprint == GOLDEN


FINGERPRINT = """
import json, sys
sys.path.insert(0, {root!r})
{before}
from catalog.renders import RenderSpec
asked = json.loads(sys.argv[1])
asked["photos"] = tuple(asked["photos"])
print(RenderSpec(**asked).fingerprint)
"""
WITHOUT_PILLOW = """
import builtins
load = builtins.__import__
def refuse(name, *args, **kwargs):
    if name.split(".")[0] == "PIL":
        raise AssertionError("Pillow was asked for")
    return load(name, *args, **kwargs)
builtins.__import__ = refuse
"""
ANOTHER_PILLOW = """
import types
pillow = types.ModuleType("PIL")
pillow.__version__ = {version!r}
sys.modules["PIL"] = pillow
"""


def fingerprint_elsewhere(before: str = "", environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-c", FINGERPRINT.format(root=str(ROOT), before=before)),
            json.dumps(dataclasses.asdict(SPEC)),
        ],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_every_process_finds_the_same_fingerprint(hash_seed: str) -> None:
    environment = {"PYTHONHASHSEED": hash_seed, "LC_ALL": "C", "TZ": "Asia/Tokyo"}

    assert fingerprint_elsewhere(environment=environment) == SPEC.fingerprint


def test_a_fingerprint_is_found_without_pillow() -> None:
    assert fingerprint_elsewhere(WITHOUT_PILLOW) == SPEC.fingerprint


@pytest.mark.parametrize("version", ["9.0.0", "99.1"])
def test_a_pillow_upgrade_changes_no_fingerprint(version: str) -> None:
    assert fingerprint_elsewhere(ANOTHER_PILLOW.format(version=version)) == SPEC.fingerprint


SLOT = PlannedSlot(
    index=0,
    slot="p-1/beach/1",
    sku="A-1",
    scene="beach",
    picture_no=1,
    prompt=SPEC.prompt,
    model=SPEC.model,
    size=SPEC.size,
    ratio=SPEC.ratio,
    photos=(0, 1),
    renditions=("web", "merchant"),
    cause="new",
)
PHOTO = ReferenceUsed(
    address="https://cdn.example/1.jpg",
    original_sha256="a" * 64,
    key="references/" + "1" * 64 + ".jpg",
    media_type="image/jpeg",
    width_px=2_048,
    height_px=1_365,
)


def asked(photo: ReferenceUsed = PHOTO, slot: PlannedSlot = SLOT) -> str:
    other = PHOTO.changed(original_sha256="b" * 64)
    return spec_of(slot, (photo, other)).fingerprint


def test_what_a_worker_asks_for_is_what_the_slot_says() -> None:
    assert asked() == SPEC.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        # What another decoder, encoder or bound would make of the same photo.
        {"key": "references/" + "2" * 64 + ".webp", "media_type": "image/webp"},
        {"width_px": 1_024, "height_px": 682},
        {"address": "https://other.example/moved.jpg"},
    ],
    ids="-".join,
)
def test_what_we_make_of_a_photo_changes_no_fingerprint(change: dict[str, Any]) -> None:
    assert asked(PHOTO.changed(**change)) == asked()


def test_another_photo_changes_the_fingerprint() -> None:
    assert asked(PHOTO.changed(original_sha256="c" * 64)) != asked()


@pytest.mark.parametrize(
    "change",
    [
        {"renditions": ("web",)},
        {"cause": "asked"},
        {"estimated_usd": 5},
        {"index": 9},
        {"scene": "renamed"},
    ],
    ids="-".join,
)
def test_what_is_not_asked_of_the_model_changes_no_fingerprint(change: dict[str, Any]) -> None:
    assert asked(slot=SLOT.changed(**change)) == asked()


def test_a_spec_comes_back_from_the_wire_as_the_same_purchase() -> None:
    wire = Spec.from_json(Spec.of(SPEC).to_json())

    assert wire.spec() == SPEC
    assert wire.spec().fingerprint == SPEC.fingerprint


def test_a_take_has_a_seed_and_a_retake_another_one() -> None:
    seeds = [seed(SPEC.fingerprint, take_no) for take_no in (1, 2, 3)]

    assert seeds == [seed(SPEC.fingerprint, take_no) for take_no in (1, 2, 3)]
    assert len(set(seeds)) == 3


@given(hashes, st.integers(1, 20))
def test_a_seed_fits_into_the_models_integer(fingerprint: str, take_no: int) -> None:
    assert 0 <= seed(fingerprint, take_no) < 2**31
