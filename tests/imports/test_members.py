"""Which file of an archive is the table; and what a page shows of hostile names."""

from __future__ import annotations

import gzip
import io
import json
import re
import sqlite3
import zipfile
from pathlib import Path

import pytest
from datasette.app import Datasette

from datasette_files.formats.base import ImportProblem
from datasette_files.imports import process
from tests.conftest import upload
from tests.support.imports import engine, site

ROWS = [{"name": "Ann", "n": 1}, {"name": "Bob", "n": 2}]
CSV, JSON = b"name,n\nAnn,1\nBob,2\n", json.dumps(ROWS).encode()
BOOK = (Path(__file__).resolve().parents[2] / "fixtures" / "csv" / "workbook.xlsx").read_bytes()
BESIDE = {
    **{".DS_Store": b"\x00\x00\x00\x01Bud1", "__MACOSX/._data.csv": b"\x00\x05\x16\x07"},
    **{"README.md": b"# Read me\n", "README": b"hello\n", "LICENSE.txt": b"free\n"},
    **{
        "picture.png": b"\x89PNG\r\n\x1a\n",
        "empty.csv": b"",
        "folder/": b"",
        "folder/.hidden.csv": CSV,
    },
}


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def read(
    tmp_path: Path, content: bytes, name: str = "export.zip", **task: object
) -> dict[str, object]:
    path = tmp_path / name
    path.write_bytes(content)
    (tmp_path / "rows.db").unlink(missing_ok=True)
    formats = [process.located(one) for one in engine.FORMATS]
    return engine.read(path, tmp_path, formats=formats, **task)


@pytest.mark.parametrize(
    "name, content",
    [("data.csv", CSV), ("data.json", JSON), ("data.txt", CSV), ("folder/data.CSV", CSV)],
)
def test_the_one_table_of_an_archive_is_read_by_its_own_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    made = read(tmp_path, zipped({**BESIDE, name: content}))
    assert (made["columns"], made["types"], made["rows"]) == (["name", "n"], ["text", "integer"], 2)
    assert made["members"] == [name]
    assert made["found"]["member"] == name  # type: ignore[index]


def test_a_workbook_is_one_in_an_archive_and_under_another_name(tmp_path: Path) -> None:
    for content, name in (
        (zipped({**BESIDE, "book.xlsx": BOOK}), "export.zip"),
        (BOOK, "book.csv"),
    ):
        made = read(tmp_path, content, name)
        assert made["format"] == "excel"
        assert made["rows"] == 3
    old = (Path(__file__).resolve().parents[2] / "fixtures" / "csv" / "workbook.xls").read_bytes()
    assert read(tmp_path, old, "book.csv")["format"] == "excel"


def test_an_archive_without_a_table_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImportProblem, match="holds no table"):
        read(tmp_path, zipped(BESIDE))
    with pytest.raises(ImportProblem, match="archive without files"):
        read(tmp_path, zipped({}))


@pytest.mark.parametrize(
    "name", ["datapackage.json", "Metadata_Country.csv", "x/people.csv-metadata.json"]
)
def test_what_describes_a_table_comes_after_it(tmp_path: Path, name: str) -> None:
    made = read(tmp_path, zipped({name: JSON, "data/people.csv": CSV}))
    assert made["members"] == ["data/people.csv", name]
    assert made["format"] == "csv"
    assert read(tmp_path, zipped({name: JSON}))["members"] == [name]


@pytest.mark.parametrize(
    "name, content, members",
    [
        ("x.zip", zipped({"a.csv": b"\n", "b.csv": CSV}), ["a.csv", "b.csv"]),
        ("x.zip", zipped({"a.csv": b"\x89PNG\r\n\x1a\n", "b.csv": CSV}), ["a.csv", "b.csv"]),
        ("x.json", b'{"a": [{"x": 1, "X": 2}, {}], "b": [{"x": 1}]}', ["a", "b"]),
    ],
)
def test_another_member_is_offered_where_the_first_is_no_table(
    tmp_path: Path, name: str, content: bytes, members: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    formats = [process.located(one) for one in engine.FORMATS]
    made = engine.preview(path, tmp_path, formats=formats)
    assert (made["columns"], made["members"]) == ([], members)
    assert made["problem"]
    assert engine.preview(path, tmp_path, formats=formats, options={"member": members[1]})["rows"]


async def test_of_several_tables_all_are_offered_each_by_its_format(
    datasette: Datasette, data: Path
) -> None:
    content = zipped({**BESIDE, "people.csv": CSV, "more.json": JSON})
    file = await upload(datasette, content, "export.zip")
    url = f"/-/files/import/{file['id']}"
    page = (await datasette.client.get(url)).text
    choice = re.search(r'name="member">(.*?)</select>', page, re.DOTALL)
    assert choice is not None
    assert re.findall(r'value="([^"]+)"( selected)?', choice[1]) == [
        ("people.csv", " selected"),
        ("more.json", ""),
    ]
    assert '<option value="" selected>by the file’s name</option>' in page
    assert "<td>Bob</td>" in (await datasette.client.get(f"{url}?format=&member=more.json")).text
    job = await site.imported(datasette, content, filename="export.zip", member="more.json")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [("Ann", 1), ("Bob", 2)]


@pytest.mark.parametrize(
    "mark", ['"', *(pytest.param(one, marks=pytest.mark.full) for one in ("<", "é", "x"))]
)
async def test_a_page_is_small_whatever_the_names_are(datasette: Datasette, mark: str) -> None:
    header = ",".join(f'"{(mark * 2 if mark == chr(34) else mark) * 1900}{n}"' for n in range(2000))
    cells = ",".join(f'"{mark * 600}"' for _ in range(2000))
    members = {f"{n}{mark * 30_000}.csv": CSV for n in range(20)}
    members |= {f"{n}{mark * 900}.csv": CSV for n in range(600)}
    for content, name in (
        (gzip.compress(f"{header}\n{f'{cells}{chr(10)}' * 20}".encode()), "wide.csv.gz"),
        (zipped(members), "many.zip"),
        (
            gzip.compress(
                json.dumps([{mark * 1900 + str(n): mark * 600 for n in range(2000)}]).encode()
            ),
            "x.json.gz",
        ),
    ):
        file = await upload(datasette, content, name)
        page = await datasette.client.get(f"/-/files/import/{file['id']}")
        assert page.status_code == 200
        assert len(page.content) < 2_000_000


@pytest.mark.parametrize(
    "mark, problem",
    [
        pytest.param('"', None, id="quotes", marks=pytest.mark.full),
        pytest.param("\x01", "names of the columns have 23,", id="other"),
    ],
)
async def test_a_jobs_page_is_small_and_its_answer_fits_into_frames(
    datasette: Datasette, data: Path, mark: str, problem: str | None
) -> None:
    """2,000 names of 2,000 characters, in 16 KB of gzip: each is two or six bytes in a frame."""
    names = [f"{n:04}{mark * 1996}" for n in range(2000)]
    header = ",".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names)
    content = gzip.compress(f"{header}\n{',' * 1999}\n".encode())
    assert len(content) < 32 * 1024
    job = await site.imported(datasette, content, filename="wide.csv.gz")
    assert len(json.dumps(job)) < 500_000
    assert len((await datasette.client.get(job_page(job))).content) < 2_000_000
    if problem is not None:
        assert problem in job["error"]
        return
    assert job["status"] == "finished", job["error"]
    assert len(job["columns"]) == 2000
    with sqlite3.connect(data) as conn:
        made = [row[1] for row in conn.execute("PRAGMA table_info(made)")]
    assert made == names, "the table has the whole names"


