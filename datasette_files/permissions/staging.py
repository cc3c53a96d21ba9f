"""The denial of every action on staging tables to every actor, root too.

These tables belong to their imports, which remove them. Leaves out SQL (tables/closing.py).
"""

from __future__ import annotations

import json
from typing import Any

from datasette.permissions import PermissionSQL
from datasette.resources import TableResource

from ..tables.content import STAGING_PREFIX, STAGING_SUFFIXES

_REASON = "tables of a running import are closed"
_KNOWN = f"""SELECT database_name AS parent, table_name AS child, 0 AS allow, '{_REASON}' AS reason
    FROM catalog_tables WHERE table_name LIKE :files_staging ESCAPE '!'"""
# Datasette's list of tables may be older than the table; an import notes the name of its table
# before it makes it.
_NOTED = f"""SELECT json_extract(j.options, '$.database'),
    json_extract(j.notes, '$.staging') || suffix.value, 0, '{_REASON}'
    FROM datasette_files_jobs j, json_each(:files_staging_suffixes) suffix
    WHERE j.unclean AND json_extract(j.notes, '$.staging') IS NOT NULL"""


def closed(datasette: Any, action: str, *, noted: bool) -> PermissionSQL | None:
    """The denials for an action on tables, by table: the most specific rules, which win.

    ``noted`` says whether the internal database has our tables already.
    """
    known = datasette.actions.get(action)
    if known is None or not issubclass(known.resource_class or object, TableResource):
        return None
    params = {"files_staging": STAGING_PREFIX.replace("_", "!_") + "%"}
    if not noted:
        return PermissionSQL(sql=_KNOWN, params=params)
    params["files_staging_suffixes"] = json.dumps(STAGING_SUFFIXES)
    return PermissionSQL(sql=f"{_KNOWN} UNION ALL {_NOTED}", params=params)
