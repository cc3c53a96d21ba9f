"""The trash is apart from the catalog: which code knows of it, and what the catalog refuses."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import datasette_files
from datasette_files.db import files, garbage, thumbnails, trash
from datasette_files.db.thumbnails import Thumbnail
from datasette_files.db.trash import Scope
from tests.db.conftest import check_search_index, new_catalog

#: Modules that write it, look up its paths, ids or versions, make its table, or let owners restore.
_KNOWING = {
    *(f"db/{name}.py" for name in ("trash", "bundles", "garbage", "health", "versions")),
    *(
        f"db/migrations/{name}.py"
        for name in ("additions", "folders", "index", "quotas", "shares", "versions")
    ),
    "permissions/rules.py",
}


def _add(
    conn: sqlite3.Connection, file_id: str, path: str, source_id: int = 1, **more: Any
) -> None:
    values = {"id": file_id, "source_id": source_id, "path": path, "filename": path, **more}
    marks = ", ".join("?" * len(values))
    conn.execute(
        f"INSERT INTO datasette_files ({', '.join(values)}) VALUES ({marks})", list(values.values())
    )


def _row(conn: sqlite3.Connection, file_id: str) -> tuple[Any, ...]:
    row = conn.execute("SELECT * FROM datasette_files WHERE id = ?", (file_id,)).fetchone()
    return tuple(row)


def test_no_other_code_names_the_trash_in_sql() -> None:
    root = Path(datasette_files.__file__).parent
    naming = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"datasette_files_trash\b(?!\.)", path.read_text("utf-8"))
    }
    assert naming == _KNOWING


def test_the_trash_keeps_every_column_of_a_file(conn):
    """A column that comes later has to be kept too."""
    columns = {
        table: [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
        for table in ("datasette_files", "datasette_files_trash")
    }
    assert set(columns["datasette_files"]) <= set(columns["datasette_files_trash"])
    _add(conn, "df-1", "a", content_type="a/b", size=3, width=4, height=5, uploaded_by="alice")
    conn.execute("UPDATE datasette_files SET metadata = '{\"a\": 1}', content_hash = 'sha256:1'")
    before = _row(conn, "df-1")
    assert trash.add(conn, "df-1", "bob", 1.5, 2.5) is not None
    assert files.get(conn, "df-1") is None
    assert trash.restore(conn, "df-1") is not None
    assert _row(conn, "df-1") == before
    assert trash.restore(conn, "df-1") is None
    assert trash.add(conn, "df-2", None, 0, 0) is None
    assert trash.purge(conn, "df-1", None) is None


def test_a_path_or_an_id_in_the_trash_is_taken(conn):
    """An index of the storage that meets the bytes does not bring the file back to life."""
    _add(conn, "df-1", "a")
    _add(conn, "df-2", "b")
    trash.add(conn, "df-1", None, 0, 1)
    for file_id, path in (("df-1", "c"), ("df-3", "a")):
        with pytest.raises(sqlite3.IntegrityError, match="in the trash"):
            _add(conn, file_id, path)
    with pytest.raises(sqlite3.IntegrityError, match="in the trash"):
        conn.execute("UPDATE datasette_files SET path = 'a' WHERE id = 'df-2'")
    _add(conn, "df-3", "a", source_id=2)
    trash.purge(conn, "df-1", None)
    _add(conn, "df-4", "a")


def test_a_restored_file_has_its_place_unless_it_is_taken() -> None:
    with closing(new_catalog()) as conn:
        for number in (1, 2, 3):
            _add(conn, f"df-{number}", f"p{number}")
        first, last = _row(conn, "df-1")[0], _row(conn, "df-3")[0]
        trash.add(conn, "df-1", None, 0, 1)
        trash.add(conn, "df-3", None, 0, 1)
        _add(conn, "df-4", "p4")
        assert _row(conn, "df-4")[0] == last
        trash.restore(conn, "df-1")
        trash.restore(conn, "df-3")
        assert (_row(conn, "df-1")[0], _row(conn, "df-3")[0]) == (first, last + 1)
        check_search_index(conn)


def test_a_restored_file_is_hashed_if_it_was_not_and_a_purged_one_leaves_no_picture(conn):
    for number, known in enumerate(("sha256:1", "tag", None), 1):
        for crc32 in ("0000abcd", None):
            file_id = f"df-{number}{crc32}"
            _add(conn, file_id, file_id, content_hash=known, crc32=crc32)
            thumbnails.put(conn, [Thumbnail(file_id, b"x", "image/png", 1, 1, "test", "")], 200)
            trash.add(conn, file_id, None, 0, 1)
            trash.restore(conn, file_id)
    queued = {row[0] for row in conn.execute("SELECT file_id FROM datasette_files_unhashed")}
    assert queued == {"df-1None", "df-20000abcd", "df-2None", "df-30000abcd", "df-3None"}
    trash.add(conn, "df-1None", None, 0, 1)
    assert thumbnails.find(conn, "df-1None", 200, webp=False) is not None
    trash.purge(conn, "df-1None", None)
    assert thumbnails.find(conn, "df-1None", 200, webp=False) is None
    assert thumbnails.find(conn, "df-2None", 200, webp=False) is not None


def _throw(conn: sqlite3.Connection, number: int, source_id: int, by: str | None) -> str:
    """A file in the trash, to be purged at its number."""
    file_id = f"df-{number}"
    _add(conn, file_id, f"p{number}", source_id)
    trash.add(conn, file_id, by, 0, number)
    return file_id


def test_pages_go_through_the_scopes_from_the_last_deletion_to_the_first(conn, monkeypatch):
    for number, (source_id, by) in enumerate(
        ((1, "ann"), (2, "ann"), (1, "bob"), (1, None), (2, "bob"), (3, "ann")), 1
    ):
        _throw(conn, number, source_id, by)
    whole, own, two = Scope(1), Scope(1, "ann"), Scope(2, "bob")

    def pages(scopes: list[Scope], limit: int) -> list[str]:
        found, after = [], None
        while True:
            files, after = trash.page(conn, scopes, after, limit)
            found.append("".join(one.file.id[3:] for one in files))
            if after is None:
                return found

    assert pages([whole], 9) == ["431"]
    assert pages([whole], 3) == ["431"], "no empty page follows"
    assert pages([whole], 2) == ["43", "1"]
    assert pages([own], 9) == ["1"]
    assert pages([whole, two], 1) == ["5", "4", "3", "1"]
    assert pages([], 9) == [""]
    assert [trash.count(conn, one) for one in ([whole], [whole, two], [])] == [
        *((3, False), (4, False), (0, False)),
    ]
    for limit, told in ((4, (4, False)), (3, (3, True)), (2, (2, True))):
        monkeypatch.setattr(trash, "COUNT_LIMIT", limit)
        assert trash.count(conn, [whole, two]) == told
    assert [trash.holds_any(conn, ids) for ids in ([], [1], [9], [9, 3])] == [
        *(False, True, False, True),
    ]


def test_files_are_due_at_their_moment_the_oldest_first(conn):
    for number, source_id in ((3, 1), (1, 1), (2, 1), (1.5, 2)):
        _throw(conn, number, source_id, "ann")

    def due(now: float, limit: int = 9) -> list[str]:
        return [one.file.id for one in trash.due(conn, 1, now, limit)]

    assert due(0.9) == []
    assert due(1) == ["df-1"]
    assert due(9) == ["df-1", "df-2", "df-3"]
    assert due(9, 2) == ["df-1", "df-2"]
    conn.execute(
        """CREATE TEMP TRIGGER stuck BEFORE DELETE ON main.datasette_files_trash
        WHEN old.id = 'df-2' BEGIN SELECT raise(ABORT, 'stuck'); END"""
    )
    listed = trash.due(conn, 1, 9, 9)
    trash.restore(conn, "df-3")
    assert [file.id for file in trash.purge_all(conn, listed, 10)] == ["df-1"]
    left = conn.execute("SELECT id, purge_at FROM datasette_files_trash ORDER BY id").fetchall()
    assert left == [("df-1.5", 1.5), ("df-2", 3610)]
    assert garbage.deleted_by(conn, "df-1") == ("s1", "ann")
    assert garbage.deleted_by(conn, "df-2") is None
