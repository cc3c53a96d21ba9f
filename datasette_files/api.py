"""The Python API for other plugins: ``get_file`` and the ``File`` it returns.

No permission is checked here: the calling plugin decides who may see what.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

from .app import Files
from .models import FileRecord
from .sources import reading
from .sources.sources import Source


class File:
    """A file in the catalog, and a way to its bytes."""

    def __init__(self, record: FileRecord, source: Source) -> None:
        self._record = record
        self._source = source
        #: ``df-`` and a lower-case ULID.
        self.id: str = record.id
        #: What its uploader called it.
        self.filename: str = record.filename
        self.content_type: str | None = record.content_type
        #: Bytes.
        self.size: int | None = record.size
        #: ``sha256:`` and hexadecimal digits, where known.
        self.content_hash: str | None = record.content_hash
        self.source_slug: str = record.source_slug
        #: The uploader's actor id.
        self.uploaded_by: str | None = record.uploaded_by
        #: Aware, in UTC; None where another tool wrote what is no time.
        self.created_at: datetime | None = record.modified
        self.metadata: dict[str, Any] = _metadata(record)

    def __repr__(self) -> str:
        return f"<File {self.id} {self.filename!r}>"

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The bytes, or at most the first ``max_bytes``.

        Raises FileNotFoundError where the storage does not have them, and the errors of
        ``datasette_files.errors``.
        """
        if max_bytes is not None and max_bytes < 0:
            raise ValueError("max_bytes is negative")
        if max_bytes is None:
            async with self.open() as stream:
                return b"".join([chunk async for chunk in stream])
        return await reading.head(self._source, self._record, max_bytes)

    @asynccontextmanager
    async def open(
        self, start: int | None = None, end: int | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """A context whose value yields the bytes from ``start`` up to, not including, ``end``.

        Raises ValueError for negative ones.
        """
        if (start or 0) < 0 or (end or 0) < 0:
            raise ValueError("start and end count from the file's beginning")
        async with aclosing(reading.stream(self._source, self._record, start or 0, end)) as stream:
            yield stream


def _metadata(record: FileRecord) -> dict[str, Any]:
    """An object as the column holds it; an empty one where another tool wrote something else."""
    try:
        value = json.loads(record.metadata or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


async def get_file(datasette: Any, file_id: str) -> File | None:
    """The file of that id, or None: absent, or in a source that is not configured."""
    files = Files.of(datasette)
    try:
        file_id.encode()
    except UnicodeEncodeError:
        return None  # as JSON can carry it, and SQLite cannot
    found = await files.lookup.find(file_id)
    return File(*found) if found else None
