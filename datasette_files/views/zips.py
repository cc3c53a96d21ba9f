"""The routes of selections, which are fetched as a zip; and the answer with any zip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import Response

from .. import naming
from ..catalog.search import SearchQuery
from ..db.folders import Within
from ..db.listing import ListQuery
from ..errors import Invalid
from ..protocol.disposition import content_disposition
from ..protocol.zipfile64 import CONTENT_TYPE
from ..sources.sources import Source
from ..transfer import downloads
from ..transfer.checksums import Progress
from ..transfer.zipping import Archive, Ask, Directory
from . import files, sendfile
from .arguments import moment
from .http import Call, answer, redirect
from .stream import Streamed

#: Seconds after which a client asks again for a zip whose files are being read.
_AGAIN = 2
_FILTERS = (
    *("source", "q", "folder", "recursive", "tag"),
    *("content_type", "uploaded_by", "created_after", "created_before"),
)


async def select(call: Call) -> Response:
    """Choose files by ids or by a query, for one zip."""
    name = "files"
    if call.sends_form:
        ids: object = [value for key, value in await call.body.fields(5_100) if key == "id"]
        query = None
    else:
        body = await call.body.json()
        wanted = body.get("selection", body)
        if not isinstance(wanted, dict):
            raise Invalid('selection must be {"ids": […]}, or filters such as {"source": "…"}')
        ids, query = wanted.get("ids"), wanted
    if ids is not None:
        if query is not None and set(query) != {"ids"}:
            raise Invalid("Give ids or filters, not both")
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise Invalid('ids must be a list of file ids, such as ["df-…"]')
        made = await call.files.zips.of_ids(call.actor, ids, name)
    else:
        search = _query(call, query or {})
        within = search.listing.within.folder or (query or {}).get("source") or name
        made = await call.files.zips.of_query(call.actor, search, within.rpartition("/")[2])
    url = call.url(f"/-/files/-/selection/{made.zip.id}.zip")
    if call.sends_form:
        return redirect(url)
    return answer(
        call,
        {
            "ok": True,
            "zip_url": url,
            "files": made.zip.totals.files,
            "bytes": made.bytes,
            "refused": [{"id": one, "code": code} for one, code in made.refused],
        },
    )


def _query(call: Call, wanted: dict[str, Any]) -> SearchQuery:
    """The search that a selection's filters name. Raises Invalid."""
    if not wanted or (unknown := sorted(set(wanted) - set(_FILTERS))):
        known = ", ".join(_FILTERS)
        raise Invalid(
            f"Cannot select by {', '.join(unknown)}; send ids, or some of {known}"
            if wanted
            else f"Send ids, or some of {known}"
        )
    slug, folder = _text(wanted, "source"), wanted.get("folder")
    if slug:
        call.files.sources.get(slug)
    recursive = wanted.get("recursive", True)
    if not isinstance(recursive, bool):
        raise Invalid("recursive must be true or false")
    listing = ListQuery(
        source_ids=tuple(one.id for one in call.files.sources if slug in (None, one.slug)),
        content_types=tuple(one.lower() for one in _texts(wanted, "content_type")),
        uploaded_by=_text(wanted, "uploaded_by"),
        created_after=moment("created_after", _text(wanted, "created_after")),
        created_before=moment("created_before", _text(wanted, "created_before")),
        within=Within(
            None if folder is None else naming.check_folder(folder),
            recursive,
            naming.check_tags(_texts(wanted, "tag")),
        ),
    )
    return SearchQuery(listing, (_text(wanted, "q") or "").strip())


def _text(wanted: dict[str, Any], name: str) -> str | None:
    value = wanted.get(name)
    if value is not None and not (isinstance(value, str) and naming.storable(value)):
        raise Invalid(f"{name} must be a string of valid Unicode")
    return value or None


def _texts(wanted: dict[str, Any], name: str) -> list[str]:
    """A string, or a list of strings."""
    value = wanted.get(name) or []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise Invalid(f"{name} must be a string or a list of strings")
    return texts


async def selected(call: Call) -> Response | None:
    """The bytes of a selection's zip."""
    zips = call.files.zips
    found = await zips.open(call.actor, call.vars["selection"])
    progress = await zips.lacks(call.actor, found)
    if progress is not None:
        return being_read(call, progress)
    ask, source = zips.ask(call.actor), await zips.first_source(found)
    # The bytes at this address never change, so its last part names them.
    return await send(
        call, zips.directory(found), ask, source, name=f"{found.name}.zip", etag=f'"{found.id}"'
    )


def being_read(call: Call, progress: Progress) -> Response:
    """The answer while files are read whose crc32 is not known: a browser asks again by itself."""
    headers = {"Retry-After": str(_AGAIN), "Cache-Control": "no-store"}
    if call.wants_page:
        text = (
            f"Reading the files: {progress.done:,} of {progress.files:,} are done. The download"
            " begins by itself."
        )
        headers["Refresh"] = str(_AGAIN)
        return Response(text, 202, headers, "text/plain; charset=utf-8")
    return answer(call, {"ok": True, "ready": False, "reading": asdict(progress)}, 202, headers)


def _unchanged(headers: dict[str, str]) -> None:
    return None


async def _nothing(plan: downloads.Plan) -> None:
    return None


async def send(
    call: Call,
    directory: Directory,
    ask: Ask,
    source: Source,
    *,
    name: str,
    etag: str,
    guard: Callable[[dict[str, str]], None] = _unchanged,
    begin: Callable[[downloads.Plan], Awaitable[None]] = _nothing,
) -> Response | None:
    """Answer with a zip, or with a range of it. ``source`` gives the place for the download.

    ``guard`` changes the headers. ``begin`` runs once the first bytes are at hand, before any
    header; it may raise.
    """
    headers = {
        "Content-Disposition": content_disposition("attachment", name),
        "X-Content-Type-Options": "nosniff",
    }
    one = downloads.Representation(CONTENT_TYPE, directory.totals.length, etag, None)
    plan = downloads.plan_of(one, call.method, call.headers, headers)
    guard(plan.headers)
    if call.method == "HEAD" or not plan.pieces:
        return Response(b"", plan.status, plan.headers, plan.content_type)
    way = sendfile.amid(call.request.scope, call.send)
    async with files.place(call, source):
        body = await Archive(directory, ask).open(plan.pieces, local=way is not None)
        try:
            await begin(plan)
        except BaseException:
            await body.close()
            raise
        await Streamed(plan.status, plan.headers, plan.content_type, body).send(call, way)
    return None
