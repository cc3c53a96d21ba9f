"""The engine of uploads: why a step is refused in each state, and what a lost attempt leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import uploads as rows
from datasette_files.errors import Conflict, Expired, NotFound
from datasette_files.models import Upload
from datasette_files.naming import token_digest
from datasette_files.permissions.grants import Grant, administrator
from datasette_files.sources.sources import Source
from datasette_files.transfer.incoming import Incoming
from tests.conftest import MakeDatasette
from tests.support.storages import DirectStorage

_FAR = 9e9


async def _bytes() -> AsyncIterator[bytes]:
    yield b"hello"


class Step:
    """One prepared upload, whose row a test sets to a state."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.source: Source = files.sources.get("docs")
        self.grant: Grant = administrator("files-upload", "docs")
        self.token = ""

    async def prepare(self) -> None:
        incoming = Incoming("a.txt", "text/plain", 5)
        self.token, _ = await self.files.uploads.prepare(self.source, None, self.grant, incoming)

    async def row(self) -> Upload | None:
        found = token_digest(self.token)
        return await self.files.catalog.read(lambda conn: rows.get(conn, found))

    async def change(self, sql: str, *values: Any) -> None:
        await self.files.catalog.write(
            lambda conn: conn.execute(f"UPDATE datasette_files_uploads SET {sql}", values)
        )

    async def receive(self) -> Any:
        one = self.files.uploads
        return await one.receive(self.source, None, self.grant, self.token, _bytes())

    async def complete(self) -> Any:
        return await self.files.uploads.complete(self.source, None, self.grant, self.token)

    async def refused(self, call: Callable[[], Any], words: str, error: Any = Conflict) -> None:
        """The call is refused with these words, and changes nothing of the upload."""
        before = await self.row()
        with pytest.raises(error, match=words):
            await call()
        assert await self.row() == before


async def test_a_step_that_does_not_fit_the_state_says_why_and_changes_nothing(
    files: Files,
) -> None:
    step = Step(files)
    await step.prepare()
    await step.refused(step.complete, "No bytes have arrived")
    await step.change("state = 'receiving', claim = 'one', claimed_until = ?", _FAR)
    await step.refused(step.receive, "still being received")
    await step.refused(step.complete, "still being received")
    await step.change("claimed_until = 1")
    await step.refused(step.complete, "No bytes have arrived")
    await step.change("state = 'completed'")
    await step.refused(step.receive, "completed already")
    await step.refused(step.complete, "file was deleted", NotFound)
    await step.change("expires_at = 1, state = 'prepared'")
    await step.refused(step.receive, "prepared too long ago", Expired)
    await step.refused(step.complete, "prepared too long ago", Expired)
    step.token += "x"
    await step.refused(step.complete, "no upload with this token", NotFound)


async def test_bytes_are_received_again_until_the_upload_is_completed(files: Files) -> None:
    step = Step(files)
    await step.prepare()
    await step.receive()
    first = await step.row()
    await step.receive()
    second = await step.row()
    assert first is not None
    assert second is not None
    assert first.path != second.path
    file, is_new = await step.complete()
    assert (is_new, file.path, file.size, file.id) == (True, second.path, 5, first.file_id)
    again, is_new = await step.complete()
    assert (is_new, again.id) == (False, file.id)


async def test_a_direct_upload_takes_no_bytes_here_and_is_verified_by_one_request(
    make_datasette: MakeDatasette,
    register_storages: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_storages(DirectStorage)
    step = Step(Files.of(await make_datasette({"docs": {"storage": "direct"}})))
    await step.prepare()
    await step.refused(step.receive, "goes to the storage")
    await step.change("state = 'receiving', claim = 'one', claimed_until = ?", _FAR)
    await step.refused(step.receive, "Another request is completing")
    await step.refused(step.complete, "Another request is completing")

    async def by_another(*_: Any) -> None:
        return

    await step.change("state = 'prepared', claim = NULL")
    monkeypatch.setattr(step.files.uploads._claims, "verify_direct", by_another)
    await step.refused(step.complete, "Another request changed the upload")


async def test_an_upload_that_is_swept_while_it_is_stored_becomes_no_file(
    datasette: Datasette, tmp_path: Path
) -> None:
    step = Step(Files.of(datasette))

    async def swept() -> AsyncIterator[bytes]:
        yield b"he"
        await step.files.catalog.write(
            lambda conn: conn.execute("DELETE FROM datasette_files_uploads")
        )
        yield b"llo"

    incoming = Incoming("a.txt", "text/plain")
    with pytest.raises(Expired, match="send the file again"):
        await step.files.uploads.store(step.source, None, step.grant, incoming, swept())
    listed = "SELECT id FROM datasette_files"
    assert await step.files.catalog.read(lambda conn: conn.execute(listed).fetchall()) == []
    await step.files.sweeper.sweep()
    assert [path for path in (tmp_path / "docs").rglob("*") if path.is_file()] == []
