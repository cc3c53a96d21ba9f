"""The upload routes: prepare, upload and complete; one multipart request; one raw PUT; the page."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any
from urllib.parse import unquote

from datasette.utils.asgi import Response

from .. import naming
from ..base import UploadParts
from ..columns.columns import ColumnPlace
from ..errors import BadType, ChecksumMismatch, FilesError, Invalid
from ..media import sniffing
from ..models import FileRecord
from ..permissions.actions import BROWSE, UPLOAD
from ..permissions.grants import Grant, grant
from ..protocol.digest import Digest, declared_digests
from ..protocol.multipart import Field, FilePart, MultipartError, MultipartStream
from ..sources.reading import WORTH_A_THREAD
from ..sources.sources import Source
from ..transfer.incoming import Incoming
from . import records, versions
from .http import Call, answer, page, redirect
from .usage import room_for

_LENGTH = re.compile(r"[0-9]{1,18}")
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
    context = {"source": source, "can_browse": await _browses(call)}
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
    replaced = _replaced(body.get("replaces"))
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


def _replaced(value: object) -> str | None:
    """The id of the file that an upload replaces. Raises Invalid."""
    if value is not None and not (isinstance(value, str) and _FILE_ID.fullmatch(value)):
        raise Invalid('replaces must be the id of a file, such as "df-…"')
    return value


def _sorted_in(incoming: Incoming, folder: str, tags: list[str]) -> Incoming:
    """The file in a folder, with tags. Raises Invalid."""
    return replace(incoming, folder=naming.check_folder(folder), tags=naming.check_tags(tags))


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
    form = _multipart(call)
    token = None
    while (part := await _next_part(form)) is not None:
        if isinstance(part, Field):
            token = part.value if part.name == "upload_token" else token
        elif part.name == "file":
            if token is None:
                raise Invalid("upload_token must come before file in the form")
            await call.files.uploads.receive(
                source, sender_id(call), allowed, token, _to_the_end(form, part)
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
    if (same := await call.files.lookup.duplicate_of(call.actor, file)) is not None:
        body["duplicate_of"] = {
            "id": same.id,
            "filename": same.filename,
            "url": records.urls(call, same.id)["url"],
        }
    return answer(call, body, 201 if created else 200)


async def upload_token(call: Call) -> str:
    """The token in the body of a complete request. Raises Invalid."""
    return token_of(await call.body.json())


def token_of(body: dict[str, Any]) -> str:
    """The upload's token in the body of a request. Raises Invalid."""
    token = body.get("upload_token")
    if not isinstance(token, str):
        raise Invalid("upload_token is missing; send the token from prepare")
    return token


@to_source
async def one_shot(call: Call, source: Source, allowed: Grant) -> Response:
    return await _stored(call, source, await store_form(call, source, allowed))


async def store_form(call: Call, source: Source, allowed: Grant) -> FileRecord:
    """Store the file of a form that is a whole upload."""
    form = _multipart(call)
    folder, tags, replaced = "", list[str](), None
    while (part := await _next_part(form)) is not None:
        if isinstance(part, Field):
            folder = part.value if part.name == "folder" else folder
            tags += [part.value] if part.name == "tags" else []
            replaced = _replaced(part.value) if part.name == "replaces" else replaced
        elif part.name == "file":
            if not part.filename:
                raise Invalid("No file was chosen; choose one and send the form again")
            filename = naming.check_filename(naming.form_filename(part.filename))
            content_type = sniffing.declared_type(part.content_type, filename)
            incoming = _sorted_in(Incoming(filename, content_type), folder, tags)
            allowed, incoming = await versions.replacing(call, allowed, incoming, replaced)
            return await call.files.uploads.store(
                source, sender_id(call), allowed, incoming, _to_the_end(form, part)
            )
    raise Invalid("The form has no file; send it as the field named file")


@to_source
async def raw_put(call: Call, source: Source, allowed: Grant) -> Response:
    try:
        filename = naming.check_filename(unquote(call.vars["filename"], errors="strict"))
    except UnicodeDecodeError:
        raise Invalid("The file name in the URL is not UTF-8; encode it as UTF-8") from None
    length = call.headers.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        raise Invalid("Content-Length is not a number of bytes; correct it")
    content_type = sniffing.declared_type(call.headers.get("content-type"), filename)
    declared = digests_of(call.headers)
    # The upload itself verifies the sha256; only other digests are left to verify here.
    sha256 = next((one.hex for one in declared if one.algorithm == "sha256"), None)
    others = [one for one in declared if one.hex != sha256]
    incoming = Incoming(filename, content_type, int(length) if length else None, sha256)
    incoming = _sorted_in(incoming, call.argument("folder") or "", call.query.get("tags", []))
    replaced = _replaced(call.argument("replaces"))
    allowed, incoming = await versions.replacing(call, allowed, incoming, replaced)
    body = _verified(call.body.__aiter__(), others)
    file = await call.files.uploads.store(source, call.actor_id, allowed, incoming, body)
    return await _stored(call, source, file)


