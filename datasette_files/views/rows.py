"""Datasette's pages of rows in formats of ours: their files as a zip, and as a gallery.

Datasette has checked before that the actor may see the rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from datasette.utils import path_from_row_pks
from datasette.utils.asgi import Response

from ..app import Files
from ..columns.rows import RowsPage
from ..errors import FilesError, Invalid
from . import records, words, zips
from .arguments import first_url, next_url
from .body import Body
from .http import Call, failure, page, redirect

#: Files of one gallery.
_MAX_TILES = 1_000
#: Characters of a row's label.
_MAX_LABEL = 100


async def _unsent(message: dict[str, Any]) -> None:
    raise AssertionError("a renderer returns its answer")


def _call(datasette: Any, request: Any, *, is_page: bool) -> Call:
    """The call of a renderer."""
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in request.scope["headers"]
    }
    return Call(
        request=request,
        files=Files.of(datasette),
        send=_unsent,
        headers=headers,
        body=Body(request.receive, headers),
        vars=request.url_vars,
        page=is_page,
    )


async def _answered(call: Call, error: Any, work: Callable[[], Awaitable[Response]]) -> Response:
    """The answer of a renderer; ``error`` is Datasette's, of a query."""
    try:
        if error:
            raise Invalid(str(error))
        return await work()
    except FilesError as refused:
        # None is for a client that is gone, which no error here tells.
        return await failure(call, refused) or Response(b"", 408)


async def zipped(
    datasette: Any,
    rows: Any,
    columns: Any,
    database: str,
    table: str | None,
    query_name: str | None,
    truncated: bool,
    request: Any,
    error: Any,
) -> Response:
    """Make the zip of all rows, and lead to it: a browser to its page, a program to its bytes.

    With the extension ``bundle`` the zip is a bag, from which the rows come back.
    """
    call = _call(datasette, request, is_page=False)
    typed = request.url_vars.get("format") == "bundle"

    async def make() -> Response:
        shown = RowsPage(
            *(request, database, table, list(columns), list(rows)), query_name, truncated
        )
        read, ids = await call.files.rows.read(shown, typed=typed)
        name = table or query_name or database
        made = await call.files.zips.of_rows(call.actor, read, ids, name)
        return redirect(zips.page_url(call, made) if call.wants_page else zips.url(call, made), 302)

    return await _answered(call, error, make)


async def gallery(
    datasette: Any,
    rows: Any,
    database: str,
    table: str | None,
    query_name: str | None,
    request: Any,
    data: Any,
    error: Any,
) -> Response:
    """Show the files of these rows as a grid, each with a link to its rows."""
    call = _call(datasette, request, is_page=True)

    async def show() -> Response:
        by_row = await call.files.columns.ids_by_row(rows, database, table)
        links = await _links(call, rows, database, table)
        holders: dict[str, list[dict[str, str]]] = {}
        for link, ids in zip(links, by_row, strict=True):
            for one in ids:
                holders.setdefault(one, []).extend([link] if link else [])
        shown = list(holders)[:_MAX_TILES]
        found = await call.files.lookup.visible_many(call.actor, shown)
        tiles = [{**records.listed(call, file), "rows": holders[file.id]} for file, _ in found]
        words.add(call, tiles, [file for file, _ in found])
        here = call.url(call.path).removesuffix(".gallery")
        query = f"?{request.query_string}" if request.query_string else ""
        context = {
            "files": tiles,
            "more": len(holders) - len(shown),
            "database": database,
            "of": table or query_name,
            "rows_url": here + query,
            "zip_url": f"{here}.zip{query}",
            "bundle_url": f"{here}.bundle{query}",
            "first_url": first_url(call),
            "next_url": next_url(call, data.get("next")),
            "size_urls": [],
            "selection": {"shown": False},
            "source_labels": {},
        }
        return await page(call, "gallery.html", context)

    return await _answered(call, error, show)


async def _links(
    call: Call, rows: Any, database: str, table: str | None
) -> list[dict[str, str] | None]:
    """The address and the label of each row; None for rows of a query or a view."""
    if table is None:
        return [None] * len(rows)
    one = call.datasette.databases[database]
    keys = await one.primary_keys(table)
    label = await one.label_column_for_table(table)
    base = call.datasette.urls.table(database, table)

    def link(row: Any) -> dict[str, str] | None:
        names = row.keys()
        if not set(keys or ["rowid"]).issubset(names):
            return None
        path = path_from_row_pks(row, keys, not keys)
        text = row[label] if label in names else None
        named = f"row {path}" if text in (None, "") else str(text)
        return {"url": f"{base}/{path}", "label": named[:_MAX_LABEL]}

    return [link(row) for row in rows]
