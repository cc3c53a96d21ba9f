"""Files that are no text with rows, whatever their names, told by their first bytes.

A text format would make a column of rubbish of them, or blame their bytes on the encoding. Leaves
out what is unpacked (packed.py) and workbooks (excel.py).
"""

from __future__ import annotations

import re

from .base import ImportProblem

_UNPACK = "unpack it, and import the table inside"
_EXPORT = "export its rows as CSV, and import that"
#: Beginnings, with what they are and what to do.
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK\x05\x06", "an archive without files", "choose a file with rows"),
    (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", "packed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\x00", "packed by xz", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb"\x04\x22\x4d\x18", "packed by LZ4", _UNPACK),
    (rb"(?s:.{257})ustar", "a tar archive", _UNPACK),
    (rb"(?:\xef\xbb\xbf)?\s*%PDF-", "a PDF", _EXPORT),
    (rb"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (rb"PAR1\x15", "a Parquet file", _EXPORT),
    (rb"(?:\xef\xbb\xbf)?\s*(?i:<!doctype html|<html[\s>])", "a web page", _EXPORT),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml\s", "XML", _EXPORT),
    (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a", "a picture", "choose a file with rows"),
)
_KNOWN = re.compile(b"|".join(b"(" + one + b")" for one, _, _ in _BEGINNINGS))


def check_text(head: bytes) -> None:
    """Raise ImportProblem if the file is of a known kind that is no text with rows."""
    if found := _KNOWN.match(head):
        _, what, advice = _BEGINNINGS[(found.lastindex or 1) - 1]
        raise ImportProblem(f"The file is {what}, whatever its name; {advice}")
