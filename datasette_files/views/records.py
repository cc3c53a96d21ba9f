"""How a file is written for others: as JSON, each shape once, and as what a page offers to copy."""

from __future__ import annotations

import re
import shlex
from datetime import datetime, timezone
from typing import Any

from ..base import TIME_FORMAT
from ..db.schema import FILE_COLUMNS
from ..db.trash import TrashedFile
from ..media.inline import shows_inline
from ..models import FileRecord
from ..naming import plain
from .http import Call

#: What Markdown takes for more than text (CommonMark 0.31, 2.4).
_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def urls(call: Call, file_id: str) -> dict[str, str]:
    """The file's page, bytes and thumbnail."""
    url = f"{call.files.base_url}-/files/{file_id}"
    return {"url": url, "download_url": f"{url}/download", "thumbnail_url": f"{url}/thumbnail"}


def flat(file: FileRecord) -> dict[str, Any]:
    """Every column of the catalog, and the source's slug."""
    record = {column: getattr(file, column) for column in FILE_COLUMNS}
    record["source_slug"] = file.source_slug
    return record


def full(call: Call, file: FileRecord) -> dict[str, Any]:
    return {**flat(file), **urls(call, file.id)}


def uploaded(call: Call, file: FileRecord) -> dict[str, Any]:
    """What completing an upload answers."""
    return {
        "id": file.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "content_hash": file.content_hash,
        "size": file.size,
        "width": file.width,
        "height": file.height,
        "source_slug": file.source_slug,
        "uploaded_by": file.uploaded_by,
        "created_at": file.created_at,
        **urls(call, file.id),
    }


def listed(call: Call, file: FileRecord) -> dict[str, Any]:
    """An entry of a list or a search."""
    return {
        "id": file.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "size": file.size,
        "width": file.width,
        "height": file.height,
        "created_at": file.created_at,
        "uploaded_by": file.uploaded_by,
        "source_slug": file.source_slug,
        **urls(call, file.id),
    }


def trashed(call: Call, one: TrashedFile) -> dict[str, Any]:
    """An entry of the trash: without URLs, as they lead nowhere until it is restored."""
    file = one.file
    return {
        "id": file.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "size": file.size,
        "created_at": file.created_at,
        "uploaded_by": file.uploaded_by,
        "source_slug": file.source_slug,
        "trashed_at": written(one.trashed_at),
        "trashed_by": one.trashed_by,
        "purge_at": written(one.purge_at),
    }


def written(moment: float) -> str:
    """Seconds since the epoch as the catalog writes moments."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime(TIME_FORMAT)


def copies(call: Call, file: FileRecord) -> dict[str, str]:
    """The texts that a file's page copies, by the name of their button."""
    made = urls(call, file.id)
    link = call.datasette.absolute_url(call.request, made["url"])
    download = call.datasette.absolute_url(call.request, made["download_url"])
    name = _MARKDOWN.sub(r"\\\1", plain(file.filename))
    is_picture = file.type.startswith("image/") and shows_inline(file.type)
    shown = f"![{name}]({link}/inline)" if is_picture else f"[{name}]({link})"
    # The shell fills the token in: none is on the page.
    token = ' -H "Authorization: Bearer $TOKEN"' if call.actor else ""
    curl = f"curl --location --remote-name --remote-header-name{token} {shlex.quote(download)}"
    return {"id": file.id, "link": link, "Markdown": shown, "curl": curl}
