"""The routes of selections: the choice, the page of a zip, its bytes; the answer with any zip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import Response

from ..catalog.selecting import Filters
from ..errors import Invalid
from ..models import written
from ..protocol.disposition import content_disposition
from ..protocol.zipfile64 import CONTENT_TYPE
from ..sources.sources import Source
from ..transfer import downloads
from ..transfer.checksums import Progress
from ..transfer.zip_batches import Ask
from ..transfer.zip_rows import REASONS
from ..transfer.zipping import Archive, Directory, Texts, no_texts
from ..transfer.zips import Made
from . import files, selections, sendfile
from .http import Call, answer, page, redirect
from .stream import Streamed

#: Seconds after which a client asks again for a zip whose files are being read.
_AGAIN = 2


async def select(call: Call) -> Response:
    """Choose files by ids or by a query, for one zip."""
    if call.sends_form:
        fields = await call.body.fields(selections.MAX_FIELDS)
        wanted: object = selections.from_form(fields)
        is_bag: object = dict(fields).get("bundle") == "1"
    else:
        body = await call.body.json()
        is_bag = body.pop("bundle", False)
        wanted = body.get("selection", body)
    if not isinstance(is_bag, bool):
        raise Invalid("bundle must be true or false")
    selection, name = selections.parse(wanted), "files"
    if selection.ids is not None:
        ids = list(selection.ids)
        made = await call.files.zips.of_ids(call.actor, ids, name, is_bag=is_bag)
    else:
        filters = selection.filters or Filters()
        search = call.files.selecting.search(filters)
        within = filters.folder or filters.source or name
        name = within.rpartition("/")[2]
        made = await call.files.zips.of_query(call.actor, search, name, is_bag=is_bag)
    if call.sends_form:
        return redirect(page_url(call, made) if made.refused or is_bag else url(call, made))
    return answer(
        call,
        {
            "ok": True,
            "zip_url": url(call, made),
            "files": made.zip.described["files"],
            "bytes": made.bytes,
            "refused": [{"id": one, "code": code} for one, code in made.refused],
        },
    )


def page_url(call: Call, made: Made) -> str:
    """The address of the page that tells what a zip holds."""
    return call.url(f"/-/files/-/selection/{made.zip.id}")


def url(call: Call, made: Made) -> str:
    """The address of a zip's bytes."""
    return f"{page_url(call, made)}.zip"


async def selected_page(call: Call) -> Response:
    """The page of a zip: its number of files, its bytes, and what was left out and why."""
    found = await call.files.zips.open(call.actor, call.vars["selection"])
    shown: dict[str, Any] = {
        "files": found.totals.files,
        "bytes": None,
        "left_out": [],
        "notes": [],
    }
    shown |= {"left_out_count": 0, "origin": None, "bag": None, **found.described}
    context = {
        **shown,
        "name": f"{found.name}.zip",
        "length": found.totals.length,
        "until": written(found.expires_at),
        "zip_url": f"{call.url(call.path)}.zip",
        "reasons": REASONS,
    }
    return await page(call, "selection.html", context)


async def selected(call: Call) -> Response | None:
    """The bytes of a selection's zip."""
    zips = call.files.zips
    found = await zips.ready(call.actor, await zips.open(call.actor, call.vars["selection"]))
    if isinstance(found, Progress):
        return being_read(call, found)
    ask, sources = zips.ask(call.actor), await zips.sources(found)

    async def record(plan: downloads.Plan) -> None:
        audit = call.files.audit
        if audit.has_downloads:
            await audit.zipped(await zips.by_source(found), continued=not downloads.begins(plan))

    # The bytes at this address never change, so its last part names them.
    members = zips.directory(found)
    return await send(
        *(call, members, ask, sources),
        name=f"{found.name}.zip",
        etag=f'"{found.id}"',
        texts=zips.texts(call.actor, found),
        begin=record,
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
    sources: Iterable[Source],
    *,
    name: str,
    etag: str,
    texts: Texts = no_texts,
    guard: Callable[[dict[str, str]], None] = _unchanged,
    begin: Callable[[downloads.Plan], Awaitable[None]] = _nothing,
) -> Response | None:
    """Answer with a zip, or with a range of it. It takes a place for downloads in each of its
    ``sources``, which come in one order, so that two zips do not wait for each other.

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
    amid = sendfile.amid(call.send)
    async with AsyncExitStack() as places:
        for source in sources:
            await places.enter_async_context(files.place(call, source))
        body = await Archive(directory, ask, texts).open(plan.pieces, local=amid is not None)
        try:
            await begin(plan)
        except BaseException:
            await body.close()
            raise
        await Streamed(plan.status, plan.headers, plan.content_type, body).send(call, amid=amid)
    return None
