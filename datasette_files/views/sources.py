"""The sources that an actor may browse or upload to, as the first page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import Response

from ..app import Files
from ..db import files as file_rows
from ..errors import PermissionDenied
from ..models import SourceTotals
from ..permissions.actions import BROWSE, UPLOAD, Actor
from ..permissions.grants import grant
from ..sources.sources import Source
from .http import Call, answer, page

_CAPABILITIES = (
    *("can_upload", "can_delete", "can_list"),
    *("can_generate_signed_urls", "requires_proxy_download"),
)


async def visible(
    files: Files, actor: Actor
) -> tuple[list[tuple[Source, bool, bool]], dict[int, SourceTotals]]:
    """``(source, may browse, may upload)`` for each source with a grant, and their totals.

    Nobody may upload to a storage that takes no files.
    """
    browse = await grant(files.datasette, actor, BROWSE)
    upload = await grant(files.datasette, actor, UPLOAD)

    def look(conn: Any) -> tuple[frozenset[str], frozenset[str], dict[int, SourceTotals]]:
        can_browse, can_upload = browse.slugs(conn), upload.slugs(conn)
        ids = [source.id for source in files.sources if source.slug in can_browse]
        return can_browse, can_upload, file_rows.totals(conn, ids)

    can_browse, can_upload, totals = await files.catalog.read(look)
    found = [
        (
            source,
            source.slug in can_browse,
            source.slug in can_upload and source.capabilities.can_upload,
        )
        for source in files.sources
        if source.slug in can_browse or source.slug in can_upload
    ]
    return found, totals


async def index(call: Call) -> Response:
    found, totals = await visible(call.files, call.actor)
    sees_files = any(can_browse for _, can_browse, _ in found)
    sees_files = sees_files or await call.files.lookup.sees_any(call.actor)
    if not (found or sees_files):
        raise PermissionDenied(
            "You may not browse or upload to any source (files-browse, files-upload), or see any"
            " file (files-view); sign in, or ask the administrator"
        )
    entries = [
        {
            "source": source,
            "can_browse": can_browse,
            "can_upload": can_upload,
            "totals": totals.get(source.id, SourceTotals()),
        }
        for source, can_browse, can_upload in found
    ]
    trash_total = await call.files.trash.visible(call.actor)
    context = {"entries": entries, "sees_files": sees_files, "trash_total": trash_total}
    return await page(call, "index.html", context)


async def sources_json(call: Call) -> Response:
    found, _ = await visible(call.files, call.actor)
    sources = []
    for source, can_browse, can_upload in found:
        capabilities = asdict(source.capabilities)
        sources.append(
            {
                "slug": source.slug,
                "label": source.label,
                "storage_type": source.config.storage,
                "capabilities": {name: capabilities[name] for name in _CAPABILITIES},
                "can_browse": can_browse,
                "can_upload": can_upload,
            }
        )
    return answer(call, {"ok": True, "sources": sources})
