"""``sendfile: x-accel``: nginx sends the files, by the configuration in docs/operations.md."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OPEN, MakeDatasette, disk_source, missing, upload
from tests.support import nginx
from tests.support.server import Server
from tests.support.storages import installed, storage_class

CONTENT = os.urandom(1_000_000)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
#: Headers of the connection and of a moment.
_OTHERS = {"date", "server", "connection", "keep-alive"}
#: Characters that mean something in a URL.
_TEMPLATE = "50% of ?#&/{ulid}/{filename}"


@pytest.mark.parametrize("content", [CONTENT, b"small"], ids=["large", "small"])
async def test_a_file_of_any_size_is_named_to_the_proxy(
    make_datasette: MakeDatasette, tmp_path: Path, content: bytes
) -> None:
    sources = {"docs": disk_source(tmp_path / "docs", path_template=_TEMPLATE)}
    datasette = await make_datasette(sources, sendfile="x-accel")
    record = await upload(datasette, content, "ü.bin")
    ulid = record["id"].removeprefix("df-")
    for headers in ({}, {"Range": "bytes=0-2"}, {"If-None-Match": '"other"'}):
        answer = await datasette.client.get(record["download_url"], headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
        named = answer.headers["x-accel-redirect"]
        assert named == f"/-/files-bytes/docs/50%25%20of%20%3F%23%26/{ulid}/%C3%BC.bin"
        assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"If-None-Match": ETAG}, 304, id="unchanged"),
        pytest.param({"If-Match": ETAG}, 200, id="matches"),
        pytest.param({"If-Match": '"other"'}, 412, id="does not match"),
        pytest.param({"Range": "bytes=1000000-"}, 416, id="no such range"),
    ],
)
async def test_datasette_answers_what_nginx_would_answer_otherwise(
    make_datasette: MakeDatasette, headers: dict[str, str], status: int
) -> None:
    datasette = await make_datasette(sendfile="x-accel")
    record = await upload(datasette, CONTENT, "a.bin")
    answer = await datasette.client.get(record["download_url"], headers=headers)
    assert answer.status_code == status
    assert "x-accel-redirect" not in answer.headers


@pytest.mark.parametrize("content", [CONTENT, b"small"], ids=["large", "small"])
async def test_missing_bytes_are_not_named(
    make_datasette: MakeDatasette, tmp_path: Path, content: bytes
) -> None:
    datasette = await make_datasette(sendfile="x-accel")
    lost = await upload(datasette, content, "b.txt")
    (tmp_path / "docs" / lost["id"].removeprefix("df-") / "b.txt").unlink()
    answer = await datasette.client.get(lost["download_url"])
    assert answer.status_code == 502
    assert "x-accel-redirect" not in answer.headers


async def test_a_storage_without_local_files_is_served_as_before(
    make_datasette: MakeDatasette,
) -> None:
    with installed(storage_class()):
        datasette = await make_datasette({"docs": {"storage": "memory"}}, sendfile="x-accel")
    record = await upload(datasette, CONTENT, "a.bin")
    assert (await datasette.client.get(record["download_url"])).content == CONTENT


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of nginx and of the Datasette behind it."""
    if nginx.find() is None:
        missing("nginx")
    folder = tmp_path_factory.mktemp("x-accel")
    sources = {"docs": disk_source(folder / "files", path_template=_TEMPLATE)}
    plugin = {"sources": sources, "sendfile": "x-accel"}
    config: dict[str, Any] = {"permissions": OPEN, "plugins": {"datasette-files": plugin}}
    with (
        Server(folder, config, arguments=["--cors"]) as server,
        nginx.before(server.port, folder / "files", folder / "nginx") as port,
    ):
        yield port, server.port


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body, {"Accept": "application/json", **headers})
        answer = connection.getresponse()
        content = answer.read()
        names = [name.lower() for name, _ in answer.getheaders()]
        assert len(names) == len(set(names)), names
        return answer.status, content, {k.lower(): v for k, v in answer.getheaders()}


@pytest.fixture(scope="module")
def url(ports: tuple[int, int]) -> str:
    path = "/-/files/upload/docs/%C3%BC.png"
    status, body, _ = ask(ports[0], "PUT", path, CONTENT)
    assert status == 201, body
    return str(json.loads(body)["file"]["url"])


@pytest.mark.parametrize("way", ["download", "inline"])
def test_nginx_keeps_every_header(ports: tuple[int, int], url: str, way: str) -> None:
    status, named, direct = ask(ports[1], "GET", f"{url}/{way}")
    assert (status, named, "x-accel-redirect" in direct) == (200, b"", True)
    _, _, ours = ask(ports[0], "HEAD", f"{url}/{way}")
    status, body, through = ask(ports[0], "GET", f"{url}/{way}")
    assert (status, body == CONTENT) == (200, True)
    assert {k: v for k, v in through.items() if k not in _OTHERS} == {
        k: v for k, v in ours.items() if k not in _OTHERS
    }
    assert through["etag"] == ETAG
    assert ("content-security-policy" in through) is (way == "inline")


@pytest.mark.parametrize(
    ("headers", "start", "end"),
    [
        ({"Range": "bytes=10-499999"}, 10, 500_000),
        ({"Range": "bytes=-9"}, 999_991, 1_000_000),
        ({"Range": "bytes=10-499999", "If-Range": ETAG}, 10, 500_000),
        ({"Range": "bytes=10-499999", "If-Range": '"other"'}, 0, 1_000_000),
        ({"If-None-Match": '"other"'}, 0, 1_000_000),
        ({"If-Match": ETAG}, 0, 1_000_000),
        ({"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0, 1_000_000),
    ],
)
def test_ranges_and_conditions_behind_nginx(
    ports: tuple[int, int], url: str, headers: dict[str, str], start: int, end: int
) -> None:
    status, body, answered = ask(ports[0], "GET", f"{url}/download", **headers)
    part = end - start < len(CONTENT)
    assert (status, body == CONTENT[start:end]) == (206 if part else 200, True)
    assert answered["etag"] == ETAG
    if part:
        assert answered["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


def test_nobody_but_datasette_names_a_file_to_nginx(ports: tuple[int, int], url: str) -> None:
    record = json.loads(ask(ports[0], "GET", f"{url}.json")[1])
    file = record.get("file", record)
    status, body, _ = ask(ports[0], "GET", f"/-/files-bytes/docs/{file['id'][3:]}/x")
    assert (status, CONTENT in body) == (404, False)
