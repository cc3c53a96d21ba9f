"""A watch on the internal database: no change of a file, link or setting commits unrecorded.

SQL triggers note each change, and before each commit of the plugin every one of them needs an entry
of the audit that was written in the same transaction. So a way of changing something that somebody
adds later, and forgets to record, fails in any test that goes through it under the watch. Also
here: the entries as a reader has them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from datasette.app import Datasette

from datasette_files.app import Files
from tests.conftest import OPEN

ANN = {"id": "ann"}
MANAGED = {**OPEN, "files-manage": True, "files-share": True, "files-view": True}

_FILE_COLUMNS = "path, filename, folder, tags, search_text, metadata, source_id, missing_since"
#: The table and the event, the subject, and its value.
_WATCHED = (
    ("datasette_files", "INSERT", "file", "NEW.id"),
    ("datasette_files", f"UPDATE OF {_FILE_COLUMNS}", "file", "NEW.id"),
    ("datasette_files", "DELETE", "file", "OLD.id"),
    ("datasette_files_trash", "DELETE", "file", "OLD.id"),
    ("datasette_files_shares", "INSERT", "link", "NEW.id"),
    ("datasette_files_shares", "UPDATE OF revoked_at, downloads", "link", "NEW.id"),
    ("datasette_files_settings_changes", "INSERT", "source", "NEW.source_id"),
    ("datasette_files_shares", "UPDATE OF files", "link", "NEW.id"),
)
_SUBJECTS = {"file": "file_id", "link": "link", "source": "source_id"}


async def watch(files: Files) -> None:
    """Watch the commits of a site from now on. An unrecorded change fails, and is undone."""

    def begin(conn: sqlite3.Connection) -> None:
        conn.execute("CREATE TABLE watched (subject TEXT, value)")
        for number, (table, event, subject, value) in enumerate(_WATCHED):
            conn.execute(
                f"""CREATE TRIGGER watch_{number} AFTER {event} ON {table}
                BEGIN INSERT INTO watched VALUES ('{subject}', {value}); END"""
            )

    await files.catalog.write(begin)
    before: Callable[[sqlite3.Connection], object] = files.catalog.before_commit
    last = await files.catalog.read(_last)

    def check(conn: sqlite3.Connection) -> None:
        nonlocal last
        before(conn)
        for subject, value in conn.execute("SELECT DISTINCT subject, value FROM watched"):
            found = conn.execute(
                f"""SELECT 1 FROM datasette_files_audit
                WHERE id > ? AND {_SUBJECTS[subject]} = ?""",
                (last, value),
            ).fetchone()
            assert found, f"A change of the {subject} {value} is not in the audit"
        conn.execute("DELETE FROM watched")
        last = _last(conn)

    files.catalog.before_commit = check


def _last(conn: sqlite3.Connection) -> int:
    (found,) = conn.execute("SELECT ifnull(max(id), 0) FROM datasette_files_audit").fetchone()
    return int(found)


async def entries(datasette: Datasette, query: str = "", actor: Any = ANN) -> list[dict[str, Any]]:
    """All entries that the actor reads, the first first."""
    await Files.of(datasette).audit.write_waiting()
    found: list[dict[str, Any]] = []
    url = f"/-/files/audit.json?_size=max&{query}"
    while url:
        answer = await datasette.client.get(url, actor=actor)
        assert answer.status_code == 200, answer.text
        found += answer.json()["entries"]
        url = answer.json()["next_url"]
    return found[::-1]
