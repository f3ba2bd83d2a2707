"""Is every dependency pinned by hash, and does no file say where it was fetched from?"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
# In pieces, or this file would name them.
HOSTS = tuple(
    first + second
    for first, second in (
        ("pypi", ".org"),
        ("pythonho", "sted.org"),
        ("pypi", "/simple"),
        ("registry.npm", "js.org"),
        ("extra-index", "-url"),
        ("index", "-url ="),
        ("find", "-links"),
    )
)


def entries(file: Path) -> list[str]:
    """The requirements of a file, each with its continuation lines."""
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def names(file: Path) -> set[str]:
    return {entry.split("==")[0] for entry in entries(file)}


def project_files() -> list[Path]:
    """What is, or could be, committed."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of the project's files")
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_the_three_sets_of_pins_are_there() -> None:
    assert [file.name for file in REQUIREMENTS] == ["dev.txt", "runtime.txt", "uv.txt"]


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_requirement_is_one_version_with_its_hashes(file: Path) -> None:
    shape = re.compile(r"[a-z0-9.\-]+==[\w.]+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+")

    unlike = [entry[:60] for entry in entries(file) if not shape.fullmatch(entry)]

    assert not unlike
    assert entries(file)


def test_what_the_image_installs_is_what_the_tests_ran_with() -> None:
    # Markers differ: dev.txt holds for more combinations.
    dev, runtime = (
        {(entry.split()[0], *re.findall(r"sha256:\w+", entry)) for entry in entries(file)}
        for file in REQUIREMENTS[:2]
    )

    assert runtime <= dev


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = list(project["project"]["dependencies"])
    for more in (project["project"]["optional-dependencies"], project["dependency-groups"]):
        declared += [line for lines in more.values() for line in lines]
    pinned = names(ROOT / "requirements" / "dev.txt")

    assert {re.split(r"[\[><=; ]", line)[0].replace("_", "-") for line in declared} <= pinned


def test_no_file_of_the_project_names_a_package_registry() -> None:
    found = []
    for file in project_files():
        text = file.read_bytes().decode("utf-8", errors="replace")
        found += [f"{file.relative_to(ROOT)}: {host}" for host in HOSTS if host in text]

    assert not found
