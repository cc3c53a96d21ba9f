"""The audit: read by who manages sources; and the uses of files, which are written in batches.

Changes are recorded in their own transactions (db/audit.py). A download has none, so it leaves its
entry here, and all that wait are written together within a second, at the latest when the server
ends. Leaves out when entries are deleted (maintenance/retention.py).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..config import PluginConfig
from ..db import audit as rows
from ..db import audit_pages, tokens
from ..db.audit import Action, Note
from ..db.audit_pages import Entry, Wanted
from ..db.batching import Catalog
from ..jobs.parallel import to_its_end
from ..models import FileRecord
from ..permissions.actions import MANAGE, Actor, refusal
from ..permissions.grants import Grant, grant
from ..permissions.tables import may_view_table
from ..sources.sources import Sources
from .links import afresh

logger = logging.getLogger("datasette_files")

#: Seconds that an entry waits, and those after a failed attempt to write.
_PAUSE, _PAUSE_AFTER_FAILURE = 1.0, 5.0
#: Entries that wait; who adds one more waits until they are written.
_MAX_WAITING = 1_000
#: Bytes of an entry, so that many share no transaction with other writes.
_BYTES = 256
#: Entries that an export reads at once.
_EXPORTED = 1_000
#: The name of this list in its pages' tokens.
_LIST = "audit"


@dataclass(frozen=True)
class AuditPage:
    """One page of the audit, the newest entry first."""

    entries: list[Entry]
    #: The token of the next page, or None at the end.
    next: str | None
    #: The slugs of the sources that the actor manages.
    sources: list[str]


class Audit:
    """The audit of one Datasette."""

    def __init__(
        self, config: PluginConfig, datasette: Any, database: Catalog, sources: Sources
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._sources = sources
        #: Whether downloads by users of the site are recorded.
        self.has_downloads = config.audit_downloads
        #: By a key: entries of continued downloads with the same key are one.
        self._waiting: dict[object, Note] = {}
        self._writer: asyncio.Task[None] | None = None

    # Reading

    async def page(
        self, actor: Actor, wanted: Wanted, source: str | None, token: str | None, limit: int
    ) -> AuditPage:
        """A page of the entries of the sources that the actor manages, or of one of them.

        Raises PermissionDenied, NotFound for an unknown source, Invalid for a wrong token.
        """
        if source is not None:
            self._sources.get(source)
        end = None
        if token is not None:
            end = tokens.decode_token(_LIST, token)[1]
        manage = await grant(self._datasette, actor, MANAGE)
        return await self._page(actor, manage, wanted, source, end, limit)

    async def _page(
        self,
        actor: Actor,
        manage: Grant,
        wanted: Wanted,
        source: str | None,
        end: int | None,
        limit: int,
    ) -> AuditPage:
        def look(conn: sqlite3.Connection) -> tuple[list[Entry], int | None, list[str]]:
            managed = self._sources.by_id(manage.slugs(conn))
            if not managed:
                raise refusal(MANAGE)
            if source is not None:
                manage.check(conn, source)
            ids = [id_ for id_, one in managed.items() if source in (None, one.slug)]
            found, following = audit_pages.page(conn, wanted, ids, end, limit)
            return found, following, sorted(one.slug for one in managed.values())

        found, following, slugs = await self._catalog.query(look)
        entries = await self._without_hidden_tables(actor, found)
        next_ = None if following is None else tokens.encode_token(_LIST, 0, following)
        return AuditPage(entries, next_, slugs)

    async def _without_hidden_tables(self, actor: Actor, entries: list[Entry]) -> list[Entry]:
        """The entries; those of imports name only tables that the actor may view."""
        verdicts: dict[tuple[str, str], bool] = {}
        for one in entries:
            if one.action == "import":
                table = str(one.detail.get("database")), str(one.detail.get("table"))
                if table not in verdicts:
                    verdicts[table] = await may_view_table(self._datasette, actor, *table)
                if not verdicts[table]:
                    del one.detail["database"], one.detail["table"]
        return entries

    async def export(
        self, actor: Actor, wanted: Wanted, source: str | None
    ) -> AsyncGenerator[list[Entry], None]:
        """All of the entries, page by page; the permission is asked again for each page.

        Raises as ``page``; PermissionDenied also in the middle.
        """
        token: str | None = None
        while True:
            found = await afresh(self.page(actor, wanted, source, token, _EXPORTED))
            yield found.entries
            token = found.next
            if token is None:
                return

    # Uses

    async def downloaded(self, action: Action, file: FileRecord, *, continued: bool) -> None:
        """Record that a file's bytes are sent or their address is given, if the site wants that."""
        if self.has_downloads:
            await self.used(action, [file], continued=continued)

    async def zipped(self, files: Mapping[int, int], *, continued: bool) -> None:
        """Record that a zip is sent. ``files``: their number by the id of their source."""
        detail = {"continued": True} if continued else {}
        notes = [
            rows.note("zip", source_id, {"files": number, **detail})
            for source_id, number in files.items()
        ]
        await self._note(notes, continued=continued)

    async def used(
        self,
        action: Action,
        files: Collection[FileRecord],
        *,
        link: str | None = None,
        continued: bool = False,
    ) -> None:
        """Record a use of files, for a link always. ``continued``: it goes on with an earlier one.

        Returns at once, but waits while too many entries do. Raises NoSpace and StorageUnavailable
        if they cannot be written.
        """
        detail: dict[str, Any] = {"continued": True} if continued else {}
        notes = [
            rows.note(
                action,
                file.source_id,
                {"filename": file.filename, **detail},
                file_id=file.id,
                link=link,
            )
            for file in files
        ]
        await self._note(notes, continued=continued)

    async def opened(self, source_id: int, link: str) -> None:
        """Record that the page of an upload link was opened."""
        await self._note([rows.note("open", source_id, {}, link=link)], continued=False)

    async def _note(self, notes: list[Note], *, continued: bool) -> None:
        for one in notes:
            key = (one.by, one.action, one.file_id, one.source_id, one.link)
            self._waiting.setdefault(key if continued else object(), one)
        if len(self._waiting) > _MAX_WAITING:
            await to_its_end(self.write_waiting())
        elif self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        pause = _PAUSE
        while self._waiting:
            await asyncio.sleep(pause)
            try:
                await to_its_end(self.write_waiting())
            except Exception:
                logger.exception("Entries of the audit cannot be written; it is tried again")
                pause = _PAUSE_AFTER_FAILURE

    async def write_waiting(self) -> None:
        """Write the entries that wait. Those that fail wait on."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        notes = list(waiting.values())
        try:
            await self._catalog.write(lambda conn: rows.add(conn, *notes), _BYTES * len(notes))
        except Exception:
            self._waiting = {**waiting, **self._waiting}
            raise

    async def close(self) -> None:
        """Write what waits, as the server ends."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        try:
            await self.write_waiting()
        except Exception:
            # The rest of the plugin is to end all the same.
            logger.exception("%d entries of the audit are lost", len(self._waiting))
