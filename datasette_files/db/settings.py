"""Overrides of sources' yaml settings, and the record of every change.

Values are JSON. A change is never rewritten, so the highest id tells whether anything changed.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from . import audit

#: Changes kept of each source, the newest.
_MAX_CHANGES = 1000

Overrides = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One change of one setting of a source."""

    id: int
    #: Seconds since the epoch.
    changed_at: float
    actor_id: str | None
    key: str
    #: JSON values.
    old: Any
    new: Any
    #: Whether the yaml's value came back.
    is_reset: bool


def version(conn: sqlite3.Connection) -> int:
    """A number that grows with every change of any source. Costs one seek."""
    row = conn.execute("SELECT max(id) FROM datasette_files_settings_changes").fetchone()
    return row[0] or 0


def all_overrides(conn: sqlite3.Connection) -> dict[int, Overrides]:
    """The overrides of each source that has any, by source id."""
    found: dict[int, Overrides] = {}
    for source_id, key, value in conn.execute(
        "SELECT source_id, key, value FROM datasette_files_settings"
    ):
        found.setdefault(source_id, {})[key] = json.loads(value)
    return found


def overrides(conn: sqlite3.Connection, source_id: int) -> Overrides:
    rows = conn.execute(
        "SELECT key, value FROM datasette_files_settings WHERE source_id = ?", (source_id,)
    )
    return {key: json.loads(value) for key, value in rows}


def source_version(conn: sqlite3.Connection, source_id: int) -> int:
    """A number that grows with every change of the source; 0 before the first."""
    row = conn.execute(
        "SELECT max(id) FROM datasette_files_settings_changes WHERE source_id = ?", (source_id,)
    ).fetchone()
    return row[0] or 0


def put(conn: sqlite3.Connection, source_id: int, kept: Overrides) -> None:
    """Replace the source's overrides."""
    conn.execute("DELETE FROM datasette_files_settings WHERE source_id = ?", (source_id,))
    conn.executemany(
        "INSERT INTO datasette_files_settings (source_id, key, value) VALUES (?, ?, ?)",
        [(source_id, key, json.dumps(value)) for key, value in kept.items()],
    )


def record(
    conn: sqlite3.Connection,
    source_id: int,
    actor_id: str | None,
    now: float,
    changed: list[tuple[str, Any, Any]],
    *,
    is_reset: bool,
) -> None:
    """Record ``(key, old, new)`` of each setting that changed."""
    conn.executemany(
        """INSERT INTO datasette_files_settings_changes
        (source_id, changed_at, actor_id, key, old_value, new_value, is_reset)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        [
            (source_id, now, actor_id, key, json.dumps(old), json.dumps(new), int(is_reset))
            for key, old, new in changed
        ],
    )
    values = {key: {"old": old, "new": new} for key, old, new in changed}
    audit.add(conn, audit.note("settings", source_id, {"is_reset": is_reset, "settings": values}))
    conn.execute(
        """DELETE FROM datasette_files_settings_changes WHERE source_id = :source_id AND id <= (
            SELECT id FROM datasette_files_settings_changes WHERE source_id = :source_id
            ORDER BY id DESC LIMIT 1 OFFSET :kept)""",
        {"source_id": source_id, "kept": _MAX_CHANGES},
    )


def changes(conn: sqlite3.Connection, source_id: int, limit: int) -> list[SettingChange]:
    """The newest changes of a source."""
    rows = conn.execute(
        """SELECT id, changed_at, actor_id, key, old_value, new_value, is_reset
        FROM datasette_files_settings_changes WHERE source_id = ? ORDER BY id DESC LIMIT ?""",
        (source_id, limit),
    )
    return [
        SettingChange(id, at, actor, key, json.loads(old), json.loads(new), bool(is_reset))
        for id, at, actor, key, old, new, is_reset in rows
    ]
