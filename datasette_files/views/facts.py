"""The facts about a picture, video or sound on its page, and the way to its source's tables."""

from __future__ import annotations

from typing import Any

from datasette.resources import DatabaseResource, TableResource

from ..db import media
from ..db.source_database import of_sources
from ..models import FileRecord
from ..sources.sources import Source
from .http import Call


async def of_file(call: Call, source: Source, file: FileRecord, browsable: bool) -> dict[str, Any]:
    """For the template: ``media`` as ``[(term, text)]``, ``geo`` and ``row_url`` or None."""
    found = await call.files.catalog.read(lambda conn: media.of_file(conn, file.id))
    facts = found[1] if found else media.Facts()
    shown: list[tuple[str, str | None]] = [
        ("Taken", _time(facts.taken_at)),
        ("Camera", facts.camera),
        ("Lens", facts.lens),
        ("Duration", _duration(facts.duration)),
    ]
    if facts.width and facts.height and not (file.width and file.height):
        shown.append(("Pixels", f"{facts.width} × {facts.height}"))
    geo = None
    if source.config.location == "show" and facts.latitude is not None:
        geo = f"{facts.latitude:.6f},{facts.longitude:.6f}"
    return {
        "media": [(term, text) for term, text in shown if text],
        "geo": geo,
        "row_url": await _row_url(call, source, file) if browsable else None,
    }


async def _row_url(call: Call, source: Source, file: FileRecord) -> str | None:
    """The file's row in its source's database, for those who may see the table."""
    name = _database_of(call, source)
    if name is None or not await call.datasette.allowed(
        action="view-table", resource=TableResource(name, "files"), actor=call.actor
    ):
        return None
    url: str = call.datasette.urls.row(name, "files", file.id)
    return url


async def tables_url(call: Call, source: Source) -> str | None:
    """The page of the source's database, for those who may see it."""
    name = _database_of(call, source)
    if name is None or not await call.datasette.allowed(
        action="view-database", resource=DatabaseResource(name), actor=call.actor
    ):
        return None
    url: str = call.datasette.urls.database(name)
    return url


def _database_of(call: Call, source: Source) -> str | None:
    found = of_sources(call.datasette).items()
    return next((name for name, one in found if one.slug == source.slug), None)


def _time(taken_at: str | None) -> str | None:
    """``2024-05-06 07:08:09 +02:00``: the camera's clock, which no browser turns into its own."""
    if taken_at is None:
        return None
    return " ".join(part for part in (taken_at[:10], taken_at[11:19], taken_at[19:]) if part)


def _duration(seconds: float | None) -> str | None:
    """``1:02:03`` or ``2:03``; below ten seconds with a decimal."""
    if seconds is None:
        return None
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
