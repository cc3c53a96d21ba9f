"""Lists of files: a source's, hits of a search, and several files by id; as pages and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from datasette.utils.asgi import Response

from ..catalog.search import SearchQuery
from ..columns.unreferenced import Unreferenced
from ..db import files as file_rows
from ..db import folders as folder_rows
from ..db.listing import Page
from ..db.streams import ListQuery
from ..errors import Invalid, PermissionDenied
from ..media.families import FAMILIES
from ..permissions.actions import BROWSE, DELETE, MANAGE, SHARE, UPLOAD
from ..permissions.grants import grant
from ..permissions.sight import Sight, sight
from ..sources.sources import Source
from . import access, bulk, facts, records, shares, states, texts, unreferenced, words
from .arguments import (
    TRASHED,
    bounded,
    first_url,
    folder_url,
    folder_urls,
    kept_arguments,
    list_query,
    paging,
    size_urls,
    sort_urls,
    tag_urls,
    view_urls,
    within,
)
from .http import Call, answer, page
from .look import COLUMN, COLUMNS, columns, grid, keep_look
from .usage import room_for

_MAX_BATCH = 200


async def batch(call: Call) -> Response:
    ids = list(dict.fromkeys(call.query.get("id", [])))
    if len(ids) > _MAX_BATCH:
        raise Invalid(f"{len(ids)} ids were sent; send at most {_MAX_BATCH} at once")
    found = await call.files.lookup.batch_json(call.actor, ids, call.files.base_url)
    return answer(call, f'{{"ok": true, "files": {found}}}')


async def source_json(call: Call) -> Response:
    source, _, _, found = await _source_list(call)
    return answer(call, {"ok": True, "source": source.slug, **_as_json(call, found)})


async def source_page(call: Call) -> Response:
    try:
        source, q, query, found = await _source_list(call)
    except PermissionDenied as refused:
        return await states.closed(call, refused)
    uploadable = await call.files.lookup.allowed_sources(call.actor, UPLOAD)
    can_manage = source.slug in await call.files.lookup.allowed_sources(call.actor, MANAGE)
    contents = await call.files.catalog.read(lambda conn: file_rows.contents(conn, source.id))
    shown = found.folders
    if query.within.folder is None and not query.within.narrows and not q:
        # The page of the whole source leads to its top folders too.
        top = await call.files.catalog.read(lambda conn: folder_rows.children(conn, source.id, ""))
        shown = top[0]
    links = bounded((one, folder_url(call, one.folder)) for one in shown or [])
    context = {
        **_as_context(call, found),
        "source": source,
        "contents": contents,
        "family_names": FAMILIES,
        "q": q,
        "query": query,
        "can_upload": source.slug in uploadable and source.capabilities.can_upload,
        "sort_urls": sort_urls(call, query),
        "selection": await _selection(
            call,
            found,
            _filters(query, source.slug, q),
            [one.folder for one, _ in links],
        ),
        "can_manage": can_manage,
        "unreferenced": _described(found),
        "offers_unreferenced": can_manage
        or source.slug in await call.files.lookup.allowed_sources(call.actor, DELETE),
        "tables_url": await facts.tables_url(call, source),
        "access_url": access.source_url(call, source.slug) if can_manage else None,
        "left": await room_for(call, source) if source.slug in uploadable else None,
        "sharing": await _sharing(call, source) if source.slug in uploadable else None,
        "filtered": query.filtered or query.within.narrows or isinstance(found, Unreferenced),
        "folder_crumbs": folder_urls(call, query.within.folder or ""),
        "folders": links,
        "folders_truncated": found.folders_truncated or len(links) < len(shown or []),
        "tags": tag_urls(call, query.within.tags, found.tags),
        "trashed": await _just_trashed(call, source),
        "trash_total": await call.files.trash.visible(call.actor, source),
        **await states.ways_on(call, source, query, found),
    }
    return keep_look(call, await page(call, "source.html", context))


async def _sharing(call: Call, source: Source) -> dict[str, Any] | None:
    """The upload links of a source to which the actor may upload; None if they may make none."""
    shareable = await call.files.lookup.allowed_sources(call.actor, SHARE)
    takes = source.slug in shareable and source.capabilities.can_upload
    return await shares.of_source(call, source.slug) if takes else None


async def _just_trashed(call: Call, source: Source) -> dict[str, Any] | None:
    """The file whose deletion led to this page, where the actor may undo that."""
    file_id = call.argument(TRASHED)
    if file_id is None:
        return None
    trashed = await call.files.trash.undoable(call.actor, file_id, source)
    return records.trashed(call, trashed) if trashed else None


async def _source_list(call: Call) -> tuple[Source, str, ListQuery, Page]:
    """The source, the words, the query and the page."""
    source = call.files.sources.get(call.vars["source"])
    browse = await grant(call.datasette, call.actor, BROWSE, source.slug)
    q = (call.argument("q") or "").strip()
    query = replace(list_query(call), source_ids=(source.id,))
    if q:
        query = replace(query, within=within(call, recursive=True))
    seen, search = Sight(browse), SearchQuery(query, q, source.slug)
    if unreferenced.wanted(call):
        return source, q, query, await call.files.unreferenced.page(call.actor, seen, search)
    return source, q, query, await call.files.search.page(seen, replace(search, by_letters=True))


def _described(found: Page) -> dict[str, Any] | None:
    return unreferenced.described(found) if isinstance(found, Unreferenced) else None


async def search_json(call: Call) -> Response:
    q, wanted, _, found = await _search(call)
    described = {"ok": True, "q": q, "source": wanted, "sources": found.sources}
    return answer(call, {**described, **_as_json(call, found)})


async def search_page(call: Call) -> Response:
    q, wanted, query, found = await _search(call)
    sources = [source for source in call.files.sources if source.slug in found.sources]
    context = {
        **_as_context(call, found, names_sources=not wanted),
        "q": q,
        "query": query,
        "filtered": query.narrows,
        "family_names": FAMILIES,
        "sort_urls": sort_urls(call, query),
        "chosen": wanted,
        "selection": await _selection(call, found, _filters(query, wanted, q)),
        "sources": sources,
    }
    if not wanted:
        context["source_labels"] = {source.slug: source.label for source in sources}
    return keep_look(call, await page(call, "search.html", context))


async def _search(call: Call) -> tuple[str, str, ListQuery, Page]:
    """The words, the slug of the only source or "", the query and the page."""
    unreferenced.refuse(call)
    seen = await sight(call.datasette, call.actor)
    q, wanted = (call.argument("q") or "").strip(), call.argument("source") or ""
    ids = tuple(source.id for source in call.files.sources if wanted in ("", source.slug))
    query = replace(list_query(call), source_ids=ids, within=within(call, recursive=True))
    return (
        q,
        wanted,
        query,
        await call.files.search.page(seen, SearchQuery(query, q, by_letters=True)),
    )


async def _selection(
    call: Call, found: Page, filters: dict[str, Any], folders: Iterable[str] = ()
) -> dict[str, Any]:
    """What may be done with the files, in the context of a page."""
    context = await bulk.toolbar(call, found.files, filters, folders)
    if isinstance(found, Unreferenced) or found.letters is not None:
        # A selection of all that match would hold referenced files too; it goes by words alone.
        context["match"] = ""
    return context


def _filters(query: ListQuery, source: str, q: str = "") -> dict[str, Any]:
    """The filters of a list, as those of a selection."""
    part = query.within
    return {
        "source": source,
        "q": q,
        "folder": part.folder,
        "recursive": "1" if part.recursive or part.folder is None else "0",
        "tag": part.tags,
        "content_type": query.content_types,
        "uploaded_by": query.uploaded_by,
        "created_after": query.created_after,
        "created_before": query.created_before,
    }


def _as_json(call: Call, found: Page) -> dict[str, Any]:
    """The JSON of every list."""
    described: dict[str, Any] = {
        "files": [records.found(call, file, found.hits) for file in found.files],
        "facets": {"tags": [{"value": tag, "count": count} for tag, count in found.tags]},
    }
    if found.folders is not None:
        described["folders"] = [asdict(folder) for folder in found.folders]
        described["folders_truncated"] = found.folders_truncated
    if found.hits is not None:
        described["by_letters"] = asdict(found.letters) if found.letters else None
    if isinstance(found, Unreferenced):
        described |= unreferenced.described(found)
        for shown, file in zip(described["files"], found.files, strict=True):
            shown["age_seconds"] = unreferenced.age_of(file)
    return {**described, **paging(call, found)}


def _columns(call: Call, names_sources: bool) -> dict[str, Any]:
    """The columns of a list, and the form that chooses others, in the context of a page."""
    chosen = columns(call)
    offered = {one: label for one, label in COLUMNS.items() if names_sources or one != "source"}
    absent = [(COLUMN, one) for one in chosen if one not in offered]
    return {
        "columns": [one for one in chosen if one in offered],
        "column_names": offered,
        "column_field": COLUMN,
        # So a form without a mark still chooses: the name alone.
        "column_arguments": [*kept_arguments(call), (COLUMN, "name"), *absent],
    }


def _as_context(call: Call, found: Page, *, names_sources: bool = False) -> dict[str, Any]:
    """The context of every page of a list."""
    described = _as_json(call, found)
    words.add(call, described["files"], found.files)
    return {
        **_columns(call, names_sources),
        **described,
        "snippet_parts": texts.parts,
        "age_in_words": unreferenced.in_words,
        "first_url": first_url(call),
        "grid": grid(call),
        "view_urls": view_urls(call),
        "size_urls": size_urls(call, found.total),
    }
