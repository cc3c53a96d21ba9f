"""Uploads of local files that go on after their command was killed.

A command has no address of an upload to remember. So the upload's row is marked with the file that
it is of, and with the process that sends it; the next command finds it there. Leaves out the upload
itself (resuming.py) and the reading of local files (cli/disk.py).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from sqlite3 import Connection

from .. import naming
from ..config import PluginConfig
from ..db import resuming as rows
from ..db.batching import Catalog
from ..errors import Expired, FileTooLarge, Invalid
from ..jobs.holder import is_gone, this_process
from ..models import FileRecord
from ..sources.sources import Source
from .appending import Sent
from .attempts import LEASE_SECONDS
from .authority import Authority
from .incoming import Incoming
from .resuming import Resuming

#: Bytes. A smaller file is sent again as a whole, in one pass.
_MIN_BYTES = 8 * 1024 * 1024
#: Bytes. Object stores take larger files in one pass only: S3 appends at most 146 GiB.
_MAX_OBJECT_BYTES = 100 * 1024**3


@dataclass(frozen=True)
class LocalFile:
    """A file on a local disk, of a known size."""

    incoming: Incoming
    #: Names the file and its version: another text after every change of its bytes.
    version: str
    #: The bytes from an offset.
    read: Callable[[int], AsyncGenerator[bytes, None]]


def can_continue(source: Source, size: int | None) -> bool:
    """Tell whether the upload of a local file of ``size`` bytes may go on after a kill."""
    if size is None or size <= _MIN_BYTES or not source.appends_uploads:
        return False
    return size <= _MAX_OBJECT_BYTES or not source.prepares_uploads


class Continuing:
    """The uploads of local files in one Datasette."""

    def __init__(self, catalog: Catalog, config: PluginConfig, resuming: Resuming) -> None:
        self._catalog = catalog
        self._expiry = config.upload_expiry_seconds
        self._resuming = resuming

    async def store(
        self,
        source: Source,
        authority: Authority,
        file: LocalFile,
        goes_on: Callable[[int], None],
    ) -> FileRecord:
        """Upload the file, or the rest of it if an earlier process was interrupted.

        ``goes_on`` is told at which byte. Raises as ``Resuming.create`` and ``Resuming.append``;
        Invalid if the file became shorter.
        """
        mark = _mark(authority, file)
        interrupted = await self._take_over(source, mark)
        if interrupted is not None:
            try:
                return await self._send(source, authority, interrupted, file, goes_on)
            except Expired:
                pass  # the storage has lost the bytes: begin again
        resumable_id, _ = await self._resuming.create(
            source, authority, file.incoming, metadata=mark + this_process()
        )
        return await self._send(source, authority, resumable_id, file, goes_on)

    async def _take_over(self, source: Source, mark: str) -> str | None:
        """Give an upload of the same file, whose process has ended, a new id, and return that.

        Its old id was known to that process alone.
        """

        def take_over(conn: Connection) -> str | None:
            # Every process moves the expiry of the upload that it sends, as it renews its lease.
            idle_before = time.time() + self._expiry - LEASE_SECONDS
            for upload_id, metadata, expires_at in rows.marked(conn, source.id, mark):
                if is_gone(metadata.removeprefix(mark)) or expires_at <= idle_before:
                    resumable_id = naming.new_resumable_id()
                    digest = naming.token_digest(naming.resumable_token(resumable_id))
                    rows.take_over(conn, upload_id, digest, mark + this_process())
                    return resumable_id
            return None

        return await self._catalog.write(take_over)

    async def _send(
        self,
        source: Source,
        authority: Authority,
        resumable_id: str,
        file: LocalFile,
        goes_on: Callable[[int], None],
    ) -> FileRecord:
        upload = (source, authority, resumable_id)
        progress = await self._resuming.look(*upload)  # completes one that has all its bytes
        offset = progress.resumable.offset
        if offset:
            goes_on(offset)
        if progress.file is None:
            length = (file.incoming.size or 0) - offset
            try:
                async with aclosing(file.read(offset)) as chunks:
                    progress = await self._resuming.append(*upload, Sent(offset, chunks, length))
                if progress.file is None:
                    raise Invalid("The file became shorter while it was read; try again")
            except (FileTooLarge, Invalid):
                await self._resuming.terminate(*upload)
                raise
        return progress.file


def _mark(authority: Authority, file: LocalFile) -> str:
    """The beginning of the row's metadata, equal for every try of one actor to send one file."""
    incoming = file.incoming
    told = (authority.actor_id, incoming.filename, incoming.content_type, incoming.size)
    return f"local {hashlib.sha256(repr((*told, file.version)).encode()).hexdigest()} "
