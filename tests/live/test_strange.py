"""SQLite files of strangers: all values of honest ones, rows or a reason of hostile ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasette_files.formats.base import ImportProblem
from datasette_files.imports.worker.opening import Opening, listed
from datasette_files.imports.worker.pipe import Frames
from datasette_files.tables.strange import SqliteFile
from tests.support.imports.engine import Pipe, Reports
from tests.support.live import sqlite_file

HONEST = """
CREATE TABLE "a ""b" (id INTEGER PRIMARY KEY, n NUMERIC, t TEXT, b BLOB, any_, r REAL,
    twice AS (n * 2), kept TEXT AS (upper(t)) STORED);
INSERT INTO "a ""b" VALUES (3, 1.5, 'x', x'00ff', 'free', 2), (1, 10, NULL, NULL, 4, NULL);
CREATE TABLE w (k TEXT, j, v, PRIMARY KEY (k, j)) WITHOUT ROWID;
INSERT INTO w VALUES ('b', 1, 'v'), ('a', 2, NULL);
CREATE TABLE mixed (v INTEGER); INSERT INTO mixed VALUES (1), ('one'), (1.5), (x'01');
CREATE TABLE empty (a, b);
CREATE INDEX i ON mixed (v);
CREATE VIEW v AS SELECT * FROM w;
CREATE VIEW recursive AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
    SELECT n FROM r;
CREATE TRIGGER t AFTER INSERT ON w BEGIN DELETE FROM w; END;
CREATE VIRTUAL TABLE words USING fts5(text); INSERT INTO words VALUES ('hello');
CREATE TABLE words_of_mine (a); INSERT INTO words_of_mine VALUES ('kept');
"""


def task(path: Path, folder: Path, **more: Any) -> dict[str, Any]:
    size = path.stat().st_size
    return {
        **{"folder": str(folder), "sqlite": True, "keeps": True, "name": "x", "size": size},
        **{"most": 1 << 30, "max_bytes": 1 << 30, **more},
    }


def opened(path: Path, folder: Path, **more: Any) -> tuple[dict[str, Any], sqlite3.Connection]:
    """Make the database as the process does; the outcome, and a connection to it."""
    folder.mkdir(exist_ok=True)
    frames = Frames(Pipe(path.read_bytes(), 1 << 20))
    outcome = Opening(task(path, folder, **more), frames, Reports()).run()  # type: ignore[arg-type]
    return outcome, sqlite3.connect(folder / "live.db")


def test_values_types_and_keys_are_kept_and_code_is_not(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, HONEST)
    before = path.read_bytes()
    outcome, conn = opened(path, tmp_path / "out")
    assert path.read_bytes() == before
    assert {one["name"]: one["rows"] for one in outcome["tables"]} == {
        **{'a "b': 2, "w": 2, "mixed": 4, "empty": 0, "words_of_mine": 1}
    }
    assert outcome["left_out"] == []
    assert conn.execute('SELECT * FROM "a ""b"').fetchall() == [
        (1, 10, None, None, 4, None, 20, None),
        (3, 1.5, "x", b"\x00\xff", "free", 2.0, 3, "X"),
    ]
    assert conn.execute("SELECT * FROM w").fetchall() == [("a", 2, None), ("b", 1, "v")]
    kinds = conn.execute("SELECT v, typeof(v) FROM mixed").fetchall()
    assert kinds == [(1, "integer"), ("one", "text"), (1.5, "real"), (b"\x01", "blob")]
    made = conn.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    assert {kind for kind, _, _ in made} == {"table", "index"}
    assert [name for kind, name, _ in made if kind == "index"] == ["sqlite_autoindex_w_1"]
    assert not any("upper" in (sql or "") for _, _, sql in made)
    keys = [row[1] for row in conn.execute("PRAGMA table_info(w)") if row[5]]
    assert keys == ["k", "j"]
    files = sorted(one.name for one in (tmp_path / "out").iterdir())
    assert files == ["live.db"]


def test_tables_are_listed_with_their_columns(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, HONEST)
    frames = Frames(Pipe(path.read_bytes(), 1 << 20))
    told = listed(task(path, tmp_path), frames, Reports())["tables"]  # type: ignore[arg-type]
    assert told[1] == {"name": "w", "columns": ["k", "j", "v"]}
    assert told[0]["columns"][-2:] == ["twice", "kept"]


def _schema(sql: str) -> Callable[[Path], bytes]:
    """A file whose schema is changed behind SQLite's back."""

    def made(folder: Path) -> bytes:
        path = sqlite_file(folder, "CREATE TABLE good (a); INSERT INTO good VALUES (1);" + HONEST)
        conn = sqlite3.connect(path)
        conn.execute("PRAGMA writable_schema = ON")
        conn.execute(sql)
        conn.commit()
        conn.close()
        return path.read_bytes()

    return made


