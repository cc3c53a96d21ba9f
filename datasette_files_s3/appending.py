"""Uploads that go on, through Datasette: a multipart upload, and a tail beside it.

S3 takes no part under 5 MiB but the last. What an append leaves beyond its last whole part is kept
as an object, the tail, at ``<staging key>.<offset>``, and read back by the next append. Tails stay
until the upload ends, as the core may go back to any state that it has recorded. Parts are listed
from the store at the end, and not remembered. Needs the right ``s3:ListMultipartUploadParts``.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from datasette_files.errors import FilesError, FileTooLarge

from . import deleting, reading
from .client import Connection
from .config import Folder
from .direct import staging_key
from .errors import caused_by
from .writing import Part, content_md5

#: Bytes of one append, and of a part at first: each checkpoint is a whole part. After each number
#: of parts in ``_GROWS_AFTER`` the size doubles. 10,000 parts make 146 GiB; a tail has at most
#: 20 MiB.
APPEND = 5 * 1024 * 1024
_GROWS_AFTER = (2000, 4000)
_MAX_PARTS = 10_000
_MIN_RATE = 128 * 1024


def part_size(sent: int) -> int:
    """The size in bytes of the part after ``sent`` parts."""
    return APPEND << bisect.bisect_right(_GROWS_AFTER, sent)


@dataclass(frozen=True)
class Appended:
    """The result of an append. The core keeps it, so a changed configuration does not matter."""

    bucket: str
    key: str
    staging: str
    #: Bytes in all.
    offset: int = 0
    upload_id: str | None = None
    #: Whole parts.
    parts: int = 0
    #: Bytes of the tail at ``offset``; None where there is none.
    tail: int | None = None

    @classmethod
    def of(cls, folder: Folder, path: str, state: dict[str, Any]) -> Appended:
        """The core's state as it was, or a new one."""
        if state:
            return cls(**state)
        return cls(folder.bucket, folder.prefix + path, staging_key(folder.prefix, path))

    def state(self) -> dict[str, Any]:
        return asdict(self)

    def tail_key(self, offset: int) -> str:
        return f"{self.staging}.{offset}"


