"""Reads a file in the import's process: unpacks it, and passes it to its format.

Also makes the preview of the first rows. Leaves out the storing of all rows (filling.py).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...formats import packed
from ...formats.base import (
    BATCH_BYTES,
    BATCH_ROWS,
    MAX_LISTED_NAME,
    ImportFormat,
    ImportProblem,
    ReadOptions,
    Table,
    shortened,
    shown_names,
)
from ...formats.characters import differing
from ...formats.excel import Workbook
from ...formats.jsons import JsonArray, begins_json
from ...formats.types import TEXT, Column, TypedColumn
from .pipe import Frames, Reports

#: Rows from which a preview detects types; then the rows, columns and characters it shows.
_SAMPLE_ROWS = 500
_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_CELL = 20, 200, 500
#: Most characters of all cells and of all members in a preview. A page stays under 2 MB, though a
#: character may take five bytes there.
_SHOWN_CELLS, _SHOWN_MEMBERS = 60_000, 20_000
_MEMBERS = 500
#: Layers of packing, as in ``rows.csv.gz`` in an archive; bytes of a buffer; and those looked at.
_MAX_LAYERS = 2
_BUFFER, _HEAD = 256 * 1024, 1024
_PACKED = (packed.ZIP, packed.GZIP, packed.ZSTD)


class Reading:
    """Unpacks and reads one file."""

    def __init__(self, task: dict[str, Any], frames: Frames, reports: Reports) -> None:
        self.task = task
        self.frames = frames
        self.reports = reports
        self.folder = Path(task["folder"])
        self.options = ReadOptions(**task["options"])
        self.format = _format(task["format"])
        self.members: list[str] = []
        self._on_disk: list[BinaryIO] = []
        #: The stream that counts the file's unpacked bytes.
        self._counter: Frames | packed.Limited = frames
        #: The unpacked bytes of a workbook.
        self._unpacked = 0
        #: The unpacked bytes of an earlier pass.
        self._earlier = 0

    @property
    def content(self) -> int:
        """Unpacked bytes of the file read until now, in all passes."""
        return self._earlier + self._counter.passed

    @property
    def read_bytes(self) -> int:
        """Unpacked bytes of the file read until now, in this pass."""
        return max(self._counter.passed, self._unpacked)

    def begin_again(self) -> None:
        """Read the file to its end, and ask for it once more."""
        self.frames.drain()
        self._earlier, self._counter = self.content, self.frames
        if self.frames.begin_again():
            self.reports.send(again=True)

    def turn_to(self, member: str) -> None:
        """Begin again, with another member."""
        self.begin_again()
        self.options.member = member
        self.format = _format(self.task["format"])

    def open(self) -> Table:
        """Unpack the file if it is packed, and return its table. Raises ImportProblem."""
        self.close()
        limit = int(self.task["max_bytes"])
        stream, options = self._unpack(io.BufferedReader(self.frames, _BUFFER), limit)
        self._prefer_json(stream)
        if self.format.seeks:
            stream = self._on_disk_whole(stream, limit)
        table = self.format.read(stream, options)
        if self.members:
            table.members, table.found["member"] = self.members, self.options.member
        return table

    def _unpack(self, stream: Any, limit: int) -> tuple[Any, ReadOptions]:
        """Return the file's content, and the options for it; set the format that it shows."""
        options, in_archive = self.options, False
        for layer in range(_MAX_LAYERS + 1):
            head = b"" if self.format.seeks else stream.peek(8)[:8]
            if head.startswith(_PACKED) and layer == _MAX_LAYERS:
                raise ImportProblem("The file is packed several times; unpack it, and import it")
            if head.startswith(packed.ZIP):
                spooled = self._spooled(stream, limit)
                if packed.is_workbook(spooled):
                    self.format = Workbook()
                    return spooled, options
                if in_archive:
                    raise ImportProblem(
                        "The archive holds an archive; unpack it, and import the file inside"
                    )
                stream, options = self._member(spooled, limit)
                in_archive = True
            elif head.startswith(packed.GZIP):
                stream = packed.Gunzipped(stream, limit, bool(self.task.get("cut")))
            elif head.startswith(packed.ZSTD):
                stream = packed.Unzstd(stream, limit, bool(self.task.get("cut")))
            else:
                if head == packed.OLE:
                    self.format = Workbook()
                break
            self._counter = stream
            stream = io.BufferedReader(stream, _BUFFER)
        return stream, options

    def _prefer_json(self, stream: Any) -> None:
        """Read JSON as JSON, whatever the file's name, unless the user chose the format."""
        if self.task.get("asked") or self.format.name not in ("csv", "tsv"):
            return
        if begins_json(stream.peek(_HEAD)[:_HEAD]):
            self.format = JsonArray()

    def _member(self, archive: BinaryIO, limit: int) -> tuple[BinaryIO, ReadOptions]:
        """Open the chosen member, else the first that may be a table; return it and options."""
        formats = [_format(spec) for spec in self.task.get("formats") or [self.task["format"]]]

        def format_of(name: str) -> ImportFormat | None:
            return next((one for one in formats if one.matches("", name.lower())), None)

        self.members = packed.members(archive, lambda name: format_of(name) is not None)
        name = self.options.member = self.options.member or self.members[0]
        if not self.task.get("asked"):
            self.format = format_of(name) or self.format
        return packed.open_member(archive, name, limit), replace(self.options, member=None)

    def _on_disk_whole(self, stream: Any, limit: int) -> BinaryIO:
        """Return the file on disk, for a format that seeks, and unpacks a zip archive by itself."""
        if stream not in self._on_disk:
            stream = self._spooled(stream, limit)
        head = stream.read(4)
        stream.seek(0)
        self._unpacked = packed.check(stream, limit) if head == packed.ZIP else 0
        return cast("BinaryIO", stream)

    def _spooled(self, stream: Any, limit: int) -> BinaryIO:
        """Copy the stream to an unnamed file, which the system removes with this process."""
        copy = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - see close
        self._on_disk.append(copy)
        limited = packed.Limited(stream, limit)
        while piece := limited.read(256 * 1024):
            copy.write(piece)
        copy.seek(0)
        return copy

    def close(self) -> None:
        """Close, and so remove, the copies on disk."""
        while self._on_disk:
            self._on_disk.pop().close()

    def batches(self, table: Table) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in batches, which have fewer rows if these are large."""
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
    """Import the format's class by the server's description; return an instance."""
    name = spec["module"]
    if spec.get("file"):
        # A plugin of --plugins-dir: an import would not find its module.
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


def found(reading: Reading, table: Table, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the detected facts of a file for the server; ``rows`` are some of its first rows."""
    told = {**table.found}
    if told.get("guessed"):
        told["others"] = [
            {"encoding": other, "cells": differing(rows, table.columns, told["encoding"], other)}
            for other in told["others"]
        ]
    if len(str(told.get("member") or "")) > MAX_LISTED_NAME:
        del told["member"]
    members = [name for name in table.members if len(name) <= MAX_LISTED_NAME][:_MEMBERS]
    while sum(map(len, members)) > _SHOWN_MEMBERS:
        members = members[: len(members) // 2]
    return {"found": told, "members": members, "format": reading.format.name}


def first_rows(reading: Reading, table: Table) -> tuple[list[Sequence[Any]], str | None]:
    """Return the first rows of a table, and the reason if there should be more."""
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
    return rows, problem


def preview(reading: Reading) -> dict[str, Any]:
    """Return the first rows and the detected facts; the types are guessed from these rows only.

    If another member may be chosen instead, a problem comes with the list of members. Raises
    ImportProblem.
    """
    try:
        table = reading.open()
        rows, problem = first_rows(reading, table)
    except ImportProblem as error:
        members = reading.members or error.members
        if len(members) < 2:
            raise
        table = Table([], [], found={"member": reading.options.member}, members=members)
        rows, problem = [], str(error)
    width = len(table.columns)
    kinds = []
    for index in range(width):
        column = Column() if table.is_text else TypedColumn()
        values = [row[index] if index < len(row) else None for row in rows]
        column.take(values)
        kinds.append(column.kind or TEXT)
    names = shown_names(table.columns)
    shown = [[_shown(value) for value in row[:_SHOWN_COLUMNS]] for row in rows[:_SHOWN_ROWS]]
    return {
        **{"columns": names, "types": kinds, "problem": problem},
        "rows": shortened(shown, _SHOWN_CELL, _SHOWN_CELLS),
        # The user cannot choose a column whose name is cut.
        "cut_names": [n for n, name in enumerate(table.columns) if name != names[n]],
        **found(reading, table, rows),
    }


def _shown(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
