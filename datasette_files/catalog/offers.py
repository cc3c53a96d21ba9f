"""The bulk actions that an actor may do: on a list, on each file of many, and to which source.

Leaves out the actions (bulk.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..db.batching import Catalog
from ..errors import Invalid, NotFound
from ..models import FileRecord
from ..permissions.actions import DELETE, EDIT, UPLOAD, Actor, actor_id
from ..permissions.grants import Grant
from ..permissions.sight import Sight
from ..permissions.verdicts import FileRules, file_rules
from ..sources.sources import Source, Sources
from .lookup import Lookup
from .shares import Shares

Action = Literal["delete", "restore", "purge", "move", "tag", "untag", "folder", "share"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class Rights:
    """The files to which an actor may do one action, decided in a transaction."""

    #: All of these must allow a file.
    rules: tuple[FileRules | Sight, ...] = ()
    #: Whose sources are enough, whatever the rules say.
    manage: Grant | None = None

    def allowed(self, conn: sqlite3.Connection, files: Iterable[FileRecord]) -> set[str]:
        """The ids of the files that may be changed."""
        files = list(files)
        managed = self.manage.slugs(conn) if self.manage else frozenset()
        found = {file.id for file in files if file.source_slug in managed}
        rest = {(file.source_slug, file.id) for file in files if file.id not in found}
        if not self.rules:
            return found
        for rules in self.rules:
            rest &= rules.among(conn, rest)
        return found | {file_id for _, file_id in rest}


class Offers:
    """The bulk actions that actors of one Datasette may do."""

    def __init__(
        self, datasette: Any, database: Catalog, sources: Sources, lookup: Lookup, shares: Shares
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._sources = sources
        self._lookup = lookup
        self._shares = shares

    def target(self, slug: str) -> Source:
        """The source to move to. Raises Invalid, and as ``Source.require_uploads``."""
        try:
            source = self._sources.get(slug)
        except NotFound:
            raise Invalid(f"to names no source: {slug!r}; send the slug of one") from None
        source.require_uploads()
        return source

    async def offered(self, actor: Actor, files: Sequence[FileRecord]) -> frozenset[Action]:
        """The actions that the actor may do to at least one of the files of a list."""
        ids = [file.id for file in files]
        wanted: dict[Action, str] = {"delete": DELETE, "tag": EDIT}
        rules = {
            action: await file_rules(self._datasette, actor, needed, ids)
            for action, needed in wanted.items()
        }

        def look(conn: sqlite3.Connection) -> set[Action]:
            pairs = [(file.source_slug, file.id) for file in files]
            return {action for action, one in rules.items() if one.among(conn, pairs)}

        found = await self._catalog.read(look)
        up = [self._sources.get(file.source_slug) for file in files]
        if not any(source.down is None and source.capabilities.can_delete for source in up):
            found.discard("delete")
        if "tag" in found:
            found |= {"untag", "folder"}
        if "delete" in found and await self.targets(actor):
            found.add("move")
        if actor_id(actor) is not None and await self._shares.shareable(actor, list(files), 1):
            found.add("share")
        return frozenset(found)

    async def targets(self, actor: Actor) -> list[Source]:
        """The sources that the actor may move files to."""
        slugs = await self._lookup.allowed_sources(actor, UPLOAD)
        return [
            source
            for source in self._sources
            if source.slug in slugs and source.down is None and source.capabilities.can_upload
        ]
