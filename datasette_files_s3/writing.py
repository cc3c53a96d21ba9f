"""An upload through Datasette: one PUT if it is small, else parts in parallel, memory bounded.

A part is held until the store has taken it, so that it can be sent again. An upload that fails or
is cancelled is aborted, and its parts or object in the store are deleted. Leaves out uploads that
go to the store directly (direct.py).
"""

from __future__ import annotations

import asyncio
import base64
import bisect
import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from datasette_files.errors import FileTooLarge

from .client import Connection
from .errors import caused_by

logger = logging.getLogger("datasette_files_s3")

#: Bytes of a part. S3 takes 10,000 parts: after each number of ``_GROWS_AFTER`` the size doubles,
#: which makes more than the 5 TiB that an object may have. Two parts are in memory once they are
#: large, so they stay at the first size up to 15.6 GiB, and at 32 MiB up to 101 GiB.
PART = 8 * 1024 * 1024
_GROWS_AFTER = (2000, 3500, *range(5500, 9000, 500))
_MAX_PARTS = 10_000
#: Bytes being sent at the same time, beside the part that is being filled.
_MAX_IN_FLIGHT = 4 * PART
#: Bytes given to the socket at once.
_SLICE = 256 * 1024
#: Bytes a second; a call to a slower store is given up.
_MIN_RATE = 128 * 1024
_UNDO_SECONDS = 20.0


def part_size(sent: int) -> int:
    """The size in bytes of the part after ``sent`` parts."""
    return PART << bisect.bisect_right(_GROWS_AFTER, sent)


class Part:
    """A request's body that can be sent again; aiohttp reads it slice by slice."""

    def __init__(self, content: bytearray) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with memoryview(self._content) as view:
            for start in range(0, len(view), _SLICE):
                yield bytes(view[start : start + _SLICE])

    def read(self, size: int = -1) -> bytes:
        """Never called: the SDK knows a body by this method, and does not sign payloads."""
        return bytes(self._content[: size if size >= 0 else None])

    def seek(self, offset: int, whence: int = 0) -> int:
        """Answer the SDK, which rewinds before a repetition; each iteration starts anew."""
        return len(self._content) if whence == 2 else offset

    def tell(self) -> int:
        return 0


class Upload:
    """One object being uploaded. ``add`` chunks, then ``finish``; ``undo`` after any failure."""

    def __init__(self, connection: Connection, bucket: str, key: str, content_type: str) -> None:
        self._connection = connection
        self._target: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._made_with: dict[str, Any] = {
            "ContentType": content_type,
            **connection.config.encryption,
        }
        self._filling = bytearray()
        self._digest = hashlib.sha256()
        self._upload_id: str | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._tags: dict[int, str] = {}
        self._parts = 0
        #: Whether the store may hold an object under the key.
        self._may_exist = False
        #: Bytes added.
        self.size = 0

    @property
    def sha256(self) -> str:
        """The object's sha256 in hexadecimal, once ``finish`` has returned."""
        return self._digest.hexdigest()

    @property
    def _part_size(self) -> int:
        return part_size(self._parts)

    async def add(self, chunk: bytes) -> None:
        """Take a chunk. Raises the error of an earlier part as soon as it is known."""
        with memoryview(chunk) as view:
            taken = 0
            while taken < len(view):
                room = self._part_size - len(self._filling)
                self._filling += view[taken : taken + room]
                taken += room
                if len(self._filling) >= self._part_size:
                    await self._send()
        self.size += len(chunk)

    async def finish(self) -> None:
        """Send the rest and make the object appear."""
        if self._upload_id is None:
            await asyncio.to_thread(self._digest.update, self._filling)
            self._may_exist = True
            await self._call("put_object", self._filling, **self._made_with)
            return
        if self._filling:
            await self._send()
        while self._sending:
            await self._wait()
        await self._complete()

    async def undo(self) -> None:
        """Abort the upload and delete the object, as far as the store can be reached."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self._sending.clear()
        self._filling = bytearray()
        steps: list[tuple[str, dict[str, Any]]] = []
        if self._upload_id is not None:
            steps.append(("abort_multipart_upload", {"UploadId": self._upload_id}))
        if self._may_exist:
            steps.append(("delete_object", {}))
        for operation, more in steps:
            try:
                await self._connection.call(
                    operation, seconds=_UNDO_SECONDS, **self._target, **more
                )
            except FileNotFoundError:
                pass  # there was nothing
            except Exception as error:  # noqa: BLE001 - the first error is the one to answer with
                if caused_by(error) != "NoSuchUpload":
                    logger.warning("A failed upload may have left parts in the store: %s", error)

    async def _send(self) -> None:
        """Start sending the full part, once fewer than ``_MAX_IN_FLIGHT`` bytes are being sent."""
        if self._parts >= _MAX_PARTS:
            raise FileTooLarge("The file is larger than the store accepts; send a smaller one")
        if self._upload_id is None:
            answer = await self._connection.call(
                "create_multipart_upload", **self._target, **self._made_with
            )
            self._upload_id = answer["UploadId"]
        content, self._filling = self._filling, bytearray()
        most = max(1, _MAX_IN_FLIGHT // len(content))
        await asyncio.to_thread(self._digest.update, content)
        while len(self._sending) >= most:
            await self._wait()
        self._parts += 1
        self._sending.add(asyncio.create_task(self._send_part(self._parts, content)))

    async def _send_part(self, number: int, content: bytearray) -> None:
        answer = await self._call(
            "upload_part", content, PartNumber=number, UploadId=self._upload_id
        )
        self._tags[number] = answer["ETag"]

    async def _call(self, operation: str, content: bytearray, **more: Any) -> Any:
        # A bucket with Object Lock takes nothing without a checksum; every store knows this one.
        more["ContentMD5"] = await asyncio.to_thread(content_md5, content)
        body: Any = Part(content) if content else b""
        seconds = 60 + len(content) / _MIN_RATE
        return await self._connection.call(
            operation, seconds=seconds, Body=body, **self._target, **more
        )

    async def _wait(self) -> None:
        """Wait for the end of a part. Raises its error."""
        done, self._sending = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _complete(self) -> None:
        self._may_exist = True
        parts = [{"PartNumber": n, "ETag": tag} for n, tag in sorted(self._tags.items())]
        try:
            await self._connection.call(
                "complete_multipart_upload",
                seconds=300,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": parts},
                **self._target,
            )
        except Exception as error:
            # The SDK repeats a request whose answer was lost, though the first one succeeded.
            if caused_by(error) != "NoSuchUpload" or not await self._is_there():
                raise

    async def _is_there(self) -> bool:
        try:
            head = await self._connection.call("head_object", **self._target)
        except FileNotFoundError:
            return False
        whole: bool = head["ContentLength"] == self.size
        return whole


def content_md5(content: bytearray) -> str:
    """The Content-MD5 header: against accidental damage, not against an attacker."""
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
