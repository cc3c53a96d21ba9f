"""The pages of a link for people without an account: files, or an upload into one source.

A page here stands alone, without the site's navigation, and works without scripts. The one right
is that of the link: cookies and tokens beside it are not looked at. Every refusal of a link is the
same 404. Leaves out the making of links (shares.py).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from functools import wraps
from typing import Any

from datasette.utils.asgi import Response

from ..catalog.links import Opened
from ..db.shares import Share
from ..errors import BadType, FilesError, NotFound, StorageError
from ..media.inline import shows_inline
from ..models import FileRecord, written
from ..permissions.shares import LinkGrant, absent
from ..previews import file_page as previews
from ..protocol import tus as protocol
from ..sources.sources import Source
from ..transfer import downloads, stripped, zip_batches, zipping
from ..transfer.authority import Authority
from ..transfer.checksums import Progress
from ..transfer.zip_rows import LEFT_OUT, as_text
from . import files, one_request, parts, tus, uploads, zips
from .arguments import thumbnail_side
from .http import Call, answer, page, redirect

logger = logging.getLogger("datasette_files")

#: Seconds that an address lives to which a link redirects.
_SIGNED_SECONDS = 60
_NO_FRAME = "frame-ancestors 'none'"
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    f" media-src 'self'; connect-src {{connect}}; form-action 'self'; base-uri 'none'; {_NO_FRAME}"
)
#: A source's name in the messages of its limits, which senders do not get to know.
_SOURCE = re.compile(r"The source '[^']*'")

_FAILED = "This does not work at the moment; try again later, or tell the sender of the link"

Handler = Callable[[Call], Awaitable["Response | None"]]


def guard(headers: dict[str, str]) -> None:
    """Add to an answer's headers: no referrer, no index, no cache, no frame, only own content."""
    headers["Referrer-Policy"] = "no-referrer"
    headers["X-Robots-Tag"] = "noindex"
    headers["Cache-Control"] = "no-store"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    policy = headers.get("Content-Security-Policy")
    if policy is None:
        headers["Content-Security-Policy"] = _CSP.format(connect="'self'")
    elif _NO_FRAME not in policy:
        headers["Content-Security-Policy"] = f"{policy}; {_NO_FRAME}"


def _by_link(handler: Handler) -> Handler:
    """A view whose answer to a wrong token is late for those who guess.

    No answer to an error names the source, and no log line the token.
    """

    @wraps(handler)
    async def view(call: Call) -> Response | None:
        try:
            return await handler(call)
        except NotFound:
            client = call.request.scope.get("client") or ("",)
            await call.files.links.guessing.punish(client[0])
            raise
        except FilesError as error:
            error.messages = [_SOURCE.sub("This link", message) for message in error.messages]
            error.args = (error.messages[0],)
            raise
        except Exception as error:
            # Datasette would print the variables of each frame, the token among them, and answer
            # with a page of the site.
            logger.exception("A request by a link failed")
            raise StorageError(_FAILED) from error

    return view


@_by_link
async def nothing(call: Call) -> Response:
    raise absent()


# Files


@_by_link
async def shared_page(call: Call) -> Response:
    opened = await call.files.links.open(call.vars["token"])
    await _record_opening(call, opened)
    if len(opened.files) == 1:
        return await _page_of(call, opened, *opened.files[0])
    shown = [_shown(call, file) for file, _ in opened.files]
    sizes = [file.size for file, _ in opened.files]
    context = {
        **_terms(opened.share),
        "files": shown,
        "bytes": None if None in sizes else sum(size or 0 for size in sizes),
        "zip_url": _url(call, "/zip"),
    }
    return await page(call, "link_files.html", context)


@_by_link
async def file_page(call: Call) -> Response:
    opened, file, source = await _one(call)
    await _record_opening(call, opened)
    return await _page_of(call, opened, file, source)


async def _record_opening(call: Call, opened: Opened) -> None:
    """Record that the page was opened, for each file that it shows."""
    if call.method == "GET":
        shown = [file for file, _ in opened.files]
        await call.files.audit.used("open", shown, link=opened.share.id)


async def _page_of(call: Call, opened: Opened, file: FileRecord, source: Source) -> Response:
    # Where downloads are counted, a preview of the bytes would be one that is not.
    counted = opened.share.max_downloads is not None
    preview = None if counted else await previews.preview(call.files.thumbnails, source, file)
    thumbnails = call.files.thumbnails
    context = {
        **_terms(opened.share),
        "file": _shown(call, file),
        "several_url": _url(call, "") if opened.is_several else None,
        "preview": preview,
        "pictured": thumbnails.can_picture(source, file) and not await thumbnails.failed(file),
        "opens": shows_inline(file.type) and not counted,
        "available": source.down is None,
    }
    return await page(call, "link_file.html", context)


