"""Downloads: ``plan`` turns a request's conditions into an answer, ``open_body`` into bytes.

``plan`` decides status and headers by RFC 9110 without reading the storage; a storage that signs
URLs is asked for one. ``open_body`` opens the object before any header is sent, so that a missing
or truncated object becomes an error and not a broken 200. Leaves out Request and Response (views/).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..base import signing_window
from ..errors import NotFound, RangeUnsatisfiable
from ..media.inline import shows_inline
from ..models import FileRecord
from ..protocol.conditional import Outcome, evaluate, http_date, if_range_matches
from ..protocol.disposition import content_disposition
from ..protocol.ranges import (
    ByteRange,
    ByteRanges,
    RangeNotSatisfiable,
    content_range,
    parse_range,
    unsatisfied_range,
)
from ..sources import reading
from ..sources.reading import storage_errors
from ..sources.sources import Source

#: The ASCII characters that RFC 9110, 8.8.3 allows in an entity tag; at most 200.
_ENTITY_TAG = re.compile(r"[\x21\x23-\x7e]{1,200}")

Kind = Literal["attachment", "inline"]

#: No scripts, plugins or forms, and an opaque origin: a file cannot use the reader's session.
_SANDBOX = "sandbox; default-src 'none'; img-src data:; media-src 'self'; style-src 'unsafe-inline'"
#: Files up to this size are read and sent in one piece.
_MAX_SMALL_BYTES = 256 * 1024
#: Seconds that a browser keeps a redirect at most, as its URL may end with temporary credentials.
_MAX_KEPT_SECONDS = 300


@dataclass(frozen=True)
class Representation:
    """The representation to which conditions and ranges apply (RFC 9110, 3.2)."""

    content_type: str
    #: Bytes; None: not known, so that ranges are impossible.
    size: int | None
    etag: str | None
    modified: datetime | None


@dataclass(frozen=True)
class Plan:
    """An answer. ``pieces`` is the body: literal bytes and ranges of the object, in order."""

    status: int
    headers: dict[str, str]
    content_type: str
    pieces: tuple[bytes | ByteRange, ...] = ()
    #: Whether a browser may keep it, as its Cache-Control says, for the user who is signed in.
    kept: bool = False


class LocalRange:
    """Bytes of a file on a local disk, from ``position`` up to, not including, ``end``."""

    def __init__(
        self, descriptor: int, position: int, end: int, *, is_whole: bool, before: bytes = b""
    ) -> None:
        self.descriptor = descriptor
        #: Bytes to be sent before those of the file. What is sent of them is cut off.
        self.before = before
        #: Moves on with what is sent.
        self.position = position
        self.end = end
        #: Whether it is all of the file.
        self.is_whole = is_whole

    def close(self) -> None:
        os.close(self.descriptor)


class Body:
    """The body of an opened object: iterate ``chunks``, then ``close``.

    ``local`` may be sent first, and moved on; ``chunks`` is then the rest of it. A chunk may also
    be local ranges: the next one of them is to be asked for once the one before it is sent. What
    is left of the last one is among the next chunks.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes | Iterator[LocalRange], None] | AsyncGenerator[bytes, None],
        opened: AsyncGenerator[Any, None] | None = None,
        local: LocalRange | None = None,
    ) -> None:
        self.chunks = chunks
        self._opened = opened
        self.local = local

    async def close(self) -> None:
        """Release the object, also before its end."""
        if self.local is not None:
            self.local.close()
        await self.chunks.aclose()
        if self._opened is not None:  # if ``chunks`` never started, it has not closed this
            await self._opened.aclose()


