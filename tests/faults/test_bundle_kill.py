"""``kill -9`` at random moments of ``datasette files bundle`` and ``unbundle``.

After each kill of a bundle, the bag is whole or not there. After each kill of an unbundle, rows are
there all or not at all, and never before their files. The same command then does the rest.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import disk_source
from tests.support.faults.scene import held, rows

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

FILES = 60
KILLS = 4


class Site:
    """A site on disk in its own folder, whose commands run as processes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.internal = folder / "internal.db"
        self.shop = folder / "shop.db"
        columns = {"file": "file"}
        config = {
            "plugins": {"datasette-files": {"sources": {"docs": disk_source(folder / "docs")}}},
            "databases": {"shop": {"tables": {"products": {"column_types": columns}}}},
        }
        self.config = folder / "datasette.json"
        self.config.write_text(json.dumps(config))

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        site = ["-c", str(self.config), "--internal", str(self.internal)]
        return subprocess.Popen(
            [sys.executable, "-m", "datasette", "files", *arguments, *site],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> None:
        """Run a command to its end."""
        process = self.begin(*arguments)
        output = process.communicate()[0]
        assert process.returncode == 0, output

    def killed(self, folder: Path, number: int, *arguments: str) -> bool:
        """Run a command, and kill it when the folder has so many files. False if it ended first."""
        process = self.begin(*arguments)
        while process.poll() is None and len(held(folder)) < number:
            time.sleep(0.002)
        ended = process.poll() is not None
        process.kill()
        process.communicate()
        return not ended

    def catalog(self) -> list[tuple[str, str, str]]:
        return rows(
            self.internal, "SELECT id, filename, content_hash FROM datasette_files ORDER BY id"
        )

    def products(self) -> list[tuple[int, str]]:
        if not self.shop.exists():
            return []
        with closing(sqlite3.connect(self.shop)) as conn:
            exists = "SELECT count(*) FROM sqlite_master WHERE name = 'products'"
            if not conn.execute(exists).fetchone()[0]:
                return []
            return conn.execute("SELECT id, file FROM products ORDER BY id").fetchall()


@pytest.fixture
def old(tmp_path: Path) -> Site:
    """A site whose table has a file in each row."""
    chance = random.Random(20)
    site = Site(tmp_path / "old")
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    for number in range(FILES):
        (uploads / f"{number}.bin").write_bytes(chance.randbytes(chance.randrange(400_000)))
    site.run("put", "docs", str(uploads), "--recursive")
    with closing(sqlite3.connect(site.shop)) as conn, conn:
        conn.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, file TEXT)")
        ids = ((row[0],) for row in site.catalog())
        conn.executemany("INSERT INTO products (file) VALUES (?)", ids)
    return site


def test_of_two_at_once_each_file_and_row_is_there_once(old: Site, tmp_path: Path) -> None:
    order = ("--table", "shop/products", "--database", str(old.shop))
    both = [old.begin("bundle", str(tmp_path / "bag"), *order) for _ in range(2)]
    ends = [(process.communicate()[0], process.returncode) for process in both]
    assert sorted(status for _, status in ends) == [0, 1], ends
    assert any(b"exists already" in output for output, status in ends if status == 1), ends

    new = Site(tmp_path / "new")
    back = ("unbundle", str(tmp_path / "bag"), "--database", str(new.shop))
    both = [new.begin(*back) for _ in range(2)]
    ends = [(process.communicate()[0], process.returncode) for process in both]
    # Where each has stored a file of the other, both say so, and add no row.
    for output, status in ends:
        assert status == 0 or (status == 3 and b"run this again" in output), ends
    assert new.products() in ([], old.products())
    new.run(*back)
    assert (new.catalog(), new.products()) == (old.catalog(), old.products())


def test_a_killed_bundle_or_unbundle_is_finished_by_the_next(old: Site, tmp_path: Path) -> None:
    chance = random.Random(21)
    bags = tmp_path / "bags"
    bags.mkdir()
    order = ("--table", "shop/products", "--database", str(old.shop))
    old.run("bundle", str(tmp_path / "whole"), *order)
    kills = 0
    for number in [*chance.sample(range(1, FILES), KILLS - 1), FILES + 4]:
        kills += old.killed(bags, number, "bundle", str(bags / "bag"), *order)
        if (bags / "bag").exists():
            assert held(bags / "bag") == held(tmp_path / "whole")
            shutil.rmtree(bags / "bag")
    assert kills >= KILLS // 2
    old.run("bundle", str(bags / "bag"), *order)
    assert [path.name for path in bags.iterdir()] == ["bag"]

    back = ("unbundle", str(bags / "bag"), "--database")
    new = Site(tmp_path / "new")
    kills = 0
    for number in [*sorted(chance.sample(range(1, FILES), KILLS - 1)), FILES]:
        kills += new.killed(new.folder / "docs", number, *back, str(new.shop))
        assert new.products() in ([], old.products())
        if new.products():
            assert new.catalog() == old.catalog()
    assert kills >= KILLS // 2
    new.run(*back, str(new.shop))
    assert (new.catalog(), new.products()) == (old.catalog(), old.products())
    known = {row[0] for row in rows(new.internal, "SELECT path FROM datasette_files")}
    swept = rows(
        new.internal,
        """SELECT path FROM datasette_files_uploads UNION SELECT path FROM datasette_files_garbage
        WHERE done_at IS NULL""",
    )
    # The storage itself removes the bytes of unfinished uploads, which have no path yet.
    left = {path for path in held(new.folder / "docs") if not path.startswith(".datasette-files/")}
    assert left - known <= {row[0] for row in swept}
