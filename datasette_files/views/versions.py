"""The routes of versions: the newest one's address, the list, and an old one as the newest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datasette.utils.asgi import Response

from ..models import FileRecord
from ..permissions.actions import EDIT, UPLOAD
from ..permissions.grants import Grant, grant
from ..sources import reading
from ..sources.sources import Source
from ..transfer.incoming import Incoming
from . import records, version_rows
from .http import Call, answer, redirect

_SHOWN = ("id", "filename", "size", "created_at", "uploaded_by")


async def versions_json(call: Call) -> Response:
    found = await call.files.versions.of(call.actor, call.vars["file_id"])
    shown = [{name: getattr(one, name) for name in _SHOWN} for one in found]
    return answer(call, {"ok": True, "versions": shown})


async def latest(call: Call) -> Response:
    return await _latest(call, "url")


async def latest_download(call: Call) -> Response:
    return await _latest(call, "download_url")


async def _latest(call: Call, name: str) -> Response:
    newest = (await call.files.versions.of(call.actor, call.vars["file_id"]))[0]
    answered = redirect(records.urls(call, newest.id)[name], 302)
    answered.headers["Cache-Control"] = "private, no-cache"
    return answered


async def restore(call: Call) -> Response:
    """Store the bytes of a version anew, as the newest one."""
    file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    newest = (await call.files.versions.of(call.actor, file.id))[0]
    allowed = await grant(call.datasette, call.actor, UPLOAD, source.slug)
    allowed = await call.files.versions.replacing(call.actor, allowed, newest.id)
    incoming = Incoming(
        *(file.filename, file.type, file.size, file.sha256, file.folder, file.tags, newest.id)
    )
    stored = await call.files.uploads.store(
        source, call.actor_id, allowed, incoming, reading.whole(source, file)
    )
    await call.files.uploaded(source, stored, call.actor)
    if call.wants_page:
        return redirect(records.urls(call, stored.id)["url"])
    return answer(call, {"ok": True, "file": records.uploaded(call, stored)}, 201)


async def replacing(
    call: Call, allowed: Grant, incoming: Incoming, file_id: str | None
) -> tuple[Grant, Incoming]:
    """The grant and the file of an upload, which replaces another file if ``file_id`` names one.

    What comes by a link replaces nothing.
    """
    if not file_id or call.link:
        return allowed, incoming
    allowed = await call.files.versions.replacing(call.actor, allowed, file_id)
    return allowed, replace(incoming, replaces=file_id)


async def of_file(
    call: Call, source: Source, file: FileRecord, allowed: set[str]
) -> dict[str, Any]:
    """The context of _versions.html."""
    found = await call.files.versions.of(call.actor, file.id) if file.series else [file]
    uploadable = await call.files.lookup.allowed_sources(call.actor, UPLOAD)
    takes = source.down is None and source.capabilities.can_upload and source.slug in uploadable
    is_newest = file.superseded_by is None
    return {
        "rows_url": call.url(f"/-/files/{file.id}/rows")
        if is_newest and len(found) > 1 and await version_rows.offered(call, call.actor)
        else None,
        "versions": [{**records.full(call, one), "number": one.version} for one in found],
        "is_newest": is_newest,
        "can_replace": EDIT in allowed and takes,
        "upload_url": call.url(f"/-/files/upload/{source.slug}"),
    }
