"""The owner of an upload that goes on, and the right to upload.

The right is that of an actor or of an upload link. Leaves out the uploads' life (resuming.py) and
what they reserve (reserving.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from sqlite3 import Connection

from .. import naming
from ..db import resuming
from ..db import uploads as rows
from ..db.resuming import Resumable
from ..errors import Conflict, Expired, NotFound, PermissionDenied
from ..models import Upload
from ..permissions.grants import Grant
from ..permissions.shares import LinkGrant
from ..sources.sources import Source
from . import owners


@dataclass(frozen=True)
class Authority:
    """The owner of the uploads and the right to upload, decided in each transaction."""

    actor_id: str | None
    grant: Grant

    @property
    def link(self) -> str | None:
        """The id of the upload link by which the right is given."""
        return self.grant.link.id if isinstance(self.grant, LinkGrant) else None

    def check(self, conn: Connection, source: Source) -> None:
        """Raise PermissionDenied without the right to upload; NotFound if it was a link's."""
        self.grant.check(conn, source.slug)

    async def renewed(self) -> Authority:
        """Ask for the right again, by the permissions of this moment."""
        return replace(self, grant=await self.grant.renewed())

    def owned(self, conn: Connection, source: Source, resumable_id: str) -> Resumable:
        """The upload of this id. Raises PermissionDenied, NotFound, Expired."""
        self.check(conn, source)
        found = resuming.get(conn, naming.token_digest(naming.resumable_token(resumable_id)))
        if found is None or found.upload.source_id != source.id:
            raise NotFound("There is no such upload; begin a new one")
        if (found.upload.actor_id, found.upload.link) != (self.actor_id, self.link):
            raise PermissionDenied("Another user began this upload; begin your own")
        if found.upload.state == "expired" or found.upload.expires_at <= time.time():
            raise Expired("The upload expired or was refused; begin a new one")
        return found

    def replace_prepared(self, conn: Connection, source: Source, token: str) -> Upload:
        """Forget a prepared upload in whose place another begins, with what it has reserved.

        Returns what was prepared. Raises Conflict if its bytes may have been sent in another way,
        and as ``owners.owned``.
        """
        upload = owners.owned(conn, token, source, self.actor_id, self.grant)
        if upload.state != "prepared" or upload.is_direct or upload.claim is not None:
            raise Conflict("The prepared upload was sent in another way; prepare a new one")
        rows.discard(conn, upload)
        return upload
