"""One file by its id, with or without a permission, in one look-up.

Leaves out lists and searches (search.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from sqlite3 import Connection
from typing import Any, TypeVar

from ..config import PluginConfig
from ..db import duplicates
from ..db import files as file_rows
from ..db.batching import Catalog
from ..errors import NotFound, PermissionDenied
from ..models import FileRecord
from ..permissions.actions import BROWSE, Actor
from ..permissions.grants import Grant, grant
from ..permissions.sight import sight
from ..sources import reading
from ..sources.sources import Source, Sources

_T = TypeVar("_T")
#: Raises PermissionDenied unless the file may be seen.
Check = Callable[[Connection, FileRecord], None]


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

    async def visible(self, actor: Actor, file_id: str) -> tuple[FileRecord, Source]:
        """A file that the actor may see: row and permission in one look-up.

        Raises NotFound, PermissionDenied.
        """
        file, source, _ = await self._look_up(actor, file_id, lambda conn, file, source: None)
        return file, source

    async def visible_with_bytes(
        self, actor: Actor, file_id: str
    ) -> tuple[FileRecord, Source, bytes | None]:
        """As ``visible``, with the file's bytes if it is small and in memory, else None."""
        return await self._look_up(
            actor, file_id, lambda conn, file, source: reading.small(source, file)
        )

    async def visible_and(
        self, actor: Actor, file_id: str, also: Callable[[Connection, FileRecord], _T]
    ) -> tuple[FileRecord, Source, _T]:
        """As ``visible``, with what ``also`` reads of the file in the same look-up."""
        return await self._look_up(actor, file_id, lambda conn, file, source: also(conn, file))

    async def _look_up(
        self, actor: Actor, file_id: str, also: Callable[[Connection, FileRecord, Source], _T]
    ) -> tuple[FileRecord, Source, _T]:
        browse = await grant(self._datasette, actor, BROWSE)

        def look(conn: Connection, check: Check) -> tuple[FileRecord, Source, _T]:
            file = file_rows.get(conn, file_id)
            if file is None or file.source_slug not in self._config.sources:
                raise absent(file_id)
            check(conn, file)
            source = self._sources.get(file.source_slug)
            return file, source, also(conn, file, source)

        try:
            return await self._catalog.read(
                lambda conn: look(conn, lambda conn, file: browse.check(conn, file.source_slug))
            )
        except PermissionDenied:
            # Few actors have grants on single files, so those rules are gathered for them alone.
            seen = await sight(self._datasette, actor)
            return await self._catalog.read(lambda conn: look(conn, seen.check))

    async def visible_many(
        self, actor: Actor, file_ids: Collection[str]
    ) -> list[tuple[FileRecord, Source]]:
        """Those of the files that the actor may see, in their order."""
        seen = await sight(self._datasette, actor)

        def look(conn: Connection) -> list[tuple[FileRecord, Source]]:
            found = file_rows.by_ids(conn, file_ids)
            files = [found[one] for one in file_ids if one in found]
            shown = seen.among(conn, {(file.source_slug, file.id) for file in files})
            return [
                (file, self._sources.get(file.source_slug))
                for file in files
                if (file.source_slug, file.id) in shown
            ]

        return await self._catalog.read(look)

    async def duplicate_of(self, actor: Actor, file: FileRecord) -> FileRecord | None:
        """The oldest file of its source with the same bytes, older than it, that the actor may see.

        None for an empty file, of which a source may hold many.
        """
        if not file.size:
            return None
        found = await self._catalog.read(lambda conn: duplicates.before(conn, file))
        if not found:
            return None
        seen = await self.visible_among(actor, [(one.source_slug, one.id) for one in found])
        return next((one for one in found if (one.source_slug, one.id) in seen), None)

    async def visible_among(
        self, actor: Actor, files: Collection[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        """Those of the files, each ``(slug, id)``, that the actor may see."""
        seen = await sight(self._datasette, actor)
        return await self._catalog.read(lambda conn: seen.among(conn, files))

    async def sees(self, actor: Actor, file: FileRecord) -> bool:
        """Tell whether the actor may see the file."""
        return bool(await self.visible_among(actor, [(file.source_slug, file.id)]))

    async def batch_json(self, actor: Actor, ids: list[str], base_url: str) -> str:
        """A JSON object by id, in the shape of cells, of those files that the actor may see."""
        browse = await grant(self._datasette, actor, BROWSE)

        def look(conn: Connection) -> tuple[str, list[tuple[str, str]]]:
            slugs = browse.slugs(conn)
            others = file_rows.outside(conn, ids, slugs)
            return file_rows.batch_json(conn, ids, slugs, base_url), others

        found, others = await self._catalog.query(look)
        if not others:
            return found
        seen = await sight(self._datasette, actor)

        def look_again(conn: Connection) -> str:
            slugs = seen.browse.slugs(conn)
            single = seen.among(conn, file_rows.outside(conn, ids, slugs))
            return file_rows.batch_json(conn, ids, slugs, base_url, [one for _, one in single])

        return await self._catalog.query(look_again)

    async def sees_any(self, actor: Actor) -> bool:
        """Tell whether the actor may see any file, or browse a source that may have one."""
        seen = await sight(self._datasette, actor)
        return await self._catalog.query(seen.any)

    async def allowed_sources(self, actor: Actor, action: str) -> frozenset[str]:
        """The slugs of the configured sources on which the actor has the action's permission."""
        allowed: Grant = await grant(self._datasette, actor, action)
        return await self._catalog.read(allowed.slugs)


def absent(file_id: str) -> NotFound:
    return NotFound(f"There is no file {file_id}; it may have been deleted")
