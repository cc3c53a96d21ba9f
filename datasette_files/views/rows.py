"""Datasette's pages of rows in formats of ours: their files as a zip.

Datasette has checked before that the actor may see the rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from datasette.utils.asgi import Response

from ..app import Files
from ..columns.rows import RowsPage
from ..errors import FilesError, Invalid
from . import zips
from .body import Body
from .http import Call, failure, redirect


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
    """Make the zip of all rows, and lead to it: a browser to its page, a program to its bytes."""
    call = _call(datasette, request, is_page=False)

    async def make() -> Response:
        shown = RowsPage(
            *(request, database, table, list(columns), list(rows)), query_name, truncated
        )
        read, ids = await call.files.rows.read(shown)
        name = table or query_name or database
        made = await call.files.zips.of_rows(call.actor, read, ids, name)
        return redirect(zips.page_url(call, made) if call.wants_page else zips.url(call, made), 302)

    return await _answered(call, error, make)
