"""The encoding of small tables in many languages is told, and a guess is called one."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasette_files.formats.base import ImportProblem
from datasette_files.formats.characters import ENCODINGS, detect
from tests.formats.tables_by_language import WESTERN, corpus
from tests.support.imports import engine


def read_as(content: bytes) -> str:
    return content.decode(ENCODINGS[detect(content).name], "replace")


def test_of_nine_hundred_tables_few_are_read_wrong() -> None:
    samples = list(corpus())
    assert len(samples) == 900
    wrong = [one for one in samples if read_as(one.content) != one.text]
    assert len(wrong) <= 20, [(one.language, one.text[:60]) for one in wrong]


@pytest.mark.parametrize("text", WESTERN, ids=ascii)
def test_what_excel_writes_in_the_west_is_read_as_that(text: str) -> None:
    assert read_as(text.encode("cp1252")) == text
    assert read_as(text.encode()) == text


@pytest.mark.parametrize("text", WESTERN, ids=ascii)
def test_a_guess_says_so_and_offers_two_others(text: str) -> None:
    content = text.encode("cp1252")
    found = detect(content)
    assert (found.guessed, len(found.others)) == (True, 2)
    texts = {content.decode(ENCODINGS[name], "replace") for name in (found.name, *found.others)}
    assert len(texts) == 3
    assert not detect(text.encode()).guessed


@pytest.mark.parametrize("broken", [b"\xff", b"\xe9", b"\x00", b"\xc3"])
@pytest.mark.parametrize("before", [1, 3000, 20_000])
def test_a_broken_byte_in_utf_8_is_named_and_changes_no_encoding(
    tmp_path: Path, broken: bytes, before: int
) -> None:
    path = tmp_path / "x.csv"
    rows = "Łódź,żółw\n".encode()
    path.write_bytes(b"city,animal\n" + rows * before + b"Ko" + broken + b"ln,x\n" + rows * 3)
    with pytest.raises(ImportProblem) as caught:
        engine.read(path, tmp_path)
    assert str(caught.value).startswith(f"Row {before + 1:,}, column city: holds a NUL, or bytes")
    assert "not utf-8" in str(caught.value)
    made = engine.preview(path, tmp_path)
    assert made["found"]["encoding"] == "utf-8"
    assert "guessed" not in made["found"]


@pytest.mark.parametrize("text", ["a,b\n1,café\n", "a,b\n日,x\n", "a,b\n5 €,x\n"])
def test_one_valid_character_outweighs_one_broken_byte(text: str) -> None:
    assert detect(text.encode() + b"x\xff,y\n").name == "utf-8"
    assert detect(b"x,y\xe9\n" + text.encode()).name == "utf-8"


def test_a_letter_at_the_end_of_a_file_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("city\nNerja\nAlcalá".encode("cp1252"))
    assert engine.preview(path, tmp_path)["rows"] == [["Nerja"], ["Alcalá"]]
    assert detect(path.read_bytes()).name == "utf-8"


def test_a_nul_in_ascii_is_no_other_encoding(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,x\x00y\n")
    with pytest.raises(ImportProblem, match=r"Row 1, column b: holds a NUL, or .* not utf-8"):
        engine.read(path, tmp_path)


def test_a_preview_shows_the_cells_that_another_encoding_changes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("name,city\nMuñoz,Málaga\nSmith,London\n".encode("cp1252"))
    found = engine.preview(path, tmp_path)["found"]
    assert (found["encoding"], found["guessed"]) == ("windows-1252", True)
    assert [other["encoding"] for other in found["others"]] == list(
        detect(path.read_bytes()).others
    )
    for other in found["others"]:
        for column, text, instead in other["cells"]:
            assert text in ("Muñoz", "Málaga")
            assert column == ("name" if text == "Muñoz" else "city")
            assert instead == text.encode("cp1252").decode(ENCODINGS[other["encoding"]], "replace")
        assert other["cells"]
    assert engine.read(path, tmp_path)["found"]["others"] == found["others"]
    chosen = engine.preview(path, tmp_path, options={"encoding": "windows-1252"})["found"]
    assert "guessed" not in chosen


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_told_in_every_script(codec: str) -> None:
    """Where only delimiters, digits and line ends have a zero byte."""
    for sample in list(corpus())[::7]:
        content = sample.text.encode(codec)
        if content.count(b"\x00") > 1:
            assert read_as(content) == sample.text, sample.language


def test_japanese_of_seven_bits_is_told_and_called_a_guess() -> None:
    samples = [one.text for one in corpus() if one.language == "Japanese"][:5]
    assert samples
    for text in samples:
        content = text.encode("iso2022_jp")
        assert read_as(content) == text
        assert detect(content).guessed
    assert detect(b"a,b\n\x1b[1mbold\x1b[0m,\x1b$\n").name == "utf-8"
