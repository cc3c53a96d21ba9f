"""Runs the engine of an import on a plain SQLite database, without a server."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path
from typing import Any

from datasette_files.formats.base import ImportFormat
from datasette_files.formats.delimited import Delimited, TabSeparated
from datasette_files.formats.excel import Workbook
from datasette_files.formats.jsons import JsonArray, JsonLines
from datasette_files.formats.parquet import Parquet
from datasette_files.imports import process
from datasette_files.imports.worker import pipe
from datasette_files.imports.worker.filling import Filling
from datasette_files.imports.worker.reading import Reading
from datasette_files.imports.worker.reading import preview as make_preview
from datasette_files.tables import target
from datasette_files.tables.content import STAGING_PREFIX, Content

FORMATS: list[ImportFormat] = [
    *(Delimited(), TabSeparated(), JsonArray(), JsonLines()),
    *(Workbook(), Parquet()),
]


def format_for(path: Path) -> ImportFormat:
    return next((one for one in FORMATS if one.matches("", path.name)), FORMATS[0])


class Pipe(io.BytesIO):
    """The file in frames, as often as it is asked for."""

    def __init__(self, content: bytes, chunk: int) -> None:
        pieces = [content[start : start + chunk] for start in range(0, len(content), chunk)]
        framed = b"".join(len(piece).to_bytes(4, "big") + piece for piece in [*pieces, b""])
        super().__init__(framed * 2)


class Reports:
    earlier = 0
    earning = 0.0

    def progress(self, rows: int, content: int) -> None:
        """Nobody looks."""

    def tell(self) -> None:
        """Nobody looks."""

    def send(self, **message: Any) -> None:
        assert message == {"again": True}


def _reading(
    path: Path, folder: Path, chunk: int, max_bytes: int, work: str, task: dict[str, Any]
) -> Reading:
    frames = pipe.Frames(Pipe(path.read_bytes(), chunk))
    return Reading(
        {
            **{"work": work, "folder": str(folder), "options": {}, "max_bytes": max_bytes},
            "format": process.located(format_for(path)),
            **task,
        },
        frames,
        Reports(),  # type: ignore[arg-type]
    )


def preview(path: Path, folder: Path, **task: Any) -> dict[str, Any]:
    """The first rows. Raises ImportProblem."""
    reading = _reading(path, folder, 1 << 20, 1 << 30, "preview", task)
    try:
        return make_preview(reading)
    finally:
        reading.close()


def read(
    path: Path, folder: Path, *, chunk: int = 1 << 20, max_bytes: int = 1 << 30, **task: Any
) -> dict[str, Any]:
    """Fill ``folder / "rows.db"`` as the process does, in this one. Raises ImportProblem."""
    reading = _reading(path, folder, chunk, max_bytes, "import", task)
    try:
        return Filling(reading).run()
    finally:
        reading.close()


def write(folder: Path, outcome: dict[str, Any], key: str | None = None) -> sqlite3.Connection:
    """A database with the table ``made`` of what was read."""
    conn = sqlite3.connect(f"file:{folder / 'user.db'}", uri=True)
    content = Content(
        path=folder / "rows.db",
        columns=outcome["columns"],
        kinds=[kind or "text" for kind in outcome["types"]],
        rows=outcome["rows"],
        table="made",
        staging=STAGING_PREFIX + "test",
        key=key,
    )
    target.create_staging(conn, content)
    for after in range(0, content.rows, 1000):
        target.copy_rows(conn, content, after, after + 1000)
    target.appear(conn, content, replaces=False)
    return conn
