"""The frozen records that several packages share. They hold data and know neither SQL nor HTTP."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from .media.types import essence


def parse_time(text: str) -> datetime:
    """A time of the catalog as an aware datetime. Raises ValueError."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of the catalog, with the slug of its source. Fields as in ``datasette_files``."""

    id: str
    source_id: int
    path: str
    filename: str
    content_type: str | None
    content_hash: str | None
    size: int | None
    width: int | None
    height: int | None
    uploaded_by: str | None
    created_at: str
    metadata: str | None
    search_text: str | None
    source_slug: str

    @property
    def type(self) -> str:
        """The content type for every header, page and decision.

        ``application/octet-stream`` where the catalog's is none: other tools write the column too.
        """
        return essence(self.content_type or "") or "application/octet-stream"

    @property
    def search_text_tag(self) -> str:
        """An entity tag of the search text, against lost updates."""
        text = (self.search_text or "").encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:16]

    @property
    def modified(self) -> datetime | None:
        """The time of creation, after which bytes never change; None if unreadable."""
        try:
            return parse_time(self.created_at)
        except ValueError:
            return None

    @property
    def sha256(self) -> str | None:
        """The sha256 in hexadecimal, or None if unknown."""
        kind, _, digest = (self.content_hash or "").partition(":")
        return digest if kind == "sha256" and digest else None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way in. ``state``: prepared, receiving, received, completed or expired."""

    id: str
    source_id: int
    source_slug: str
    file_id: str
    path: str
    filename: str
    #: As declared, size in bytes; the bytes received are checked against it.
    content_type: str
    size: int | None
    sha256: str | None
    content_hash: str | None
    actor_id: str | None
    state: str
    #: Seconds since the epoch.
    expires_at: float
    #: Names the attempt that owns the path, while receiving.
    claim: str | None
    #: The storage's state to finish a direct upload; None for one through Datasette.
    instructions: dict[str, Any] | None
    width: int | None = None
    height: int | None = None
    #: The type and size of the stored object, once received.
    stored_type: str | None = None
    stored_size: int | None = None
    #: The attempt counts as alive until then, in seconds since the epoch; moved as bytes arrive.
    claimed_until: float | None = None

    def is_being_received(self, now: float) -> bool:
        """Tell whether a live attempt owns the path."""
        return self.state == "receiving" and (self.claimed_until or 0) > now


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """The number of files, and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """An import's progress, as ``_datasette_files_imports`` keeps it."""

    id: int
    file_id: str
    import_type: str
    database_name: str
    table_name: str
    status: str
    row_count: int
    total_size: int
    bytes_read: int
    error: str | None
    started_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class ImportDetails:
    """The columns of an import job that the public release's table lacks."""

    job_id: int
    #: ``ImportRequest`` as JSON.
    options: dict[str, Any]
    #: The hash of the file's bytes.
    content_hash: str | None
    #: ``reading``, ``reading again`` or ``writing``; None before it runs.
    phase: str | None
    #: Rows written so far.
    written: int
    #: Seconds since the epoch: the start, and the last sign of life.
    begun_at: float | None
    updated_at: float | None
    #: Findings about the file and, at the end, about the table.
    result: dict[str, Any]
    #: To be removed at the end: a folder, and a table in the user's database.
    folder: str | None
    staging: str | None
    #: Whether the last transaction has begun; it may or may not have been committed.
    committing: int
    #: Whether somebody asked to cancel it.
    cancel: int


@dataclass(frozen=True, slots=True)
class Origin:
    """A file whose rows were imported into a table.

    ``filename`` is None once it is deleted; then ``source`` too, if the public release imported it.
    """

    job_id: int
    file_id: str
    filename: str | None
    source: str | None
    content_hash: str | None
    actor_id: str | None
    #: In the catalog's format.
    imported_at: str | None
    rows: int


#: Modes of an import: make a new table, add rows to one, replace it, merge the file into it by
#: primary key, or only compare the two.
IMPORT_MODES = ("create", "append", "replace", "merge", "compare")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A person's choices for an import."""

    database: str
    table: str
    mode: str = "create"
    #: The format's name; None: chosen by the file's name and type.
    format: str | None = None
    #: Fields of ``formats.base.ReadOptions`` that were chosen.
    read: dict[str, Any] = field(default_factory=dict)
    #: Chosen types by column.
    types: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    indexes: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    #: For a merge: whether rows that are not in the file are removed.
    removes: bool = False
