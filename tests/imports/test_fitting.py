"""Whether a file's columns fit their table, and which format reads the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasette_files.db.imports import ImportRequest
from datasette_files.errors import BadType, Conflict, Invalid
from datasette_files.formats.base import ImportFormat
from datasette_files.imports import fitting
from datasette_files.imports.formats import Formats
from datasette_files.models import FileRecord
from datasette_files.tables.target import Existing

TABLE = Existing(
    "people",
    {"Id": "integer", "name": "text", "score": "float", "any": "numeric", "raw": "blob"},
    ["Id"],
)
EXISTING = ("append", "merge", "compare")


def request(mode: str, **more: Any) -> ImportRequest:
    return ImportRequest("data", "people", mode, **more)


@pytest.mark.parametrize(
    "asked, table, error, words",
    [
        (request("create"), replace(TABLE, name="People"), Conflict, "start the import again"),
        (request("create"), TABLE, Conflict, "a table 'people' already"),
        *((request(mode), None, Invalid, "no table 'people'") for mode in EXISTING),
        (request("replace"), replace(TABLE, referred_by=("pets",)), Conflict, "rows of pets"),
        (request("merge"), replace(TABLE, keys=[]), Invalid, "no primary key of one column"),
        (request("compare"), replace(TABLE, keys=["Id", "name"]), Invalid, "no primary key of one"),
        (request("merge", key="name"), TABLE, Invalid, "is 'Id', not 'name'"),
        (request("compare"), replace(TABLE, collation="MINE"), Invalid, "the collation MINE"),
    ],
)
def test_a_table_that_does_not_fit_the_mode_is_refused(asked, table, error, words):
    with pytest.raises(error, match=words):
        fitting.check_table(asked, table)


def test_a_table_that_fits_is_taken():
    for asked, table in (
        (request("create"), None),
        (request("replace"), None),
        (request("replace"), TABLE),
        (request("append"), replace(TABLE, keys=[], collation="MINE", referred_by=("pets",))),
        (request("merge", key="ID"), replace(TABLE, collation="RTRIM")),
        (request("compare"), TABLE),
    ):
        fitting.check_table(asked, table)


def test_an_existing_tables_types_and_key_guide_the_reading():
    for mode in EXISTING:
        assert fitting.hints(request(mode), TABLE) == {"name": "text"}
        assert fitting.numbers(request(mode), TABLE) == {
            "id": "integer",
            **{"score": "float", "any": "numeric"},
        }
        assert fitting.key_of(request(mode), TABLE) == (None if mode == "append" else "Id")
    for mode in ("create", "replace"):
        assert (fitting.hints(request(mode), TABLE), fitting.numbers(request(mode), TABLE)) == (
            *({}, {}),
        )
        assert fitting.key_of(request(mode, key="k"), TABLE) == "k"
    assert fitting.hints(request("append"), None) == {}
    assert fitting.numbers(request("append"), None) == {}
    assert fitting.key_of(request("merge"), None) is None


def _fit(asked: ImportRequest, columns: dict[str, str | None], table: Existing | None = TABLE):
    outcome = {"columns": list(columns), "types": [*columns.values()], "rows": 3, "found": {"f": 1}}
    return fitting.fit(asked, outcome, Path("scratch.db"), table)


def test_rows_take_the_names_and_kinds_of_their_table():
    found = _fit(
        request("append"),
        {"ID": "float", "NAME": None, "score": None, "any": "text", "raw": None},
    )
    assert found.columns == ["Id", "name", "score", "any", "raw"]
    assert found.kinds == ["integer", "text", "integer", "text", "text"]
    assert (found.rows, found.found, found.key, found.fits) == (3, {"f": 1}, None, TABLE.columns)
    merged = _fit(request("merge"), {"id": "integer", "score": "float"})
    assert (merged.key, merged.kinds) == ("Id", ["integer", "float"])
    other = _fit(request("append"), {"id": "integer"})
    assert other.staging != found.staging


def test_a_new_table_has_the_columns_kinds_and_key_of_the_file():
    found = _fit(
        request("replace", key="ID", indexes=["id", "id"], search=["e\u0301"]),
        {"id": "integer", "é": None},
    )
    assert (found.columns, found.kinds, found.key) == (["id", "é"], ["integer", "text"], "id")
    assert (found.indexes, found.search, found.fits) == (("id",), ("é",), None)
    assert _fit(request("create", key="no"), {"id": None}, None).key == "no"


@pytest.mark.parametrize(
    "asked, columns, words",
    [
        (request("append"), {"id": None, "other": None}, "has no column 'other'"),
        (request("append"), {"id": "text"}, "'Id' of 'people' holds numbers"),
        (request("append"), {"score": "blob"}, "'score' of 'people' holds numbers"),
        (request("merge"), {"name": "text"}, "no column 'Id', the table's primary key"),
        (request("create", indexes=["x"]), {"id": None}, "no column 'x' to index"),
        (request("create", search=["x"]), {"id": None}, "no column 'x' to index"),
        (request("create", search=["a"]), {"a": None, "RowId": None}, "column named rowid"),
        (request("create", search=["Rank"]), {"Rank": None}, "column named rank"),
    ],
)
def test_columns_that_do_not_fit_are_named(asked, columns, words):
    with pytest.raises(Invalid, match=words):
        _fit(asked, columns)


def test_a_search_needs_no_rowid_and_no_rank_of_its_own():
    assert _fit(request("create", indexes=["rank"]), {"rank": None, "rowid": None}).search == ()
    assert _fit(request("create", search=["a"]), {"a": None, "rank": None}).search == ("a",)


class _Format(ImportFormat):
    def __init__(self, name: str, *endings: str, content_types: tuple[str, ...] = ()) -> None:
        self.name, self.extensions, self.content_types = name, endings, content_types


def _file(filename: str, content_type: str | None = "application/octet-stream") -> FileRecord:
    return FileRecord(
        *("df-1", 1, "p", filename, content_type, None, 1, None, None, None, "", None, None, "s")
    )


def _formats(*formats: _Format) -> Formats:
    made = Formats()
    made.registered = list(formats)
    return made


def test_a_format_is_chosen_by_name_then_by_the_file():
    csv, json = _Format("csv", ".csv"), _Format("json", ".json", content_types=("text/j",))
    both = _formats(json, csv)
    for filename, content_type, chosen in (
        ("a.csv", "text/plain", csv),
        ("a.JSON.gz", "application/gzip", json),
        ("a.json.zst", "text/plain", json),
        ("a.gz", "text/j", csv),
        ("a.zip", "application/zip", csv),
        ("a.bin", "text/j", json),
        ("a.bin", "text/plain", csv),
        ("a.bin", None, csv),
    ):
        assert both.of(_file(filename, content_type), None) is chosen
    assert both.of(_file("a.csv"), "json") is json
    assert both.find("text/plain", "a.bin") is None
    assert both.find("application/zip", "a.bin") is None
    assert both.find("text/plain", "a.gz") is None
    assert both.find("application/zip", "A.ZIP") is csv


def test_a_file_that_no_format_reads_is_refused_with_what_to_do():
    json = _Format("json", ".json")
    with pytest.raises(BadType, match=r"need datasette-files\[excel\]"):
        _formats(_Format("csv", ".csv")).of(_file("A.XLSX"), None)
    assert _formats(json).of(_file("a.xlsx"), "json") is json
    with pytest.raises(BadType, match="No import format reads files of this type"):
        _formats(json).of(_file("a.bin"), None)
    with pytest.raises(Invalid, match="no format 'csv'; there are: json, x"):
        _formats(json, _Format("x")).of(_file("a.bin"), "csv")
