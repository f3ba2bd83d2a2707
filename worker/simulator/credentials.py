"""May this request come in, and whose is it?"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from worker.simulator import refusals
from worker.simulator.routes import Platform

if TYPE_CHECKING:
    from worker.simulator.connection import Request

BAD_KEY_PREFIX: Final = "bad"
_LABEL_LENGTH: Final = 8


def check_credentials(request: Request, platform: Platform) -> None:
    """Let any key and any Bearer token in, except keys that start with ``bad``.

    Raises:
        Refusal: no credential of the platform's kind, or a bad key.
    """
    key, has_bearer = _key(request), bool(_bearer(request))
    if platform is not Platform.DEVELOPER and has_bearer:
        return
    if platform is Platform.VERTEX or not key:
        raise refusals.key_missing()
    if key.startswith(BAD_KEY_PREFIX):
        raise refusals.key_invalid()


def label_caller(credential: str) -> str:
    """How the books name who called: the first 8 hex digits of the credential's SHA-256.

    A credential that is worth something must not end up in a file.
    """
    return hashlib.sha256(credential.encode()).hexdigest()[:_LABEL_LENGTH] if credential else ""


def label_of(request: Request) -> str:
    """The label of the key or token that a request carries; empty without one."""
    return label_caller(_key(request) or _bearer(request))


def _key(request: Request) -> str:
    return request.headers.get("x-goog-api-key") or request.query.get("key", "")


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
