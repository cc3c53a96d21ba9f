"""The claim of an attempt on an upload: renewed while bytes arrive, handed back if they fail.

Holds the verification of a direct upload too, which is such an attempt. Leaves out who may claim an
upload (uploads.py), and the leases of uploads that go on (attempts.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from sqlite3 import Connection

from .. import naming
from ..db import uploads
from ..db.batching import Catalog
from ..errors import BadType, ChecksumMismatch, Conflict, Expired, FileTooLarge, Invalid
from ..maintenance.sweeping import REMEMBERED_SECONDS, Sweeper
from ..models import Upload
from ..permissions.grants import Grant
from ..sources.sources import Source
from . import receiving
from .incoming import next_path

logger = logging.getLogger("datasette_files")

#: An attempt without progress for this long is dead, and another may replace it.
CLAIM_SECONDS = 60.0
#: How long a direct upload may stay in verification. The storage reports no progress meanwhile.
_MAX_VERIFY_SECONDS = 600.0
#: Bytes a second, for a declared sha256: the time above grows with the file.
_MIN_READ_RATE = 16 * 1024 * 1024

TOO_LATE = "The upload was prepared too long ago; prepare a new one"
LOST_CLAIM = "The upload expired, or was sent again, while it was received; send the file again"
COMPLETING = "Another request is completing this upload; try again"


class Claims:
    """The claims on the uploads of one Datasette."""

    def __init__(self, catalog: Catalog, expiry: float, sweeper: Sweeper) -> None:
        self._catalog = catalog
        self._expiry = expiry
        self._sweeper = sweeper
        #: Seconds after which no more bytes can arrive through a URL from ``prepare``.
        self.url_lifetime = expiry + uploads.ON_THE_WAY_SECONDS

    def new(self, upload: Upload, now: float) -> Upload:
        """The upload under a new claim, which ``uploads.claim`` is to write."""
        return replace(
            upload,
            claim=naming.new_claim(),
            claimed_until=now + CLAIM_SECONDS,
            expires_at=now + self._expiry,
        )

    async def record(self, stored: Upload, grant: Grant) -> bool:
        """Mark the upload as received. Returns False if another attempt has taken it.

        Raises PermissionDenied if the permission was withdrawn while the bytes arrived.
        """
        expires_at = time.time() + self._expiry

        def record(conn: Connection) -> bool:
            grant.check(conn, stored.source_slug)
            return uploads.received(conn, stored, expires_at)

        return await self._catalog.write(record)

    async def extend(self, upload: Upload) -> float:
        """Postpone claim and expiry while bytes arrive; return the time of the next call.

        Raises Expired if another attempt has taken the upload.
        """
        now = time.time()
        held = await self._catalog.write(
            lambda conn: uploads.extend(
                conn, upload.id, upload.claim or "", now + CLAIM_SECONDS, now + self._expiry
            )
        )
        if not held:
            raise Expired(LOST_CLAIM)
        return now + min(CLAIM_SECONDS, self._expiry) / 4

    async def verify_direct(self, source: Source, upload: Upload, grant: Grant) -> None:
        """Verify the bytes that a client sent to the storage, and mark the upload as received."""
        now = time.time()
        found = upload
        upload = self.new(upload, now)
        claimed = await self._catalog.write(lambda conn: uploads.claim(conn, upload, now))
        if not claimed:
            raise await self._catalog.read(lambda conn: _unclaimed(conn, found))
        alive = asyncio.create_task(self._keep(upload))
        try:
            stored = await receiving.verify_direct_upload(source, upload)
        except (BadType, ChecksumMismatch, FileTooLarge, Invalid):
            keep_until = time.time() + REMEMBERED_SECONDS
            await self.undo(
                source,
                upload,
                lambda conn: uploads.reject(conn, upload, keep_until, self.url_lifetime),
            )
            raise
        except BaseException as error:
            # The bytes may be correct: keep them, so that the client can complete again.
            vain = found.has_expired(now) and isinstance(error, receiving.NothingSent)
            expires_at = found.expires_at if vain else time.time() + self._expiry
            state = "expired" if found.state == "expired" and vain else "prepared"
            await self._catalog.write(
                lambda conn: uploads.hand_back(
                    conn, upload.id, upload.claim or "", expires_at, state
                )
            )
            if vain:
                raise Expired(TOO_LATE) from error
            raise
        finally:
            alive.cancel()
        await self.record(stored, grant)

    async def _keep(self, upload: Upload) -> None:
        """Postpone claim and expiry until cancelled: only the claim of a dead process may lapse."""
        until = time.time() + _MAX_VERIFY_SECONDS + (upload.size or 0) / _MIN_READ_RATE
        try:
            while time.time() < until:
                await asyncio.sleep(min(CLAIM_SECONDS, self._expiry) / 4)
                await self.extend(upload)
        except Expired:
            logger.warning("Another attempt took over an upload during its verification")
        except Exception:
            logger.exception("The claim on an upload cannot be renewed; it will lapse")

    async def release(self, source: Source, upload: Upload) -> None:
        """Remove a failed attempt's bytes, and let the client send the upload again."""
        fresh = next_path(source, upload)
        await self.undo(
            source,
            upload,
            lambda conn: uploads.release(
                conn, upload, upload.claim or "", fresh, time.time() + self._expiry
            ),
        )

    async def undo(
        self, source: Source, upload: Upload, change: Callable[[Connection], object]
    ) -> None:
        """Write ``change``, and remove the attempt's bytes unless it returns False."""
        try:
            if await self._catalog.write(change) is not False:  # False: another attempt has it
                await self._sweeper.remove(source, upload.path)
        except Exception:
            # The caller needs the first error, not this one. The sweeper removes the leftovers.
            logger.exception("Cleaning up after a failed upload failed")


def _unclaimed(conn: Connection, found: Upload) -> Conflict | Expired:
    """The reason why a direct upload cannot be claimed: another attempt, or the sweeper came."""
    upload, now = uploads.get(conn, found.id), time.time()
    swept = upload is None or not (upload.state == "completed" or upload.is_being_received(now))
    return Expired(TOO_LATE) if swept and found.has_expired(now) else Conflict(COMPLETING)
