"""The claim of an attempt on an upload."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.base import FileMetadata
from datasette_files.db import uploads
from datasette_files.errors import Conflict, Expired, StorageError
from datasette_files.naming import token_digest
from datasette_files.permissions.grants import grant
from datasette_files.transfer.claims import Claims
from datasette_files.transfer.incoming import Incoming
from tests.conftest import MakeDatasette
from tests.support.storages import DirectStorage


async def test_a_claim_is_renewed_while_an_upload_of_unknown_size_is_verified(
    datasette: Datasette,
) -> None:
    prepared = await datasette.client.post(
        "/-/files/upload/docs/-/prepare", json={"filename": "a.txt"}
    )
    files, upload_id = Files.of(datasette), token_digest(prepared.json()["upload_token"])
    found = await files.catalog.read(lambda conn: uploads.get(conn, upload_id))
    assert found is not None
    assert found.size is None
    claims = Claims(files.catalog, 0.2, files.sweeper)
    upload, now = claims.new(found, time.time()), time.time()
    assert await files.catalog.write(lambda conn: uploads.claim(conn, upload, now))
    alive = asyncio.create_task(claims._keep(upload))
    try:
        until = upload.claimed_until
        while until == upload.claimed_until:
            assert not alive.done()
            await asyncio.sleep(0.02)
            kept = await files.catalog.read(lambda conn: uploads.get(conn, upload_id))
            assert kept is not None
            until = kept.claimed_until
    finally:
        alive.cancel()
    assert kept.claim == upload.claim


async def test_a_direct_upload_to_which_nothing_came_is_as_it_was_found(
    make_datasette: MakeDatasette, register_storages: Callable[..., None]
) -> None:
    """So the sweeper notes what may still come to it as garbage, and a client in time goes on."""
    register_storages(DirectStorage)
    datasette = await make_datasette({"docs": {"storage": "direct"}})
    files, right = Files.of(datasette), await grant(datasette, None, "files-upload")
    source, incoming = files.sources.get("docs"), Incoming("a.txt", "text/plain", 5)
    token, _ = await files.uploads.prepare(source, None, right, incoming)
    upload_id = token_digest(token)

    async def completed(error: type[Exception], state: str, expires_at: float | None) -> None:
        with pytest.raises(error):
            await files.uploads.complete(source, None, right, token)
        found = await files.catalog.read(lambda conn: uploads.get(conn, upload_id))
        assert found is not None
        assert (found.state, found.claim) == (state, None)
        assert found.expires_at == expires_at or expires_at is None

    await completed(Conflict, "prepared", None)
    late = "UPDATE datasette_files_uploads SET expires_at = 1"
    await files.catalog.write(lambda conn: conn.execute(late))
    await completed(Expired, "prepared", 1.0)
    await files.sweeper.sweep()
    found = await files.catalog.read(lambda conn: uploads.get(conn, upload_id))
    assert found is not None
    await completed(Expired, "expired", found.expires_at)

    async def fails(*_: object) -> FileMetadata:
        raise OSError("away")

    source.storage.finish_upload = fails  # type: ignore[method-assign]
    await completed(StorageError, "prepared", None)
    claims = Claims(files.catalog, 60, files.sweeper)
    for state, late, error in (("receiving", 9e9, Conflict), ("completed", 1, Conflict)):
        await files.catalog.write(
            lambda conn, state=state, late=late: conn.execute(
                "UPDATE datasette_files_uploads SET state = ?, claimed_until = ?", (state, late)
            )
        )
        with pytest.raises(error, match="Another request is completing"):
            await claims.verify_direct(source, found, right)
    await files.catalog.write(lambda conn: uploads.forget(conn, upload_id))
    with pytest.raises(Expired):
        await claims.verify_direct(source, found, right)
