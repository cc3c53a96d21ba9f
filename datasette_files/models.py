"""The frozen records that travel between rooms. They hold data and know neither SQL nor HTTP."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from .media.types import essence


def parse_time(text: str) -> datetime:
    """A catalog's moment as an aware datetime. Raises ValueError."""
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
        """The content type as every header, page and decision sees it; or one that says nothing.

        Other tools write the column too, and may have put anything there.
        """
        return essence(self.content_type or "") or "application/octet-stream"

    @property
    def search_text_tag(self) -> str:
        """Names this state of the search text, as an entity tag names a state of bytes."""
        text = (self.search_text or "").encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:16]

    @property
    def modified(self) -> datetime | None:
        """When the bytes came to be; they never change after. None for an unreadable time."""
        try:
            return parse_time(self.created_at)
        except ValueError:
            return None

    @property
    def sha256(self) -> str | None:
        """The digest in hexadecimal, where the catalog has one."""
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
    #: As declared, with the size in bytes; each attempt is held against what was declared.
    content_type: str
    size: int | None
    sha256: str | None
    content_hash: str | None
    actor_id: str | None
    state: str
    #: Seconds since the epoch.
    expires_at: float
    #: The attempt that owns the path now, while receiving.
    claim: str | None
    #: What the storage needs to finish a direct upload; None for one through Datasette.
    instructions: dict[str, Any] | None
    width: int | None = None
    height: int | None = None
    #: What the storage holds, once bytes are received.
    stored_type: str | None = None
    stored_size: int | None = None
    #: Until when the attempt counts as alive, in seconds since the epoch; moved as bytes arrive.
    claimed_until: float | None = None

    def is_being_received(self, now: float) -> bool:
        """Whether an attempt owns the path that has not been cut short, as by a crash."""
        return self.state == "receiving" and (self.claimed_until or 0) > now


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """How much a source holds."""

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
    """The rest of a job: what was asked for, how far it is, what came of it."""

    job_id: int
    #: ``ImportRequest`` as JSON has it.
    options: dict[str, Any]
    #: Of the file's bytes.
    content_hash: str | None
    #: ``reading``, ``reading again`` or ``writing``; None before it runs.
    phase: str | None
    #: Rows written so far.
    written: int
    #: Seconds since the epoch: when it began to run, and its last sign of life.
    begun_at: float | None
    updated_at: float | None
    #: What was found out about the file and, at the end, what was done.
    result: dict[str, Any]
    #: What has to be removed when it ends: a folder, and a table in the user's database.
    folder: str | None
    staging: str | None
    #: Whether its last transaction has begun, which may or may not have been committed.
    committing: int
    #: Whether it is to be cancelled.
    cancel: int


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that rows of a table came from; once it is gone, it has no name.

    Nor has it a source, if the public release imported it.
    """

    job_id: int
    file_id: str
    filename: str | None
    source: str | None
    content_hash: str | None
    actor_id: str | None
    #: As in the catalog.
    imported_at: str | None
    rows: int


#: What an import does with a table of its name: it must not exist, rows are added to it, it is made
#: anew, or it becomes as the file is, by primary key; or it is only compared with the file.
IMPORT_MODES = ("create", "append", "replace", "merge", "compare")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What a person wants of an import."""

    database: str
    table: str
    mode: str = "create"
    #: The format's name; None: by the file's name and type.
    format: str | None = None
    #: As ``formats.base.ReadOptions``, what was chosen alone.
    read: dict[str, Any] = field(default_factory=dict)
    #: Chosen types by column.
    types: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    indexes: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    #: Of a merge: whether rows that are not in the file are removed.
    removes: bool = False
