"""The tus 1.0.0 routes of uploads that go on: OPTIONS and POST; HEAD, PATCH and DELETE.

``routes_at`` makes the handlers for any address that can say whose uploads are there, so that an
upload link has the same below its own address. The headers' rules are in protocol/tus.py.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from datasette.utils.asgi import Response

from .. import naming
from ..errors import FilesError, Invalid, NotSupported
from ..media import sniffing
from ..permissions.actions import UPLOAD
from ..permissions.grants import grant
from ..protocol import tus
from ..sources.sources import Source
from ..transfer.appending import Sent
from ..transfer.authority import Authority
from ..transfer.incoming import Incoming
from ..transfer.resuming import Progress, require_appends
from .http import Call, empty
from .upload_bodies import digests_of
from .uploads import place_of, sha256_of

Handler = Callable[[Call], Awaitable[Response]]

#: A request with one of these methods may come as a POST that names it.
_OVERRIDDEN = ("PATCH", "DELETE", "HEAD")


@dataclass(frozen=True)
class Mount:
    """An address below which uploads go on, for one request."""

    source: Source
    authority: Authority
    #: The address of the uploads, without ``base_url`` and without a slash at its end.
    path: str
    #: Whether an answer may tell the address of the file.
    tells_file: bool = True
    #: The protocol's extensions that are spoken there.
    extensions: Sequence[str] = tus.EXTENSIONS


Open = Callable[[Call], Awaitable[Mount]]
_Mounted = Callable[[Call, Mount], Awaitable[Response]]


async def _at_source(call: Call) -> Mount:
    source = call.files.sources.get(call.vars["source"])
    allowed = await grant(call.datasette, call.actor, UPLOAD, source.slug)
    path = f"/-/files/upload/{source.slug}/-/tus"
    return Mount(source, Authority(call.actor_id, allowed), path)


async def _completing(call: Call, mount: Mount, token: str | None) -> Mount:
    """The mount, whose right also covers the file that the upload of the token replaces.

    Raises Conflict, NotFound, PermissionDenied.
    """
    if token is None or call.link:
        return mount
    right = await call.files.versions.completing(call.actor, mount.authority.grant, token)
    return replace(mount, authority=replace(mount.authority, grant=right))


def _token(call: Call) -> str:
    """The token of the upload in the address."""
    return naming.resumable_token(call.vars["upload"])


def routes_at(opened: Open) -> tuple[dict[str, Handler], dict[str, Handler]]:
    """The handlers by method of the collection of uploads, and of one upload."""

    def view(handler: _Mounted) -> Handler:
        @wraps(handler)
        async def speak(call: Call) -> Response:
            mount: Mount | None = None
            try:
                tus.check_version(call.headers)
                mount = await opened(call)
                response = await handler(call, mount)
            except FilesError as error:
                # A refusal mentions the source's limits and state; not to who may not upload.
                raise tus.as_tus(await _denied(call, mount) or error) from error
            response.headers["Tus-Resumable"] = tus.VERSION
            return response

        return speak

    def options(call: Call) -> Awaitable[Response]:
        return _options(call, opened)

    methods = {"HEAD": view(_head), "PATCH": view(_patch), "DELETE": view(_delete)}

    async def overridden(call: Call) -> Response:
        """A POST that names the method. As a POST, no page of another site can send it."""
        method = call.headers.get("x-http-method-override", "").upper()
        if method not in _OVERRIDDEN:
            raise tus.as_tus(
                NotSupported(
                    "Use HEAD, PATCH or DELETE here, or name one in X-HTTP-Method-Override",
                    headers={"Allow": "DELETE, HEAD, OPTIONS, PATCH, POST"},
                )
            )
        return await methods[method](call)

    one = {"OPTIONS": options, **methods, "POST": overridden}
    return {"OPTIONS": options, "POST": view(_create)}, one


async def _denied(call: Call, mount: Mount | None) -> FilesError | None:
    """The refusal for an actor who may not upload here."""
    if mount is None:
        return None
    try:
        await call.files.catalog.read(lambda conn: mount.authority.check(conn, mount.source))
    except FilesError as error:
        return error
    return None


async def _options(call: Call, opened: Open) -> Response:
    """The powers of the protocol here. A preflight has no actor, so it learns no limit.

    Raises NotFound for a link that does not work.
    """
    headers = {
        "Allow": "DELETE, HEAD, OPTIONS, PATCH, POST",
        "Tus-Resumable": tus.VERSION,
        "Tus-Version": tus.VERSION,
        "Tus-Checksum-Algorithm": ",".join(tus.CHECKSUM_ALGORITHMS),
    }
    extensions: Sequence[str] = tus.EXTENSIONS
    try:
        mount = await opened(call)
        extensions = mount.extensions
        await call.files.catalog.read(lambda conn: mount.authority.check(conn, mount.source))
        require_appends(mount.source)
        headers["Tus-Max-Size"] = str(mount.source.max_file_size)
    except NotSupported as error:
        raise tus.as_tus(error) from error
    except FilesError:
        if call.link:
            raise  # an answer to a wrong token would tell it from a right one
    return empty(204, {**headers, "Tus-Extension": ",".join(extensions)})


async def _create(call: Call, mount: Mount) -> Response:
    raw = call.headers.get("upload-metadata", "")
    concat = tus.concat(call.headers.get("upload-concat"))
    pairs = tus.metadata(raw)
    if concat is not None and "concatenation" not in mount.extensions:
        raise NotSupported("Only whole files can be sent here; leave Upload-Concat out")
    if concat is not None and concat.is_final:
        return await _join(call, mount, pairs, concat)
    size = tus.declared_length(call.headers)
    incoming = _incoming(pairs, size, named=concat is None)
    if concat is None:
        await _check_column(call, mount, pairs, incoming)
    resuming, prepared = call.files.resuming, pairs.get("upload_token")
    mount = await _completing(call, mount, prepared)
    # Some clients, such as those made with aiohttp, name a type for a body without bytes too.
    has_body = "content-type" in call.headers and call.headers.get("content-length") != "0"
    sent = _sent(call, 0) if has_body else None
    resumable_id, progress = await resuming.create(
        *(mount.source, mount.authority, incoming),
        metadata=raw,
        concat=None if concat is None else "partial",
        prepared=prepared,
    )
    if sent is not None and progress.file is None and progress.upload.state == "prepared":
        progress = await resuming.append(mount.source, mount.authority, resumable_id, sent)
    return await _created(call, mount, resumable_id, progress)


async def _join(call: Call, mount: Mount, pairs: dict[str, str], concat: tus.Concat) -> Response:
    if "upload-length" in call.headers or "upload-defer-length" in call.headers:
        raise Invalid("A final upload has the size of its parts; send no Upload-Length")
    incoming = _incoming(pairs, None, named=True)
    await _check_column(call, mount, pairs, incoming)
    resumable_id, progress = await call.files.resuming.join(
        *(mount.source, mount.authority, concat.parts, incoming),
        metadata=call.headers.get("upload-metadata", ""),
        concat=call.headers["upload-concat"],
    )
    return await _created(call, mount, resumable_id, progress)


async def _created(call: Call, mount: Mount, resumable_id: str, progress: Progress) -> Response:
    await _announce(call, mount, progress)
    headers = {"Location": call.url(f"{mount.path}/{resumable_id}")}
    return empty(201, {**headers, **_state(call, mount, progress)})


async def _head(call: Call, mount: Mount) -> Response:
    mount = await _completing(call, mount, _token(call))
    progress = await call.files.resuming.look(mount.source, mount.authority, call.vars["upload"])
    await _announce(call, mount, progress)
    resumable = progress.resumable
    headers = {"Cache-Control": "no-store", **_state(call, mount, progress)}
    if resumable.metadata:
        headers["Upload-Metadata"] = resumable.metadata
    if resumable.concat is not None:
        headers["Upload-Concat"] = resumable.concat
    return empty(200, headers)


async def _patch(call: Call, mount: Mount) -> Response:
    tus.check_body_type(call.headers)
    offset = tus.number(call.headers, "upload-offset")
    if offset is None:
        raise Invalid("Upload-Offset is missing; send the byte at which the body begins")
    sent = _sent(call, offset)
    mount = await _completing(call, mount, _token(call))
    size = tus.number(call.headers, "upload-length")
    if size is not None:
        await _take_length(call, mount, size)
    progress = await call.files.resuming.append(
        mount.source, mount.authority, call.vars["upload"], sent
    )
    await _announce(call, mount, progress)
    return empty(204, _state(call, mount, progress))


async def _take_length(call: Call, mount: Mount, size: int) -> None:
    """Take a length that was deferred; the column's limits hold for it too."""
    uploads = (mount.source, mount.authority, call.vars["upload"])
    resumable = (await call.files.resuming.look(*uploads)).resumable
    if resumable.upload.size is None and resumable.concat is None:
        pairs = tus.metadata(resumable.metadata)
        await _check_column(call, mount, pairs, _incoming(pairs, size, named=True))
    await call.files.resuming.set_length(*uploads, size)


