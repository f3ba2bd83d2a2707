from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from catalog.models import (
    Model,
    Platform,
    UnknownModel,
    is_answer_of,
    load_models,
    parse_models,
)
from catalog.money import Usd

TODAY = date(2026, 11, 22)
TABLE = load_models()


@dataclass(frozen=True)
class Counts:
    input_tokens: int = 0
    output_image_tokens: int = 0
    output_text_tokens: int = 0
    thought_tokens: int = 0


def model(model_id: str) -> Model:
    found = TABLE.find(model_id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("nano-banana", "gemini-nano-banana-2.1"),
        ("nano-banana-2", "gemini-3.1-flash-image"),
        ("nano-banana-pro", "gemini-3-pro-image"),
        ("nano-banana-lite", "gemini-3.1-flash-lite-image"),
        ("preview", "preview"),
        ("gemini-3-pro-image", "gemini-3-pro-image"),
        (" Nano-Banana ", "gemini-nano-banana-2.1"),
    ],
)
@pytest.mark.parametrize("platform", ["developer", "vertex"])
def test_an_alias_and_an_id_lead_to_the_model(name: str, model_id: str, platform: Platform) -> None:
    assert TABLE.resolve(name, platform=platform).id == model_id


def test_an_unknown_name_is_answered_with_the_close_ones_and_the_command() -> None:
    with pytest.raises(UnknownModel) as caught:
        TABLE.resolve("nano-bananna-2", platform="developer")

    assert "nano-banana-2" in str(caught.value)
    assert "`skuscene models`" in str(caught.value)


def test_a_retired_id_is_answered_with_its_end_and_its_successor() -> None:
    with pytest.raises(UnknownModel, match=r"ended on 2026-06-25 .*use gemini-3\.1-flash-image$"):
        TABLE.resolve("gemini-3.1-flash-image-preview", platform="vertex")


def test_only_the_offline_renderer_is_a_preview() -> None:
    assert [entry.id for entry in TABLE.models if TABLE.is_preview(entry.id)] == ["preview"]
    assert not TABLE.is_preview("unheard-of")


def test_an_alias_names_its_model_back() -> None:
    assert "nano-banana" in TABLE.aliases_of(model("gemini-nano-banana-2.1"), "developer")


@pytest.mark.parametrize("entry", TABLE.models, ids=lambda entry: entry.id)
def test_the_picture_of_every_ratio_but_one_comes_near_its_ratio(entry: Model) -> None:
    for ratio in entry.ratios:
        wide, high = map(int, ratio.split(":"))
        for size in entry.sizes:
            if (ratio, size) == ("21:9", "512"):  # documented as 792 x 168
                continue
            width_px, height_px = entry.pixels(ratio, size)
            assert width_px / height_px == pytest.approx(wide / high, rel=0.035)


def test_pixels_are_those_of_the_documentation() -> None:
    flash = model("gemini-3.1-flash-image")

    assert flash.pixels("4:5", "1K") == (928, 1152)
    assert flash.pixels("16:9", "4K") == (5504, 3072)
    assert flash.pixels("21:9", "512") == (792, 168)
    assert model("gemini-2.5-flash-image").pixels("3:2", "1K") == (1248, 832)


def test_a_picture_that_the_model_cannot_make_has_no_pixels() -> None:
    with pytest.raises(ValueError, match="has no size '512'"):
        model("gemini-nano-banana-2.1").pixels("1:1", "512")


def test_every_objection_is_said_at_once() -> None:
    objections = model("gemini-3-pro-image").objections(ratio="1:8", size="512", references=15)

    assert [word in text for word, text in zip(("512", "1:8", "15"), objections, strict=True)]
    assert model("gemini-3-pro-image").objections(ratio="4:5", size="4K", references=14) == ()


@pytest.mark.parametrize("ratio", ["5:7", "1:1", "100:1"])
@pytest.mark.parametrize("size", ["512", "1K", "2K", "4K"])
def test_the_offline_renderer_takes_every_ratio_and_size(ratio: str, size: str) -> None:
    width_px, height_px = model("preview").pixels(ratio, size)

    assert width_px % 8 == height_px % 8 == 0
    assert model("preview").objections(ratio=ratio, size=size, references=3) == ()


@pytest.mark.parametrize("ratio", ["", "1", "0:1", "1:0", "a:b", "1:1:1", "-1:2", "²:1"])
def test_no_model_takes_what_is_no_ratio(ratio: str) -> None:
    assert model("preview").objections(ratio=ratio, size="1K", references=0)