def _terms(share: Share) -> dict[str, Any]:
    """The facts on every page of a link: its label, its end, and the downloads left."""
    most = share.max_downloads
    return {
        "label": share.label,
        "until": written(share.expires_at),
        "left": None if most is None else most - share.downloads,
    }


def _url(call: Call, below: str) -> str:
    """The address of something below the link."""
    kind = "u" if call.path.startswith("/-/files/u/") else "s"
    return call.url(f"/-/files/{kind}/{call.vars['token']}{below}")


def _shown(call: Call, file: FileRecord) -> dict[str, Any]:
    """The facts of a file that its receiver may know, and its addresses."""
    url = _url(call, f"/{file.id}")
    return {
        "filename": file.filename,
        "type": file.type,
        "size": file.size,
        "width": file.width,
        "height": file.height,
        "url": url,
        "download_url": f"{url}/download",
        "thumbnail_url": f"{url}/thumbnail",
    }


async def _one(call: Call, *, continues: bool = False) -> tuple[Opened, FileRecord, Source]:
    """The link, and the file of the request. Raises NotFound."""
    opened = await call.files.links.open(
        call.vars["token"], call.vars["file_id"], continues=continues
    )
    return opened, *opened.files[0]


@_by_link
async def download(call: Call) -> Response | None:
    return await _bytes(call, "attachment")


@_by_link
async def inline(call: Call) -> Response | None:
    return await _bytes(call, "inline")


async def _bytes(call: Call, kind: downloads.Kind) -> Response | None:
    """The file's bytes. What begins at its first byte counts as a download, a continuation not."""
    continues = call.method == "GET" and "range" in call.headers
    opened, file, source = await _one(call, continues=continues)
    counted = opened.share.max_downloads is not None
    hides = source.config.location == "hide" and await stripped.needed(call.files.catalog, file)
    if hides:
        plan = await stripped.plan(source, file, kind, call.method, call.headers)
    else:
        plan = await downloads.plan(
            *(source, file, kind, call.method, call.headers, _SIGNED_SECONDS),
            may_redirect=not (counted and continues),
        )
    guard(plan.headers)

    async def count() -> None:
        if call.method != "GET" or plan.status not in (200, 206, 302):
            return
        action, link = files.AUDITED[kind], opened.share
        if downloads.starts_at_zero(file, plan, call.headers):
            await call.files.links.count_download(link, action, [file.id])
        else:
            continued = plan.status != 200  # else the file is empty
            await call.files.audit.used(action, [file], link=link.id, continued=continued)

    if call.method == "HEAD" or not plan.pieces:
        await count()
        return Response(b"", plan.status, plan.headers, plan.content_type)
    if not hides:
        return await files.send(call, source, file, plan, count)
    await files.send_stripped(call, source, file, plan, count)
    return None


@_by_link
async def thumbnail(call: Call) -> Response:
    side = thumbnail_side(call)
    _, file, source = await _one(call)
    return await files.thumbnail_of(call, source, file, side)


@_by_link
async def zipped(call: Call) -> Response | None:
    """All files as one zip, or a range of it. The link is asked again as the zip goes on."""
    token, links = call.vars["token"], call.files.links
    continues = call.method == "GET" and "range" in call.headers
    opened = await links.open(token, continues=continues)

    async def ask(ids: list[str]) -> zip_batches.Files:
        found = (await links.open(token, *ids, continues=True)).files
        if len(found) < len(ids):
            raise absent()
        return {file.id: (file, source) for file, source in found}

    for _, source in opened.files:
        source.require_up()
    hidden = [file for file, source in opened.files if source.config.location == "hide"]
    bare, refused = await stripped.needing(call.files.catalog, hidden)
    shown = await _members(call, opened, bare, refused, ask)
    if isinstance(shown, Progress):
        return zips.being_read(call, shown)
    texts = {LEFT_OUT: as_text(refused.values())} if refused else {}
    made_at = datetime.fromtimestamp(opened.share.created_at, timezone.utc)

    async def count(plan: downloads.Plan) -> None:
        if downloads.begins(plan):
            await links.count_download(opened.share, "zip", [file.id for file in shown])
        else:
            await call.files.audit.used("zip", shown, link=opened.share.id, continued=True)

    listed = zipping.Listed(zipping.members(shown, texts, made_at))
    sources = {source.slug: source for _, source in opened.files}
    return await zips.send(
        *(call, listed, ask, [sources[slug] for slug in sorted(sources)]),
        name=f"{opened.share.label or 'files'}.zip",
        etag=listed.entity_tag,
        texts=zipping.with_texts(texts, call.files.stripped.texts(bare, ask)),
        guard=guard,
        begin=count,
    )


