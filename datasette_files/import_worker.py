"""The import's own process: reads a file from standard input, fills a scratch database.

Started by import_process.py, which sees what is written to standard output: one JSON object to a
line. Loads nothing of Datasette, knows no configuration and no secret. Ends when the server does:
then standard input ends, or standard output cannot be written to.

Standard input is a JSON line that says what to do, then the file in frames: four bytes of length,
and so many bytes; a frame of none ends the file. The file may be asked for again.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import resource
import sqlite3
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from .formats import packed
from .formats.base import BATCH_BYTES, BATCH_ROWS, ImportFormat, ImportProblem, ReadOptions, Table
from .formats.types import TEXT, Column, TypedColumn, convert
from .tables.scratch import Scratch

#: Seconds between two reports.
_REPORT = 0.2
#: Address space: what a hostile file can make this process take.
_MEMORY = 1024 * 1024 * 1024
#: Rows by which a preview tells types, and what it shows.
_SAMPLE_ROWS = 500
_SHOWN_ROWS, _SHOWN_CELL = 20, 500


class ServerGone(Exception):
    """Standard input ended in the middle: nobody waits for this any more."""


class Frames(io.RawIOBase):
    """The file, out of its frames; ``passed`` counts the bytes of this pass."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._left = 0
        self._ended = False
        self.passed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        if not self._left:
            self._left = int.from_bytes(self._exactly(4), "big")
            if not self._left:
                self._ended = True
                return 0
        view = memoryview(buffer)[: self._left]
        count = self._pipe.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise ServerGone
        self._left -= count
        self.passed += count
        return int(count)

    def _exactly(self, size: int) -> bytes:
        content = self._pipe.read(size)
        if len(content) < size:
            raise ServerGone
        return content

    def drain(self) -> None:
        """Read to the end of this pass."""
        buffer = bytearray(256 * 1024)
        while self.readinto(buffer):
            pass

    def close(self) -> None:
        """Nothing: what read the first pass closes it, and there may be a second."""

    def begin_again(self) -> None:
        self._ended = False
        self.passed = 0


class Reports:
    """What the server is told."""

    def __init__(self, pipe: BinaryIO, frames: Frames) -> None:
        self._pipe = pipe
        self._frames = frames
        self._due = 0.0

    def send(self, **message: Any) -> None:
        # A problem may quote what is no text.
        line = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        self._pipe.write(line + b"\n")
        self._pipe.flush()

    def progress(self, rows: int) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _REPORT
            self.send(bytes=self._frames.passed, rows=rows)


class Reading:
    """One file on its way into a table."""

    def __init__(self, task: dict[str, Any], frames: Frames, reports: Reports) -> None:
        self.task = task
        self.frames = frames
        self.reports = reports
        self.folder = Path(task["folder"]) if task.get("folder") else None
        self.options = ReadOptions(**task["options"])
        self.format = _format(task["format"])
        self.members: list[str] = []
        self._on_disk: BinaryIO | None = None
        #: What counts the bytes of the file, unpacked.
        self._counter: Frames | packed.Limited = frames

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
        if self.folder is None:
            raise ImportProblem("A file of this kind cannot be previewed")
        path = self.folder / "file"
        self.close()
        self._on_disk = copy = path.open("w+b")
        path.unlink()
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


