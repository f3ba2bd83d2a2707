"""Tests of the contact sheet in a real browser, opened from disk as a shop's team opens it."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catalog import keys
from catalog.results import ResultLine, Status
from tests.support import finished_import as shapes
from tests.support import pictures
from tests.support.browser import Browser, find_chromium
from worker.gallery.sheet import build_gallery

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = find_chromium()
HOSTILE = "<img src=x onerror=alert(1)></script><script>document.title='taken'</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def laid_out(root: Path, lines: list[ResultLine]) -> str:
    """A store's directory with the import in it; gives the page's address."""
    manifest = shapes.manifest(lines)
    jpeg, webp = pictures.jpeg(80, 100), pictures.webp(41, 51)
    for key in shapes.named_keys(lines, manifest):
        file = root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(webp if key.endswith(".webp") else jpeg)
    for made in build_gallery(shapes.imported(), manifest, iter(lines)):
        file = root / keys.gallery(shapes.IMPORT_ID, made.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made.content)
    return (root / keys.gallery(shapes.IMPORT_ID)).as_uri()


class SilentFiles(SimpleHTTPRequestHandler):
    """Serves a directory, as a bucket behind a web address does."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def autumn() -> list[ResultLine]:
    lines = [shapes.line(no, scene) for no in range(40) for scene in shapes.SCENES]
    lines[7] = shapes.line(
        3, shapes.SCENES[1], status=Status.FAILED, reason="reference.not_found", message="404"
    )
    lines[10] = shapes.line(5, title=HOSTILE)
    lines[11] = shapes.line(5, shapes.SCENES[1], title=HOSTILE)
    return lines


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(CHROMIUM or "") as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return laid_out(tmp_path_factory.mktemp("store"), autumn())


@pytest.fixture
def page(browser: Browser, address: str) -> Browser:
    browser.errors.clear()
    browser.open(address)
    return browser


def text(page: Browser, selector: str) -> str:
    return str(page.ask(f"document.querySelector({json.dumps(selector)}).textContent"))


def click(page: Browser, selector: str) -> None:
    page.ask(f"document.querySelector({json.dumps(selector)}).click()")


def test_the_page_shows_its_pictures_and_has_nothing_to_complain_of(page: Browser) -> None:
    page.wait_for("document.querySelector('.shot img').naturalWidth > 0")
    page.wait_for("document.querySelector('.reference img').naturalWidth > 0")

    assert text(page, "#count") == "80 renders of 40 products"
    assert page.errors == []


