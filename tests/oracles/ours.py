"""What the plugin reads out of a file: by its confined processes, without a server."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from datasette_files.formats.packed import GZIP, OLE, ZIP, ZSTD
from datasette_files.imports import process as imports
from datasette_files.media import sniffing
from datasette_files.plugin import register_import_formats
from datasette_files.previews.facts import _Parts
from datasette_files.previews.workers import Limits, programs
from datasette_files.sandbox.process import Child
from datasette_files.texts import kinds
from datasette_files.texts.reader import Reader
from tests.oracles.judges import MAX_ROWS, Sheets, rows_of

_MAX_TEXT = 4 * 1024 * 1024
_MAX_BYTES = 256 * 1024 * 1024


def type_of(path: Path) -> str:
    """The content type that an upload of the file would get."""
    with path.open("rb") as file:
        head = file.read(sniffing.HEAD)
    return sniffing.stored_type(sniffing.declared_type(None, path.name), head)


async def _content(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 18):
            yield piece


class Ours:
    """Our readers. An asynchronous context manager."""

    def __init__(self) -> None:
        self.kinds = kinds.installed(["eng"])
        self._reader = Reader(self.kinds, _MAX_TEXT)
        self._facts: Child | None = None
        self._parts = _Parts()
        self._formats = register_import_formats(None)

    async def __aenter__(self) -> Ours:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._reader.close()
        if self._facts is not None:
            await self._facts.close()

    async def text(self, kind: str, path: Path) -> tuple[dict[int, str], str | None]:
        """The pages, and the reason if there are none or not all."""
        pages: dict[int, str] = {}

        async def take(some: list[tuple[int, str]]) -> bool:
            for number, text in some:
                pages[number] = pages.get(number, "") + text
            return True

        outcome = await self._reader.read(kind, _content(path), take)
        return pages, outcome.error

    async def facts(self, path: Path) -> tuple[dict[str, Any], str | None]:
        """The facts of a picture or a clip, and the reason if there are none."""
        content_type = type_of(path)
        kind = self._parts.kind(content_type)
        if kind is None:
            return {}, f"nothing reads {content_type}"
        limits = Limits(memory=1 << 30, max_bytes=_MAX_BYTES, seconds=30)
        if self._facts is None or not self._facts.alive:
            run = programs(self._parts.ffprobe)
            self._facts = await Child.start("previews.worker.facts", limits, run=run)
            self._facts.send(
                {**asdict(limits), "heif": self._parts.heif, "ffprobe": self._parts.ffprobe}
            )
        self._facts.send({"kind": kind, "content_type": content_type})
        await self._facts.feed(_content(path))
        self._facts.end_file()
        answer = await self._facts.receive()
        if answer.get("ends"):
            await self._facts.close()
            self._facts = None
        return answer.get("facts", {}), answer.get("problem")

    async def tables(self, path: Path) -> tuple[Sheets, str | None]:
        """The tables, each with its columns as the first row; and the reason if there are none."""
        with path.open("rb") as file:
            head = file.read(16)
        name, is_sqlite = path.name.lower(), head == b"SQLite format 3\x00"
        chosen = next((one for one in self._formats if one.matches("", name)), self._formats[0])
        size = path.stat().st_size
        task = {
            **{"work": "open", "options": {}, "sqlite": is_sqlite, "name": path.stem, "size": size},
            **imports.formats(chosen, self._formats, asked=False),
            "whole": is_sqlite or chosen.seeks,
            "keeps": head.startswith((ZIP, OLE, GZIP, ZSTD)) or chosen.name not in ("csv", "tsv"),
            **{"most": 1 << 30, "max_bytes": _MAX_BYTES},
        }
        folder = Path(tempfile.mkdtemp())
        try:
            outcome = await imports.run(task, lambda: _content(path), lambda *_: None, folder)
            with sqlite3.connect(folder / "live.db") as conn:
                conn.text_factory = lambda raw: raw.decode("utf-8", "replace")
                found = {one["name"]: _rows(conn, one["name"]) for one in outcome["tables"]}
            conn.close()
            left = outcome["left_out"]
            return found, "; ".join(f"{one['name']}: {one['reason']}" for one in left) or None
        except imports.ImportFailed as error:
            return {}, str(error)
        finally:
            shutil.rmtree(folder)


def _rows(conn: sqlite3.Connection, name: str) -> list[list[str]]:
    quoted = name.replace('"', '""')
    found = conn.execute(f'SELECT * FROM "{quoted}" LIMIT {MAX_ROWS}')
    columns = [one[0] for one in found.description]
    return rows_of([columns, *found])
