"""Is everything there that a manifest names, byte for byte?

Reads the manifest as a shop would, with nothing of ours but its JSON.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[str], bytes | None]


def faults(manifest: bytes, read: Read) -> list[str]:
    """What a manifest promises and the store does not hold; costs a read of every object."""
    return list(_faults(json.loads(manifest), read))


def _faults(manifest: dict[str, Any], read: Read) -> Iterator[str]:
    if read(manifest["gallery"]) is None:
        yield f"{manifest['gallery']} is missing"
    if not manifest["parts"]:
        yield "it names no part"
    rows = 0
    for part in manifest["parts"]:
        content = read(part["key"])
        fault = _fault(part, content)
        if fault or content is None:
            yield fault or f"{part['key']} is missing"
            continue
        lines = [json.loads(line) for line in gzip.decompress(content).splitlines()]
        rows += len(lines)
        for line in lines:
            yield from _faults_of_line(line, read)
    if rows != manifest["counts"]["expected"]:
        yield f"{rows} of {manifest['counts']['expected']} renders have a line"


def _faults_of_line(line: dict[str, Any], read: Read) -> Iterator[str]:
    if line["status"] in {"succeeded", "reused"} and not line["images"]:
        yield f"{line['sku']} {line['status']} without a picture"
    for image in line["images"]:
        fault = _fault(image, read(image["key"]))
        if fault:
            yield fault


def _fault(named: dict[str, Any], content: bytes | None) -> str | None:
    if content is None:
        return f"{named['key']} is missing"
    if len(content) != named["bytes"]:
        return f"{named['key']} has {len(content)} bytes, not {named['bytes']}"
    if hashlib.sha256(content).hexdigest() != named["sha256"]:
        return f"{named['key']} has another hash"
    return None
