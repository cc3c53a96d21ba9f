"""The routes of one file: its page, record, bytes and thumbnail, its update and its deletion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from datasette.utils.asgi import Response

from .. import telemetry
from ..catalog.editing import MAX_SEARCH_TEXT, Changes
from ..db.audit import Action
from ..db.trash import TrashedFile
from ..errors import Invalid, NotFound, PermissionDenied, StorageUnavailable
from ..jobs.places import NoPlace
from ..media.inline import shows_inline
from ..models import FileRecord, written
from ..naming import check_filename, check_folder, check_tags, plain, storable
from ..permissions.actions import BROWSE, DELETE, EDIT, SHARE, UPLOAD
from ..permissions.grants import file_actions, require_on_file
from ..previews import file_page as previews
from ..previews.thumbnails import entity_tag
from ..protocol.conditional import Outcome, evaluate
from ..sources import reading
from ..sources.sources import Source
from ..transfer import downloads, stripped
from . import (
    access,
    caching,
    facts,
    imports,
    menu,
    records,
    sendfile,
    shares,
    tables,
    texts,
    versions,
)
from .arguments import TRASHED, takes_webp, thumbnail_side
from .http import Call, answer, empty, page, redirect
from .stream import Streamed, unless_gone

#: Request headers that may select an answer other than the whole file.
_CONDITIONS = frozenset(
    ("range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
)
#: The names of downloads in the audit.
AUDITED: dict[downloads.Kind, Action] = {"attachment": "download", "inline": "inline"}
#: Seconds that a download waits for its turn.
_PLACE_SECONDS = 20.0
#: Characters of a file's name in a message, which is stored in a cookie of at most 4 KB.
_MAX_NAME_IN_MESSAGE = 100
#: Headers that stop scripts in a thumbnail or icon (SVG), also if it is opened by itself.
_INERT = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


async def record(call: Call) -> Response:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    return answer(call, records.full(call, file))


async def file_page(call: Call) -> Response:
    file, source, text = await texts.of_file(call, call.vars["file_id"])
    allowed = await file_actions(call.datasette, call.actor, source.slug, file.id)
    full = records.full(call, file)
    deletes = source.capabilities.can_delete and source.down is None
    preview = await previews.preview(call.files.thumbnails, source, file)
    # uses.js loads the uses after the page, since the search may take a second.
    used = await call.files.uses.of(call.actor, file.id) if call.argument("uses") else None
    browsable = source.slug in await call.files.lookup.allowed_sources(call.actor, BROWSE)
    context = {
        "file": full,
        "source": source,
        "browsable": browsable,
        "access": await access.of_file(call, file, browsable),
        "type": file.type,
        "text_tag": file.search_text_tag,
        "max_text": MAX_SEARCH_TEXT,
        "can_edit": EDIT in allowed,
        "can_delete": DELETE in allowed and deletes,
        "sharing": await shares.of_file(call, file) if SHARE in allowed else None,
        **await versions.of_file(call, source, file, allowed),
        **await facts.of_file(call, source, file, browsable),
        "inline": shows_inline(file.type),
        "preview": preview,
        "text": text,
        "copies": records.copies(call, file),
        "opens_tables": call.files.live.offers(file),
        "imports": await imports.of_file(call, file),
        "uses": used,
        "used": [tables.described(call, one, file.id) for one in used.columns] if used else [],
        "file_actions": await menu.file_actions(
            call.datasette, call.actor, source, file, full, readable=preview.problem is None
        ),
    }
    return await page(call, "file.html", context)


async def download(call: Call) -> Response | None:
    return await _bytes(call, "attachment")


async def inline(call: Call) -> Response | None:
    return await _bytes(call, "inline")


async def _bytes(call: Call, kind: downloads.Kind) -> Response | None:
    if call.argument("stripped") == "1":
        file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
        if await stripped.needed(call.files.catalog, file, asked=True):
            plan = await stripped.plan(source, file, kind, call.method, call.headers)
            record = partial(_record, call, kind, file, plan)
            if call.method == "HEAD" or not plan.pieces:
                await record()
                return Response(b"", plan.status, plan.headers, plan.content_type)
            await send_stripped(call, source, file, plan, record)
            return None
    if call.argument("redirect") == "0":
        return await _address(call, kind)
    plain = call.method == "GET" and not _CONDITIONS.intersection(call.headers)
    is_ours = plain and call.files.config.sendfile is None
    find = call.files.lookup.visible_with_bytes if is_ours else call.files.lookup.visible
    file, source, *at_hand = await find(call.actor, call.vars["file_id"])
    plan = await downloads.plan(source, file, kind, call.method, call.headers)
    if plan.kept:
        caching.keep(call.request.scope, plan.headers["Cache-Control"])

    record = partial(_record, call, kind, file, plan)
    if call.method == "HEAD" or not plan.pieces:
        await record()
        return Response(b"", plan.status, plan.headers, plan.content_type)
    if at_hand and isinstance(at_hand[0], bytes):
        await record()
        telemetry.count_bytes("sent", len(at_hand[0]))
        return Response(at_hand[0], plan.status, plan.headers, plan.content_type)
    return await send(call, source, file, plan, record)


async def _record(call: Call, kind: downloads.Kind, file: FileRecord, plan: downloads.Plan) -> None:
    """Leave an entry in the audit for an answer that gives bytes or their address."""
    if call.method == "GET" and plan.status in (200, 206, 302):
        begins = plan.status == 200 or downloads.starts_at_zero(file, plan, call.headers)
        await call.files.audit.downloaded(AUDITED[kind], file, continued=not begins)


async def send(
    call: Call,
    source: Source,
    file: FileRecord,
    plan: downloads.Plan,
    begin: Callable[[], Awaitable[None]],
) -> Response | None:
    """Answer with the bytes of a plan that has any.

    ``begin`` runs once the bytes are at hand, before any header. It may raise.
    """
    by_proxy = call.files.config.sendfile and sendfile.for_proxy(file, plan, call.headers)
    if by_proxy and await reading.is_local(source, file):
        await begin()
        return Response(b"", 200, by_proxy, file.type)
    if downloads.is_small(file, plan.pieces):
        content = await reading.head(source, file, file.size or 0)
        await begin()
        telemetry.count_bytes("sent", len(content))
        return Response(content, plan.status, plan.headers, plan.content_type)
    way = sendfile.way(call.request.scope, call.send)
    async with place(call, source):
        body = await downloads.open_body(source, file, plan.pieces, local=way is not None)
        await _send_body(call, plan, body, begin, way)
    return None


async def send_stripped(
    call: Call,
    source: Source,
    file: FileRecord,
    plan: downloads.Plan,
    begin: Callable[[], Awaitable[None]],
) -> None:
    """As ``send``, for a plan of ``stripped``."""
    async with place(call, source):
        body = await stripped.open_body(call.files.catalog, source, file, plan.pieces)
        await _send_body(call, plan, body, begin)


async def _send_body(
    call: Call,
    plan: downloads.Plan,
    body: downloads.Body,
    begin: Callable[[], Awaitable[None]],
    way: sendfile.Way | None = None,
) -> None:
    try:
        await begin()
    except BaseException:
        await body.close()
        raise
    await Streamed(plan.status, plan.headers, plan.content_type, body).send(call, way)


@asynccontextmanager
async def place(call: Call, source: Source) -> AsyncIterator[None]:
    """Hold one of the source's places for downloads. Raises StorageUnavailable if none is free."""
    try:
        async with source.downloads.held(call.client, _PLACE_SECONDS):
            yield
    except NoPlace:
        raise StorageUnavailable(
            "Too many downloads are under way; end some of yours, or try again in a minute",
            headers={"Retry-After": "60"},
        ) from None


