"""JSON laid out for reading, whatever is made of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.previews.json_text import indented

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(_VALUES)
@pytest.mark.full
def test_what_is_shown_is_the_same_document(value: object) -> None:
    compact = json.dumps(value, separators=(",", ":"))
    shown, more = indented(compact, 10**6)
    assert json.loads(shown) == value
    assert not more
    assert indented(shown, 10**6) == (shown, False)


def test_layout_is_as_one_writes_it() -> None:
    value = {"a": [1, {"b": []}], "c": {}, "d": 'x, {y}: "z"'}
    assert indented(json.dumps(value), 100)[0] == json.dumps(value, indent=2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ('{"a": 1.50e3, "a": 2', '{\n  "a": 1.50e3,\n  "a": 2'),
        ('{"a":1}\n{"a":2}', '{\n  "a": 1\n}\n{\n  "a": 2\n}'),
        ("]]}}x", "]\n]\n}\n}\nx"),
        ('"never closed \\', '"never closed\n\\'),
    ],
)
def test_what_is_cut_or_no_json_is_shown_as_far_as_it_goes(text: str, shown: str) -> None:
    assert [line.strip() for line in indented(text, 100)[0].split("\n")] == [
        line.strip() for line in shown.split("\n")
    ]


def test_hostile_depth_is_bounded() -> None:
    shown, more = indented("[" * 30_000, 400)
    assert more
    assert len(shown) < 400 * 60
