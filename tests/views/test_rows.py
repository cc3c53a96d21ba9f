"""Datasette's pages of rows in formats of ours: all rows and their files as a zip."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.columns import rows as row_reading
from tests.conftest import OPEN, MakeDatasette, upload
from tests.support.columns import ABSENT, column_types, datasette_with_people, make_people

ALICE, BOB = {"id": "alice"}, {"id": "bob"}


async def zipped(
    datasette: Datasette, path: str, actor: Any = None, status: int = 200
) -> dict[str, bytes]:
    """The members of the zip to which a program is led."""
    led = await datasette.client.get(path, actor=actor)
    assert led.status_code == 302, led.text
    assert led.headers["location"].endswith(".zip")
    answer = await datasette.client.get(led.headers["location"], actor=actor)
    assert answer.status_code == status, answer.text
    if status != 200:
        return {}
    assert len(answer.content) == int(answer.headers["content-length"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def table(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode())))


async def test_a_table_is_all_its_rows_and_the_files_they_hold(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    make_people(tmp_path / "data.db", rows=30)
    datasette = await datasette_with_people(
        make_datasette, tmp_path, settings={"max_returned_rows": 20, "default_page_size": 5}
    )
    people = sqlite_utils.Database(tmp_path / "data.db")["people"]
    one, two, odd = [
        (await upload(datasette, name.encode(), name, source=source))["id"]
        for name, source in (("a.txt", "docs"), ("A.txt", "photos"), ("rows.csv", "docs"))
    ]
    people.update(3, {"photo": one, "name": 'Ada "3", née'})
    people.update(25, {"papers": json.dumps([two, one, odd, ABSENT])})
    found = await zipped(datasette, "/data/people.zip?_size=2&_facet=name&_labels=on&_next=9")
    assert list(found) == ["rows.csv", "a.txt", "A (2).txt", "rows (2).csv", "left-out.txt"]
    assert [found[name] for name in list(found)[1:4]] == [b"a.txt", b"A.txt", b"rows.csv"]
    header, *rows = table(found["rows.csv"])
    assert header == ["id", "name", "photo", "papers"]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 31)]
    assert rows[2] == ["3", 'Ada "3", née', one, ""]
    assert found["left-out.txt"].decode().splitlines() == [
        f"{ABSENT}: it was deleted, or its bytes are missing"
    ]
    # With the page's filters and columns; a row by itself; without any file.
    found = await zipped(datasette, "/data/people.zip?id__lt=5&_col=photo&_sort_desc=id")
    assert list(found) == ["rows.csv", "a.txt"]
    assert [row[0] for row in table(found["rows.csv"])] == ["id", "4", "3", "2", "1"]
    found = await zipped(datasette, "/data/people/3.zip")
    assert (list(found), len(table(found["rows.csv"]))) == (["rows.csv", "a.txt"], 2)
    assert list(await zipped(datasette, "/data/people.zip?id=7")) == ["rows.csv"]
    page = (await datasette.client.get("/data/people?id__lt=5")).text
    assert '"/data/people.zip?id__lt=5"' in page


@pytest.mark.full
async def test_a_query_is_what_datasette_returns(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    make_people(tmp_path / "data.db", rows=9)
    config = column_types()
    sql = "select id, photo as shown, x'00ff' as b, 1e999 as f from people where id > :least"
    config["databases"]["data"]["queries"] = {"later": {"sql": sql}}
    datasette = await make_datasette(
        databases=[tmp_path / "data.db"], config=config, settings={"max_returned_rows": 5}
    )
    file_id = (await upload(datasette))["id"]
    sqlite_utils.Database(tmp_path / "data.db")["people"].update(4, {"photo": file_id})
    found = await zipped(datasette, "/data/later.zip?least=2")
    assert list(found) == ["rows.csv", "hello.txt", "left-out.txt"]
    assert b"stops a query after 5 rows" in found["left-out.txt"]
    rows = table(found["rows.csv"])
    assert rows[:3] == [
        ["id", "shown", "b", "f"],
        ["3", "", "AP8=", "inf"],
        ["4", file_id, "AP8=", "inf"],
    ]
    found = await zipped(datasette, f"/data/-/query.zip?sql=select+'{file_id}'+as+x")
    assert list(found) == ["rows.csv", "hello.txt"]
    assert (await datasette.client.get("/data.zip?sql=select+1")).status_code == 302
    wrong = await datasette.client.get("/data/-/query.zip?sql=select+nothing")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")


@pytest.mark.full
async def test_the_page_tells_what_was_left_out_and_why(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(tmp_path / "data.db", rows=8)
    permissions = {"files-upload": True, "files-browse": ALICE, "files-view": BOB}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=permissions)
    first, second = [(await upload(datasette, filename=f"{n}.txt"))["id"] for n in "ab"]
    people = sqlite_utils.Database(tmp_path / "data.db")["people"]
    people.update(1, {"photo": first, "papers": json.dumps([ABSENT])})
    people.update(2, {"photo": second})
    browser = {"Accept": "text/html"}
    monkeypatch.setattr(row_reading, "MAX_ROWS", 6)
    led = await datasette.client.get("/data/people.zip", headers=browser, actor=ALICE)
    assert led.status_code == 302
    shown = await datasette.client.get(led.headers["location"], headers=browser, actor=ALICE)
    assert "2 files, " in shown.text
    assert "There are more rows: the first 6 are here." in shown.text
    assert f"<code>{ABSENT}</code>: it was deleted" in shown.text
    assert f'href="{led.headers["location"]}.zip"' in shown.text
    monkeypatch.setattr(row_reading, "MAX_ROWS", 100)
    monkeypatch.setattr(row_reading, "MAX_FILES", 1)
    found = await zipped(datasette, "/data/people.zip", ALICE)
    assert "1.txt" not in found
    assert b"The rows hold more files: the first 1 are here." in found["left-out.txt"]
    monkeypatch.setattr(row_reading, "MAX_FILES", 100)
    monkeypatch.setattr(row_reading, "_MAX_SECONDS", -1.0)
    assert (
        b"The time was over" in (await zipped(datasette, "/data/people.zip", ALICE))["left-out.txt"]
    )
    # Somebody who may not see the files has the rows, and is told of each file.
    monkeypatch.setattr(row_reading, "_MAX_SECONDS", 30.0)
    found = await zipped(datasette, "/data/people.zip")
    assert list(found) == ["rows.csv", "left-out.txt"]
    assert f"{first}: you may not see it" in found["left-out.txt"].decode()


async def test_the_zip_is_for_who_made_it_and_may_see_the_rows(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    allowed = {"id": ["alice", "bob"]}
    permissions = {**OPEN, "view-table": allowed, "execute-sql": allowed}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=permissions)
    file_id = (await upload(datasette))["id"]
    sqlite_utils.Database(tmp_path / "data.db")["people"].update(1, {"photo": file_id})
    assert (await datasette.client.get("/data/people.zip")).status_code == 403
    for path in ("/data/people.zip", "/data/-/query.zip?sql=select+photo+from+people"):
        led = await datasette.client.get(path, actor=ALICE)
        url = led.headers["location"]
        whole = await datasette.client.get(url, actor=ALICE)
        # Any part, from any byte on, within the rows too.
        for start in (0, 20, 45, len(whole.content) - 30):
            part = await datasette.client.get(
                url, actor=ALICE, headers={"Range": f"bytes={start}-{start + 24}"}
            )
            assert part.content == whole.content[start : start + 25]
        for actor in (None, BOB):
            assert (await datasette.client.get(url, actor=actor)).status_code == 403
        datasette.config["permissions"].update({"view-table": BOB, "execute-sql": BOB})
        refused = await datasette.client.get(url, actor=ALICE)
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        page = await datasette.client.get(url.removesuffix(".zip"), actor=ALICE)
        assert page.status_code == 403
        datasette.config["permissions"].update({"view-table": allowed, "execute-sql": allowed})


@pytest.mark.full
async def test_long_rows_are_kept_in_chunks_and_forgotten(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(tmp_path / "data.db", rows=300)
    datasette = await datasette_with_people(make_datasette, tmp_path)
    text = "é" * 1_000
    sqlite_utils.Database(tmp_path / "data.db").execute("update people set name = ?", [text])
    led = await datasette.client.get("/data/people.zip")
    url = led.headers["location"]
    whole = (await datasette.client.get(url)).content
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        rows = table(archive.read("rows.csv"))
    assert (len(rows), rows[300][1]) == (301, text)
    for start in (0, 65_500, 300_000):
        part = await datasette.client.get(
            url, headers={"Range": f"bytes={start}-{start + 150_000}"}
        )
        assert part.content == whole[start : start + 150_001]
    # Each actor's newest are kept, within a bound of bytes.
    monkeypatch.setattr("datasette_files.transfer.zips._KEPT_TEXTS", len(whole))
    monkeypatch.setattr("datasette_files.db.zips._FORGOTTEN_CHUNKS", 2)
    again = await datasette.client.get("/data/people.zip")
    assert (await datasette.client.get(url)).status_code == 404
    assert (await datasette.client.get(again.headers["location"])).content != b""
    count = "SELECT count(DISTINCT zip) FROM datasette_files_zip_texts"
    catalog = Files.of(datasette).catalog
    assert await catalog.read(lambda conn: conn.execute(count).fetchone()[0]) == 1
