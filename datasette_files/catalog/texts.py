"""The text of one file: a search within it, and one page. The caller checks the permission."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..db import search, text_hits, text_search
from ..db import texts as rows
from ..db.text_hits import Hit
from ..errors import Conflict

#: Characters of one page that are handed out.
_MAX_PAGE = 200_000


#: Why a file has no text, by the status of it; a failure has a reason of its own.
_NO_TEXT = {
    "pending": "it is not read yet; try again in some seconds",
    "none": "it holds no text, or nothing reads files of its type",
}


def check_text(file_id: str, status: str, error: str | None) -> None:
    """Raise Conflict, with the reason, unless the text of the file was read."""
    if status != "done":
        raise Conflict(
            f"{file_id} has no text: {error or _NO_TEXT.get(status, 'reading it failed')}"
        )


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
    found = text_hits.hits(conn, made, [seq], limit + 1, after)[seq]
    return TextHits(pages, found[:limit], found[limit - 1].page if len(found) > limit else None)


@dataclass(frozen=True)
class PageTexts:
    """The texts of some pages in their order. ``pages``: how many pages the file has."""

    pages: int
    texts: list[tuple[int, str]]
    #: The page after which the next ones begin, or None.
    next: int | None


def page_texts(conn: sqlite3.Connection, file_id: str, after: int, limit: int) -> PageTexts:
    """The texts of at most ``limit`` pages after a page, fewer where they are long."""
    seq, pages = rows.place(conn, file_id)
    found: list[tuple[int, str]] = []
    room = _MAX_PAGE
    for number in range(after + 1, min(after + limit, pages) + 1):
        text = (rows.page_text(conn, seq, number, _MAX_PAGE) or "")[:_MAX_PAGE]
        room -= len(text)
        if found and room < 0:
            break
        found.append((number, text))
    last = found[-1][0] if found else pages
    return PageTexts(pages, found, last if last < pages else None)


def page_text(conn: sqlite3.Connection, file_id: str, number: int) -> str | None:
    """The text of a page, its first characters if it is long; None for a page without text."""
    seq, _ = rows.place(conn, file_id)
    return rows.page_text(conn, seq, number, _MAX_PAGE)
