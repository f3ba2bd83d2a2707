"""Tests of the contact sheet's files."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest

from catalog import keys
from catalog.imports import Import
from catalog.results import Manifest, ResultLine, Status
from tests.support import finished_import as shapes
from worker.gallery.sheet import GalleryFile, build_gallery

HOSTILE = '</script><script>alert(1)</script><!-- & "it\'s" \u2028\u2029 \u202e $title'


def built(
    lines: list[ResultLine],
    *,
    imported: Import | None = None,
    manifest: Manifest | None = None,
    max_renders: int = 2_000,
) -> dict[str, GalleryFile]:
    files = build_gallery(
        imported or shapes.imported(),
        manifest or shapes.manifest(lines),
        iter(lines),
        max_renders=max_renders,
    )
    return {file.name: file for file in files}


def page_of(files: dict[str, GalleryFile]) -> str:
    return files["index.html"].content.decode()


def chunks(files: dict[str, GalleryFile]) -> list[list[dict[str, Any]]]:
    """What the data files hand to the page, in order."""
    return [
        json.loads(re.fullmatch(r"window\.skuscene\.chunk\(\d+, (.*)\);\n", text, re.DOTALL)[1])  # type: ignore[index]
        for name, text in sorted((name, file.content.decode()) for name, file in files.items())
        if name.startswith("data-")
    ]


def renders(files: dict[str, GalleryFile]) -> list[dict[str, Any]]:
    return [one for chunk in chunks(files) for product in chunk for one in product["renders"]]


def some_lines(products: int) -> list[ResultLine]:
    return [shapes.line(no, scene) for no in range(products) for scene in shapes.SCENES]


def test_the_same_import_gives_the_same_bytes() -> None:
    assert built(some_lines(30)) == built(some_lines(30))


def test_the_page_comes_after_the_data_that_it_names() -> None:
    files = list(build_gallery(*_whole(some_lines(600))))

    assert [file.name for file in files] == [
        "data-000.js", "data-001.js", "data-002.js", "index.html",
    ]  # fmt: skip
    assert re.findall(r'src="([^"]+)"', files[-1].content.decode()) == [
        "data-000.js", "data-001.js", "data-002.js",
    ]  # fmt: skip


def _whole(lines: list[ResultLine]) -> Any:
    return shapes.imported(), shapes.manifest(lines), iter(lines)


def test_media_types_are_those_of_pages_and_scripts() -> None:
    files = built(some_lines(1))

    assert files["index.html"].media_type == "text/html; charset=utf-8"
    assert files["data-000.js"].media_type == "text/javascript; charset=utf-8"


def test_every_render_stands_in_the_data_once() -> None:
    lines = some_lines(700)

    shown = [one["slot"] for one in renders(built(lines))]

    assert shown == [line.slot for line in lines]


def test_a_product_is_not_split_between_two_data_files() -> None:
    scenes = ("a", "b", "c")
    lines = [shapes.line(no, scene) for no in range(400) for scene in scenes]

    parts = chunks(built(lines, imported=shapes.imported(scenes=scenes)))

    assert len(parts) > 1
    assert all(len(product["renders"]) == 3 for part in parts for product in part)


def test_an_import_without_renders_has_a_page() -> None:
    files = built([])

    assert list(files) == ["index.html"]


def test_what_a_shop_wrote_can_not_end_a_script() -> None:
    lines = [shapes.line(1, title=HOSTILE, status=Status.FAILED, message=HOSTILE)]

    files = built(lines)

    data = files["data-000.js"].content
    assert data.isascii()
    assert b"<" not in data
    assert chunks(files)[0][0]["title"] == HOSTILE
    assert renders(files)[0]["message"] == HOSTILE


def test_what_a_shop_wrote_is_escaped_in_the_page() -> None:
    lines = [shapes.line(1)]
    imported = shapes.imported(catalog=HOSTILE).changed(reasons={HOSTILE: 1})
    imported = imported.changed(feed=imported.feed.changed(name=HOSTILE))

    page = page_of(
        built(lines, imported=imported, manifest=shapes.manifest(lines, catalog=HOSTILE))
    )

    assert "<script>alert" not in page
    assert page.count("&lt;/script&gt;&lt;script&gt;alert(1)") == 4
    assert page.count("<script") == 3


def test_the_policy_names_the_program_and_the_style_by_hash() -> None:
    page = page_of(built(some_lines(1)))

    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "unsafe" not in policy[1]
    assert policy[1].count("sha256-") == 2
    assert "http:" not in policy[1]


def test_nothing_is_loaded_from_elsewhere() -> None:
    files = built(some_lines(2))

    for file in files.values():
        text = file.content.decode().replace("xmlns='http://www.w3.org/2000/svg'", "")
        assert "://" not in text


def test_neither_addresses_of_photos_nor_prompts_are_shown() -> None:
    text = b"".join(file.content for file in built(some_lines(3)).values())

    assert b"token=hush" not in text
    assert b"Show {title}" not in text


def test_relative_links_lead_to_objects_of_the_store() -> None:
    lines = [*some_lines(5), shapes.line(9, status=Status.FAILED, reason="reference.not_found")]
    manifest = shapes.manifest(lines)

    files = built(lines, manifest=manifest)

    text = "".join(file.content.decode() for file in files.values())
    linked = {_resolved(link) for link in re.findall(r'"(\.\./[^"]+)"', text)}
    assert linked == shapes.named_keys(lines, manifest)


def _resolved(link: str) -> str:
    parts: list[str] = list(PurePosixPath(keys.gallery(shapes.IMPORT_ID)).parent.parts)
    for part in link.split("/"):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def test_a_render_shows_its_small_rendition_and_opens_its_larger_one() -> None:
    render = renders(built([shapes.line(1)]))[0]

    assert render["images"][render["thumb"]]["name"] == "web-512.webp"
    assert render["images"][render["view"]]["name"] == "web-1024.webp"


def test_without_web_renditions_another_file_is_shown() -> None:
    images = shapes.images_of("0" * 32)
    merchant_only = [image for image in images if not image.name.startswith("web")]

    render = renders(built([shapes.line(1, images=merchant_only)]))[0]

    assert render["images"][render["thumb"]]["name"] == "merchant-1500.jpg"
    assert render["images"][render["view"]]["name"] == "merchant-1500.jpg"


def test_a_render_without_pictures_carries_its_reason() -> None:
    line = shapes.line(1, status=Status.BLOCKED, reason="prompt.blocked", message="SAFETY")

    render = renders(built([line]))[0]

    assert (render["status"], render["reason"]) == ("blocked", "prompt.blocked")
    assert "thumb" not in render


def test_photos_that_renders_share_stand_once() -> None:
    both, one = shapes.reference("both"), shapes.reference("one")
    lines = [
        shapes.line(1, shapes.SCENES[0], references=[both, one]),
        shapes.line(1, shapes.SCENES[1], references=[one]),
    ]

    product = chunks(built(lines))[0][0]

    assert len(product["references"]) == 2
    assert [render["references"] for render in product["renders"]] == [[0, 1], [1]]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None, "<b>", {"a": [1]}])
def test_any_check_can_be_written(score: object) -> None:
    line = shapes.line(1).model_copy(update={"checks": {"odd": score}})

    shown = renders(built([line]))[0].get("checks", {})

    assert set(shown) == (set() if score is None else {"odd"})


def test_chips_count_what_is_shown() -> None:
    lines = [*some_lines(4), shapes.line(7, status=Status.FAILED), shapes.line(8, "on-the-moon")]

    page = page_of(built(lines))

    chips = re.findall(r'data-(?:status|scene)="([^"]+)".*?<span>(\d+)</span>', page)
    assert dict(chips) == {
        "succeeded": "9",
        "failed": "1",
        "kitchen-counter": "5",
        "studio-daylight": "4",
        "on-the-moon": "1",
    }


def test_the_header_says_what_was_rejected_and_how_long_it_took() -> None:
    lines = some_lines(2)
    manifest = shapes.manifest(lines, took=timedelta(hours=2, minutes=5))

    page = page_of(built(lines, manifest=manifest))

    assert ">2 rejected rows</a> (reference.missing 2)" in page
    assert "2 h 5 min" in page
    assert "22 November 2026, 11:20 UTC" in page
    assert "$0.156" in page


@pytest.mark.parametrize(
    ("took_s", "words"),
    [
        (0.4, "0 s"),
        (59.7, "1 min 0 s"),
        (79, "1 min 19 s"),
        (1_500, "25 min"),
        (7_500, "2 h 5 min"),
    ],
)
def test_a_duration_is_told_as_exactly_as_people_want_it(took_s: float, words: str) -> None:
    manifest = shapes.manifest([], took=timedelta(seconds=took_s))

    assert f"<dd>{words}</dd>" in page_of(built([], manifest=manifest))


@pytest.mark.parametrize(("preview", "hidden"), [(True, False), (False, True)])
def test_only_a_preview_is_called_one(*, preview: bool, hidden: bool) -> None:
    lines = some_lines(1)

    page = page_of(built(lines, manifest=shapes.manifest(lines, preview=preview)))

    assert ('class="badge preview" hidden' in page) is hidden


def test_a_sample_is_called_one() -> None:
    page = page_of(built(some_lines(20), max_renders=10))

    assert "A sample: 10 of 40 renders" in page
    assert "A sample" not in page_of(built(some_lines(20)))
