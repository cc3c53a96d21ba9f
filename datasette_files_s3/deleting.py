"""Deleting objects, and the parts of multipart uploads that a killed process has left.

May be repeated: a missing object is not an error. Leaves out which keys belong to a path
(storage.py).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from datasette_files.errors import FilesError, StorageError, StorageUnavailable

from .client import Connection
from .config import Folder
from .direct import STAGING
from .errors import TABLE, caused_by

logger = logging.getLogger("datasette_files_s3")

#: Keys in one request (DeleteObjects takes 1,000).
_MAX_BATCH = 1000
#: Keys that are deleted by a request each: every store can do it, and it needs fewer rights.
_MAX_SINGLE = 8
#: Pages of unfinished uploads that are read.
_MAX_PAGES = 10
#: Answers of stores that cannot delete many objects at once, or want a right on the bucket for it.
ONE_BY_ONE = (
    *("AccessDenied", "NotImplemented", "MethodNotAllowed"),
    *("MissingContentMD5", "InvalidRequest"),
)


async def delete(connection: Connection, folder: Folder, keys: list[str]) -> None:
    """Delete the objects of all keys. Raises the contract's errors."""
    if not keys:
        return
    # Browsers send an object in one piece, never in parts.
    wanted = [key for key in keys if not key.startswith(folder.prefix + STAGING)]
    # Some stores list by an exact key only.
    few = len(keys) <= _MAX_SINGLE
    await abort_unfinished(connection, folder.bucket, wanted, None if few else folder.prefix)
    await delete_objects(connection, folder.bucket, keys)


async def delete_objects(connection: Connection, bucket: str, keys: list[str]) -> None:
    """Delete the objects, and nothing else. Raises the contract's errors."""
    if len(keys) <= _MAX_SINGLE:
        await _each(connection, bucket, keys)
        return
    for start in range(0, len(keys), _MAX_BATCH):
        batch = keys[start : start + _MAX_BATCH]
        try:
            answer = await connection.call(
                "delete_objects",
                Bucket=bucket,
                Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
            )
        except FilesError as error:
            if caused_by(error) not in ONE_BY_ONE:
                raise
            await _each(connection, bucket, batch)
            continue
        _check(answer)


async def _each(connection: Connection, bucket: str, keys: list[str]) -> None:
    for start in range(0, len(keys), _MAX_SINGLE):
        group = keys[start : start + _MAX_SINGLE]
        await asyncio.gather(*(_one(connection, bucket, key) for key in group))


async def _one(connection: Connection, bucket: str, key: str) -> None:
    try:
        await connection.call("delete_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return  # some stores answer 404


def _check(answer: dict[str, Any]) -> None:
    """Raise the first error of the answer, which has status 200 although keys failed."""
    failed = [one for one in answer.get("Errors", []) if one.get("Code") != "NoSuchKey"]
    if not failed:
        return
    code = failed[0].get("Code", "")
    logger.warning("S3 delete_objects failed for %s keys: %s", len(failed), code)
    kind, message = TABLE.get(
        code, (StorageError, "The store did not delete every file; try again")
    )
    raise kind(message)


async def abort_unfinished(
    connection: Connection, bucket: str, keys: list[str], prefix: str | None = None
) -> None:
    """Abort unfinished uploads of the keys: their parts are stored, and paid for, until then.

    ``prefix``: look below it once, and not for each key. Where the store or a policy forbids the
    look, deletion goes on without it.
    """
    if not connection.finds_unfinished:
        return
    wanted = set(keys)
    prefixes = wanted if prefix is None else {prefix}
    try:
        await asyncio.gather(
            *(_abort_below(connection, bucket, prefix, wanted) for prefix in prefixes)
        )
    except (FilesError, FileNotFoundError) as error:
        if not isinstance(error, StorageUnavailable):
            connection.finds_unfinished = False
            logger.warning("Unfinished uploads cannot be found or aborted: %s", error)


async def _abort_below(connection: Connection, bucket: str, prefix: str, wanted: set[str]) -> None:
    """Abort the unfinished uploads below ``prefix`` whose key is wanted."""
    marker: dict[str, Any] = {}
    for _ in range(_MAX_PAGES):
        page = await connection.call(
            "list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker
        )
        for upload in page.get("Uploads", []):
            if upload["Key"] in wanted:
                await abort(connection, bucket, upload["Key"], upload["UploadId"])
        if not page.get("IsTruncated"):
            return
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


async def abort(connection: Connection, bucket: str, key: str, upload_id: str) -> None:
    """Abort one multipart upload. May be repeated."""
    try:
        await connection.call("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload_id)
    except FilesError as error:
        if caused_by(error) != "NoSuchUpload":  # ended by another process meanwhile
            raise
