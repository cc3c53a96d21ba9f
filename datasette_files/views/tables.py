"""Files and rows: the rows that refer to a file, and a page of rows with their files' records."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from datasette.utils import CustomJSONEncoder, error_body, remove_infinites
from datasette.utils.asgi import Response

from ..app import Files
from ..columns.uses import ColumnUses
from .http import Call, answer

#: Files whose records one page of rows includes: a hundred rows with one photo each have a hundred.
_MAX_FILES = 2000


async def uses_json(call: Call) -> Response:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    found = await call.files.uses.of(call.actor, file.id)
    listed = [described(call, one, file.id) for one in found.columns]
    body = {"ok": True, "file_id": file.id, "complete": found.complete, "uses": listed}
    return answer(call, body)


def described(call: Call, use: ColumnUses, file_id: str) -> dict[str, Any]:
    """A column's rows that refer to the file, as JSON and the file's page show them."""
    column = use.column
    table = call.datasette.urls.table(column.database, column.table)
    test = f"{column.column}__{'contains' if column.type == 'files' else 'exact'}"
    return {
        "database": column.database,
        "table": column.table,
        "column": column.column,
        "column_type": column.type,
        "rows": [
            {"path": row.path, "label": row.label, "url": f"{table}/{row.path}"}
            for row in use.found.rows
        ],
        "more": use.found.more,
        "complete": use.found.complete,
        "rows_url": f"{table}?{urlencode({test: file_id})}",
        "suggested_index": use.suggested_index,
    }


async def offers_files(datasette: Any, rows: Any, database: Any, table: Any, request: Any) -> bool:
    """Tell whether Datasette offers ``.files`` for these rows: if they have a file column."""
    columns = Files.of(datasette).columns
    if table is not None:
        return await columns.on_page(request, database, table)
    return bool(await columns.ids_of(rows, database, table))


async def rows_with_files(
    datasette: Any, rows: Any, database: Any, table: Any, request: Any, data: Any, error: Any
) -> Response:
    """The answer of ``.json`` for the same rows, with ``files``: the records of their files.

    Datasette has checked before that the actor may see the rows.
    """
    if error:
        return Response.json(error_body(error, 400), status=400)
    files = Files.of(datasette)
    ids = await files.columns.ids_of(rows, database, table)
    shown = ids[:_MAX_FILES]
    records = await files.lookup.batch_json(request.actor, shown, files.base_url)
    # JSON has no infinity; .json writes null too.
    body = {**data, "rows": [remove_infinites(dict(row)) for row in data["rows"]]}
    body["files_truncated"] = len(ids) > _MAX_FILES
    written = json.dumps(body, cls=CustomJSONEncoder)
    return Response(
        f'{written[:-1]}, "files": {records}}}', content_type="application/json; charset=utf-8"
    )
