"""The numbers in workbooks of binary records: .xls ([MS-XLS], in [MS-CFB]), .xlsb ([MS-XLSB]).

Each reader gives the sheets, whether days count from 1904, the format's number of each style, and
the codes of formats; then the cells that hold numbers. Leaves out everything else. Damaged records
raise KeyError, IndexError, ValueError or struct.error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

#: Row and column from 0, the number of the style, and the value.
Cell = tuple[int, int, int, float]
#: Sheets by name, with their place; 1904; formats of styles; codes of formats.
Globals = tuple[dict[str, Any], bool, list[int], dict[int, str]]

# [MS-CFB], 2.1 and 2.2
_HEADER, _ENTRY, _LAST_SECTOR = 512, 128, 0xFFFFFFFA
_STREAM, _ROOT = 2, 5
# [MS-XLS], 2.3
_FORMULA, _EOF, _DATEMODE, _BOUNDSHEET, _MULRK, _XF = 0x06, 0x0A, 0x22, 0x85, 0xBD, 0xE0
_NUMBER, _RK, _FORMAT, _BOF = 0x203, 0x27E, 0x41E, 0x809
_BIFF8 = 0x600
# [MS-XLSB], 2.3
_ROW, _CELL_RK, _CELL_REAL, _FORMULA_NUMBER, _BINARY_FORMAT, _BINARY_XF = 0, 2, 5, 9, 44, 47
_BOOK_PROPERTIES, _BUNDLE_SHEET, _BEGIN_XFS, _END_XFS = 153, 156, 617, 618


def workbook_stream(file: BinaryIO) -> bytes:
    """Return the stream ``Workbook``, or ``Book``, of a compound file."""
    content = file.read()
    size = 1 << struct.unpack_from("<H", content, 30)[0]
    directory, cutoff, mini_fat, difat = (
        struct.unpack_from("<I", content, at)[0] for at in (48, 56, 60, 68)
    )

    def sector(number: int) -> bytes:
        return content[(number + 1) * size : (number + 2) * size]

    listed = list(struct.unpack_from("<109I", content, 76))
    for _ in range(len(content) // size):
        if difat >= _LAST_SECTOR:
            break
        *more, difat = _numbers(sector(difat))
        listed += more
    fat = [one for number in listed if number < _LAST_SECTOR for one in _numbers(sector(number))]
    streams: dict[str, tuple[int, int]] = {}
    root = (0, 0)
    entries = b"".join(map(sector, _chain(fat, directory)))
    for at in range(0, len(entries) - _ENTRY + 1, _ENTRY):
        length, kind = struct.unpack_from("<HB", entries, at + 64)
        name = entries[at : at + max(0, length - 2)].decode("utf-16-le").lower()
        place = struct.unpack_from("<II", entries, at + 116)
        if kind == _ROOT:
            root = place
        elif kind == _STREAM:
            streams.setdefault(name, place)
    first, length = streams.get("workbook") or streams["book"]
    if length >= cutoff:
        return b"".join(map(sector, _chain(fat, first)))[:length]
    mini = b"".join(map(sector, _chain(fat, root[0])))
    links = _numbers(b"".join(map(sector, _chain(fat, mini_fat))))
    return b"".join(mini[at * 64 : at * 64 + 64] for at in _chain(links, first))[:length]


def _numbers(content: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(content) // 4}I", content[: len(content) // 4 * 4])


def _chain(links: Any, number: int) -> Iterator[int]:
    for _ in range(len(links)):
        if number >= _LAST_SECTOR:
            return
        yield number
        number = links[number]
    raise ValueError("a chain of sectors has no end")


def _old_records(content: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield the records of one substream, without those of charts within it."""
    depth = 0
    while at + 4 <= len(content):
        kind, size = struct.unpack_from("<HH", content, at)
        depth += (kind == _BOF) - (kind == _EOF)
        if depth <= 1:
            yield kind, content[at + 4 : at + 4 + size]
        if not depth:
            return
        at += 4 + size


def old_globals(content: bytes) -> Globals:
    """The globals of an .xls file; a sheet's place is its offset."""
    sheets: dict[str, Any] = {}
    is_1904, styles, codes, wide = False, [], {}, True
    for kind, body in _old_records(content, 0):
        if kind == _BOF:
            wide = struct.unpack_from("<H", body)[0] >= _BIFF8
        elif kind == _DATEMODE:
            is_1904 = body[:1] == b"\x01"
        elif kind == _BOUNDSHEET:
            sheets[_old_text(body, 6, 1, wide)] = struct.unpack_from("<I", body)[0]
        elif kind == _XF:
            styles.append(struct.unpack_from("<H", body, 2)[0])
        elif kind == _FORMAT:
            number = struct.unpack_from("<H", body)[0]
            codes[number] = _old_text(body, 2, 2 if wide else 1, wide)
    return sheets, is_1904, styles, codes


