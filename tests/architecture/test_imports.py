"""Does a producer stay light, and does each side load without the other?"""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import catalog
import producers

ROOT = Path(__file__).parents[2]
HEAVY = ("PIL", "google.genai", "numpy", "worker")
CORE = ("commit", "errors", "feeder", "finish", "generate", "model", "prepare", "publish")

LOADED = """
import importlib, json, sys
loaded, before = {}, set()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    there = {heavy for heavy in json.loads(sys.argv[2]) if heavy in sys.modules}
    loaded[name] = sorted(there - before)
    before = there
print(json.dumps(loaded))
"""


def modules(package: str) -> list[str]:
    path = [str(ROOT / package)]
    found = [found.name for found in pkgutil.walk_packages(path, f"{package}.")]
    return [name for name in found if not name.endswith("__main__")]


def loaded_by(names: list[str], heavy: tuple[str, ...] = HEAVY) -> dict[str, list[str]]:
    """What each brings into a fresh interpreter, loaded one after another."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(names), json.dumps(heavy)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_command_line_loads_neither_pillow_nor_a_model_sdk() -> None:
    assert loaded_by(["producers.cli"]) == {"producers.cli": []}


def test_help_does_not_pay_for_redis_celery_and_boto3() -> None:
    services = ("redis", "celery", "kombu", "boto3", "botocore", "rich", "pydantic")

    assert loaded_by(["producers.cli"], services) == {"producers.cli": []}


@pytest.mark.parametrize("package", ["catalog", "producers"])
def test_no_module_of_a_producer_loads_pillow_a_model_sdk_or_the_worker(package: str) -> None:
    names = modules(package)

    loaded = loaded_by(names)

    assert len(names) > 10
    assert {name: heavy for name, heavy in loaded.items() if heavy} == {}


def test_the_core_of_the_worker_loads_no_bucket_no_pixels_and_no_model() -> None:
    names = [f"worker.{name}" for name in CORE]

    loaded = loaded_by(names, ("boto3", "botocore", "PIL", "numpy", "google.genai", "producers"))

    assert {name: heavy for name, heavy in loaded.items() if heavy} == {}


def test_the_worker_loads_no_producer() -> None:
    loaded = loaded_by(modules("worker"), ("producers",))

    assert {name: heavy for name, heavy in loaded.items() if heavy} == {}


def test_the_two_packages_are_the_ones_that_were_looked_at() -> None:
    assert Path(str(producers.__file__)).parent == ROOT / "producers"
    assert Path(str(catalog.__file__)).parent == ROOT / "catalog"
