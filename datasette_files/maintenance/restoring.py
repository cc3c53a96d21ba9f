"""Uploads that ended after the last change of a catalog which was restored from a copy.

Their bytes are in the storage. The restored catalog does not know them, or takes them for
unfinished uploads, whose bytes the sweeper deletes when they expire. Here these are forgotten, so
that a walk (indexing.py) makes files of the objects, with the ids that they had: a file's path has
the ULID of its id. Leaves out the copying and restoring of the catalog itself (docs/operations.md).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial

from .. import naming
from ..db import batching, bundles, uploads
from ..db.index import New
from ..db.uploads import Unfinished
from ..sources import reading
from ..sources.sources import Source

_PAGE = 200


async def forget_ended(catalog: batching.Catalog, source: Source, url_lifetime: float) -> int:
    """Forget the unfinished uploads whose object is at its path; return how many.

    ``url_lifetime``: seconds for which a client may still send bytes to a signed URL. Waits for an
    upload that a process may still receive, a minute at most; no server should run. Raises
    StorageError, StorageUnavailable.
    """
    source.require_up()
    after, forgotten = "", 0
    while page := await catalog.query(
        partial(uploads.unfinished, source_id=source.id, after=after, limit=_PAGE)
    ):
        after = page[-1].id
        for one in page:
            if await reading.metadata(source, one.path) is not None:
                forgotten += await _forget(catalog, one, url_lifetime)
    return forgotten


async def _forget(catalog: batching.Catalog, one: Unfinished, url_lifetime: float) -> bool:
    if one.alive_until is not None:
        await asyncio.sleep(max(0.0, one.alive_until - time.time()))
    return await catalog.write(
        lambda conn: uploads.forget_stored(conn, one, time.time(), url_lifetime)
    )


def with_their_ids(conn: sqlite3.Connection, source: Source, made: list[New]) -> list[New]:
    """The new files, each with the id that its path names, if that id is free.

    Such a path is none of a folder that a person has made.
    """
    template = source.config.path_template
    named: dict[str, New] = {}
    for file in made:
        ulid = naming.ulid_in_path(template, file.path)
        if ulid is not None:
            named.setdefault(naming.ID_PREFIX + ulid, file)
    for file_id in bundles.taken(conn, named):
        del named[file_id]
    ids = {file.path: file_id for file_id, file in named.items()}
    return [
        file._replace(id=ids[file.path], folder="") if file.path in ids else file for file in made
    ]
