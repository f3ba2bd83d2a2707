"""Which paths are served."""

from __future__ import annotations

import pytest

from worker.simulator.routes import Endpoint, Platform, find_route

VERTEX = "projects/shop-1/locations/global/publishers/google/models"


@pytest.mark.parametrize(
    ("path", "platform"),
    [
        ("/v1/models/m-1.0:generateContent", Platform.DEVELOPER),
        ("/v1beta/models/m-1.0:generateContent", Platform.DEVELOPER),
        (f"/v1beta1/{VERTEX}/m-1.0:generateContent", Platform.VERTEX),
        (f"/v1/{VERTEX}/m-1.0:generateContent", Platform.VERTEX),
        ("/v1beta1/publishers/google/models/m-1.0:generateContent", Platform.VERTEX_EXPRESS),
    ],
)
def test_generate_content_is_served_on_every_documented_path(path: str, platform: Platform) -> None:
    route = find_route("POST", path)

    assert route is not None
    assert (route.endpoint, route.platform, route.model) == (
        Endpoint.GENERATE,
        platform,
        "m-1.0",
    )


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(
    ("method", "path", "endpoint", "named"),
    [
        ("POST", "/upload/{}/files", Endpoint.UPLOAD, ""),
        ("GET", "/{}/files", Endpoint.FILES, ""),
        ("GET", "/{}/files/batch-1", Endpoint.FILE, "batch-1"),
        ("DELETE", "/{}/files/a", Endpoint.DELETE_FILE, "a"),
        ("GET", "/{}/files/a:download", Endpoint.DOWNLOAD, "a"),
        ("GET", "/download/{}/files/a:download", Endpoint.DOWNLOAD, "a"),
        ("GET", "/{}/batches", Endpoint.BATCHES, ""),
        ("GET", "/{}/batches/a", Endpoint.BATCH, "a"),
        ("DELETE", "/{}/batches/a", Endpoint.DELETE_BATCH, "a"),
        ("POST", "/{}/batches/a:cancel", Endpoint.CANCEL_BATCH, "a"),
    ],
)
def test_what_has_an_id_is_found_by_it(
    version: str, method: str, path: str, endpoint: Endpoint, named: str
) -> None:
    route = find_route(method, path.format(version))

    assert route is not None
    assert (route.endpoint, route.platform, route.id) == (endpoint, Platform.DEVELOPER, named)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/m:generateContent"),
        ("POST", "/v1/models/m"),
        ("POST", "/v2/models/m:generateContent"),
        ("POST", "/v1/models/m:streamGenerateContent"),
        ("GET", "/"),
    ],
)
def test_nothing_else_is(method: str, path: str) -> None:
    assert find_route(method, path) is None
