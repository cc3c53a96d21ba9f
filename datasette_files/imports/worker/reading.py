"""A file in the import's process: unpacked, put on disk where that is needed, given to its format.

And its first rows, for a preview. Leaves out what becomes of all rows (filling.py).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...formats import packed
from ...formats.base import BATCH_BYTES, BATCH_ROWS, ImportFormat, ImportProblem, ReadOptions, Table
from ...formats.types import TEXT, Column, TypedColumn
from .pipe import Frames, Reports

#: Rows by which a preview tells types, and what it shows.
_SAMPLE_ROWS = 500
_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_CELL = 20, 200, 500


class Reading:
    """One file on its way into a table."""

    def __init__(self, task: dict[str, Any], frames: Frames, reports: Reports) -> None:
        self.task = task
        self.frames = frames
        self.reports = reports
        self.folder = Path(task["folder"])
        self.options = ReadOptions(**task["options"])
        self.format = _format(task["format"])
        self.members: list[str] = []
        self._on_disk: BinaryIO | None = None
        #: What counts the bytes of the file, unpacked.
        self._counter: Frames | packed.Limited = frames
        #: Those of an earlier pass.
        self._earlier = 0

    @property
    def content(self) -> int:
        """Bytes of the file that were read so far, unpacked, in all passes."""
        return self._earlier + self._counter.passed

    def begin_again(self) -> None:
        """Read the file to its end, and ask for it once more."""
        self.frames.drain()
        self._earlier, self._counter = self.content, self.frames
        self.frames.begin_again()
        self.reports.send(again=True)

    def open(self) -> Table:
        """The file as a table, unpacked where it is packed."""
        stream: Any = io.BufferedReader(self.frames, 256 * 1024)
        head = stream.peek(4)[:4]
        limit = int(self.task["max_bytes"])
        if self.format.seeks:
            stream = self._spooled(stream, limit)
            if head == packed.ZIP:
                packed.check(stream, limit)
        elif head == packed.ZIP:
            spooled = self._spooled(stream, limit)
            self.members = packed.members(spooled)
            stream, self.options.member = packed.open_member(spooled, self.options.member, limit)
        elif head[:2] == packed.GZIP:
            stream = packed.Gunzipped(stream, limit, bool(self.task.get("cut")))
        if isinstance(stream, packed.Limited):
            self._counter = stream
        table = self.format.read(stream, self.options)
        table.members = table.members or self.members
        if self.options.member:
            table.found.setdefault("member", self.options.member)
        return table

    def _spooled(self, stream: Any, limit: int) -> BinaryIO:
        """The file on disk, to seek in; without a name, so that it ends with this process."""
        self.close()
        self._on_disk = copy = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - see close
        limited = packed.Limited(stream, limit)
        while piece := limited.read(256 * 1024):
            copy.write(piece)
        copy.seek(0)
        return copy

    def close(self) -> None:
        """Let go of the file on disk."""
        if self._on_disk is not None:
            self._on_disk.close()

    def batches(self, table: Table) -> Iterator[list[Sequence[Any]]]:
        """The rows, some at a time; fewer where they are large."""
        if table.batches is not None:
            yield from table.batches
            return
        batch: list[Sequence[Any]] = []
        begun = self._counter.passed
        for row in table.rows:
            batch.append(row)
            if len(batch) >= BATCH_ROWS or self._counter.passed - begun > BATCH_BYTES:
                yield batch
                batch, begun = [], self._counter.passed
        if batch:
            yield batch


def _format(spec: dict[str, str]) -> ImportFormat:
    """The format's class, found again as the server knows it."""
    name = spec["module"]
    if spec.get("file"):
        # A plugin of --plugins-dir, whose module no import finds.
        found = importlib.util.spec_from_file_location(name, spec["file"])
        if found is None or found.loader is None:
            raise ImportProblem(f"The plugin {spec['file']} cannot be loaded")
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        found.loader.exec_module(module)
    else:
        module = importlib.import_module(name)
    made = getattr(module, spec["class"])()
    if not isinstance(made, ImportFormat):
        raise ImportProblem(f"{spec['class']} is no ImportFormat; ask the plugin's author")
    return made


def found(table: Table) -> dict[str, Any]:
    """What was found out about a file, to be told."""
    return {"found": table.found, "members": table.members}


def preview(reading: Reading) -> dict[str, Any]:
    """The first rows, and what is found out so far: all types are those of these rows alone."""
    table = reading.open()
    rows: list[Sequence[Any]] = []
    problem = None
    try:
        for row in table.rows:
            rows.append(row)
            if len(rows) >= _SAMPLE_ROWS:
                break
    except ImportProblem as error:
        # The head may be cut within a row.
        if not reading.task.get("cut"):
            problem = str(error)
    else:
        if reading.task.get("cut") and len(rows) < _SAMPLE_ROWS and len(rows) > 1:
            rows.pop()
    width = len(table.columns)
    kinds = []
    for index in range(width):
        column = Column() if table.is_text else TypedColumn()
        values = [row[index] if index < len(row) else None for row in rows]
        column.take(values)
        kinds.append(column.kind or TEXT)
    shown = [[_shown(value) for value in row[:_SHOWN_COLUMNS]] for row in rows[:_SHOWN_ROWS]]
    return {
        **{"columns": table.columns, "types": kinds, "rows": shown, "problem": problem},
        **found(table),
    }


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = (
        value
        if isinstance(value, str)
        else f"{len(value)} bytes"
        if isinstance(value, bytes)
        else str(value)
    )
    return text[:_SHOWN_CELL]
