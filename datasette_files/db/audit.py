"""The audit in the catalog: who did what to which file or source, when, and by which way in.

The functions that change a file, a link or a setting (files.py, trash.py, moves.py, index.py,
shares.py, settings.py) add the entry themselves, on the connection of their change. So an entry and
its change are committed together or not at all, and no caller can forget it. Leaves out reading
(audit_pages.py).

Who acts is a context variable, set where work enters: a request (views/routes.py), a command
(cli/site.py), a round and a job (jobs/). The alternative hands an argument through some forty
functions that do not need it. Only this module reads it; ``db/batching.py`` carries it to the
thread that writes. Of an actor only the id is kept, of a link only its id, never a token.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from ..models import FileRecord
from .rows import insert_rows

_T = TypeVar("_T")

#: The way in: a request, a command, the use of a link, or the site's own background work.
Via = Literal["http", "command", "link", "round"]
Action = Literal[
    "upload",
    "replace",
    "update",
    "delete",
    "restore",
    "purge",
    "copy",
    "move",
    "import",
    # By a walk over a storage.
    "missing",
    "found",
    # Of links; "open" is the use of a link's page.
    "share",
    "upload-link",
    "revoke",
    "open",
    "download",
    "inline",
    "zip",
    # Of sources.
    "settings",
    "sync",
]
ACTIONS: tuple[Action, ...] = get_args(Action)

_COLUMNS = "at, actor, via, link, action, file_id, source_id, detail"
_INSERT = f"INSERT INTO datasette_files_audit ({_COLUMNS})"
#: The first columns of an entry that is selected from other tables.
_ACTING = ":at, :actor, :via, :link, :action"
#: Entries that are deleted in one transaction.
_FORGOTTEN = 1_000


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, and by which way in."""

    via: Via = "round"
    actor_id: str | None = None


#: By default the site itself, whose background work begins without an entrance.
_SITE = By()
_by: ContextVar[By] = ContextVar("datasette_files_by", default=_SITE)


@contextmanager
def acting(by: By) -> Iterator[None]:
    """Do what is inside in somebody's name, also in the tasks that it starts."""
    token = _by.set(by)
    try:
        yield
    finally:
        _by.reset(token)


def in_this_name(fn: Callable[[sqlite3.Connection], _T]) -> Callable[[sqlite3.Connection], _T]:
    """``fn``, which acts in another thread in the name of who calls this."""
    by = _by.get()

    def act(conn: sqlite3.Connection) -> _T:
        token = _by.set(by)
        try:
            return fn(conn)
        finally:
            _by.reset(token)

    return act


@dataclass(frozen=True, slots=True)
class Note:
    """An entry that is written later than it happened. ``at`` in seconds since the epoch."""

    at: float
    by: By
    action: Action
    file_id: str | None
    source_id: int | None
    link: str | None
    detail: Mapping[str, Any]


def note(
    action: Action,
    source_id: int | None,
    detail: Mapping[str, Any],
    *,
    file_id: str | None = None,
    link: str | None = None,
) -> Note:
    """An entry of this moment and of who acts now."""
    return Note(time.time(), _by.get(), action, file_id, source_id, link, detail)


def add(conn: sqlite3.Connection, *notes: Note) -> None:
    """Write entries."""
    for one in notes:
        conn.execute(
            f"{_INSERT} VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(one.at, one.by.actor_id, one.by.via, one.link, one.action),
                *(one.file_id, one.source_id, json.dumps(one.detail)),
            ),
        )


def of_file(conn: sqlite3.Connection, action: Action, file: FileRecord, **detail: Any) -> None:
    """Record an action on a file, whose name is kept, as the entry survives the file."""
    link = file.upload_link if _by.get().via == "link" else None
    detail = {"filename": file.filename, **detail}
    add(conn, note(action, file.source_id, detail, file_id=file.id, link=link))


def update(conn: sqlite3.Connection, old: FileRecord, new: FileRecord, names: list[str]) -> None:
    """Record new values of a file's record; of a search text only that it was changed."""
    shown = [name for name in names if name != "search_text"]
    detail = {
        kind: {name: getattr(one, name) for name in shown}
        for kind, one in (("old", old), ("new", new))
    }
    of_file(conn, "update", old, changed=names, **(detail if shown else {}))


