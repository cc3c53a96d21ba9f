"""``datasette files bundle`` and ``unbundle``: out of one site, and into an empty or a used one."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from datasette.cli import cli

from datasette_files.transfer import bag_writing
from tests.conftest import disk_source
from tests.support.faults.scene import Bucket, held, rows, source_at
from tests.support.moto_server import new_prefix, shared_store

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


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., Site]:
    return site_in(tmp_path)


@pytest.fixture
def old(make_site: Callable[..., Site]) -> Site:
    """A site whose table ``products`` holds four files, and values of every type."""
    site = make_site("old")
    fill(site)
    return site


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


TYPED = """SELECT id, name, price, photo, papers, quote(raw), quote(anything), typeof(anything),
    hex(name), note FROM products ORDER BY id"""


@pytest.mark.parametrize("zipped", [False, True])
def test_a_table_and_its_files_come_back_as_they_were(
    old: Site, make_site: Callable[..., Site], tmp_path: Path, zipped: bool
) -> None:
    out = tmp_path / ("bag.zip" if zipped else "bag")
    answer = bundled(old, out, "--table", "shop/products", *(["--zip"] if zipped else []))
    size = sum(map(len, CONTENTS.values()))
    facts = {"bag": str(out), "files": 4, "bytes": size, "rows": 5, "absent": 1}
    assert answer == {"ok": True, **facts}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    new = make_site("new")
    answer = unbundled(new, out)
    assert answer["stored"] == {"files": 4, "bytes": size}
    assert answer["rows"] == {"added": 5, "present": 0}
    assert (answer["renamed"], answer["database"], answer["table"]) == (0, "shop", "products")
    assert new.sql(TYPED) == old.sql(TYPED)
    assert new.catalog() == [row for row in old.catalog() if row[1] != "not-in-a-row.txt"]
    types = "SELECT column_name, column_type, config FROM column_types ORDER BY 1"
    assert rows(new.internal, types) == [
        ("papers", "files", '{"source": "docs"}'),
        ("photo", "file", None),
    ]
    (create,) = new.sql("SELECT sql FROM sqlite_master WHERE name = 'products'")
    assert '"id" INTEGER' in create[0]
    assert 'PRIMARY KEY ("id")' in create[0]

    before = new.written()
    answer = unbundled(new, out)
    assert (answer["stored"]["files"], answer["present"]["files"]) == (0, 4)
    assert answer["rows"] == {"added": 0, "present": 5}
    assert new.written() == before


def test_the_bag_holds_files_under_safe_names_and_rows_as_csv(old: Site, tmp_path: Path) -> None:
    bundled(old, tmp_path / "bag")
    bag = tmp_path / "bag"
    assert held(bag) == {
        *("bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"),
        *("datapackage.json", "rows.schema.json", "data/rows.csv", "data/files.csv"),
        *(f"data/files/{name}" for name in ("a_b.txt", "A_B-2.txt", "_con.txt", "photo.PNG")),
    }
    manifest = dict(
        reversed(line.split("  "))
        for line in (bag / "manifest-sha256.txt").read_text().splitlines()
    )
    for path, sha256 in manifest.items():
        assert hashlib.sha256((bag / path).read_bytes()).hexdigest() == sha256
    payload = [(bag / path).stat().st_size for path in manifest]
    assert f"Payload-Oxum: {sum(payload)}.{len(payload)}\n" in (bag / "bag-info.txt").read_text()
    schema = json.loads((bag / "rows.schema.json").read_text())
    assert schema["missingValues"] == ["\\N1"]
    assert [one["type"] for one in schema["fields"]] == [
        *("integer", "any", "number", "string", "string", "string", "any", "string")
    ]
    with (bag / "data" / "files.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert {one["filename"]: one["path"] for one in listed}["A B.txt"] == "data/files/A_B-2.txt"
    package = json.loads((bag / "datapackage.json").read_text())
    assert [one["path"] for one in package["resources"][:2]] == ["data/rows.csv", "data/files.csv"]
    for one in package["resources"]:
        content = (bag / one["path"]).read_bytes()
        assert one["bytes"] == len(content)
        assert one["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_taken_id_gives_a_new_one_that_the_rows_hold(
    old: Site, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    bundled(old, tmp_path / "bag")
    new = make_site("new", trash_days=7)
    stranger = new.put("stranger.txt", b"a stranger's file")
    taken = old.sql("SELECT photo FROM products WHERE id = 1")[0][0]
    with closing(sqlite3.connect(new.internal)) as conn, conn:
        conn.execute("UPDATE datasette_files SET id = ? WHERE id = ?", (taken, stranger["id"]))
    other = json.loads(old.sql("SELECT papers FROM products WHERE id = 1")[0][0])[0]
    trashed = new.put("trashed.txt", b"in the trash")
    with closing(sqlite3.connect(new.internal)) as conn, conn:
        conn.execute("UPDATE datasette_files SET id = ? WHERE id = ?", (other, trashed["id"]))
    assert new("rm", other).exit_code == 0
    for _ in range(2):
        unbundled(new, tmp_path / "bag")
        ((photo, papers),) = new.sql("SELECT photo, papers FROM products WHERE id = 1")
        renamed = json.loads(papers)[0]
        names = dict(rows(new.internal, "SELECT id, filename FROM datasette_files"))
        assert (names[taken], names[photo]) == ("stranger.txt", "a b.txt")
        assert photo != taken
        assert names[renamed] == "A B.txt"
        assert renamed != other
        assert len(names) == 5
    assert new("get", photo, "-o", str(tmp_path / "got")).exit_code == 0
    assert (tmp_path / "got").read_bytes() == CONTENTS["a b.txt"]


def test_a_source_goes_into_another_one(
    old: Site, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    answer = bundled(old, tmp_path / "bag", "--source", "docs")
    assert (answer["files"], answer["rows"]) == (5, None)
    new = make_site("new")
    answer = unbundled(new, tmp_path / "bag", "--source", "docs=more")
    assert (answer["stored"]["files"], answer["rows"]) == (5, None)
    assert new.catalog() == old.catalog()
    assert (len(held(new.folder / "docs")), len(held(new.folder / "more"))) == (0, 5)
    assert not new.shop.exists()


def test_rows_without_a_key_are_added_once(
    old: Site, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    old.sql("CREATE TABLE log (at TEXT, what)")
    for _ in range(2):
        old.sql("INSERT INTO log VALUES ('now', 'a'), ('now', NULL), (NULL, 1)")
    bundled(old, tmp_path / "bag", "--table", "shop/log")
    new = make_site("new")
    new.sql("CREATE TABLE log (at TEXT, more TEXT, what)", "INSERT INTO log VALUES ('now', 1, 'a')")
    assert unbundled(new, tmp_path / "bag")["rows"] == {"added": 6, "present": 0}
    assert unbundled(new, tmp_path / "bag")["rows"] == {"added": 0, "present": 6}
    assert new.sql("SELECT count(*), count(at) FROM log") == [(7, 5)]


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


def test_a_key_that_is_taken_is_refused_before_anything_is_written(
    old: Site, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    bundled(old, tmp_path / "bag")
    new = make_site("new")
    unbundled(new, tmp_path / "bag")
    new.sql("UPDATE products SET price = 2 WHERE id = 1", "DELETE FROM products WHERE id = 2")
    ids = [row[0] for row in new.catalog()]
    assert new("rm", *ids).exit_code == 0
    message = refused(new, tmp_path / "bag", "conflict")
    assert "another row with the primary key 1" in message
    new.sql("DROP TABLE products", "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT)")
    assert "no column 'price'" in refused(new, tmp_path / "bag", "invalid")


def test_limits_and_sources_hold(old: Site, make_site: Callable[..., Site], tmp_path: Path) -> None:
    bundled(old, tmp_path / "bag")
    refused(make_site("small", max_file_size=1000), tmp_path / "bag", "too_large")
    picky = make_site("picky", allowed_content_types=["text/*"])
    assert "takes text/*" in refused(picky, tmp_path / "bag", "bad_type")
    new = make_site("new")
    message = refused(new, tmp_path / "bag", "not_found", "--source", "docs=none")
    assert "--source docs=NEW" in message
    ran = new("unbundle", str(tmp_path / "bag"), database=False)
    assert (ran.exit_code, "--database FILE" in ran.stderr) == (1, True)


def test_a_bundle_that_exists_or_cannot_be_whole_is_not_made(old: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert "exists already" in old("bundle", str(out), "--source", "docs").stderr
    out.rmdir()
    damaged = next(path for path in held(old.folder / "docs") if path.endswith("a_b.txt"))
    (old.folder / "docs" / damaged).write_bytes(b"FIRST\n" * 1000)
    ran = old("bundle", str(out), "--table", "shop/products", "--json")
    assert (ran.exit_code, json.loads(ran.stdout)["code"]) == (1, "checksum_mismatch")
    (old.folder / "docs" / damaged).unlink()
    ran = old("bundle", str(out), "--source", "docs")
    assert (ran.exit_code, "cannot be bundled" in ran.stderr) == (1, True)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["out"], 2, "Give either --table or --source"),
        (["out", "--table", "shop/products", "--source", "docs"], 2, "Give either"),
        (["out", "--table", "products"], 1, "DATABASE/TABLE"),
        (["out", "--table", "other/products"], 1, "--database other.db"),
        (["out", "--table", "shop/none"], 1, "There is no table 'none'"),
        (["out", "--table", "shop/a_view"], 1, "is a view"),
        (["out", "--source", "none"], 1, "There is no source named 'none'"),
    ],
)
def test_wrong_arguments_are_explained(
    old: Site, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    old.sql("CREATE VIEW a_view AS SELECT 1")
    arguments = [str(tmp_path / "out") if one == "out" else one for one in arguments]
    ran = old("bundle", *arguments)
    assert (ran.exit_code, message in ran.stderr) == (status, True), ran.stderr
    assert not (tmp_path / "out").exists()


# Hostile bags


def retag(bag: Path) -> None:
    """Make manifests and Payload-Oxum that fit the bag, as a forger would."""

    def lines(paths: list[str]) -> str:
        return "".join(
            f"{hashlib.sha256((bag / path).read_bytes()).hexdigest()}  {path}\n" for path in paths
        )

    payload = sorted(path for path in held(bag) if path.startswith("data/"))
    (bag / "manifest-sha256.txt").write_text(lines(payload))
    size = sum((bag / path).stat().st_size for path in payload)
    info = f"Datasette-Files-Bundle: 1\nPayload-Oxum: {size}.{len(payload)}\n"
    (bag / "bag-info.txt").write_text(info)
    tags = sorted(held(bag) - {*payload, "tagmanifest-sha256.txt"})
    (bag / "tagmanifest-sha256.txt").write_text(lines(tags))


def _edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(bag: Path) -> None:
        text = (bag / path).read_bytes().decode()
        assert old in text, text
        (bag / path).write_bytes(text.replace(old, new, 1).encode())

    return edit


def _forged(*edits: Callable[[Path], None]) -> Callable[[Path], None]:
    def forge(bag: Path) -> None:
        for edit in edits:
            edit(bag)
        retag(bag)

    return forge


UNSOUND: dict[str, tuple[Callable[[Path], None], str]] = {
    "one byte of a file": (_edit("data/files/a_b.txt", "first", "First"), "checksum_mismatch"),
    "one byte of the rows": (_edit("data/rows.csv", "quoted", "quotes"), "checksum_mismatch"),
    "one byte of the schema": (_edit("rows.schema.json", "REAL", "TEXT"), "checksum_mismatch"),
    "one byte of bag-info": (_edit("bag-info.txt", "files\n", "Files\n"), "checksum_mismatch"),
    "shorter": (_edit("data/files/a_b.txt", "first\n", ""), "invalid"),
    "a file too few": (lambda bag: (bag / "data/files/photo.PNG").unlink(), "invalid"),
    "a file too many": (lambda bag: (bag / "data/files/x").touch(), "invalid"),
    "an unknown tag file": (lambda bag: (bag / "x.txt").touch(), "invalid"),
    "no manifest": (lambda bag: (bag / "manifest-sha256.txt").unlink(), "invalid"),
    "no tag manifest": (lambda bag: (bag / "tagmanifest-sha256.txt").unlink(), "invalid"),
    "another BagIt": (_forged(_edit("bagit.txt", "1.0", "0.9")), "invalid"),
    "a path that escapes": (
        _edit("manifest-sha256.txt", "data/files/a_b.txt", "data/../../a_b.txt"),
        "invalid",
    ),
    "a link": (lambda bag: os.symlink("/etc/passwd", bag / "data/files/link"), "invalid"),
    "a folder that is a link": (lambda bag: os.symlink("/etc", bag / "data/etc"), "invalid"),
    "a pipe": (lambda bag: os.mkfifo(bag / "data/files/pipe"), "invalid"),
    "no bundle of ours": (
        lambda bag: (retag(bag), (bag / "bag-info.txt").write_text(""), None)[2],
        "invalid",
    ),
    "a listed file twice": (
        _forged(_edit("data/files.csv", "data/files/a_b.txt", "data/files/photo.PNG")),
        "invalid",
    ),
    "a wrong id": (_forged(_edit("data/files.csv", "df-", "dF-")), "invalid"),
    "a size that is none": (_forged(_edit("data/files.csv", ",6000,", ",-6000,")), "invalid"),
    "SQL for a type": (_forged(_edit("rows.schema.json", '"REAL"', '"REAL); DROP"')), "invalid"),
    "an unknown column type": (
        _forged(_edit("rows.schema.json", '"column_type": "file"', '"column_type": "x"')),
        "invalid",
    ),
    "an unusable config": (
        _forged(_edit("rows.schema.json", '"source": "docs"', '"source": "other"')),
        "invalid",
    ),
    "a table of SQLite": (
        _forged(_edit("rows.schema.json", '"table": "products"', '"table": "sqlite_x"')),
        "invalid",
    ),
    "JSON without end": (
        _forged(lambda bag: (bag / "rows.schema.json").write_text("[" * 100_000) and None),
        "invalid",
    ),
    "text for a number": (_forged(_edit("data/rows.csv", "1.5", "one")), "invalid"),
    "a cell too many": (_forged(_edit("data/rows.csv", "1.5", "1.5,2")), "invalid"),
    "an open quote": (_forged(_edit("data/rows.csv", "1.5", '"1.5')), "invalid"),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_an_unsound_bag_is_refused_before_anything_is_written(
    kept_bag: Path, untouched: Site, tmp_path: Path, fault: str
) -> None:
    bag = tmp_path / "forged"
    shutil.copytree(kept_bag, bag)
    harm, code = UNSOUND[fault]
    harm(bag)
    refused(untouched, bag, code)
    assert not untouched.shop.exists()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One site for all that is refused, as nothing is written to it."""
    return site_in(tmp_path_factory.mktemp("untouched"))("new")


