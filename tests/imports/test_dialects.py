"""Delimited texts as programs and people write them become the tables that they mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.formats.base import ImportProblem
from tests.conftest import upload
from tests.support.imports import engine, site

BOM = "\ufeff"
_AB = [("1", "x"), ("2", "y")]
_ADDRESS = '"Main St 1, Flat 2,\nLondon, UK"'
#: Longer than the head from which the delimiter is guessed.
_LONG = "a, b, c\n" * 12_000


def table(tmp_path: Path, text: str | bytes, **options: Any) -> tuple[list[str], list[Any]]:
    """Columns and rows, whatever the pieces in which the file comes."""
    made = None
    for chunk in (1 << 20, 7):
        path = tmp_path / "x.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for old in ("rows.db", "user.db"):
            (tmp_path / old).unlink(missing_ok=True)
        outcome = engine.read(path, tmp_path, chunk=chunk, options=options)
        conn = engine.write(tmp_path, {**outcome, "types": ["text"] * len(outcome["columns"])})
        rows = conn.execute("SELECT * FROM made ORDER BY rowid").fetchall()
        conn.close()
        assert made in (None, (outcome["columns"], rows))
        made = (outcome["columns"], rows)
    assert made is not None
    return made


@pytest.mark.parametrize(
    "text",
    [
        *("sep=;\r\na;b\r\n1;x\r\n2;y\r\n", "SEP=|\na|b\n1|x\n2|y\n", '"sep=;"\na;b\n1;x\n2;y\n'),
        *("sep=\t\na\tb\n1\tx\n2\ty\n", f"{BOM}sep=;\na;b\n1;x\n2;y\n", "sep=,\na,b\n1,x\n2,y\n"),
        *(f"{BOM}{BOM}a,b\n1,x\n2,y\n", f"{BOM * 3}a,b\n1,x\n2,y\n"),
        *(f"{BOM}a,b\n1,x\n{BOM}2,y\n", f"{BOM}a,b\r\n1,x\r\n{BOM}a,b\r\n2,y\r\n"),
        *("a,b\n1,x\na,b\n2,y\n", f'{BOM}"a","b"\n"1","x"\n{BOM}"a","b"\n"2","y"\n'),
        *("a,b\n1,x\n2,y\n\x1a\x1a\r\n", "a,b\n1,x\n2,y\n\x1a\x00\x00"),
        "a,b\r\n1,x\r\n2,y\r\n\x1a".encode("utf-16"),
        *("a,b\n1,x\n2,y\n\x1a", "a,b\r\n1,x\r\n2,y\r\n\x1a\x1a\x1a", "a,b\n1,x\n2,y\x1a"),
        *('a, b\n1, "x"\n2, "y"\n', '"a",  "b"\n"1",  "x"\n"2",  "y"\n'),
        *("Report of 2024\n\na,b\n1,x\n2,y\n", "Report\nMay\nby Ann\na;b\n1;x\n2;y\n"),
        *("Report,\nMay,\na,b\n1,x\n2,y\n", '"Sales, all"\na,b\n1,x\n2,y\n'),
        f"{BOM}a\tb\r\n1\tx\r\n2\ty\r\n".encode("utf-16-le"),
        (f"{BOM}a\tb\r\n1\tx\r\n" + f"{BOM}a\tb\r\n2\ty\r\n").encode("utf-16-le"),
    ],
    ids=ascii,
)
def test_the_same_table_however_it_is_written(tmp_path: Path, text: str | bytes) -> None:
    assert table(tmp_path, text) == (["a", "b"], _AB)


@pytest.mark.parametrize(
    "text, row",
    [
        (f"name;address\nAnn;{_ADDRESS}\nBob;{_ADDRESS}\n", ("Ann", _ADDRESS[1:-1])),
        (f"name\taddress\nAnn\t{_ADDRESS}\n", ("Ann", _ADDRESS[1:-1])),
        ('name|note\nAnn|"a; b; ""c""; d\n;;;;"\n', ("Ann", 'a; b; "c"; d\n;;;;')),
        ("name;n\nAnn;1,5\nBob;2,5\n", ("Ann", "1,5")),
        ("1,5;2,5\n3,5;4,5\n", ("1,5", "2,5")),
        ('name,said\nAnn,"she said \\"hi\\", twice"\n', ("Ann", 'she said "hi", twice')),
        ('name,path\n"C:\\new\\","x"\n"D:\\","y"\n', ("C:\\new\\", "x")),
        ('name,path\n"a \\"b\\" c","C:\\\\new"\n', ('a "b" c', "C:\\\\new")),
        ('name,n\n"Smith, Ann", "1, 2"\n', ("Smith, Ann", "1, 2")),
        ("name,n\n Ann, 1\n", (" Ann", " 1")),
        ('name,size\nPipe,5" long\n', ("Pipe", '5" long')),
        (f'name;note\nAnn;"{_LONG}"\nBob;x\n', ("Ann", _LONG)),
        ("Sales\n\nregion;2023;2024\nNorth;1;2\nSouth;3;4\n", ("North", "1", "2")),
        ("Sales,,\nid,,name\n1,,Ann\n2,,Bob\n", ("1", "", "Ann")),
        # Titles of several values, narrower than the table.
        ("Made,2024-01-31\n\nid,name,n\n1,Ann,7\n2,Bob,8\n", ("1", "Ann", "7")),
        ("Sales,,\nMade,May,\nid,name,n\n1,Ann,7\n", ("1", "Ann", "7")),
        ("Place;Ulm;Lat;48.4\nh;temp;rain;wind;gust\n0;1;2;3;4\n1;2;3;4;5\n", tuple("01234")),
        # A header without its first name reaches to the last column.
        (",name,n\nr1,Ann,none\nr2,Bob,8\nr3,Cy,9\n", ("r1", "Ann", "none")),
        ("name,city\nZoë,Ulm\n\x1a".encode("cp1252"), ("Zoë", "Ulm")),
    ],
    ids=ascii,
)
def test_values_stay_whole(tmp_path: Path, text: str | bytes, row: tuple[str, ...]) -> None:
    assert table(tmp_path, text)[1][0] == row


@pytest.mark.parametrize(
    "text, columns, rows",
    [
        # A table of one column has no titles.
        ("name\nAnn\nBob\n", ["name"], 2),
        ("a,b\n1,2\n", ["a", "b"], 1),
        # The first row may be short; what follows is no header.
        ("x,\n1,2\n3,4\n", ["x", "column_2"], 2),
        # One column that repeats its name keeps the value.
        ("name\nAnn\nname\n", ["name"], 2),
        # A title that may be left in by choice.
        ("a\x1ab,c\n1,2\n", ["a\x1ab", "c"], 1),
    ],
)
def test_what_only_looks_like_it_is_left_alone(
    tmp_path: Path, text: str, columns: list[str], rows: int
) -> None:
    made = table(tmp_path, text)
    assert (made[0], len(made[1])) == (columns, rows)


def test_the_rows_above_the_header_can_be_chosen(tmp_path: Path) -> None:
    text = "Report\na,b\nc,d\n1,x\n"
    assert table(tmp_path, text) == (["a", "b"], [("c", "d"), ("1", "x")])
    assert table(tmp_path, text, skip=2) == (["c", "d"], [("1", "x")])
    assert table(tmp_path, text, skip=2, header=False)[1] == [("c", "d"), ("1", "x")]
    with pytest.raises(ImportProblem, match="has 2 values, and the header names 1"):
        table(tmp_path, text, skip=0)
    with pytest.raises(ImportProblem, match="no row after 9 rows above the header"):
        table(tmp_path, text, skip=9)


async def test_the_page_tells_the_rows_above_the_header_and_takes_others(
    datasette: Datasette, data: Path
) -> None:
    content = b"Report\na,b\n1,x\n"
    file = await upload(datasette, content, "x.csv")
    url = f"/-/files/import/{file['id']}"
    page = (await datasette.client.get(url)).text
    assert re.search(r'name="first_row" min="1" max="20" value="2"', page)
    assert "names 1 columns" in (await datasette.client.get(f"{url}?skip=0")).text
    refused = await datasette.client.get(f"{url}?skip=x", headers={"Accept": "application/json"})
    assert refused.status_code == 400
    job = await site.imported(datasette, content, skip="1")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [(1, "x")]


async def test_excels_unicode_text_is_a_table(datasette: Datasette, data: Path) -> None:
    content = "name\tcity\r\nZoë\tŁódź\r\nΝίκος\tАфины\r\n".encode("utf-16")
    file = await upload(datasette, content, "Book1.txt", content_type="text/plain")
    page = (await datasette.client.get(f"/-/files/import/{file['id']}")).text
    assert "<td>Łódź</td>" in page
    job = await site.imported(datasette, content, filename="Book1.txt")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [("Zoë", "Łódź"), ("Νίκος", "Афины")]
