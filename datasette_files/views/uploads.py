"""The upload routes: prepare, upload and complete; the page.

Leaves out uploads in one request (one_request.py), and how a body is read (upload_bodies.py).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from datasette.utils.asgi import Response

from .. import naming
from ..base import UploadParts
from ..columns.columns import ColumnPlace
from ..errors import FilesError, Invalid
from ..media import sniffing
from ..models import FileRecord
from ..permissions.actions import BROWSE, UPLOAD
from ..permissions.grants import Grant, grant
from ..protocol.multipart import Field
from ..sources.sources import Source
from ..transfer.incoming import Incoming
from . import records, versions
from .http import Call, answer, page
from .upload_bodies import multipart, next_part, to_the_end
from .usage import room_for

_FILE_ID = re.compile(naming.ID_PATTERN)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


Handler = Callable[[Call, Source, Grant], Awaitable[Response]]


def to_source(handler: Handler) -> Callable[[Call], Awaitable[Response]]:
    """A view that is given the route's source, and the actor's grant to upload to it.

    The use case checks the grant in the same hop as its own look-up. An earlier refusal mentions
    the source's limits and state, so actors without the grant get PermissionDenied instead.
    """

    @wraps(handler)
    async def view(call: Call) -> Response:
        source = call.files.sources.get(call.vars["source"])
        allowed = await grant(call.datasette, call.actor, UPLOAD, source.slug)
        try:
            return await handler(call, source, allowed)
        except FilesError:
            await call.files.catalog.read(lambda conn: allowed.check(conn, source.slug))
            raise

    return view


@to_source
async def upload_page(call: Call, source: Source, allowed: Grant) -> Response:
    await call.files.catalog.read(lambda conn: allowed.check(conn, source.slug))
    source.require_uploads()
    context = {"source": source, "can_browse": await browses(call)}
    return await page(call, "upload.html", {**context, "left": await room_for(call, source)})


@to_source
async def prepare(call: Call, source: Source, allowed: Grant) -> Response:
    return await prepare_at(call, source, allowed, f"/-/files/upload/{source.slug}/-")


async def prepare_at(call: Call, source: Source, allowed: Grant, steps: str) -> Response:
    """Answer a prepare request. ``steps`` is the path before ``/upload``, the next step.

    What comes by a link has no actor, and is for no column.
    """
    actor_id = sender_id(call)
    body = await call.body.json()
    incoming = _declared(body)
    replaced = replaced_by(body.get("replaces"))
    allowed, incoming = await versions.replacing(call, allowed, incoming, replaced)
    if body.get("column") is not None and not call.link:
        place = place_of(body["column"])
        await call.files.columns.check_upload(call.actor, place, source.slug, incoming)
    token, ways = await call.files.uploads.prepare(source, actor_id, allowed, incoming)
    instructions = ways.instructions
    answered: dict[str, Any] = {"ok": True, "upload_token": token}
    if ways.parts is not None:
        answered["upload_parts"] = _offered(call, steps, ways.parts)
    if instructions is None:
        answered |= {
            "upload_url": call.url(f"{steps}/upload"),
            "upload_method": "POST",
            "upload_headers": {},
            "upload_fields": {"upload_token": token},
        }
        if source.appends_uploads:
            answered["upload_resumable_url"] = call.url(f"{steps}/tus")
    else:
        answered |= {
            "upload_url": instructions.url,
            "upload_method": instructions.method,
            "upload_headers": instructions.headers,
            "upload_fields": instructions.fields,
        }
    return answer(call, answered)


def _offered(call: Call, steps: str, parts: UploadParts) -> dict[str, Any]:
    """The parts of an upload, and where to ask for them (parts.py)."""
    return {
        "part_size": parts.part_size,
        "count": parts.count,
        "sign_url": call.url(f"{steps}/sign-parts"),
        "list_url": call.url(f"{steps}/list-parts"),
    }


def sender_id(call: Call) -> str | None:
    """The id of the upload's owner. An upload by a link has none, whoever sends it."""
    return None if call.link else call.actor_id


