"""Small workbooks made by hand: one sheet of numbers, each column under a format of its own."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_XML = '<?xml version="1.0" encoding="UTF-8"?>'
Rows = Sequence[Sequence[float | None]]


def _zipped(members: dict[str, str | bytes], kind: str, main: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'{_XML}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="{kind}"'
            f' ContentType="{main}"/><Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/></Types>',
        )
        for name, target in (("", f"xl/workbook.{kind}"), ("xl/", f"worksheets/sheet1.{kind}")):
            what = "worksheet" if name else "officeDocument"
            archive.writestr(
                f"{name}_rels/{f'workbook.{kind}' if name else ''}.rels",
                f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
                f'<Relationship Id="r1" Type="{_OFFICE}/{what}" Target="{target}"/>'
                "</Relationships>",
            )
        for name, content in members.items():
            archive.writestr(f"xl/{name}.{kind}", content)
    return made.getvalue()


def xlsx(
    formats: Sequence[str], rows: Rows, *, is_1904: bool = False, at: tuple[int, int] = (0, 0)
) -> bytes:
    """A workbook of Excel; ``at`` is the place of the first value."""
    cells = "".join(
        f'<row r="{number}">'
        + "".join(
            f'<c r="{chr(65 + column)}{number}" s="{style}"><v>{value!r}</v></c>'
            for style, (column, value) in enumerate(enumerate(row, at[1]), 1)
            if value is not None
        )
        + "</row>"
        for number, row in enumerate(rows, at[0] + 1)
    )
    quoted = [code.replace("&", "&amp;").replace('"', "&quot;") for code in formats]
    return _zipped(
        {
            "workbook": f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
            f'<workbookPr date1904="{int(is_1904)}"/>'
            '<sheets><sheet name="Old &amp; new" sheetId="1" r:id="r1"/></sheets></workbook>',
            "styles": f'{_XML}<styleSheet xmlns="{_MAIN}"><numFmts>'
            + "".join(
                f'<numFmt numFmtId="{200 + n}" formatCode="{code}"/>'
                for n, code in enumerate(quoted)
            )
            + '</numFmts><cellXfs><xf numFmtId="0"/>'
            + "".join(f'<xf numFmtId="{200 + n}"/>' for n in range(len(quoted)))
            + "</cellXfs></styleSheet>",
            "worksheets/sheet1": f'{_XML}<worksheet xmlns="{_MAIN}"><sheetData>{cells}'
            "</sheetData></worksheet>",
        },
        "xml",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
    )


def _record(number: int, body: bytes = b"") -> bytes:
    kind = bytes([number & 0x7F | 0x80, number >> 7]) if number > 127 else bytes([number])
    size = len(body)
    return kind + (bytes([size | 0x80, size >> 7]) if size > 127 else bytes([size])) + body


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def xlsb(formats: Sequence[str], rows: Rows, *, is_1904: bool = False) -> bytes:
    """A binary workbook of Excel ([MS-XLSB])."""
    styles = _record(278) + _record(615, struct.pack("<I", len(formats)))
    for number, code in enumerate(formats):
        styles += _record(44, struct.pack("<H", 200 + number) + _text(code))
    styles += _record(616) + _record(617, struct.pack("<I", len(formats) + 1))
    for number in (0, *range(200, 200 + len(formats))):
        styles += _record(47, struct.pack("<HH", 0xFFFF, number) + bytes(12))
    styles += _record(618) + _record(279)
    size = struct.pack("<IIII", 0, len(rows) - 1, 0, len(formats) - 1)
    sheet = _record(129) + _record(148, size) + _record(145)
    for number, row in enumerate(rows):
        sheet += _record(0, struct.pack("<I", number) + bytes(13))
        for column, value in enumerate(row):
            if value is not None:
                place = struct.pack("<II", column, column + 1)
                whole = isinstance(value, int)
                number_of_cell = struct.pack("<i", value << 2 | 2) if whole else None  # type: ignore[operator]
                sheet += _record(
                    2 if whole else 5, place + (number_of_cell or struct.pack("<d", value))
                )
    sheet += _record(146) + _record(130)
    book = _record(131) + _record(153, struct.pack("<I", is_1904) + bytes(8)) + _record(143)
    book += _record(156, struct.pack("<II", 0, 1) + _text("r1") + _text("Old & new"))
    book += _record(144) + _record(132)
    return _zipped(
        {"workbook": book, "styles": styles, "worksheets/sheet1": sheet},
        "bin",
        "application/vnd.ms-excel.sheet.binary.macroEnabled.main",
    )


def _old(number: int, body: bytes = b"") -> bytes:
    return struct.pack("<HH", number, len(body)) + body


def xls(formats: Sequence[str], rows: Rows, *, is_1904: bool = False) -> bytes:
    """A workbook of Excel 97 ([MS-XLS]): whole numbers as RK and MULRK, others as NUMBER."""
    begin = _old(0x809, struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0))
    book = begin + _old(0x22, struct.pack("<H", is_1904))
    for number, code in enumerate(formats):
        book += _old(0x41E, struct.pack("<HHB", 200 + number, len(code), 0) + code.encode())
    for number in (0, *range(200, 200 + len(formats))):
        book += _old(0xE0, struct.pack("<HH", 0, number) + bytes(16))
    name = "Old & new"
    place = len(book) + 4 + 8 + len(name) + 4
    book += _old(0x85, struct.pack("<IHBB", place, 0, len(name), 0) + name.encode()) + _old(0x0A)
    book += _old(0x809, struct.pack("<HHHHII", 0x600, 0x10, 0, 0, 0, 0))
    for number, row in enumerate(rows):
        if all(isinstance(value, int) for value in row):
            cells = b"".join(
                struct.pack("<Hi", style, value << 2 | 2)  # type: ignore[operator]
                for style, value in enumerate(row, 1)
            )
            book += _old(
                0xBD, struct.pack("<HH", number, 0) + cells + struct.pack("<H", len(row) - 1)
            )
            continue
        for column, value in enumerate(row):
            if isinstance(value, int):
                book += _old(
                    0x27E, struct.pack("<HHHi", number, column, column + 1, value << 2 | 2)
                )
            elif value is not None:
                book += _old(0x203, struct.pack("<HHHd", number, column, column + 1, value))
    return _compound(book + _old(0x0A))


def _compound(stream: bytes) -> bytes:
    """A compound file ([MS-CFB]) with one stream, which is filled up to the least size."""
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    count = len(stream) // 512
    free, end, table = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 62, 3, 0xFFFE, 9, 6)
    )
    header += bytes(6) + struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", 0, *[free] * 108)
    links = [table, end, *range(3, count + 2), end]
    fat = struct.pack("<128I", *links, *[free] * (128 - len(links)))

    def entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
        written = name.encode("utf-16-le") + b"\0\0"
        made = written.ljust(64, b"\0") + struct.pack("<HBB", len(written), kind, 1)
        return (
            made
            + struct.pack("<III", free, free, child)
            + bytes(36)
            + struct.pack("<IQ", first, size)
        )

    entries = entry("Root Entry", 5, 1, end, 0) + entry("Workbook", 2, free, 2, len(stream))
    return header + fat + entries.ljust(512, b"\0") + stream
