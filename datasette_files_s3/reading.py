"""Reading objects: each request asks for a range, and a broken stream is resumed.

Leaves out paths (storage.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

from datasette_files.errors import Conflict, RangeUnsatisfiable, StorageError

from .client import Connection
from .errors import storage_error

logger = logging.getLogger("datasette_files_s3")

#: An end that means the object's end, in bytes.
END = 2**63 - 1
#: Bytes read at once.
_CHUNK = 256 * 1024
#: Attempts in a row without a byte of progress.
_MAX_ATTEMPTS = 3
_PAUSE = 0.2
#: Bytes hashed in one go.
_BATCH = 1024 * 1024

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


async def stream(
    connection: Connection, bucket: str, key: str, start: int, end: int
) -> AsyncIterator[bytes]:
    """The bytes ``start`` up to, not including, ``end``; fewer where the object ends earlier.

    Raises FileNotFoundError before the first chunk, StorageError and StorageUnavailable at any.
    """
    position, etag, failures = start, None, 0
    while position < end:
        answer = await _open(connection, bucket, key, position, end, etag)
        if answer is None:
            return
        end = min(end, _total(answer, position))
        etag = answer.get("ETag")
        body = answer["Body"]
        broken: Exception | None = None
        try:
            while position < end:
                try:
                    chunk = await body.read(min(_CHUNK, end - position))
                except Exception as error:  # noqa: BLE001 - the SDK raises many kinds
                    broken = error
                    break
                if not chunk:
                    broken = ConnectionResetError("the answer was cut short")
                    break
                position += len(chunk)
                failures = 0
                yield chunk
        finally:
            body.close()
        if broken is not None:
            failures += 1
            if failures >= _MAX_ATTEMPTS:
                raise storage_error(broken, "get_object") from broken
            await asyncio.sleep(_PAUSE * 2**failures)


async def _open(
    connection: Connection, bucket: str, key: str, position: int, end: int, etag: str | None
) -> Any:
    """The store's answer, its body unread; None if the range begins behind the object's end."""
    wanted = f"bytes={position}-" + ("" if end >= END else str(end - 1))
    same: dict[str, Any] = {} if etag is None else {"IfMatch": etag}
    try:
        return await connection.call("get_object", Bucket=bucket, Key=key, Range=wanted, **same)
    except RangeUnsatisfiable:
        return None
    except Conflict as error:
        raise StorageError("The stored file changed while it was read; try again") from error


def _total(answer: dict[str, Any], position: int) -> int:
    """The position at which the answer ends. Raises StorageError if it begins elsewhere."""
    found = _RANGE.fullmatch(answer.get("ContentRange") or "")
    if found is None and position == 0:
        length: int = answer["ContentLength"]
        return length
    if found is None or int(found[1]) != position:
        raise StorageError("The store did not send the requested range; ask its administrator")
    return int(found[2]) + 1


async def read(connection: Connection, bucket: str, key: str, start: int, end: int) -> bytes:
    """The bytes of ``stream``, in one piece."""
    return b"".join([chunk async for chunk in stream(connection, bucket, key, start, end)])


async def sha256(connection: Connection, bucket: str, key: str) -> str:
    """The sha256 of the whole object, in hexadecimal."""
    digest, batch = hashlib.sha256(), bytearray()
    async for chunk in stream(connection, bucket, key, 0, END):
        batch += chunk
        if len(batch) >= _BATCH:
            await asyncio.to_thread(digest.update, batch)
            batch = bytearray()
    digest.update(batch)
    return digest.hexdigest()
