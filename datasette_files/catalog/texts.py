"""The text of one file: a search within it, and one page. The caller checks the permission."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..db import search, text_search
from ..db import texts as rows
from ..db.text_search import Hit

#: Characters of one page that are handed out.
_MAX_PAGE = 200_000


@dataclass(frozen=True)
class TextHits:
    """Pages of a file that have the words. ``pages``: how many pages the file has."""

    pages: int
    hits: list[Hit]
    #: The page after which the next hits begin, or None.
    next: int | None = None


def search_in(conn: sqlite3.Connection, file_id: str, q: str, limit: int, after: int) -> TextHits:
    """The pages with the words, in their order, after a page. Raises Invalid as a search does."""
    seq, pages = rows.place(conn, file_id)
    search.check_query(q)
    made = text_search.expression(conn, q)
    if made is None or not pages:
        return TextHits(pages, [])
    found = text_search.hits(conn, made, seq, limit + 1, after)
    return TextHits(pages, found[:limit], found[limit - 1].page if len(found) > limit else None)


def page_text(conn: sqlite3.Connection, file_id: str, number: int) -> str | None:
    """The text of a page, its first characters if it is long; None for a page without text."""
    seq, _ = rows.place(conn, file_id)
    return rows.page_text(conn, seq, number, _MAX_PAGE)
