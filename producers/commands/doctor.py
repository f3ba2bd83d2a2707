"""``skuscene doctor``: can an import run here, and what is to be done if not?"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from catalog.models import Model, UnknownModel, load_models
from catalog.money import Usd
from catalog.settings import examine_settings
from producers import display
from producers.diagnosis import Finding, concealed, diagnose, exit_of
from producers.exits import Exit

if TYPE_CHECKING:
    import argparse

    from catalog.settings import Settings

MOST = Usd.parse("0.10")
"""What ``--live`` may cost."""

_STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red", "skipped": "dim"}
_REFERENCES = 1
_SLACK_S = 60.0


def run_doctor(options: argparse.Namespace) -> int:
    """Run every check; with ``--live`` buy one picture as well."""
    reading = examine_settings()
    findings = []
    for finding in diagnose(reading.settings, reading.faults):
        findings.append(finding)
        if not options.json:
            _print(finding)
    files: tuple[str, ...] = ()
    if options.live:
        finding, files = _buy_unless_faulty(reading.settings, findings)
        findings.append(finding)
        if not options.json:
            _print(finding)
            sys.stdout.writelines(f"{file}\n" for file in files)
    code = exit_of(findings)
    if options.json:
        _print_json(findings, files, code)
    return code


def cheapest(model: Model) -> tuple[str, Usd]:
    """The size of a model's cheapest picture, and what to reserve for it with one reference."""
    priced = {
        size: model.reserve(references=_REFERENCES, size=size, lane="standard")
        for size in model.sizes
    }
    # The first of equals: sizes are listed from the smallest.
    size = min(priced, key=lambda one: priced[one])
    return size, priced[size]


def _buy_unless_faulty(
    settings: Settings, findings: list[Finding]
) -> tuple[Finding, tuple[str, ...]]:
    objection = _pools_objection(settings) or _objection(settings, findings)
    if objection is not None:
        return objection, ()
    model = load_models(settings.models_file).resolve(settings.model, platform=settings.platform)
    size, price = cheapest(model)
    display.say(f"buying one picture: {model.id}, {size}, about {price} USD")
    return _buy(model, size, settings)


def _pools_objection(settings: Settings) -> Finding | None:
    if settings.pools_file is None:
        return None
    return _refused(
        "nothing was bought: --live tries one key, and SKUSCENE_POOLS_FILE has several",
        "unset it for a try with GEMINI_API_KEY, or import one product",
    )


def _objection(settings: Settings, findings: list[Finding]) -> Finding | None:
    """Say why nothing is bought; ``None`` if one picture may be."""
    if any(one.outcome == "fault" and one.check.startswith("model") for one in findings):
        return _refused("nothing was bought: the model can't be asked", "mend it first")
    if importlib.util.find_spec("PIL") is None or importlib.util.find_spec("google") is None:
        return _refused(
            "nothing was bought: this installation has no worker",
            "install it with `pip install 'skuscene[worker]'`",
        )
    try:
        model = load_models(settings.models_file).resolve(
            settings.model, platform=settings.platform
        )
    except UnknownModel as exc:
        return _refused(f"nothing was bought: {exc.args[0]}", "")
    if model.is_preview:
        return _refused(
            "nothing was bought: preview draws on this machine",
            "name a model, for instance SKUSCENE_MODEL=nano-banana",
        )
    size, price = cheapest(model)
    if price > MOST:
        return _refused(
            f"nothing was bought: the cheapest picture of {model.id} ({size}) costs about "
            f"{price} USD, more than {MOST}",
            "name a cheaper model with SKUSCENE_MODEL; `skuscene models` lists prices",
        )
    return None


def _buy(model: Model, size: str, settings: Settings) -> tuple[Finding, tuple[str, ...]]:
    # A process of its own: producers load neither Pillow nor the model's SDK.
    command = [
        *(sys.executable, "-m", "worker.live", "--model", model.id, "--size", size),
        *("--most-micro-usd", str(MOST.micro), "--out", str(Path.cwd())),
    ]
    timeout_s = settings.model_deadline_s + _SLACK_S
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        message = f"no end within {timeout_s:g} s; a picture may have been sold"
        return _found("fault", message, "see the platform's console", Exit.FAILED), ()
    files = tuple(done.stdout.splitlines())
    said = concealed(" ".join(done.stderr.split()), settings)
    if done.returncode == 0:
        return _found("ok", said, "", Exit.DONE), files
    codes = {2: Exit.USAGE, 4: Exit.SERVICE}
    return _found("fault", said, "", codes.get(done.returncode, Exit.FAILED)), files


def _refused(message: str, advice: str) -> Finding:
    return _found("fault", message, advice, Exit.USAGE)


def _found(outcome: Any, message: str, advice: str, code: Exit) -> Finding:
    return Finding(check="live", outcome=outcome, message=message, advice=advice, exit=code)


def _print(finding: Finding) -> None:
    advice = f"; {finding.advice}" if finding.advice else ""
    display.out().print(
        Text.assemble(
            (f"{finding.outcome:<8}", _STYLES[finding.outcome]),
            f"{finding.check:<15} {finding.message}{advice}",
        )
    )


def _print_json(findings: list[Finding], files: tuple[str, ...], code: Exit) -> None:
    shape = {
        "exit": int(code),
        "checks": [finding.to_dict() for finding in findings],
        "live_files": list(files),
    }
    sys.stdout.write(json.dumps(shape, ensure_ascii=False, indent=2) + "\n")
