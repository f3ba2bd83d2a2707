"""Which endpoint does a method and a path name?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Platform(StrEnum):
    """Where the path belongs; it decides about credentials and a few fields."""

    DEVELOPER = "developer"
    VERTEX = "vertex"
    VERTEX_EXPRESS = "vertex_express"
    SIMULATOR = "simulator"


class Endpoint(StrEnum):
    """What is asked for."""

    GENERATE = "generate"
    MODEL = "model"
    MODELS = "models"
    UPLOAD = "upload"
    FILE = "file"
    FILES = "files"
    DELETE_FILE = "delete_file"
    DOWNLOAD = "download"
    CREATE_BATCH = "create_batch"
    BATCH = "batch"
    BATCHES = "batches"
    CANCEL_BATCH = "cancel_batch"
    DELETE_BATCH = "delete_batch"
    BOOKS = "books"
    SCRIPT = "script"
    SCRIPT_LEFT = "script_left"
    LATENCY = "latency"
    LIMITS = "limits"
    LIMITS_NOW = "limits_now"
    BATCHES_NOW = "batches_now"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint, the platform it was reached on, and what its path names, if anything.

    ``model`` is a model's name, ``id`` that of a file or batch without what stands before it.
    """

    endpoint: Endpoint
    platform: Platform
    model: str = ""
    id: str = ""


_VERTEX: Final = r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/publishers/google/models"
_EXPRESS: Final = r"/v1(?:beta1)?/publishers/google/models"
_DEVELOPER: Final = r"/v1(?:beta)?/models"
_MODEL: Final = r"/(?P<model>[^/:]+)"
_VERSION: Final = r"/v1(?:beta)?"
_ID: Final = r"/(?P<id>[^/:]+)"


def _table() -> tuple[tuple[str, re.Pattern[str], Endpoint, Platform], ...]:
    rows = []
    for base, platform in (
        (_DEVELOPER, Platform.DEVELOPER),
        (_VERTEX, Platform.VERTEX),
        (_EXPRESS, Platform.VERTEX_EXPRESS),
    ):
        rows += [
            ("POST", rf"{base}{_MODEL}:generateContent", Endpoint.GENERATE, platform),
            ("GET", rf"{base}{_MODEL}", Endpoint.MODEL, platform),
            ("GET", base, Endpoint.MODELS, platform),
        ]
    files = rf"{_VERSION}/files"
    batches = rf"{_VERSION}/batches"
    create = rf"{_DEVELOPER}{_MODEL}:batchGenerateContent"
    rows += [
        ("POST", rf"/upload{files}", Endpoint.UPLOAD, Platform.DEVELOPER),
        ("PUT", rf"/upload{files}", Endpoint.UPLOAD, Platform.DEVELOPER),
        ("GET", files, Endpoint.FILES, Platform.DEVELOPER),
        ("GET", rf"{files}{_ID}", Endpoint.FILE, Platform.DEVELOPER),
        ("DELETE", rf"{files}{_ID}", Endpoint.DELETE_FILE, Platform.DEVELOPER),
        ("GET", rf"(?:/download)?{files}{_ID}:download", Endpoint.DOWNLOAD, Platform.DEVELOPER),
        ("POST", create, Endpoint.CREATE_BATCH, Platform.DEVELOPER),
        ("GET", batches, Endpoint.BATCHES, Platform.DEVELOPER),
        ("GET", rf"{batches}{_ID}", Endpoint.BATCH, Platform.DEVELOPER),
        ("DELETE", rf"{batches}{_ID}", Endpoint.DELETE_BATCH, Platform.DEVELOPER),
        ("POST", rf"{batches}{_ID}:cancel", Endpoint.CANCEL_BATCH, Platform.DEVELOPER),
    ]
    rows += [
        ("GET", "/_sim/books", Endpoint.BOOKS, Platform.SIMULATOR),
        ("GET", "/_sim/script", Endpoint.SCRIPT_LEFT, Platform.SIMULATOR),
        ("POST", "/_sim/script", Endpoint.SCRIPT, Platform.SIMULATOR),
        ("POST", "/_sim/latency", Endpoint.LATENCY, Platform.SIMULATOR),
        ("GET", "/_sim/limits", Endpoint.LIMITS_NOW, Platform.SIMULATOR),
        ("POST", "/_sim/limits", Endpoint.LIMITS, Platform.SIMULATOR),
        ("GET", "/_sim/batches", Endpoint.BATCHES_NOW, Platform.SIMULATOR),
        ("POST", "/_sim/reset", Endpoint.RESET, Platform.SIMULATOR),
    ]
    return tuple((method, re.compile(path), end, platform) for method, path, end, platform in rows)


_ROUTES: Final = _table()


def find_route(method: str, path: str) -> Route | None:
    """The route of a path without its query; ``None`` if nothing is served there."""
    for wanted_method, pattern, endpoint, platform in _ROUTES:
        match = pattern.fullmatch(path)
        if match and method == wanted_method:
            named = match.groupdict()
            return Route(
                endpoint=endpoint,
                platform=platform,
                model=named.get("model", ""),
                id=named.get("id", ""),
            )
    return None
