"""The preview on a file's page: its kind, and the head of a text, table or archive.

The bytes are not trusted: all that is decoded or split here is escaped as text by a template.
Leaves out the pictures (thumbnails.py) and the HTML of each kind (the templates).
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
from ..formats.characters import ENCODINGS, detect
from ..formats.delimited import TabSeparated
from ..formats.dialect import declared_delimiter, guess_delimiter
from ..media.families import family, is_text
from ..media.inline import shows_inline
from ..models import FileRecord
from ..sources import reading
from ..sources.sources import Source
from . import archives, json_text
from .thumbnails import Thumbnails

logger = logging.getLogger("datasette_files")

#: Bounds of a table's head. The last is in characters.
_MAX_ROWS, _MAX_COLUMNS, _MAX_CELL = 20, 200, 500
#: Bounds of a text's head: bytes and lines. Code and data have more, as they are read by line.
_TEXT_BYTES, _MAX_LINES = 4096, 100
_CODE_BYTES, _MAX_CODE_LINES = 32 * 1024, 400
#: Most members of an archive in a list; bytes read for it, and unpacked bytes of a tar.
_MAX_MEMBERS = 100
_ARCHIVE_BYTES = 256 * 1024
_MAX_UNPACKED_BYTES = 1024 * 1024
#: Bytes. An image of at most this size is shown unchanged, with its animation.
_SMALL_IMAGE = 512 * 1024
#: Images that may be served inline although most browsers cannot show them.
_UNSEEN_IMAGES = frozenset(("image/tiff", "image/heic", "image/heif"))
_TABLES = frozenset(("text/csv", "text/tab-separated-values"))


@dataclass(frozen=True)
class TableHead:
    """The first rows of a delimited text."""

    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Preview:
    """A preview. ``kind`` is image, picture (an image made by a worker), audio, video, pdf, text,
    code, table, archive, or icon for a file that has no other preview."""

    kind: str
    text: str = ""
    archive: archives.Listing | None = None
    table: TableHead | None = None
    #: Whether a worker has made, or may make, a picture of the video.
    poster: bool = False
    #: Whether only the beginning of the file is shown.
    cut: bool = False
    #: Why the preview could not be made; None if nothing failed.
    problem: str | None = None


async def preview(thumbnails: Thumbnails, source: Source, file: FileRecord) -> Preview:
    """Make the file's preview. If its storage fails, the page has an icon and the reason."""
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
            size = _CODE_BYTES if family(file.type) == "code" else _TEXT_BYTES
            head = await reading.head(source, file, size)
            return await asyncio.to_thread(_text_preview, file, head)
    except FilesError as error:
        logger.info("No preview of %s: %s", file.id, error)
        return Preview("icon", problem=str(error))
    return Preview(kind)


def _kind(file: FileRecord) -> str:
    """Choose the kind by content type. A text may still turn out to be a table, code or icon."""
    if file.type != "text/plain" and shows_inline(file.type):
        return "pdf" if file.type == "application/pdf" else file.type.partition("/")[0]
    if family(file.type) == "archive":
        return "archive"
    return "text" if is_text(file.type) else "icon"


async def _image_preview(thumbnails: Thumbnails, source: Source, file: FileRecord) -> Preview:
    """Show a small image itself, and a larger one as a worker's picture of the screen's size."""
    seen = file.type not in _UNSEEN_IMAGES
    if seen and file.size is not None and file.size <= _SMALL_IMAGE:
        return Preview("image")
    if await _has_picture(thumbnails, source, file):
        return Preview("picture")
    # A browser may show an image that no worker can decode.
    return Preview("image" if seen else "icon")


async def _has_picture(thumbnails: Thumbnails, source: Source, file: FileRecord) -> bool:
    if not thumbnails.can_picture(source, file):
        return False
    return not await thumbnails.failed(file)


async def _archive_preview(source: Source, file: FileRecord) -> Preview:
    if file.type == "application/zip":
        tail = await reading.tail(source, file, _ARCHIVE_BYTES)
        listing = await asyncio.to_thread(archives.zip_listing, tail, _MAX_MEMBERS)
    else:
        head = await reading.head(source, file, _ARCHIVE_BYTES)
        listing = await asyncio.to_thread(_tar_listing, head)
    if listing is None or not listing.entries:
        return Preview("icon")
    return Preview("archive", archive=listing, cut=listing.total != len(listing.entries))


def _tar_listing(head: bytes) -> archives.Listing | None:
    unpacked = archives.unpacked(head, _MAX_UNPACKED_BYTES)
    return archives.tar_listing(head if unpacked is None else unpacked, _MAX_MEMBERS)


def _text_preview(file: FileRecord, head: bytes) -> Preview:
    """Show a table, code or text. Blocks: guessing an encoding takes milliseconds of CPU."""
    cut = file.size is None or file.size > len(head)
    text = _decoded(head, cut)
    if text is None:
        return Preview("icon")
    if file.type in _TABLES and (table := _table_head(file, text, cut)) is not None:
        return Preview("table", table=table, cut=cut or len(table.rows) == _MAX_ROWS)
    if "json" in file.type:
        text, more = json_text.indented(text, _MAX_CODE_LINES)
        return Preview("code", text=text, cut=cut or more)
    is_code = family(file.type) == "code"
    lines = text.splitlines(keepends=True)
    shown = lines[: _MAX_CODE_LINES if is_code else _MAX_LINES]
    more = len(lines) > len(shown)
    return Preview("code" if is_code else "text", text="".join(shown), cut=cut or more)


def _decoded(head: bytes, cut: bool) -> str | None:
    """Decode the head as an import does; None for bytes that are not text."""
    decoder = codecs.getincrementaldecoder(ENCODINGS[detect(head, whole=not cut).name])("replace")
    # An incremental decoder leaves out a character that is cut at the end.
    text = decoder.decode(head, final=not cut)
    return None if "\x00" in text else text


def _table_head(file: FileRecord, text: str, cut: bool) -> TableHead | None:
    """Split the head into rows; None for text that is not a table."""
    if cut:
        text = text[: text.rfind("\n") + 1] or text  # the last line may be incomplete
    is_tabs = TabSeparated().matches(file.type, file.filename)
    declared, text = declared_delimiter(text)
    delimiter = declared or ("\t" if is_tabs else guess_delimiter(text))
    reader = filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    try:
        rows = [
            [cell[:_MAX_CELL] for cell in row[:_MAX_COLUMNS]]
            for row in islice(reader, _MAX_ROWS + 1)
        ]
    except csv.Error:
        return None
    return TableHead(rows[0], rows[1:]) if rows else None