class Filling:
    """Moves a table into the scratch database, finding the type of each column on the way."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._chosen: dict[str, str] = reading.task.get("types") or {}
        #: Types of columns of the table that the rows are for, by lower-case names.
        self._hints: dict[str, str] = reading.task.get("hints") or {}
        self._columns: list[Column] = []
        self._scratch: Scratch | None = None
        self._rows = 0
        self._stores = True
        #: Whether the types are known, in the second pass.
        self._known = False

    def run(self) -> dict[str, Any]:
        table = self._pass()
        if any(column.surprised for column in self._columns):
            table = self._second_pass()
        assert self._scratch is not None  # noqa: S101 - _pass makes it
        key = self._reading.task.get("key")
        if key is not None:
            self._key(table, key)
        self._scratch.close()
        kinds = [column.kind for column in self._columns]
        return {"columns": table.columns, "types": kinds, "rows": self._rows, **_found(table)}

    def _second_pass(self) -> Table:
        """Read the file again: values went in as floats of a column that turned out to be text."""
        self._reading.frames.drain()
        self._reading.frames.begin_again()
        self._reading.reports.send(again=True)
        assert self._scratch is not None  # noqa: S101
        self._scratch.begin_again()
        for column in self._columns:
            column.surprised = False
        self._known, self._stores, self._rows = True, True, 0
        return self._pass()

    def _pass(self) -> Table:
        table = self._reading.open()
        if self._scratch is None:
            folder = self._reading.folder
            assert folder is not None  # noqa: S101 - an import has one
            self._scratch = Scratch(folder / "rows.db", len(table.columns))
        for name in sorted(set(self._chosen) - set(table.columns)):
            raise ImportProblem(f"There is no column {name!r} to choose a type for")
        self._widen(table, len(table.columns))
        for batch in self._reading.batches(table):
            self._take(table, batch)
            self._reading.reports.progress(self._rows)
        # What follows an array or a compressed stream is read too, so that the server can go on.
        self._reading.frames.drain()
        return table

    def _take(self, table: Table, batch: list[Sequence[Any]]) -> None:
        width = len(table.columns)
        self._widen(table, width)
        if set(map(len, batch)) != {width}:
            batch = [[*row, *[None] * (width - len(row))] for row in batch]
        by_column: list[Sequence[Any]] = list(zip(*batch, strict=True))
        changed = False
        for index, column in enumerate(self._columns):
            values = self._judged(column, by_column[index], table.columns[index])
            if values is not None:
                by_column[index], changed = values, True
        self._rows += len(batch)
        if self._stores and not self._known:
            self._stores = not any(column.surprised for column in self._columns)
        if self._stores and self._scratch is not None:
            self._scratch.add(zip(*by_column, strict=True) if changed else batch)

    def _judged(self, column: Column, values: Sequence[Any], name: str) -> Sequence[Any] | None:
        if not column.chosen:
            return column.take(values)
        if column.kind == TEXT and all(isinstance(v, str | None) for v in values):
            return None
        made = []
        for offset, value in enumerate(values, 1):
            try:
                made.append(convert(_text(value), str(column.kind)))
            except ValueError:
                raise ImportProblem(
                    f"{str(value)[:50]!r} is no {column.kind}; choose another type for the column",
                    self._rows + offset,
                    name,
                ) from None
        return made

    def _widen(self, table: Table, width: int) -> None:
        kind = Column if table.is_text else TypedColumn
        for index in range(len(self._columns), width):
            name = table.columns[index]
            self._columns.append(kind(self._chosen.get(name) or self._hints.get(name.lower())))
        if self._scratch is not None:
            self._scratch.widen(width)

    def _key(self, table: Table, name: str) -> None:
        lower = [column.lower() for column in table.columns]
        if name.lower() not in lower:
            raise ImportProblem(
                f"There is no column {name!r}, which is to be the primary key; choose another"
            )
        index = lower.index(name.lower())
        assert self._scratch is not None  # noqa: S101
        empty = self._scratch.first_without(index)
        if empty is not None:
            raise ImportProblem(
                "has no value, as a primary key must; choose another key", empty, name
            )
        again = self._scratch.make_key(index)
        if again is not None:
            raise ImportProblem(
                f"{again[0][:50]!r} is in another row too, so this column is no primary key;"
                " choose another, or none",
                again[1],
                name,
            )


def _text(value: Any) -> str | None:
    """A typed value as text, to be converted to the type that was chosen."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def _found(table: Table) -> dict[str, Any]:
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
    shown = [[_shown(value) for value in row] for row in rows[:_SHOWN_ROWS]]
    return {
        **{"columns": table.columns, "types": kinds, "rows": shown, "problem": problem},
        **_found(table),
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


def main() -> int:
    """Do what standard input says. 0 where the outcome was told, a problem of the file included."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    pipe = sys.stdin.buffer
    task = json.loads(pipe.readline())
    frames = Frames(pipe)
    reports = Reports(sys.stdout.buffer, frames)
    try:
        reading = Reading(task, frames, reports)
        outcome = preview(reading) if task["work"] == "preview" else Filling(reading).run()
        reports.send(done=outcome)
    except ImportProblem as problem:
        reports.send(problem=str(problem))
    except (ServerGone, BrokenPipeError):
        return 3
    except MemoryError:
        reports.send(problem="The file takes more memory than an import has; split it")
    except sqlite3.OperationalError as error:
        reports.send(problem=f"The import's folder cannot be used ({error}); it may be full")
    except OSError as error:
        reports.send(problem=f"The import's folder cannot be used ({error.strerror or error})")
    except Exception as error:  # noqa: BLE001 - told, and in the log
        traceback.print_exc()
        reports.send(problem=f"The import failed ({type(error).__name__}); see the server's log")
    return 0