def test_the_page_works_from_a_web_server_too(browser: Browser, tmp_path: Path) -> None:
    laid_out(tmp_path, autumn())
    handler = partial(SilentFiles, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.open("about:blank")  # what the last page still loads is not ours
        browser.errors.clear()
        browser.open(f"http://127.0.0.1:{server.server_port}/{keys.gallery(shapes.IMPORT_ID)}")
        browser.wait_for("document.querySelector('.shot img').naturalWidth > 0")
        count = text(browser, "#count")
        errors = list(browser.errors)
        browser.open("about:blank")  # pictures that are on their way would miss the server
        server.shutdown()

    assert count == "80 renders of 40 products"
    assert errors == []


def test_a_hostile_title_stays_text(page: Browser) -> None:
    titles = page.ask("[...document.querySelectorAll('.product h2')].map((at) => at.textContent)")

    assert titles[5] == HOSTILE
    assert page.ask("document.title").startswith("autumn")
    assert page.ask("document.querySelectorAll('[onerror]').length") == 0


@pytest.mark.parametrize(
    "attempt",
    [
        "document.body.innerHTML = '<p onclick=alert(1)>'",
        "document.createElement('p').setAttribute('onclick', 'alert(1)')",
        "document.createElement('script').text = 'alert(1)'",
    ],
)
def test_the_policy_lets_no_text_become_a_program(page: Browser, attempt: str) -> None:
    stopped = page.ask(
        f"(() => {{ try {{ {attempt}; return '' }} catch (e) {{ return e.name }} }})()"
    )

    assert stopped == "TypeError"


def test_filters_leave_what_fits_both_kinds(page: Browser) -> None:
    click(page, "[data-status=failed]")

    assert text(page, "#count") == "1 render of 1 product"
    assert "reference.not_found" in text(page, ".shot")
    assert page.ask("document.querySelector('[data-status=failed]').ariaPressed") == "true"

    click(page, "[data-scene=kitchen-counter]")
    assert page.ask("!document.querySelector('#none').hidden")

    click(page, "#clear")
    assert text(page, "#count") == "80 renders of 40 products"
    assert page.ask("document.querySelectorAll('[aria-pressed=true]').length") == 0


@pytest.mark.parametrize("words", ["sku-0017", "SKU-0017-B", "product 17"])
def test_a_search_finds_skus_and_titles(page: Browser, words: str) -> None:
    page.type_in("#words", words)

    assert text(page, "#count") == "2 renders of 1 product"
    assert text(page, ".product h2") == "Product 17"


def test_trouble_can_be_sorted_to_the_front(page: Browser) -> None:
    page.ask(
        "{const s = document.querySelector('#sort'); s.value = 'status';"
        " s.dispatchEvent(new Event('change'))}"
    )

    assert text(page, ".product h2") == "Product 3"


def test_a_render_opens_large_beside_its_photo_and_keys_go_on(page: Browser) -> None:
    click(page, ".shot")
    page.wait_for("document.querySelector('#viewer-picture img').naturalWidth > 0")
    assert page.ask("document.querySelector('#viewer-picture img').src").endswith("web-1024.webp")
    assert page.ask("document.querySelectorAll('#viewer-references img').length") == 1
    assert text(page, "#viewer-at") == "1 of 80"

    page.press("ArrowRight")
    page.press("ArrowRight")
    page.press("ArrowLeft")
    assert text(page, "#viewer-at") == "2 of 80"

    page.press("Escape")
    page.wait_for("!document.querySelector('#viewer').open")
    page.wait_for("document.activeElement === document.querySelectorAll('.shot')[1]")
    assert page.errors == []


def test_a_failed_render_tells_what_to_do(page: Browser) -> None:
    click(page, "[data-status=failed]")
    click(page, ".shot")

    assert "Mend the link in the shop" in text(page, "#viewer-facts")


def test_a_view_can_be_sent_to_somebody(page: Browser, address: str) -> None:
    click(page, "[data-scene=studio-daylight]")
    click(page, ".shot")
    view = page.ask("location.hash")

    page.open(address + view)

    page.wait_for("document.querySelector('#viewer').open")
    assert text(page, "#viewer-at") == "1 of 40"


def test_more_products_are_drawn_on_the_way_down(page: Browser) -> None:
    page.resize(1280, 300)
    page.open(page.ask("location.href"))
    first = page.ask("document.querySelectorAll('.product').length")
    assert first < 40

    page.ask("scrollTo(0, document.body.scrollHeight)")
    page.wait_for(f"document.querySelectorAll('.product').length > {first}")
    page.ask("scrollTo(0, document.body.scrollHeight)")
    page.wait_for(
        "scrollTo(0, document.body.scrollHeight),"
        "document.querySelectorAll('.product').length === 40"
    )
    page.resize(1280, 900)


def test_a_phone_needs_no_sideways_scrolling(page: Browser) -> None:
    page.resize(390, 844, phone=True)

    assert page.ask("document.documentElement.scrollWidth") == 390

    page.resize(1280, 900)


def test_a_missing_data_file_is_named(browser: Browser, tmp_path: Path) -> None:
    address = laid_out(tmp_path, autumn())
    (tmp_path / keys.gallery(shapes.IMPORT_ID, "data-000.js")).unlink()

    browser.open(address)

    assert text(browser, "#trouble").startswith("1 of 1 data files")


def test_two_thousand_renders_never_hold_the_page_up(browser: Browser, tmp_path: Path) -> None:
    lines = [shapes.line(no, scene) for no in range(1_000) for scene in shapes.SCENES]
    manifest = shapes.manifest(lines)
    for made in build_gallery(shapes.imported(), manifest, iter(lines)):
        file = tmp_path / keys.gallery(shapes.IMPORT_ID, made.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(made.content)

    browser.open((tmp_path / keys.gallery(shapes.IMPORT_ID)).as_uri())
    search = (
        "(() => { const field = document.querySelector('#words'); field.value = 'product 9';"
        " const before = performance.now(); field.dispatchEvent(new Event('input'));"
        " return performance.now() - before })()"
    )
    took_ms = min(browser.ask(search) for _ in range(3))

    assert text(browser, "#count") == "542 renders of 271 products"
    # 10 ms here; room for a machine that does other things meanwhile.
    assert took_ms < 100
