"""Deletion: move files into the trash, restore them, and purge them for good.

A source with ``trash_days`` above 0 keeps a deleted file for that long, hidden from everything but
the trash: db/trash.py moves its row out of the catalog. The moment of the purge is set at the
deletion; a later change of ``trash_days`` does not move it. A purge deletes the row and notes its
path in one transaction; then the bytes go, now or when the storage allows it
(maintenance/sweeping.py).

Restoring needs the right to delete the file or to manage its source; purging, the right to manage
the source. The list shows a source's whole trash to actors who may browse the source and restore
all of it; to others who may browse it, their own deletions.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..db import files as file_rows
from ..db import garbage
from ..db import trash as rows
from ..db.batching import Catalog
from ..db.trash import TrashedFile, TrashPage
from ..errors import Conflict, NotFound, NotSupported
from ..events import Announcer, DeleteFileEvent, RestoreFileEvent
from ..models import FileRecord
from ..naming import storable
from ..permissions.actions import BROWSE, DELETE, MANAGE, Actor, actor_id, refusal
from ..permissions.grants import file_actions, grant, grant_on_sources
from ..sources.sources import Source, Sources
from .lookup import absent

#: Deletes the bytes at paths of a source, now or later (``Sweeper.remove``).
RemoveBytes = Callable[..., Awaitable[None]]

_DAY = 24 * 3600


@dataclass(frozen=True)
class Changed:
    """The result of a change of several files."""

    files: list[FileRecord]
    #: The ids that are not in the trash: files that were restored or purged, or never deleted.
    missing: list[str]


class Trash:
    """The trash of one Datasette."""

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        sources: Sources,
        announcer: Announcer,
        remove: RemoveBytes,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._sources = sources
        self._announcer = announcer
        self._remove = remove

    async def delete(self, source: Source, file: FileRecord, actor: Actor) -> TrashedFile | None:
        """Move the file into the trash, or delete it and return None if its source has no trash.

        In the second case its bytes are deleted now if possible, else later. Raises NotSupported,
        StorageUnavailable; NotFound for a file that another request has deleted meanwhile; Conflict
        for one that was moved to another source, where the actor may have other rights.
        """
        deleted, trashed = await self._catalog.write(
            lambda conn: self.delete_row(conn, source, file, actor)
        )
        if not deleted:
            raise absent(file.id)
        await self.after_deletion(source, [file], actor, trashed is not None)
        return trashed

    def delete_row(
        self, conn: sqlite3.Connection, source: Source, file: FileRecord, actor: Actor
    ) -> tuple[bool, TrashedFile | None]:
        """Do the part of ``delete`` that is a transaction. False for a file that is gone."""
        require_deletion(source)
        if source.trash_days:
            now = time.time()
            until = now + source.trash_days * _DAY
            trashed = rows.add(conn, file.id, actor_id(actor), now, until)
            if trashed is not None:
                _require_same_place(file, trashed.file)
            return trashed is not None, trashed
        gone = file_rows.delete(conn, file.id)
        if gone is None:
            return False, None
        _require_same_place(file, gone)
        garbage.add(conn, file.source_id, file.path, file.id, actor_id(actor))
        return True, None

    async def after_deletion(
        self, source: Source, files: Sequence[FileRecord], actor: Actor, trashed: bool
    ) -> None:
        """Delete the bytes of files that are not in the trash; announce each deletion."""
        if not trashed:
            await self._remove(source, *(file.path for file in files))
        outcome = "trashed" if trashed else "purged"
        for file in files:
            await self._announcer.announce(DeleteFileEvent.about(file, actor, outcome=outcome))

    async def deleted_by(self, file_id: str, actor: Actor) -> tuple[bool, TrashedFile | None]:
        """Tell whether this actor deleted the file recently, and its entry if it is in the trash.

        So a repeated deletion is no error. All anonymous users who may delete in the source, and
        the commands, count as one actor.
        """
        who = actor_id(actor)
        delete = await grant_on_sources(self._datasette, actor, DELETE)

        def look(conn: sqlite3.Connection) -> tuple[bool, TrashedFile | None]:
            trashed = rows.get(conn, file_id)
            if trashed is None:
                slug, by = garbage.deleted_by(conn, file_id) or (None, None)
            else:
                slug, by = trashed.file.source_slug, trashed.trashed_by
            own = slug is not None and by == who
            return own and (who is not None or slug in delete.slugs(conn)), trashed

        return await self._catalog.read(look)

    async def page(
        self, actor: Actor, source: str | None, after: str | None, limit: int
    ) -> TrashPage:
        """The part of the trash that the actor may see, of all sources or one (by slug)."""
        part = await self._part(actor)
        manage = await grant(self._datasette, actor, MANAGE)

        def look(conn: sqlite3.Connection) -> TrashPage:
            seen = part(conn)
            scopes = [scope for slug, scope in seen.items() if source in (None, slug)]
            found, token = rows.page(conn, scopes, after, limit)
            total, truncated = rows.count(conn, scopes)
            return TrashPage(found, token, total, truncated, sorted(seen), manage.slugs(conn))

        return await self._catalog.query(look)

    async def named(self, actor: Actor, file_ids: Iterable[str]) -> list[FileRecord]:
        """Those of the files that the actor sees in the trash, in their order."""
        part = await self._part(actor)

        def look(conn: sqlite3.Connection) -> list[FileRecord]:
            seen = part(conn)
            found = [trashed for one in file_ids if (trashed := rows.get(conn, one))]
            return [
                one.file
                for one in found
                if (scope := seen.get(one.file.source_slug)) is not None
                and scope.trashed_by in (None, one.trashed_by)
            ]

        return await self._catalog.read(look)

    async def _part(self, actor: Actor) -> Callable[[sqlite3.Connection], dict[str, rows.Scope]]:
        """The part of the trash that the actor may see, by slug, decided in a look-up."""
        datasette = self._datasette
        browse = await grant(datasette, actor, BROWSE)
        manage = await grant(datasette, actor, MANAGE)
        delete = await grant_on_sources(datasette, actor, DELETE)
        who = actor_id(actor)

        def part(conn: sqlite3.Connection) -> dict[str, rows.Scope]:
            restorable = manage.slugs(conn) | delete.slugs(conn)
            return {
                one.slug: rows.Scope(one.id, None if one.slug in restorable else who)
                for one in self._sources.by_id(browse.slugs(conn)).values()
                if one.slug in restorable or who is not None
            }

        return part

    async def visible(self, actor: Actor, source: Source | None = None) -> int:
        """The number of files that the actor sees in the trash, of all sources or one."""
        ids = [source.id] if source else [one.id for one in self._sources]
        if not await self._catalog.read(lambda conn: rows.holds_any(conn, ids)):
            return 0
        return (await self.page(actor, source.slug if source else None, None, 1)).total

    async def undoable(self, actor: Actor, file_id: str, source: Source) -> TrashedFile | None:
        """Return the file if it is in the source's trash and the actor may restore it."""
        if not storable(file_id):
            return None
        trashed = await self._catalog.read(lambda conn: rows.get(conn, file_id))
        if trashed is None or trashed.file.source_id != source.id:
            return None
        allowed = await file_actions(self._datasette, actor, source.slug, file_id)
        return trashed if DELETE in allowed else None

    async def restore(self, actor: Actor, file_ids: Collection[str]) -> Changed:
        """Restore all of the files that are in the trash, or none if one cannot be restored.

        Raises NotFound if none is in the trash, PermissionDenied, Conflict.
        """
        manage = await grant(self._datasette, actor, MANAGE)

        def look(conn: sqlite3.Connection) -> tuple[list[FileRecord], frozenset[str]]:
            return self._there(conn, file_ids), manage.slugs(conn)

        there, managed = await self._catalog.read(look)
        for file in there:
            if file.source_slug not in managed and DELETE not in await file_actions(
                self._datasette, actor, file.source_slug, file.id
            ):
                raise refusal(DELETE)
        return await self._restore(there, file_ids, actor)

    async def restore_by_command(self, file_ids: Collection[str]) -> Changed:
        """Restore as an administrator at the command line. Raises NotFound, Conflict."""
        there = await self._catalog.read(lambda conn: self._there(conn, file_ids))
        return await self._restore(there, file_ids, None)

    async def _restore(
        self, there: list[FileRecord], file_ids: Collection[str], actor: Actor
    ) -> Changed:
        changed = await self._change([file.id for file in there], file_ids, rows.restore)
        await self.after_restoring(changed.files, actor)
        return changed

    async def after_restoring(self, files: Iterable[FileRecord], actor: Actor) -> None:
        """Announce each restored file."""
        for file in files:
            await self._announcer.announce(RestoreFileEvent.about(file, actor))

    async def purge(self, actor: Actor, file_ids: Collection[str]) -> Changed:
        """Purge all of the files that are in the trash, or none if one cannot be purged.

        Raises NotFound if none is in the trash, PermissionDenied, NotSupported, StorageUnavailable.
        """
        manage = await grant(self._datasette, actor, MANAGE)

        def look(conn: sqlite3.Connection) -> list[FileRecord]:
            there = self._there(conn, file_ids)
            for slug in {file.source_slug for file in there}:
                manage.check(conn, slug)
            return there

        return await self._purge(await self._catalog.read(look), file_ids, actor)

    async def purge_by_command(self, file_ids: Collection[str]) -> Changed:
        """Purge as an administrator at the command line.

        Raises NotFound, NotSupported, StorageUnavailable.
        """
        there = await self._catalog.read(lambda conn: self._there(conn, file_ids))
        return await self._purge(there, file_ids, None)

    async def _purge(
        self, there: list[FileRecord], file_ids: Collection[str], actor: Actor
    ) -> Changed:
        def purge(conn: sqlite3.Connection, file_id: str) -> FileRecord | None:
            return rows.purge(conn, file_id, actor_id(actor))

        for slug in {file.source_slug for file in there}:
            require_deletion(self._sources.get(slug))
        changed = await self._change([file.id for file in there], file_ids, purge)
        by_source: dict[str, list[FileRecord]] = {}
        for file in changed.files:
            by_source.setdefault(file.source_slug, []).append(file)
        for slug, files in by_source.items():
            await self.after_deletion(self._sources.get(slug), files, actor, trashed=False)
        return changed

    def _there(self, conn: sqlite3.Connection, file_ids: Collection[str]) -> list[FileRecord]:
        """List the files that are in the trash of a source. Raises NotFound if none is."""
        found = [trashed.file for one in file_ids if (trashed := rows.get(conn, one))]
        configured = {source.slug for source in self._sources}
        there = [file for file in found if file.source_slug in configured]
        if not there:
            raise _not_in_trash()
        return there

    async def _change(
        self,
        there: list[str],
        wanted: Collection[str],
        change: Callable[[sqlite3.Connection, str], FileRecord | None],
    ) -> Changed:
        """Change the files in one transaction. A file that has left the trash is missing."""

        def write(conn: sqlite3.Connection) -> list[FileRecord]:
            changed = [file for file_id in there if (file := change(conn, file_id))]
            if not changed:
                raise _not_in_trash()
            return changed

        try:
            files = await self._catalog.write(write)
        except sqlite3.IntegrityError:
            raise Conflict(
                "Another file has the id or the path of one of these, so none was changed; ask the"
                " administrator"
            ) from None
        changed = {file.id for file in files}
        return Changed(files, [file_id for file_id in wanted if file_id not in changed])


def _not_in_trash() -> NotFound:
    return NotFound("The file is not in the trash; it may have been restored or purged")


def _require_same_place(seen: FileRecord, now: FileRecord) -> None:
    if (now.source_id, now.path) != (seen.source_id, seen.path):
        raise Conflict("The file was moved to another source just now; try again")


def require_deletion(source: Source) -> None:
    """Raise NotSupported; StorageUnavailable while the storage's capabilities are unknown."""
    source.require_up()
    if not source.capabilities.can_delete:
        raise NotSupported(f"The source {source.slug!r} does not delete files")