async def _address(call: Call, kind: downloads.Kind) -> Response:
    """The address of the bytes as JSON: the one a GET is redirected to, else the route itself."""
    file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    url = await downloads.address(source, file, kind)
    if url is None:
        url = call.url(call.path)
    else:
        await call.files.audit.downloaded(AUDITED[kind], file, continued=False)
    return answer(call, {"ok": True, "url": url}, headers={"Cache-Control": "no-store"})


async def thumbnail(call: Call) -> Response:
    side = thumbnail_side(call)
    file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    return await thumbnail_of(call, source, file, side)


async def thumbnail_of(call: Call, source: Source, file: FileRecord, side: int) -> Response:
    """The file's thumbnail, for whom the caller has permitted it."""
    # If the client disconnects, its queued thumbnail is dropped.
    shown = await unless_gone(
        call,
        call.files.thumbnails.get(
            *(source, file, side),
            webp=takes_webp(call),
            asker=call.client,
            page=call.headers.get("referer", "")[:500],
        ),
    )
    made = shown.thumbnail
    tag = entity_tag(made)
    # By a link nothing is kept, as it may be revoked.
    kept = downloads.seconds_kept(source) if shown.settled and not call.link else None
    if kept is not None:
        # The file itself can be fetched that long, by a URL that the browser has.
        lasting = f"private, max-age={kept}"
        caching.keep(call.request.scope, lasting)
    else:
        lasting = "private, max-age=0, must-revalidate" if shown.settled else "no-store"
    headers = {"ETag": tag, "Cache-Control": lasting, "Vary": "Accept", **_INERT}
    if evaluate(call.method, call.headers, tag, None) is Outcome.NOT_MODIFIED:
        return empty(304, headers)
    headers["Content-Length"] = str(len(made.thumbnail))
    return Response(made.thumbnail, 200, headers, made.content_type)