def _declared(body: dict[str, Any]) -> Incoming:
    """The file that the body of a prepare request declares. Raises Invalid."""
    if "filename" not in body:
        raise Invalid("filename is missing; send the file's name")
    filename = naming.check_filename(body["filename"])
    content_type = body.get("content_type")
    if not isinstance(content_type, str | None):
        raise Invalid("content_type must be a string")
    return Incoming(
        filename=filename,
        content_type=sniffing.declared_type(content_type, filename),
        size=_size(body.get("size")),
        sha256=sha256_of(body.get("sha256")),
        folder=naming.check_folder(body.get("folder") or ""),
        tags=naming.check_tags(body.get("tags") or []),
    )


def replaced_by(value: object) -> str | None:
    """The id of the file that an upload replaces. Raises Invalid."""
    if value is not None and not (isinstance(value, str) and _FILE_ID.fullmatch(value)):
        raise Invalid('replaces must be the id of a file, such as "df-…"')
    return value


def place_of(value: object) -> ColumnPlace:
    """The column that the file is uploaded for. Raises Invalid."""
    names = ("database", "table", "column")
    if not (
        isinstance(value, dict)
        and set(value) == set(names)
        and all(isinstance(name, str) for name in value.values())
    ):
        raise Invalid('column must be {"database": "…", "table": "…", "column": "…"}')
    return ColumnPlace(**value)


def _size(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise Invalid("size must be a whole number of bytes, 0 or more")
    return value


def sha256_of(value: object) -> str | None:
    """A sha256 in hexadecimal, in lower case; None for None. Raises Invalid."""
    if value is None:
        return None
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise Invalid("sha256 must be 64 hexadecimal digits")
    return value.lower()


@to_source
async def receive(call: Call, source: Source, allowed: Grant) -> Response:
    return await receive_form(call, source, allowed)


async def receive_form(call: Call, source: Source, allowed: Grant) -> Response:
    """Answer the form with the bytes of a prepared upload."""
    form = multipart(call)
    token = None
    while (part := await next_part(form)) is not None:
        if isinstance(part, Field):
            token = part.value if part.name == "upload_token" else token
        elif part.name == "file":
            if token is None:
                raise Invalid("upload_token must come before file in the form")
            await call.files.uploads.receive(
                source, sender_id(call), allowed, token, to_the_end(form, part)
            )
            return answer(call, {"ok": True})
    raise Invalid("The form has no file; send it as the field named file")


@to_source
async def complete(call: Call, source: Source, allowed: Grant) -> Response:
    token = await upload_token(call)
    allowed = await call.files.versions.completing(call.actor, allowed, token)
    file, created = await call.files.uploads.complete(source, call.actor_id, allowed, token)
    if created:
        await call.files.uploaded(source, file, call.actor)
    body: dict[str, Any] = {"ok": True, "file": records.uploaded(call, file)}
    return answer(call, body | await duplicate_of(call, file), 201 if created else 200)


async def duplicate_of(call: Call, file: FileRecord) -> dict[str, Any]:
    """What an answer tells of an older file with the same bytes; empty if there is none."""
    same = await call.files.lookup.duplicate_of(call.actor, file)
    if same is None:
        return {}
    url = records.urls(call, same.id)["url"]
    return {"duplicate_of": {"id": same.id, "filename": same.filename, "url": url}}


async def upload_token(call: Call) -> str:
    """The token in the body of a complete request. Raises Invalid."""
    return token_of(await call.body.json())


def token_of(body: dict[str, Any]) -> str:
    """The upload's token in the body of a request. Raises Invalid."""
    token = body.get("upload_token")
    if not isinstance(token, str):
        raise Invalid("upload_token is missing; send the token from prepare")
    return token


async def browses(call: Call) -> bool:
    """Tell whether the actor may open the pages of the route's source and its files."""
    return call.vars["source"] in await call.files.lookup.allowed_sources(call.actor, BROWSE)