@pytest.fixture(scope="module")
def kept_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bag, to be copied by each test that forges it."""
    folder = tmp_path_factory.mktemp("kept")
    site = site_in(folder)("old")
    fill(site)
    bundled(site, folder / "bag")
    return folder / "bag"


def _zip(bag: Path, out: Path, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(out, "w", method)
    for path in sorted(held(bag)):
        archive.write(bag / path, f"bag/{path}")
    return archive


def test_a_zip_by_another_program_is_read(
    kept_bag: Path, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    _zip(kept_bag, tmp_path / "x.zip").close()
    assert unbundled(make_site("new"), tmp_path / "x.zip")["stored"]["files"] == 4


def test_hostile_zip_files_are_refused(
    kept_bag: Path, untouched: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = untouched
    with _zip(kept_bag, tmp_path / "outside.zip") as archive:
        archive.writestr("bag/../../x", b"x")
    refused(new, tmp_path / "outside.zip", "invalid")
    with _zip(kept_bag, tmp_path / "two.zip") as archive:
        archive.writestr("other/x", b"x")
    refused(new, tmp_path / "two.zip", "invalid")
    with _zip(kept_bag, tmp_path / "link.zip") as archive:
        info = zipfile.ZipInfo("bag/data/files/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    refused(new, tmp_path / "link.zip", "invalid")
    with _zip(kept_bag, tmp_path / "bomb.zip") as archive:
        archive.writestr("bag/data/files/x", bytes(50_000_000))
    assert "far larger" in refused(new, tmp_path / "bomb.zip", "invalid")
    cut = (tmp_path / "bomb.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(cut[: len(cut) // 2])
    refused(new, tmp_path / "cut.zip", "invalid")
    monkeypatch.setattr("datasette_files.transfer.bag_reading.MAX_ZIP_FILES", 5)
    _zip(kept_bag, tmp_path / "many.zip").close()
    assert "unzip it first" in refused(new, tmp_path / "many.zip", "invalid")


def test_a_zip_of_too_many_files_is_not_made(
    old: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bag_writing, "MAX_ZIP_FILES", 3)
    ran = old("bundle", str(tmp_path / "x.zip"), "--source", "docs", "--zip")
    assert (ran.exit_code, "leave out --zip" in ran.stderr) == (1, True)
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.full
def test_a_source_on_s3_goes_to_disk_and_back(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    bucket = Bucket(shared_store(), new_prefix(), "proxy")
    try:
        old = make_site("old", place=source_at(bucket))
        fill(old)
        bundled(old, tmp_path / "bag")
        disk = make_site("disk")
        assert unbundled(disk, tmp_path / "bag")["stored"]["files"] == 4
        bundled(disk, tmp_path / "again", "--source", "docs")
        back = Bucket(shared_store(), new_prefix(), "proxy")
        remote = make_site("remote", place=source_at(back))
        assert unbundled(remote, tmp_path / "again")["stored"]["files"] == 4
        assert remote.catalog() == disk.catalog()
        assert len(back.held()) == 4
        back.empty()
    finally:
        bucket.empty()
