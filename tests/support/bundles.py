"""A site at the command line, with a table of files to be bundled."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from datasette.cli import cli

from tests.conftest import disk_source, missing
from tests.support.faults.scene import held, rows

CONTENTS = {
    "a b.txt": b"first\n" * 1000,
    "A B.txt": b"another of nearly the same name",
    "con..txt": b"",
    "photo.PNG": b"\x89PNG\r\n\x1a\n" + bytes(300_000),
}


@dataclass
class Site:
    """A site with the sources ``docs`` and ``more``, and the database ``shop``, in a folder."""

    folder: Path
    config: Path

    def __call__(self, *arguments: str, database: bool = True) -> Result:
        site = ["-c", str(self.config), "--internal", str(self.internal)]
        if database and arguments[0] in ("bundle", "unbundle"):
            site += ["--database", str(self.shop)]
        ran = CliRunner().invoke(cli, ["files", *arguments, *site])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    @property
    def internal(self) -> Path:
        return self.folder / "internal.db"

    @property
    def shop(self) -> Path:
        return self.folder / "shop.db"

    def put(self, name: str, content: bytes, source: str = "docs") -> dict[str, Any]:
        path = self.folder / "to-upload" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        ran = self("put", source, str(path), "--json", "--uploaded-by", "alice")
        assert ran.exit_code == 0, ran.output
        record: dict[str, Any] = json.loads(ran.stdout)["files"][0]
        return record

    def sql(self, *statements: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with closing(sqlite3.connect(self.shop)) as conn, conn:
            for statement in statements:
                found = conn.execute(statement, values).fetchall()
        return found

    def catalog(self) -> list[Any]:
        """Every file, without what a site chooses itself: its number, source and path."""
        return rows(
            self.internal,
            """SELECT id, filename, content_type, content_hash, size, width, height, uploaded_by,
            created_at, metadata, search_text FROM datasette_files ORDER BY id""",
        )

    def written(self) -> tuple[Any, ...]:
        """Everything that a command may have written: files, the catalog, uploads, rows."""
        tables = self.sql("SELECT name, sql FROM sqlite_master") if self.shop.exists() else None
        held_rows = tables and {name: self.sql(f'SELECT * FROM "{name}"') for name, _ in tables}
        catalog = self.catalog() if self.internal.exists() else None
        return tables, held_rows, catalog, held(self.folder / "docs"), held(self.folder / "more")


def judge(bag: Path) -> None:
    """Have the reference implementations of BagIt and of Data Packages judge a bundle's folder."""
    for module, arguments in (
        ("bagit", ["--validate", str(bag)]),
        ("frictionless", ["validate", str(bag / "datapackage.json")]),
    ):
        if importlib.util.find_spec(module) is None:
            missing(module)
        command = [sys.executable, "-m", module, *arguments]
        judged = subprocess.run(command, cwd=bag, capture_output=True, text=True, check=False)
        assert judged.returncode == 0, judged.stdout + judged.stderr


def site_in(parent: Path) -> Callable[..., Site]:
    """``make(name, place=…)`` or ``make(name, max_file_size=…)``, as the source ``docs`` has it."""

    def make(name: str, **docs: Any) -> Site:
        folder = parent / name
        folder.mkdir()
        sources = {
            "docs": docs.pop("place", None) or disk_source(folder / "docs", **docs),
            "more": disk_source(folder / "more"),
        }
        config = folder / "datasette.json"
        columns = {"photo": "file", "papers": {"type": "files", "config": {"source": "docs"}}}
        tables = {"products": {"column_types": columns}}
        config.write_text(
            json.dumps(
                {
                    "plugins": {"datasette-files": {"sources": sources}},
                    **({"databases": {"shop": {"tables": tables}}} if name == "old" else {}),
                }
            )
        )
        return Site(folder, config)

    return make


def fill(site: Site) -> None:
    ids = [site.put(name, content)["id"] for name, content in CONTENTS.items()]
    site.put("not-in-a-row.txt", b"left alone")
    site.sql(
        """CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price REAL, photo TEXT,
        papers TEXT, raw BLOB, anything, note TEXT)"""
    )
    insert = "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    for values in (
        (1, "", 1.5, ids[0], json.dumps(ids[1:]), b"\x00\xff\n", 1, ""),
        (2, None, float("inf"), None, "[]", None, "1", None),
        (
            3,
            'a "quoted",\r\nline',
            -1e-300,
            "df-01j5a3b4c5d6e7f8g9h0jkmnpq",
            None,
            b"",
            b"1",
            "\\N",
        ),
        (4, "\\N", None, ids[3], None, None, 1.0, '"a",\r\n'),
        (-(2**63), "a\x00b", 0.1, "", "no array", None, None, " é\r "),
    ):
        site.sql(insert, values=values)


def bundled(site: Site, out: Path, *arguments: str) -> dict[str, Any]:
    ran = site("bundle", str(out), *(arguments or ("--table", "shop/products")), "--json")
    assert ran.exit_code == 0, ran.output
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def unbundled(site: Site, bag: Path, *arguments: str) -> dict[str, Any]:
    ran = site("unbundle", str(bag), *arguments, "--json")
    assert ran.exit_code == 0, ran.output
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def refused(site: Site, bag: Path, code: str, *arguments: str) -> str:
    """Unbundle what must not be, and see that nothing was written."""
    before = site.written()
    ran = site("unbundle", str(bag), *arguments, "--json")
    answer = json.loads(ran.stdout)
    assert (ran.exit_code, answer["code"]) == (1, code), answer
    after = site.written()
    assert after[:2] == before[:2]
    assert after[3:] == before[3:]
    assert (after[2] or []) == (before[2] or [])
    if site.internal.exists():
        assert rows(site.internal, "SELECT * FROM datasette_files_uploads") == []
    error: str = answer["error"]
    return error
