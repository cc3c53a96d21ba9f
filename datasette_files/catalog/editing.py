"""Edits a file's record. Leaves out its bytes, which never change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import Any

from ..db import files as file_rows
from ..db.batching import Catalog
from ..errors import Conflict, Invalid
from ..events import Announcer, UpdateFileEvent
from ..models import FileRecord
from ..permissions.actions import Actor
from .lookup import absent

#: Bytes of a search text in UTF-8. A megabyte holds the database's only writer for over a second.
MAX_SEARCH_TEXT = 100 * 1024


@dataclass(frozen=True)
class Changes:
    """New values of a file's record. None: unchanged."""

    #: The name that people see; bytes and path stay.
    filename: str | None = None
    folder: str | None = None
    tags: tuple[str, ...] | None = None
    search_text: str | None = None

    def values(self) -> dict[str, Any]:
        """The columns to change, with their values."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def apply(self, conn: Connection, file: FileRecord) -> FileRecord:
        """Change the row of a file in the caller's transaction; return the changed record.

        Returns ``file`` itself, and records nothing, where it has these values already.
        """
        values = {
            name: value for name, value in self.values().items() if value != getattr(file, name)
        }
        if not values:
            return file
        changed = replace(file, **values)
        file_rows.change(conn, file, changed, values)
        return changed


class Editing:
    """Changes records of one Datasette's files."""

    def __init__(self, database: Catalog, announcer: Announcer) -> None:
        self._catalog = database
        self._announcer = announcer

    async def update(
        self, file: FileRecord, actor: Actor, changes: Changes, if_match: str | None = None
    ) -> FileRecord:
        """Make the changes. ``if_match`` is the ``search_text_tag`` of the text that one replaces.

        Raises Invalid for more than ``MAX_SEARCH_TEXT``, NotFound if the file is gone, Conflict if
        the text has changed meanwhile.
        """
        size = len((changes.search_text or "").encode())
        if size > MAX_SEARCH_TEXT:
            raise Invalid(
                f"search_text has {size:,} bytes, and at most {MAX_SEARCH_TEXT:,} are kept; shorten"
                " it to the words by which the file is to be found"
            )

        def change(conn: Connection) -> tuple[FileRecord, bool] | None:
            now = file_rows.get(conn, file.id)
            if now is not None and if_match not in (None, now.search_text_tag):
                raise Conflict(
                    "Somebody else has changed the search text, so yours was not saved; copy it,"
                    " reload the page and add it there"
                )
            if now is None:
                return None
            after = changes.apply(conn, now)
            return after, after is not now

        done = await self._catalog.write(change, size)
        if done is None:
            raise absent(file.id)
        changed, has_changed = done
        if has_changed:
            await self.announce([changed], actor)
        return changed

    async def announce(self, files: Iterable[FileRecord], actor: Actor) -> None:
        """Announce each changed file."""
        for file in files:
            await self._announcer.announce(UpdateFileEvent.about(file, actor))
