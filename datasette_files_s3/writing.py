"""An upload through Datasette: one PUT if it is small, else parts in parallel, memory bounded.

A part is held until the store has taken it, so that it can be sent again. All or nothing: what
fails or is cancelled is aborted, and what the store may hold of it by then is deleted. Leaves out
uploads that go to the store directly (direct.py).
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

#: Bytes. S3 takes 10,000 parts: after so many the next are twice as large, which makes more than
#: the 5 TiB that an object may have. Two parts are in memory once they are large, so they stay at
#: the first size up to 15.6 GiB, and at 32 MiB up to 101 GiB.
PART = 8 * 1024 * 1024
_GROWS_AFTER = (2000, 3500, *range(5500, 9000, 500))
_MOST_PARTS = 10_000
#: Bytes on their way at the same time, beside the part that is being filled.
_IN_FLIGHT = 4 * PART
#: Bytes given to the socket at once.
_SLICE = 256 * 1024
#: Bytes a second that a store takes at the least; slower, and the call is given up.
_SLOWEST = 128 * 1024
_UNDO_SECONDS = 20.0


def part_size(sent: int) -> int:
    """Bytes of the part that follows on so many."""
    return PART << bisect.bisect_right(_GROWS_AFTER, sent)


class Part:
    """Bytes as a request's body that can be sent again; aiohttp takes it slice by slice."""

    def __init__(self, content: bytearray) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with memoryview(self._content) as view:
            for start in range(0, len(view), _SLICE):
                yield bytes(view[start : start + _SLICE])

    def read(self, size: int = -1) -> bytes:
        """By this the SDK knows a body; it reads none of it, as nothing signs the payload."""
        return bytes(self._content[: size if size >= 0 else None])

    def seek(self, offset: int, whence: int = 0) -> int:
        """Before a repetition. Each iteration begins at the start anyway."""
        return len(self._content) if whence == 2 else offset

    def tell(self) -> int:
        return 0


class Upload:
    """One object on its way. ``add`` chunks, then ``finish``; ``undo`` after any failure."""

    def __init__(self, connection: Connection, bucket: str, key: str, content_type: str) -> None:
        self._connection = connection
        self._target: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        # TLS sees to it that the bytes arrive as they were sent.
        self._sends_md5 = (connection.config.endpoint_url or "").startswith("http://")
        self._filling = bytearray()
        self._digest = hashlib.sha256()
        self._upload_id: str | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._tags: dict[int, str] = {}
        self._parts = 0
        #: Whether the store may hold an object by now.
        self._may_exist = False
        #: Bytes taken.
        self.size = 0

    @property
    def sha256(self) -> str:
        """In hexadecimal, once ``finish`` has returned."""
        return self._digest.hexdigest()

    @property
    def _part_size(self) -> int:
        return part_size(self._parts)

    async def add(self, chunk: bytes) -> None:
        """Raises what the store answered to an earlier part, as early as it is known."""
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
        """Make the object appear, whole."""
        if self._upload_id is None:
            await asyncio.to_thread(self._digest.update, self._filling)
            self._may_exist = True
            await self._call("put_object", self._filling, ContentType=self._content_type)
            return
        if self._filling:
            await self._send()
        while self._sending:
            await self._wait()
        await self._complete()

    async def undo(self) -> None:
        """Take back what the store has got, as far as it can be reached."""
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
        """Start the part that is full, once there is room for it on the way."""
        if self._parts >= _MOST_PARTS:
            raise FileTooLarge("The file is larger than the store accepts; send a smaller one")
        if self._upload_id is None:
            answer = await self._connection.call(
                "create_multipart_upload", ContentType=self._content_type, **self._target
            )
            self._upload_id = answer["UploadId"]
        content, self._filling = self._filling, bytearray()
        most = max(1, _IN_FLIGHT // len(content))
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
        if self._sends_md5:
            more["ContentMD5"] = await asyncio.to_thread(_md5, content)
        body: Any = Part(content) if content else b""
        seconds = 60 + len(content) / _SLOWEST
        return await self._connection.call(
            operation, seconds=seconds, Body=body, **self._target, **more
        )

    async def _wait(self) -> None:
        """Until a part is through. Raises what became of it."""
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
            # Repeated after an answer that was lost: then the first has done it.
            if caused_by(error) != "NoSuchUpload" or not await self._is_there():
                raise

    async def _is_there(self) -> bool:
        try:
            head = await self._connection.call("head_object", **self._target)
        except FileNotFoundError:
            return False
        whole: bool = head["ContentLength"] == self.size
        return whole


def _md5(content: bytearray) -> str:
    """For the Content-MD5 header: a check against damage on the way, no protection."""
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
