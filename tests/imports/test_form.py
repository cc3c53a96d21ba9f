"""The form of an import: refused, it comes back whole; and what a comparison shows."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

from datasette.app import Datasette

from tests.conftest import MakeDatasette, upload
from tests.support.imports import site

PEOPLE = b"id,name,height\n1,Ann,1.7\n2,Bob,1.8\n"
NEWER = b"id,name,height\n2,Bob,1.9\n3,Cy,2.0\n"
BROWSER = {"Accept": "text/html"}


async def sent(datasette: Datasette, file: dict[str, Any], **fields: str) -> Any:
    """The answer to a form that a browser sends."""
    form = {"database_name": "data", "table_name": "other", **fields}
    path = f"/-/files/import/{file['id']}"
    return await datasette.client.post(path, data=form, headers=BROWSER)


def chosen(page: str, name: str) -> str:
    """The chosen value of a select."""
    (select,) = re.findall(f'<select name="{name}".*?</select>', page, re.DOTALL)
    return unescape(re.findall('value="([^"]*)" selected', select)[0])


async def test_a_refused_form_comes_back_with_the_error_at_its_field_and_every_value(
    datasette: Datasette, data: Path
) -> None:
    file = await upload(datasette, PEOPLE, "people.csv")
    kept = {"column_1": "name", "type_1": "text", "index_1": "1", "primary_key": "id"}
    refused = await sent(datasette, file, delimiter="comma", first_row="1", header="1", **kept)
    page = refused.text
    assert refused.status_code == 409
    assert re.search(r'name="table_name" value="other"[^>]*aria-invalid="true"', page)
    assert 'id="files-import-error">There is a table &#39;other&#39; already' in page
    assert (chosen(page, "type_1"), chosen(page, "primary_key")) == ("text", "id")
    assert 'name="index_1" value="1" checked' in page
    # What to do instead; the table has no primary key, which the next answer tells at its field.
    assert 'name="instead" value="append"' in page
    compared = await sent(datasette, file, instead="compare", mode="create")
    assert compared.status_code == 400
    assert chosen(compared.text, "mode") == "compare"
    assert re.search(r'<select name="mode" aria-invalid="true"', compared.text)
    # A fault in how the file is read opens those choices.
    split = await sent(datasette, file, delimiter_own='"')
    assert split.status_code == 400
    assert '<details class="files-reading" open>' in split.text
    assert "delimiter and quote must be different" in split.text
    # Programs still get the error alone.
    path = f"/-/files/import/{file['id']}"
    form = {"database_name": "data", "table_name": "other"}
    asked = await datasette.client.post(path, data=form, headers={"Accept": "application/json"})
    assert (asked.status_code, asked.json()["code"]) == (409, "conflict")
    assert site.tables(data) == set()


async def test_one_line_says_how_a_file_is_read_and_tables_are_offered(
    datasette: Datasette,
) -> None:
    path = f"/-/files/import/{(await upload(datasette, PEOPLE, 'other.csv'))['id']}"
    page = (await datasette.client.get(path)).text
    assert "<summary>CSV, UTF-8, comma, first row names the columns <" in page
    assert '<details class="files-reading">' in page
    assert '<option value="other">data</option>' in page
    assert "There is a table of this name." in page
    page = (await datasette.client.get(f"{path}?first_row=2&header=0&delimiter_own=~")).text
    assert "<summary>CSV, UTF-8, delimiter ~, row 2 holds values <" in page
    assert '<details class="files-reading" open>' in page


async def test_a_comparison_shows_the_rows_to_those_who_may_view_the_table(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    alice = {"id": "alice"}
    everything: dict[str, Any] = dict.fromkeys([*site.PERMISSIONS, "view-table"], alice)
    datasette = await make_datasette(permissions=everything)
    site.attach(datasette, tmp_path)
    made = await site.start(datasette, PEOPLE, actor=alice, primary_key="id")
    await site.ended(datasette, made.headers["location"], actor=alice)
    compared = await site.start(datasette, NEWER, actor=alice, mode="compare")
    url = compared.headers["location"]
    job = await site.ended(datasette, url, actor=alice)
    assert (job["added"], job["changed"], job["removed"]) == (1, 1, 1)
    assert "examples" not in job
    page = (await datasette.client.get(url, actor=alice)).text
    assert "<td>height</td><td><del>1.8</del></td><td><ins>1.9</ins></td>" in page
    assert "<td>3</td><td>Cy</td><td>2.0</td>" in page
    assert "<td>1</td><td>Ann</td><td>1.7</td>" in page
    # She started it, and so sees the job; the rows are the table's.
    datasette.config["permissions"]["view-table"] = False
    page = (await datasette.client.get(url, actor=alice)).text
    assert "1 row added, 1 changed" in page
    assert "Cy" not in page


async def test_a_comparison_shows_the_first_rows_alone_and_any_kind_of_value(
    datasette: Datasette, data: Path
) -> None:
    wide = ",".join(f"c{n}" for n in range(40))
    row = ",".join(["x" * 300] * 40)
    old = "".join(f"{n},{row}\n" for n in range(50))
    await site.imported(datasette, f"id,{wide}\n{old}".encode(), primary_key="id")
    new = "".join(f"{n},,{row[301:]}\n" for n in range(25, 90))
    started = await site.start(datasette, f"id,{wide}\n{new}".encode(), mode="compare")
    url = started.headers["location"]
    job = await site.ended(datasette, url)
    assert (job["added"], job["changed"], job["removed"]) == (40, 25, 25)
    page = (await datasette.client.get(url)).text
    assert page.count("<del>") == 20
    assert "the first 20 of 25" in page
    assert "the first 20 of 40" in page
    assert "x" * 200 + "…" in page
    assert "x" * 201 not in page


async def test_the_import_is_offered_to_those_who_may_import_somewhere(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    alice = {"id": "alice"}
    everything: dict[str, Any] = {**site.PERMISSIONS, "insert-row": alice}
    datasette = await make_datasette(permissions=everything)
    site.attach(datasette, tmp_path)
    file = await upload(datasette, PEOPLE, "people.csv")
    for actor in (alice, {"id": "bob"}):
        page = await datasette.client.get(file["url"], actor=actor)
        assert ("Import as table" in page.text) is (actor is alice)