def _old_text(body: bytes, at: int, prefix: int, wide: bool) -> str:
    """A text with its length before it, of one or two bytes ([MS-XLS], 2.5.240 and 2.5.294)."""
    length = int.from_bytes(body[at : at + prefix], "little")
    at += prefix
    if not wide:
        return body[at : at + length].decode("cp1252", "replace")
    if body[at] & 1:
        return body[at + 1 : at + 1 + 2 * length].decode("utf-16-le", "replace")
    return body[at + 1 : at + 1 + length].decode("latin-1")


def old_cells(content: bytes, at: int) -> Iterator[Cell]:
    """Yield the numbers of the sheet at an offset of an .xls file's stream."""
    for kind, body in _old_records(content, at):
        if kind == _MULRK:
            row, column = struct.unpack_from("<HH", body)
            for place in range(4, len(body) - 2, 6):
                style, value = struct.unpack_from("<HI", body, place)
                yield row, column, style, _rk(value)
                column += 1
        elif kind == _RK:
            row, column, style, value = struct.unpack_from("<HHHI", body)
            yield row, column, style, _rk(value)
        elif kind == _NUMBER or (kind == _FORMULA and body[12:14] != b"\xff\xff"):
            yield struct.unpack_from("<HHHd", body)


def _rk(value: int) -> float:
    """Decode a number of 30 bits and two flags ([MS-XLS], 2.5.217)."""
    number: float
    if value & 2:
        number = (value >> 2) - (1 << 30 if value >> 31 else 0)
    else:
        (number,) = struct.unpack("<d", struct.pack("<Q", (value & ~3) << 32))
    return number / 100 if value & 1 else number


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(content):
        kind, size, at = content[at], content[at + 1], at + 2
        if (kind | size) & 0x80:  # more than a byte each, which is rare
            kind, at = _varying(content, at - 2, 2)
            size, at = _varying(content, at, 4)
        yield kind, content[at : at + size]
        at += size


def _varying(content: bytes, at: int, most: int) -> tuple[int, int]:
    """Decode a number of seven bits a byte, and return it with the place behind it."""
    number = 0
    for count in range(most):
        byte = content[at + count]
        number |= (byte & 0x7F) << (7 * count)
        if not byte & 0x80:
            return number, at + count + 1
    return number, at + most


def binary_globals(workbook: bytes, formats: bytes) -> Globals:
    """The globals of an .xlsb file; a sheet's place is the id of its relationship."""
    sheets: dict[str, Any] = {}
    is_1904, styles, codes, within = False, [], {}, False
    for kind, body in _records(workbook):
        if kind == _BOOK_PROPERTIES:
            is_1904 = bool(body[0] & 1)
        elif kind == _BUNDLE_SHEET:
            relation, at = _text(body, 8)
            sheets[_text(body, at)[0]] = relation
    for kind, body in _records(formats):
        if kind in (_BEGIN_XFS, _END_XFS):
            within = kind == _BEGIN_XFS
        elif kind == _BINARY_XF and within:
            styles.append(struct.unpack_from("<H", body, 2)[0])
        elif kind == _BINARY_FORMAT:
            codes[struct.unpack_from("<H", body)[0]] = _text(body, 2)[0]
    return sheets, is_1904, styles, codes


def _text(body: bytes, at: int) -> tuple[str, int]:
    """Decode a text with its length before it, and return it with the place behind it."""
    end = at + 4 + 2 * struct.unpack_from("<I", body, at)[0]
    return body[at + 4 : end].decode("utf-16-le"), end


def binary_cells(sheet: bytes) -> Iterator[Cell]:
    """Yield the numbers of a sheet of an .xlsb file."""
    row = 0
    for kind, body in _records(sheet):
        if kind == _ROW:
            (row,) = struct.unpack_from("<I", body)
        elif kind in (_CELL_RK, _CELL_REAL, _FORMULA_NUMBER):
            column, style = struct.unpack_from("<II", body)
            if kind == _CELL_RK:
                number = _rk(struct.unpack_from("<I", body, 8)[0])
            else:
                (number,) = struct.unpack_from("<d", body, 8)
            yield row, column, style & 0xFFFFFF, number