async def update(call: Call) -> Response:
    file, source = await call.files.lookup.existing(call.vars["file_id"])
    await require_on_file(call.datasette, call.actor, EDIT, source.slug, file.id)
    if_match = None
    if call.sends_form:
        fields = dict(await call.body.form())
        if_match = fields.pop("if_match", None) or None
        wanted: Any = {name: text.replace("\r\n", "\n") for name, text in fields.items()}
        if "tags" in wanted:
            wanted["tags"] = wanted["tags"].split(",")
    else:
        wanted = (await call.body.json()).get("update")
    changes = _changes(wanted)
    changed = await call.files.editing.update(file, call.actor, changes, if_match)
    visible = await call.files.lookup.sees(call.actor, changed)
    if call.wants_page:
        if visible:
            return redirect(records.urls(call, file.id)["url"])
        return await page(call, "done.html", {"done": "Saved", "text": "The changes are saved."})
    shown: dict[str, Any] = {"file": records.full(call, changed)} if visible else {}
    if call.sends_form:
        # The form's next change needs it. No header carries it, as proxies change entity tags.
        shown["if_match"] = changed.search_text_tag
    return answer(call, {"ok": True, **shown})


def _changes(wanted: object) -> Changes:
    """The changes that a request names. Raises Invalid."""
    checks: dict[str, Callable[[object], Any]] = {
        "filename": check_filename,
        "folder": check_folder,
        "tags": check_tags,
        "search_text": _search_text,
    }
    if not isinstance(wanted, dict) or not wanted:
        raise Invalid(f'Send {{"update": {{…}}}} with one or more of {", ".join(checks)}')
    if unknown := sorted(set(wanted) - set(checks)):
        raise Invalid(f"Cannot update: {', '.join(unknown)}; only {', '.join(checks)} can be")
    return Changes(**{name: checks[name](value) for name, value in wanted.items()})


def _search_text(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("search_text must be a string")
    if not storable(value):
        raise Invalid("search_text is not valid Unicode; correct it")
    return value.replace("\x00", "")


async def delete(call: Call) -> Response:
    deleted, trashed = await _delete(call)
    if trashed is not None:
        return await _to_trash(call, trashed)
    if not (call.sends_form or call.wants_page):
        return answer(call, {"ok": True})
    browsable = await call.files.lookup.allowed_sources(call.actor, BROWSE)
    text = "Deleted"
    if deleted is not None and deleted.source_slug in browsable:
        text += f" {name_in_message(deleted)}"
    if call.wants_page and not (
        browsable or await call.files.lookup.allowed_sources(call.actor, UPLOAD)
    ):
        return await page(call, "done.html", {"done": "Deleted", "text": "The file is deleted."})
    # The user's next page shows the message.
    call.datasette.add_message(call.request, text)
    return redirect(call.url("/-/files")) if call.wants_page else answer(call, {"ok": True})


async def delete_verb(call: Call) -> Response:
    await _delete(call)
    return empty(204)


async def _to_trash(call: Call, trashed: TrashedFile) -> Response:
    """The answer to a deletion that can be undone, with the page that offers it."""
    file, until = trashed.file, written(trashed.purge_at)
    shown = {"ok": True, "trashed_until": until}
    if not (call.sends_form or call.wants_page):
        return answer(call, shown)
    if file.source_slug in await call.files.lookup.allowed_sources(call.actor, BROWSE):
        after = call.url(f"/-/files/source/{file.source_slug}?{TRASHED}={file.id}")
        return redirect(after) if call.wants_page else answer(call, {**shown, "after_url": after})
    if not call.wants_page:
        return answer(call, shown)
    text = f"The file is in the trash until {until} UTC."
    context = {"done": "Deleted", "text": text, "undo": file.id}
    return await page(call, "done.html", context)


def name_in_message(file: FileRecord) -> str:
    name = plain(file.filename)
    return name[:_MAX_NAME_IN_MESSAGE] + ("…" if len(name) > _MAX_NAME_IN_MESSAGE else "")


async def _delete(call: Call) -> tuple[FileRecord | None, TrashedFile | None]:
    """Delete the file. Its record, and its entry in the trash if the source has one.

    A repeated request by the same actor succeeds too, without a record.
    """
    try:
        return await _delete_or_repeat(call)
    except NotFound:
        # It may have been restored between the looks at the files and at the trash.
        return await _delete_or_repeat(call)


async def _delete_or_repeat(call: Call) -> tuple[FileRecord | None, TrashedFile | None]:
    file_id = call.vars["file_id"]
    try:
        file, source = await call.files.lookup.existing(file_id)
        await require_on_file(call.datasette, call.actor, DELETE, source.slug, file.id)
        return file, await call.files.trash.delete(source, file, call.actor)
    except (NotFound, PermissionDenied):
        # An owner's right ends with the file, which the same request may be deleting beside this.
        deleted, trashed = await call.files.trash.deleted_by(file_id, call.actor)
        if not deleted:
            raise
        return None, trashed
