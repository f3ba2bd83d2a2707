"""A shop's web server: serves photos, remembers who asked for what, and knows ETags."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class PhotoHost:
    """What is served under which path, and what was answered."""

    url: str
    photos: dict[str, bytes]
    answers: list[tuple[str, int]] = field(default_factory=list)

    def count(self, status: int) -> int:
        """How many requests were answered with this status."""
        return sum(1 for _, answered in self.answers if answered == status)


@contextlib.contextmanager
def photo_host(photos: dict[str, bytes]) -> Iterator[PhotoHost]:
    """Serve photos on a free port of this machine while the block runs."""
    server = _Server(("127.0.0.1", 0), _Handler)
    host = PhotoHost(url=f"http://127.0.0.1:{server.server_address[1]}", photos=photos)
    server.host = host
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    host: PhotoHost


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        host = self.server.host
        content = host.photos.get(self.path.split("?")[0].lstrip("/"))
        etag = f'"{hashlib.sha256(content or b"").hexdigest()[:16]}"'
        if content is None:
            status, body = 404, b"no such photo"
        elif self.headers.get("If-None-Match") == etag:
            status, body = 304, b""
        else:
            status, body = 200, content
        host.answers.append((self.path, status))
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Say nothing."""
