"""Files on Datasette's home page: the sources that a person may browse, and the newest pictures."""

from __future__ import annotations

import logging
from typing import Any

from ..app import Files
from ..catalog.search import SearchQuery
from ..db.streams import ListQuery
from ..errors import FilesError
from ..models import FileRecord
from ..naming import plain
from ..permissions.actions import Actor
from ..permissions.sight import sight
from . import sources
from .http import part

logger = logging.getLogger("datasette_files")

_MAX_SOURCES, _MAX_PICTURES = 12, 10


async def section(datasette: Any, request: Any) -> str:
    """The section; empty for who may browse no source, and with ``homepage: false``."""
    files = Files.of(datasette)
    if not files.config.homepage:
        return ""
    found, totals = await sources.visible(files, request.actor)
    browsable = [source for source, can_browse, _ in found if can_browse]
    if not browsable:
        return ""
    path = datasette.urls.path
    context = {
        "url": path("/-/files"),
        "sources": [
            {
                "label": source.label,
                "url": path(f"/-/files/source/{source.slug}"),
                "files": totals[source.id].files if source.id in totals else 0,
            }
            for source in browsable[:_MAX_SOURCES]
        ],
        "more": len(browsable) > _MAX_SOURCES,
        "pictures": [
            {"name": plain(file.filename), "url": path(f"/-/files/{file.id}")}
            for file in await _newest(files, request.actor)
        ],
        "pictures_url": path("/-/files/search?content_type=image/*&view=grid"),
    }
    return await part(datasette, request, "_home.html", context)


async def _newest(files: Files, actor: Actor) -> list[FileRecord]:
    """The newest pictures that the actor may see; none if the search takes too long."""
    ids = tuple(source.id for source in files.sources)
    query = ListQuery(ids, content_types=("image/*",), limit=_MAX_PICTURES)
    try:
        seen = await sight(files.datasette, actor)
        return (await files.search.page(seen, SearchQuery(query))).files
    except FilesError as error:
        logger.warning("The home page shows no pictures: %s", error)
        return []
