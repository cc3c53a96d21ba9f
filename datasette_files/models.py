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
class SourceContents:
    """What a source holds, as its page offers it for filtering."""

    totals: SourceTotals
    #: Files by family (media/families.py), for the families that occur.
    families: dict[str, int]
    #: Some actors' ids, at most as many as a choice offers.
    uploaders: list[str]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. ``next`` is the keyset token of the next page, or None at the end."""

    files: list[FileRecord]
    next: str | None
    total: int
    total_truncated: bool = False
    #: The slugs of every source that the actor may browse.
    sources: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A cached thumbnail. ``created_at`` as in the catalog."""

    file_id: str
    thumbnail: bytes
    content_type: str
    width: int | None
    height: int | None
    generator: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class ThumbnailFailure:
    """Why a file has no thumbnail."""

    #: Of the settings and generators by which it was tried.
    fingerprint: str
    reason: str
    attempts: int
    #: In seconds since the epoch; None: not tried again by the same rules.
    retry_at: float | None

    def holds(self, fingerprint: str, now: float) -> bool:
        """Whether another attempt by these rules is of no use, or not yet due."""
        return self.fingerprint == fingerprint and (self.retry_at is None or self.retry_at > now)


@dataclass(frozen=True, slots=True)
class TrashedFile:
    """A deleted file that can be restored. Times are seconds since the epoch."""

    file: FileRecord
    trashed_at: float
    trashed_by: str | None
    #: When it is deleted for good.
    purge_at: float


@dataclass(frozen=True, slots=True)
class TrashPage:
    """One page of what an actor may see of the trash, the newest deletion first."""

    files: list[TrashedFile]
    #: The token of the next page, or None at the end.
    next: str | None
    total: int
    total_truncated: bool
    #: The slugs of the sources whose trash may be seen, wholly or what the actor deleted.
    sources: list[str]
    #: The slugs of those whose trash the actor may purge.
    purgeable: frozenset[str]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One change of one setting of a source."""

    id: int
    #: Seconds since the epoch.
    changed_at: float
    actor_id: str | None
    key: str
    #: As JSON knows them.
    old: Any
    new: Any
    #: Whether it went back to what the yaml says.
    is_reset: bool


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that nothing refers to any more, waiting to be deleted."""

    id: int
    source_slug: str
    path: str
    #: Of a direct upload: what its client sent is meant, and not what is at the path.
    instructions: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Background:
    """How much waits to be done for a source in the background."""

    #: Paths whose bytes are to be deleted; of these, that are due, and that failed before.
    garbage: int = 0
    garbage_due: int = 0
    garbage_failed: int = 0
    #: Files whose sha256 is not known yet.
    unhashed: int = 0
    #: Files that a command copies or moves into it now.
    arriving: int = 0


@dataclass(frozen=True, slots=True)
class PathState:
    """What a path of a storage is to the catalog."""

    file_id: str | None = None
    #: Whether its bytes wait to be deleted.
    is_garbage: bool = False
    #: Whether its file was deleted, and can still be restored; then ``file_id`` is None.
    in_trash: bool = False
    #: Whether an upload that has not ended, or a file that is copied or moved, goes there.
    is_arriving: bool = False


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
