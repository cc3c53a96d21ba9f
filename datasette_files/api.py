"""The Python API for other plugins: ``get_file`` and the ``File`` it returns.

No permission is checked here: the calling plugin decides which files an actor may see.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

from .app import Files
from .models import FileRecord
from .naming import storable
from .sources import reading
from .sources.sources import Source


class File:
    """A file's record in the catalog, with methods that read its bytes."""

    def __init__(self, record: FileRecord, source: Source) -> None:
        self._record = record
        self._source = source
        #: ``df-`` and a lower-case ULID.
        self.id: str = record.id
        #: The name that its uploader gave it.
        self.filename: str = record.filename
        self.content_type: str | None = record.content_type
        #: Bytes.
        self.size: int | None = record.size
        #: ``sha256:`` and hexadecimal digits; None or another tag if the sha256 is not known.
        self.content_hash: str | None = record.content_hash
        self.source_slug: str = record.source_slug
        #: The uploader's actor id.
        self.uploaded_by: str | None = record.uploaded_by
        #: Aware, in UTC; None if another tool wrote an unreadable time.
        self.created_at: datetime | None = record.modified
        self.metadata: dict[str, Any] = _metadata(record)

    def __repr__(self) -> str:
        return f"<File {self.id} {self.filename!r}>"

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The bytes, or at most the first ``max_bytes``.

        Raises FileNotFoundError if the storage does not have them, ValueError for a negative
        ``max_bytes``, and the errors of ``datasette_files.errors``.
        """
        if max_bytes is None:
            async with self.open() as stream:
                return b"".join([chunk async for chunk in stream])
        if max_bytes < 0:
            raise ValueError("max_bytes is negative; pass 0 or more")
        return await reading.head(self._source, self._record, max_bytes)

    @asynccontextmanager
    async def open(
        self, start: int | None = None, end: int | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """A context whose value yields the bytes from ``start`` up to, not including, ``end``.

        Raises ValueError for negative numbers, and as ``read``.
        """
        if (start or 0) < 0 or (end or 0) < 0:
            raise ValueError("start or end is negative; count bytes from the file's beginning")
        async with aclosing(reading.stream(self._source, self._record, start or 0, end)) as stream:
            yield stream


def _metadata(record: FileRecord) -> dict[str, Any]:
    """The column's JSON object; an empty one if another tool wrote something else."""
    try:
        value = json.loads(record.metadata or "{}")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


async def get_file(datasette: Any, file_id: str) -> File | None:
    """The file with this id; None if it does not exist or its source is not configured."""
    if not storable(file_id):
        return None
    found = await Files.of(datasette).lookup.find(file_id)
    return File(*found) if found else None
