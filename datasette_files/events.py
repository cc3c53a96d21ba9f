"""Events of files, in Datasette's own event system, and the one place that sends them.

An event is sent after the commit of its change.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

from datasette.events import Event

from .models import FileRecord

logger = logging.getLogger("datasette_files")


@dataclass
class _FileEvent(Event):  # type: ignore[misc]
    file_id: str
    source_slug: str
    path: str
    #: Bytes.
    size: int | None
    content_type: str | None

    @classmethod
    def about(cls, file: FileRecord, actor: dict[str, Any] | None, **more: Any) -> _FileEvent:
        """The event about this file."""
        return cls(
            actor=actor,
            file_id=file.id,
            source_slug=file.source_slug,
            path=file.path,
            size=file.size,
            content_type=file.content_type,
            **more,
        )


@dataclass
class UploadFileEvent(_FileEvent):
    """Event name: ``upload-file``. A file is in the catalog, its bytes durable."""

    name = "upload-file"


@dataclass
class UpdateFileEvent(_FileEvent):
    """Event name: ``update-file``. A file's metadata has changed."""

    name = "update-file"


@dataclass
class DeleteFileEvent(_FileEvent):
    """Event name: ``delete-file``. A file is out of the catalog.

    Sent twice for a file that goes through the trash: ``trashed`` at its deletion, then ``purged``,
    without an actor where its time had come.
    """

    name = "delete-file"
    #: ``trashed``: it can be restored; ``purged``: it is deleted for good.
    outcome: Literal["trashed", "purged"] = "purged"


@dataclass
class ImportFileEvent(_FileEvent):
    """Event name: ``import-file``. A file's rows are in a table."""

    name = "import-file"

    database: str
    table: str
    #: The job's id, its mode (``db.imports.IMPORT_MODES``), and the number of the file's rows.
    job: int
    mode: str
    rows: int


@dataclass
class RestoreFileEvent(_FileEvent):
    """Event name: ``restore-file``. A file is back from the trash."""

    name = "restore-file"


@dataclass
class ShareFileEvent(Event):  # type: ignore[misc]
    """Event name: ``share-file``. A link to this file was made; one event for each of its files.

    For an upload link, whose files are still to come, only its source is told.
    """

    name = "share-file"

    #: The link's id; ``files`` or ``upload``; seconds since the epoch.
    share_id: str
    kind: str
    expires_at: float
    source_slug: str
    file_id: str | None = None
    path: str | None = None
    size: int | None = None
    content_type: str | None = None

    @classmethod
    def of_file(
        cls, file: FileRecord, actor: dict[str, Any] | None, share_id: str, expires_at: float
    ) -> ShareFileEvent:
        """The event about a file that the link shows."""
        return cls(
            actor=actor,
            share_id=share_id,
            kind="files",
            expires_at=expires_at,
            source_slug=file.source_slug,
            file_id=file.id,
            path=file.path,
            size=file.size,
            content_type=file.content_type,
        )

    @classmethod
    def of_source(
        cls, slug: str, actor: dict[str, Any] | None, share_id: str, expires_at: float
    ) -> ShareFileEvent:
        """The event about a source into which the link takes files."""
        return cls(
            actor=actor, share_id=share_id, kind="upload", expires_at=expires_at, source_slug=slug
        )


@dataclass
class RevokeShareEvent(Event):  # type: ignore[misc]
    """Event name: ``revoke-share``. A link was ended before its time."""

    name = "revoke-share"

    share_id: str
    kind: str
    #: The files of a share link.
    file_ids: list[str]
    source_slugs: list[str]


class Announcer:
    """Sends events to the plugins of one Datasette."""

    def __init__(self, datasette: Any) -> None:
        self._datasette = datasette

    async def announce(self, event: Event) -> None:
        """Send an event. A plugin that fails is logged, as the change is committed already."""
        try:
            await self._datasette.track_event(event)
        except Exception:
            logger.exception("A plugin failed on the event %s", event.name)


EVENTS = [
    UploadFileEvent,
    UpdateFileEvent,
    DeleteFileEvent,
    RestoreFileEvent,
    ImportFileEvent,
    ShareFileEvent,
    RevokeShareEvent,
]
