"""A new version in the rows that hold an older one: which rows an actor may change, and the change.

The rows are those of file columns in tables that the actor may view, and update rows of. In a cell
with several files the new id takes the place of the old one. Leaves out the SQL
(tables/version_rows.py).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

from datasette.events import UpdateRowEvent
from datasette.resources import TableResource

from ..catalog.lookup import absent
from ..catalog.versions import Versions
from ..db.columns import FileColumn
from ..db.versions import superseded
from ..errors import Conflict, FilesError, PermissionDenied
from ..models import FileRecord
from ..permissions.actions import Actor
from ..tables import version_rows as putting
from ..tables.references import Place
from ..tables.version_rows import Holder, Holders
from .columns import Columns
from .types import FilesColumnType
from .uses import UsesSearch
from .values import MAX_TEXT

logger = logging.getLogger("datasette_files")

#: Older versions that are looked for, and rows of one column that one request changes.
MAX_OLDER, MAX_ROWS = 20, 1_000
#: Seconds for the search in all columns.
_MAX_SECONDS = 5.0
_NEEDED = ("view-table", "update-row")


@dataclass(frozen=True)
class Target:
    """The rows of one column that hold an older version."""

    column: FileColumn
    holders: Holders
    #: Why the column does not take the new version; "" if it does.
    refusal: str = ""


@dataclass
class Outcome:
    """The change of several columns."""

    updated: int = 0
    #: Rows that no longer held the old version.
    changed_meanwhile: int = 0
    #: Columns that were left as they were, and why.
    refused: list[tuple[FileColumn, FilesError]] = field(default_factory=list)
    #: Whether there are, or may be, more rows.
    more: bool = False


class VersionRows:
    """Puts new versions into the rows of one Datasette."""

    def __init__(
        self, datasette: Any, versions: Versions, columns: Columns, uses: UsesSearch
    ) -> None:
        self._datasette = datasette
        self._versions = versions
        self._columns = columns
        self._uses = uses

    async def found(self, actor: Actor, file_id: str) -> tuple[FileRecord, list[Target], bool]:
        """The file, the columns that hold an older version, and whether all were searched.

        Raises NotFound, PermissionDenied; Conflict if the file is no longer the newest version.
        """
        newest, older = await self._older(actor, file_id)
        if not older:
            return newest, [], True
        viewable, all_viewable = await self._uses.columns(actor, "view-table")
        alterable, all_alterable = await self._uses.columns(actor, "update-row")
        complete, ends = all_viewable and all_alterable, time.monotonic() + _MAX_SECONDS
        targets = []
        for column in viewable:
            if column not in alterable or not self._database(column).is_mutable:
                continue
            holders = await self._holders(column, older, ends)
            complete = complete and holders.missed is None
            if holders.rows or holders.missed:
                refusal = await self._columns.first_refused(column.config, [[file_id]])
                targets.append(Target(column, holders, refusal[1] if refusal else ""))
        return newest, targets, complete

    async def put(
        self, actor: Actor, file_id: str, chosen: list[tuple[str, str, str]] | None
    ) -> Outcome:
        """Put the file into the rows of these columns, by database, table and name; None: of all.

        Raises as ``found``.
        """
        _, targets, complete = await self.found(actor, file_id)
        outcome = Outcome(more=not complete)
        for target in targets:
            column = target.column
            if chosen is None or (column.database, column.table, column.column) in chosen:
                outcome.more |= target.holders.more
                try:
                    await self._put(actor, file_id, target, outcome)
                except FilesError as error:
                    outcome.refused.append((column, error))
        return outcome

    async def _put(self, actor: Actor, file_id: str, target: Target, outcome: Outcome) -> None:
        column, rows = target.column, target.holders.rows
        if target.refusal:
            raise Conflict(target.refusal)
        # The search may have taken seconds.
        _, older = await self._older(actor, file_id)
        resource = TableResource(database=column.database, table=column.table)
        verdicts = await self._datasette.allowed_many(
            actions=_NEEDED, resource=resource, actor=actor
        )
        if not all(verdicts.values()):
            raise PermissionDenied("You may no longer change rows of this table")
        wanted = frozenset(older)
        several = column.type == "files"

        def changed(value: str) -> str | None:
            if not several:
                return file_id if value in wanted else None
            return _in_array(value, wanted, file_id)

        try:
            done = await putting.put(self._database(column), _place(column), rows, changed)
        except sqlite3.DatabaseError as error:
            logger.info("%s.%s was not changed: %s", column.table, column.column, error)
            raise Conflict(
                f"The database refused the change: {error}; look at the table, then try again"
            ) from None
        outcome.updated += len(done)
        outcome.changed_meanwhile += len(rows) - len(done)
        await self._announce(actor, column, done)

    async def _announce(self, actor: Actor, column: FileColumn, rows: list[Holder]) -> None:
        for row in rows:
            event = UpdateRowEvent(
                actor=actor, database=column.database, table=column.table, pks=list(row.keys)
            )
            await self._datasette.track_event(event)

    async def _older(self, actor: Actor, file_id: str) -> tuple[FileRecord, list[str]]:
        """The file, and the ids of the newest of its older versions that the actor may see."""
        found = await self._versions.of(actor, file_id)
        file = next((one for one in found if one.id == file_id), None)
        if file is None:  # in the trash, or another version alone is theirs to see
            raise absent(file_id)
        if file.superseded_by is not None:
            raise superseded(file.superseded_by)
        return file, [one.id for one in found if one.id != file_id][:MAX_OLDER]

    async def _holders(self, column: FileColumn, older: list[str], ends: float) -> Holders:
        left = int((ends - time.monotonic()) * 1000)
        if left <= 0:
            return Holders([], more=True, missed="timeout")
        return await putting.find(
            self._database(column),
            _place(column),
            older,
            limit=MAX_ROWS,
            ms=min(left, self._datasette.setting("sql_time_limit_ms")),
            longest=MAX_TEXT,
        )

    def _database(self, column: FileColumn) -> Any:
        return self._datasette.databases[column.database]


def _place(column: FileColumn) -> Place:
    return Place(column.table, column.column, column.type == "files")


def _in_array(value: str, older: frozenset[str], newer: str) -> str | None:
    """An array of ids with the newer one in the place of the first older one.

    None for a value that is no array of ids, or holds none of the older ones.
    """
    ids = FilesColumnType.ids(value)
    if ids is None or older.isdisjoint(ids):
        return None
    put: dict[str, None] = {}
    for one in ids:
        put[newer if one in older else one] = None
    return json.dumps(list(put))
