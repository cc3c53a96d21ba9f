"""Uploads in parts: the storage's state for the parts, and the time of the last signed URLs.

Leaves out every other step of an upload (uploads.py).
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any


def begin(conn: sqlite3.Connection, upload_id: str, state: dict[str, Any]) -> bool:
    """Record the storage's state. False if another request did, or the upload has ended."""
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET parts_state = ?
        WHERE id = ? AND state = 'prepared' AND parts_state IS NULL""",
        (json.dumps(state), upload_id),
    )
    return cursor.rowcount > 0


def extend(conn: sqlite3.Connection, upload_id: str, now: float, expires_at: float) -> bool:
    """Move the expiry, as URLs are signed now. False if the upload is no longer prepared."""
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET signed_at = ?, expires_at = ?
        WHERE id = ? AND state = 'prepared' AND parts_state IS NOT NULL""",
        (now, expires_at, upload_id),
    )
    return cursor.rowcount > 0
