"""Uploads that browsers send to the store: signed before, verified and made final after.

The client sends to a staging key, which it can overwrite until its policy expires. So the object
is verified, and then copied to its final key on condition that it is still the same: no object that
a client can overwrite is ever served. Leaves out the core's checks: the type that the first bytes
show, and the source's allowed types.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from dataclasses import asdict, dataclass
from typing import Any

from datasette_files.base import UploadInstructions
from datasette_files.errors import (
    BadType,
    ChecksumMismatch,
    Conflict,
    FilesError,
    FileTooLarge,
    Invalid,
)

from . import reading
from .client import PATIENT_SECONDS, Connection
from .config import Folder, S3Config, is_access_point
from .errors import caused_by

logger = logging.getLogger("datasette_files_s3")

#: Below a source's prefix, the prefix of staging keys. The core never gives out such a path.
STAGING = ".datasette-files/"
#: Bytes; S3's limit for one POST and for one copy.
MAX_SIZE = 5 * 1024**3
#: Bytes; a larger object is hashed later, in the background.
_MAX_HASHED = 8 * 1024 * 1024
#: Answers of stores that cannot compute a checksum while they copy.
_NO_CHECKSUM = ("NotImplemented", "InvalidArgument", "InvalidRequest", "NotSupported")


def staging_key(prefix: str, path: str) -> str:
    """The key at which the bytes for a path arrive; short, and derived from the path alone."""
    return f"{prefix}{STAGING}{hashlib.sha256(path.encode()).hexdigest()}"


@dataclass(frozen=True)
class Expected:
    """The signed upload: kept with it, so that a changed configuration does not matter."""

    bucket: str
    key: str
    content_type: str
    max_size: int
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Finished:
    """The object at the final key. ``content_hash`` is in the form of FileMetadata."""

    size: int
    content_hash: str


#: The header of a request, and the field of a form, for the SDK's parameters.
_ENCRYPTION_HEADERS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}


def encryption_headers(config: S3Config) -> dict[str, str]:
    """The headers, or the fields of a form, that ask the store to encrypt."""
    return {_ENCRYPTION_HEADERS[name]: value for name, value in config.encryption.items()}


async def prepare(
    connection: Connection, expected: Expected, expires_in: int
) -> UploadInstructions:
    """A signed form, or a signed PUT, for exactly this key, type and size.

    A PUT cannot bound a size that is not declared; then ``finish`` refuses what is too large.
    """
    config = connection.config
    if config.upload_method == "POST" and not is_access_point(expected.bucket):
        return await _form(connection, expected, expires_in)
    declared = {} if expected.size is None else {"ContentLength": expected.size}
    url: str = await connection.presign(
        "generate_presigned_url",
        "put_object",
        Params={
            "Bucket": expected.bucket,
            "Key": expected.key,
            "ContentType": expected.content_type,
            **declared,
            **config.encryption,
        },
        seconds=expires_in,
    )
    headers = {"Content-Type": expected.content_type, **encryption_headers(config)}
    return UploadInstructions(url=url, method="PUT", headers=headers, state=asdict(expected))


async def _form(connection: Connection, expected: Expected, expires_in: int) -> UploadInstructions:
    fields = {"Content-Type": expected.content_type, **encryption_headers(connection.config)}
    least, most = (expected.size,) * 2 if expected.size is not None else (0, expected.max_size)
    signed = await connection.presign(
        "generate_presigned_post",
        expected.bucket,
        expected.key,
        Fields=fields,
        Conditions=[
            *({name: value} for name, value in fields.items()),
            ["content-length-range", least, most],
        ],
        seconds=expires_in,
    )
    return UploadInstructions(
        url=signed["url"], method="POST", fields=signed["fields"], state=asdict(expected)
    )


async def finish(connection: Connection, expected: Expected, folder: Folder, key: str) -> Finished:
    """Verify the object that was sent and copy it to ``key`` in ``folder``. May be repeated.

    Raises FileNotFoundError where nothing was sent; BadType, ChecksumMismatch, FileTooLarge or
    Invalid where it differs from the signed upload.
    """
    try:
        sent = await connection.call("head_object", Bucket=expected.bucket, Key=expected.key)
    except FileNotFoundError:
        # An earlier attempt may have made the final object before its process died.
        final = await connection.call("head_object", Bucket=folder.bucket, Key=key)
        _check(expected, final)
        return await _finished(connection, expected, folder, key, final, None)
    _check(expected, sent)
    copied = await _copy(connection, expected, folder, key, sent["ETag"])
    if str(copied.get("ETag")).strip('"') != sent["ETag"].strip('"'):
        # The store encrypted the copy, or ignored the condition and copied a later object: either
        # way the final object, which no client can change, has to be as signed.
        sent = await connection.call("head_object", Bucket=folder.bucket, Key=key)
        _check(expected, sent)
    checksum = _hexadecimal(copied.get("ChecksumSHA256"))
    finished = await _finished(connection, expected, folder, key, sent, checksum)
    await discard(connection, expected)
    return finished


async def discard(connection: Connection, expected: Expected) -> None:
    """Delete the staging object; if that fails, a later sweep repeats it."""
    try:
        await connection.call("delete_object", Bucket=expected.bucket, Key=expected.key)
    except (FilesError, FileNotFoundError) as error:
        logger.warning("A staging object cannot be deleted yet: %s", error)


def _check(expected: Expected, head: dict[str, Any]) -> None:
    """Check size and type, as not every store enforces the whole policy of a form."""
    size: int = head["ContentLength"]
    if size > expected.max_size:
        raise FileTooLarge(f"The file is larger than the {expected.max_size:,} bytes allowed")
    if expected.size is not None and size != expected.size:
        raise Invalid(
            f"{expected.size:,} bytes were declared, but {size:,} arrived; send the file again"
        )
    stored = str(head.get("ContentType", "")).partition(";")[0].strip().lower()
    if stored != expected.content_type.partition(";")[0].strip().lower():
        raise BadType(
            f"The file was sent as {stored or 'no type'}, but {expected.content_type} was declared;"
            " send it again"
        )


async def _copy(
    connection: Connection, expected: Expected, folder: Folder, key: str, etag: str
) -> dict[str, Any]:
    """Copy the verified object. Returns CopyObjectResult, with a sha256 if the store has one."""
    parameters = {
        "Bucket": folder.bucket,
        "Key": key,
        "CopySource": {"Bucket": expected.bucket, "Key": expected.key},
        "CopySourceIfMatch": etag,
        "MetadataDirective": "REPLACE",
        "ContentType": expected.content_type,
        **connection.config.encryption,
    }
    try:
        try:
            answer = await connection.call(
                "copy_object", seconds=PATIENT_SECONDS, ChecksumAlgorithm="SHA256", **parameters
            )
        except FilesError as error:
            if caused_by(error) not in _NO_CHECKSUM:
                raise
            answer = await connection.call("copy_object", seconds=PATIENT_SECONDS, **parameters)
    except (Conflict, FileNotFoundError) as error:
        raise Conflict("The file was sent again during its completion; try again") from error
    result: dict[str, Any] = answer.get("CopyObjectResult", {})
    return result


def _hexadecimal(checksum: str | None) -> str | None:
    """A checksum of the whole object, else None: one over parts ends with their count."""
    try:
        digest = base64.b64decode(checksum or "", validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else None


async def _finished(
    connection: Connection,
    expected: Expected,
    folder: Folder,
    key: str,
    head: dict[str, Any],
    sha256: str | None,
) -> Finished:
    size: int = head["ContentLength"]
    if sha256 is None and (expected.sha256 is not None or size <= _MAX_HASHED):
        sha256 = await reading.sha256(connection, folder.bucket, key)
    if expected.sha256 is not None and sha256 != expected.sha256:
        raise ChecksumMismatch(
            "The received bytes do not have the declared sha256; send the file again"
        )
    if sha256 is not None:
        return Finished(size, f"sha256:{sha256}")
    # The core uses this as entity tag until it has hashed the object.
    return Finished(size, "etag:" + str(head["ETag"]).strip('"'))
