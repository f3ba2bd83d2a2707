"""The simulator's files, as the official SDK handles them and as only a socket can."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import ssl
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from worker.simulator.files import StorageLimits
from worker.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_S = 10.0
KEY = {"x-goog-api-key": "k"}
# Nobody speaks TLS here, and each client would take a tenth of a second to read the certificates.
TLS = ssl.create_default_context()
LINES = b'{"key": "a", "request": {}}\n' * 40


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@contextmanager
def developer(simulator: Simulator) -> Iterator[genai.Client]:
    options = types.HttpOptions(
        base_url=simulator.url,
        timeout=int(WAIT_S * 1000),
        client_args={"verify": TLS},
        async_client_args={"verify": TLS, "ssl": TLS},
    )
    with closing(genai.Client(api_key="k", vertexai=False, http_options=options)) as client:
        yield client


@contextmanager
def http(simulator: Simulator) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.url, headers=KEY, timeout=WAIT_S, verify=TLS) as client:
        yield client


def upload(client: genai.Client, content: bytes = LINES, **config: Any) -> types.File:
    config = {"mime_type": "application/jsonl", **config}
    return client.files.upload(file=io.BytesIO(content), config=types.UploadFileConfig(**config))


def start(client: httpx2.Client, length: int | None, **file: str) -> httpx2.Response:
    announced = {} if length is None else {"X-Goog-Upload-Header-Content-Length": str(length)}
    headers = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
    return client.post("/upload/v1beta/files", headers=headers | announced, json={"file": file})


def send(client: httpx2.Client, url: str, content: bytes, offset: int, command: str) -> Any:
    headers = {"X-Goog-Upload-Offset": str(offset), "X-Goog-Upload-Command": command}
    return client.post(url, content=content, headers=headers)


def received(client: httpx2.Client, url: str) -> int:
    answer = client.post(url, headers={"X-Goog-Upload-Command": "query"})
    return int(answer.headers["x-goog-upload-size-received"])


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def test_the_sdk_uploads_gets_lists_and_deletes(simulator: Simulator) -> None:
    with developer(simulator) as client:
        file = upload(client, display_name="lines of monday")
        again = client.files.get(name=str(file.name))
        listed = [each.name for each in client.files.list()]
        client.files.delete(name=str(file.name))
        left = list(client.files.list())

    assert (file.display_name, file.size_bytes) == ("lines of monday", len(LINES))
    assert (file.state, file.source) == (types.FileState.ACTIVE, types.FileSource.UPLOADED)
    digest = hashlib.sha256(LINES).hexdigest().encode()
    assert file.sha256_hash == base64.b64encode(digest).decode()
    assert again == file
    assert (listed, left) == ([file.name], [])


def test_the_sdk_uploads_in_several_pieces(simulator: Simulator) -> None:
    content = b"x" * (8 * 1024 * 1024 + 1)

    with developer(simulator) as client:
        file = upload(client, content)

    digest = hashlib.sha256(content).hexdigest().encode()
    assert (file.size_bytes, file.sha256_hash) == (
        len(content),
        base64.b64encode(digest).decode(),
    )


def test_a_file_may_be_called_by_its_client_once(simulator: Simulator) -> None:
    with developer(simulator) as client:
        file = upload(client, name="lines-of-monday")
        with pytest.raises(errors.ClientError) as again:
            upload(client, name="lines-of-monday")

    assert file.name == "files/lines-of-monday"
    assert (again.value.code, again.value.status) == (409, "ALREADY_EXISTS")


def test_a_list_comes_in_pages_with_the_newest_first(simulator: Simulator) -> None:
    with developer(simulator) as client:
        made = [upload(client, b"{}").name for _ in range(5)]
        listed = [file.name for file in client.files.list(config={"page_size": 2})]
        with pytest.raises(errors.ClientError, match="page token"):
            client.files.list(config={"page_token": "bogus"})

    assert listed == made[::-1]


def test_what_was_uploaded_can_not_be_downloaded(simulator: Simulator) -> None:
    with developer(simulator) as client:
        file = upload(client)
        with pytest.raises(errors.ClientError, match="only generated files"):
            client.files.download(file=str(file.name))


def test_a_file_that_is_not_there_is_forbidden_as_users_report(simulator: Simulator) -> None:
    with developer(simulator) as client, pytest.raises(errors.ClientError) as refused:
        client.files.get(name="files/nobody")

    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")


def test_a_file_ends_after_48_hours() -> None:
    with Simulator(hour_s=0.01) as simulator, developer(simulator) as client:
        file = upload(client)

        wait_for(lambda: not list(client.files.list()))

    assert file.expiration_time is not None
    assert file.create_time is not None
    assert (file.expiration_time - file.create_time).total_seconds() == 0.48


def test_what_is_too_much_for_a_file_or_for_all_of_them_is_refused() -> None:
    limits = StorageLimits(file_bytes=100, total_bytes=150)

    with Simulator(storage=limits) as simulator, http(simulator) as client:
        too_large = start(client, 101)
        first = start(client, 90)
        second = start(client, 61)
        client.post(first.headers["x-goog-upload-url"], headers={"X-Goog-Upload-Command": "cancel"})
        third = start(client, 61)

    assert [each.status_code for each in (too_large, first, second, third)] == [400, 200, 429, 200]
    assert second.json()["error"]["status"] == "RESOURCE_EXHAUSTED"


def test_a_file_that_was_not_announced_is_measured_while_it_comes() -> None:
    with Simulator(storage=StorageLimits(file_bytes=100)) as simulator, http(simulator) as client:
        url = start(client, None).headers["x-goog-upload-url"]
        first = send(client, url, b"x" * 100, 0, "upload")
        second = send(client, url, b"x", 100, "upload, finalize")

    assert (first.status_code, second.status_code) == (200, 400)


def test_an_upload_that_was_broken_off_goes_on_where_it_stopped(simulator: Simulator) -> None:
    place = urlsplit(simulator.url)
    with http(simulator) as client:
        url = start(client, 100, displayName="torn").headers["x-goog-upload-url"]
        target = url.removeprefix(simulator.url)
        with socket.create_connection((place.hostname, place.port), timeout=WAIT_S) as torn:
            head = f"POST {target} HTTP/1.1\r\nX-Goog-Upload-Command: upload, finalize\r\n"
            torn.sendall(f"{head}Content-Length: 100\r\n\r\n".encode() + b"a" * 60)
            wait_for(lambda: received(client, url) == 60)
        wrong = send(client, url, b"b" * 100, 0, "upload, finalize")
        early = send(client, url, b"", 60, "finalize")
        right = send(client, url, b"b" * 40, 60, "upload, finalize")
        over = send(client, url, b"", 100, "finalize")

    assert (wrong.status_code, wrong.headers["x-goog-upload-status"]) == (400, "active")
    assert wrong.headers["x-goog-upload-size-received"] == "60"
    assert early.status_code == 400
    assert right.headers["x-goog-upload-status"] == "final"
    file = right.json()["file"]
    digest = hashlib.sha256(b"a" * 60 + b"b" * 40).hexdigest().encode()
    assert (file["displayName"], file["sizeBytes"]) == ("torn", "100")
    assert base64.b64decode(file["sha256Hash"]) == digest
    assert over.status_code == 400


def test_a_chunked_body_is_taken_as_it_comes(simulator: Simulator) -> None:
    with http(simulator) as client:
        url = start(client, 6).headers["x-goog-upload-url"]
        answer = client.post(
            url,
            content=iter((b"abc", b"def")),
            headers={"X-Goog-Upload-Command": "upload, finalize"},
        )

    assert answer.json()["file"]["sizeBytes"] == "6"


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"X-Goog-Upload-Command": "start"}, "resumable"),
        ({"X-Goog-Upload-Command": "upload"}, "terminated"),
        ({"X-Goog-Upload-Command": "start", "X-Goog-Upload-Protocol": "raw"}, "'raw'"),
    ],
)
def test_a_request_that_is_no_upload_is_refused(
    simulator: Simulator, headers: dict[str, str], says: str
) -> None:
    with http(simulator) as client:
        answer = client.post("/upload/v1beta/files", headers=headers, content=b"x" * 100_000)
        next_one = client.get("/v1beta/files")

    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert next_one.json() == {}


def test_an_upload_needs_a_key(simulator: Simulator) -> None:
    headers = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}

    answer = httpx2.post(f"{simulator.url}/upload/v1/files", headers=headers)

    assert answer.status_code == 401


def test_a_reset_removes_every_file(simulator: Simulator) -> None:
    with developer(simulator) as client, http(simulator) as plain:
        upload(client)
        url = start(plain, 5).headers["x-goog-upload-url"]

        simulator.reset()

        left = list(client.files.list())
        late = send(plain, url, b"hello", 0, "upload, finalize")
    assert (left, late.status_code) == ([], 400)
