"""What is answered about files that are there?"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from worker.simulator import batch_refusals
from worker.simulator.bodies import FilePart
from worker.simulator.connection import Fate, Reply
from worker.simulator.credentials import check_credentials
from worker.simulator.faults import with_faults
from worker.simulator.orders import Scope
from worker.simulator.paging import take_page

if TYPE_CHECKING:
    from datetime import datetime

    from worker.simulator.connection import Request
    from worker.simulator.files import StoredFile
    from worker.simulator.routes import Route
    from worker.simulator.state import State

_USUAL_PAGE: Final = 10
_LARGEST_PAGE: Final = 100


async def answer_file(state: State, request: Request, route: Route) -> Reply:
    """One file's facts.

    Raises:
        Refusal: no credential, or no such file.
    """
    check_credentials(request, route.platform)
    file = state.files.find(route.id)

    async def act() -> Reply:
        return _json(describe_file(file, base_url(request)))

    return await with_faults(state, Scope.FILE, file.display_name, act)


async def answer_files(state: State, request: Request, route: Route) -> Reply:
    """A page of all files, the newest first.

    Raises:
        Refusal: no credential, or no such page.
    """
    check_credentials(request, route.platform)
    files = state.files.current().values()
    page, token = take_page(files, request.query, usual=_USUAL_PAGE, most=_LARGEST_PAGE)
    listed = {"files": [describe_file(file, base_url(request)) for file in page]} if page else {}

    async def act() -> Reply:
        return _json({**listed, "nextPageToken": token} if token else listed)

    return await with_faults(state, Scope.FILE, "", act)


async def delete_file(state: State, request: Request, route: Route) -> Reply:
    """Forget a file; a batch that was made from it doesn't mind.

    Raises:
        Refusal: no credential, or no such file.
    """
    check_credentials(request, route.platform)
    file = state.files.find(route.id)

    async def act() -> Reply:
        state.files.delete(file.id)
        return _json({})

    return await with_faults(state, Scope.FILE, file.display_name, act)


async def download(state: State, request: Request, route: Route) -> Reply:
    """A result's bytes, read while they are sent.

    Raises:
        Refusal: no credential, no such file, or one that was uploaded.
    """
    check_credentials(request, route.platform)
    file = state.files.find(route.id)
    if not file.is_result:
        raise batch_refusals.not_downloadable(file.id)
    content = file.content

    def settle(fate: Fate) -> None:
        if fate is Fate.DELIVERED:
            state.batches.note_download(file.name)

    async def act() -> Reply:
        return Reply(
            status=200,
            parts=(FilePart(path=content.path, size_bytes=content.size_bytes),),
            content_type=file.media_type,
            settle=settle,
        )

    return await with_faults(state, Scope.DOWNLOAD, file.display_name, act)


def describe_file(file: StoredFile, base: str) -> dict[str, Any]:
    """A file as the API describes it; ``base`` is where its addresses begin."""
    content = file.content
    described = {
        "name": file.name,
        "mimeType": file.media_type,
        "sizeBytes": str(content.size_bytes),
        "createTime": wire_time(file.created_at),
        "updateTime": wire_time(file.created_at),
        "expirationTime": wire_time(file.expires_at),
        # The platform's own hashes are the hexadecimal digits, in base64.
        "sha256Hash": base64.b64encode(content.sha256.encode()).decode(),
        "uri": f"{base}/v1beta/{file.name}",
        "state": "ACTIVE",
        "source": "GENERATED" if file.is_result else "UPLOADED",
    }
    if file.display_name:
        described["displayName"] = file.display_name
    if file.is_result:
        described["downloadUri"] = f"{base}/v1beta/{file.name}:download?alt=media"
    return described


def base_url(request: Request) -> str:
    """Where the client sees the simulator: behind a mapped port it is not where it listens."""
    return f"http://{request.headers.get('host', 'localhost')}"


def wire_time(moment: datetime) -> str:
    """An instant as the API writes it; ``moment`` is aware, in UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(document: object) -> Reply:
    return Reply(status=200, body=json.dumps(document).encode())
