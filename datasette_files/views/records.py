"""A file's record as JSON, each shape once; its addresses; and the texts that its page copies."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict
from typing import Any

from ..db.migrations import FILE_COLUMNS
from ..db.text_hits import Hit
from ..db.trash import TrashedFile
from ..media.inline import shows_inline
from ..models import FileRecord, written
from ..naming import plain
from .http import Call

#: Characters with a meaning in Markdown (CommonMark 0.31, 2.4).
_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
_FACTS = ("id", "filename", "content_type", "size")
_UPLOADED = (
    *("id", "filename", "content_type", "content_hash", "size", "width", "height"),
    *("source_slug", "uploaded_by", "created_at"),
)
_LISTED = (
    *(*_FACTS, "width", "height", "created_at", "uploaded_by", "source_slug"),
    *("folder", "tags", "crc32", "missing_since"),
)
_TRASHED = (*_FACTS, "created_at", "uploaded_by", "source_slug")


def urls(call: Call, file_id: str) -> dict[str, str]:
    """The addresses of the file's page, bytes and thumbnail."""
    url = f"{call.files.base_url}-/files/{file_id}"
    return {"url": url, "download_url": f"{url}/download", "thumbnail_url": f"{url}/thumbnail"}


def flat(file: FileRecord) -> dict[str, Any]:
    """Every column of the catalog, and the source's slug."""
    return _fields(file, (*FILE_COLUMNS, "source_slug"))


def _fields(file: FileRecord, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(file, name) for name in names}


def full(call: Call, file: FileRecord) -> dict[str, Any]:
    return {**flat(file), **text_state(call, file), **urls(call, file.id)}


def text_state(call: Call, file: FileRecord) -> dict[str, str | None]:
    """The status of the file's text; ``none`` where its source reads no text."""
    if not call.files.sources.get(file.source_slug).config.text:
        return {"text_status": "none", "text_error": None}
    return {"text_status": file.text_status or "pending", "text_error": file.text_error}


def uploaded(call: Call, file: FileRecord) -> dict[str, Any]:
    """The record in the answer to a completed upload."""
    return {**_fields(file, _UPLOADED), **urls(call, file.id)}


def listed(call: Call, file: FileRecord) -> dict[str, Any]:
    """An entry of a list or a search."""
    return {**_fields(file, _LISTED), **urls(call, file.id)}


def found(call: Call, file: FileRecord, hits: dict[str, list[Hit]] | None) -> dict[str, Any]:
    """An entry of a list; in a search with the pages that have the words."""
    shown = listed(call, file)
    if hits is None:
        return shown
    return {**shown, "hits": [asdict(one) for one in hits.get(file.id, [])]}


def trashed(call: Call, one: TrashedFile) -> dict[str, Any]:
    """An entry of the trash, without URLs, which would answer 404 until it is restored."""
    return {
        **_fields(one.file, _TRASHED),
        "trashed_at": written(one.trashed_at),
        "trashed_by": one.trashed_by,
        "purge_at": written(one.purge_at),
    }


def copies(call: Call, file: FileRecord) -> dict[str, str]:
    """The texts that a file's page copies, by the name of their button."""
    made = urls(call, file.id)
    link = call.datasette.absolute_url(call.request, made["url"])
    download = call.datasette.absolute_url(call.request, made["download_url"])
    name = _MARKDOWN.sub(r"\\\1", plain(file.filename))
    is_picture = file.type.startswith("image/") and shows_inline(file.type)
    shown = f"![{name}]({link}/inline)" if is_picture else f"[{name}]({link})"
    # The shell inserts the token, so that the page holds none.
    token = ' -H "Authorization: Bearer $TOKEN"' if call.actor else ""
    curl = f"curl --location --remote-name --remote-header-name{token} {shlex.quote(download)}"
    return {"id": file.id, "link": link, "Markdown": shown, "curl": curl}
