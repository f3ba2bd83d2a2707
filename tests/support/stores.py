"""Which S3 servers do tests use, and how is a reply lost on the way?

moto's server for the everyday, ministack where races and checksums matter (moto checks no
checksum). Both are always found: they come with the development environment.
"""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from catalog.store.s3 import S3Options, S3Store
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_ID = "test"
SECRET = "test"
REGION = "us-east-1"


@contextmanager
def running_moto() -> Iterator[str]:
    """Run moto's server in this process; yields its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def running_ministack() -> Iterator[str]:
    """Run ministack's S3 as a process of its own; yields its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sks-ministack-") as folder:
        log = Path(folder) / "ministack.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [_script("ministack")],
                cwd=folder,
                env={
                    **os.environ,
                    "BIND_HOST": "127.0.0.1",
                    "GATEWAY_PORT": str(port),
                    "SERVICES": "s3",
                    "TMPDIR": folder,
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            _await_answer(f"http://127.0.0.1:{port}/_ministack/health", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def s3_environment(endpoint: str) -> dict[str, str]:
    """Variables that lead boto3 to a test server, and to nothing else."""
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def s3_client(endpoint: str) -> Any:
    """A client of the test server, beside the one that is tested."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}),
    )


def new_bucket(endpoint: str) -> str:
    """Make a bucket nobody else uses; returns its name."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_client(endpoint).create_bucket(Bucket=bucket)
    return bucket


def opened(endpoint: str, bucket: str, prefix: str = "shop", **options: float) -> S3Store:
    """A store of ours in a bucket; its client is made now, whatever the environment says later."""
    store = S3Store(bucket, prefix, S3Options(**options))  # type: ignore[arg-type]
    before = dict(os.environ)
    os.environ.update(s3_environment(endpoint))
    try:
        assert store._client
    finally:
        os.environ.clear()
        os.environ.update(before)
    return store


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


class LosingProxy:
    """Passes bytes to a server and back, and loses what it is told to lose.

    ``lose`` counts requests whose reply is dropped after the server has done its work: the
    connection just closes.
    """

    def __init__(self, endpoint: str) -> None:
        self.lose = 0
        self.lost = 0
        parts = urlsplit(endpoint)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._server = _server(self._pass_on)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        """Where the proxy listens."""
        port = self._server.server_address[1]
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _pass_on(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            back = threading.Thread(target=self._pass_back, args=(server, client))
            back.start()
            _pump(client, server)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join()

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while reply := server.recv(65_536):
                # "100 Continue" is the server asking for the body, not its answer.
                if self.lose and not reply.startswith(b"HTTP/1.1 100"):
                    self.lose -= 1
                    self.lost += 1
                    break
                client.sendall(reply)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def losing_proxy(endpoint: str) -> Iterator[LosingProxy]:
    """Run a :class:`LosingProxy` before a server."""
    proxy = LosingProxy(endpoint)
    try:
        yield proxy
    finally:
        proxy.close()


def _server(handle: Any) -> socketserver.ThreadingTCPServer:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            handle(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    return Server(("127.0.0.1", 0), Handler)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)


def _script(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing: run `./dev setup`"
    return found


def _await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")[-1_000:]
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                return bool(reply.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    wait_for(answers, 30, f"an answer from {url}")
