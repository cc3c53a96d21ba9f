"""Uploads in one request: a multipart form, or a raw PUT, which may be sent again under a key."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

from datasette.utils.asgi import Response

from .. import naming
from ..errors import Invalid
from ..media import sniffing
from ..models import FileRecord
from ..permissions.grants import Grant
from ..protocol.multipart import Field
from ..sources.sources import Source
from ..transfer.incoming import Incoming
from . import records, versions
from .http import Call, answer, page, redirect
from .upload_bodies import digests_of, multipart, next_part, to_the_end, verified
from .uploads import browses, duplicate_of, replaced_by, sender_id, to_source

_LENGTH = re.compile(r"[0-9]{1,18}")
#: As a string of structured fields, which the draft of the header asks for, or bare, as many send.
_KEY = re.compile(r'("?)([!#-\[\]-~]{16,255})\1')


@to_source
async def one_shot(call: Call, source: Source, allowed: Grant) -> Response:
    return await _stored(call, source, await store_form(call, source, allowed))


async def store_form(call: Call, source: Source, allowed: Grant) -> FileRecord:
    """Store the file of a form that is a whole upload."""
    form = multipart(call)
    folder, tags, replaced = "", list[str](), None
    while (part := await next_part(form)) is not None:
        if isinstance(part, Field):
            folder = part.value if part.name == "folder" else folder
            tags += [part.value] if part.name == "tags" else []
            replaced = replaced_by(part.value) if part.name == "replaces" else replaced
        elif part.name == "file":
            if not part.filename:
                raise Invalid("No file was chosen; choose one and send the form again")
            filename = naming.check_filename(naming.form_filename(part.filename))
            content_type = sniffing.declared_type(part.content_type, filename)
            incoming = _sorted_in(Incoming(filename, content_type), folder, tags)
            allowed, incoming = await versions.replacing(call, allowed, incoming, replaced)
            return await call.files.uploads.store(
                source, sender_id(call), allowed, incoming, to_the_end(form, part)
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
    incoming = replace(incoming, replaces=replaced_by(call.argument("replaces")))
    key = _key_of(call.headers.get("idempotency-key"))
    uploads, about = call.files.uploads, (source, call.actor_id)
    if key is not None and incoming.replaces is not None:
        # The file that it replaced is no longer the newest version, and would be refused.
        file = await uploads.repeated(*about, allowed, incoming, key)
        if file is not None:
            return await _stored(call, source, file, created=False)
    allowed, incoming = await versions.replacing(call, allowed, incoming, incoming.replaces)
    body = verified(call.body.__aiter__(), others)
    if key is None:
        return await _stored(call, source, await uploads.store(*about, allowed, incoming, body))
    stored = await uploads.store_once(*about, allowed, incoming, body, key)
    return await _stored(call, source, *stored)


def _key_of(header: str | None) -> str | None:
    """The key under which a client may repeat its request. Raises Invalid."""
    if header is None:
        return None
    found = _KEY.fullmatch(header.strip())
    if found is None:
        raise Invalid(
            "Idempotency-Key must have 16 to 255 visible characters of ASCII, without quotes and"
            " backslashes; send a UUID"
        )
    return found[2]


def _sorted_in(incoming: Incoming, folder: str, tags: list[str]) -> Incoming:
    """The file in a folder, with tags. Raises Invalid."""
    return replace(incoming, folder=naming.check_folder(folder), tags=naming.check_tags(tags))


async def _stored(call: Call, source: Source, file: FileRecord, created: bool = True) -> Response:
    """The answer to an upload in one request; ``created``: by this one."""
    if created:
        await call.files.uploaded(source, file, call.actor)
    links, status = records.urls(call, file.id), 201 if created else 200
    if "text/html" in call.headers.get("accept", ""):
        if await browses(call):
            return redirect(links["url"])
        # This actor may not open the file's page, so show the record of the upload.
        context = {"source": source, "uploaded": records.uploaded(call, file), "can_browse": False}
        return await page(call, "upload.html", context, status)
    body = {
        "ok": True,
        "file": records.uploaded(call, file),
        "file_id": file.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "size": file.size,
        "url": links["url"],
    }
    if call.argument("duplicate_of"):
        body |= await duplicate_of(call, file)
    return answer(call, body, status, {"Location": links["url"]})
