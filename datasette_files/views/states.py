"""Where a source's page cannot show its files: the ways on that it offers to this reader."""

from __future__ import annotations

from typing import Any

from datasette.utils.asgi import Response

from ..db.listing import Page
from ..db.streams import ListQuery
from ..errors import PermissionDenied
from ..permissions.actions import DEBUG, UPLOAD
from ..sources.sources import Source
from .arguments import in_folders_below
from .http import Call, page


async def closed(call: Call, refused: PermissionDenied) -> Response:
    """The page for readers who may upload to the source although they may not browse it.

    Raises ``refused`` for all others: Datasette, or a plugin for signing in, answers them.
    """
    source = call.files.sources.get(call.vars["source"])
    uploadable = await call.files.lookup.allowed_sources(call.actor, UPLOAD)
    uploads = source.slug in uploadable and source.capabilities.can_upload
    if not (uploads and call.wants_page):
        raise refused
    context = {
        "error": f"{refused}. You may upload to this source.",
        "status": refused.status,
        "upload_url": call.url(f"/-/files/upload/{source.slug}"),
    }
    return await page(call, "error.html", context, refused.status)


async def ways_on(call: Call, source: Source, query: ListQuery, found: Page) -> dict[str, Any]:
    """For the template: addresses for a source that is down and for a folder without files."""
    is_folder = query.within.folder is not None and not query.within.recursive
    storages_url = None
    if source.down and await call.datasette.allowed(action=DEBUG, actor=call.actor):
        storages_url = call.url("/-/files/storages")
    return {
        "again_url": call.own_url,
        "storages_url": storages_url,
        "in_folder": is_folder and not query.filtered,
        "below_url": in_folders_below(call) if is_folder and found.folders else None,
    }
