"""The text of one file: the pages with some words, as JSON and for its page, or one page's text."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ..catalog import texts
from ..catalog.texts import TextHits
from ..errors import Invalid, NotFound
from ..models import FileRecord
from . import records
from .http import Call, answer

#: The most pages of one answer, and the number by default.
_MAX_SIZE, _SIZE = 200, 20


@dataclass(frozen=True)
class Part:
    """A piece of a snippet for the template."""

    text: str
    is_mark: bool


async def text_json(call: Call) -> Response:
    """A search in the text, with one page of it; with ``texts=1`` its pages instead."""
    if call.argument("texts") is not None:
        return await _texts(call)
    q, size = (call.argument("q") or "").strip(), _size(call)
    after, number = _number(call, "_next", 0), _number(call, "page", 0)

    def look(conn: sqlite3.Connection, file: FileRecord) -> tuple[TextHits, str | None]:
        text = texts.page_text(conn, file.id, number) if number else None
        return texts.search_in(conn, file.id, q, size, after), text

    file, _, (found, text) = await call.files.lookup.visible_and(
        call.actor, call.vars["file_id"], look
    )
    shown: dict[str, Any] = {
        **{"ok": True, "id": file.id, "q": q, **records.text_state(call, file)},
        "pages": found.pages,
        "hits": [{**asdict(one), "url": page_url(call, file, one.page)} for one in found.hits],
        "next": found.next,
        "next_url": _next_url(call, file, {"q": q}, size, found.next),
    }
    if number:
        if not 1 <= number <= found.pages:
            raise NotFound(f"There is no page {number}; the file has {found.pages:,}")
        shown["page"] = {"page": number, "text": text or ""}
    return answer(call, shown)


async def _texts(call: Call) -> Response:
    if call.argument("texts") != "1" or call.argument("q") or call.argument("page"):
        raise Invalid("texts must be 1, without q and page")
    size, after = _size(call), _number(call, "_next", 0)
    file, _, found = await call.files.lookup.visible_and(
        call.actor,
        call.vars["file_id"],
        lambda conn, file: texts.page_texts(conn, file.id, after, size),
    )
    shown = {
        **{"ok": True, "id": file.id, **records.text_state(call, file)},
        "pages": found.pages,
        "texts": [{"page": number, "text": text} for number, text in found.texts],
        "next": found.next,
        "next_url": _next_url(call, file, {"texts": 1}, size, found.next),
    }
    return answer(call, shown)


def _size(call: Call) -> int:
    """The most pages of one answer. Raises Invalid."""
    size = _number(call, "_size", _SIZE)
    if size > _MAX_SIZE:
        raise Invalid(f"_size is at most {_MAX_SIZE}")
    return size


def _number(call: Call, name: str, default: int) -> int:
    text = call.argument(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise Invalid(f"{name} is a whole number from 1 on")
    return int(text)


def _next_url(
    call: Call, file: FileRecord, asked: dict[str, Any], size: int, after: int | None
) -> str | None:
    if after is None:
        return None
    query = urlencode({**asked, "_size": size, "_next": after})
    return f"{records.urls(call, file.id)['url']}/text.json?{query}"


def page_url(call: Call, file: FileRecord, number: int) -> str:
    """The address that shows the page: inside a PDF, else the file's own page."""
    url = records.urls(call, file.id)["url"]
    return f"{url}/inline#page={number}" if file.type == "application/pdf" else url


async def of_file(call: Call, file_id: str) -> tuple[FileRecord, Any, dict[str, Any]]:
    """The file, its source, and what its page shows of its text and of a search in it."""
    q = (call.argument("q") or "").strip()
    file, source, found = await call.files.lookup.visible_and(
        call.actor, file_id, lambda conn, file: texts.search_in(conn, file.id, q, _SIZE, 0)
    )
    shown = {
        "q": q,
        "pages": found.pages,
        "more": found.next is not None,
        "hits": [
            (one.page, page_url(call, file, one.page), parts(one.snippet, one.marks))
            for one in found.hits
        ],
        **records.text_state(call, file),
    }
    return file, source, shown


def parts(snippet: str, marks: list[tuple[int, int]]) -> list[Part]:
    """A snippet, divided at its marks."""
    found: list[Part] = []
    end = 0
    for start, stop in marks:
        found += [Part(snippet[end:start], False), Part(snippet[start:stop], True)]
        end = stop
    return [one for one in (*found, Part(snippet[end:], False)) if one.text]
