"""What a file's page shows of it: which kind of preview, and the head of a text, within bounds.

The bytes are never trusted: whatever is cut, decoded or split here ends as text in a template.
Leaves out thumbnails, and how a kind looks (the templates).
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from . import downloads
from .errors import FilesError
from .families import is_text
from .models import FileRecord
from .sources import Source

if TYPE_CHECKING:
    from .app import Files

logger = logging.getLogger("datasette_files")

_ROWS = 20
_COLUMNS = 200
_CELL = 500
_QUOTED = re.compile(r'"[^"]*"')
#: The head of a text: bytes, and lines.
_HEAD = 4096
_LINES = 100
#: Images that may be served inline, and that no browser, or only one, can show.
_UNSEEN_IMAGES = frozenset(("image/tiff", "image/heic", "image/heif"))
_TABLES = frozenset(("text/csv", "text/tab-separated-values"))
#: Longest first: UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class TableHead:
    """The first rows of a delimited text."""

    columns: list[str]
    rows: list[list[str]]
    delimiter: str


@dataclass(frozen=True)
class Preview:
    """``kind`` is image, audio, video, pdf, text, table, or icon where nothing better can be."""

    kind: str
    text: str = ""
    table: TableHead | None = None
    #: Whether the file goes on after what is shown.
    cut: bool = False
    #: Why there is none, where there should be one.
    problem: str | None = None


async def preview(files: Files, source: Source, file: FileRecord) -> Preview:
    """The file's preview. A storage that fails now costs the preview, not the page."""
    kind = _kind(file)
    try:
        source.require_up()
        if kind != "text":
            return Preview(kind)
        head = await files.head(source, file, _HEAD)
    except FilesError as error:
        logger.warning("No preview of %s: %s", file.id, error)
        return Preview("icon", problem=str(error))
    return _text_preview(file, head)


def _kind(file: FileRecord) -> str:
    """What the type promises; for a text the bytes may still say otherwise."""
    family = file.type.partition("/")[0]
    if file.type != "text/plain" and downloads.shows_inline(file.type):
        if file.type == "application/pdf":
            return "pdf"
        return "icon" if file.type in _UNSEEN_IMAGES else family
    return "text" if is_text(file.type) else "icon"


def _text_preview(file: FileRecord, head: bytes) -> Preview:
    cut = file.size is None or file.size > len(head)
    if file.type in _TABLES and (table := table_head(file, head)) is not None:
        return Preview("table", table=table, cut=cut or len(table.rows) == _ROWS)
    text = _text_head(head, cut)
    if text is None:
        return Preview("icon")
    lines = text.splitlines(keepends=True)
    return Preview("text", text="".join(lines[:_LINES]), cut=cut or len(lines) > _LINES)


def _text_head(head: bytes, cut: bool) -> str | None:
    """The head as text; None for bytes that are no text. UTF-8 unless a byte order mark says so."""
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\x00" in head:
        return None
    # Incremental, so that a character that the cut falls into is left out and not replaced.
    return codecs.getincrementaldecoder(encoding)("replace").decode(head, final=not cut)


def table_head(file: FileRecord, head: bytes) -> TableHead | None:
    """The head as a table; None for bytes that are not delimited text.

    ``head`` may be cut anywhere: what follows its last line break is dropped where more follows.
    """
    if b"\x00" in head:
        return None
    if file.size is not None and file.size > len(head):
        head = head[: head.rfind(b"\n") + 1] or head
    text = head.decode("utf-8-sig", errors="replace")
    tabs = file.type == "text/tab-separated-values" or file.filename.lower().endswith(".tsv")
    delimiter = "\t" if tabs else _delimiter(text)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [[cell[:_CELL] for cell in row[:_COLUMNS]] for row in islice(reader, _ROWS + 1)]
    except csv.Error:
        return None
    if not lines or not lines[0]:
        return None
    return TableHead(lines[0], lines[1:], delimiter)


def _delimiter(text: str) -> str:
    """The candidate that is in the most of the first lines, then the most often; else a comma.

    csv.Sniffer's regular expressions take seconds on a few hostile kilobytes.
    """
    lines = [_QUOTED.sub("", line) for line in text[:8192].splitlines()[:_ROWS]]

    def seen(candidate: str) -> tuple[int, int]:
        counts = [line.count(candidate) for line in lines]
        return sum(map(bool, counts)), sum(counts)

    return max(",;\t|", key=seen)