async def _members(
    call: Call, opened: Opened, bare: set[str], refused: dict[str, str], ask: zip_batches.Ask
) -> list[FileRecord] | Progress:
    """The files of a link's zip with their crc32, which of ``bare`` is that of the stripped bytes.

    Reads those whose crc32 is not known. ``refused`` gets the reasons of those that cannot be
    stripped. Raises BadType if no file is left.
    """
    share = opened.share.id
    ids = [file.id for file, _ in opened.files if file.id not in refused]
    shown = {file.id: file for file, _ in opened.files}
    if unread := [one for one in ids if shown[one].crc32 is None and one not in bare]:
        if progress := await call.files.checksums.learn(f"link {share}", unread, ask):
            return progress
        shown = {one: file for one, (file, _) in (await ask(ids)).items()}
    if progress := await call.files.stripped.learn(f"stripped {share}", bare, ask):
        return progress
    made = []
    for one in ids:
        try:
            made.append(call.files.stripped.member(shown[one]) if one in bare else shown[one])
        except BadType as error:
            refused[one] = str(error)
    if not made:
        raise BadType(next(iter(refused.values())))
    return made


# Uploads


async def _sending(call: Call) -> tuple[LinkGrant, Source]:
    """The right that the link gives now, and its source."""
    return await call.files.links.upload_grant(call.vars["token"])


@_by_link
async def upload_page(call: Call) -> Response:
    right, source = await _sending(call)
    source.require_uploads()
    if call.method == "GET":
        await call.files.audit.opened(source.id, right.link.id)
    context = {
        **_terms(right.link),
        "link": right.link,
        "limits": source.limits.as_json(),
        "link_endpoint": _url(call, ""),
        "link_token": call.vars["token"],
        "sent": call.argument("sent") is not None,
    }
    response = await page(call, "link_upload.html", context)
    if source.prepares_uploads:
        # Bytes may go to a storage at an address that is known only when one is prepared.
        policy = _CSP.format(connect="'self' https: http:")
        response.headers["Content-Security-Policy"] = policy
    return response


@_by_link
async def prepare(call: Call) -> Response:
    right, source = await _sending(call)
    return await uploads.prepare_at(call, source, right, f"/-/files/u/{call.vars['token']}/-")


@_by_link
async def receive(call: Call) -> Response:
    right, source = await _sending(call)
    return await uploads.receive_form(call, source, right)


@_by_link
async def complete(call: Call) -> Response:
    right, source = await _sending(call)
    token = await uploads.upload_token(call)
    file, created = await call.files.uploads.complete(source, None, right, token)
    if created:
        await call.files.uploaded(source, file, None)
    return answer(call, {"ok": True}, 201 if created else 200)


@_by_link
async def one_shot(call: Call) -> Response:
    """The ordinary form of the page, for browsers without scripts."""
    right, source = await _sending(call)
    file = await one_request.store_form(call, source, right)
    await call.files.uploaded(source, file, None)
    if call.wants_page:
        return redirect(_url(call, "?sent=1"))
    return answer(call, {"ok": True}, 201)


@_by_link
async def sign_parts(call: Call) -> Response:
    right, source = await _sending(call)
    return await parts.sign_at(call, source, right)


@_by_link
async def sent_parts(call: Call) -> Response:
    right, source = await _sending(call)
    return await parts.sent_at(call, source, right)


async def _mounted(call: Call) -> tus.Mount:
    """Uploads that go on, by the link. None are joined: each part would count as a file."""
    right, source = await _sending(call)
    path = f"/-/files/u/{call.vars['token']}/-/tus"
    extensions = [
        one for one in protocol.EXTENSIONS if one not in ("concatenation", "creation-defer-length")
    ]
    return tus.Mount(source, Authority(None, right), path, False, extensions)


TUS, TUS_UPLOAD = (
    {method: _by_link(handler) for method, handler in handlers.items()}
    for handlers in tus.routes_at(_mounted)
)
