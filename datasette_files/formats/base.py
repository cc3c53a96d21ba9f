"""The contract of an import format, public as ``datasette_files.base.ImportFormat``.

A format reads bytes and gives rows. It runs in a separate process without Datasette, the
configuration or any secret. That process imports the class again by its module and name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

#: Limits of memory: characters of one value, and bytes of one row.
MAX_FIELD = 4 * 1024 * 1024
MAX_RECORD = 16 * 1024 * 1024
#: A batch of rows ends at this many rows, or at this many bytes of the file.
BATCH_ROWS = 1000
BATCH_BYTES = 1024 * 1024
#: SQLite's own limit (SQLITE_MAX_COLUMN).
MAX_COLUMNS = 2000
#: Characters of a column's name.
MAX_NAME = 2000
#: Characters of the name of a member, a sheet or a list that can be chosen.
MAX_LISTED_NAME = 1000


#: Most characters of all names on one page. The page stays under 2 MB, though a character may take
#: five bytes there, and a name occurs three times.
_SHOWN_NAMES = 50_000
#: Characters of a message, which may quote the file.
_MESSAGE = 2000


class ImportProblem(Exception):
    """The file cannot become a table. The message is shown to the user.

    ``row`` is the table's row, counted from 1; 0 is the header. ``column`` is a name or a number.
    """

    def __init__(self, message: str, row: int | None = None, column: str | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.column = column
        #: The values of the option ``member`` that may be chosen instead.
        self.members: list[str] = []

    def __str__(self) -> str:
        place = ", ".join(
            part
            for part in (
                (f"row {self.row:,}" if self.row else "the header") if self.row is not None else "",
                f"column {self.column[:100]}" if self.column is not None else "",
            )
            if part
        )
        message = super().__str__()[:_MESSAGE]
        return f"{place[:1].upper()}{place[1:]}: {message}" if place else message


@dataclass
class ReadOptions:
    """The user's choices for reading a file. The format detects every option that is None."""

    encoding: str | None = None
    #: Bytes that cannot be decoded: ``strict`` ends the import, ``replace`` makes them U+FFFD.
    errors: str = "strict"
    delimiter: str | None = None
    #: With an empty string, quotation marks have no special meaning.
    quote: str | None = None
    #: Whether the first row holds the columns' names.
    header: bool | None = None
    #: Rows to leave out above the header, or above the first row if there is no header.
    skip: int | None = None
    #: Values beyond the header's last column: ``error`` ends the import, ``drop`` removes them.
    extra: str = "error"
    #: The file of an archive, the sheet of a workbook, or the list in a JSON object.
    member: str | None = None


@dataclass
class Table:
    """The table that a format reads.

    ``columns`` may grow while rows are read; missing values at the end of a row are NULL. Values
    are None, int, float, str, bytes and bool.
    """

    columns: list[str]
    rows: Iterable[Sequence[Any]]
    #: The same rows in batches, if the format makes them so; then ``rows`` is not read.
    batches: Iterable[list[Sequence[Any]]] | None = None
    #: True if every value is text whose type must be guessed; else each value has its own type.
    is_text: bool = False
    #: The options that were detected or chosen, by the names of ``ReadOptions``.
    found: dict[str, Any] = field(default_factory=dict)
    #: The possible values of the option ``member``.
    members: list[str] = field(default_factory=list)


class ImportFormat:
    """A kind of file that can become a table. Subclass, and override ``read``."""

    #: Identifier in URLs and forms: lower-case letters, digits and dashes.
    name: str = ""
    #: Name that the user sees.
    label: str = ""
    #: Endings of file names, and content types, of this format.
    extensions: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    #: True if ``read`` must seek; the file is then copied to disk, in a private folder, first.
    seeks: bool = False
    #: Names of the ``ReadOptions`` that the user can choose.
    options: tuple[str, ...] = ()

    def matches(self, content_type: str, filename: str) -> bool:
        """Tell whether a file is probably of this format. ``content_type`` has no parameters."""
        return filename.lower().endswith(self.extensions) or content_type in self.content_types

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        """Return the table in the stream: the columns at once, the rows one by one.

        Raises ImportProblem. Must hold no more than one row (or batch) in memory.
        """
        raise NotImplementedError


_Text = TypeVar("_Text", str, "str | None")


def shortened(rows: Sequence[Sequence[_Text]], each: int, together: int) -> list[list[_Text]]:
    """Cut each text to ``each`` characters; to fewer if all are more than ``together``."""
    lengths = [len(text) for row in rows for text in row if text]
    while each > 1 and sum(min(length, each) for length in lengths) > together:
        each //= 2
    return [[text and text[:each] for text in row] for row in rows]


def shown_names(names: Sequence[str]) -> list[str]:
    """Cut the names of columns to what a page can show."""
    return shortened([names], MAX_LISTED_NAME, _SHOWN_NAMES)[0]


def check_name(name: str, row: int, column: str | None = None) -> None:
    """Raise ImportProblem if a column's name is too long."""
    if len(name) > MAX_NAME:
        raise ImportProblem(
            f"has a name of more than {MAX_NAME:,} characters; shorten it, or import without a"
            " header; a quotation mark may be missing",
            row,
            column,
        )


def composed(name: str) -> str:
    """The name in Unicode's form NFC (UAX 15); some systems write accents apart."""
    return unicodedata.normalize("NFC", name)


def name_key(name: str) -> str:
    """The key of a column name: equal for names that differ in case or composition alone."""
    return composed(name).lower()


def column_names(header: Sequence[Any]) -> list[str]:
    """Return valid, different column names: empty and repeated ones get a number.

    SQLite does not tell ``Name`` from ``name``. Names are composed (Unicode's form NFC), as people
    type them.
    """
    if len(header) > MAX_COLUMNS:
        raise ImportProblem(f"{len(header):,} columns; a table has at most {MAX_COLUMNS:,}")
    given = [composed(" ".join(str("" if name is None else name).split())) for name in header]
    for number, plain in enumerate(given, 1):
        check_name(plain, 0, str(number))
    taken = {name.lower() for name in given}
    names: list[str] = []
    seen: set[str] = set()
    #: The last number given to a name, so that a thousand equal names take linear time.
    last: dict[str, int] = {}
    for number, plain in enumerate(given, 1):
        base = plain or f"column_{number}"
        name, again = base, last.get(base.lower(), 1)
        while name.lower() in seen or (name != plain and name.lower() in taken):
            again += 1
            name = f"{base}_{again}"
        last[base.lower()] = again
        seen.add(name.lower())
        names.append(name)
    return names
