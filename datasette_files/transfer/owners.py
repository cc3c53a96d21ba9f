"""Whose an upload is, which its token or key names, and why it cannot go on.

Leaves out the steps of an upload (uploads.py), and who owns one that goes on (authority.py).
"""

from __future__ import annotations

import time
from sqlite3 import Connection

from .. import naming
from ..db import files, uploads
from ..errors import Conflict, Expired, Invalid, NotFound, PermissionDenied
from ..models import FileRecord, Upload
from ..permissions.grants import Grant
from ..permissions.shares import LinkGrant
from ..sources.sources import Source
from . import receiving
from .claims import COMPLETING, TOO_LATE
from .incoming import Incoming

GOES_ON = "The upload is still being received; wait until it ends, then try again"


def owned(
    conn: Connection,
    token: str,
    source: Source,
    actor_id: str | None,
    grant: Grant,
    *,
    takes_late: bool = False,
) -> Upload:
    """The token's upload, or the one by tus that took its place and is completed.

    ``takes_late`` returns an expired direct upload too. Raises NotFound, PermissionDenied, Expired,
    Conflict for an upload by tus that still goes on.
    """
    # Nobody was given the token of an upload in one request, but its client knows the key.
    upload = None if naming.is_repeatable(token) else uploads.get(conn, naming.token_digest(token))
    resumable_id = None
    if upload is None:
        resumable_id = naming.resumable_id_of(token)
        resumable = naming.resumable_token(resumable_id)
        upload = uploads.get(conn, naming.token_digest(resumable))
    if upload is None or upload.source_id != source.id or _goes_on(token, upload):
        raise NotFound("This source has no upload with this token; prepare a new one")
    link = grant.link.id if isinstance(grant, LinkGrant) else None
    if (upload.actor_id, upload.link) != (actor_id, link):
        raise PermissionDenied("Another user prepared this upload; prepare your own")
    if resumable_id is not None and upload.state not in ("completed", "expired"):
        raise Conflict(
            f"The upload goes on by tus, as {resumable_id} below upload_resumable_url; send the"
            " missing bytes there, the last of which completes it"
        )
    if upload.has_expired(time.time()) and not (takes_late and upload.is_direct):
        raise Expired(TOO_LATE)
    return upload


def _goes_on(token: str, upload: Upload) -> bool:
    """Whether the upload is only to be reached by resuming.py, which knows which bytes it has."""
    return naming.is_resumable(token) and upload.state != "completed"


def file_of(conn: Connection, upload: Upload) -> FileRecord:
    """The file of a completed upload. Raises NotFound once it is deleted."""
    file = files.get(conn, upload.file_id)
    if file is None:
        raise NotFound("The upload's file was deleted; upload it again")
    return file


def repeated(conn: Connection, token: str, incoming: Incoming) -> FileRecord | None:
    """The file that a request added before, of which this one is a repetition; None if none did.

    Raises Invalid if that was another file, and NotFound once it is deleted.
    """
    earlier = uploads.get(conn, naming.token_digest(token))
    if earlier is None or earlier.state != "completed":
        return None
    file = file_of(conn, earlier)
    same = {name: getattr(earlier, name) for name in ("filename", "folder", "tags", "replaces")}
    same |= {name: getattr(file, name) for name in ("size", "sha256")}
    for name, value in same.items():
        declared = getattr(incoming, name)
        # Size and sha256 need not be declared, and one that was restored has perhaps no sha256 yet.
        if declared != value and not (name in ("size", "sha256") and None in (declared, value)):
            raise Invalid(
                f"The Idempotency-Key was used for another file (its {name} is not the same); send"
                " a new key with each file"
            )
    return file


def conflict(upload: Upload) -> Conflict:
    if upload.state == "receiving" and upload.is_being_received(time.time()):
        return Conflict(COMPLETING if upload.instructions is not None else GOES_ON)
    if upload.state == "completed":
        return Conflict("The upload is completed already; prepare a new one")
    if upload.instructions is not None:
        return Conflict("This upload goes to the storage; send the file to the URL from prepare")
    return receiving.NothingSent()
