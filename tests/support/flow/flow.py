"""``Flow``: a client of one source, which sends bytes where prepare says and follows redirects.

Holds no assertion about answers but in ``upload``, which is for tests whose subject is what comes
after. The kinds of storage are in ``conftest.py``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.base import Storage

ALICE = {"id": "alice"}
BOB = {"id": "bob"}


@dataclass(frozen=True)
class Answer:
    """An answer as a client sees it, ours or a bucket's."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Kind:
    """A way to have a source: its yaml, and how clients reach what is outside of Datasette."""

    #: From ``tmp_path`` to the source's entry in the yaml.
    source: Callable[[Path], dict[str, Any]]
    #: Registered as a plugin would.
    types: tuple[type[Storage], ...] = ()
    #: ``(storage, prepared, content)``: send bytes to a URL of the storage's own; None: to ours.
    send: Callable[[Any, dict[str, Any], bytes], None] | None = None
    #: ``(storage, url)``: follow a redirect; ``(headers in lower case, body)``. None: no redirects.
    fetch: Callable[[Any, str], tuple[dict[str, str], bytes]] | None = None
    #: With ``send``: how the URLs begin that prepare gives out.
    bucket: Callable[[], str] | None = None
    #: ``(storage)``: every path, where the storage cannot list.
    paths: Callable[[Any], set[str]] | None = None


@dataclass
class Flow:
    """One source, ``docs``, of one kind."""

    datasette: Datasette
    kind: Kind
    source: str = "docs"

    @property
    def storage(self) -> Any:
        return Files.of(self.datasette).sources.get(self.source).storage

    @property
    def direct(self) -> bool:
        """Whether bytes go past Datasette."""
        return self.kind.send is not None

    async def request(
        self,
        method: str,
        path: str,
        *,
        actor: dict[str, Any] | None = ALICE,
        **more: Any,
    ) -> Answer:
        response = await self.datasette.client.request(method, path, actor=actor, **more)
        return Answer(response.status_code, dict(response.headers), response.content)

    async def prepare(
        self, filename: str = "note.txt", *, actor: dict[str, Any] | None = ALICE, **declared: Any
    ) -> Answer:
        url = f"/-/files/upload/{self.source}/-/prepare"
        return await self.request("POST", url, json={"filename": filename, **declared}, actor=actor)

    async def send(
        self, prepared: dict[str, Any], content: bytes, *, actor: dict[str, Any] | None = ALICE
    ) -> Answer:
        if self.kind.send is not None:
            self.kind.send(self.storage, prepared, content)
            return Answer(200, {}, b"")
        return await self.request(
            prepared["upload_method"],
            prepared["upload_url"],
            headers=prepared["upload_headers"],
            data=prepared["upload_fields"],
            files={"file": ("name-in-form.bin", content)},
            actor=actor,
        )

    async def complete(self, token: str, *, actor: dict[str, Any] | None = ALICE) -> Answer:
        url = f"/-/files/upload/{self.source}/-/complete"
        return await self.request("POST", url, json={"upload_token": token}, actor=actor)

    async def three_steps(
        self, content: bytes, filename: str = "note.txt", **declared: Any
    ) -> Answer:
        """Prepare, send, complete: the first answer that is an error, else the last."""
        prepared = await self.prepare(filename, **declared)
        if prepared.status != 200:
            return prepared
        sent = await self.send(prepared.json, content)
        if sent.status != 200:
            return sent
        return await self.complete(prepared.json["upload_token"])

    async def upload(
        self, content: bytes = b"hello", filename: str = "note.txt", **declared: Any
    ) -> dict[str, Any]:
        """The record of a file that went up."""
        completed = await self.three_steps(content, filename, **declared)
        assert completed.status == 201, completed
        record: dict[str, Any] = completed.json["file"]
        return record

    async def put(self, content: bytes, filename: str = "note.txt", **headers: str) -> Answer:
        """One raw PUT; header names with _ for -."""
        return await self.request(
            "PUT",
            f"/-/files/upload/{self.source}/{quote(filename, safe='')}",
            content=content,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    async def download(self, record: dict[str, Any], **headers: str) -> Answer:
        """The bytes as a client gets them, by way of a redirect if there is one."""
        answer = await self.request("GET", record["download_url"], headers=headers)
        if answer.status != 302 or self.kind.fetch is None:
            return answer
        assert answer.headers["cache-control"].endswith("no-store")
        sent, content = self.kind.fetch(self.storage, answer.headers["location"])
        return Answer(200, sent, content)

    async def stored(self) -> set[str]:
        """Every path in the storage, as it tells itself."""
        if self.kind.paths is not None:
            return self.kind.paths(self.storage)
        files, cursor = await self.storage.list_files("", None, 10_000)
        assert cursor is None
        return {file.path for file in files}

    async def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the internal database."""
        result = await self.datasette.get_internal_database().execute(sql, parameters)
        return [tuple(row) for row in result.rows]

    async def change(self, sql: str, *parameters: Any) -> None:
        """Change the internal database beneath the server."""
        await self.datasette.get_internal_database().execute_write(sql, parameters)

    async def sweep(self) -> None:
        """One round of the sweeper, now; what it began by itself ends before if it can."""
        sweeper = Files.of(self.datasette).sweeper
        if sweeper._deleting:
            await asyncio.wait(list(sweeper._deleting.values()), timeout=2)
        await sweeper.sweep()

    async def assert_nothing_left(self) -> None:
        """No object, no file, no upload that holds bytes, no note of bytes still to delete."""
        assert await self.stored() == set()
        assert await self.rows("SELECT * FROM datasette_files") == []
        states = await self.rows("SELECT DISTINCT state FROM datasette_files_uploads")
        assert not {("receiving",), ("received",)} & set(states)
        assert (
            await self.rows(
                # Later it is seen to that nothing was sent late.
                "SELECT path FROM datasette_files_garbage"
                " WHERE done_at IS NULL AND instructions IS NULL"
            )
            == []
        )


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
