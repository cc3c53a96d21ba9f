"""``datasette files bundle`` and ``unbundle``: out of one site, and into an empty or a used one."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from datasette_files.transfer import bag_writing
from tests.support.bundles import CONTENTS, Site, bundled, fill, refused, site_in, unbundled
from tests.support.faults.scene import Bucket, held, rows, source_at
from tests.support.moto_server import new_prefix, shared_store


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., Site]:
    return site_in(tmp_path)


@pytest.fixture
def old(make_site: Callable[..., Site]) -> Site:
    """A site whose table ``products`` holds four files, and values of every type."""
    site = make_site("old")
    fill(site)
    return site


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
