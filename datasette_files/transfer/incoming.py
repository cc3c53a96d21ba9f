"""New uploads: what a client declares, the row that is made of it, and the file it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from .. import naming
from ..base import TIME_FORMAT
from ..models import FileRecord, Upload
from ..sources.sources import Source


@dataclass(frozen=True)
class Incoming:
    """A file as its client declares it. ``size`` in bytes, ``sha256`` in hexadecimal."""

    filename: str
    content_type: str
    size: int | None = None
    sha256: str | None = None
    #: As in ``FileRecord``.
    folder: str = ""
    tags: tuple[str, ...] = ()
    replaces: str | None = None


def new_upload(
    source: Source,
    actor_id: str | None,
    incoming: Incoming,
    token: str,
    expires_at: float,
    claim: str | None = None,
) -> Upload:
    """Make an upload with an unused path: prepared, or receiving if ``claim`` is given.

    ``expires_at`` in seconds since the epoch. No path is used twice: the path of a failed attempt
    is swept as garbage, and a later attempt's bytes must not be there.
    """
    ulid = naming.new_ulid()
    return Upload(
        id=naming.token_digest(token),
        source_id=source.id,
        source_slug=source.slug,
        file_id=naming.ID_PREFIX + ulid,
        path=_path(source, ulid, incoming.filename, actor_id),
        filename=incoming.filename,
        content_type=incoming.content_type,
        size=incoming.size,
        sha256=incoming.sha256,
        content_hash=None,
        actor_id=actor_id,
        state="prepared" if claim is None else "receiving",
        expires_at=expires_at,
        claim=claim,
        instructions=None,
        reserved=incoming.size or 0,
        folder=incoming.folder,
        tags=incoming.tags,
        replaces=incoming.replaces,
    )


def _path(source: Source, ulid: str, filename: str, actor_id: str | None) -> str:
    return naming.storage_path(
        source.config.path_template,
        ulid=ulid,
        filename=filename,
        source=source.slug,
        actor_id=actor_id,
    )


def next_path(source: Source, upload: Upload) -> str:
    """Another unused path for an upload that begins again."""
    return _path(source, naming.new_ulid(), upload.filename, upload.actor_id)


def as_file(upload: Upload) -> FileRecord:
    """The catalog's row of a received upload."""
    return FileRecord(
        id=upload.file_id,
        source_id=upload.source_id,
        path=upload.path,
        filename=upload.filename,
        content_type=upload.stored_type,
        content_hash=upload.content_hash,
        size=upload.stored_size,
        width=upload.width,
        height=upload.height,
        uploaded_by=upload.actor_id,
        created_at=datetime.now(timezone.utc).strftime(TIME_FORMAT),
        metadata="{}",
        search_text="",
        source_slug=upload.source_slug,
        upload_link=upload.link,
        folder=upload.folder,
        tags=upload.tags,
        crc32=upload.crc32,
        replaces=upload.replaces,
    )
