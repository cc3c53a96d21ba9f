"""CSV, TSV and their kin (RFC 4180, as far as files keep to it).

The rules: blank lines are none; a row that is short ends in NULLs; empty cells beyond the header
are dropped, others end the import unless they are to be dropped too; a line break within quotes is
part of the value; a value is kept as it is, spaces too; a quotation mark that is never closed, or
closed before the value ends, ends the import: all up to the next one would be lost in one value.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

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

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_QUOTED = re.compile(r'"[^"]*"')
_ROWS = 20
#: Bytes of the head by which encoding, dialect and header are told.
HEAD = 64 * 1024
#: One way to read each text: else a long one that is none would be tried in as many ways as it has
#: digits.
_NUMBER = re.compile(r"[-+]?[.,]*\d[\d.,]*%?")


def guess_delimiter(text: str) -> str:
    """The candidate that is in the most of the first lines, then the most often; else a comma.

    csv.Sniffer's regular expressions take seconds on a few hostile kilobytes.
    """
    lines = [_QUOTED.sub("", line) for line in text[:8192].splitlines()[:_ROWS]]

    def seen(candidate: str) -> tuple[int, int]:
        counts = [line.count(candidate) for line in lines]
        return sum(map(bool, counts)), sum(counts)

    return max(",;\t|", key=seen)


def guess_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: it does, unless it is nothing but numbers."""
    return len(rows) < 2 or not all(_NUMBER.fullmatch(cell.strip()) for cell in rows[0])


class Delimited(ImportFormat):
    """Comma-separated values, whichever character parts them."""

    name = "csv"
    label = "CSV"
    extensions: tuple[str, ...] = (".csv",)
    content_types: tuple[str, ...] = ("text/csv", "application/csv")
    options = ("encoding", "errors", "delimiter", "quote", "header", "extra")
    #: None: found out.
    delimiter: str | None = None

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        buffered = io.BufferedReader(stream, HEAD)  # type: ignore[type-var]
        head = buffered.peek(HEAD)[:HEAD]
        characters = Characters(buffered, options, head)
        first = _first_text(head, characters)
        delimiter = options.delimiter or self.delimiter or guess_delimiter(first)
        if len(delimiter) != 1 or delimiter in "\r\n\x00":
            raise ImportProblem("The delimiter must be one character, and no line break")
        quote = '"' if options.quote is None else options.quote
        if len(quote) > 1 or quote == delimiter:
            raise ImportProblem("The quotation mark must be one character, or none")
        csv.field_size_limit(MAX_FIELD)
        reader = self._rows(characters, delimiter, quote)
        try:
            begin = list(islice(reader, 2))
        except csv.Error as error:
            raise _explained(error, 1) from None
        header = guess_header(begin) if options.header is None else options.header
        columns = self._columns(begin, header, characters)
        batches = _batches(chain(begin[header:], reader), columns, options, characters)
        return Table(
            columns,
            chain.from_iterable(batches),
            batches,
            is_text=True,
            found={
                **characters.found,
                **{"delimiter": delimiter, "quote": quote, "header": header},
            },
        )

    @staticmethod
    def _rows(characters: Characters, delimiter: str, quote: str) -> Iterator[list[str]]:
        rows = csv.reader(
            characters.text,
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


def _batches(
    rows: Iterator[list[str]], columns: list[str], options: ReadOptions, characters: Characters
) -> Iterator[list[Any]]:
    """The rows, those of another length made to fit. The loop is short: it runs for each row."""
    guard, width, done = characters.guard, len(columns), 0
    batch: list[list[str]] = []

    def fitting() -> Iterator[list[Any]]:
        """The batch; of one with a problem, the rows before it first."""
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
        for row in rows:
            batch.append(row)
            if len(batch) >= BATCH_ROWS or guard.since > BATCH_BYTES:
                guard.since = 0
                yield from fitting()
                done += len(batch)
                batch = []
    except csv.Error as error:
        if batch:  # a preview shows the rows before
            yield from fitting()
        raise _explained(error, done + len(batch) + 1) from None
    if batch:
        yield from fitting()


def _cut(row: list[str], width: int, number: int, options: ReadOptions) -> list[str]:
    if options.extra != "drop" and any(row[width:]):
        raise ImportProblem(
            f"has {len(row):,} values, and the header names {width:,} columns; mend the file, or"
            " have what is beyond dropped",
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
    """The head as text for a look at it."""
    decoder = codecs.getincrementaldecoder(characters.text.encoding)("replace")
    return decoder.decode(head).replace(BAD, "")


class TabSeparated(Delimited):
    """Tab-separated values."""

    name = "tsv"
    label = "TSV"
    extensions = (".tsv", ".tab")
    content_types = ("text/tab-separated-values",)
    delimiter = "\t"
