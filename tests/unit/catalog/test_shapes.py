"""Do the JSON shapes have the fields that the design promises, in its order, and no others?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.renders import Purchase, RenderRecord
from catalog.results import ImportStatus, Manifest, RenderCounts, ResultLine, Status
from catalog.schemas import SHAPES
from catalog.wire import Wire
from tests.support.shapes import BLOCKED, EXAMPLES, ID, PURCHASE, RESULT, SHA


def written(name: str) -> Any:
    return json.loads(EXAMPLES[name].to_json())


def in_order(promised: tuple[str, ...], fields: dict[str, Any]) -> bool:
    return tuple(field for field in fields if field in promised) == promised


# -- what the design names (6.3, 6.4) --------------------------------------------------------


def test_a_result_line_has_the_promised_fields() -> None:
    promised = (
        *("schema", "import_id", "row", "sku", "skus", "product_id", "title", "scene"),
        *("picture_no", "locale", "status", "reason", "render_id", "images", "cost_usd"),
        *("provenance", "checks", "attempts"),
    )

    line = written("result")

    assert in_order(promised, line)
    assert set(line) - set(promised) == {"slot", "photos", "cause", "message"}
    assert line["schema"] == "skuscene.result/1"


def test_an_image_has_the_promised_fields() -> None:
    promised = (*("role", "name", "key", "sha256", "bytes", "width_px", "height_px", "media_type"),)

    master, rendition = written("result")["images"]

    assert tuple(master) == promised
    assert tuple(rendition) == (*promised, "url"), "only with SKUSCENE_PUBLIC_BASE_URL set"
    assert (master["role"], rendition["role"]) == ("master", "rendition")


def test_a_line_without_a_picture_has_every_field_too() -> None:
    line = json.loads(BLOCKED.to_json())

    assert list(line) == list(written("result"))
    assert (line["images"], line["cost_usd"], line["provenance"]) == ([], 0.0, None)
    assert (line["status"], line["reason"], line["locale"]) == ("blocked", "prompt.blocked", None)


def test_a_render_ends_in_one_of_six_ways() -> None:
    assert [status.value for status in Status] == [
        "succeeded",
        "reused",
        "review",
        "blocked",
        "failed",
        "cancelled",
    ]


def test_a_manifest_has_the_promised_fields() -> None:
    manifest = written("manifest")

    assert in_order(("schema", "import_id", "revision", "state", "counts", "parts"), manifest)
    assert manifest["schema"] == "skuscene.manifest/1"
    assert {"rows", "bytes", "sha256", "key"} <= set(manifest["parts"][0])
    assert list(manifest["cost_usd"]) == ["estimated", "spent", "doubtful"]


def test_the_status_has_the_promised_fields_and_no_others() -> None:
    status = written("status")

    assert list(status) == [
        *("import_id", "state", "reason", "products", "rows", "renders", "cost_usd", "shards"),
        *("started_at", "finished_at", "eta_s"),
    ]
    assert list(status["rows"]) == ["read", "rejected"]
    assert list(status["renders"]) == [
        *("expected", "succeeded", "reused", "review", "blocked", "failed", "cancelled", "open"),
    ]
    assert list(status["cost_usd"]) == ["estimated", "spent", "doubtful"]
    assert list(status["shards"]) == ["total", "committed"]


@pytest.mark.parametrize(
    "state", ["planning", "running", "paused", "publishing", "complete", "cancelled"]
)
def test_an_import_is_in_one_of_six_states(state: str) -> None:
    status = EXAMPLES["status"].changed(state=state)

    assert ImportStatus.from_json(status.to_json()) == status


def test_a_dry_run_has_the_promised_fields() -> None:
    promised = (
        *("format", "encoding", "rows", "products", "variants", "with_reference", "rejected"),
        *("reasons", "renders", "estimate_usd", "warnings"),
    )

    found = written("dry-run")

    assert in_order(promised, found)
    assert set(found) - set(promised) == {
        *("causes", "model", "estimate_range_usd", "estimate_basis", "by_size"),
        *("seconds_at_quota", "unknown"),
    }
    assert found["estimate_usd"] == {"standard": 0.14, "batch": 0.07}


def test_intent_says_what_by_whom_and_when() -> None:
    assert list(written("control")) == [
        *("schema", "import_id", "intent", "reason", "message", "budget_usd", "priority"),
        *("revision", "by", "at"),
    ]


def test_every_file_in_the_store_says_what_it_is() -> None:
    printed = {"status", "dry-run", "costs"}
    lines_of_a_shard = {"plan"}

    assert {name: written(name)["schema"] for name in set(SHAPES) - printed - lines_of_a_shard} == {
        name: f"skuscene.{name}/1" for name in set(SHAPES) - printed - lines_of_a_shard
    }


# -- all shapes ------------------------------------------------------------------------------


def test_there_is_an_example_of_every_shape() -> None:
    assert set(EXAMPLES) == set(SHAPES)
    assert all(type(EXAMPLES[name]) is shape for name, shape in SHAPES.items())


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_shape_survives_its_way_through_json(example: Wire) -> None:
    assert type(example).from_json(example.to_json()) == example
    assert type(example).from_json(example.to_json(indent=2)) == example


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_shape_refuses_a_field_that_it_does_not_know(example: Wire) -> None:
    surprising = {**json.loads(example.to_json()), "surprise": 1}

    with pytest.raises(ValidationError, match="surprise"):
        type(example).from_json(json.dumps(surprising))


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_shape_does_not_change(example: Wire) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        example.schema_ = "other"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["result", "manifest", "record", "control", "import"])
def test_a_shape_of_another_version_is_not_read(name: str) -> None:
    newer = {**written(name), "schema": f"skuscene.{name}/2"}

    with pytest.raises(ValidationError, match="schema"):
        type(EXAMPLES[name]).from_json(json.dumps(newer))


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_shape_is_one_line_of_utf_8(example: Wire) -> None:
    assert b"\n" not in example.to_json()
    assert example.to_json().decode()


def test_a_changed_copy_is_checked_again() -> None:
    assert RESULT.changed(status="reused").status is Status.REUSED

    with pytest.raises(ValidationError):
        RESULT.changed(status="sold")


@pytest.mark.parametrize("import_id", ["", "../x", "a/b", ".hidden", "a b", "Größe", "x" * 101])
def test_an_import_id_is_safe_in_a_key(import_id: str) -> None:
    with pytest.raises(ValidationError):
        RESULT.changed(import_id=import_id)


def test_a_time_without_a_zone_is_refused() -> None:
    naive = {**written("control"), "at": "2026-11-22T10:15:00"}

    with pytest.raises(ValidationError, match="timezone"):
        type(EXAMPLES["control"]).from_json(json.dumps(naive))


# -- what can be asked of a shape ------------------------------------------------------------


def test_settled_is_what_is_not_open() -> None:
    assert RenderCounts(expected=9, succeeded=4, failed=2, open=3).settled == 6


def test_a_record_names_its_chosen_take() -> None:
    record = EXAMPLES["record"]
    assert isinstance(record, RenderRecord)

    assert record.chosen.purchase == PURCHASE


def test_a_purchase_is_rebuilt_from_the_metadata_of_its_take() -> None:
    metadata = PURCHASE.to_metadata()

    assert Purchase.from_metadata(metadata) == PURCHASE
    assert all(value.isascii() for value in metadata.values())


def test_the_largest_purchase_fits_into_s3s_metadata() -> None:
    largest = PURCHASE.changed(
        import_id="i" * 100,
        claim=f"{'i' * 100}/99999/99999",
        model_asked="m" * 100,
        model_answered="m" * 100,
        response_id="r" * 200,
        micro_usd=10**9,
        softened=3,
        prompt_sha256=SHA,
    )

    metadata = largest.to_metadata()

    assert sum(len(name) + len(value) for name, value in metadata.items()) < 2_000


@pytest.mark.parametrize(
    ("name", "only_softened"),
    [
        ("record", ("softened", "prompt_sent")),
        ("refused", ("final",)),
        ("ledger", ("softened",)),
        ("plan", ("softer",)),
    ],
)
def test_what_needed_no_softer_prompt_is_written_as_it_always_was(
    name: str, only_softened: tuple[str, ...]
) -> None:
    content = EXAMPLES[name].to_json().decode()

    assert not any(f'"{field}"' in content for field in only_softened)
    assert "softened" not in PURCHASE.to_metadata()["purchase"]
    assert '"softened"' not in RESULT.to_json().decode()


@pytest.mark.parametrize("metadata", [{}, {"purchase": ""}, {"purchase": "{}"}, {"other": "x"}])
def test_an_object_without_a_purchase_is_said_to_have_none(metadata: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Purchase.from_metadata(metadata)


def test_a_purchase_tells_its_price_as_money() -> None:
    assert str(PURCHASE.cost_usd) == "0.0679"


def test_a_manifest_reads_back_what_readers_rely_on() -> None:
    manifest = Manifest.from_json(EXAMPLES["manifest"].to_json())

    assert (manifest.import_id, manifest.counts.expected) == (ID, 2)
    assert manifest.parts[0].sha256 == SHA


def test_a_result_line_reads_back_whole() -> None:
    assert ResultLine.from_json(RESULT.to_json()).images == RESULT.images