async def plan(
    source: Source,
    file: FileRecord,
    kind: Kind,
    method: str,
    headers: Mapping[str, str],
    max_signed_seconds: int | None = None,
    *,
    may_redirect: bool = True,
) -> Plan:
    """Plan the answer to GET or HEAD for a file. ``headers`` are the request's, in lower case.

    ``max_signed_seconds`` bounds the life of a signed URL besides the source's setting. Without
    ``may_redirect`` the bytes go through Datasette, as a signed URL gives more than a range.

    Raises NotFound if the file is missing, RangeUnsatisfiable, StorageError, StorageUnavailable.
    """
    if file.missing_since is not None:
        raise NotFound(
            f"The file's bytes are missing from its source since {file.missing_since} UTC; put them"
            " back, or delete the file"
        )
    inline = kind == "inline" and shows_inline(file.type)
    disposition = content_disposition("inline" if inline else "attachment", file.filename)
    common = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"}
    if kind == "inline":
        common["Content-Security-Policy"] = _SANDBOX
    one = Representation(file.type, file.size, _entity_tag(file), file.modified)
    outcome = evaluate(method, headers, one.etag, one.modified)
    redirects = may_redirect and method == "GET" and _redirects(source, file, kind)
    if outcome is Outcome.PROCEED and redirects and not _judged_again(headers, one):
        seconds = min(source.signed_seconds, max_signed_seconds or source.signed_seconds)
        url = await _signed_url(source, file, disposition, seconds)
        kept = seconds_kept(source) if inline and max_signed_seconds is None else None
        lasting = "no-store" if kept is None else f"private, max-age={kept}"
        moved = {**common, "Location": url, "Cache-Control": lasting}
        return Plan(302, moved, file.type, kept=kept is not None)
    return _plan_of(one, outcome, method, headers, common)


def plan_of(
    one: Representation, method: str, headers: Mapping[str, str], common: dict[str, str]
) -> Plan:
    """As ``plan``, for other bytes than a file's; ``common`` are headers of any answer.

    Raises RangeUnsatisfiable.
    """
    outcome = evaluate(method, headers, one.etag, one.modified)
    return _plan_of(one, outcome, method, headers, common)