async def test_a_guessed_encoding_is_said_in_preview_and_job(
    datasette: Datasette, data: Path
) -> None:
    content = "name\nMuñoz\nSmith\n".encode("cp1252")
    file = await upload(datasette, content, "x.csv")
    url = f"/-/files/import/{file['id']}"
    page = (await datasette.client.get(url)).text
    assert "The encoding is a guess: windows-1252" in page
    others = re.findall(r'href="\?[^"]*encoding=([a-z0-9-]+)">Preview as \1<', page)
    assert len(others) == 2
    other = (await datasette.client.get(f"{url}?encoding={others[0]}")).text
    assert "The encoding is a guess" not in other
    assert "<td>Muñoz</td>" not in other
    job = await site.imported(datasette, content)
    assert (job["encoding"], job["guessed"]) == ("windows-1252", True)
    assert [one["encoding"] for one in job["others"]] == others
    assert "The encoding was a guess" in (await datasette.client.get(job_page(job))).text


def job_page(job: dict[str, object]) -> str:
    return f"/-/files/import/{job['file_id']}/{job['id']}"


@pytest.mark.parametrize("frames", [1, 3])
def test_zstandard_is_unpacked_piece_by_piece(tmp_path: Path, frames: int) -> None:
    import zstandard

    rows = "".join(f"{n},x\n" for n in range(20_000)).encode()
    piece = len(rows) // frames + 1
    parts = [rows[at : at + piece] for at in range(0, len(rows), piece)]
    packed = zstandard.compress(b"id,name\n") + b"".join(map(zstandard.compress, parts))
    assert read(tmp_path, packed, "x.csv.zst")["rows"] == 20_000
    with pytest.raises(ImportProblem, match="cut short"):
        read(tmp_path, packed[:-20], "cut.csv.zst")
    bomb = zstandard.compress(b"id\n" + b"1" * 50_000_000)
    with pytest.raises(ImportProblem, match="more than"):
        read(tmp_path, bomb, "bomb.csv.zst", max_bytes=1_000_000)


def test_packed_files_in_archives_and_json_under_other_names_are_read_as_they_are(
    tmp_path: Path,
) -> None:
    for content, name in (
        (zipped({"data.csv.gz": gzip.compress(CSV)}), "export.zip"),
        (gzip.compress(gzip.compress(CSV)), "data.csv.gz"),
        (gzip.compress(JSON), "data.gz"),
        (gzip.compress(JSON), "data.csv.gz"),
        (JSON, "data.csv"),
        (b"\xef\xbb\xbf\n" + JSON, "data.tsv"),
        (zipped({"rows": b"\n".join(json.dumps(row).encode() for row in ROWS)}), "export.zip"),
        (b"".join(b"\x1e" + json.dumps(row).encode() + b"\n" for row in ROWS), "data.jsonl"),
        (b"".join(b"\x1e" + json.dumps(row).encode() + b"\n" for row in ROWS), "data.json"),
    ):
        made = read(tmp_path, content, name)
        assert (made["columns"], made["types"], made["rows"]) == (
            *(["name", "n"], ["text", "integer"]),
            2,
        ), name


def test_archives_in_archives_and_many_layers_end_with_advice(tmp_path: Path) -> None:
    with pytest.raises(ImportProblem, match="holds an archive; unpack it"):
        read(tmp_path, zipped({"inner.zip": zipped({"data.csv": CSV})}))
    thrice = gzip.compress(gzip.compress(gzip.compress(CSV)))
    with pytest.raises(ImportProblem, match="packed several times; unpack it"):
        read(tmp_path, thrice, "data.csv.gz")


def test_a_chosen_format_stays_though_the_file_looks_like_json(tmp_path: Path) -> None:
    made = read(tmp_path, b'{"a": 1}\nx\n', "data.csv", asked=True)
    assert made["columns"] == ['{"a": 1}']
