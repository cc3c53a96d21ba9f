"""The contract of an import format, public as ``datasette_files.base.ImportFormat``.

A format reads bytes and gives rows. It runs in a process of its own, without Datasette, the
configuration or any secret: its class is found again there by module and name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

#: Characters of one value, and bytes of one row: what a file can make the process hold.
MAX_FIELD = 4 * 1024 * 1024
MAX_RECORD = 16 * 1024 * 1024
#: Rows that are judged and stored at once, and bytes of the file after which fewer are.
BATCH_ROWS = 1000
BATCH_BYTES = 1024 * 1024
#: SQLite's own limit (SQLITE_MAX_COLUMN).
MAX_COLUMNS = 2000
#: Characters of a column's name: it is shown many times.
MAX_NAME = 2000
#: Characters of the name of a member, a sheet or a list that can be chosen.
MAX_LISTED_NAME = 1000


#: Characters of all names that are shown together: a page stays under 2 MB though each may take
#: five bytes there, and a name is written three times.
_SHOWN_NAMES = 50_000
#: Characters of a message: it may quote the file.
_MESSAGE = 2000


class ImportProblem(Exception):
    """The file cannot become a table. The message is for people; ``row`` counts from 1.

    ``row`` is that of the table, 0 for the header. ``column`` is its name, or its number.
    """

    def __init__(self, message: str, row: int | None = None, column: str | None = None) -> None:
        super().__init__(message)
        self.row = row
        self.column = column

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
    """How a person wants the file read. None or empty: the format finds out by itself."""

    encoding: str | None = None
    #: ``strict``: bytes that are no characters end the import. ``replace``: they become U+FFFD.
    errors: str = "strict"
    delimiter: str | None = None
    #: An empty string: quotation marks are characters like others.
    quote: str | None = None
    #: Whether the first row holds the columns' names.
    header: bool | None = None
    #: Rows above the header, or above the first row where none is: titles, which are left out.
    skip: int | None = None
    #: ``error``, or ``drop``: what is beyond the last column of the header.
    extra: str = "error"
    #: Which file of an archive, or which sheet of a workbook.
    member: str | None = None


@dataclass
class Table:
    """What a format gives.

    ``columns`` may grow while rows are read; a row that is shorter than it ends in NULLs. Values
    are None, int, float, str, bytes and bool.
    """

    columns: list[str]
    rows: Iterable[Sequence[Any]]
    #: The same rows some at a time, by a format that has them so at less cost; then not ``rows``.
    batches: Iterable[list[Sequence[Any]]] | None = None
    #: Whether every value is text, in which numbers are to be found; else each has its own type.
    is_text: bool = False
    #: What was found out about the file, as ``ReadOptions`` names it.
    found: dict[str, Any] = field(default_factory=dict)
    #: What ``member`` may be.
    members: list[str] = field(default_factory=list)


class ImportFormat:
    """A kind of file that can become a table. Subclass, and override ``read``."""

    #: For addresses and forms: lower-case letters, digits and dashes.
    name: str = ""
    #: For people.
    label: str = ""
    #: Files that are of this format, by their name's end and by their type.
    extensions: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    #: Whether ``read`` has to seek: then the file is on disk, in a private folder, before it.
    seeks: bool = False
    #: Which of ``ReadOptions`` a person can choose.
    options: tuple[str, ...] = ()

    def matches(self, content_type: str, filename: str) -> bool:
        """Whether a file is probably of this format. ``content_type`` has no parameters."""
        return filename.lower().endswith(self.extensions) or content_type in self.content_types

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        """The table in the stream: its columns at once, its rows as they are read.

        Raises ImportProblem. Reads no more than it needs, and holds no more than a row.
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
    """Raises ImportProblem for a name that is too long for a column."""
    if len(name) > MAX_NAME:
        raise ImportProblem(
            f"has a name of more than {MAX_NAME:,} characters; shorten it, or have the first row be"
            " a row; a quotation mark may be missing",
            row,
            column,
        )


def column_names(header: Sequence[Any]) -> list[str]:
    """Names that a table can have: an empty one is numbered, a repeated one gets a number.

    SQLite does not tell ``Name`` from ``name``.
    """
    if len(header) > MAX_COLUMNS:
        raise ImportProblem(f"{len(header):,} columns; a table has at most {MAX_COLUMNS:,}")
    given = [" ".join(str(name if name is not None else "").split()) for name in header]
    for number, plain in enumerate(given, 1):
        check_name(plain, 0, str(number))
    taken = {name.lower() for name in given}
    names: list[str] = []
    seen: set[str] = set()
    #: The last number that a name was given: of a thousand alike each is not counted from 1.
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
