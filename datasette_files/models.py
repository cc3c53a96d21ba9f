"""The frozen records that several packages share. They hold data and know neither SQL nor HTTP."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .base import TIME_FORMAT
from .media.types import essence


def parse_time(text: str) -> datetime:
    """A time of the catalog as an aware datetime. Raises ValueError."""
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def written(moment: float) -> str:
    """Seconds since the epoch in the catalog's format."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime(TIME_FORMAT)


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
    #: The id of the upload link by which it came; None without one.
    upload_link: str | None = None
    #: "" or ``a/b``: the names of the folders above the file.
    folder: str = ""
    tags: tuple[str, ...] = ()
    #: Eight lower-case hexadecimal digits; None until it is computed.
    crc32: str | None = None
    #: The id of the version that it replaced.
    replaces: str | None = None
    #: The id of the first version, where there are several, and the number among them, from 1 on.
    series: str | None = None
    version: int = 1
    #: The id of the next version that is not deleted; None for the newest.
    superseded_by: str | None = None
    #: ``pending``, ``done``, ``none`` or ``failed``, and the reason (db/texts.py).
    text_status: str | None = None
    text_error: str | None = None
    #: When a walk found it missing from the storage, as ``created_at``; None while it is there.
    missing_since: str | None = None

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
    #: The id of the upload link that it belongs to, and the bytes that it reserves in its source.
    link: str | None = None
    reserved: int = 0
    #: The files that it reserves: 0 for a partial upload, which others become one file with.
    reserved_files: int = 1

    #: The size of each part in bytes, but the last, and their number; None: not in parts.
    part_size: int | None = None
    part_count: int | None = None
    #: The storage's state of the parts, once it began; None before.
    parts_state: dict[str, Any] | None = None
    #: When URLs of parts were last signed, in seconds since the epoch.
    signed_at: float | None = None

    @property
    def is_direct(self) -> bool:
        """Whether a client may have sent bytes to the storage itself."""
        return self.instructions is not None or self.parts_state is not None

    def has_expired(self, now: float) -> bool:
        """Tell whether its time is over. ``now`` in seconds since the epoch."""
        return self.state == "expired" or self.expires_at <= now

    #: As in ``FileRecord``; crc32 once received, if the bytes passed through Datasette.
    folder: str = ""
    tags: tuple[str, ...] = ()
    crc32: str | None = None
    #: The id of the file whose next version it is to be.
    replaces: str | None = None

    def is_being_received(self, now: float) -> bool:
        """Tell whether a live attempt owns the path."""
        return self.state == "receiving" and (self.claimed_until or 0) > now


@dataclass(frozen=True, slots=True)
class SourceTotals:
    """The number of files, and their bytes."""

    files: int = 0
    bytes: int = 0
