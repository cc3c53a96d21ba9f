"""Makes the database of a file's live tables: all its tables, with types; or lists them.

A table that cannot be read is left out with its reason. Leaves out how a file is read (reading.py,
sqlite_file.py) and where the database is kept, which the server knows (live/).
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...formats.base import MAX_LISTED_NAME, ImportProblem, shown_names
from ...tables.fresh import Fresh, TooLarge
from ...tables.strange import SqliteFile, StrangeTable
from .filling import Filling
from .pipe import Frames, Kept, Reports
from .reading import Reading, first_rows

#: Tables of a file; others are left out.
MAX_TABLES = 1000
#: Passes over the file that earn CPU. Each sheet of a workbook needs one.
_PASSES = 4
_BEYOND = f"The file has more than {MAX_TABLES:,} tables"


class Opening:
    """Makes the tables of one file."""

    def __init__(self, task: dict[str, Any], frames: Frames, reports: Reports) -> None:
        self._task = task
        self._reports = reports
        reports.earning = _PASSES * max(int(task["size"]), 1)
        self._folder = Path(task["folder"])
        self._frames = frames
        self._database = Fresh(self._folder / "live.db", int(task["most"]), reports.tell)
        self._made: list[dict[str, Any]] = []
        self._left_out: list[dict[str, str]] = []
        #: Rows of the table that is copied.
        self._count = 0

    def run(self) -> dict[str, Any]:
        """Return the tables, and those left out. Raises ImportProblem if there is none."""
        if self._task["sqlite"]:
            self._of_sqlite()
        else:
            self._of_members()
        if not self._made:
            reason = self._left_out[0]["reason"] if self._left_out else "The file holds no table"
            raise ImportProblem(reason)
        self._database.close()
        return {"tables": self._made, "left_out": self._left_out}

    def _of_sqlite(self) -> None:
        path = _on_disk(self._task, self._frames)
        file = SqliteFile(path, self._reports.tell)
        names = file.names(MAX_TABLES + 1)
        for name in names[:MAX_TABLES]:
            try:
                self._copy(file, name)
            except TooLarge:
                raise
            except ImportProblem as problem:
                self._leave_out(name, str(problem))
        if len(names) > MAX_TABLES:
            self._leave_out(names[MAX_TABLES], _BEYOND)
        path.unlink()

    def _copy(self, file: SqliteFile, name: str) -> None:
        table, own = file.table(name), self._database.name(name)
        try:
            try:
                self._database.copy(own, table, self._rows(file, table))
            except sqlite3.IntegrityError:
                # A damaged file repeats a key. The rows are kept, without it.
                self._database.drop(own)
                table = StrangeTable(table.name, table.columns, table.kinds, [])
                self._database.copy(own, table, self._rows(file, table))
        except BaseException:
            self._database.drop(own)
            raise
        self._note(own, self._count)

    def _rows(self, file: SqliteFile, table: StrangeTable) -> Iterator[list[Any]]:
        """Yield the rows of a table, and count them."""
        self._count = 0
        for batch in file.rows(table):
            self._count += len(batch)
            self._reports.progress(self._count, int(self._task["size"]))
            yield batch

    def _of_members(self) -> None:
        frames = _kept(self._task, self._frames)
        reading = Reading(self._task, frames, self._reports)
        first = Filling(reading)
        try:
            outcome = first.run()
        except ImportProblem as problem:
            # One file of an archive; the others may be tables.
            if len(reading.members) < 2:
                raise
            members, own = reading.members, reading.options.member
            self._leave_out(str(own), str(problem))
        else:
            members, own = first.members, outcome["found"].get("member")
            self._bring_in(own, outcome)
        others = [member for member in members if member != own]
        for member in others[: MAX_TABLES - 1]:
            reading.turn_to(member)
            try:
                self._bring_in(member, Filling(reading).run())
            except TooLarge:
                raise
            except ImportProblem as problem:
                self._leave_out(member, str(problem))
        if len(others) >= MAX_TABLES:
            self._leave_out(others[MAX_TABLES - 1], _BEYOND)
        reading.close()
        frames.drain()

    def _bring_in(self, member: str | None, outcome: dict[str, Any]) -> None:
        """Make a table of the rows in the scratch database; ``member`` None: of the whole file."""
        scratch = self._folder / "rows.db"
        name = self._database.name(member or self._task["name"])
        self._database.bring_in(name, outcome, scratch)
        scratch.unlink()
        self._note(name, outcome["rows"])

    def _note(self, name: str, rows: int) -> None:
        self._made.append({"name": name, "rows": rows})
        self._reports.earlier += rows

    def _leave_out(self, name: str, reason: str) -> None:
        (self._folder / "rows.db").unlink(missing_ok=True)
        self._left_out.append({"name": name[:MAX_LISTED_NAME], "reason": reason})


def _kept(task: dict[str, Any], frames: Frames) -> Frames:
    """The file's bytes; from a copy if they are read several times."""
    if not task["keeps"]:
        return frames
    copy = tempfile.TemporaryFile(dir=task["folder"])  # noqa: SIM115 - it lives as the process
    return Kept(frames, copy, int(task["max_bytes"]))


def _on_disk(task: dict[str, Any], frames: Frames) -> Path:
    path = Path(task["folder"]) / "file.db"
    with path.open("w+b") as copy:
        Kept(frames, copy, int(task["max_bytes"]))
    return path


def listed(task: dict[str, Any], frames: Frames, reports: Reports) -> dict[str, Any]:
    """List a file's tables with their columns; those that cannot be read, with their reasons."""
    found: list[dict[str, Any]] = []
    if task["sqlite"]:
        file = SqliteFile(_on_disk(task, frames))
        for name in file.names(MAX_TABLES):
            try:
                found.append({"name": name, "columns": shown_names(file.table(name).columns)})
            except ImportProblem as problem:
                found.append({"name": name, "columns": [], "problem": str(problem)})
        return {"tables": found}
    reading = Reading(task, _kept(task, frames), reports)
    table = reading.open()
    first_rows(reading, table)
    own = table.found.get("member")
    found.append({"name": own or task["name"], "columns": shown_names(table.columns)})
    for member in [one for one in table.members if one != own][: MAX_TABLES - 1]:
        reading.turn_to(member)
        try:
            table = reading.open()
            first_rows(reading, table)
        except ImportProblem as problem:
            found.append({"name": member, "columns": [], "problem": str(problem)})
        else:
            found.append({"name": member, "columns": shown_names(table.columns)})
    return {"tables": found}
