"""CSV, TSV and other delimited text (RFC 4180, as far as files follow it).

The rules: blank lines are skipped; missing values at the end of a row are NULL; empty cells beyond
the header are dropped, and others end the import unless the user chose to drop them; a line break
within quotes is part of the value; spaces are kept. A quotation mark that is not closed, or closed
before the value ends, ends the import: else one value would swallow the following rows. Leaves out
the detection of a file's dialect (dialect.py).
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

from . import dialect
from .base import (
    BATCH_BYTES,
    BATCH_ROWS,
    MAX_FIELD,
    ImportFormat,
    ImportProblem,
    ReadOptions,
    Table,
    column_names,
)
from .characters import BAD, Characters
from .dialect import guess_delimiter, guess_header
from .others import check_text

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
#: Bytes of the head from which encoding, dialect and header are detected.
HEAD = 64 * 1024


class Delimited(ImportFormat):
    """Comma-separated values, with any delimiter."""

    name = "csv"
    label = "CSV"
    extensions: tuple[str, ...] = (".csv",)
    content_types: tuple[str, ...] = ("text/csv", "application/csv")
    options = ("encoding", "errors", "delimiter", "quote", "header", "skip", "extra")
    #: None: detected.
    delimiter: str | None = None

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        buffered = io.BufferedReader(stream, HEAD)  # type: ignore[type-var]
        head = buffered.peek(HEAD)[:HEAD]
        check_text(head)
        characters = Characters(buffered, options, head, whole=len(head) < HEAD)
        first = _first_text(head, characters)
        declared, rest = dialect.declared_delimiter(first)
        if declared:
            characters.text.readline()
        delimiter = options.delimiter or declared or self.delimiter or guess_delimiter(rest)
        if len(delimiter) != 1 or delimiter in "\r\n\x00":
            raise ImportProblem("The delimiter must be one character, and no line break")
        quote = '"' if options.quote is None else options.quote
        if len(quote) > 1 or quote == delimiter:
            raise ImportProblem("The quotation mark must be one character, or none")
        csv.field_size_limit(MAX_FIELD)
        reader = self._rows(characters, rest, delimiter, quote)
        begin, error = _first_rows(reader, dialect.ROWS)
        if error is None and len(begin) < dialect.ROWS:
            _end_text(begin)
        if error is not None and len(begin) < 2:
            raise _explained(error, len(begin) or 1)
        skip = options.skip
        if skip is None:
            skip = 0 if options.header is False else dialect.guess_skip(begin)
        elif skip and skip >= len(begin):
            raise ImportProblem(f"The file has no row after {skip:,} rows above the header")
        begin = begin[skip:]
        header = guess_header(begin) if options.header is None else options.header
        columns = self._columns(begin, header, characters)
        # Joined files repeat their header in the middle.
        again = begin[0] if header and len(columns) > 1 else None
        rows = chain(begin[header:], _raising(error), reader)
        batches = _batches(rows, columns, options, characters, again)
        return Table(
            columns,
            chain.from_iterable(batches),
            batches,
            is_text=True,
            found={
                **characters.found,
                **{"delimiter": delimiter, "quote": quote, "header": header, "skip": skip},
            },
        )

    @staticmethod
    def _rows(
        characters: Characters, first: str, delimiter: str, quote: str
    ) -> Iterator[list[str]]:
        lines: Iterable[str] = characters.text
        if quote and dialect.escapes_quotes(first, delimiter, quote):
            lines = dialect.unescaped(lines, quote)
        rows = csv.reader(
            lines,
            skipinitialspace=bool(quote) and dialect.spaces_quotes(first, delimiter, quote),
            delimiter=delimiter,
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )
        return filter(None, rows)  # a blank line is no row

    @staticmethod
    def _columns(begin: list[list[str]], header: bool, characters: Characters) -> list[str]:
        if not begin:
            raise ImportProblem("The file is empty; upload one with rows")
        if header:
            return column_names(characters.check_row(begin[0], 0, []))
        return column_names([""] * max(map(len, begin)))


def _first_rows(reader: Iterator[list[str]], most: int) -> tuple[list[list[str]], csv.Error | None]:
    """Return the rows from which header and titles are detected, and the error after them."""
    rows: list[list[str]] = []
    try:
        rows.extend(islice(reader, most))
    except csv.Error as error:
        return rows, error
    return rows, None


def _raising(error: csv.Error | None) -> Iterator[list[str]]:
    """Yield no row; raise the error."""
    if error is not None:
        raise error
    yield from ()


def _batches(
    rows: Iterator[list[str]],
    columns: list[str],
    options: ReadOptions,
    characters: Characters,
    again: list[str] | None,
) -> Iterator[list[Any]]:
    """Yield the rows in batches, cut to the header. The inner loop is hot: it runs per row."""
    guard, width, done = characters.guard, len(columns), 0
    repeated = [] if again is None else [again, [f"\ufeff{again[0]}", *again[1:]]]
    batch: list[list[str]] = []

    def fitting() -> Iterator[list[Any]]:
        """Yield the checked batch; if a row has a problem, yield the rows before it, then raise."""
        if any(one in batch for one in repeated):
            batch[:] = [row for row in batch if row not in repeated]
        if not batch:
            return
        if max(map(len, batch)) <= width and not characters.bad:
            yield batch
            return
        made: list[Any] = []
        try:
            for number, row in enumerate(batch, done + 1):
                cut = row if len(row) <= width else _cut(row, width, number, options)
                made.append(characters.check_row(cut, number, columns) if characters.bad else cut)
        finally:
            if made:
                yield made

    try:
        full = False
        for row in rows:
            if full:  # the file's last row is always in the last batch
                yield from fitting()
                done += len(batch)
                batch = []
            batch.append(row)
            full = len(batch) >= BATCH_ROWS or guard.since > BATCH_BYTES
            if full:
                guard.since = 0
    except csv.Error as error:
        if batch:  # a preview shows the rows before
            yield from fitting()
        raise _explained(error, done + len(batch) + 1) from None
    if batch:
        _end_text(batch)
        yield from fitting()


def _end_text(rows: list[list[str]]) -> None:
    """Remove Ctrl-Z, by which DOS marks the end of a text, from the end of the last row."""
    if not rows:
        return
    text, mark, rest = rows[-1][-1].partition("\x1a")
    if mark and not rest.strip(f"\x00\x1a{BAD}"):
        rows[-1][-1] = text
        if rows[-1] == [""]:
            rows.pop()


def _cut(row: list[str], width: int, number: int, options: ReadOptions) -> list[str]:
    if options.extra != "drop" and any(row[width:]):
        raise ImportProblem(
            f"has {len(row):,} values, and the header names {width:,} columns; mend the file, or"
            " choose to drop the values beyond the header",
            number,
        )
    return row[:width]


def _explained(error: csv.Error, number: int) -> ImportProblem:
    if "field larger" in str(error):
        return ImportProblem(
            f"has a value of more than {MAX_FIELD:,} characters; a quotation mark may be missing",
            number,
        )
    if "unexpected end" in str(error):
        return ImportProblem(
            "has a quotation mark that is never closed; mend the file, or choose another quotation"
            " mark, or none",
            number,
        )
    if "expected after" in str(error):
        return ImportProblem(
            "has a value that goes on after its closing quotation mark; mend the file (a mark"
            " within a value is written twice), or choose another quotation mark, or none",
            number,
        )
    return ImportProblem(f"cannot be read ({error}); choose another delimiter or quoting", number)


def _first_text(head: bytes, characters: Characters) -> str:
    """Decode the head, to detect the dialect."""
    decoder = codecs.getincrementaldecoder(characters.text.encoding)("replace")
    return decoder.decode(head).replace(BAD, "").lstrip("\ufeff")


class TabSeparated(Delimited):
    """Tab-separated values."""

    name = "tsv"
    label = "TSV"
    extensions = (".tsv", ".tab")
    content_types = ("text/tab-separated-values",)
    delimiter = "\t"