async def _browses(call: Call) -> bool:
    """Tell whether the actor may open the pages of the route's source and its files."""
    return call.vars["source"] in await call.files.lookup.allowed_sources(call.actor, BROWSE)


async def _stored(call: Call, source: Source, file: FileRecord) -> Response:
    await call.files.uploaded(source, file, call.actor)
    links = records.urls(call, file.id)
    if "text/html" in call.headers.get("accept", ""):
        if await _browses(call):
            return redirect(links["url"])
        # This actor may not open the file's page, so show the record of the upload.
        context = {"source": source, "uploaded": records.uploaded(call, file), "can_browse": False}
        return await page(call, "upload.html", context, 201)
    body = {
        "ok": True,
        "file": records.uploaded(call, file),
        "file_id": file.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "size": file.size,
        "url": links["url"],
    }
    return answer(call, body, 201, {"Location": links["url"]})


def _multipart(call: Call) -> MultipartStream:
    content_type = call.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise BadType("Send the file as multipart/form-data, in the field named file")
    try:
        return MultipartStream(
            content_type, _verified(call.body.__aiter__(), digests_of(call.headers))
        )
    except MultipartError as error:
        raise Invalid(f"Malformed multipart form: {error}") from None


def digests_of(headers: Mapping[str, str]) -> list[Digest]:
    """The digests in the headers of a request or of a form's part.

    Raises Invalid for a part of a file (RFC 9110, 14.5), and BadType for a content coding, as the
    bytes would be stored encoded (RFC 9110, 15.5.16).
    """
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise BadType(
            f"Content-Encoding {coding[:50]!r} is not supported; send the file's own bytes, without"
            " that header",
            headers={"Accept-Encoding": "identity"},
        )
    if "content-range" in headers:
        raise Invalid("A part of a file (Content-Range) cannot be stored; send the whole file")
    try:
        return declared_digests(headers)
    except ValueError as error:
        raise Invalid(f"A declared digest cannot be verified: {error}") from None


def _verified(body: AsyncIterator[bytes], declared: list[Digest]) -> AsyncIterator[bytes]:
    """The same chunks; ChecksumMismatch at their end. Without a digest nothing is hashed."""
    return _hashed(body, declared) if declared else body


async def _hashed(body: AsyncIterator[bytes], declared: list[Digest]) -> AsyncIterator[bytes]:
    """The same chunks. Raises ChecksumMismatch after the last, unless the digests match."""
    hashes = {one.algorithm: hashlib.new(one.algorithm, usedforsecurity=False) for one in declared}

    def update(chunk: bytes) -> None:
        for one in hashes.values():
            one.update(chunk)

    async for chunk in body:
        if len(chunk) < WORTH_A_THREAD:
            update(chunk)
        else:
            await asyncio.to_thread(update, chunk)
        yield chunk
    for one in declared:
        if not one.holds(hashes[one.algorithm].hexdigest()):
            raise ChecksumMismatch(
                f"The received bytes do not have the digest in {one.field}; send the file again"
            )


async def _next_part(form: MultipartStream) -> Field | FilePart | None:
    try:
        return await form.next_part()
    except MultipartError as error:
        raise Invalid(f"Malformed multipart form: {error}") from None


async def _to_the_end(form: MultipartStream, part: FilePart) -> AsyncIterator[bytes]:
    """The file's bytes. Reads the form to its end too, so that a truncated form is an error."""
    try:
        async for chunk in _verified(part.chunks(), digests_of(part.headers)):
            yield chunk
    except MultipartError as error:
        raise Invalid(f"Malformed multipart form: {error}") from None
    while (after := await _next_part(form)) is not None:
        if isinstance(after, FilePart):
            raise Invalid("The form has more than one file; send each in its own request")
        if after.name in ("folder", "tags", "replaces"):
            raise Invalid(f"{after.name} must come before file in the form")
