"""The bodies of upload requests: multipart forms, and bytes whose declared digests are verified."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping

from ..errors import BadType, ChecksumMismatch, Invalid
from ..protocol.digest import Digest, declared_digests
from ..protocol.multipart import Field, FilePart, MultipartError, MultipartStream
from ..sources.reading import WORTH_A_THREAD
from .http import Call


def multipart(call: Call) -> MultipartStream:
    content_type = call.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise BadType("Send the file as multipart/form-data, in the field named file")
    try:
        return MultipartStream(
            content_type, verified(call.body.__aiter__(), digests_of(call.headers))
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


def verified(body: AsyncIterator[bytes], declared: list[Digest]) -> AsyncIterator[bytes]:
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


async def next_part(form: MultipartStream) -> Field | FilePart | None:
    try:
        return await form.next_part()
    except MultipartError as error:
        raise Invalid(f"Malformed multipart form: {error}") from None


async def to_the_end(form: MultipartStream, part: FilePart) -> AsyncIterator[bytes]:
    """The file's bytes. Reads the form to its end too, so that a truncated form is an error."""
    try:
        async for chunk in verified(part.chunks(), digests_of(part.headers)):
            yield chunk
    except MultipartError as error:
        raise Invalid(f"Malformed multipart form: {error}") from None
    while (after := await next_part(form)) is not None:
        if isinstance(after, FilePart):
            raise Invalid("The form has more than one file; send each in its own request")
        if after.name in ("folder", "tags", "replaces"):
            raise Invalid(f"{after.name} must come before file in the form")
