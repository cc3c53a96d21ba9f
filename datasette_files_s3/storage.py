"""``S3Storage``: the storage contract over a bucket of anything that speaks S3.

Layout below the source's prefix::

    <path>                      a complete object
    .datasette-files/<digest>   an upload by a browser, named by the digest of its path
    .datasette-files/<digest>.<offset>  the tail of an upload that goes on (appending.py)

The bucket and the prefix come from the configuration, or from the credentials broker, which may
change them. Maps each method of the contract to S3; the work is in reading.py, writing.py and
direct.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from datasette_files.base import (
    TIME_FORMAT,
    FileMetadata,
    GetSecret,
    SentPart,
    SignedPart,
    Storage,
    StorageCapabilities,
    UploadInstructions,
    UploadParts,
    WantedPart,
)
from datasette_files.errors import Conflict, FileTooLarge, Invalid, StorageError

from . import appending, deleting, direct, parts, reading, writing
from .client import CONNECTIONS, KEPT_CONNECTIONS, Connection
from .config import Folder, S3Config

logger = logging.getLogger("datasette_files_s3")

#: Seconds to complete a direct upload; less than the core waits.
_FINISH_SECONDS = 540.0
#: Objects in one answer of a store.
_MAX_KEYS = 1000


class S3Storage(Storage):
    """Objects in a bucket; browsers talk to it directly, unless configured otherwise."""

    storage_type = "s3"
    config_model = S3Config
    max_downloads = CONNECTIONS - KEPT_CONNECTIONS
    append_bytes = appending.APPEND

    _config: S3Config
    _connection: Connection | None = None

    def __init__(self) -> None:
        #: Paths to which this process appends now.
        self._appending: set[str] = set()

    @property
    def capabilities(self) -> StorageCapabilities:
        proxied = self._connection is not None and self._config.download == "proxy"
        return StorageCapabilities(
            can_upload=True,
            can_delete=True,
            can_list=True,
            can_generate_signed_urls=not proxied,
            requires_proxy_download=proxied,
        )

    async def configure(self, config: dict[str, Any], get_secret: GetSecret) -> None:
        """Take the configuration. The only network call is to a credentials broker."""
        self._config = S3Config.model_validate(config)
        self._connection = await Connection.open(self._config)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @property
    def connection(self) -> Connection:
        """The connection, from ``configure`` to ``close``. Raises StorageError at other times."""
        if self._connection is None:
            raise StorageError("The source is not configured or is closed; restart Datasette")
        return self._connection

    async def _at(self, path: str) -> tuple[Folder, str]:
        """The folder and the key of a path.

        The one place that turns a path into a key. Raises FileNotFoundError for a path that the
        core never gives out: a staging key, or one with ``.`` or ``..``, which leaves the prefix
        in stores on a file system.
        """
        parts = path.split("/")
        if not path or "." in parts or ".." in parts or path.startswith(direct.STAGING):
            raise FileNotFoundError(path)
        folder = await self.connection.folder()
        return folder, folder.prefix + path

    # Reading

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        try:
            folder, key = await self._at(path)
            head = await self.connection.call("head_object", Bucket=folder.bucket, Key=key)
        except FileNotFoundError:
            return None
        # Not every store gives a type to an object that another tool stored without one.
        content_type = head.get("ContentType")
        return _described(path, head["ContentLength"], head["LastModified"], content_type)

    async def read_file(self, path: str) -> bytes:
        folder, key = await self._at(path)
        return await reading.read(self.connection, folder.bucket, key, 0, reading.END)

    async def read_bytes(self, path: str, num_bytes: int = 2048) -> bytes:
        folder, key = await self._at(path)
        if num_bytes <= 0:
            await self.connection.call("head_object", Bucket=folder.bucket, Key=key)
            return b""
        return await reading.read(self.connection, folder.bucket, key, 0, num_bytes)

    async def read_file_limited(self, path: str, max_bytes: int) -> bytes:
        content = await self.read_bytes(path, max_bytes + 1)
        if len(content) > max_bytes:
            raise FileTooLarge(f"The file has more than {max_bytes:,} bytes")
        return content

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        async for chunk in self.stream_range(path, 0, reading.END):
            yield chunk

    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        folder, key = await self._at(path)
        chunks = reading.stream(self.connection, folder.bucket, key, start, end)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]

    async def download_url(self, path: str, expires_in: int = 300) -> str:
        return await self._signed(path, expires_in)

    async def signed_download_url(
        self, path: str, *, filename: str, content_type: str, disposition: str, expires_in: int
    ) -> str:
        # A browser keeps what it shows, as the URL is the same for a while.
        shown = {"ResponseCacheControl": f"private, max-age={expires_in // 2}"}
        return await self._signed(
            path,
            expires_in,
            ResponseContentType=content_type,
            ResponseContentDisposition=disposition,
            **(shown if disposition.startswith("inline") else {}),
        )

    async def _signed(self, path: str, seconds: int, **more: str) -> str:
        folder, key = await self._at(path)
        return await self.connection.presign_get(seconds, Bucket=folder.bucket, Key=key, **more)

    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        """List objects; a cursor is the store's own continuation token."""
        folder = await self.connection.folder()
        found: list[FileMetadata] = []
        while True:
            following: dict[str, Any] = {} if cursor is None else {"ContinuationToken": cursor}
            answer = await self.connection.call(
                "list_objects_v2",
                Bucket=folder.bucket,
                Prefix=folder.prefix + prefix,
                MaxKeys=min(limit - len(found), _MAX_KEYS),
                **following,
            )
            for entry in answer.get("Contents", []):
                path = entry["Key"][len(folder.prefix) :]
                # A key that ends with a slash is another tool's folder, not a file.
                if not path.endswith("/") and not path.startswith(direct.STAGING) and path:
                    listed = _described(path, entry["Size"], entry["LastModified"])
                    listed.metadata["version"] = entry.get("ETag")
                    found.append(listed)
            cursor = answer.get("NextContinuationToken") if answer.get("IsTruncated") else None
            if cursor is None or len(found) >= limit:
                return found, cursor

    # Writing

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        """Store the stream; the whole object is durable and visible when this returns."""
        try:
            folder, key = await self._at(path)
        except FileNotFoundError:
            raise Invalid("The store does not accept this path; choose another file name") from None
        upload = writing.Upload(self.connection, folder.bucket, key, content_type)
        try:
            async for chunk in stream:
                await upload.add(chunk)
            await upload.finish()
        except BaseException:
            # Runs to its end, even if this task is cancelled again.
            await asyncio.shield(asyncio.create_task(upload.undo()))
            raise
        stored = _described(path, upload.size, None, content_type)
        stored.content_hash = f"sha256:{upload.sha256}"
        return stored

    async def prepare_upload(
        self,
        path: str,
        content_type: str,
        size: int | None,
        *,
        sha256: str | None = None,
        max_size: int,
        expires_in: int,
    ) -> UploadInstructions | None:
        """A form or a PUT. None, for an upload through Datasette, if it may be over 5 GiB."""
        largest = max_size if size is None else size
        if self._config.upload == "proxy" or largest > direct.MAX_SIZE:
            return None
        folder, _ = await self._at(path)
        key = direct.staging_key(folder.prefix, path)
        expected = direct.Expected(folder.bucket, key, content_type, max_size, size, sha256)
        return await direct.prepare(self.connection, expected, expires_in)

    async def plan_parts(self, size: int) -> UploadParts | None:
        """Parts for a file above the configured size."""
        small = size <= self._config.multipart_threshold_bytes
        if self._config.upload == "proxy" or small or size > parts.MAX_SIZE:
            return None
        return parts.plan(size)

    async def begin_parts(
        self, path: str, content_type: str, size: int, plan: UploadParts, *, checksums: bool
    ) -> dict[str, Any]:
        folder, key = await self._at(path)
        part_size = plan.part_size
        return await parts.begin(
            self.connection, folder, key, content_type, size, part_size, checksums=checksums
        )

    async def sign_parts(
        self,
        path: str,
        parts_state: dict[str, Any],
        wanted: Sequence[WantedPart],
        *,
        expires_in: int,
    ) -> list[SignedPart]:
        upload = parts.Multipart(**parts_state)
        return await parts.sign(self.connection, upload, wanted, expires_in)

    async def list_parts(self, path: str, parts_state: dict[str, Any]) -> list[SentPart]:
        return await parts.sent(self.connection, parts.Multipart(**parts_state))

    async def append_upload(
        self, path: str, offset: int, stream: AsyncIterator[bytes], state: dict[str, Any]
    ) -> dict[str, Any]:
        """Store whole parts of a multipart upload, and the rest as an object beside it."""
        folder, _ = await self._at(path)
        if path in self._appending:
            raise Conflict("Another request still writes this upload; try again")
        self._appending.add(path)
        try:
            upload = appending.Appended.of(folder, path, state)
            work = appending.Appending(self.connection, path, upload)
            return (await work.append(offset, stream)).state()
        finally:
            self._appending.discard(path)

    async def _finish_appended(self, path: str, state: dict[str, Any]) -> FileMetadata:
        folder, _ = await self._at(path)
        upload = appending.Appended.of(folder, path, state)
        stored = await self.get_file_metadata(path)
        if stored is None or stored.size != upload.offset:
            size = await appending.Appending(self.connection, path, upload).finish()
            stored = _described(path, size, None)
        await appending.delete_tails(self.connection, upload)
        return stored

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        if _is_appended(instructions_state):
            return await self._finish_appended(path, instructions_state)
        folder, key = await self._at(path)
        if _is_in_parts(instructions_state):
            return await self._finish_parts(path, folder, key, instructions_state)
        expected = direct.Expected(**instructions_state)
        work = direct.finish(self.connection, expected, folder, key)
        try:
            finished = await asyncio.wait_for(work, _FINISH_SECONDS)
        except asyncio.TimeoutError as error:
            raise StorageError("The store took too long to copy the file; try again") from error
        stored = _described(path, finished.size, None, expected.content_type)
        stored.content_hash = finished.content_hash
        return stored

    async def _finish_parts(
        self, path: str, folder: Folder, key: str, state: dict[str, Any]
    ) -> FileMetadata:
        upload = parts.Multipart(**state)
        if (upload.bucket, upload.key) != (folder.bucket, key):
            raise Conflict("The source's bucket changed during the upload; prepare a new one")
        finished = await parts.finish(self.connection, upload)
        stored = _described(path, finished.size, None)
        stored.content_hash = finished.content_hash
        return stored

    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        """Delete the staging object or the parts, in the bucket of the time when it began."""
        if _is_appended(instructions_state):
            folder, _ = await self._at(path)
            upload = appending.Appended.of(folder, path, instructions_state)
            await appending.discard(self.connection, upload)
            return
        if _is_in_parts(instructions_state):
            await parts.abort(self.connection, parts.Multipart(**instructions_state))
            return
        expected = direct.Expected(**instructions_state)
        await self.connection.call("delete_object", Bucket=expected.bucket, Key=expected.key)

    async def delete_file(self, path: str) -> None:
        await self.delete_files([path])

    async def delete_files(self, paths: Iterable[str]) -> None:
        """Delete each path's object, its staging object, and parts that a crash has left."""
        folder = await self.connection.folder()
        keys: list[str] = []
        for path in paths:
            try:
                keys.append((await self._at(path))[1])
            except FileNotFoundError:
                continue  # no such path is ever written
            keys.append(direct.staging_key(folder.prefix, path))
        await deleting.delete(self.connection, folder, keys)


def _is_in_parts(state: dict[str, Any]) -> bool:
    """Tell whether the state is one of ``begin_parts``."""
    return "part_size" in state


def _is_appended(state: dict[str, Any]) -> bool:
    """Tell whether the state is one of ``append_upload``: neither of parts nor of one object."""
    return "max_size" not in state and not _is_in_parts(state)


def _described(
    path: str, size: int, modified: datetime | None, content_type: str | None = None
) -> FileMetadata:
    moment = None if modified is None else modified.astimezone(timezone.utc)
    return FileMetadata(
        path=path,
        filename=path.rpartition("/")[2],
        content_type=content_type,
        size=size,
        created_at=None if moment is None else moment.strftime(TIME_FORMAT),
    )
