"""File columns: what they take under which options, and their cells without scripts."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from datasette.app import Datasette
from datasette.utils import StartupError

from datasette_files.columns.types import FilesColumnType
from datasette_files.columns.values import MAX_IDS
from tests.conftest import OPEN, MakeDatasette, upload
from tests.support.columns import ABSENT, datasette_with_people, write
from tests.support.fixtures import fixture

MODULE = "/-/static-plugins/datasette_files/file-cells.js"
PNG = fixture("photos/alpha.png").path.read_bytes()


@pytest.fixture
async def datasette(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    return await datasette_with_people(make_datasette, tmp_path)


async def html(datasette: Datasette, path: str, actor: dict[str, Any] | None = None) -> str:
    answer = await datasette.client.get(path, actor=actor)
    assert answer.status_code == 200, answer.text
    return answer.text


# What may be written


async def test_a_column_takes_the_ids_of_files_and_null(datasette: Datasette) -> None:
    one, two = [(await upload(datasette))["id"] for _ in range(2)]
    assert await write(datasette, photo=one, papers=json.dumps([one, two])) == ""
    assert await write(datasette, papers=[two, one]) == ""
    row = (await datasette.client.get("/data/people/1.json?_shape=array")).json()[0]
    assert (row["photo"], json.loads(row["papers"])) == (one, [two, one])
    for empty in (None, "", "[]", []):
        assert await write(datasette, papers=empty) == ""
    assert await write(datasette, photo=None) == ""


async def test_other_values_are_refused_with_what_to_write_instead(datasette: Datasette) -> None:
    file_id = (await upload(datasette))["id"]
    for value in (7, 1.5, True, "x", file_id.upper(), f" {file_id}", [file_id], {"id": file_id}):
        assert "upload the file first" in await write(datasette, photo=value)
    escaped = json.dumps([file_id]).replace("d", "\\u0064", 1)
    nested = "[" * 5000 + "]" * 5000
    for value in (7, "x", file_id, "{}", "[1]", '["x"]', "[null]", escaped, nested, [[file_id]]):
        assert "JSON array" in await write(datasette, papers=value)
    assert "repeated" in await write(datasette, papers=[file_id, file_id])
    assert f"at most {MAX_IDS}" in await write(datasette, papers=[file_id] * (MAX_IDS + 1))
    assert f"no file {ABSENT}" in await write(datasette, photo=ABSENT)
    assert f"no file {ABSENT}" in await write(datasette, papers=[file_id, ABSENT])


async def test_every_way_to_write_is_checked(datasette: Datasette) -> None:
    for path, body in [
        ("insert", {"rows": [{"id": 2, "photo": None}, {"id": 3, "photo": ABSENT}]}),
        ("insert", {"row": {"id": 2, "papers": "x"}}),
        ("upsert", {"rows": [{"id": 1, "photo": ABSENT}]}),
        ("1/-/update", {"update": {"photo": ABSENT}}),
    ]:
        url = f"/data/people/{path if '/' in path else '-/' + path}"
        assert (await datasette.client.post(url, json=body)).status_code == 400
    rows = (await datasette.client.get("/data/people.json?_shape=array")).json()
    assert rows == [{"id": 1, "name": "Ada 1", "photo": None, "papers": None}]


async def test_options_hold_when_a_file_is_written(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    options = {"source": "photos", "accept": "image/*, .PDF", "max_size": 2000}
    datasette = await datasette_with_people(make_datasette, tmp_path, photo=options, papers=options)

    async def put(name: str, kind: str, content: bytes = b"x", source: str = "photos") -> Any:
        made = await upload(datasette, content, name, source=source, content_type=kind)
        return made["id"]

    good = await put("a.pdf", "application/x-thing")
    assert await write(datasette, photo=good) == ""
    # Bytes decide what an image is, not its name.
    picture = await put("a", "image/png", PNG[:1000])
    assert await write(datasette, photo=picture, papers=[good, picture]) == ""
    for bad, told in [
        (await put("a.png", "image/png", PNG[:1000], source="docs"), "of the source 'photos'"),
        (await put("a.txt", "text/plain"), "takes image/*,.pdf"),
        (await put("b.pdf", "application/pdf", b"%PDF-" + b"x" * 2000), "at most 2,000 bytes"),
    ]:
        for column, value in (("photo", bad), ("papers", [good, bad])):
            error = await write(datasette, **{column: value})
            assert error.startswith(f"{column}: {bad} does not fit. This column takes")
            assert told in error


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_size": "2 MB"}, "max_size: Input should be a valid integer"),
        ({"max_size": 0}, "max_size: Input should be greater than 0"),
        ({"accept": "jpg"}, "accept: 'jpg' is neither an extension"),
        ({"accept": ["image/*"]}, "accept: Input should be a valid string"),
        ({"source": "nowhere"}, "source: 'nowhere' is not among the configured sources"),
        ({"sources": "docs"}, "sources: unknown key"),
        ("docs", "must be a mapping"),
    ],
)
async def test_options_in_the_yaml_that_make_no_sense_stop_the_start(
    make_datasette: MakeDatasette, tmp_path: Path, options: Any, told: str
) -> None:
    place = "databases.data.tables.people.column_types.photo.config"
    with pytest.raises(StartupError) as stopped:
        await datasette_with_people(make_datasette, tmp_path, photo=options)
    assert str(stopped.value).startswith(place)
    assert told in str(stopped.value)


async def test_options_set_at_run_time_that_make_no_sense_refuse_and_are_logged(
    make_datasette: MakeDatasette, datasette: Datasette, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = (await upload(datasette))["id"]
    assert await write(datasette, photo=file_id) == ""
    wrong = {"column": "photo", "column_type": {"type": "file", "config": {"size": 1}}}
    answer = await datasette.client.post("/data/people/-/set-column-type", json=wrong)
    assert answer.status_code == 200  # Datasette asks nobody what a config may hold
    error = await write(datasette, photo=file_id)
    assert "ask an administrator: the column's config.size: unknown key" in error
    assert file_id in await html(datasette, "/data/people")
    caplog.set_level(logging.WARNING)
    await make_datasette(memory=False)  # the yaml of this one does not name the column
    assert "data.tables.people.column_types.photo.config.size: unknown key" in caplog.text


async def test_what_reads_as_json_is_bounded() -> None:
    one = f'"{ABSENT}"'
    assert FilesColumnType.ids(f"[{', '.join([one] * MAX_IDS)}]") == [ABSENT] * MAX_IDS
    assert FilesColumnType.ids(f"[{', '.join([one] * (MAX_IDS + 1))}]") is None
    assert FilesColumnType.ids("[" + " " * 100_000 + "]") is None


# Before an upload


async def test_prepare_refuses_what_its_column_would(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    options = {"source": "photos", "accept": ".jpg,image/png", "max_size": 100}
    datasette = await datasette_with_people(make_datasette, tmp_path, photo=options)
    photo = {"database": "data", "table": "people", "column": "photo"}

    async def prepare(source: str = "photos", **body: Any) -> tuple[int, str | None]:
        url = f"/-/files/upload/{source}/-/prepare"
        body = {"filename": "a.jpg", "column": photo, **body}
        answer = await datasette.client.post(url, json=body)
        return answer.status_code, answer.json().get("code")

    assert await prepare(size=100) == (200, None)
    assert await prepare(filename="a", content_type="image/png") == (200, None)
    assert await prepare(size=101) == (413, "too_large")
    assert await prepare(filename="a.gif") == (415, "bad_type")
    assert await prepare("docs") == (400, "invalid")
    for wrong in (
        "photo",
        {**photo, "column": "name"},
        {**photo, "column": None},
        {**photo, "table": "x"},
        {**photo, "database": "x"},
        {**photo, "more": "x"},
        {"column": "photo"},
    ):
        assert (await prepare(column=wrong))[0] in (400, 403)
    assert await prepare("docs", column={**photo, "column": "papers"}, size=10**6) == (200, None)


async def test_prepare_tells_nothing_of_a_table_that_is_closed(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    closed = {**OPEN, "view-table": {"id": "alice"}}
    datasette = await datasette_with_people(
        make_datasette, tmp_path, photo={"accept": ".jpg"}, permissions=closed
    )
    for table in ("people", "absent"):
        place = {"database": "data", "table": table, "column": "photo"}
        answer = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "a.gif", "column": place}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


# Cells, as they are without scripts


async def test_cells_are_links_by_id(datasette: Datasette) -> None:
    ids = [(await upload(datasette, filename="<b>x.txt"))["id"] for _ in range(6)]
    assert await write(datasette, photo=ids[0], papers=ids) == ""
    table = await html(datasette, "/data/people")
    link = '<datasette-file><a href="/-/files/{0}">{0}</a></datasette-file>'
    assert table.count(link.format(ids[0])) == 2
    assert all(link.format(one) in table for one in ids[:4])
    assert not any(one in table.split("<table")[1].split("</table")[0] for one in ids[4:])
    assert ">+2<" in table
    assert MODULE in table
    row = await html(datasette, "/data/people/1")
    assert all(link.format(one) in row for one in ids)
    query = await html(datasette, "/data/-/query?sql=select+photo,papers,name+from+people")
    assert all(link.format(one) in query for one in ids[:4])
    assert MODULE in query


async def test_other_values_are_shown_as_datasette_shows_them(
    datasette: Datasette, tmp_path: Path
) -> None:
    table = sqlite_utils.Database(tmp_path / "data.db")["people"]
    values = (7, 1.5, "x", "<i>df-</i>", "[", '["<i>"]', "{}", "[]", b"df-", "df-x", None)
    table.insert_all(
        {"id": 10 + at, "photo": value, "papers": value} for at, value in enumerate(values)
    )
    for path in ("/data/people", "/data/-/query?sql=select+*+from+people", "/data/people/12"):
        page = await html(datasette, path)
        assert "<datasette-file" not in page
        assert "<i>" not in page


async def test_only_pages_with_file_columns_load_the_module(
    datasette: Datasette, tmp_path: Path
) -> None:
    file_id = (await upload(datasette))["id"]
    sqlite_utils.Database(tmp_path / "data.db")["plain"].insert({"id": 1, "text": file_id}, pk="id")
    assert MODULE in await html(datasette, "/data/people")  # its dialogs choose files
    for path in ("/", "/data", "/data/plain", "/data/plain/1", "/data/-/query?sql=select+1"):
        page = await html(datasette, path)
        assert MODULE not in page, path
        assert "<datasette-file" not in page, path
    # A column without the type shows the text; a query's columns have no types.
    assert file_id in await html(datasette, "/data/plain")
    assert MODULE in await html(datasette, "/data/-/query?sql=select+text+from+plain")


async def test_views_and_immutable_databases_show_files(
    make_datasette: MakeDatasette, datasette: Datasette, tmp_path: Path
) -> None:
    file_id = (await upload(datasette))["id"]
    assert await write(datasette, photo=file_id) == ""
    database = sqlite_utils.Database(tmp_path / "data.db")
    database.create_view("faces", "select id, photo from people")
    database.close()
    await datasette.set_column_type("data", "faces", "photo", "file")
    assert f'href="/-/files/{file_id}"' in await html(datasette, "/data/faces")
    frozen = await make_datasette(immutables=[tmp_path / "data.db"])
    assert f'href="/-/files/{file_id}"' in await html(frozen, "/data/people/1")


async def test_a_type_is_set_from_the_column_actions_menu(datasette: Datasette) -> None:
    for kind in (None, {"type": "file"}):
        answer = await datasette.client.post(
            "/data/people/-/set-column-type", json={"column": "photo", "column_type": kind}
        )
        assert answer.status_code == 200, answer.text
    options = (await datasette.client.get("/data/people.json?_extra=set_column_type_ui")).json()
    offered = json.dumps(options["set_column_type_ui"]["columns"]["photo"])
    assert '"files"' in offered
    number = {"column": "id", "column_type": {"type": "file"}}
    refused = await datasette.client.post("/data/people/-/set-column-type", json=number)
    assert "only applicable to SQLite types TEXT" in refused.json()["error"]


# Export


async def test_exports_hold_the_ids_and_files_adds_their_records(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    permissions = {**OPEN, "files-browse": {"docs": {"allow": True}}, "update-row": True}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=permissions)
    seen = (await upload(datasette, filename="seen.txt"))["id"]
    hidden = (await upload(datasette, filename="hidden.txt", source="photos"))["id"]
    assert await write(datasette, photo=hidden, papers=[seen, hidden]) == ""
    papers = json.dumps([seen, hidden])
    row = {"id": 1, "name": "Ada 1", "photo": hidden, "papers": papers}
    assert (await datasette.client.get("/data/people.json?_shape=array")).json() == [row]
    csv = (await datasette.client.get("/data/people.csv")).text
    assert hidden in csv
    assert papers.replace('"', '""') in csv

    sql = "/data/-/query.files?sql=select+*+from+people"
    for path in ("/data/people.files?_size=10", "/data/people/1.files", sql):
        answer = await datasette.client.get(path)
        assert answer.headers["content-type"].startswith("application/json")
        body = answer.json()
        assert (body["ok"], body["rows"], body["files_truncated"]) == (True, [row], False)
        assert list(body["files"]) == [seen]
        assert body["files"][seen]["filename"] == "seen.txt"
        assert "hidden.txt" not in answer.text
    assert (await datasette.client.get("/data/people.files?_extra=count")).json()["count"] == 1
    assert "people.files" in await html(datasette, "/data/people")
    wrong = await datasette.client.get("/data/-/query.files?sql=select+x")
    assert wrong.status_code == 400


async def test_labels_and_infinity_are_as_in_json(datasette: Datasette, tmp_path: Path) -> None:
    file_id = (await upload(datasette))["id"]
    visits = sqlite_utils.Database(tmp_path / "data.db")["visits"]
    visit = {"id": 1, "person": 1, "height": float("inf"), "ticket": file_id}
    visits.insert(visit, pk="id", foreign_keys=[("person", "people", "id")])
    await datasette.set_column_type("data", "visits", "ticket", "file")
    answers = [
        (await datasette.client.get(f"/data/visits.{format_}?_labels=on")).json()
        for format_ in ("json", "files")
    ]
    assert answers[0]["rows"] == answers[1]["rows"]
    assert answers[1]["rows"][0]["person"] == {"value": 1, "label": "Ada 1"}
    assert answers[1]["rows"][0]["height"] is None
    assert list(answers[1]["files"]) == [file_id]


async def test_files_of_rows_need_the_right_to_see_the_rows(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    closed = {**OPEN, "view-table": {"id": "alice"}, "execute-sql": {"id": "alice"}}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=closed)
    for path in ("people.files", "people/1.files", "-/query.files?sql=select+1"):
        assert (await datasette.client.get(f"/data/{path}")).status_code == 403
