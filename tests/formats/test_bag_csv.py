"""The CSV of bundles: every value of SQLite comes back, and no other form is taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.errors import Invalid
from datasette_files.formats import bag_csv, table_schema
from datasette_files.formats.csv_line import line
from datasette_files.formats.table_schema import Field, TableSchema

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
VALUES = {
    "integer": INTEGERS,
    "number": INTEGERS | FLOATS,
    "text": TEXT,
    "binary": st.binary(max_size=20),
    "json": INTEGERS | FLOATS | TEXT | st.binary(max_size=20),
}
CELLS = st.sampled_from(bag_csv.KINDS).flatmap(
    lambda kind: st.tuples(st.just(kind), st.none() | VALUES[kind])
)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=5), st.integers(1, 50))
def test_every_value_comes_back_with_its_type(rows: list[list[Any]], size: int) -> None:
    null = "\\N" + "x" * 30
    content = "".join(
        line(bag_csv.encode(value, kind, null) for kind, value in row) for row in rows
    ).encode()
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    found = [
        [bag_csv.decode(cell, kind, null) for cell, (kind, _) in zip(cells, row, strict=True)]
        for cells, row in zip(bag_csv.read(chunks), rows, strict=True)
    ]
    assert repr(found) == repr([[value for _, value in row] for row in rows])


@pytest.mark.parametrize(
    "content", [b"a", b'"a', b'"a"b\r\n', b'a"b\r\n', b"a,\r", b"\xff\r\n", b"a,b", b"\xc3"]
)
def test_other_csv_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        list(bag_csv.read([content]))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.0"),
        ("integer", str(2**63)),
        ("integer", "１"),
        ("number", "nan"),
        ("number", "1e99999"),
        ("binary", "a"),
        ("binary", "a b="),
        ("json", "null"),
        ("json", "true"),
        ("json", "[1]"),
        ("json", '{"base64": 1}'),
        ("json", '"\\ud800"'),
        ("json", "[" * 100_000),
        ("json", "1" * 5000),
    ],
)
def test_a_text_of_another_kind_is_refused(kind: str, text: str) -> None:
    with pytest.raises(Invalid):
        bag_csv.decode(text, kind, "\\N")


def test_cells_and_rows_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bag_csv, "MAX_CELL", 10)
    monkeypatch.setattr(bag_csv, "MAX_CELLS", 3)
    with pytest.raises(Invalid, match="store it as a file"):
        bag_csv.encode("x" * 11, "text", "\\N")
    with pytest.raises(Invalid, match="more than 10 characters"):
        list(bag_csv.read([b'"' + b"x" * 30] * 2))
    with pytest.raises(Invalid, match="more than 3 cells"):
        list(bag_csv.read([b"1,2,3,4\r\n"]))


def test_a_schema_is_read_back() -> None:
    schema = TableSchema(
        "shop",
        'a "table"',
        (Field("id", "integer", "INTEGER"), Field("é", "text", "TEXT", "file", {"source": "x"})),
        ("id",),
        "\\N",
    )
    assert table_schema.parse(schema.as_json().encode()) == schema
    assert schema.file_columns == {1: "file"}
    for wrong in (b"", b"[]", b"{}", b"null", b'{"datasette": {}}'):
        with pytest.raises(Invalid):
            table_schema.parse(wrong)
