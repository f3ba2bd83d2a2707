"""What did the model see, and what is it to answer?

A scripted stand-in for Gemini's HTTP interface: it answers from a list, with the last entry from
then on, and keeps every request. Unlike the simulator it knows no rules: a test says each byte.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Three bytes say that it is a JPEG; nobody here decodes it.
JPEG = b"\xff\xd8\xff\xe0-a-picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to send back.

    ``promised_bytes`` is the Content-Length if it is to be a lie; ``silent`` sends nothing until
    the server is closed; ``dripping`` sends the body byte by byte; ``reset`` breaks the connection
    in place of an answer.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised_bytes: int | None = None
    silent: bool = False
    dripping: bool = False
    reset: bool = False


def as_json(body: object, *, status: int = 200, **headers: str) -> Reply:
    """Answer with JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(
        status=status,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"} | named,
    )


def picture(content: bytes = JPEG, *, finish: str = "STOP") -> dict[str, Any]:
    """Make a whole answer with one picture and Google's usual account of its tokens."""
    encoded = base64.b64encode(content).decode()
    part = {"inlineData": {"mimeType": "image/jpeg", "data": encoded}}
    return {
        "candidates": [
            {"index": 0, "finishReason": finish, "content": {"role": "model", "parts": [part]}}
        ],
        "usageMetadata": {
            "promptTokenCount": 2260,
            "candidatesTokenCount": 1120,
            "thoughtsTokenCount": 310,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
        },
        "modelVersion": "model-as-served",
        "responseId": "answer-1",
    }


def error(code: int, status: str, message: str = "", *details: dict[str, Any]) -> dict[str, Any]:
    """Make an error as Google words it."""
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


class ModelServer(ThreadingHTTPServer):
    """The running server: ``url``, and ``requests`` in the order of their arrival."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(self, replies: tuple[Reply, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Seen] = []
        self.closing = threading.Event()
        self._replies = replies
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_reply(self, seen: Seen) -> Reply:
        with self._lock:
            self.requests.append(seen)
            return self._replies[min(len(self.requests), len(self._replies)) - 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        seen = Seen(
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=json.loads(content),
        )
        reply = self.server.next_reply(seen)
        if reply.reset:
            self._reset()
        elif reply.silent:
            self.close_connection = True
            self.server.closing.wait()
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        promised = len(reply.body) if reply.promised_bytes is None else reply.promised_bytes
        self.close_connection = promised != len(reply.body)
        self.send_response(reply.status)
        self.send_header("Content-Length", str(promised))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.dripping:
            self._drip(reply.body)
        else:
            self.wfile.write(reply.body)

    def _drip(self, body: bytes) -> None:
        self.close_connection = True
        with suppress(OSError):  # the caller has left
            for byte in body:
                self.wfile.write(bytes([byte]))
                if self.server.closing.wait(0.05):
                    return

    def _reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the tests read ``requests``."""


@contextmanager
def model_server(*replies: Reply) -> Iterator[ModelServer]:
    """Run a server that answers with ``replies`` in turn, and with the last one from then on."""
    with ModelServer(replies or (as_json(picture()),)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


def closed_port() -> int:
    """Find a port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