async def _delete(call: Call, mount: Mount) -> Response:
    await call.files.resuming.terminate(mount.source, mount.authority, call.vars["upload"])
    return empty(204)


def _sent(call: Call, offset: int) -> Sent:
    """The bytes of the request. Raises BadType, Invalid."""
    tus.check_body_type(call.headers)
    for name in ("digest", "repr-digest", "content-range"):
        if name in call.headers:
            # They speak of the whole file (RFC 9530, 3; RFC 9110, 14.4), of which this is a part.
            raise Invalid(
                f"{name.title()} is not read here; send Upload-Checksum with the bytes, or sha256"
                " in Upload-Metadata"
            )
    checksum = tus.checksum(call.headers.get("upload-checksum"))
    digests = [*([checksum] if checksum else []), *digests_of(call.headers)]
    if len({(one.algorithm, one.hex) for one in digests}) > 1:
        raise Invalid(
            "Send one digest of the bytes: Upload-Checksum, Content-Digest or Content-MD5"
        )
    length = tus.number(call.headers, "content-length")
    return Sent(offset, call.body.__aiter__(), length, digests[0] if digests else None)


def _incoming(pairs: dict[str, str], size: int | None, *, named: bool) -> Incoming:
    """The file that the metadata declares; a partial upload need not have a name."""
    name = pairs.get("filename") or pairs.get("name")
    if name is None and named:
        raise Invalid("Upload-Metadata has no filename; send the file's name")
    filename = naming.check_filename(name if name is not None else "part")
    declared = pairs.get("filetype") or pairs.get("type")
    content_type = sniffing.declared_type(declared, filename)
    sha256, folder = sha256_of(pairs.get("sha256")), naming.check_folder(pairs.get("folder") or "")
    return Incoming(filename, content_type, size, sha256, folder)


async def _check_column(
    call: Call, mount: Mount, pairs: dict[str, str], incoming: Incoming
) -> None:
    """Check the file against the column that the metadata names, if it does."""
    text = pairs.get("column")
    if not text or call.link:
        return
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("column in Upload-Metadata must be a JSON object") from None
    await call.files.columns.check_upload(call.actor, place_of(value), mount.source.slug, incoming)


def _state(call: Call, mount: Mount, progress: Progress) -> dict[str, str]:
    """The headers of an upload as it is now."""
    upload, headers = progress.upload, {"Upload-Offset": str(progress.resumable.offset)}
    if upload.size is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(upload.size)
    if upload.state != "completed":
        headers["Upload-Expires"] = tus.expires(upload.expires_at)
    elif mount.tells_file:
        headers["Content-Location"] = call.url(f"/-/files/{upload.file_id}")
    return headers


async def _announce(call: Call, mount: Mount, progress: Progress) -> None:
    if progress.file is not None:
        sender = None if call.link else call.actor
        await call.files.uploaded(mount.source, progress.file, sender)


COLLECTION, UPLOAD_ITSELF = routes_at(_at_source)
