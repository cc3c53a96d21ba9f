"""A client of tus 1.0.0 that can lie, and what a source's folder holds after it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
BODY = {"Content-Type": "application/offset+octet-stream"}
TUS = {"Tus-Resumable": "1.0.0"}


def meta(**pairs: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items())


class Tus:
    """A client that is told every header, so that tests can lie."""

    def __init__(self, datasette: Any, source: str = "docs", **options: Any) -> None:
        self._datasette = datasette
        self.collection = f"/-/files/upload/{source}/-/tus"
        self._options = options

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, content: Any = None
    ) -> Any:
        response: Any = await self._datasette.client.request(
            *(method, path),
            headers={**TUS, **(headers or {})},
            content=content,
            **self._options,
        )
        return response

    async def create(self, size: int | None, content: bytes | None = None, **headers: str) -> Any:
        length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        sent = {"Upload-Metadata": meta(filename="a.bin"), **length, **headers}
        if content is not None:
            sent |= BODY
        return await self.request("POST", self.collection, sent, content)

    async def begin(self, size: int | None, **headers: str) -> str:
        created = await self.create(size, **headers)
        assert created.status_code == 201, created.text
        location: str = created.headers["location"]
        return location

    async def patch(self, url: str, offset: int, content: Any, **headers: str) -> Any:
        return await self.request(
            "PATCH", url, {**BODY, "Upload-Offset": str(offset), **headers}, content
        )

    async def offset(self, url: str) -> int:
        found = await self.request("HEAD", url)
        assert found.status_code == 200, found.headers
        assert found.headers["cache-control"] == "no-store"
        return int(found.headers["upload-offset"])


def code_of(response: Any) -> tuple[int, str]:
    assert response.headers["tus-resumable"] == "1.0.0"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


def checksum(algorithm: str, content: bytes) -> str:
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


async def content_at(datasette: Any, response: Any) -> bytes:
    url = response.headers["content-location"]
    record = (await datasette.client.get(f"{url}.json")).json()
    content: bytes = (await datasette.client.get(f"{url}/download")).content
    assert record["content_hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert record["size"] == len(content)
    return content


def temporary(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".datasette-files").iterdir())


def stored(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and ".datasette-files" not in p.parts]
