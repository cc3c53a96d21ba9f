"""Deleting objects, and the parts of multipart uploads that a killed process has left.

May be repeated: what is not there is not an error. Leaves out which keys belong to a path
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

#: Keys in one request.
_BATCH = 1000
#: Up to so many keys each has a request of its own: what every store can do, with fewer rights.
_FEW = 8
#: Pages of unfinished uploads that are looked through.
_PAGES = 10
#: Answers of stores that cannot delete many at once, or that take it for a right on the bucket.
ONE_BY_ONE = (
    "AccessDenied",
    "NotImplemented",
    "MethodNotAllowed",
    "MissingContentMD5",
    "InvalidRequest",
)


async def delete(connection: Connection, folder: Folder, keys: list[str]) -> None:
    """Delete all of them. Raises the contract's errors."""
    if not keys:
        return
    await _abort_unfinished(connection, folder, keys)
    if len(keys) <= _FEW:
        await _each(connection, folder.bucket, keys)
        return
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        try:
            answer = await connection.call(
                "delete_objects",
                Bucket=folder.bucket,
                Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True},
            )
        except FilesError as error:
            if caused_by(error) not in ONE_BY_ONE:
                raise
            await _each(connection, folder.bucket, batch)
            continue
        _check(answer)


async def _each(connection: Connection, bucket: str, keys: list[str]) -> None:
    for start in range(0, len(keys), _FEW):
        await asyncio.gather(*(_one(connection, bucket, key) for key in keys[start : start + _FEW]))


async def _one(connection: Connection, bucket: str, key: str) -> None:
    try:
        await connection.call("delete_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return  # some stores say so


def _check(answer: dict[str, Any]) -> None:
    """What could not be deleted stands in the answer, whose status is 200."""
    failed = [one for one in answer.get("Errors", []) if one.get("Code") != "NoSuchKey"]
    if not failed:
        return
    code = failed[0].get("Code", "")
    logger.warning("S3 delete_objects failed for %s keys: %s", len(failed), code)
    kind, message = TABLE.get(
        code, (StorageError, "The store did not delete every file; try again")
    )
    raise kind(message)


async def _abort_unfinished(connection: Connection, folder: Folder, keys: list[str]) -> None:
    """Parts of an upload that never became an object are stored, and paid for, until aborted.

    A store or a policy that does not let us look keeps nothing from being deleted.
    """
    if not connection.finds_unfinished:
        return
    # What browsers send comes in one piece.
    wanted = {key for key in keys if not key.startswith(folder.prefix + STAGING)}
    # Some stores list by an exact key alone.
    prefixes = wanted if len(keys) <= _FEW else {folder.prefix}
    try:
        await asyncio.gather(
            *(_abort_below(connection, folder.bucket, prefix, wanted) for prefix in prefixes)
        )
    except (FilesError, FileNotFoundError) as error:
        if not isinstance(error, StorageUnavailable):
            connection.finds_unfinished = False
            logger.warning("Unfinished uploads cannot be found or aborted: %s", error)


async def _abort_below(connection: Connection, bucket: str, prefix: str, wanted: set[str]) -> None:
    """Abort the unfinished uploads of the wanted keys, as far as they begin with ``prefix``."""
    marker: dict[str, Any] = {}
    for _ in range(_PAGES):
        page = await connection.call(
            "list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker
        )
        for upload in page.get("Uploads", []):
            if upload["Key"] in wanted:
                await _abort(connection, bucket, upload["Key"], upload["UploadId"])
        if not page.get("IsTruncated"):
            return
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


async def _abort(connection: Connection, bucket: str, key: str, upload_id: str) -> None:
    try:
        await connection.call("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload_id)
    except FilesError as error:
        if caused_by(error) != "NoSuchUpload":  # ended by another process meanwhile
            raise
