"""What plugins are told, after the commit, in Datasette's own event system."""

from __future__ import annotations

from dataclasses import dataclass

from datasette.events import Event


@dataclass
class _FileEvent(Event):  # type: ignore[misc]
    file_id: str
    source_slug: str
    path: str
    #: Bytes.
    size: int | None
    content_type: str | None


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
    """Event name: ``delete-file``. A file is out of the catalog."""

    name = "delete-file"


@dataclass
class ImportFileEvent(_FileEvent):
    """Event name: ``import-file``. A file's rows are in a table."""

    name = "import-file"

    database: str
    table: str
    #: The job's id, what it did (``models.IMPORT_MODES``), and how many rows the file has.
    job: int
    mode: str
    rows: int


EVENTS = [UploadFileEvent, UpdateFileEvent, DeleteFileEvent, ImportFileEvent]
