"""The table that a search index is of, as its SQL names it."""

from __future__ import annotations

import pytest

from datasette_files.tables.words import _content_of


@pytest.mark.parametrize(
    ("content", "table"),
    [
        *(("People", "people"), ("[A people]", "a people"), ("`A``b`", "a`b")),
        *(('"A ""b"""', 'a "b"'), ("'It''s'", "it's"), ("''", "")),
    ],
)
def test_a_table_is_named_in_any_quotes(content: str, table: str) -> None:
    assert _content_of(f"CREATE VIRTUAL TABLE x USING fts5(a, content = {content}, b)") == table


def test_an_index_of_its_own_text_has_no_table() -> None:
    assert _content_of("CREATE VIRTUAL TABLE x USING fts5(content, b)") is None
