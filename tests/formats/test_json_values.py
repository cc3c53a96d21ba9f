"""Shapes of JSON that are tables: empty objects first, one list in a wrapper, lines named .json."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasette_files.formats import json_stream
from datasette_files.formats.base import ImportProblem
from tests.support.imports import engine


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ('[{}, {"a": 1}]', ["a"], [[None], ["1"]]),
        ('{}\n{"a": 1}\n', ["a"], [[None], ["1"]]),
        ('{"data": [{"a": 1}, {"a": 2}]}', ["a"], [["1"], ["2"]]),
        ('{"count": 2, "next": null, "results": [{"a": 1}]}', ["a"], [["1"]]),
        ('{"meta": {"pages": 1}, "data": {"items": [{"a": 1}]}}', ["a"], [["1"]]),
        ('{"data": [], "rows": [{"a": 1}]}', ["a"], [["1"]]),
        ('{"data": [{}, {"a": 1}]}', ["a"], [[None], ["1"]]),
        ('{"a": 1}\n{"a": 2}\n', ["a"], [["1"], ["2"]]),
        ('\ufeff{"a": 1}\r\n\r\n{"a": 2, "b": [1]}', ["a", "b"], [["1", None], ["2", "[1]"]]),
        ('{"a": 1}', ["a"], [["1"]]),
        ('[["a", "b"], [1, 2], [3]]', ["a", "b"], [["1", "2"], ["3", None]]),
        ('{"columns": ["a", "b"], "rows": [[1, "x"]]}', ["a", "b"], [["1", "x"]]),
        ('{"index": [0], "columns": ["a"], "data": [[1]]}', ["a"], [["1"]]),
        # The columns are described by objects, at any depth; rows are objects or arrays.
        ('{"columns": [{"name": "a"}, {"name": "b"}], "rows": [[1, 2]]}', ["a", "b"], [["1", "2"]]),
        (
            '{"meta": {"fields": [{"id": "a", "type": "x"}]}, "data": [[1], [2]]}',
            ["a"],
            [["1"], ["2"]],
        ),
        (
            '{"schema": {"fields": [{"name": "a"}, {"name": "i"}]}, "data": [{"a": 1}]}',
            ["a"],
            [["1"]],
        ),
        ('{"errors": [{"x": 1}, {"x": 2}], "found": {"docs": [{"a": 1}]}}', ["a"], [["1"]]),
        ('{"fields": [{"a": 1}]}', ["a"], [["1"]]),
        # Some programs write every float with 17 digits.
        ('[{"a": 0.10000000000000001}]', ["a"], [["0.1"]]),
        (
            '{"tags": ["x"], "a": 1}\n{"tags": [], "a": 2}',
            ["tags", "a"],
            [['["x"]', "1"], ["[]", "2"]],
        ),
    ],
)
def test_a_table_is_found_in_every_shape(
    tmp_path: Path, text: str, columns: list[str], rows: list[list[str | None]]
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode())
    made = engine.preview(path, tmp_path)
    # The last columns of a row may be left out.
    padded = [[*row, *[None] * (len(columns) - len(row))] for row in made["rows"]]
    assert (made["columns"], padded) == (columns, rows)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[1, 2], [3, 4]]", "the first array has to name the columns"),
        ('[["a", "a"], [3, 4]]', "names a column twice"),
        ('[["a"], [3, 4]]', "has 2 values; there are only 1 columns"),
        ("[null, 1]", "is no object"),
        ('{"links": [{"x": 1}], "rows": [[1]]}', "no list names their columns"),
    ],
)
def test_arrays_that_are_no_table_say_why(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    try:
        problem = engine.preview(path, tmp_path)["problem"]
    except ImportProblem as error:
        problem = str(error)
    assert told in str(problem)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"columns": [{"name": "a"}], "rows": [%s]}', None),
        ('{"meta": {"fields": ["a"]}, "links": [], "data": [%s]}', None),
        ('{"rows": [%s], "columns": ["a"]}', "no list of rows after 'columns'"),
    ],
)
def test_a_document_too_large_for_memory_may_name_its_columns_before_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str | None
) -> None:
    monkeypatch.setattr(json_stream, "_MAX_WHOLE", 1000)
    path = tmp_path / "x.json"
    path.write_text(text % ", ".join(f"[{number}]" for number in range(20_000)))
    if told is None:
        made = engine.read(path, tmp_path)
        assert (made["columns"], made["types"], made["rows"]) == (["a"], ["integer"], 20_000)
    else:
        with pytest.raises(ImportProblem, match=told):
            engine.read(path, tmp_path)
