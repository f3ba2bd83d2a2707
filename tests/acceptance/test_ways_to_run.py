"""The same job by other doors: a plain Celery worker, an admin script, a light installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from catalog.settings import read_settings
from producers.api import Order, Skuscene
from tests.support.running import House, house, stop

pytestmark = pytest.mark.acceptance

FEED = Path(__file__).parent.parent / "data" / "feeds" / "spree" / "products.csv"
PHOTOS = Path(__file__).parent.parent.parent / "producers" / "demo" / "photos"

# Whatever imports one of these fails, as it does where the worker extra is not installed.
WITHOUT_WORKER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"PIL", "numpy", "google", "httpx2"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Absent())
from producers.cli import main
sys.exit(main(sys.argv[1:]))
"""


def order(*more: str) -> tuple[str, ...]:
    """An import of three products."""
    return ("import", str(FEED), "--images", str(PHOTOS), "--limit", "3", *more)


def test_one_plain_celery_worker_does_the_whole_job(tmp_path: Path) -> None:
    with house(tmp_path) as shop:
        with (tmp_path / "celery.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "worker", "worker", "-c", "2"],
                env=shop.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            ran = shop.skuscene(*order("--wait", "--json"))
        finally:
            stop(worker)

        assert ran.json()["state"] == "complete", ran.err
        assert ran.json()["renders"]["succeeded"] == 3
        assert shop.books()["sold"] == 3


def test_an_installation_without_the_worker_can_import_and_enqueue(tmp_path: Path) -> None:
    with house(tmp_path) as shop:
        enqueued = light(shop, *order("--id", "one"))
        refused = light(shop, "worker")
        with shop.workers():
            finished = shop.skuscene("status", "one", "--watch", "--json")

        assert enqueued.returncode == 3, enqueued.stderr
        assert refused.returncode == 2
        assert "skuscene[worker]" in refused.stderr
        assert finished.json()["renders"]["succeeded"] == 3
        assert shop.books()["sold"] == 3


def light(shop: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where Pillow, numpy and the SDK are absent."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_WORKER, *arguments],
        env=shop.variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_admin_script_starts_waits_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house(tmp_path) as shop, shop.workers():
        for name, value in shop.variables.items():
            monkeypatch.setenv(name, value)
        api = Skuscene(read_settings())
        asked = Order(feed=FEED, images=PHOTOS, limit=2)

        plan = api.dry_run(asked)
        started = api.start(asked)
        status = api.wait(started.import_id, timeout_s=60)

        assert plan.renders == started.counts.renders == 2
        assert plan.estimate_usd.batch < plan.estimate_usd.standard
        assert status.state == "complete"
        assert started.import_id in api.imports()
        assert api.manifest(started.import_id).counts.succeeded == 2
        assert api.verify(started.import_id).holds
        assert shop.books()["sold"] == 2


def test_pause_stops_sending_and_resume_goes_on(tmp_path: Path) -> None:
    with house(tmp_path) as shop:
        shop.skuscene(*order("--id", "one"))
        shop.skuscene("pause", "one")
        with shop.workers():
            paused = shop.skuscene("status", "one", "--watch", "--json")
            nothing_sold = shop.books()["calls"]
            resumed = shop.skuscene("resume", "one")
            finished = shop.skuscene("status", "one", "--watch", "--json")

        assert paused.json()["state"] == "paused"
        assert paused.json()["reason"] == "asked"
        assert nothing_sold == 0
        assert resumed.code == 0
        assert finished.json()["renders"]["succeeded"] == 3
        assert shop.books()["sold"] == 3


def test_a_dry_run_needs_no_service_and_tells_the_price(tmp_path: Path) -> None:
    bare = House(folder=tmp_path, variables={"PATH": "", "HOME": str(tmp_path)})

    ran = bare.skuscene(*order("--dry-run", "--json"))

    plan = ran.json()
    assert ran.code == 3, ran.err
    assert list(plan)[:8] == [
        *("format", "encoding", "rows", "products", "variants", "with_reference"),
        *("rejected", "reasons"),
    ]
    assert plan["renders"] == 3
    assert 0 < plan["estimate_usd"]["batch"] < plan["estimate_usd"]["standard"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["rerender", "approve", "reject", "watch"])
def test_a_verb_that_is_not_built_yet_says_so(tmp_path: Path, verb: str) -> None:
    ran = House(folder=tmp_path, variables={"PATH": ""}).skuscene(verb, "ID")

    assert ran.code == 2
    assert "not built yet" in ran.err
