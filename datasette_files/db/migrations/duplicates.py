"""Files with the same bytes in one source, found by the first digits of their sha256.

The whole digest would triple the index.
"""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0027_duplicates")
def duplicates(db: sqlite_utils.Database) -> None:
    """Make the index."""
    run(
        db,
        """CREATE INDEX datasette_files_digest
        ON datasette_files (source_id, substr(content_hash, 8, 10), seq)
        WHERE content_hash >= 'sha256:' AND content_hash < 'sha256;'""",
    )
