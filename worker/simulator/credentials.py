"""May this request come in?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.simulator import refusals
from worker.simulator.routes import Platform

if TYPE_CHECKING:
    from worker.simulator.connection import Request

BAD_KEY_PREFIX: Final = "bad"


def check_credentials(request: Request, platform: Platform) -> None:
    """Let any key and any Bearer token in, except keys that start with ``bad``.

    Raises:
        Refusal: no credential of the platform's kind, or a bad key.
    """
    key = request.headers.get("x-goog-api-key") or request.query.get("key", "")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    has_bearer = scheme.lower() == "bearer" and bool(token.strip())
    if platform is not Platform.DEVELOPER and has_bearer:
        return
    if platform is Platform.VERTEX or not key:
        raise refusals.key_missing()
    if key.startswith(BAD_KEY_PREFIX):
        raise refusals.key_invalid()