def _damaged(start: int, content: bytes) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        path = sqlite_file(
            folder,
            """PRAGMA page_size = 512; CREATE TABLE good (a); CREATE TABLE bad (a);
            INSERT INTO good VALUES (1);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
            INSERT INTO bad SELECT hex(randomblob(30)) FROM n;""",
        )
        raw = bytearray(path.read_bytes())
        raw[start : start + len(content)] = content
        return bytes(raw)

    return made


@pytest.mark.parametrize(
    "make, some",
    [
        (_schema("UPDATE sqlite_master SET sql = 'CREATE TABLE w (' WHERE name = 'w'"), False),
        (_schema("UPDATE sqlite_master SET rootpage = 999 WHERE name = 'w'"), False),
        (_schema("UPDATE sqlite_master SET rootpage = 1 WHERE name = 'w'"), False),
        (
            _schema(
                "UPDATE sqlite_master SET sql = 'CREATE TABLE w (k, j, v AS (load_extension(k)))'"
                " WHERE name = 'w'"
            ),
            False,
        ),
        (
            _schema(
                "UPDATE sqlite_master SET sql = 'CREATE TABLE mixed (v, x AS"
                " (zeroblob(2000000000)))' WHERE name = 'mixed'"
            ),
            True,
        ),
        (_schema("UPDATE sqlite_master SET type = 'table' WHERE name = 'v'"), False),
        (_damaged(0, b"SQLite format 4\x00"), False),
        (_damaged(16, b"\x00\x03"), False),
        (_damaged(512 * 8, b"\xff" * 4096), True),
        (_damaged(100, b"\xff" * 300), False),
    ],
    ids=[
        *("no-sql", "beyond", "first-page", "extension", "huge-value", "view-as-table"),
        *("other-magic", "page-size", "rows", "schema"),
    ],
)
def test_a_damaged_or_hostile_file_gives_rows_or_a_reason(
    tmp_path: Path, make: Callable[[Path], bytes], some: bool
) -> None:
    path = tmp_path / "hostile.db"
    path.write_bytes(make(tmp_path))
    try:
        outcome, conn = opened(path, tmp_path / "out")
    except ImportProblem as problem:
        assert not some, problem
        assert "SQLite cannot read it" in str(problem) or "holds no table" in str(problem)
        return
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    names = {one["name"] for one in outcome["tables"]}
    assert "good" in names
    for one in outcome["tables"]:
        (count,) = conn.execute(
            f'SELECT count(*) FROM "{one["name"].replace(chr(34), chr(34) * 2)}"'
        )
        assert count == (one["rows"],)
    if some:
        assert outcome["left_out"]
        assert "SQLite cannot read it" in outcome["left_out"][0]["reason"]


def test_a_repeated_key_keeps_the_rows(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2), (1, 3)")
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA writable_schema = ON")
    conn.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE t (a, b, PRIMARY KEY (a))'")
    conn.commit()
    conn.close()
    assert SqliteFile(path).table("t").key == ["a"]
    outcome, made = opened(path, tmp_path / "out")
    assert made.execute("SELECT * FROM t").fetchall() == [(1, 2), (1, 3)]
    assert outcome["tables"] == [{"name": "t", "rows": 2}]


def test_tables_beyond_the_limit_and_their_size_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.imports.worker.opening.MAX_TABLES", 2)
    path = sqlite_file(tmp_path, "".join(f"CREATE TABLE t{n} (a);" for n in range(4)))
    outcome, _ = opened(path, tmp_path / "out")
    assert [one["name"] for one in outcome["tables"]] == ["t0", "t1"]
    assert "tables" in outcome["left_out"][0]["reason"]
    with pytest.raises(ImportProblem, match="live_tables_bytes"):
        path = sqlite_file(
            tmp_path, "CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(90000))", "big.db"
        )
        opened(path, tmp_path / "small", most=20_000)


def test_nothing_but_tables_is_read_through_the_connection(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, HONEST)
    file = SqliteFile(path)
    for sql in (
        *("ATTACH 'x' AS y", "PRAGMA writable_schema = ON", "CREATE TABLE z (a)", "DELETE FROM w"),
        *(
            "SELECT load_extension('x')",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT n FROM r",
        ),
    ):
        with pytest.raises(sqlite3.Error):
            file._conn.execute(sql).fetchone()
