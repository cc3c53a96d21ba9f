"""A file's facts in words, as the rows of lists show them.

A template reads them as attributes: each call and macro in a row of a template takes 10 to 20 us,
which a page of a hundred rows pays a thousand times. Leaves out the words of single files and of
headings, which templates write by _macros.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..media.labels import in_words
from ..models import FileRecord
from ..naming import plain
from .http import Call, human_size

#: Characters of a name in a tooltip or a label.
_MAX_TITLE = 200


@dataclass(frozen=True, slots=True)
class Words:
    """The facts of one file."""

    name: str
    #: The name, cut: a tooltip.
    title: str
    type: str
    size: str
    #: The size in bytes; empty if it is not known.
    bytes: str
    uploader: str
    #: When it was added: UTC to the minute; to the second; and as ISO 8601.
    added: str
    added_utc: str
    added_iso: str
    source_url: str


def of(call: Call, file: FileRecord) -> Words:
    name = plain(file.filename) or "(no name)"
    return Words(
        name=name,
        title=name[:_MAX_TITLE],
        type=in_words(file.content_type),
        size=human_size(file.size),
        bytes="" if file.size is None else f"{file.size:,} byte{'' if file.size == 1 else 's'}",
        uploader=plain(file.uploaded_by or ""),
        added=f"{file.created_at[:16]} UTC",
        added_utc=f"{file.created_at} UTC",
        added_iso=f"{file.created_at.replace(' ', 'T')}Z",
        source_url=call.url(f"/-/files/source/{file.source_slug}"),
    )


def add(call: Call, entries: list[dict[str, Any]], files: Iterable[FileRecord]) -> None:
    """Give each entry of a list, for its template, the ``words`` of its file."""
    for entry, file in zip(entries, files, strict=True):
        entry["words"] = of(call, file)
