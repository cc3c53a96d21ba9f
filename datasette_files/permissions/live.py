"""Permissions on the databases of live tables: whoever may see the file now, and nobody else.

The rules are of the database, and also of each table and stored query for those who are shut out,
so that no rule of another plugin about one opens it. They cover the databases that Datasette's
catalog lists for other processes, too. Leaves out how long a database is open (live/).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from datasette.permissions import PermissionSQL
from datasette.resources import DatabaseResource, QueryResource, TableResource

#: Actions that seeing the file allows. Others, such as execute-sql, need Datasette's rules besides.
_SHOWN = ("view-database", "view-table")
_OF_DATABASES = (DatabaseResource, TableResource, QueryResource)
_REASON = "live tables are for those who may view the file"
#: By range, so that an index is used; naming.py has the form of the names.
_LISTED = """SELECT database_name, {child}, 0, :files_live_rule FROM {table}
    WHERE database_name >= 'file_' AND database_name < 'file`' AND length(database_name) = 31
    AND database_name NOT IN (SELECT value FROM json_each(:files_seen_live))"""


def concerns(datasette: Any, action: str) -> bool:
    """Tell whether the action is one on databases, tables or queries."""
    known = datasette.actions.get(action)
    return known is not None and issubclass(known.resource_class or object, _OF_DATABASES)


def rules(datasette: Any, action: str, attached: Mapping[str, bool]) -> PermissionSQL:
    """The rules for an action that ``concerns`` them.

    ``attached``: the databases of live tables in this process by name, and whether the actor may
    see the file of each. A database of another process is shut.
    """
    seen = [name for name, may in attached.items() if may]
    shut = [name for name, may in attached.items() if not may]
    parts = [
        "SELECT value AS parent, NULL AS child, 0 AS allow, :files_live_rule AS reason"
        " FROM json_each(:files_shut_live)",
        _LISTED.format(child="NULL", table="catalog_databases"),
    ]
    kind = datasette.actions[action].resource_class
    if issubclass(kind, TableResource):
        parts.append(_LISTED.format(child="table_name", table="catalog_tables"))
    elif issubclass(kind, QueryResource):
        parts.append(_LISTED.format(child="name", table="queries"))
    if action in _SHOWN:
        parts.append("SELECT value, NULL, 1, :files_live_rule FROM json_each(:files_seen_live)")
    return PermissionSQL(
        sql=" UNION ALL ".join(parts),
        params={
            "files_live_rule": _REASON,
            "files_seen_live": json.dumps(seen),
            "files_shut_live": json.dumps(shut),
        },
    )
