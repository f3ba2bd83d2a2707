"""Is what the README shows there: commands, links, settings, code?"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from catalog.settings import Settings, variables
from producers import cli
from worker.simulator.__main__ import _parser as simulator_parser

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/manifest.md",
    "docs/operations.md",
    "producers/demo/README.md",
)
NAME_ONLY = 2
README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`(skuscene [^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return [body for found, body in _BLOCK.findall(text) if found == language]


def prompted(text: str) -> list[list[str]]:
    """The words of every command that stands after a prompt; comments and settings go."""
    joined = "\n".join(blocks(text, "console")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]
    return [without_settings(shlex.split(line, comments=True)) for line in lines]


def inline(text: str) -> list[list[str]]:
    """The words of every command in running text; a verb alone is a name, and is asked for help."""
    found = [shlex.split(one) for one in _INLINE.findall(_BLOCK.sub("", text))]
    return [words if len(words) > NAME_ONLY else [*words, "--help"] for words in found]


def without_settings(words: list[str]) -> list[str]:
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    return words


def commands(page: str) -> list[list[str]]:
    text = text_of(page)
    return [words for words in prompted(text) + inline(text) if words[:1] == ["skuscene"]]


def is_understood(words: list[str]) -> bool:
    """Whether the command line takes the words, as ``producers.cli.main`` reads them."""
    try:
        options, rest = cli.build_parser().parse_known_args(words)
        if options.verb == "simulator":
            simulator_parser().parse_args(rest)
    except SystemExit as exc:
        # --help and --version end with 0.
        return exc.code == 0
    return not rest or options.passes_on


def anchors(text: str) -> set[str]:
    """The names by which a page's headings are linked."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_understood(page: str) -> None:
    strange = [shlex.join(words) for words in commands(page) if not is_understood(words[1:])]

    assert strange == []


def test_the_readme_shows_the_commands_that_a_newcomer_needs() -> None:
    shown = {words[1] for words in prompted(README) if words[:1] == ["skuscene"]}

    assert shown >= {"simulator", "worker", "doctor", "import", "status", "verify", "gallery"}


@pytest.mark.parametrize("page", PAGES)
def test_no_page_tells_to_run_a_command_that_is_not_built(page: str) -> None:
    told = {words[1] for words in prompted(text_of(page)) if words[:1] == ["skuscene"]}

    assert told.isdisjoint(cli._LATER)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_into_the_repository_leads_somewhere(page: str) -> None:
    text = text_of(page)
    missing = []
    for link in _LINK.findall(_BLOCK.sub("", text)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path) if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            missing.append(link)

    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_a_page_names_exists(page: str) -> None:
    known = {name for field in Settings.model_fields for name in variables(field)}

    named = set(re.findall(r"\bSKUSCENE_[A-Z0-9_]*[A-Z0-9]\b", text_of(page)))

    assert named <= known


@pytest.mark.parametrize("page", ["README.md", "docs/manifest.md"])
def test_the_python_of_a_page_compiles_and_imports_what_exists(page: str) -> None:
    shown = blocks(text_of(page), "python")

    assert shown
    for source in shown:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


def test_the_python_of_the_readme_uses_what_the_api_has() -> None:
    from producers.api import Order, Skuscene

    (source,) = blocks(README, "python")
    called = set(re.findall(r"\bshop\.(\w+)\(", source))
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    (order,) = [call for call in calls if ast.unparse(call.func) == "Order"]

    assert called
    assert {name for name in called if not hasattr(Skuscene, name)} == set()
    assert {keyword.arg for keyword in order.keywords} <= set(Order.__dataclass_fields__)


def test_the_readme_lists_the_tasks_that_there_are() -> None:
    listed = subprocess.run(
        ["sh", str(ROOT / "dev"), "help"], capture_output=True, text=True, timeout=30, check=True
    )

    assert f"$ make\n{listed.stdout}```" in README