def _plan_of(
    one: Representation,
    outcome: Outcome,
    method: str,
    headers: Mapping[str, str],
    common: dict[str, str],
) -> Plan:
    common = {**common, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    common |= {"ETag": one.etag} if one.etag else {}
    common |= {"Last-Modified": http_date(one.modified)} if one.modified else {}
    if outcome is Outcome.NOT_MODIFIED:
        return Plan(304, common, one.content_type)
    if outcome is Outcome.PRECONDITION_FAILED:
        return Plan(412, common, one.content_type)
    return _whole_plan(one, method, headers, common)


async def address(source: Source, file: FileRecord, kind: Kind) -> str | None:
    """The address to which ``plan`` redirects a plain GET; None if it does not.

    For clients that would send their token along with the redirect, which a store refuses. Raises
    StorageError, StorageUnavailable.
    """
    if not _redirects(source, file, kind):
        return None
    disposition = content_disposition(kind, file.filename)
    return await _signed_url(source, file, disposition, source.signed_seconds)


def seconds_kept(source: Source) -> int | None:
    """How long one user's browser may keep a redirect or thumbnail: until the URLs change.

    None if the source's storage does not serve downloads by URLs that it signs.
    """
    capabilities = source.capabilities
    if not capabilities.can_generate_signed_urls or capabilities.requires_proxy_download:
        return None
    now = time.time()
    _, end = signing_window(source.signed_seconds, now)
    return int(min(end - now, _MAX_KEPT_SECONDS))


def _redirects(source: Source, file: FileRecord, kind: Kind) -> bool:
    # Many stores answer a range of an empty object, such as "bytes=0-", with an error.
    if file.size == 0 or seconds_kept(source) is None:
        return False
    return kind == "attachment" or shows_inline(file.type)


def _judged_again(headers: Mapping[str, str], one: Representation) -> bool:
    """Tell whether the request has a condition that holds here and would fail in the storage.

    Clients repeat their headers after a redirect, and the storage has other entity tags and dates.
    """
    if headers.get("if-match", "*").strip() != "*" or "if-unmodified-since" in headers:
        return True
    if_range = headers.get("if-range") if "range" in headers else None
    return if_range is not None and if_range_matches(if_range, one.etag, one.modified)


async def _signed_url(source: Source, file: FileRecord, disposition: str, seconds: int) -> str:
    with storage_errors(source.slug, file):
        return await source.storage.signed_download_url(
            file.path,
            filename=file.filename,
            content_type=file.type,
            disposition=disposition,
            expires_in=seconds,
        )


def _whole_plan(
    one: Representation, method: str, headers: Mapping[str, str], common: dict[str, str]
) -> Plan:
    """The answer with all bytes, or with the requested ones."""
    if one.size is None:
        # Another tool added the file without a size.
        return Plan(200, common, one.content_type, (ByteRange(0, 2**63 - 1),))
    wanted = headers.get("range") if method == "GET" else None
    if_range = headers.get("if-range")
    if wanted and not if_range_matches(if_range, one.etag, one.modified):
        wanted = None
    return _ranges_plan(one.content_type, one.size, wanted, common)


def _ranges_plan(content_type: str, size: int, wanted: str | None, common: dict[str, str]) -> Plan:
    """Plan the answer with all ``size`` bytes, or with the ranges in the header ``wanted``."""
    try:
        ranges = parse_range(wanted, size)
    except RangeNotSatisfiable:
        raise RangeUnsatisfiable(
            f"There are {size} bytes, and the requested ranges lie outside; request others",
            headers={"Content-Range": unsatisfied_range(size), "Accept-Ranges": "bytes"},
        ) from None
    if not ranges:
        length = {"Content-Length": str(size)}
        return Plan(200, {**common, **length}, content_type, (ByteRange(0, size),))
    if len(ranges) == 1:
        single = {
            "Content-Length": str(ranges[0].length),
            "Content-Range": content_range(ranges[0], size),
        }
        return Plan(206, {**common, **single}, content_type, (ranges[0],))
    framing = ByteRanges(ranges, content_type, size)
    pieces = tuple(piece for header, part in framing.parts for piece in (header, part))
    length = {"Content-Length": str(framing.content_length)}
    return Plan(206, {**common, **length}, framing.content_type, (*pieces, framing.closing))


def _entity_tag(file: FileRecord) -> str | None:
    """Return the sha256 or the storage's tag. It is strong, as a file's bytes never change."""
    tag = file.sha256 or file.content_hash or ""
    return f'"{tag}"' if _ENTITY_TAG.fullmatch(tag) else None


def starts_at_zero(file: FileRecord, plan: Plan, headers: Mapping[str, str]) -> bool:
    """Tell whether the answer holds the file's first byte, so that a download begins with it."""
    if plan.status != 302:
        return begins(plan)
    try:
        ranges = parse_range(headers.get("range"), file.size or 0)
    except RangeNotSatisfiable:
        return False
    return not ranges or any(one.start == 0 for one in ranges)


def begins(plan: Plan) -> bool:
    """Tell whether the body of the answer holds the first byte."""
    return any(isinstance(one, ByteRange) and one.start == 0 for one in plan.pieces)


def is_small(file: FileRecord, pieces: tuple[bytes | ByteRange, ...]) -> bool:
    """Tell whether the body is one whole file, small enough to be read at once."""
    if file.size is None or file.size > _MAX_SMALL_BYTES:
        return False
    return pieces == (ByteRange(0, file.size),)


async def open_body(
    source: Source, file: FileRecord, pieces: tuple[bytes | ByteRange, ...], *, local: bool = False
) -> Body:
    """Open the object and read its first chunks, before headers are sent. Raises StorageError.

    With ``local``, one large range of a file on a local disk is opened, and not read.
    """
    if local and (opened_range := await _open_local(source, file, pieces)):
        return Body(_rest(source, file, opened_range), local=opened_range)
    first = next((piece for piece in pieces if isinstance(piece, ByteRange)), None)
    opened = None
    if first is not None:
        opened = await reading.opened(source, file, first.start, first.end)
    return Body(_stream(source, file, pieces, opened), opened)


async def _open_local(
    source: Source, file: FileRecord, pieces: tuple[bytes | ByteRange, ...]
) -> LocalRange | None:
    wanted = pieces[0]
    if len(pieces) > 1 or not isinstance(wanted, ByteRange) or wanted.length <= _MAX_SMALL_BYTES:
        return None
    descriptor = await reading.open_local(source, file)
    if descriptor is None:
        return None
    is_whole = (wanted.start, wanted.end) == (0, file.size)
    return LocalRange(descriptor, wanted.start, wanted.end, is_whole=is_whole)


async def _rest(source: Source, file: FileRecord, local: LocalRange) -> AsyncGenerator[bytes, None]:
    """Stream what is not yet sent of the range. Raises as ``_stream``."""
    if local.position < local.end:
        async with aclosing(reading.stream(source, file, local.position, local.end)) as chunks:
            async for chunk in chunks:
                yield chunk


async def _stream(
    source: Source,
    file: FileRecord,
    pieces: tuple[bytes | ByteRange, ...],
    opened: AsyncGenerator[bytes, None] | None,
) -> AsyncGenerator[bytes, None]:
    """Stream the pieces. Raises StorageError if the object is shorter than the catalog says."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        stream = opened or reading.stream(source, file, piece.start, piece.end)
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk
        opened = None
