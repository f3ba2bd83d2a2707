"""What does a whole Skuscene look like in a test? Real processes, started, asked and stopped.

A private Redis, a real S3 server or a directory, the simulator as a process of its own, and
workers under their supervisor; the command line is run as a person runs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from producers.embedded import private_redis
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BUCKET = "pictures"
AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_OURS = ("SKUSCENE_", "GEMINI_", "GOOGLE_", "AWS_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


@dataclass(slots=True, kw_only=True)
class House:
    """Where everything runs, and how to use it."""

    folder: Path
    variables: dict[str, str]
    simulator_url: str | None = None

    def skuscene(self, *arguments: str, timeout_s: float = 100.0) -> Ran:
        """Run a command as a person would."""
        done = subprocess.run(
            [sys.executable, "-m", "producers", *arguments],
            env=self.variables,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def books(self) -> dict[str, Any]:
        """What the simulator sold."""
        with urllib.request.urlopen(f"{self.simulator_url}/_sim/books", timeout=10) as reply:
            return dict(json.load(reply))

    def script(self, *outcomes: Mapping[str, Any]) -> None:
        """Tell the simulator what to answer next."""
        self._tell("script", list(outcomes))

    def latency(self, seconds: float) -> None:
        """Tell the simulator how long to think."""
        self._tell("latency", {"latency_s": seconds})

    def limits(self, *rules: str) -> None:
        """Tell the simulator which limits hold from now on."""
        self._tell("limits", list(rules))

    def _tell(self, what: str, content: Any) -> None:
        request = urllib.request.Request(
            f"{self.simulator_url}/_sim/{what}",
            data=json.dumps(content).encode(),
            headers={"content-type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    @contextlib.contextmanager
    def workers(
        self, *, wait_ready: bool = True, **settings: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run all four stages under their supervisor while the block runs."""
        log = self.folder / "workers.log"
        log.touch()
        ready = log.read_text().count("worker_ready") + 4
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "producers", "worker"],
                env={**self.variables, **settings},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                if wait_ready:
                    wait_for(
                        lambda: log.read_text().count("worker_ready") >= ready,
                        timeout_s=30.0,
                        what="four stages ready",
                    )
                yield process
            finally:
                stop(process)


@contextlib.contextmanager
def house(
    folder: Path, *, store: str = "directory", simulator: bool = True, **settings: str
) -> Iterator[House]:
    """Run a private Redis, a store and (if asked) the simulator."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(private_redis(append_only=False))
        variables = _clean_environment()
        variables |= {
            "SKUSCENE_REDIS_URL": server.url,
            "SKUSCENE_RECONCILE_EVERY_S": "1",
            "SKUSCENE_RETRY_BACKOFF_S": "0.2",
            "SKUSCENE_GENERATE_CONCURRENCY": "8",
            "SKUSCENE_FINISH_CONCURRENCY": "1",
            "SKUSCENE_SPOOL_DIR": str(folder / "spool"),
            "GEMINI_API_KEY": "test-key",
        }
        if store == "s3":
            variables |= {
                **AWS,
                "AWS_ENDPOINT_URL_S3": stack.enter_context(s3_server(folder)),
                "SKUSCENE_STORE": f"s3://{BUCKET}/shop",
            }
        else:
            variables["SKUSCENE_STORE"] = (folder / "store").as_uri()
        url = stack.enter_context(simulator_process(folder)) if simulator else None
        if url is not None:
            variables["GOOGLE_GEMINI_BASE_URL"] = url
        yield House(folder=folder, variables={**variables, **settings}, simulator_url=url)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


@contextlib.contextmanager
def simulator_process(folder: Path, *arguments: str) -> Iterator[str]:
    """Run the simulator; yields its address."""
    command = [sys.executable, "-m", "worker.simulator", "--port", "0", "--latency-s", "0"]
    with (folder / "simulator.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    with process.stdout as said:
        try:
            ready = said.readline().decode()
            assert ready.startswith("simulator ready on "), ready
            yield ready.removeprefix("simulator ready on ").strip()
        finally:
            stop(process)


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run moto's S3 server with an empty bucket; yields its address."""
    port = free_port()
    with (folder / "moto.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _listens(port), timeout_s=30.0, what="the S3 server listening")
        request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
        with urllib.request.urlopen(request, timeout=10):
            pass
        yield url
    finally:
        stop(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, gently if it lets us."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
