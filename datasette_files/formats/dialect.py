"""How a delimited text is written, told by its beginning: delimiter, quoting, titles and header.

csv.Sniffer is not used: its regular expressions take seconds on a few hostile kilobytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

#: Rows by which delimiter, titles and header are told, and characters that hold them.
ROWS = 20
_CHARACTERS = 32 * 1024
#: Candidates for a delimiter. Where two fit alike, a comma may be that of decimals.
_CANDIDATES = ";\t|,"
#: Rows above the header that are titles.
_MAX_TITLES = 10
#: One way to read each text: else a long one that is none would be tried in as many ways as it has
#: digits.
_NUMBER = re.compile(r"[-+]?[.,]*\d[\d.,]*%?")
#: A quoted value, line breaks included, with what is before and after it.
_QUOTED = re.compile(r'(^|[,;\t|])( *)"(?:[^"]|"")*"(?= *(?:[,;\t|\r\n]|\Z))', re.MULTILINE)
#: The line by which Excel is told the delimiter.
_DECLARED = re.compile(r'"?sep=([^\r\n"])"?[ \t]*(?:\r\n|\r|\n)', re.IGNORECASE)
_BACKSLASHED = re.compile(r"\\(.)")


def declared_delimiter(text: str) -> tuple[str | None, str]:
    """The delimiter of a first line ``sep=;``, and the text after it."""
    found = _DECLARED.match(text)
    return (found[1], text[found.end() :]) if found else (None, text)


def guess_delimiter(text: str) -> str:
    """The candidate that is in most of the first lines equally often; else a comma.

    Quoted values do not count: an address has commas, and more lines than one.
    """
    lines = [line for line in _QUOTED.sub(r"\1", text[:_CHARACTERS]).splitlines() if line.strip()]
    lines = lines[:ROWS]

    def fits(candidate: str) -> tuple[int, int, int]:
        counts = Counter(count for line in lines if (count := line.count(candidate)))
        if not counts:
            return 0, 0, 0
        count, alike = max(counts.items(), key=lambda one: (one[1], one[0]))
        # Of a single line, the one that is there most often.
        return alike, count if len(lines) == 1 else 0, sum(counts.values())

    best = max(_CANDIDATES, key=fits)
    return best if fits(best)[0] else ","


def spaces_quotes(text: str, delimiter: str, quote: str) -> bool:
    """Whether spaces are before opening quotation marks, as in ``1, "a, b"``."""
    if quote != '"':
        return False
    return any(found[2] and found[1] == delimiter for found in _QUOTED.finditer(text[:_CHARACTERS]))


def escapes_quotes(text: str, delimiter: str, quote: str) -> bool:
    """Whether a quotation mark within a value is written after a backslash.

    A backslash may also be a value's last character: ``"C:\\","x"`` escapes nothing.
    """
    head, mark, end = text[:_CHARACTERS], re.escape(quote), re.escape(delimiter)
    if not re.search(f"(?:^|{end}){mark}", head, re.MULTILINE):
        return False
    return bool(re.search(rf"(?<!\\)\\{mark}(?![\r\n{end}]|\Z)", head))


def unescaped(lines: Iterable[str], quote: str) -> Iterator[str]:
    """The lines with quotation marks after backslashes written twice, as RFC 4180 has it."""
    twice = quote * 2
    for line in lines:
        if "\\" not in line:
            yield line
            continue
        yield _BACKSLASHED.sub(lambda found: twice if found[1] == quote else found[0], line)


def guess_skip(rows: list[list[str]]) -> int:
    """How many of the first rows are titles above the header.

    A title is a row of one value, where those that follow have two or more; the header names each
    column and holds no number.
    """
    titles = 0
    while titles < min(len(rows), _MAX_TITLES) and sum(map(bool, _stripped(rows[titles]))) < 2:
        titles += 1
    if not titles or titles + 1 >= len(rows):
        return 0
    header = _stripped(rows[titles])
    while header and not header[-1]:
        header.pop()
    wide = Counter(len(row) for row in rows[titles + 1 :]).most_common(1)[0][0]
    names = len(header) > 1 and all(header) and not any(map(_NUMBER.fullmatch, header))
    return titles if names and wide >= len(header) else 0


def _stripped(row: list[str]) -> list[str]:
    return [cell.strip() for cell in row]


def guess_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: it does, unless it is nothing but numbers."""
    return len(rows) < 2 or not all(_NUMBER.fullmatch(cell.strip()) for cell in rows[0])
