"""The rows that a zip begins with: where they are from, who may have them, what is left out.

Leaves out how they are read (columns/rows.py) and where they are kept (zips.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from datasette.resources import DatabaseResource, QueryResource, TableResource

from ..errors import Expired, PermissionDenied
from ..permissions.actions import Actor

#: The member that tells what a zip leaves out.
LEFT_OUT = "left-out.txt"
#: Why a file was left out, by code.
REASONS = {
    "permission_denied": "you may not see it",
    "not_found": "it was deleted, or its bytes are missing",
}


@dataclass(frozen=True)
class Origin:
    """A table, a stored query, or SQL of a database, whose rows a zip has."""

    database: str
    table: str | None = None
    query: str | None = None


@dataclass(frozen=True)
class Rows:
    """Rows of one of Datasette's pages, in all of its pages."""

    origin: Origin
    #: UTF-8, with a header.
    csv: bytes
    #: Sentences on what is not here.
    notes: list[str] = field(default_factory=list)
    #: The bytes of rows.schema.json, for a bundle: then ``csv`` has the form of bag_csv.py.
    schema: bytes | None = None


def left_out_text(rows: Rows, refused: list[tuple[str, str]]) -> bytes:
    """The bytes of ``LEFT_OUT``: what is not in the zip, and why."""
    return as_text(
        [*rows.notes, *(f"{file_id}: {REASONS.get(code, code)}" for file_id, code in refused)]
    )


def as_text(lines: Iterable[str]) -> bytes:
    """The bytes of a text with these lines."""
    return "".join(f"{line}\r\n" for line in lines).encode()


async def require_rows(datasette: Any, actor: Actor, origin: dict[str, Any]) -> None:
    """Raise PermissionDenied unless the actor may see such rows now; Expired if they are gone."""
    of = Origin(**origin)
    if of.database not in datasette.databases:
        raise Expired(f"The database {of.database!r} is gone; make the zip of other rows")
    needs: list[tuple[str, Any]] = []
    if of.table is not None:
        needs.append(("view-table", TableResource(of.database, of.table)))
    elif of.query is not None:
        query = await datasette.get_query(of.database, of.query)
        if query is None:
            raise Expired(f"The query {of.query!r} is gone; make the zip of other rows")
        needs.append(("view-query", QueryResource(of.database, of.query)))
    if of.table is None and not (of.query is not None and query.is_trusted):
        needs.append(("execute-sql", DatabaseResource(of.database)))
    for action, resource in needs:
        if not await datasette.allowed(action=action, resource=resource, actor=actor):
            raise PermissionDenied("You may no longer see the rows of this zip; ask for access")
