"""Detection of a delimited text's dialect from its first rows: delimiter, quotes, titles, header.

csv.Sniffer is not used: its regular expressions take seconds on a few hostile kilobytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

#: Rows, and characters, from which delimiter, titles and header are detected.
ROWS = 20
_CHARACTERS = 32 * 1024
#: Possible delimiters, by priority. The comma is last, as it may be a decimal mark.
_CANDIDATES = ";\t|,"
#: Most rows of titles above a header.
_MAX_TITLES = 10
#: Least rows below a header, if titles above it have several values; one less below a title of one.
_MIN_BELOW = 2
#: Matches each text in one way only, so that a long text takes linear time.
_NUMBER = re.compile(r"[-+]?[.,]*\d[\d.,]*%?")
_YEAR = re.compile("(?:19|20)[0-9][0-9]")
#: A quoted value, which may have line breaks, between two delimiters or line ends; or its begin, if
#: the head ends within it.
_QUOTED = re.compile(r'(^|[,;\t|])( *)"(?:[^"]|"")*(?:"(?= *(?:[,;\t|\r\n]|\Z))|\Z)', re.MULTILINE)
#: The line that tells Excel the delimiter.
_DECLARED = re.compile(r'"?sep=([^\r\n"])"?[ \t]*(?:\r\n|\r|\n)', re.IGNORECASE)
_BACKSLASHED = re.compile(r"\\(.)")


def declared_delimiter(text: str) -> tuple[str | None, str]:
    """Return the delimiter of a first line ``sep=;`` (else None), and the text after that line."""
    found = _DECLARED.match(text)
    return (found[1], text[found.end() :]) if found else (None, text)


def guess_delimiter(text: str) -> str:
    """Return the delimiter that occurs equally often in most of the first lines; else a comma.

    Quoted values do not count: an address may have commas and line breaks.
    """
    lines = [line for line in _QUOTED.sub(r"\1", text[:_CHARACTERS]).splitlines() if line.strip()]
    lines = lines[:ROWS]

    def fits(candidate: str) -> tuple[int, int, int]:
        counts = Counter(count for line in lines if (count := line.count(candidate)))
        if not counts:
            return 0, 0, 0
        count, alike = max(counts.items(), key=lambda one: (one[1], one[0]))
        # In a single line, the most frequent candidate wins.
        return alike, count if len(lines) == 1 else 0, sum(counts.values())

    best = max(_CANDIDATES, key=fits)
    return best if fits(best)[0] else ","


def spaces_quotes(text: str, delimiter: str, quote: str) -> bool:
    """Tell whether there are spaces before opening quotation marks, as in ``1, "a, b"``."""
    if quote != '"':
        return False
    return any(found[2] and found[1] == delimiter for found in _QUOTED.finditer(text[:_CHARACTERS]))


def escapes_quotes(text: str, delimiter: str, quote: str) -> bool:
    """Tell whether a backslash escapes quotation marks within values.

    A backslash may also be a value's last character: ``"C:\\","x"`` escapes nothing.
    """
    head, mark, end = text[:_CHARACTERS], re.escape(quote), re.escape(delimiter)
    if not re.search(f"(?:^|{end}){mark}", head, re.MULTILINE):
        return False
    return bool(re.search(rf"(?<!\\)\\{mark}(?![\r\n{end}]|\Z)", head))


def unescaped(lines: Iterable[str], quote: str) -> Iterator[str]:
    """Yield the lines with escaped quotation marks doubled instead, as RFC 4180 requires."""
    twice = quote * 2
    for line in lines:
        if "\\" not in line:
            yield line
            continue
        yield _BACKSLASHED.sub(lambda found: twice if found[1] == quote else found[0], line)


def guess_skip(rows: list[list[str]]) -> int:
    """Count the rows of titles above the header.

    A title is a row of one value, followed by rows of two or more. The header holds no numbers,
    except years above other values. Rows of several values are titles too (``Created,2024-01-31``)
    if the header is the first row that is as wide as those below it, and names numbers there.
    """
    if wider := _rows_above(rows):
        return wider
    titles = 0
    while titles < min(len(rows), _MAX_TITLES) and sum(map(bool, _stripped(rows[titles]))) < 2:
        titles += 1
    if not titles or titles + 1 >= len(rows):
        return 0
    header = _stripped(rows[titles])
    while header and not header[-1]:
        header.pop()
    wide = Counter(len(row) for row in rows[titles + 1 :]).most_common(1)[0][0]
    names = sum(map(bool, header)) > 1 and _names_columns(header, _stripped(rows[titles + 1]))
    return titles if names and wide >= len(header) else 0


def _rows_above(rows: list[list[str]]) -> int:
    """Count narrow rows above a header as wide as all rows below it; 0 unless it names numbers."""
    cells = [_stripped(row) for row in rows]
    filled = [sum(map(bool, row)) for row in cells]
    wide = max(filled, default=0)
    above = filled.index(wide) if rows else 0
    if not 0 < above <= _MAX_TITLES or max(filled[:above]) < 2:
        return 0
    header, below = cells[above], cells[above + 1 :]
    # A header whose first name is missing is narrow too, but reaches to the last column.
    if any(len(row) >= len(header) and row[-1] for row in cells[:above]):
        return 0
    if len(below) < _MIN_BELOW - (filled[0] < 2) or not _names_columns(header, below[0]):
        return 0
    if not all(len(row) == len(header) for row in below):
        return 0
    numbers = any(
        name and all(_NUMBER.fullmatch(row[index]) for row in below)
        for index, name in enumerate(header)
    )
    return above if numbers else 0


def _names_columns(header: list[str], below: list[str]) -> bool:
    """Tell whether a row may name columns: it holds no numbers, except years above other values."""
    return not any(
        _NUMBER.fullmatch(cell) and not (number and _is_year_above(cell, below[number:]))
        for number, cell in enumerate(header)
    )


def _is_year_above(cell: str, below: list[str]) -> bool:
    """Tell whether a cell is a year and the one below it is none."""
    return bool(_YEAR.fullmatch(cell)) and not (below and _YEAR.fullmatch(below[0]))


def _stripped(row: list[str]) -> list[str]:
    return [cell.strip() for cell in row]


def guess_header(rows: list[list[str]]) -> bool:
    """Tell whether the first row is a header: it is, unless it holds only numbers."""
    return len(rows) < 2 or not all(_NUMBER.fullmatch(cell.strip()) for cell in rows[0])
