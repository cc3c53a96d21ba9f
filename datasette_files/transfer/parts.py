"""Uploads in parts, straight to the storage: sign URLs for parts, and list what has arrived.

The storage begins such an upload when the first URLs are asked for; its state is in the upload's
row before a client gets a URL, so that the sweeper can abort it. Leaves out preparation and
completion, which are those of every upload (uploads.py), and HTTP (views/parts.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection

from ..base import SentPart, SignedPart, UploadParts, WantedPart
from ..config import PluginConfig
from ..db import batching, parts, uploads
from ..errors import Conflict, Invalid, NotSupported
from ..models import Upload
from ..permissions.grants import Grant
from ..sources.reading import storage_errors
from ..sources.sources import Source
from . import owners

logger = logging.getLogger("datasette_files")

#: Parts for which one request gets URLs.
MAX_SIGNED = 100
_ENDED = "The upload is being completed, or has ended; no more parts can be sent"


@dataclass(frozen=True)
class Asked:
    """A part that a client asks to send. ``number`` from 1, ``sha256`` in hexadecimal."""

    number: int
    sha256: str | None = None


class Parts:
    """The uploads in parts of one Datasette."""

    def __init__(self, database: batching.Catalog, config: PluginConfig) -> None:
        self._catalog = database
        self._expiry = config.upload_expiry_seconds

    async def sign(
        self, source: Source, actor_id: str | None, grant: Grant, token: str, asked: Sequence[Asked]
    ) -> tuple[list[SignedPart], int]:
        """A URL for each part, and the seconds that they live. The upload's expiry starts anew.

        Raises Invalid for a number that the upload does not have, Conflict for an upload that has
        ended, and as ``owners.owned``.
        """

        def look(conn: Connection) -> Upload:
            return _in_parts(conn, token, source, actor_id, grant)

        upload = await self._catalog.read(look)
        wanted = _wanted(upload, asked)
        if upload.parts_state is None:
            upload = await self._begin(source, upload, wanted)
        lifetime = int(self._expiry)

        def extend(conn: Connection) -> None:
            grant.check(conn, source.slug)
            now = time.time()
            if not parts.extend(conn, upload.id, now, now + self._expiry):
                raise Conflict(_ENDED)

        await self._catalog.write(extend)
        with storage_errors(source.slug):
            signed = await source.storage.sign_parts(
                upload.path, upload.parts_state or {}, wanted, expires_in=lifetime
            )
        return signed, lifetime

    async def sent(
        self, source: Source, actor_id: str | None, grant: Grant, token: str
    ) -> list[SentPart]:
        """The parts that have arrived, by number. Raises as ``sign``."""

        def look(conn: Connection) -> Upload:
            return _in_parts(conn, token, source, actor_id, grant)

        upload = await self._catalog.read(look)
        if upload.parts_state is None:
            return []
        with storage_errors(source.slug):
            try:
                return await source.storage.list_parts(upload.path, upload.parts_state)
            except FileNotFoundError as error:
                raise Conflict(_ENDED) from error

    async def _begin(self, source: Source, upload: Upload, wanted: list[WantedPart]) -> Upload:
        """Let the storage begin. The upload with the storage's state, or another request's."""
        plan = UploadParts(upload.part_size or 0, upload.part_count or 0)
        checksums = wanted[0].sha256 is not None
        with storage_errors(source.slug):
            state = await source.storage.begin_parts(
                upload.path, upload.content_type, upload.size or 0, plan, checksums=checksums
            )
        recorded = False
        try:
            recorded = await self._catalog.write(lambda conn: parts.begin(conn, upload.id, state))
        finally:
            if not recorded:
                with storage_errors(source.slug):
                    await source.storage.discard_upload(upload.path, state)
        if recorded:
            return replace(upload, parts_state=state)
        other = await self._catalog.read(lambda conn: uploads.get(conn, upload.id))
        if other is None or other.parts_state is None:
            raise Conflict(_ENDED)
        return other


def _in_parts(
    conn: Connection, token: str, source: Source, actor_id: str | None, grant: Grant
) -> Upload:
    """The token's upload. Raises NotSupported if it is not one in parts."""
    grant.check(conn, source.slug)
    upload = owners.owned(conn, token, source, actor_id, grant)
    if upload.part_count is None:
        raise NotSupported("This upload has no parts; send the file to the URL from prepare")
    if upload.state != "prepared":
        raise Conflict(_ENDED)
    return upload


def _wanted(upload: Upload, asked: Sequence[Asked]) -> list[WantedPart]:
    """The parts with their sizes in bytes; all are as large as the first, but the last."""
    size, part_size, count = upload.size or 0, upload.part_size or 0, upload.part_count or 0
    if not 1 <= len(asked) <= MAX_SIGNED:
        raise Invalid(f"numbers must name 1 to {MAX_SIGNED} parts")
    if len({part.number for part in asked}) != len(asked):
        raise Invalid("numbers names a part twice")
    if len({part.sha256 is None for part in asked}) != 1:
        raise Invalid("numbers must give a sha256 for each part, or for none")
    wanted = []
    for part in asked:
        if not 1 <= part.number <= count:
            raise Invalid(f"The upload has parts 1 to {count}, but not {part.number}")
        length = part_size if part.number < count else size - part_size * (count - 1)
        wanted.append(WantedPart(part.number, length, part.sha256))
    return wanted
