"""Words of documents in any spelling and script, and the marks around them."""

from __future__ import annotations

import sqlite3
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.db import page_words, text_hits, text_search, texts

from .conftest import insert_file

_TEXTS = {
    "german": "In der Straße liegt Maß.",
    "polish": "Miasto Łódź leży w środku.",
    "danish": "Smørrebrød på øen.",
    "greek": "Η Ελλάδα και ο κόσμος.",
    "russian": "Ёлка и мой район.",
    "korean": "대한민국의 보고서를 읽다.",
    "chinese": "年度财务报告已经发布。",
    "japanese": "昨日の東京タワーで見た。",
    "thai": "ประเทศไทยมีรายงานประจำปี",
    "hindi": "यह हिन्दी रिपोर्ट है।",
    "arabic": "هذا كِتَابٌ جديد.",
    "mixed": "Der Bericht 報告2034 heißt ABC。",
    "plain": "Only ASCII words.",
}
_FOUND = {
    "strasse": ["german"],
    "STRASSE": ["german"],
    "Straße": ["german"],
    "maß": ["german"],
    "lodz": ["polish"],
    "ŁÓDŹ": ["polish"],
    "łodź": ["polish"],
    "smorrebrod": ["danish"],
    "øen": ["danish"],
    "Ελλάδα": ["greek"],
    "ελλαδα": ["greek"],
    "ΕΛΛΆΔΑ": ["greek"],
    "κοσμος": ["greek"],
    "ΚΌΣΜΟΣ": ["greek"],
    "елка": ["russian"],
    "ёлка": ["russian"],
    "район": ["russian"],
    "раио": ["russian"],
    "보고서": ["korean"],
    "민국": ["korean"],
    "报告": ["chinese"],
    "財務": [],
    "东京": [],
    "東京": ["japanese"],
    "タワー": ["japanese"],
    "รายงาน": ["thai"],
    "ไทย": ["thai"],
    "हिन्दी": ["hindi"],
    "كتاب": ["arabic"],
    "كِتَابٌ": ["arabic"],
    "報告": ["mixed"],
    "heisst": ["mixed"],
    "ascii": ["plain"],
}


@pytest.fixture
def documents(conn: sqlite3.Connection) -> sqlite3.Connection:
    for number in range(1, len(_TEXTS) + 1):
        insert_file(conn, number, {"source_id": 1, "filename": "a", "size": 1})
    for one in texts.due(conn, 1, 0, 100):
        assert texts.claim(conn, one, "me")
        text = list(_TEXTS.values())[one.seq - 1]
        assert texts.add(conn, one, "me", 0, [(1, text)])
    return conn


def _hits(conn: sqlite3.Connection, q: str) -> dict[str, list[str]]:
    made = text_search.expression(conn, q)
    assert made is not None
    query = text_search.TextQuery(made, frozenset((1,)), {})
    found = {}
    for seq in text_search.newest(conn, query, None, 100).seqs:
        (hit,) = text_hits.hits(conn, made, [seq])[seq]
        name, text = list(_TEXTS.items())[seq - 1]
        assert hit.snippet == text
        found[name] = [hit.snippet[start:end] for start, end in hit.marks]
    return found


def test_a_word_is_found_in_every_spelling(documents: sqlite3.Connection) -> None:
    for q, names in _FOUND.items():
        for form in ("NFC", "NFD"):
            assert list(_hits(documents, unicodedata.normalize(form, q))) == names, (q, form)


def test_marks_are_around_the_words_as_they_are_written(documents: sqlite3.Connection) -> None:
    for q, word in {
        **{"strasse": "Straße", "mass": "Maß", "lodz": "Łódź", "ελλαδα": "Ελλάδα"},
        **{"елка": "Ёлка", "보고": "보고", "报告": "报告", "東京": "東京", "報告": "報告"},
        **{"รายงาน": "รายงาน", "कि": "", "heisst": "heißt", "كتاب": "كِتَاب", "ascii": "ASCII"},
    }.items():
        assert list(_hits(documents, q).values()) == ([[word]] if word else []), q


def test_only_pages_that_need_it_have_a_second_text(documents: sqlite3.Connection) -> None:
    rows = documents.execute("SELECT text FROM datasette_files_pages WHERE words IS NULL")
    assert [row[0] for row in rows] == [_TEXTS["plain"]]
    assert page_words.indexed("Müller à São Paulo – 5 €™") == "Müller à São Paulo – 5 €™"
    documents.execute("DELETE FROM datasette_files_pages")
    documents.execute(
        "INSERT INTO datasette_files_pages_fts (datasette_files_pages_fts)"
        " VALUES ('integrity-check')"
    )
    assert _hits(documents, "报告") == {}


@given(st.text(max_size=60))
def test_marks_around_any_letters_come_back(text: str) -> None:
    text = "".join(c for c in unicodedata.normalize("NFC", text) if c not in "\x01\x02")
    made = page_words.indexed(text)
    assert page_words.restored(text, made, "\x01", "\x02") == text
    marked = "".join(f"\x01{c}\x02" for c in made)
    back = page_words.restored(text, marked, "\x01", "\x02")
    assert back.replace("\x01", "").replace("\x02", "") == text
