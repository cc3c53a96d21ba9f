"""Uploads that clients send to the store in parts: S3's multipart upload, by presigned PUTs.

The parts belong to the final key, where no object is visible until ``finish`` has verified them and
completes the upload. After that the upload is gone, and so is the use of every signed URL: no part
can replace one of an object that is served. Leaves out uploads in one piece (direct.py) and those
through Datasette (writing.py).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from datasette_files.base import SentPart, SignedPart, UploadParts, WantedPart
from datasette_files.errors import Conflict, FilesError, Invalid, StorageError

from .client import PATIENT_SECONDS, Connection
from .config import Folder
from .direct import Finished
from .errors import caused_by

#: Bytes of a part, unless more are needed for a file to have at most ``_MAX_PARTS``.
_PART = 16 * 1024 * 1024
_MAX_PARTS = 10_000
#: Bytes of the largest object that S3 takes.
MAX_SIZE = 5 * 1024**4
_MIB = 1024 * 1024
#: Parts that an error names.
_MAX_NAMED = 10
_GONE = "NoSuchUpload"


def plan(size: int) -> UploadParts:
    """Parts of whole MiB for ``size`` bytes. All but the last are as large, as R2 demands."""
    needed = -(-size // _MAX_PARTS)
    part_size = max(_PART, -(-needed // _MIB) * _MIB)
    return UploadParts(part_size, -(-size // part_size))


@dataclass(frozen=True)
class Multipart:
    """An upload that has begun: kept with it, so that a changed configuration does not matter."""

    bucket: str
    key: str
    upload_id: str
    #: Bytes.
    size: int
    part_size: int
    #: Whether each part has a sha256, which S3 demands for all parts or for none.
    checksums: bool

    @property
    def object(self) -> dict[str, Any]:
        """The parameters of the SDK's calls about the object that it becomes."""
        return {"Bucket": self.bucket, "Key": self.key}

    @property
    def where(self) -> dict[str, Any]:
        """The parameters of the SDK's calls about its parts."""
        return {**self.object, "UploadId": self.upload_id}


async def begin(
    connection: Connection,
    folder: Folder,
    key: str,
    content_type: str,
    size: int,
    part_size: int,
    *,
    checksums: bool,
) -> dict[str, Any]:
    """Begin an upload to the key. Its state, as JSON."""
    wanted: dict[str, Any] = {"ContentType": content_type, **connection.config.encryption}
    if checksums:
        wanted["ChecksumAlgorithm"] = "SHA256"
    answer = await connection.call(
        "create_multipart_upload", Bucket=folder.bucket, Key=key, **wanted
    )
    made = Multipart(folder.bucket, key, answer["UploadId"], size, part_size, checksums)
    return asdict(made)


async def sign(
    connection: Connection, upload: Multipart, wanted: Sequence[WantedPart], expires_in: int
) -> list[SignedPart]:
    """A presigned PUT for each part, which pins its size, and its sha256 if it has one."""
    signed = []
    for part in wanted:
        if (part.sha256 is not None) is not upload.checksums:
            raise Invalid(
                "Give the sha256 of each part, as in the first request"
                if upload.checksums
                else "Give no sha256 of a part, as in the first request"
            )
        pinned, headers = {}, {}
        if part.sha256 is not None:
            checksum = base64.b64encode(bytes.fromhex(part.sha256)).decode()
            pinned["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = checksum
        url: str = await connection.presign(
            "generate_presigned_url",
            "upload_part",
            Params={
                **upload.where,
                "PartNumber": part.number,
                "ContentLength": part.size,
                **pinned,
            },
            seconds=expires_in,
        )
        signed.append(SignedPart(part.number, url, headers))
    return signed


async def sent(connection: Connection, upload: Multipart) -> list[SentPart]:
    """The parts that have arrived. Raises FileNotFoundError once the upload has ended."""
    return [
        SentPart(part["PartNumber"], part["Size"]) for part in await _listed(connection, upload)
    ]


async def finish(connection: Connection, upload: Multipart) -> Finished:
    """Verify the parts and make the object. May be repeated.

    Raises FileNotFoundError if nothing was sent, Conflict if parts are missing or wrong.
    """
    try:
        parts = await _listed(connection, upload)
    except FileNotFoundError:
        # An earlier attempt may have made the object before its process died.
        return await _made(connection, upload)
    if not parts:
        raise FileNotFoundError("no part was sent")
    _check(upload, parts)
    taken = ("PartNumber", "ETag", *(("ChecksumSHA256",) if upload.checksums else ()))
    try:
        await connection.call(
            "complete_multipart_upload",
            seconds=PATIENT_SECONDS,
            **upload.where,
            MultipartUpload={
                "Parts": [{name: part[name] for name in taken if name in part} for part in parts]
            },
        )
    except FilesError as error:
        code = caused_by(error)
        if code in ("InvalidPart", "InvalidPartOrder"):
            raise Conflict("A part was sent again during the completion; try again") from error
        if code != _GONE:  # the SDK repeats a request whose answer was lost
            raise
    return await _made(connection, upload)


async def abort(connection: Connection, upload: Multipart) -> None:
    """End the upload and delete its parts. May be repeated, also after its completion."""
    try:
        await connection.call("abort_multipart_upload", **upload.where)
    except FileNotFoundError:
        return
    except FilesError as error:
        if caused_by(error) != _GONE:
            raise


async def _listed(connection: Connection, upload: Multipart) -> list[dict[str, Any]]:
    """Every part that the store has, by number. Raises FileNotFoundError for no such upload."""
    parts: list[dict[str, Any]] = []
    marker: dict[str, Any] = {}
    for _ in range(_MAX_PARTS):
        try:
            page = await connection.call("list_parts", **upload.where, **marker)
        except FilesError as error:
            if caused_by(error) != _GONE:
                raise
            raise FileNotFoundError("the upload has ended") from error
        parts += page.get("Parts", [])
        following = page.get("NextPartNumberMarker")
        if not page.get("IsTruncated") or not page.get("Parts"):
            break
        marker = {"PartNumberMarker": following}
    return sorted(parts, key=lambda part: int(part["PartNumber"]))


def _check(upload: Multipart, parts: list[dict[str, Any]]) -> None:
    """Compare number, sizes and checksums with the plan. Raises Conflict."""
    count = -(-upload.size // upload.part_size)
    last = upload.size - upload.part_size * (count - 1)
    sizes = {part["PartNumber"]: part["Size"] for part in parts}
    wrong = [
        number
        for number in range(1, count + 1)
        if sizes.get(number) != (upload.part_size if number < count else last)
    ]
    if wrong:
        named = ", ".join(str(number) for number in wrong[:_MAX_NAMED])
        more = f" and {len(wrong) - _MAX_NAMED} more" if len(wrong) > _MAX_NAMED else ""
        raise Conflict(
            f"Parts are missing or have another size: {named}{more}; send them, then complete again"
        )
    if len(sizes) > count:
        raise Conflict(f"There are more than {count} parts; prepare a new upload")


async def _made(connection: Connection, upload: Multipart) -> Finished:
    """The object. Raises FileNotFoundError if there is none."""
    head = await connection.call("head_object", **upload.object)
    if head["ContentLength"] != upload.size:
        raise StorageError("The store did not join every part; send the file again")
    return Finished(upload.size, "etag:" + str(head["ETag"]).strip('"'))
