"""``skuscene parked``: look at messages that could not be read, and replay them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from catalog.reading import Unreadable
from catalog.settings import read_settings
from producers import display
from producers.exits import Exit
from producers.failures import UsageError
from producers.parked import Parked, named, parked, replay
from producers.services import reach, reach_store

if TYPE_CHECKING:
    import argparse

    from producers.services import Services

_SHOWN_TASK = 40
_SHOWN_WHY = 120


def run_list(options: argparse.Namespace) -> int:
    """Print a line for each parked message."""
    store = reach_store(read_settings())
    found = parked(store, task=options.task)
    if options.json:
        sys.stdout.write(json.dumps([_facts(one) for one in found], indent=2) + "\n")
        return Exit.DONE
    lines = 0
    for one in found:
        sys.stdout.write(f"{_line(one)}\n")
        lines += 1
    if not lines:
        display.say(_nothing(options.task))
    return Exit.DONE


def run_show(options: argparse.Namespace) -> int:
    """Print one parked message whole, as JSON."""
    store = reach_store(read_settings())
    (one,) = named(store, [options.name])
    if one.message is None:
        display.say(str(one.fault))
        return Exit.FAILED
    sys.stdout.write(one.message.to_json(indent=2).decode() + "\n")
    return Exit.DONE


def run_replay(options: argparse.Namespace) -> int:
    """Enqueue parked messages again."""
    if bool(options.names) == options.all:
        msg = "name the messages to replay, or say --all"
        raise UsageError(msg)
    if options.task and not options.all:
        msg = "--task chooses among all: use it with --all"
        raise UsageError(msg)
    services = reach(read_settings())
    store = services.store
    found = named(store, options.names) if options.names else parked(store, task=options.task)
    replayed = [_replayed(one, services) for one in found]
    if not replayed:
        display.say(_nothing(options.task))
    return Exit.DONE if all(replayed) else Exit.FAILED


def _replayed(one: Parked, services: Services) -> bool:
    try:
        replay(one, services)
    except Unreadable as exc:
        display.say(f"{one.name} stays parked: {_safe(str(exc))}")
        return False
    sys.stdout.write(f"{one.name} replayed\n")
    return True


def _nothing(task: str | None) -> str:
    return f"nothing is parked for {_safe(task)}" if task else "nothing is parked"


def _facts(one: Parked) -> dict[str, Any]:
    message = one.message
    return {
        "name": one.name,
        "task": message.task if message else None,
        "queue": message.queue if message else None,
        "at": message.at.isoformat() if message else None,
        "why": message.why if message else one.fault,
        "worker": message.worker if message else None,
        "size_bytes": one.size_bytes,
    }


def _line(one: Parked) -> str:
    message = one.message
    at = message.at.isoformat(timespec="seconds") if message else "-"
    task = _cut(_safe(message.task if message else "") or "-", _SHOWN_TASK)
    why = _cut(_safe(message.why if message else str(one.fault)), _SHOWN_WHY)
    return f"{one.name}  {task}  {at}  {_size(one.size_bytes)}  {why}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _safe(text: str) -> str:
    """The text on one line, without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


def _size(size_bytes: int) -> str:
    for limit, unit in ((1e6, "MB"), (1e3, "kB")):
        if size_bytes >= limit:
            return f"{size_bytes / limit:.1f} {unit}"
    return f"{size_bytes} B"
