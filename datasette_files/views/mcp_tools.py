"""Tools for programs that talk to Datasette by MCP: four of our JSON routes, asked as their actor.

datasette-mcp calls them; this module is imported only where it is installed. A tool answers what
the route answers, within the route's bounds, and its error is the route's message. Nothing can be
changed by them.
"""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from ..catalog.texts import check_text
from ..errors import Conflict
from ..naming import ID_PATTERN
from . import routes

#: Files of one answer, and characters of text: a model reads all of them.
_MAX_FILES = 50
_MAX_CHARACTERS = 20_000

_FileId = Annotated[
    str, Field(description="The id of a file, as in a search", pattern=f"^{ID_PATTERN}$")
]
_Words = Annotated[
    str, Field(description="All of these words must occur; the last may be the beginning of one")
]


def register(datasette: Any, mcp: Any) -> None:
    """Add the tools to the server of one Datasette."""
    tools = Tools(datasette)
    annotations = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in (
        tools.list_file_sources,
        tools.search_files,
        tools.describe_file,
        tools.read_file_text,
    ):
        mcp.tool(annotations=annotations)(tool)


class Tools:
    """The tools of one Datasette. The docstring of each is what a model is told of it."""

    def __init__(self, datasette: Any) -> None:
        self._datasette = datasette

    async def list_file_sources(self, ctx: Context) -> dict[str, Any]:
        """List the sources of files that are available to you: slug, label and what you may do."""
        return await self._get(ctx, "/-/files/sources.json")

    async def search_files(
        self,
        ctx: Context,
        q: _Words = "",
        source: Annotated[str, Field(description="The slug of the only source to search")] = "",
        content_type: Annotated[
            str, Field(description="A type, a pattern such as image/*, or a family such as pdf")
        ] = "",
        size: Annotated[int, Field(description="Files of one answer", ge=1, le=_MAX_FILES)] = 20,
        after: Annotated[str, Field(description="next of the answer before, for more")] = "",
    ) -> dict[str, Any]:
        """Search files by name, tags, description and the text of documents, newest first.

        Without words it lists all files. A file has its id, name, type, size and addresses, and in
        hits the pages that have the words, each with a snippet.
        """
        query = {"q": q, "source": source, "content_type": content_type, "_next": after}
        return await self._get(ctx, "/-/files/search.json", {**query, "_size": str(size)})

    async def describe_file(self, ctx: Context, file_id: _FileId) -> dict[str, Any]:
        """Tell what is known of one file, such as its name, type, size, tags and text_status."""
        return await self._get(ctx, "/-/files/{file_id}.json", file_id=file_id)

    async def read_file_text(
        self,
        ctx: Context,
        file_id: _FileId,
        page: Annotated[int, Field(description="The page to read, from 1", ge=1, le=10**8)] = 1,
        q: _Words = "",
        start: Annotated[int, Field(description="Characters of the page to skip", ge=0)] = 0,
    ) -> dict[str, Any]:
        """Read the text of one page of a document; with words, also find the pages that have them.

        pages is the number of pages. next_start is where a long page goes on, null at its end. Only
        a file whose text_status is done has text.
        """
        described = await self._get(ctx, "/-/files/{file_id}.json", file_id=file_id)
        try:
            check_text(file_id, described["text_status"], described["text_error"])
        except Conflict as error:
            raise ToolError(str(error)) from None
        query = {"page": str(page), "q": q}
        found = await self._get(ctx, "/-/files/{file_id}/text.json", query, file_id=file_id)
        text, end = found["page"]["text"], start + _MAX_CHARACTERS
        found["page"]["text"] = text[start:end]
        return {**found, "next_start": end if len(text) > end else None}

    async def _get(
        self, ctx: Context, path: str, query: dict[str, str] | None = None, **found: str
    ) -> dict[str, Any]:
        """The JSON of a route for the client's actor. Raises ToolError with its message."""
        scope = getattr(ctx.request_context.request, "scope", None) or {}
        status, body = await routes.get_json(self._datasette, scope, path, query or {}, **found)
        if status != 200:
            raise ToolError(body["error"])
        return body
