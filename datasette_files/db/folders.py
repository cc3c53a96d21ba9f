"""Folders and tags in lists: which files a list is narrowed to, subfolders, and counts by tag.

Everything is read from the tables that the triggers of migrations/shelves.py keep.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..models import FileRecord

#: Folders in one answer, and tags.
MAX_FOLDERS = 1_000
MAX_TAGS = 50
#: Files whose tags are counted where the counts are not kept: their rows are read one by one.
MAX_TAGGED = 500


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, with the number and the bytes of the files in it and below it."""

    folder: str
    name: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Within:
    """The part of a list that is in a folder and has all of these tags."""

    #: None: in any folder.
    folder: str | None = None
    #: Whether files below the folder belong to it too.
    recursive: bool = False
    tags: tuple[str, ...] = ()

    @property
    def in_folder(self) -> bool:
        """Tell whether the folder leaves out any file."""
        return self.folder is not None and not (self.recursive and self.folder == "")

    @property
    def narrows(self) -> bool:
        """Tell whether folder or tags leave out any file."""
        return self.in_folder or bool(self.tags)

    def below(self) -> tuple[str, str]:
        """The bounds, both exclusive, of the folders below this one: ``0`` comes after ``/``."""
        return f"{self.folder}/", f"{self.folder}0"

    def folder_condition(self) -> tuple[str, tuple[object, ...]]:
        """A condition on ``f`` that begins with AND, or "", and its values."""
        if not self.in_folder:
            return "", ()
        if not self.recursive:
            return " AND f.folder = ?", (self.folder,)
        return " AND (f.folder = ? OR (f.folder > ? AND f.folder < ?))", (
            *(self.folder, *self.below()),
        )

    def tags_condition(self) -> tuple[str, tuple[object, ...]]:
        """As ``folder_condition``, for the tags."""
        one = """ AND EXISTS (SELECT 1 FROM datasette_files_tags t
            WHERE t.source_id = f.shelf AND t.tag = ? AND t.seq = f.seq)"""
        return one * len(self.tags), self.tags

    def condition(self) -> tuple[str, tuple[object, ...]]:
        """As ``folder_condition``, for folder and tags."""
        folder, folder_values = self.folder_condition()
        tags, tags_values = self.tags_condition()
        return folder + tags, (*folder_values, *tags_values)

    def has(self, file: FileRecord) -> bool:
        """Tell whether the file is in this part."""
        own = self.folder in (None, file.folder)
        if self.recursive and self.folder is not None:
            own = own or not self.in_folder or file.folder.startswith(f"{self.folder}/")
        return own and set(self.tags) <= set(file.tags)


def children(conn: sqlite3.Connection, source_id: int, folder: str) -> tuple[list[Folder], bool]:
    """The folders right below this one by name, and whether some are left out."""
    rows = conn.execute(
        """SELECT name, files, bytes FROM datasette_files_folders
        WHERE source_id = ? AND parent = ? ORDER BY name LIMIT ?""",
        (source_id, folder, MAX_FOLDERS + 1),
    ).fetchall()
    prefix = f"{folder}/" if folder else ""
    found = [Folder(prefix + row[0], *row) for row in rows[:MAX_FOLDERS]]
    return found, len(rows) > MAX_FOLDERS


def files_in(conn: sqlite3.Connection, source_id: int, folder: str) -> int:
    """The number of files in the folder, which is not "", and below it."""
    parent, _, name = folder.rpartition("/")
    row = conn.execute(
        """SELECT files FROM datasette_files_folders
        WHERE source_id = ? AND parent = ? AND name = ?""",
        (source_id, parent, name),
    ).fetchone()
    return row[0] if row else 0


def rarest(conn: sqlite3.Connection, source_id: int, tags: Iterable[str]) -> tuple[str | None, int]:
    """The tag of these that the fewest files of the source have, and their number."""
    row = conn.execute(
        """SELECT wanted.value, ifnull(files, 0) FROM json_each(?) AS wanted
        LEFT JOIN datasette_files_tag_totals t ON t.source_id = ? AND t.tag = wanted.value
        ORDER BY 2 LIMIT 1""",
        (json.dumps(list(tags)), source_id),
    ).fetchone()
    return (row[0], row[1]) if row else (None, 0)


def tag_totals(conn: sqlite3.Connection, source_ids: Iterable[int]) -> list[tuple[str, int]]:
    """The commonest tags of these sources, each with its number of files."""
    return conn.execute(
        """SELECT t.tag, sum(t.files) FROM json_each(?) AS wanted
        CROSS JOIN datasette_files_tag_totals t ON t.source_id = wanted.value
        GROUP BY t.tag ORDER BY 2 DESC, 1 LIMIT ?""",
        (json.dumps(list(source_ids)), MAX_TAGS),
    ).fetchall()


def any_tag(conn: sqlite3.Connection) -> bool:
    """Tell whether a file of any source has a tag."""
    row = conn.execute("SELECT 1 FROM datasette_files_tag_totals LIMIT 1").fetchone()
    return row is not None


def most_used(tags_of_files: Iterable[Iterable[str]]) -> list[tuple[str, int]]:
    """The commonest tags of files, as ``tag_totals``."""
    counts = Counter(tag for tags in tags_of_files for tag in tags)
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MAX_TAGS]
