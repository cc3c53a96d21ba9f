"""The claim of an attempt on an upload."""

from __future__ import annotations

import asyncio
import time

from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import uploads
from datasette_files.naming import token_digest
from datasette_files.transfer.claims import Claims


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
