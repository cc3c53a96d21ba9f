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
from .actions import Actor
from .rules import browsable

_SHOWS = ("view-database", "view-table")
_CHILDREN = (
    """SELECT c.name, t.value, 0, c.reason FROM closed c, json_each(:files_tables_names) t"""
)
_QUERIES = """SELECT c.name, q.name, 0, c.reason FROM closed c
    JOIN queries q ON q.database_name = c.name"""


async def rules(datasette: Any, actor: Actor, action: str) -> PermissionSQL | None:
    """The rules for an action of Datasette on databases, tables or stored queries."""
    found = of_sources(datasette)
    known = datasette.actions.get(action)
    kind = (known and known.resource_class) or object
    if not found or not issubclass(kind, DatabaseResource | TableResource | QueryResource):
        return None
    browsed, params = await browsable(datasette, actor)
    params["files_tables"] = json.dumps({name: one.slug for name, one in found.items()})
    selects = ["SELECT name AS parent, NULL AS child, 0 AS allow, reason FROM closed"]
    if issubclass(kind, TableResource):
        selects.append(_CHILDREN)
        params["files_tables_names"] = json.dumps([*TABLES, SEARCH])
    elif issubclass(kind, QueryResource):
        selects.append(_QUERIES)
    if action in _SHOWS:
        selects.append("SELECT name, NULL, 1, 'files-browse on its source' FROM open")
    # Datasette joins rules by UNION, in which a WITH has to be a query of its own.
    sql = f"""SELECT * FROM (WITH browsed AS MATERIALIZED (SELECT parent FROM ({browsed})),
        own AS (SELECT key AS name, value IN (SELECT parent FROM browsed) AS is_open
            FROM json_each(:files_tables)),
        closed AS (SELECT name, 'no files-browse on its source' AS reason FROM own
            WHERE NOT is_open),
        open AS (SELECT name FROM own WHERE is_open)
        {" UNION ALL ".join(selects)})"""
    return PermissionSQL(sql=sql, params=params)