def select(
    conn: sqlite3.Connection,
    action: Action,
    rows: str,
    values: Mapping[str, object],
    link: str | None = None,
) -> None:
    """Record an action on many files by one statement.

    ``rows`` is the end of a SELECT that begins with the columns of who acts: the expressions of
    the file's id, its source's and the detail, and the rest.
    """
    by = _by.get()
    conn.execute(
        f"{_INSERT} SELECT {_ACTING}, {rows}",
        {
            **{"at": time.time(), "actor": by.actor_id, "via": by.via},
            **{"link": link, "action": action, **values},
        },
    )


def of_rows(
    conn: sqlite3.Connection,
    action: Action,
    condition: str,
    values: Mapping[str, object],
    detail: Mapping[str, Any] | None = None,
    link: str | None = None,
) -> None:
    """Record an action on those rows ``f`` of the catalog that fulfil a condition."""
    rows = """f.id, f.source_id, json_patch(json_object('filename', f.filename), :detail)
        FROM datasette_files f"""
    values = {**values, "detail": json.dumps(detail or {})}
    select(conn, action, f"{rows} WHERE {condition}", values, link)


def of_ids(
    conn: sqlite3.Connection,
    action: Action,
    file_ids: Collection[str],
    detail: Mapping[str, Any] | None = None,
    link: str | None = None,
) -> None:
    """Record an action on the files with these ids that exist."""
    named = "f.id IN (SELECT value FROM json_each(:ids))"
    of_rows(conn, action, named, {"ids": json.dumps(list(file_ids))}, detail, link)


def of_new(
    conn: sqlite3.Connection, source_id: int, added: Sequence[tuple[str, str, int | None]]
) -> None:
    """Record many new files of a source, each ``(id, filename, size)``."""
    by = _by.get()
    action: Action = "upload"
    insert_rows(
        conn,
        "datasette_files_audit (at, actor, via, action, source_id, file_id, detail)",
        "?1, ?2, ?3, ?4, ?5, ?, json_object('filename', ?, 'size', ?)",
        added,
        (time.time(), by.actor_id, by.via, action, source_id),
    )


def of_link(conn: sqlite3.Connection, action: Action, link: str) -> None:
    """Record an action on each file of a share link, also on those that are gone."""
    select(
        conn,
        action,
        """l.file_id, coalesce(
            (SELECT source_id FROM datasette_files WHERE id = l.file_id),
            (SELECT a.source_id FROM datasette_files_audit a WHERE a.file_id = l.file_id
                ORDER BY a.id DESC LIMIT 1)), '{}'
        FROM datasette_files_share_files l
        WHERE l.share = (SELECT number FROM datasette_files_shares WHERE id = :link)
        ORDER BY l.place""",
        {},
        link,
    )


def forget(conn: sqlite3.Connection, until: float) -> bool:
    """Delete the first entries that are older than ``until``; tell whether there may be more.

    The last entry stays, so that no id is given twice.
    """
    conn.execute(
        "INSERT OR REPLACE INTO datasette_files_state (key, value) VALUES ('audit_until', ?)",
        (repr(until),),
    )
    cursor = conn.execute(
        """DELETE FROM datasette_files_audit WHERE at < :until
        AND id < (SELECT max(id) FROM datasette_files_audit)
        AND id IN (SELECT id FROM datasette_files_audit ORDER BY id LIMIT :most)""",
        {"until": until, "most": _FORGOTTEN},
    )
    conn.execute("DELETE FROM datasette_files_state WHERE key = 'audit_until'")
    return cursor.rowcount == _FORGOTTEN


def any_due(conn: sqlite3.Connection, until: float) -> bool:
    """Tell whether the first entry, which is not the last, is older than ``until``."""
    row = conn.execute(
        """SELECT at < ? AND id < (SELECT max(id) FROM datasette_files_audit)
        FROM datasette_files_audit ORDER BY id LIMIT 1""",
        (until,),
    ).fetchone()
    return bool(row and row[0])
