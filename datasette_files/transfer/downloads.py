"""Downloads: from a file and a request's conditions to a plan, and from a plan to bytes.

``plan`` decides everything that the headers say, by RFC 9110, without touching the storage, or asks
a storage that signs URLs for one. ``open_body`` then opens the object before any header is sent, so
that a missing or truncated one is an error and not a broken 200. No Request and no Response here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ..errors import FilesError, RangeUnsatisfiable, StorageError
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
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")

#: What may stand in an entity tag (RFC 9110, 8.8.3), as far as it is ASCII.
_ENTITY_TAG = re.compile(r"[\x21\x23-\x7e]{1,200}")

Kind = Literal["attachment", "inline"]

#: No script, no plugins, no forms, an origin of its own: whatever a file holds, it can do nothing.
_SANDBOX = "sandbox; default-src 'none'; img-src data:; media-src 'self'; style-src 'unsafe-inline'"
#: Bytes; a file up to this size is read and sent in one piece.
_SMALL = 256 * 1024


@dataclass(frozen=True)
class Plan:
    """An answer. ``pieces`` are literal bytes and ranges of the object, in order."""

    status: int
    headers: dict[str, str]
    content_type: str
    pieces: tuple[bytes | ByteRange, ...] = ()


class Body:
    """A body whose object is open: iterate ``chunks``, then ``close``."""

    def __init__(self, chunks: AsyncIterator[bytes], opened: AsyncIterator[bytes] | None) -> None:
        self.chunks = chunks
        self._opened = opened

    async def close(self) -> None:
        """Let go of the object, read to its end or not."""
        for generator in (self.chunks, self._opened):
            if isinstance(generator, AsyncGenerator):
                await generator.aclose()


async def plan(
    source: Source, file: FileRecord, kind: Kind, method: str, headers: Mapping[str, str]
) -> Plan:
    """How to answer GET or HEAD for a file. ``headers`` are the request's, in lower case.

    Raises RangeUnsatisfiable, StorageUnavailable.
    """
    inline = kind == "inline" and shows_inline(file.type)
    disposition = content_disposition("inline" if inline else "attachment", file.filename)
    common = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"}
    if kind == "inline":
        common["Content-Security-Policy"] = _SANDBOX
    if method == "GET" and _redirects(source) and (inline or kind == "attachment"):
        url = await _signed_url(source, file, disposition)
        return Plan(302, {**common, "Location": url, "Cache-Control": "no-store"}, file.type)
    return _local_plan(file, method, headers, common)


def _redirects(source: Source) -> bool:
    capabilities = source.capabilities
    return capabilities.can_generate_signed_urls and not capabilities.requires_proxy_download


async def _signed_url(source: Source, file: FileRecord, disposition: str) -> str:
    with _answered(source, file):
        return await source.storage.signed_download_url(
            file.path,
            filename=file.filename,
            content_type=file.type,
            disposition=disposition,
            expires_in=source.signed_seconds,
        )


@contextmanager
def _answered(source: Source, file: FileRecord) -> Iterator[None]:
    """Turns whatever a storage raises into an error that answers the request."""
    try:
        yield
    except FilesError:
        raise
    except FileNotFoundError as error:
        raise _missing(file) from error
    except Exception as error:
        logger.exception("Source %r failed to read a file", source.slug)
        raise StorageError("The storage failed; try again, or ask its administrator") from error


def _local_plan(
    file: FileRecord, method: str, headers: Mapping[str, str], common: dict[str, str]
) -> Plan:
    etag = _entity_tag(file)
    modified = file.modified
    common = {**common, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if etag:
        common["ETag"] = etag
    if modified:
        common["Last-Modified"] = http_date(modified)
    outcome = evaluate(method, headers, etag, modified)
    if outcome is Outcome.NOT_MODIFIED:
        return Plan(304, common, file.type)
    if outcome is Outcome.PRECONDITION_FAILED:
        return Plan(412, common, file.type)
    if file.size is None:
        # Catalogued by another tool: without a size there are no ranges.
        return Plan(200, common, file.type, (ByteRange(0, 2**63 - 1),))
    wanted = headers.get("range") if method == "GET" else None
    if wanted and not if_range_matches(headers.get("if-range"), etag, modified):
        wanted = None
    return _ranges_plan(file, file.size, wanted, common)


def _ranges_plan(file: FileRecord, size: int, wanted: str | None, common: dict[str, str]) -> Plan:
    """All ``size`` bytes, or what a Range header selects."""
    try:
        ranges = parse_range(wanted, size)
    except RangeNotSatisfiable:
        raise RangeUnsatisfiable(
            f"The file has {size} bytes; no range that was asked for lies within",
            headers={"Content-Range": unsatisfied_range(size), "Accept-Ranges": "bytes"},
        ) from None
    if not ranges:
        length = {"Content-Length": str(size)}
        return Plan(200, {**common, **length}, file.type, (ByteRange(0, size),))
    if len(ranges) == 1:
        single = {
            "Content-Length": str(ranges[0].length),
            "Content-Range": content_range(ranges[0], size),
        }
        return Plan(206, {**common, **single}, file.type, (ranges[0],))
    framing = ByteRanges(ranges, file.type, size)
    pieces = tuple(piece for header, part in framing.parts for piece in (header, part))
    length = {"Content-Length": str(framing.content_length)}
    return Plan(206, {**common, **length}, framing.content_type, (*pieces, framing.closing))


def _entity_tag(file: FileRecord) -> str | None:
    """Strong, as bytes under an id never change: their sha256, or the storage's own tag."""
    tag = file.sha256 or file.content_hash or ""
    return f'"{tag}"' if _ENTITY_TAG.fullmatch(tag) else None


