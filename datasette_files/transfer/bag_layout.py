"""The content of a bundle: a bag (BagIt 1.0, RFC 8493) that is a Data Package too.

Its paths, the same in a folder, in a zip file and over HTTP::

    datapackage.json         lists rows and files, for other programs
    rows.schema.json         the table's schema, if there are rows
    data/rows.csv            the rows
    data/files.csv           the catalog's record of each file
    data/files/{name}        the files; names are unique, and safe on Windows

Leaves out where the bytes go (bag_writing.py), which files are bundled (bundling.py, zips.py), and
the way back (unbundling.py).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .. import naming
from ..errors import Invalid
from ..formats.csv_line import line
from ..formats.table_schema import MAX_SCHEMA, TableSchema
from ..models import FileRecord
from ..tables.bag_index import FILE_COLUMNS
from .bag_writing import BagFiles, Written

FILES, FILES_CSV = "data/files/", "data/files.csv"
ROWS_CSV, ROWS_SCHEMA = "data/rows.csv", "rows.schema.json"
PACKAGE = "datapackage.json"
#: The label of bag-info.txt that marks a bag as a bundle, and the version of its layout.
LABEL, VERSION = "Datasette-Files-Bundle", "1"
#: The types of the columns of data/files.csv that are not text.
INTEGERS = ("size", "width", "height")
#: Bytes of text that are written at once.
_CHUNK_BYTES = 64 * 1024


def free_path(filename: str, take: Callable[[str], int]) -> str:
    """A path for a file: unique whatever the case of its letters, and without ``..``.

    ``take`` counts a name, and returns how often it was asked for before.
    """
    name = re.sub(r"\.{2,}", ".", naming.stored_name(filename))
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    candidate = name
    while number := take(candidate.casefold()):
        candidate = f"{stem}-{number + 1}{dot}{extension}"
    return FILES + candidate


class Layout:
    """A bundle on its way into ``bag``, with the lists that are written at its end.

    The lists wait in ``work``, a temporary folder. ``name`` is the bundle's. Its methods block.
    """

    def __init__(self, bag: BagFiles, work: Path, name: str) -> None:
        self._bag = bag
        self._name = name
        self._tables: list[dict[str, Any]] = []
        self._listed = (work / "files.csv").open("w+", encoding="utf-8", newline="")
        self._listed.write(line(FILE_COLUMNS))
        self._resources = (work / "resources").open("w+", encoding="utf-8", newline="")

    @property
    def length(self) -> int:
        """The bytes of the lists."""
        return self._listed.tell() + self._resources.tell()

    def add_rows(
        self,
        schema: TableSchema,
        each: Callable[[Callable[[tuple[Any, ...]], None]], int],
        stop: Callable[[], None],
    ) -> int:
        """Write the rows that ``each`` passes on, and their schema; return their number."""
        described = checked_schema(schema)
        with self._bag.member(ROWS_CSV) as member:
            buffer = io.StringIO(newline="")
            buffer.write(line(field.name for field in schema.fields))

            def flush() -> None:
                stop()
                member.write(buffer.getvalue().encode())
                buffer.seek(0)
                buffer.truncate()

            def add(values: tuple[Any, ...]) -> None:
                buffer.write(line(schema.cells(values)))
                if buffer.tell() >= _CHUNK_BYTES:
                    flush()

            number = each(add)
            flush()
        self._bag.add(ROWS_SCHEMA, described)
        self._list_rows(member.written)
        return number

    def hold_rows(self, rows: Written, schema: Written) -> None:
        """Take up the rows and their schema, whose bytes stand elsewhere."""
        self._bag.note(rows)
        self._bag.note(schema)
        self._list_rows(rows)

    def _list_rows(self, written: Written) -> None:
        self._tables.append(_table("rows", written, ROWS_SCHEMA))

    def hold_file(self, file: FileRecord, written: Written) -> None:
        """Take up a file, whose bytes stand elsewhere."""
        self._bag.note(written)
        self.list_file(file, written)

    def list_file(self, file: FileRecord, written: Written) -> None:
        """List a file that was written."""
        own = {"path": written.path, "source": file.source_slug, "size": written.size}
        row = {**own, "sha256": written.sha256, "tags": json.dumps(file.tags)}
        cells = (row[name] if name in row else getattr(file, name) for name in FILE_COLUMNS)
        self._listed.write(line(cells))
        resource = {
            **_resource(file.id.lower(), written),
            "type": "file",
            "title": file.filename,
            "mediatype": file.type,
        }
        self._resources.write(",\n" + json.dumps(resource))

    def finish(self, labels: Iterable[tuple[str, str]] = ()) -> None:
        """Write the lists and the tag files. ``labels`` are added to bag-info.txt."""
        self._listed.flush()
        with Path(self._listed.name).open("rb") as listed:
            written = self._bag.add(FILES_CSV, listed)
        self._tables.append(_table("files", written, _files_schema()))
        head = {"profile": "data-package", "name": _package_name(self._name)}
        self._resources.flush()
        with self._bag.member(PACKAGE) as package:
            begin = json.dumps(head)[:-1] + ', "resources": ['
            package.write((begin + ",\n".join(map(json.dumps, self._tables))).encode())
            self._resources.seek(0)
            while text := self._resources.read(_CHUNK_BYTES):
                package.write(text.encode())
            package.write(b"]}\n")
        self._bag.finish([("Bag-Software-Agent", "datasette-files"), (LABEL, VERSION), *labels])

    def close(self) -> None:
        self._listed.close()
        self._resources.close()


def checked_schema(schema: TableSchema) -> str:
    """The bytes of rows.schema.json. Raises Invalid for one that no reader takes."""
    described = schema.as_json()
    if len(described) > MAX_SCHEMA:
        raise Invalid("The table's column names are too many or too long; shorten them")
    return described


def _resource(name: str, written: Written) -> dict[str, Any]:
    facts = {"bytes": written.size, "hash": f"sha256:{written.sha256}"}
    return {"name": name, "path": written.path, **facts}


def _table(name: str, written: Written, schema: object) -> dict[str, Any]:
    return {
        **_resource(name, written),
        "profile": "tabular-data-resource",
        "type": "table",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": schema,
    }


def _files_schema() -> dict[str, Any]:
    fields = [
        {"name": name, "type": "integer" if name in INTEGERS else "string"} for name in FILE_COLUMNS
    ]
    return {"fields": fields, "primaryKey": ["id"]}


def _package_name(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "bundle"
