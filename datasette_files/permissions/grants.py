"""Decisions about an actor, as SQL for a look-up or as one answer about a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .actions import (
    DEBUG,
    DELETE,
    EDIT,
    SHARE,
    Actor,
    FileResource,
    checked_files,
    refusal,
    whole_sources,
)


@dataclass(frozen=True)
class Grant:
    """The sources on which an actor may do an action, as SQL: decided when it runs.

    The SQL holds what configuration and plugins said when it was made. Work that takes time asks
    them again by ``renewed``.
    """

    action: str
    sql: str
    params: dict[str, Any]
    #: Makes it anew, for the same actor with the restrictions of its token. None: unconditional.
    renew: Callable[[], Awaitable[Grant]] | None = None

    async def renewed(self) -> Grant:
        """Ask for the grant again, by the permissions of this moment."""
        return self if self.renew is None else await self.renew()

    def slugs(self, conn: sqlite3.Connection) -> frozenset[str]:
        """The slugs of the sources. ``conn``: the internal database."""
        rows = conn.execute(f"SELECT parent FROM ({self.sql})", self.params)
        return frozenset(row[0] for row in rows if row[0] is not None)

    def check(self, conn: sqlite3.Connection, source: str) -> None:
        """Raise PermissionDenied unless the source is among them."""
        if source not in self.slugs(conn):
            raise refusal(self.action)


async def grant(datasette: Any, actor: Actor, action: str, source: str | None = None) -> Grant:
    """The actor's grant for an action, to be decided in the same look-up as the rows.

    ``source`` limits it to one source.
    """
    sql, params = await datasette.allowed_resources_sql(action=action, actor=actor, parent=source)
    return Grant(action, sql, params, partial(grant, datasette, actor, action, source))


async def grant_on_sources(datasette: Any, actor: Actor, action: str) -> Grant:
    """The sources of which the actor may edit (or delete) every file, by a rule about the source.

    Leaves out ownership, and other plugins' rules about single files.
    """
    token = whole_sources.set(True)
    try:
        return await grant(datasette, actor, action)
    finally:
        whole_sources.reset(token)


def administrator(action: str, source: str) -> Grant:
    """A grant for commands, which the site's administrator runs: one source, unconditionally."""
    return Grant(action, "SELECT :files_administered AS parent", {"files_administered": source})


async def require_debug(datasette: Any, actor: Actor) -> None:
    """Raise PermissionDenied unless the actor may look into the storages."""
    if not await datasette.allowed(action=DEBUG, actor=actor):
        raise refusal(DEBUG)


async def file_actions(datasette: Any, actor: Actor, source: str, file_id: str) -> set[str]:
    """The actions, of edit, delete and share, that the actor may do to the file."""
    token = checked_files.set((file_id,))
    try:
        verdicts = await datasette.allowed_many(
            actions=[EDIT, DELETE, SHARE], resource=FileResource(source, file_id), actor=actor
        )
    finally:
        checked_files.reset(token)
    return {action for action, allowed in verdicts.items() if allowed}


async def require_on_file(
    datasette: Any, actor: Actor, action: str, source: str, file_id: str
) -> None:
    """Raise PermissionDenied unless the actor may edit (or delete) the file."""
    if action not in await file_actions(datasette, actor, source, file_id):
        raise refusal(action)
