"""Versions of one file: those that an actor may see, and the right to add one.

Bytes under an id never change, so a new version is a new file. Leaves out the upload that makes it
(transfer/uploads.py) and its place (db/versions.py).
"""

from __future__ import annotations

from dataclasses import replace
from sqlite3 import Connection
from typing import Any

from ..db import files as rows
from ..db import versions
from ..db.batching import Catalog
from ..models import FileRecord
from ..naming import token_digest
from ..permissions.actions import EDIT, VIEW, Actor, refusal
from ..permissions.grants import Grant, require_on_file
from ..permissions.sight import sight
from .links import afresh
from .lookup import Lookup, absent


class Versions:
    """The versions of one Datasette's files."""

    def __init__(self, datasette: Any, database: Catalog, lookup: Lookup) -> None:
        self._datasette = datasette
        self._catalog = database
        self._lookup = lookup

    async def of(self, actor: Actor, file_id: str) -> list[FileRecord]:
        """The versions that the actor may see, the newest first: at least one.

        Raises NotFound, PermissionDenied.
        """
        seen = await sight(self._datasette, actor)

        def look(conn: Connection) -> list[FileRecord]:
            found = rows.versions_of(conn, file_id)
            shown = seen.among(conn, [(file.source_slug, file.id) for file in found])
            if not found:
                raise absent(file_id)
            if not shown:
                raise refusal(VIEW)
            return [file for file in found if (file.source_slug, file.id) in shown]

        return await self._catalog.query(look)

    async def replacing(self, actor: Actor, grant: Grant, file_id: str) -> Grant:
        """The grant to upload, which from here on needs ``files-edit`` on the replaced file too.

        Raises NotFound, PermissionDenied; Conflict if that file is not the newest version.
        """
        file, source = await self._lookup.existing(file_id)
        await afresh(require_on_file(self._datasette, actor, EDIT, source.slug, file_id))
        if file.superseded_by is not None:
            raise versions.superseded(file.superseded_by)

        async def renew() -> Grant:
            return await self.replacing(actor, await grant.renewed(), file_id)

        return replace(grant, renew=renew)

    async def completing(self, actor: Actor, grant: Grant, token: str) -> Grant:
        """The grant to complete the upload of a token: as ``replacing``, if it replaces a file.

        A completed upload is judged as any other, as its file is there already.
        """

        replaced = await self._catalog.read(
            lambda conn: versions.replaced_by_upload(conn, token_digest(token))
        )
        return grant if replaced is None else await self.replacing(actor, grant, replaced)
