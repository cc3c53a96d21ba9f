"""What the head of a file shows, within bounds and without trusting it. Pure."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice

from .models import FileRecord

_ROWS = 20
_COLUMNS = 200
_CELL = 500
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class TableHead:
    """The first rows of a delimited text."""

    columns: list[str]
    rows: list[list[str]]
    delimiter: str


def table_head(file: FileRecord, head: bytes) -> TableHead | None:
    """The head as a table; None for bytes that are not delimited text.

    ``head`` may be cut anywhere: what follows its last line break is dropped where more follows.
    """
    if b"\x00" in head:
        return None
    if file.size is not None and file.size > len(head):
        head = head[: head.rfind(b"\n") + 1] or head
    text = head.decode("utf-8-sig", errors="replace")
    tabs = file.type == "text/tab-separated-values" or file.filename.lower().endswith(".tsv")
    delimiter = "\t" if tabs else _delimiter(text)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [[cell[:_CELL] for cell in row[:_COLUMNS]] for row in islice(reader, _ROWS + 1)]
    except csv.Error:
        return None
    if not lines or not lines[0]:
        return None
    return TableHead(lines[0], lines[1:], delimiter)


def _delimiter(text: str) -> str:
    """The candidate that is in the most of the first lines, then the most often; else a comma.

    csv.Sniffer's regular expressions take seconds on a few hostile kilobytes.
    """
    lines = [_QUOTED.sub("", line) for line in text[:8192].splitlines()[:_ROWS]]

    def seen(candidate: str) -> tuple[int, int]:
        counts = [line.count(candidate) for line in lines]
        return sum(map(bool, counts)), sum(counts)

    return max(",;\t|", key=seen)
