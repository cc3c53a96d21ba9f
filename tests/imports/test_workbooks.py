"""Workbooks through the pages; and those that are made to break the reader."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.formats import packed
from datasette_files.formats.base import ImportProblem
from datasette_files.views import body
from tests.conftest import MakeDatasette, upload
from tests.support.imports import engine, site

BOOK = (Path(__file__).resolve().parents[2] / "fixtures" / "csv" / "workbook.xlsx").read_bytes()


def changed(member: str, content: bytes) -> bytes:
    """The workbook with another content of one member."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(BOOK)) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            new.writestr(info.filename, content if info.filename == member else old.read(info))
    return made.getvalue()


@pytest.fixture
async def datasette(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    datasette = await make_datasette(permissions=site.PERMISSIONS, import_max_bytes=200_000)
    site.attach(datasette, tmp_path)
    return datasette


async def test_a_sheet_is_chosen_in_the_preview_and_imported(
    datasette: Datasette, tmp_path: Path
) -> None:
    file = await upload(datasette, BOOK, "book.xlsx")
    url = f"/-/files/import/{file['id']}"
    page = (await datasette.client.get(url)).text
    sheets = re.search(r'name="member">(.*?)</select>', page, re.DOTALL)
    assert sheets is not None
    assert re.findall(r'value="(\w+)"( selected)?', sheets[1]) == [
        ("People", " selected"),
        ("Secret", ""),
        ("Numbers", ""),
        ("Empty", ""),
    ]
    assert "2024-01-31 12:30:05" in page
    assert "looks like integer" in (await datasette.client.get(f"{url}?member=Numbers")).text
    assert "has no sheet" in (await datasette.client.get(f"{url}?member=None")).text
    job = await site.imported(datasette, BOOK, filename="book.xlsx", member="Numbers", header="0")
    assert job["status"] == "finished", job["error"]
    assert site.rows(tmp_path / "data.db") == [(1, 2.5, None), (3, 4.0, None)]


_SHEET = b"""<?xml version="1.0"?>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%b
</sheetData></worksheet>"""
_CELL = b'<row r="%d"><c r="%b%d" t="inlineStr"><is><t>%b</t></is></c></row>'
_FAR = _SHEET % (_CELL % (1, b"A", 1, b"a") + _CELL % (1048576, b"XFD", 1048576, b"b"))
_NUL = _SHEET % (_CELL % (1, b"A", 1, b"a") + _CELL % (2, b"A", 2, b"x_x0000_y"))


@pytest.mark.parametrize(
    "content, said",
    [
        (changed("xl/worksheets/sheet1.xml", _FAR), "takes more memory than an import has"),
        (changed("xl/worksheets/sheet1.xml", _NUL), "Row 1, column a: holds a NUL"),
        (changed("xl/worksheets/sheet1.xml", b"<!--" + b"x" * 200_000), "unpacks to more than"),
        (changed("xl/worksheets/sheet1.xml", b"<worksheet"), "The workbook cannot be read"),
        (changed("xl/workbook.xml", b"no xml"), "The workbook"),
        (BOOK[:3000], "The archive cannot be read"),
        (b"PK\x03\x04" + b"\x00" * 100, "The archive cannot be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 1000, "The workbook cannot be read"),
        (b"a,b\n1,2\n", "The workbook cannot be read"),
    ],
    ids=["far", "nul", "bomb", "cut", "no-xml", "half", "junk", "old-junk", "csv"],
)
async def test_a_workbook_made_to_break_the_reader_is_told_of(
    datasette: Datasette, tmp_path: Path, content: bytes, said: str
) -> None:
    job = await site.imported(datasette, content, filename="book.xlsx")
    assert job["status"] == "error"
    assert said in job["error"]
    assert site.tables(tmp_path / "data.db") == set()


def test_what_a_lying_archive_unpacks_to_is_counted() -> None:
    """The list of contents says a byte for each member, and the members are a megabyte together."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(str(number), b"x" * 250_000)
    packed.check(io.BytesIO(made.getvalue()), 1_000_000)
    with pytest.raises(ImportProblem, match="unpacks to more than 999,999 bytes"):
        packed.check(io.BytesIO(made.getvalue()), 999_999)
    size, lie = (250_000).to_bytes(4, "little"), (1).to_bytes(4, "little")
    lying = made.getvalue().replace(size, lie)
    assert lying != made.getvalue()
    with pytest.raises(ImportProblem, match=r"damaged|unpacks to more"):
        packed.check(io.BytesIO(lying), 999_999)


async def test_without_the_extra_a_workbook_says_what_it_takes(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    formats = Files.of(datasette).imports.formats
    file = await upload(datasette, BOOK, "book.xlsx")
    others = [one for one in formats.registered if one.name != "excel"]
    monkeypatch.setattr(formats, "registered", others)
    # Who waits for the client to go away has read the request's end: nobody waits for it again.
    monkeypatch.setattr(body, "DRAIN_SECONDS", 3600.0)
    refused = await datasette.client.get(f"/-/files/import/{file['id']}")
    assert refused.status_code == 415
    assert "datasette-files[excel]" in refused.text


_ODS = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2">
<office:body><office:spreadsheet>{}</office:spreadsheet></office:body></office:document-content>"""
_CELL_OF_ODS = (
    '<table:table-cell office:value-type="{0}" office:{0}-value="{1}">'
    "<text:p>{1}</text:p></table:table-cell>"
)


def ods(*sheets: list[tuple[str, str]]) -> bytes:
    """A spreadsheet of OpenDocument: sheets of one column, whose cells are a type and a value."""
    return wide_ods(*([[cell] for cell in cells] for cells in sheets))


def wide_ods(*sheets: list[list[tuple[str, str]]]) -> bytes:
    """As ``ods``, with several cells in a row; a cell without a type is empty."""
    tables = "".join(
        f'<table:table table:name="S{number}">'
        + "".join(f"<table:table-row>{''.join(map(_cell, row))}</table:table-row>" for row in rows)
        + "</table:table>"
        for number, rows in enumerate(sheets)
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", '<?xml version="1.0"?><manifest/>')
        archive.writestr("content.xml", _ODS.format(tables))
    return made.getvalue()


def _cell(cell: tuple[str, str]) -> str:
    kind, value = cell
    made = _CELL_OF_ODS.format(kind, value) if kind else "<table:table-cell/>"
    return made.replace("office:float-value", "office:value")


def test_durations_and_midnights_of_open_document_are_written_as_others_are(tmp_path: Path) -> None:
    cells = {
        "PT26H00M00S": "26:00:00",
        "PT13H05M00S": "13:05:00",
        "PT00H00M00S": "00:00:00",
        "-PT01H30M00S": "-1:30:00",
        "P1DT2H": "26:00:00",
        "PT100H00M00.5S": "100:00:00.500000",
    }
    dates = {
        "2024-01-31": "2024-01-31",
        "2024-01-31T00:00:00": "2024-01-31 00:00:00",
        "1850-01-31": "1850-01-31",
    }
    sheet = [("string", "v"), *(("time", one) for one in cells), *(("date", one) for one in dates)]
    path = tmp_path / "x.ods"
    path.write_bytes(ods([], sheet))
    rows = engine.preview(path, tmp_path)["rows"]
    assert [row[0] for row in rows] == [*cells.values(), *dates.values()]


def test_an_indented_spreadsheet_of_open_document_is_read(tmp_path: Path) -> None:
    """White space between cells means nothing; within a paragraph it is text."""
    rows = [[("string", "name"), ("string", "n")], [("string", "Ann"), ("float", "1")]]
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(wide_ods(rows))) as plain,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as indented,
    ):
        for name in plain.namelist():
            content = plain.read(name)
            if name == "content.xml":
                content = re.sub(rb"(</?table:|<text:p)", rb"\n  \1", content)
                content = content.replace(b' office:string-value="Ann"', b"")
                content = content.replace(b">Ann<", b"><text:span>Ann</text:span> \n Lee<")
            indented.writestr(name, content)
    path = tmp_path / "x.ods"
    path.write_bytes(made.getvalue())
    found = engine.preview(path, tmp_path)
    assert found["columns"] == ["name", "n"]
    assert [[" ".join(cell.split()) for cell in row] for row in found["rows"]] == [["Ann Lee", "1"]]
    path.write_bytes(made.getvalue().replace(b"content.xml", b"another.xml"))
    with pytest.raises(ImportProblem, match="The workbook cannot be read"):
        engine.preview(path, tmp_path)


def test_titles_above_the_header_of_a_sheet_are_passed_over(tmp_path: Path) -> None:
    empty, texts = ("", ""), ["Sales of 2024", "Made", "2024-01-31", "name", "n", "ratio"]
    sales, moment, day, *header = [("string", text) for text in texts]
    rows = [
        [("string", name), ("float", n), ("float", ratio)]
        for name, n, ratio in (("Ann", "1", "0.5"), ("Bob", "2", "1"))
    ]
    titles = [[sales, empty, empty], [moment, day, empty], [empty, empty, empty]]
    path = tmp_path / "x.ods"
    path.write_bytes(wide_ods([*titles, header, *rows]))
    made = engine.preview(path, tmp_path)
    assert (made["columns"], made["found"]["skip"]) == (["name", "n", "ratio"], 2)
    assert made["rows"] == [["Ann", "1", "0.5"], ["Bob", "2", "1"]]
    chosen = engine.preview(path, tmp_path, options={"skip": 0})
    assert chosen["columns"] == ["Sales of 2024", "column_2", "column_3"]
    with pytest.raises(ImportProblem, match="no row after 9 rows above the header"):
        engine.preview(path, tmp_path, options={"skip": 9})


def test_an_empty_first_sheet_is_passed_over(tmp_path: Path) -> None:
    for name in ("x.ods", "x.csv"):
        path = tmp_path / name
        path.write_bytes(ods([], [], [("string", "v"), ("string", "x")]))
        made = engine.preview(path, tmp_path)
        assert (made["found"]["member"], made["members"]) == ("S2", ["S0", "S1", "S2"])
        assert made["rows"] == [["x"]]
    path.write_bytes(ods([], []))
    made = engine.preview(path, tmp_path)
    assert "The sheet 'S0' is empty" in made["problem"]
    assert made["members"] == ["S0", "S1"]
    path.write_bytes(ods([]))
    with pytest.raises(ImportProblem, match="The sheet 'S0' is empty"):
        engine.preview(path, tmp_path)