def test_a_reservation_counts_references_prompt_and_all_thinking() -> None:
    bought = model("gemini-nano-banana-2.1")

    alone = bought.reserve(references=0, size="1K", lane="standard")
    with_two = bought.reserve(references=2, size="1K", lane="standard")

    assert alone == Usd(33_600 + 300 * 3 // 2 + 300 * 15 // 2)
    assert with_two - alone == Usd(2 * 1_680)


def test_the_batch_lane_costs_half() -> None:
    bought = model("gemini-3.1-flash-image")

    standard = bought.reserve(references=3, size="2K", lane="standard")
    batch = bought.reserve(references=3, size="2K", lane="batch")

    assert standard.micro - 1 <= 2 * batch.micro <= standard.micro + 1


@pytest.mark.parametrize(
    ("model_id", "size", "usd"),
    [
        ("gemini-nano-banana-2.1", "1K", "0.0336"),
        ("gemini-nano-banana-2.1", "2K", "0.0504"),
        ("gemini-nano-banana-2.1", "4K", "0.0756"),
        ("gemini-3.1-flash-image", "512", "0.04482"),
        ("gemini-3.1-flash-image", "1K", "0.0672"),
        ("gemini-3.1-flash-lite-image", "1K", "0.0336"),
        ("gemini-3-pro-image", "2K", "0.1344"),
        ("gemini-3-pro-image", "4K", "0.24"),
        ("gemini-2.5-flash-image", "1K", "0.0387"),
        ("preview", "4K", "0"),
    ],
)
def test_a_picture_alone_costs_the_published_price(model_id: str, size: str, usd: str) -> None:
    assert model(model_id).cost(Counts(), size=size, lane="standard") == Usd.parse(usd)


def test_a_bill_is_made_of_the_tokens_that_were_reported() -> None:
    counts = Counts(
        input_tokens=2260, output_image_tokens=1120, output_text_tokens=10, thought_tokens=310
    )

    cost = model("gemini-nano-banana-2.1").cost(counts, size="4K", lane="standard")

    assert cost == Usd(3_390 + 33_600 + 320 * 15 // 2)


def test_a_bill_is_rounded_up_to_a_millionth() -> None:
    assert model("gemini-3.1-flash-lite-image").cost(
        Counts(input_tokens=1), size=None, lane="batch"
    ) == Usd(1)


def test_a_call_without_a_picture_costs_no_picture() -> None:
    cost = model("gemini-3-pro-image").cost(Counts(input_tokens=100), size=None, lane="standard")

    assert cost == Usd(200)


def test_sources_that_disagree_on_the_end_warn_and_do_not_refuse() -> None:
    lifecycle = TABLE.lifecycle(model("gemini-3.1-flash-image"), "developer", TODAY)

    assert lifecycle.refusal is None
    assert "deprecated since 2026-10-06; use gemini-nano-banana-2.1" in lifecycle.warnings[0]
    assert "2026-10-29" in lifecycle.warnings[1]
    assert "no date" in lifecycle.warnings[1]


def test_an_import_that_outlives_its_model_by_every_source_is_refused() -> None:
    flash = model("gemini-3.1-flash-image")

    assert TABLE.lifecycle(flash, "vertex", date(2027, 5, 27)).refusal is None
    refusal = TABLE.lifecycle(flash, "vertex", date(2027, 5, 28)).refusal
    assert refusal is not None
    assert "2027-05-28" in refusal
    assert "use gemini-nano-banana-2.1" in refusal


def test_a_near_end_warns_before_anybody_calls_the_model_deprecated() -> None:
    pro = model("gemini-3-pro-image")

    assert TABLE.lifecycle(pro, "vertex", TODAY).warnings == ()
    assert "2027-05-28" in TABLE.lifecycle(pro, "vertex", date(2027, 4, 1)).warnings[0]


def test_a_model_before_its_first_day_warns() -> None:
    lifecycle = TABLE.lifecycle(model("gemini-nano-banana-2.1"), "developer", date(2026, 10, 1))

    assert "available from 2026-10-06" in lifecycle.warnings[0]


def test_the_current_model_has_neither_warning_nor_refusal() -> None:
    current = TABLE.resolve("nano-banana", platform="developer")

    assert TABLE.lifecycle(current, "developer", TODAY) == TABLE.lifecycle(
        model("preview"), "vertex", TODAY
    )


def test_a_model_is_refused_on_a_platform_that_does_not_offer_it() -> None:
    only_vertex = model("preview").changed(platforms={"vertex": {}})

    refusal = TABLE.lifecycle(only_vertex, "developer", TODAY).refusal

    assert refusal == "preview is not offered on developer, only on vertex"


def test_every_price_and_every_end_says_where_and_when_it_was_read() -> None:
    for entry in TABLE.models:
        assert entry.prices.source
        for offer in entry.platforms.values():
            assert all(report.source and report.read for report in offer.shutdown)


def test_an_alias_that_leads_nowhere_is_an_error_of_the_table() -> None:
    text = _shipped().replace(
        '[aliases.nano-banana-2]\ndeveloper = "gemini-3.1-flash-image"',
        '[aliases.nano-banana-2]\ndeveloper = "gemini-9"',
    )

    with pytest.raises(ValueError, match="named, but not in the table: gemini-9"):
        parse_models(text)


def test_a_size_without_tokens_is_an_error_of_the_table() -> None:
    text = _shipped().replace('{ "1K" = 1290 }', '{ "2K" = 1290 }')

    with pytest.raises(ValueError, match="no output_image_tokens for size 1K"):
        parse_models(text)


def test_no_model_id_stands_in_the_code() -> None:
    root = Path(__file__).parents[3]
    ids = [entry.id for entry in TABLE.models if entry.id != "preview"]
    # The simulator plays the service, which knows its models by itself.
    sources = [
        path
        for package in ("catalog", "producers", "worker")
        for path in root.glob(f"{package}/**/*.py")
        if "simulator" not in path.parts
    ]

    assert sources
    assert [path for path in sources for name in ids if f'"{name}"' in path.read_text()] == []


def _shipped() -> str:
    import catalog.models

    return (Path(catalog.models.__file__).parent / "data" / "models.toml").read_text()


@pytest.mark.parametrize(
    ("answered", "is_same"),
    [
        ("gemini-3-pro-image", True),
        ("gemini-3-pro-image-001", True),
        ("models/gemini-3-pro-image", True),
        ("publishers/google/models/gemini-3-pro-image@002", True),
        ("", True),
        ("gemini-3-pro-image-preview", False),
        ("gemini-3-pro-image-0011", False),
        ("gemini-3-pro", False),
    ],
)
def test_a_version_is_the_same_model_and_another_name_is_not(answered: str, is_same: bool) -> None:
    assert is_answer_of("gemini-3-pro-image", answered) is is_same