class Appending:
    """One append to one upload."""

    def __init__(self, connection: Connection, path: str, upload: Appended) -> None:
        self._connection = connection
        self._path = path
        self._upload = upload
        self._filling = bytearray()
        #: Of every object: its tails too.
        self._made_with: dict[str, Any] = {"ContentType": _TYPE, **connection.config.encryption}

    async def append(self, offset: int, stream: AsyncIterator[bytes]) -> Appended:
        """Store the stream; return what is stored then. Raises FileNotFoundError, FileTooLarge."""
        before = self._upload
        first = await anext(stream, b"")
        if before.offset != offset:
            raise FileNotFoundError(self._path)
        await self._read_tail()
        await self._add(first)
        async for chunk in stream:
            await self._add(chunk)
        upload = self._upload
        tail = len(self._filling) if self._filling or not upload.parts else None
        if tail is not None and (tail != before.tail or upload.offset != offset):
            key = upload.tail_key(upload.offset)
            await self._call("put_object", self._filling, Key=key, **self._made_with)
        return replace(upload, tail=tail)

    async def _read_tail(self) -> None:
        upload = self._upload
        if not upload.tail:
            return
        key = upload.tail_key(upload.offset)
        content = await reading.read(self._connection, upload.bucket, key, 0, upload.tail)
        if len(content) != upload.tail:
            raise FileNotFoundError(self._path)
        self._filling += content

    async def _add(self, chunk: bytes) -> None:
        with memoryview(chunk) as view:
            taken = 0
            while taken < len(view):
                size = part_size(self._upload.parts)
                room = size - len(self._filling)
                self._filling += view[taken : taken + room]
                taken += room
                if len(self._filling) == size:
                    await self._send()
        self._upload = replace(self._upload, offset=self._upload.offset + len(chunk))

    async def _send(self) -> None:
        """Send a whole part."""
        if self._upload.parts >= _MAX_PARTS - 1:
            raise FileTooLarge("The file is larger than this way takes; send it to the store")
        await self._begin()
        content, self._filling = self._filling, bytearray()
        number = self._upload.parts + 1
        await self._call("upload_part", content, PartNumber=number, UploadId=self._upload.upload_id)
        self._upload = replace(self._upload, parts=number)

    async def _begin(self) -> None:
        """Begin the multipart upload, once. Ends those that a killed process began."""
        upload = self._upload
        if upload.upload_id is not None:
            return
        await deleting.abort_unfinished(self._connection, upload.bucket, [upload.key])
        answer = await self._connection.call(
            "create_multipart_upload", Bucket=upload.bucket, Key=upload.key, **self._made_with
        )
        self._upload = replace(upload, upload_id=answer["UploadId"])

    async def _call(self, operation: str, content: bytearray, **more: Any) -> Any:
        # As each body of writing.py, for buckets with Object Lock.
        more["ContentMD5"] = await asyncio.to_thread(content_md5, content)
        target = {"Bucket": self._upload.bucket, "Key": self._upload.key, **more}
        body: Any = Part(content) if content else b""
        seconds = 60 + len(content) / _MIN_RATE
        try:
            return await self._connection.call(operation, seconds=seconds, Body=body, **target)
        except FilesError as error:
            raise _gone(error, self._path) from error

    async def finish(self) -> int:
        """Make the object appear; its size in bytes. Raises FileNotFoundError."""
        upload = self._upload
        await self._read_tail()
        if upload.upload_id is None:
            if upload.tail == 0:  # an empty one may have been discarded too
                key = upload.tail_key(upload.offset)
                await self._connection.call("head_object", Bucket=upload.bucket, Key=key)
            await self._call("put_object", self._filling, **self._made_with)
            return upload.offset
        if self._filling:
            number = upload.parts + 1
            await self._call(
                "upload_part", self._filling, PartNumber=number, UploadId=upload.upload_id
            )
        parts = await self._listed(upload.parts + bool(self._filling))
        try:
            await self._connection.call(
                "complete_multipart_upload",
                seconds=300,
                Bucket=upload.bucket,
                Key=upload.key,
                UploadId=upload.upload_id,
                MultipartUpload={"Parts": parts},
            )
        except FilesError as error:
            raise _gone(error, self._path) from error
        return upload.offset

    async def _listed(self, count: int) -> list[dict[str, Any]]:
        """The first ``count`` parts as the store lists them. FileNotFoundError unless all fit."""
        upload, found = self._upload, dict[int, tuple[str, int]]()
        marker: dict[str, Any] = {}
        while True:
            try:
                page = await self._connection.call(
                    "list_parts",
                    Bucket=upload.bucket,
                    Key=upload.key,
                    UploadId=upload.upload_id,
                    **marker,
                )
            except FilesError as error:
                raise _gone(error, self._path) from error
            for part in page.get("Parts", []):
                found[part["PartNumber"]] = (part["ETag"], part["Size"])
            if not page.get("IsTruncated"):
                break
            marker = {"PartNumberMarker": page["NextPartNumberMarker"]}
        wanted = range(1, count + 1)
        if not set(wanted) <= set(found) or sum(found[n][1] for n in wanted) != upload.offset:
            raise FileNotFoundError(self._path)
        return [{"PartNumber": n, "ETag": found[n][0]} for n in wanted]


#: The core keeps each file's type, and answers with it.
_TYPE = "application/octet-stream"


def _gone(error: FilesError, path: str) -> Exception:
    """FileNotFoundError for an upload that the store does not have any more."""
    return FileNotFoundError(path) if caused_by(error) == "NoSuchUpload" else error


async def discard(connection: Connection, upload: Appended) -> None:
    """End the multipart upload and delete every tail, but not the object. May be repeated."""
    await deleting.abort_unfinished(connection, upload.bucket, [upload.key])
    if upload.upload_id is not None:  # also where unfinished uploads cannot be listed
        await deleting.abort(connection, upload.bucket, upload.key, upload.upload_id)
    await delete_tails(connection, upload)


async def delete_tails(connection: Connection, upload: Appended) -> None:
    """Delete every tail of the upload."""
    while True:
        page = await connection.call(
            "list_objects_v2", Bucket=upload.bucket, Prefix=f"{upload.staging}."
        )
        keys = [entry["Key"] for entry in page.get("Contents", [])]
        await deleting.delete_objects(connection, upload.bucket, keys)
        if not keys or not page.get("IsTruncated"):
            return
