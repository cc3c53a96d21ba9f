"""Lists: sources, a source's files, search, and several files by id; as pages and as JSON."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import Any, cast
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ..db import files as file_rows
from ..db import listing
from ..errors import Invalid, PermissionDenied
from ..models import Page, SourceTotals
from ..permissions import BROWSE, UPLOAD, grant
from ..search import SearchQuery, search
from ..sources import Source
from . import records
from .http import Call, answer, page

_DEFAULT_SIZE = 20
_MAX_SIZE = 200
_MAX_BATCH = 200
_SIZE = re.compile(r"[0-9]{1,3}")
_SORTS = ("created_at", "filename", "size")
_CAPABILITIES = (
    "can_upload",
    "can_delete",
    "can_list",
    "can_generate_signed_urls",
    "requires_proxy_download",
)


async def _visible(call: Call) -> tuple[list[tuple[Source, bool, bool]], dict[int, SourceTotals]]:
    """``(source, may browse, may upload)`` for each source with a grant, and their totals."""
    browse = await grant(call.datasette, call.actor, BROWSE)
    upload = await grant(call.datasette, call.actor, UPLOAD)

    def look(conn: Any) -> tuple[frozenset[str], frozenset[str], dict[int, SourceTotals]]:
        can_browse, can_upload = browse.slugs(conn), upload.slugs(conn)
        ids = [source.id for source in call.files.sources if source.slug in can_browse]
        return can_browse, can_upload, file_rows.totals(conn, ids)

    can_browse, can_upload, totals = await call.files.catalog.read(look)
    visible = [
        (source, source.slug in can_browse, source.slug in can_upload)
        for source in call.files.sources
        if source.slug in can_browse or source.slug in can_upload
    ]
    return visible, totals


async def index(call: Call) -> Response:
    visible, totals = await _visible(call)
    if not visible:
        raise PermissionDenied(
            "No source of files is open to you (files-browse, files-upload); sign in, or ask the"
            " administrator"
        )
    entries = [
        {
            "source": source,
            "can_browse": can_browse,
            "can_upload": can_upload and source.capabilities.can_upload,
            "totals": totals.get(source.id, SourceTotals()),
        }
        for source, can_browse, can_upload in visible
    ]
    return await page(call, "index.html", {"entries": entries})


async def sources_json(call: Call) -> Response:
    visible, _ = await _visible(call)
    sources = []
    for source, can_browse, can_upload in visible:
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


async def batch(call: Call) -> Response:
    ids = list(dict.fromkeys(call.query.get("id", [])))
    if len(ids) > _MAX_BATCH:
        raise Invalid(f"{len(ids)} ids; at most {_MAX_BATCH} can be asked for at once")
    browse = await grant(call.datasette, call.actor, BROWSE)

    def look(conn: Any) -> str:
        return file_rows.batch_json(conn, ids, browse.slugs(conn), call.files.base_url)

    found = await call.files.catalog.query(look)
    return answer(call, f'{{"ok": true, "files": {found}}}')


async def source_json(call: Call) -> Response:
    source, _, found = await _source_list(call)
    return answer(
        call,
        {
            "ok": True,
            "source": source.slug,
            "files": [records.listed(call, file) for file in found.files],
            "total": found.total,
            "count_truncated": found.total_truncated,
            "next": found.next,
            "next_url": _next_url(call, found.next),
        },
    )


async def source_page(call: Call) -> Response:
    source, query, found = await _source_list(call)
    uploadable = await call.files.allowed_sources(call.actor, UPLOAD)
    totals = await call.files.catalog.read(lambda conn: file_rows.totals(conn, [source.id]))
    context = {
        "source": source,
        "files": [records.listed(call, file) for file in found.files],
        "found": found,
        "totals": totals.get(source.id, SourceTotals()),
        "query": query,
        "can_upload": source.slug in uploadable and source.capabilities.can_upload,
        "next_url": _next_url(call, found.next),
        "sort_urls": _sort_urls(call, query),
        "filtered": bool(_filters(query)),
        "first_url": call.url(f"/-/files/source/{source.slug}") if query.after else None,
    }
    return await page(call, "source.html", context)


async def _source_list(call: Call) -> tuple[Source, listing.ListQuery, Page]:
    source = call.files.sources.get(call.vars["source"])
    browse = await grant(call.datasette, call.actor, BROWSE, source.slug)
    query = replace(_list_query(call), source_ids=(source.id,))
    found = await search(call.files, browse, SearchQuery(query, required=source.slug))
    return source, query, found


def _list_query(call: Call) -> listing.ListQuery:
    """The query string of a list. Raises Invalid."""
    ascending, descending = call.argument("_sort"), call.argument("_sort_desc")
    if ascending and descending:
        raise Invalid("Give one of _sort and _sort_desc")
    order = ascending or descending or "created_at"
    if order not in _SORTS:
        raise Invalid(f"A list is sorted by {', '.join(_SORTS)}; not by {order}")
    content_type = call.argument("content_type")
    return listing.ListQuery(
        source_ids=(),
        order=cast(listing.Order, order),
        descending=ascending is None,
        content_type=content_type.lower() if content_type else None,
        uploaded_by=call.argument("uploaded_by"),
        created_after=_moment(call, "created_after"),
        created_before=_moment(call, "created_before"),
        after=call.argument("_next"),
        limit=_size(call),
    )


def _size(call: Call) -> int:
    value = call.argument("_size")
    if value is None:
        return _DEFAULT_SIZE
    if value == "max":
        return _MAX_SIZE
    # As many digits as the largest size has, and no more: int() of thousands of them raises.
    if not _SIZE.fullmatch(value) or not 1 <= int(value) <= _MAX_SIZE:
        raise Invalid(f"_size must be a number from 1 to {_MAX_SIZE}")
    return int(value)


def _moment(call: Call, name: str) -> str | None:
    """A date or an ISO 8601 moment, as the catalog writes it. Raises Invalid."""
    value = call.argument(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00").replace(" 00:00", "+00:00"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone.utc)
        # Not strftime: its %Y need not pad the years before 1000, and texts are compared.
        return moment.replace(tzinfo=None).isoformat(" ", "seconds")
    except (ValueError, OverflowError):
        raise Invalid(f"{name} must be a date such as 2026-03-31, or 2026-03-31T12:00:00") from None


def _filters(query: listing.ListQuery) -> dict[str, str]:
    names = ("content_type", "uploaded_by", "created_after", "created_before")
    return {name: value for name in names if (value := getattr(query, name))}


def _next_url(call: Call, token: str | None) -> str | None:
    """The page's own URL with the next page's token."""
    if token is None:
        return None
    return _with(call, {"_next": token})


def _with(call: Call, changes: dict[str, str | None]) -> str:
    pairs = [
        (name, value)
        for name, values in call.query.items()
        if name not in changes
        for value in values
    ]
    pairs.extend((name, value) for name, value in changes.items() if value is not None)
    path = call.url(call.path)
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _sort_urls(call: Call, query: listing.ListQuery) -> dict[str, str]:
    """For each column, the list sorted by it; the other way round where it is already."""
    urls = {}
    for order in _SORTS:
        current = order == query.order
        ascend = query.descending if current else order == "filename"
        changes: dict[str, str | None] = {"_next": None, "_sort": None, "_sort_desc": None}
        changes["_sort" if ascend else "_sort_desc"] = order
        urls[order] = _with(call, changes)
    return urls


async def _search(call: Call) -> tuple[str, str, Page]:
    """The words, the one source asked for or "", and the page."""
    browse = await grant(call.datasette, call.actor, BROWSE)
    q, wanted = (call.argument("q") or "").strip(), call.argument("source") or ""
    ids = tuple(source.id for source in call.files.sources if wanted in ("", source.slug))
    query = listing.ListQuery(source_ids=ids, after=call.argument("_next"), limit=_size(call))
    return q, wanted, await search(call.files, browse, SearchQuery(query, q))


async def search_json(call: Call) -> Response:
    q, wanted, found = await _search(call)
    return answer(
        call,
        {
            "ok": True,
            "q": q,
            "source": wanted,
            "files": [records.listed(call, file) for file in found.files],
            "sources": found.sources,
            "total": found.total,
            "count_truncated": found.total_truncated,
            "next": found.next,
            "next_url": _next_url(call, found.next),
        },
    )


async def search_page(call: Call) -> Response:
    q, wanted, found = await _search(call)
    context = {
        "q": q,
        "chosen": wanted,
        "sources": [source for source in call.files.sources if source.slug in found.sources],
        "files": [records.listed(call, file) for file in found.files],
        "found": found,
        "next_url": _next_url(call, found.next),
    }
    return await page(call, "search.html", context)
