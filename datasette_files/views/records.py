"""How a file is written as JSON: each shape once, with its URLs."""

from __future__ import annotations

from typing import Any

from ..db.schema import FILE_COLUMNS
from ..models import FileRecord
from .http import Call


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
