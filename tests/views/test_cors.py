"""Scripts of other origins, where Datasette runs with ``--cors``."""

from __future__ import annotations

import pytest
from datasette.app import Datasette

from tests.conftest import upload

ANY = "access-control-allow-origin"


@pytest.fixture
def datasette(datasette: Datasette) -> Datasette:
    datasette.cors = True
    return datasette


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/-/files/upload/docs/a.txt"),
        ("POST", "/-/files/upload/docs/-/prepare"),
        ("DELETE", "/-/files/df-01j5a3b4c5d6e7f8g9h0jkmnpq"),
        ("GET", "/-/files/search.json"),
    ],
)
async def test_a_preflight_allows_a_token_and_the_method(
    datasette: Datasette, method: str, path: str
) -> None:
    answer = await datasette.client.options(
        path,
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,range,upload-offset",
        },
    )
    assert (answer.status_code, answer.headers[ANY]) == (204, "*")
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    taken = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "range", "upload-offset"} <= set(taken)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("size", [5, 2 * 1024 * 1024])
async def test_bytes_records_pages_and_errors_can_be_read(datasette: Datasette, size: int) -> None:
    file = await upload(datasette, b"x" * size)
    for path, status in (
        ("/download", 200),
        ("/inline", 200),
        ("/thumbnail", 200),
        (".json", 200),
        ("", 200),
        ("/uses.json", 200),
        ("/nothing", 404),
    ):
        answer = await datasette.client.get(f"/-/files/{file['id']}{path}")
        assert (answer.status_code, answer.headers.get(ANY)) == (status, "*"), path
    answer = await datasette.client.get(
        f"/-/files/{file['id']}/download", headers={"Range": "bytes=0-1"}
    )
    shown = answer.headers["access-control-expose-headers"].split(", ")
    assert (answer.status_code, answer.headers[ANY]) == (206, "*")
    assert {"Content-Range", "ETag", "Content-Disposition", "Location"} <= set(shown)


async def test_without_cors_nothing_is_said(datasette: Datasette) -> None:
    datasette.cors = False
    file = await upload(datasette)
    for answer in (
        await datasette.client.get(f"/-/files/{file['id']}.json"),
        await datasette.client.get(f"/-/files/{file['id']}/download"),
        await datasette.client.options(f"/-/files/{file['id']}"),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
