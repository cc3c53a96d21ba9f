"""One file by its id, with or without a permission, in one look-up.

Leaves out lists and searches (search.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from ..config import PluginConfig
from ..db import files as file_rows
from ..db.batching import Catalog
from ..errors import NotFound
from ..models import FileRecord
from ..permissions.actions import BROWSE, Actor
from ..permissions.grants import Grant, grant
from ..sources import reading
from ..sources.sources import Source, Sources


class Lookup:
    """Finds the files of one Datasette."""

    def __init__(
        self, datasette: Any, database: Catalog, config: PluginConfig, sources: Sources
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._config = config
        self._sources = sources

    async def find(self, file_id: str) -> tuple[FileRecord, Source] | None:
        """A file and its source, or None; without any permission check."""
        file = await self._catalog.read(lambda conn: file_rows.get(conn, file_id))
        if file is None:
            return None
        try:
            return file, self._sources.get(file.source_slug)
        except NotFound:
            return None  # its source is no longer configured

    async def existing(self, file_id: str) -> tuple[FileRecord, Source]:
        """A file and its source, without any permission check. Raises NotFound."""
        found = await self.find(file_id)
        if found is None:
            raise absent(file_id)
        return found

    async def browsable(self, actor: Actor, file_id: str) -> tuple[FileRecord, Source]:
        """A file that the actor may browse: row and permission in one look-up.

        Raises NotFound, PermissionDenied.
        """
        file, source, _ = await self._look_up(actor, file_id)
        return file, source

    async def browsable_many(
        self, actor: Actor, file_ids: Sequence[str]
    ) -> list[tuple[FileRecord, Source]]:
        """Those of the files that the actor may browse, in their order."""
        allowed = await grant(self._datasette, actor, BROWSE)

        def look(conn: Connection) -> list[tuple[FileRecord, Source]]:
            found, slugs = file_rows.by_ids(conn, file_ids), allowed.slugs(conn)
            there = (found[one] for one in file_ids if one in found)
            return [
                (file, self._sources.get(file.source_slug))
                for file in there
                if file.source_slug in slugs
            ]

        return await self._catalog.read(look)

    async def browsable_with_bytes(
        self, actor: Actor, file_id: str
    ) -> tuple[FileRecord, Source, bytes | None]:
        """As ``browsable``, with the file's bytes if it is small and in memory, else None."""
        return await self._look_up(actor, file_id, with_bytes=True)

    async def _look_up(
        self, actor: Actor, file_id: str, *, with_bytes: bool = False
    ) -> tuple[FileRecord, Source, bytes | None]:
        allowed = await grant(self._datasette, actor, BROWSE)

        def look(conn: Connection) -> tuple[FileRecord, Source, bytes | None]:
            file = file_rows.get(conn, file_id)
            if file is None or file.source_slug not in self._config.sources:
                raise absent(file_id)
            allowed.check(conn, file.source_slug)
            source = self._sources.get(file.source_slug)
            return file, source, reading.small(source, file) if with_bytes else None

        return await self._catalog.read(look)

    async def allowed_sources(self, actor: Actor, action: str) -> frozenset[str]:
        """The slugs of the configured sources on which the actor has the action's permission."""
        allowed: Grant = await grant(self._datasette, actor, action)
        return await self._catalog.read(allowed.slugs)


def absent(file_id: str) -> NotFound:
    return NotFound(f"There is no file {file_id}; it may have been deleted")
