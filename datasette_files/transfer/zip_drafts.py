"""Zips whose members are being chosen: names, places, and what is left out.

Leaves out where they are kept (zips.py), and the last members of a bag (zip_bags.py).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..db import zips as rows
from ..db.zips import Chosen
from ..models import FileRecord, parse_time, written
from ..protocol.zipfile64 import Member, Totals
from .bag_layout import ROWS_CSV, ROWS_SCHEMA, free_path
from .bag_writing import MAX_ZIP_FILES, Written, folder_name
from .zip_names import Names
from .zip_rows import LEFT_OUT, Rows, left_out_text

#: Files of a zip, and of one that is a bag: rows and lists are members too.
MAX_FILES, MAX_BAG_FILES = 200_000, MAX_ZIP_FILES - 10
#: Files left out that a zip remembers.
_REMEMBERED = 1_000


@dataclass
class Draft:
    """A zip whose members are being chosen."""

    number: int
    zip_id: str
    rows: Rows | None = None
    totals: Totals = field(default_factory=Totals)
    files: int = 0
    size: int = 0
    names: Names = field(default_factory=Names)
    #: The ``(id, code)`` of files that are left out.
    refused: list[tuple[str, str]] = field(default_factory=list)
    #: Files that it may hold.
    most = MAX_FILES

    def place(self, file: FileRecord, size: int) -> Chosen:
        crc32 = None if file.crc32 is None else int(file.crc32, 16)
        member = Member(file.id, self._name(file), size, crc32 or 0, file.modified)
        entry, self.totals = self.totals.with_member(member)
        self.files += 1
        self.size += size
        return Chosen(entry, crc32, file.created_at)

    def place_text(self, name: str, content: bytes, now: float) -> Chosen:
        key, crc32 = f"{rows.TEXT}{name}", zlib.crc32(content)
        written_at = written(now)
        member = Member(key, self._text_name(name), len(content), crc32, parse_time(written_at))
        entry, self.totals = self.totals.with_member(member)
        return Chosen(entry, crc32, written_at)

    def _name(self, file: FileRecord) -> str:
        return self.names.add(file.folder, file.filename)

    def _text_name(self, name: str) -> str:
        return self.names.add("", name)

    @property
    def first_texts(self) -> Iterable[tuple[str, bytes]]:
        """Name and bytes of the members before the files."""
        return [] if self.rows is None else [("rows.csv", self.rows.csv)]

    @property
    def last_texts(self) -> Iterable[tuple[str, bytes]]:
        """Name and bytes of the members after the files."""
        if self.rows is None or not (self.refused or self.rows.notes):
            return []
        return [(LEFT_OUT, left_out_text(self.rows, self.refused))]

    @property
    def described(self) -> dict[str, Any]:
        """What the page of the zip shows."""
        shown: dict[str, Any] = {
            "files": self.files,
            "bytes": self.size,
            "left_out_count": len(self.refused),
        }
        if self.rows is not None:
            shown |= {"origin": asdict(self.rows.origin), "notes": self.rows.notes}
        return {**shown, "left_out": self.refused[:_REMEMBERED]}


@dataclass
class BagDraft(Draft):
    """A bag: its last members follow once the sha256 of each file is known (zip_bags.py)."""

    #: The folder of the bag in the zip.
    folder: str = ""
    most = MAX_BAG_FILES
    #: How often each name was asked for.
    _taken: dict[str, int] = field(default_factory=dict)
    _texts: list[Written] = field(default_factory=list)

    @classmethod
    def named(cls, name: str, **more: Any) -> BagDraft:
        """A draft for the zip of this name."""
        return cls(folder=f"{folder_name(name)}/", **more)

    def place_text(self, name: str, content: bytes, now: float) -> Chosen:
        self._texts.append(Written(name, len(content), hashlib.sha256(content).hexdigest()))
        return super().place_text(name, content, now)

    def _name(self, file: FileRecord) -> str:
        return self.folder + free_path(file.filename, self._take)

    def _text_name(self, name: str) -> str:
        return self.folder + name

    def _take(self, name: str) -> int:
        last = self._taken.get(name, -1) + 1
        self._taken[name] = last
        return last

    @property
    def first_texts(self) -> Iterable[tuple[str, bytes]]:
        if self.rows is None:
            return []
        return [(ROWS_CSV, self.rows.csv), (ROWS_SCHEMA, self.rows.schema or b"")]

    @property
    def last_texts(self) -> Iterable[tuple[str, bytes]]:
        return []

    @property
    def described(self) -> dict[str, Any]:
        rows = [[one.path, one.size, one.sha256] for one in self._texts]
        return {**super().described, "bag": {"sealed": False, "rows": rows}}
