"""The gallery of Datasette's rows: their files as a grid, with links to the rows."""

import json
from pathlib import Path

import pytest
import sqlite_utils

from datasette_files.views import rows as row_views
from tests.conftest import OPEN, MakeDatasette, upload
from tests.support.columns import column_types, datasette_with_people, make_people

ALICE = {"id": "alice"}


async def test_the_files_of_a_page_of_rows_with_their_rows(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(tmp_path / "data.db", rows=30)
    config = column_types()
    config["databases"]["data"]["queries"] = {"faces": {"sql": "select photo as p from people"}}
    database = sqlite_utils.Database(tmp_path / "data.db")
    database.execute("create table keyless (photo text)")
    database.execute("insert into keyless values (null)")
    database.conn.commit()
    config["databases"]["data"]["tables"]["keyless"] = {"column_types": {"photo": "file"}}
    datasette = await make_datasette(
        databases=[tmp_path / "data.db"], config=config, settings={"base_url": "/sub/"}
    )
    one, two, last = [
        (await upload(datasette, filename=f"{name}.txt"))["id"] for name in ("a", "b", "c")
    ]
    people = database["people"]
    for number in range(1, 6):
        people.update(number, {"photo": one, "name": f"<b>Ada</b> {number}"})
    people.update(2, {"papers": json.dumps([two, one])})
    people.update(29, {"photo": last})
    database.execute("update keyless set photo = ?", [last])
    database.conn.commit()
    page = await datasette.client.get("/data/people.gallery?_size=10&id__lt=30")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    text = page.text
    # A file is there once, with the first rows that hold it.
    assert text.count(f'href="/sub/-/files/{one}"') == 1
    assert text.index(one) < text.index(two)
    assert last not in text
    assert '<a href="/sub/data/people/1"><bdi>&lt;b&gt;Ada&lt;/b&gt; 1</bdi></a>' in text
    assert "/sub/data/people/3" in text
    assert "and 2 more rows" in text
    assert "2 files on this page" in text
    assert 'href="/sub/data/people?_size=10&amp;id__lt=30"' in text
    assert 'href="/sub/data/people.zip?_size=10&amp;id__lt=30"' in text
    assert 'href="/sub/data/people.gallery?_size=10&amp;id__lt=30&amp;_next=10"' in text
    text = (await datasette.client.get("/data/people.gallery?id__gt=10&_size=5")).text
    assert "the next page goes on" in text
    assert last in (await datasette.client.get("/data/people.gallery?id=29")).text
    assert '"/sub/data/keyless/1"' in (await datasette.client.get("/data/keyless.gallery")).text
    text = (await datasette.client.get("/data/people/2.gallery")).text
    assert "2 files" in text
    for path in ("/data/faces.gallery", "/data/-/query.gallery?sql=select+photo+from+people"):
        text = (await datasette.client.get(path)).text
        assert f'href="/sub/-/files/{one}"' in text
        assert "/sub/data/people/1" not in text
    # Datasette offers it where there are file columns.
    assert (
        '"/sub/data/people.gallery?id=1"' in (await datasette.client.get("/data/people?id=1")).text
    )
    database["plain"].insert({"id": 1})
    assert ".gallery" not in (await datasette.client.get("/data/plain")).text
    monkeypatch.setattr(row_views, "_MAX_TILES", 1)
    text = (await datasette.client.get("/data/people.gallery")).text
    assert "choose fewer rows to see 2 more" in text


async def test_only_files_that_the_actor_may_see(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    permissions = {**OPEN, "files-browse": ALICE}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=permissions)
    file_id = (await upload(datasette, filename="secret.txt"))["id"]
    sqlite_utils.Database(tmp_path / "data.db")["people"].update(1, {"photo": file_id})
    text = (await datasette.client.get("/data/people.gallery")).text
    assert "These rows hold no file that you may see." in text
    assert file_id not in text
    text = (await datasette.client.get("/data/people.gallery", actor=ALICE)).text
    assert "secret.txt" in text
    wrong = await datasette.client.get("/data/-/query.gallery?sql=select+absent")
    assert wrong.status_code == 400
    assert "no such column" in wrong.text
