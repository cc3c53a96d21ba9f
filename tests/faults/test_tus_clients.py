"""Clients of tus that nobody here wrote, on a real server: tuspy, aiotus, tus-js-client in Node."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import random
import shutil
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.conftest import missing
from tests.support.client import Client, expect
from tests.support.faults.scene import everywhere
from tests.support.server import Server

pytestmark = pytest.mark.full

_ROOT = Path(__file__).parents[2]
_SCRIPT = Path(__file__).parents[1] / "support" / "faults" / "tus_client.mjs"
_SIZE = 7_654_321


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(random.Random(11).randbytes(_SIZE))
    return path


def _collection(server: Server) -> str:
    return f"{server.url}/-/files/upload/docs/-/tus"


def _judge(server: Server, path: Path, location: str) -> None:
    """The file of that address has the bytes, and is the only one."""
    client = Client(server.url)
    file_id = location.rpartition("/")[2]
    sent = hashlib.sha256(path.read_bytes()).hexdigest()
    record = expect(client.request("GET", f"/-/files/{file_id}.json"), 200).json()
    assert record["content_hash"] == f"sha256:{sent}"
    assert hashlib.sha256(client.download(file_id).body).hexdigest() == sent
    assert [one["id"] for one in client.all_files("docs")] == [file_id]


def _location(server: Server, url: str) -> str:
    """The file that a tus address became, as any client can ask."""
    path = url.removeprefix(server.url)
    answer = Client(server.url).request("HEAD", path, headers={"Tus-Resumable": "1.0.0"})
    return expect(answer, 200).headers["content-location"]


@everywhere(direct=False)
@pytest.mark.parametrize("mode", ["chunks", "parallel", "deferred", "resume"])
def test_tus_js_client(serve, large, mode, root):
    node = shutil.which("node")
    if node is None or not (_ROOT / "node_modules" / "tus-js-client").is_dir():
        missing("tus-js-client (npm install --no-save --no-package-lock tus-js-client)")
    server = serve()
    order = {"endpoint": _collection(server), "path": str(large), "mode": mode}
    script = _ROOT / "node_modules" / f".tus-client-{mode}.mjs"  # where Node finds the package
    shutil.copyfile(_SCRIPT, script)
    try:
        run = subprocess.run(
            [str(node), str(script), json.dumps(order)],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        script.unlink()
    assert run.returncode == 0, run.stderr
    done = json.loads(run.stdout)
    assert _location(server, done["url"]) == done["content_location"]
    _judge(server, large, done["content_location"])


def _tuspy() -> Any:
    try:
        from tusclient import client
    except ImportError:
        missing("tuspy (pip install tuspy)")
    return client


@everywhere(direct=False)
def test_tuspy_with_checksums(serve, large, root):
    server = serve()
    tus = _tuspy().TusClient(_collection(server))
    options: dict[str, Any] = {"chunk_size": 1_000_000, "upload_checksum": True}
    with large.open("rb") as content:  # tuspy leaves a file open that it opens itself
        uploader = tus.uploader(
            file_stream=content,
            metadata={"filename": "ä.bin"},
            metadata_encoding="utf-8",
            **options,
        )
        uploader.upload()
    _judge(server, large, _location(server, uploader.url))


def test_tuspy_goes_on_while_the_server_is_killed(serve, large):
    server = serve()
    port = server.port
    tus = _tuspy().TusClient(_collection(server))
    options: dict[str, Any] = {"chunk_size": 500_000, "retries": 50, "retry_delay": 0.2}

    def kill() -> None:
        for _ in range(3):
            time.sleep(0.3)
            server.kill()
            server.start(port=port)

    killer = threading.Thread(target=kill)
    with large.open("rb") as content:
        uploader = tus.uploader(file_stream=content, metadata={"filename": "a.bin"}, **options)
        uploader.upload(stop_at=1_000_000)
        killer.start()
        try:
            uploader.upload()
        finally:
            killer.join()
    _judge(server, large, _location(server, uploader.url))


class _Aiotus:
    """aiotus on one server.

    It appends a ``Location`` without a host to the address of the request, in place of resolving it
    (RFC 9110, 10.2.2), so its session is given whole addresses.
    """

    def __init__(self, server: Server) -> None:
        try:
            self.aiotus = importlib.import_module("aiotus")
        except ImportError:
            missing("aiotus (pip install aiotus)")
        self.aiohttp = importlib.import_module("aiohttp")
        self._server = server

    async def _resolved(self, request: Any, handler: Any) -> Any:
        response = await handler(request)
        if location := response.headers.get("Location"):
            headers = response.headers.copy()
            headers["Location"] = urljoin(self._server.url, location)
            response._headers = headers
            response._cache.pop("headers")
        return response

    async def send(self, content: Any, metadata: dict[str, bytes], **more: Any) -> str:
        """Upload a stream, or join the streams of a list; the upload's address."""
        upload = self.aiotus.upload_multiple if isinstance(content, list) else self.aiotus.upload
        retries = self.aiotus.RetryConfiguration(50, 0.5)
        async with self.aiohttp.ClientSession(middlewares=(self._resolved,)) as session:
            url = await upload(
                *(_collection(self._server), content, metadata),
                **{"client_session": session, "config": retries, **more},
            )
        assert url is not None
        return str(url)


@everywhere(direct=False)
async def test_aiotus_uploads_and_reads_its_metadata(serve, large, root):
    server = serve()
    client = _Aiotus(server)
    metadata = {"filename": "ä.bin".encode(), "filetype": b"application/octet-stream"}
    with large.open("rb") as content:
        url = await client.send(content, metadata, chunksize=1_000_000)
    assert await client.aiotus.metadata(url) == metadata
    _judge(server, large, _location(server, url))


@everywhere(direct=False)
async def test_aiotus_joins_partial_uploads(serve, large, root):
    server, whole = serve(), large.read_bytes()
    bounds = [0, 2_000_000, 5_500_000, _SIZE]
    parts = [io.BytesIO(whole[start:end]) for start, end in pairwise(bounds)]
    url = await _Aiotus(server).send(parts, {"filename": b"joined.bin"}, chunksize=1_000_000)
    _judge(server, large, _location(server, url))


async def test_aiotus_goes_on_while_the_server_is_killed(serve, tmp_path):
    server = serve()
    port = server.port
    path = tmp_path / "larger.bin"
    path.write_bytes(random.Random(13).randbytes(60_000_000))

    def kill() -> None:
        for _ in range(3):
            time.sleep(0.4)
            server.kill()
            server.start(port=port)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with path.open("rb") as content:
            url = await _Aiotus(server).send(content, {"filename": b"a.bin"}, chunksize=500_000)
    finally:
        killer.join()
    _judge(server, path, _location(server, url))