def is_small(file: FileRecord, pieces: tuple[bytes | ByteRange, ...]) -> bool:
    """Whether the body is one whole file that is better read at once than streamed."""
    return file.size is not None and file.size <= _SMALL and pieces == (ByteRange(0, file.size),)


async def read_small(source: Source, file: FileRecord) -> bytes:
    """All of a small file. Raises StorageError."""
    with _answered(source, file):
        content = await source.storage.read_bytes(file.path, file.size or 0)
    if len(content) != file.size:
        raise _missing(file)
    return content


async def open_body(
    source: Source, file: FileRecord, pieces: tuple[bytes | ByteRange, ...]
) -> Body:
    """Open the object and read its first chunk. Raises StorageError while no header is out."""
    storage = source.storage
    ranges = [piece for piece in pieces if isinstance(piece, ByteRange)]
    if not ranges:
        return Body(_literal(pieces), None)
    first = storage.stream_range(file.path, ranges[0].start, ranges[0].end)
    with _answered(source, file):
        ahead = [await anext(first, b"")]
        if len(ahead[0]) < ranges[0].length:
            # More must follow, or the object is shorter than the catalog says.
            ahead.append(await anext(first, b""))
    if not ahead[-1] and ranges[0].length and file.size is not None:
        raise _missing(file)
    return Body(_stream(source, file, pieces, first, ahead), first)


async def _literal(pieces: tuple[bytes | ByteRange, ...]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece


async def _stream(
    source: Source,
    file: FileRecord,
    pieces: tuple[bytes | ByteRange, ...],
    opened: AsyncIterator[bytes],
    ahead: list[bytes],
) -> AsyncIterator[bytes]:
    """The pieces. Raises StorageError where the object is shorter than the catalog says."""
    stream: AsyncIterator[bytes] | None = opened
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        sent = 0
        for chunk in ahead:
            sent += len(chunk)
            yield chunk
        ahead = []
        rest = stream or source.storage.stream_range(file.path, piece.start, piece.end)
        try:
            async for chunk in rest:
                sent += len(chunk)
                yield chunk
        except FilesError:
            raise
        except Exception as error:
            logger.exception("Source %r failed in the middle of a file", source.slug)
            raise StorageError("The storage failed; try again, or ask its administrator") from error
        finally:
            if isinstance(rest, AsyncGenerator):
                await rest.aclose()
        stream = None
        if file.size is not None and sent != piece.length:
            logger.error("File %s has fewer bytes in its storage than in the catalog", file.id)
            raise StorageError("The stored file is shorter than it should be")


def _missing(file: FileRecord) -> StorageError:
    logger.error("File %s is in the catalog but its bytes are not in the storage", file.id)
    return StorageError(
        "The file's bytes are missing from the storage, in part or whole; ask its administrator"
    )
