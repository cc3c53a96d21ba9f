"""What a file's page shows of it: which kind of preview, and the head of a text, within bounds.

The bytes are never trusted: whatever is cut, decoded or split here ends as text in a template.
Leaves out the pictures themselves (thumbnails.py), and how a kind looks (the templates).
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import io
import logging
from dataclasses import dataclass
from itertools import islice

from ..errors import FilesError
from ..formats.dialect import guess_delimiter
from ..media.families import family, is_text
from ..media.inline import shows_inline
from ..models import FileRecord
from ..sources import reading
from ..sources.sources import Source
from . import archives, json_text
from .thumbnails import Thumbnails

logger = logging.getLogger("datasette_files")

_ROWS = 20
_COLUMNS = 200
_CELL = 500
#: The head of a text: bytes, and lines.
_HEAD = 4096
_LINES = 100
#: The same of code and data, which is read line by line.
_CODE_HEAD = 32 * 1024
_CODE_LINES = 400
#: Members of an archive; bytes of a zip's end; bytes of a tar's beginning, packed and unpacked.
_MEMBERS = 100
_ZIP_TAIL = 256 * 1024
_TAR_HEAD = 256 * 1024
_TAR_UNPACKED = 1024 * 1024
#: Bytes; an image that is no larger is shown as it is, with its animation.
_SMALL_IMAGE = 512 * 1024
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
    """``kind`` is image, picture (an image made by a worker), audio, video, pdf, text, code, table,
    archive, or icon where nothing better can be."""

    kind: str
    text: str = ""
    archive: archives.Listing | None = None
    table: TableHead | None = None
    #: Whether a worker has, or may have, a frame of the video.
    poster: bool = False
    #: Whether the file goes on after what is shown.
    cut: bool = False
    #: Why there is none, where there should be one.
    problem: str | None = None


async def preview(thumbnails: Thumbnails, source: Source, file: FileRecord) -> Preview:
    """The file's preview. A storage that fails now costs the preview, not the page."""
    kind = _kind(file)
    try:
        source.require_up()
        if kind == "image":
            return await _image_preview(thumbnails, source, file)
        if kind == "video":
            return Preview(kind, poster=await _has_picture(thumbnails, source, file))
        if kind == "archive":
            return await _archive_preview(source, file)
        if kind == "text":
            size = _CODE_HEAD if family(file.type) == "code" else _HEAD
            return _text_preview(file, await reading.head(source, file, size))
    except FilesError as error:
        logger.info("No preview of %s: %s", file.id, error)
        return Preview("icon", problem=str(error))
    return Preview(kind)


def _kind(file: FileRecord) -> str:
    """What the type promises; for a text the bytes may still say otherwise."""
    if file.type != "text/plain" and shows_inline(file.type):
        return "pdf" if file.type == "application/pdf" else file.type.partition("/")[0]
    if family(file.type) == "archive":
        return "archive"
    return "text" if is_text(file.type) else "icon"


async def _image_preview(thumbnails: Thumbnails, source: Source, file: FileRecord) -> Preview:
    """The image itself where it is small; else at the screen's size, from a worker."""
    seen = file.type not in _UNSEEN_IMAGES
    if seen and file.size is not None and file.size <= _SMALL_IMAGE:
        return Preview("image")
    if await _has_picture(thumbnails, source, file):
        return Preview("picture")
    # A browser may still manage what a worker would not.
    return Preview("image" if seen else "icon")


async def _has_picture(thumbnails: Thumbnails, source: Source, file: FileRecord) -> bool:
    if not thumbnails.can_picture(source, file):
        return False
    return not await thumbnails.failed(file)


async def _archive_preview(source: Source, file: FileRecord) -> Preview:
    if file.type == "application/zip":
        tail = await reading.tail(source, file, _ZIP_TAIL)
        listing = await asyncio.to_thread(archives.zip_listing, tail, _MEMBERS)
    else:
        head = await reading.head(source, file, _TAR_HEAD)
        listing = await asyncio.to_thread(_tar_listing, head)
    if listing is None or not listing.entries:
        return Preview("icon")
    return Preview("archive", archive=listing, cut=listing.total != len(listing.entries))


def _tar_listing(head: bytes) -> archives.Listing | None:
    unpacked = archives.unpacked(head, _TAR_UNPACKED)
    return archives.tar_listing(head if unpacked is None else unpacked, _MEMBERS)


def _text_preview(file: FileRecord, head: bytes) -> Preview:
    cut = file.size is None or file.size > len(head)
    if file.type in _TABLES and (table := table_head(file, head)) is not None:
        return Preview("table", table=table, cut=cut or len(table.rows) == _ROWS)
    text = _text_head(head, cut)
    if text is None:
        return Preview("icon")
    if family(file.type) == "code":
        return _code_preview(file, text, cut)
    lines = text.splitlines(keepends=True)
    return Preview("text", text="".join(lines[:_LINES]), cut=cut or len(lines) > _LINES)


def _code_preview(file: FileRecord, text: str, cut: bool) -> Preview:
    if "json" in file.type:
        text, more = json_text.indented(text, _CODE_LINES)
    else:
        lines = text.splitlines(keepends=True)
        text, more = "".join(lines[:_CODE_LINES]), len(lines) > _CODE_LINES
    return Preview("code", text=text, cut=cut or more)


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
    delimiter = "\t" if tabs else guess_delimiter(text)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [[cell[:_CELL] for cell in row[:_COLUMNS]] for row in islice(reader, _ROWS + 1)]
    except csv.Error:
        return None
    if not lines or not lines[0]:
        return None
    return TableHead(lines[0], lines[1:], delimiter)
