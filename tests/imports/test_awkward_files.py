"""Every file of fixtures/csv becomes the table beside it, cell by cell, or fails as it says."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from datasette_files.formats.base import ImportProblem
from tests.support.imports import engine

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "csv"
EXPECTED = sorted(FOLDER.glob("*.expected*.json"))


def sample_of(expected: Path) -> Path:
    return FOLDER / re.sub(r"\.expected(-\d+)?\.json$", "", expected.name)


def all_rows(written: list[Any]) -> list[list[Any]]:
    """The rows of an expectation, in which ``{"times": 3, "row": [...]}`` stands for three."""
    rows = []
    for one in written:
        rows += [one["row"]] * one["times"] if isinstance(one, dict) else [one]
    return rows


def exact(value: Any) -> tuple[type, str]:
    """A cell as it has to be: -0.0 is not 0.0, 1 not 1.0, and a float the same to its last bit."""
    return type(value), repr(value)


def test_every_sample_has_its_table_and_its_line_in_the_readme() -> None:
    samples = {path.name for path in FOLDER.iterdir() if ".expected" not in path.name}
    samples -= {"README.md"}
    assert samples == {sample_of(path).name for path in EXPECTED}
    readme = (FOLDER / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| `([^`]+)`", readme, re.MULTILINE)
    assert sorted(listed) == sorted(samples)


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.name)
def test_a_file_becomes_its_table(expected: Path, tmp_path: Path) -> None:
    wanted = json.loads(expected.read_text("utf-8"))
    task = {
        "options": wanted.get("read", {}),
        "types": wanted.get("types", {}),
        "key": wanted.get("key"),
    }
    if "problem" in wanted:
        with pytest.raises(ImportProblem) as caught:
            engine.read(sample_of(expected), tmp_path, **task)
        assert str(caught.value).startswith(wanted["problem"])
        return
    # Pieces that end anywhere, within characters too.
    outcome = engine.read(sample_of(expected), tmp_path, chunk=1021, **task)
    kinds = [kind or "text" for kind in outcome["types"]]
    assert [list(pair) for pair in zip(outcome["columns"], kinds, strict=True)] == wanted["columns"]
    conn = engine.write(tmp_path, outcome, wanted.get("key"))
    rows = conn.execute("SELECT * FROM made ORDER BY _rowid_").fetchall()
    conn.close()
    assert [[exact(cell) for cell in row] for row in rows] == [
        [exact(cell) for cell in row] for row in all_rows(wanted["rows"])
    ]


@pytest.mark.parametrize("before", [0, 1500])
def test_a_byte_that_is_no_character_is_named_in_a_table_of_even_rows(
    tmp_path: Path, before: int
) -> None:
    """No row is longer than the header, so its length alone sends no batch to the closer look."""
    path = tmp_path / "even.csv"
    path.write_bytes(b"a,b\n" + b"1,x\n" * before + b"1,x\x00y\n")
    with pytest.raises(ImportProblem, match=rf"^Row {before + 1:,}, column b: holds a NUL"):
        engine.read(path, tmp_path)


def test_a_preview_is_bounded(tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text(",".join(f"c{n}" for n in range(2000)) + "\n" + ",".join("x" * 2000) + "\n")
    made = engine.preview(wide, tmp_path)
    assert (len(made["columns"]), len(made["types"])) == (2000, 2000)
    assert [len(row) for row in made["rows"]] == [200]


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_the_beginning_is_whole_in_whatever_pieces_it_comes(tmp_path: Path, chunk: int) -> None:
    members = (b"name;n\n", "José;1\n".encode("cp1252"), b"", b"Ann;2\n")
    path = tmp_path / "members.csv.gz"
    path.write_bytes(b"".join(map(gzip.compress, members)))
    found = engine.read(path, tmp_path, chunk=chunk)
    assert (found["columns"], found["rows"]) == (["name", "n"], 2)
    assert found["found"]["encoding"] == "windows-1252"


_TAR = io.BytesIO()
with tarfile.open(fileobj=_TAR, mode="w") as _archive:
    _archive.addfile(tarfile.TarInfo("a.csv"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bz2.compress(b"a,b\n1,2\n"), "packed by bzip2"),
        (bz2.compress(b""), "packed by bzip2"),
        (lzma.compress(b"a,b\n1,2\n"), "packed by xz"),
        (b"7z\xbc\xaf\x27\x1c" + b"\x01" * 60, "a 7-Zip archive"),
        (b"Rar!\x1a\x07\x01" + b"x" * 60, "a RAR archive"),
        (_TAR.getvalue(), "a tar archive"),
        (gzip.compress(_TAR.getvalue()), "a tar archive"),
        (b"\n%PDF-1.4\n1 0 obj\n", "a PDF"),
        (b"SQLite format 3\x00" + b"x" * 60, "an SQLite database"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"\xef\xbb\xbf <!DOCTYPE html><table><tr><td>1</table>", "a web page"),
        (b'<?xml version="1.0"?><Workbook/>', "XML"),
        (b"\xff\xd8\xff\xe0" + b"x" * 60, "a picture"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_text_is_named_and_not_read(
    tmp_path: Path, content: bytes, said: str
) -> None:
    for name in ("a.csv", "a.tsv"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ImportProblem, match=f"The file is {said}, whatever its name"):
            engine.preview(path, tmp_path)


@pytest.mark.parametrize("begin", ["PAR1", "%PDF", "BZh9", "<html", "7z", "ustar", "<?xmlish"])
def test_a_header_may_look_like_one(tmp_path: Path, begin: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{begin},b\n1,2\n")
    assert engine.preview(path, tmp_path)["columns"] == [begin, "b"]
