"""Who may see a source's database: exactly those who may browse the source.

The most specific rules, for the database and for each table and stored query, so that no other
rule opens it to anybody else. A denial of Datasette's or of another plugin about the database still
holds, and running SQL needs Datasette's ``execute-sql`` besides. A token that is restricted needs
``files-browse`` as well as Datasette's actions.
"""

from __future__ import annotations

import json
from typing import Any

from datasette.permissions import PermissionSQL
from datasette.resources import DatabaseResource, QueryResource, TableResource

from ..db.source_database import of_sources
from ..db.source_views import SEARCH, TABLES
from .actions import BROWSE, Actor

#: Database, table or None, whether it is allowed, and why.
_Row = tuple[str, str | None, int, str]
_SHOWS = ("view-database", "view-table")
#: Of datasette-enrichments, which keeps its jobs in the database that it enriches.
_WRITES = ("enrichments",)
_OPEN, _CLOSED = "files-browse on its source", "no files-browse on its source"
_FIXED = "nothing can be written through it"
_RULES = "SELECT column1 AS parent, column2 AS child, column3 AS allow, column4 AS reason"
_QUERIES = f"""SELECT database_name, name, 0, '{_CLOSED}' FROM queries
    WHERE database_name IN (SELECT value FROM json_each(:files_tables_closed))"""


async def rules(datasette: Any, actor: Actor, action: str) -> PermissionSQL | None:
    """The rules for an action of Datasette on databases, tables or stored queries.

    The sources are asked here, and not within Datasette's query, which would ask them anew for
    every table of the site.
    """
    found = of_sources(datasette)
    known = datasette.actions.get(action)
    kind = (known and known.resource_class) or object
    if not found or not issubclass(kind, DatabaseResource | TableResource | QueryResource):
        return None
    sql, params = await datasette.allowed_resources_sql(action=BROWSE, actor=actor)
    rows = await datasette.get_internal_database().execute(sql, params)
    browsed = {row["parent"] for row in rows}
    closed = [name for name, one in found.items() if one.slug not in browsed]
    values: list[_Row] = [(name, None, 0, _CLOSED) for name in closed]
    if issubclass(kind, TableResource):
        values += [(name, table, 0, _CLOSED) for name in closed for table in (*TABLES, SEARCH)]
    if action in _SHOWS:
        values += [(name, None, 1, _OPEN) for name in found.keys() - set(closed)]
    if action in _WRITES:
        values += [(name, None, 0, _FIXED) for name in found]
    selects = [f"{_RULES} FROM (VALUES {', '.join(map(_literal, values))})"] if values else []
    given: dict[str, Any] = {}
    if issubclass(kind, QueryResource) and closed:
        selects.append(_QUERIES)
        given["files_tables_closed"] = json.dumps(closed)
    return PermissionSQL(sql=" UNION ALL ".join(selects), params=given) if selects else None


def _literal(row: _Row) -> str:
    # The names of sources and tables hold letters, digits, _ and -, so they need no escaping.
    name, table, allow, reason = row
    return f"('{name}', {'NULL' if table is None else repr(table)}, {allow}, '{reason}')"
